//! Checkpoints in memory: for tests, and for runs that need no resume.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::naming::{check, path_of};
use crate::error::Result;
use crate::ports::{Checkpoint, CheckpointStore};

/// Gone when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryCheckpointStore {
    held: Mutex<BTreeMap<String, Checkpoint>>,
}

impl MemoryCheckpointStore {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Checkpoint>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CheckpointStore for MemoryCheckpointStore {
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        path_of(key)?;
        Ok(self.held().get(key).cloned())
    }

    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        check(key, delta)?;
        self.held().entry(key.to_owned()).or_default().merge(delta);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.held().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        path_of(key)?;
        self.held().remove(key);
        Ok(())
    }

    async fn reset(&self, key: &str) -> Result<u64> {
        path_of(key)?;
        Ok(self.held().entry(key.to_owned()).or_default().forget())
    }
}
