//! Checkpoints in S3 and in PostgreSQL: written to S3 first, read from PostgreSQL, which alone grants claims.
//! Each copy can be made again from the other, because two copies merge. There is no automatic change of authority:
//! with PostgreSQL away, what is held is still written to S3 and reported as unavailable, and nothing new starts.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, Kind, Result};
use crate::ports::{Checkpoint, CheckpointStore, Epoch};
use crate::time_range::TimeRange;

/// Two stores as one.
pub struct HybridCheckpointStore {
    minio: Arc<dyn CheckpointStore>,
    database: Arc<dyn CheckpointStore>,
    /// Series whose copies were made equal by this store already.
    repaired: Mutex<HashSet<String>>,
}

impl HybridCheckpointStore {
    /// Over `minio` (S3) and `database` (PostgreSQL).
    pub fn new(minio: Arc<dyn CheckpointStore>, database: Arc<dyn CheckpointStore>) -> Self {
        Self { minio, database, repaired: Mutex::default() }
    }

    fn repaired(&self) -> MutexGuard<'_, HashSet<String>> {
        self.repaired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a failure of the second write means.
    fn half_done(&self, key: &str, error: Error) -> Error {
        self.repaired().remove(key);
        let is_away = error.kind() == Kind::Unavailable;
        let error = error.context("committed to S3, not to the database");
        if is_away {
            return error
                .with_hint("nothing is lost: the next run brings it over, or quant-framework rebuild")
                .fatal();
        }
        error
    }

    /// Makes the copies of `key` equal; what they hold then, and whether one was behind.
    async fn reconcile(&self, key: &str) -> Result<(Option<Checkpoint>, bool)> {
        let (minio, database) = (self.minio.load(key).await?, self.database.load(key).await?);
        if minio == database {
            return Ok((database, false));
        }
        let mut merged = minio.clone().unwrap_or_default();
        merged.merge(&database.clone().unwrap_or_default());
        let merged = Some(merged);
        for (copy, store) in [(minio, &self.minio), (database, &self.database)] {
            if let Some(merged) = merged.as_ref().filter(|_| copy != merged) {
                store.commit(key, merged).await?;
            }
        }
        Ok((merged, true))
    }
}

#[async_trait]
impl CheckpointStore for HybridCheckpointStore {
    /// Makes the copies equal before `key` is first read: a run that was killed between the two writes, or that lost
    /// PostgreSQL, left its last facts in S3 alone.
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        if self.repaired().contains(key) {
            return self.database.load(key).await;
        }
        match self.reconcile(key).await {
            Ok((held, _)) => {
                self.repaired().insert(key.to_owned());
                Ok(held)
            }
            Err(error) if error.kind() == Kind::Unavailable => {
                tracing::warn!("{key}: the copies in S3 and PostgreSQL were not compared: {error}");
                self.database.load(key).await
            }
            Err(error) => Err(error),
        }
    }

    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        self.minio.commit(key, delta).await?;
        let done = self.database.commit(key, delta).await;
        done.map_err(|error| self.half_done(key, error))
    }

    /// Of both, so that a series is found that only one of them has.
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys = self.database.list(prefix).await?;
        match self.minio.list(prefix).await {
            Ok(others) => keys.extend(others),
            Err(error) if error.kind() == Kind::Unavailable => {
                tracing::warn!("listed from the database alone: {error}");
            }
            Err(error) => return Err(error),
        }
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.minio.delete(key).await?;
        let done = self.database.delete(key).await;
        done.map_err(|error| self.half_done(key, error))
    }

    async fn reset(&self, key: &str) -> Result<u64> {
        let held = |found: Option<Checkpoint>| found.map_or(0, |checkpoint| checkpoint.generation);
        let (minio, database) = (held(self.minio.load(key).await?), held(self.database.load(key).await?));
        let generation = minio.max(database) + 1;
        self.commit(key, &Checkpoint { generation, ..Checkpoint::default() }).await?;
        Ok(generation)
    }

    async fn commit_all(&self, deltas: &[(Arc<str>, Checkpoint)]) -> Vec<Result<()>> {
        let mut results = self.minio.commit_all(deltas).await;
        let landed: Vec<(Arc<str>, Checkpoint)> = deltas
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|(delta, _)| delta.clone())
            .collect();
        let mut second = self.database.commit_all(&landed).await.into_iter().zip(&landed);
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            if let Some((done, (key, _))) = second.next() {
                *result = done.map_err(|error| self.half_done(key, error));
            }
        }
        results
    }

    fn linger(&self) -> Duration {
        self.minio.linger().max(self.database.linger())
    }

    async fn repair(&self, key: &str) -> Result<bool> {
        Ok(self.reconcile(key).await?.1)
    }

    /// Only S3 holds bytes that can be damaged one by one; what PostgreSQL has is brought over by the next repair.
    async fn set_aside(&self, key: &str) -> Result<()> {
        self.minio.set_aside(key).await
    }

    async fn claim(
        &self,
        key: &str,
        wanted: &[TimeRange],
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Epoch>> {
        self.database.claim(key, wanted, owner, lease).await
    }

    async fn renew(&self, held: &[Epoch], lease: Duration) -> Result<Vec<Epoch>> {
        self.database.renew(held, lease).await
    }

    async fn release(&self, held: &[Epoch]) -> Result<()> {
        self.database.release(held).await
    }
}
