//! Objects as files under a folder.

use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Condition, Objects};
use crate::disk::{
    blocking, failure, files_below, lock, make_folder, read, remove, replace, sweep, sync_folder,
};
use crate::error::Result;
use crate::time_range::Millis;
use crate::unique::unique;

/// A local folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Under `root`, which is made when something is written.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

#[async_trait]
impl Objects for Folder {
    async fn probe(&self, _clean_up: bool) -> Result<()> {
        let root = self.root.clone();
        blocking(move || {
            make_folder(&root)?;
            let probe = root.join(format!(".probe-{:016x}", unique()));
            replace(&probe, b"quant_framework was here")?;
            fs::remove_file(&probe).map_err(|error| failure("remove", &probe, &error))
        })
        .await
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<()> {
        let path = self.root.join(key);
        blocking(move || {
            make_folder(path.parent().unwrap_or(Path::new(".")))?;
            replace(&path, &body)
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.root.join(key);
        blocking(move || Ok(read(&path)?.map(Bytes::from))).await
    }

    async fn get_tagged(&self, key: &str) -> Result<Option<(Bytes, String)>> {
        let held = self.get(key).await?;
        Ok(held.map(|body| {
            let tag = tag(&body);
            (body, tag)
        }))
    }

    async fn replace_if(&self, key: &str, body: Bytes, condition: &Condition) -> Result<bool> {
        let (path, condition) = (self.root.join(key), condition.clone());
        blocking(move || {
            let _held = lock(&lock_of(&path))?;
            let held = read(&path)?;
            let holds = match &condition {
                Condition::Absent => held.is_none(),
                Condition::Unchanged(wanted) => held.is_some_and(|held| tag(&held) == *wanted),
                Condition::Any => true,
            };
            if holds {
                replace(&path, &body)?;
            }
            Ok(holds)
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let root = self.root.clone();
        let folder = root.join(prefix);
        blocking(move || {
            let files = files_below(&folder)?;
            let key = |path: &PathBuf| path.strip_prefix(&root).ok()?.to_str().map(str::to_owned);
            Ok(files.iter().filter_map(key).collect())
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let path = self.root.join(key);
        blocking(move || {
            if !path.try_exists().map_err(|error| failure("open", &path, &error))? {
                return Ok(());
            }
            // Whoever is about to replace it would bring it back.
            let lock_file = lock_of(&path);
            let _held = lock(&lock_file)?;
            if remove(&path)? {
                sync_folder(&path)?;
            }
            remove(&lock_file).map(drop)
        })
        .await
    }

    async fn sweep(&self, prefix: &str, before: Millis) -> Result<()> {
        let folder = self.root.join(prefix);
        blocking(move || sweep(&folder, before)).await
    }

    fn uri(&self, key: &str) -> String {
        format!("file://{}", self.root.join(key).display())
    }
}

/// The file that is locked while the object at `path` is replaced or removed.
fn lock_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.lock"))
}

/// What tells one content of a file from another.
fn tag(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_is_removed_while_it_is_replaced_stays_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::new(root.path().to_owned()));
        for round in 0..300 {
            folder.put("a/b", Bytes::from_static(b"old")).await.unwrap();
            let (_, tag) = folder.get_tagged("a/b").await.unwrap().unwrap();
            let replacing = tokio::spawn({
                let folder = Arc::clone(&folder);
                let condition = Condition::Unchanged(tag);
                async move { folder.replace_if("a/b", Bytes::from_static(b"new"), &condition).await.unwrap() }
            });
            folder.delete("a/b").await.unwrap();
            replacing.await.unwrap();
            assert!(folder.get("a/b").await.unwrap().is_none(), "round {round}");
        }
        folder.delete("a/b").await.unwrap();
        folder.delete("none/at all").await.unwrap();
        assert!(!root.path().join("none").exists());
    }
}
