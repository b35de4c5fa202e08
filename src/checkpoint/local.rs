//! Checkpoints as files, one per series: the embedded default. Processes of one machine share them; a commit
//! is load, merge, replace under a lock file, and durable when it returns.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::format::{decode_of, encode};
use super::naming::{check, key_of, path_of, set_aside};
use crate::disk::{self, Locked, TEMP, blocking, failure, files_below, replace_through, sync_folder};
use crate::error::Result;
use crate::ports::{Checkpoint, CheckpointStore};

/// One JSON file per series under a folder.
#[derive(Debug, Clone)]
pub struct LocalCheckpointStore {
    root: Arc<PathBuf>,
}

impl LocalCheckpointStore {
    /// Under `root`, which is made at the first commit.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: Arc::new(root.into()) }
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        Ok(self.root.join(path_of(key)?))
    }

    /// Changes what is stored of `key` under its lock.
    async fn update<T: Send + 'static>(
        &self,
        key: &str,
        change: impl FnOnce(&mut Checkpoint) -> T + Send + 'static,
    ) -> Result<T> {
        let (path, key) = (self.path(key)?, key.to_owned());
        blocking(move || {
            let _held = lock(&path)?;
            let old = held(&path, &key)?;
            let mut checkpoint = old.clone().unwrap_or_default();
            let answer = change(&mut checkpoint);
            if old.as_ref() == Some(&checkpoint) {
                // Whoever wrote it may have been killed between its rename and its sync.
                sync_folder(&path)?;
            } else {
                replace_through(&path.with_extension(TEMP), &path, &encode(&key, &checkpoint)?)?;
            }
            Ok(answer)
        })
        .await
    }
}

fn lock(path: &Path) -> Result<Locked> {
    disk::lock(&path.with_extension("lock"))
}

fn held(path: &Path, key: &str) -> Result<Option<Checkpoint>> {
    disk::read(path)?.map(|bytes| decode_of(key, &path.display().to_string(), &bytes)).transpose()
}

/// Removes the file under its lock: a commit that runs meanwhile would bring it back.
fn remove(path: &Path) -> Result<()> {
    if !path.try_exists().map_err(|error| failure("open", path, &error))? {
        return Ok(());
    }
    let _held = lock(path)?;
    for unwanted in [path, &path.with_extension(TEMP)] {
        disk::remove(unwanted)?;
    }
    sync_folder(path)
}

#[async_trait]
impl CheckpointStore for LocalCheckpointStore {
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        let path = self.path(key)?;
        let key = key.to_owned();
        blocking(move || held(&path, &key)).await
    }

    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        check(key, delta)?;
        let delta = delta.clone();
        self.update(key, move |checkpoint| checkpoint.merge(&delta)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let (root, prefix) = (Arc::clone(&self.root), prefix.to_owned());
        blocking(move || {
            let mut keys = Vec::new();
            for path in files_below(&root)? {
                // No file is opened, so that a damaged one hides no other series.
                let name = path.strip_prefix(&*root).unwrap_or(&path).to_string_lossy();
                keys.extend(key_of(&name).filter(|key| key.starts_with(&prefix)));
            }
            keys.sort();
            Ok(keys)
        })
        .await
    }

    async fn set_aside(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        blocking(move || {
            let _held = lock(&path)?;
            let bytes = disk::read(&path)?.unwrap_or_default();
            let aside = set_aside(&path.to_string_lossy(), &bytes);
            fs::rename(&path, &aside).map_err(|error| failure("rename", &path, &error))?;
            sync_folder(&path)
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        blocking(move || remove(&path)).await
    }

    async fn reset(&self, key: &str) -> Result<u64> {
        self.update(key, Checkpoint::forget).await
    }
}
