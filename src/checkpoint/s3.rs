//! Checkpoints as small objects in a bucket of MinIO, AWS or any S3, one per series. A commit is load, merge and a
//! PUT on the condition that nobody wrote meanwhile; whatever happens to its answer, loading and merging again is
//! right, because merging is idempotent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};

use super::conditions::{self, Verdict};
use super::format::{decode_of, encode};
use super::naming::{check, folder, key_of, path_of, set_aside};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::objects::{Bucket, Condition, Objects, S3Settings};
use crate::ports::{Checkpoint, CheckpointStore};
use crate::retry::{RetryPolicy, repeat};

/// Commits of a run gather so long: many chunks, few PUTs.
const LINGER: Duration = Duration::from_secs(1);
/// Series whose last state is kept, so that a commit needs no GET.
const KEPT: usize = 4096;
/// Pauses between attempts: against servers that fail, and against writers that were faster.
const TROUBLE: RetryPolicy =
    RetryPolicy { attempts: 8, base: Duration::from_millis(200), max: Duration::from_secs(10) };
const RACE: RetryPolicy =
    RetryPolicy { attempts: 500, base: Duration::from_millis(20), max: Duration::from_secs(1) };

/// What this store last saw of a series.
struct Seen {
    condition: Condition,
    checkpoint: Checkpoint,
    /// Straight from the server, in the same call.
    fresh: bool,
}

/// One object per series under a URL.
pub struct S3CheckpointStore {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    /// The server need not honour conditions: only one process writes.
    single_writer: bool,
    honoured: OnceCell<()>,
    seen: StdMutex<HashMap<String, Arc<Mutex<Option<Seen>>>>>,
}

impl S3CheckpointStore {
    /// Under `url`, `s3://bucket/prefix`. Opens nothing yet. A server that ignores conditional writes is refused at the
    /// first commit, unless `single_writer` says that no other process commits under this URL at the same time.
    pub fn new(url: &str, settings: S3Settings, single_writer: bool, clock: Arc<dyn Clock>) -> Result<Self> {
        let bucket = Bucket::new(url, settings, Arc::clone(&clock))?;
        Ok(Self { bucket, clock, single_writer, honoured: OnceCell::new(), seen: StdMutex::default() })
    }

    /// The series' last state, locked: commits of one process to one series take turns.
    fn seen(&self, key: &str) -> Arc<Mutex<Option<Seen>>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= KEPT {
            seen.retain(|_, held| Arc::strong_count(held) > 1);
        }
        Arc::clone(seen.entry(key.to_owned()).or_default())
    }

    /// Refuses a server that ignores conditions, before anything is written to it.
    async fn check(&self) -> Result<()> {
        let check = || async {
            if self.single_writer {
                tracing::warn!(
                    "single-writer mode: a second process that commits under {} at the same time may undo commits",
                    self.bucket.uri("")
                );
                return Ok(());
            }
            let probe = || conditions::verdict(&self.bucket, self.clock.now());
            match repeat(&TROUBLE, &*self.clock, probe).await? {
                Verdict::Honoured => Ok(()),
                Verdict::Ignored(how) => Err(conditions::refusal(&self.bucket, &how)),
            }
        };
        self.honoured.get_or_try_init(check).await.copied()
    }

    async fn fetch(&self, key: &str) -> Result<Seen> {
        let path = path_of(key)?;
        let Some((body, etag)) = self.bucket.get_tagged(&path).await? else {
            let condition = if self.single_writer { Condition::Any } else { Condition::Absent };
            return Ok(Seen { condition, checkpoint: Checkpoint::default(), fresh: true });
        };
        let checkpoint = decode_of(key, &self.bucket.uri(&path), &body)?;
        Ok(Seen { condition: self.condition(etag), checkpoint, fresh: true })
    }

    fn condition(&self, etag: String) -> Condition {
        if self.single_writer { Condition::Any } else { Condition::Unchanged(etag) }
    }

    /// Changes what is stored of `key`; `change` may be called again, on a newer state.
    async fn update<T: Send>(
        &self,
        key: &str,
        change: impl Fn(&mut Checkpoint) -> T + Send + Sync,
    ) -> Result<T> {
        self.check().await?;
        let path = path_of(key)?;
        let seed = conditions::seed(key);
        let slot = self.seen(key);
        let mut slot = slot.lock().await;
        let (mut failures, mut losses) = (0, 0);
        loop {
            let pause = match self.attempt(key, &path, &mut slot, &change).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {
                    losses += 1;
                    let place = self.bucket.uri(&path);
                    let lost =
                        Error::unavailable(format!("{place}: other writers were faster {losses} times"));
                    RACE.delay(&lost, losses, seed).ok_or(lost)?
                }
                // Perhaps it landed; the next load tells.
                Err(error) => {
                    failures += 1;
                    let pause = TROUBLE.delay(&error, failures, seed).ok_or_else(|| error.clone())?;
                    tracing::warn!("attempt {failures} failed, again in {pause:.1?}: {error}");
                    pause
                }
            };
            self.clock.sleep(pause).await;
        }
    }

    /// One load, where nothing is remembered, and one conditional PUT; `None` where somebody else was faster.
    async fn attempt<T>(
        &self,
        key: &str,
        path: &str,
        slot: &mut Option<Seen>,
        change: &(impl Fn(&mut Checkpoint) -> T + Sync),
    ) -> Result<Option<T>> {
        let Seen { condition, checkpoint: old, fresh } = match slot.take() {
            Some(known) => known,
            None => self.fetch(key).await?,
        };
        let mut new = old.clone();
        let answer = change(&mut new);
        if fresh && new == old && condition != Condition::Absent {
            *slot = Some(Seen { condition, checkpoint: old, fresh: false });
            return Ok(Some(answer));
        }
        let Some(etag) = self.bucket.put_if(path, encode(key, &new)?.into(), &condition).await? else {
            return Ok(None);
        };
        *slot = Some(Seen { condition: self.condition(etag), checkpoint: new, fresh: false });
        Ok(Some(answer))
    }
}

#[async_trait]
impl CheckpointStore for S3CheckpointStore {
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        let path = path_of(key)?;
        let held = self.bucket.get(&path).await?;
        held.map(|body| decode_of(key, &self.bucket.uri(&path), &body)).transpose()
    }

    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        check(key, delta)?;
        self.update(key, |checkpoint| checkpoint.merge(delta)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        // A part that ends with `prefix` may go on in a folder below.
        let parts = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        let paths = self.bucket.list(&folder(parts)).await?;
        let mut keys: Vec<String> = paths.iter().filter_map(|path| key_of(path)).collect();
        keys.retain(|key| key.starts_with(prefix));
        keys.sort();
        Ok(keys)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let slot = self.seen(key);
        let mut slot = slot.lock().await;
        *slot = None;
        self.bucket.delete(&path_of(key)?).await
    }

    async fn reset(&self, key: &str) -> Result<u64> {
        self.update(key, Checkpoint::forget).await
    }

    fn linger(&self) -> Duration {
        LINGER
    }

    async fn set_aside(&self, key: &str) -> Result<()> {
        let path = path_of(key)?;
        if let Some(body) = self.bucket.get(&path).await? {
            self.bucket.put(&set_aside(&path, &body), body).await?;
        }
        self.delete(key).await
    }
}
