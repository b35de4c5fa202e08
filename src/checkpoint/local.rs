//! Checkpoints as files, one per series: the embedded default. Processes of one machine share them; a commit
//! is load, merge, replace under a lock file, and durable when it returns.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::format::{decode, encode};
use crate::disk::{blocking, failure, files_below, make_folder, replace, sync_folder};
use crate::error::{Error, Result};
use crate::ports::{Checkpoint, CheckpointStore};

/// Longer parts of a key are shortened and given a hash: file names end at 255 bytes.
const LONGEST: usize = 150;
const ENDING: &str = "json";

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
        let mut path = self.root.as_path().to_path_buf();
        for part in key.split('/') {
            let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '%');
            if part.is_empty() || part.starts_with('.') || !part.chars().all(harmless) {
                return Err(Error::invalid(format!("{key:?} is not a series key of percent-encoded parts")));
            }
            path.push(file_name(part));
        }
        path.as_mut_os_string().push(format!(".{ENDING}"));
        Ok(path)
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
            let old = read(&path)?;
            let mut checkpoint = old.clone().unwrap_or_default();
            let answer = change(&mut checkpoint);
            if old.as_ref() != Some(&checkpoint) {
                replace(&path, &encode(&key, &checkpoint)?)?;
            }
            Ok(answer)
        })
        .await
    }
}

fn file_name(part: &str) -> String {
    if part.len() <= LONGEST {
        return part.to_owned();
    }
    let hash = format!("{:x}", Sha256::digest(part));
    format!("{}~{}", &part[..LONGEST], &hash[..24])
}

/// Held until dropped; the file stays, as removing it would race with the next holder.
fn lock(path: &Path) -> Result<File> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    let lock = path.with_extension("lock");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&lock)
        .map_err(|error| failure("open", &lock, &error))?;
    file.lock().map_err(|error| failure("lock", &lock, &error))?;
    Ok(file)
}

fn read(path: &Path) -> Result<Option<Checkpoint>> {
    read_with_key(path).map(|found| found.map(|(_, checkpoint)| checkpoint))
}

fn read_with_key(path: &Path) -> Result<Option<(String, Checkpoint)>> {
    match fs::read(path) {
        Ok(bytes) => decode(&path.display().to_string(), &bytes).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("read", path, &error)),
    }
}

#[async_trait]
impl CheckpointStore for LocalCheckpointStore {
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        let path = self.path(key)?;
        let asked = key.to_owned();
        blocking(move || {
            let Some((held, checkpoint)) = read_with_key(&path)? else { return Ok(None) };
            if held == asked {
                return Ok(Some(checkpoint));
            }
            Err(Error::data(format!("the checkpoint {} is of {held}, not of {asked}", path.display())))
        })
        .await
    }

    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        let delta = delta.clone();
        self.update(key, move |checkpoint| checkpoint.merge(&delta)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let (root, prefix) = (Arc::clone(&self.root), prefix.to_owned());
        blocking(move || {
            let mut keys = Vec::new();
            for path in
                files_below(&root)?.iter().filter(|path| path.extension().is_some_and(|it| it == ENDING))
            {
                keys.extend(read_with_key(path)?.map(|(key, _)| key).filter(|key| key.starts_with(&prefix)));
            }
            keys.sort();
            Ok(keys)
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        blocking(move || match fs::remove_file(&path) {
            Ok(()) => sync_folder(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failure("delete", &path, &error)),
        })
        .await
    }

    async fn reset(&self, key: &str) -> Result<u64> {
        self.update(key, |checkpoint| {
            let generation = checkpoint.generation + 1;
            *checkpoint = Checkpoint { generation, ..Checkpoint::default() };
            generation
        })
        .await
    }
}
