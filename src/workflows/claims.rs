//! What keeps two runs from fetching the same ranges: where the store grants claims, a run claims what it is about
//! to fetch, renews its leases, and stops fetching and writing a series whose claim it has lost.
//!
//! Validity is judged by this process's monotonic clock from before the claim was asked for, so that a process that
//! stood still for longer than its lease finds out before it writes. A commit is never refused: it merges.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{StreamExt, iter};

use crate::error::{Error, Result};
use crate::ports::{CheckpointStore, Clock, Epoch};
use crate::series::Series;

use super::prepare::WIDTH;
use super::task::Task;

/// How long giving claims back may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// One claim of this run.
#[derive(Debug, Clone, Copy)]
struct Held {
    epoch: Epoch,
    /// By the monotonic clock.
    until: Duration,
}

/// The claims of one run, by series key.
pub(super) struct Claims {
    store: Arc<dyn CheckpointStore>,
    clock: Arc<dyn Clock>,
    owner: String,
    lease: Duration,
    held: Mutex<HashMap<Arc<str>, Held>>,
}

impl Claims {
    pub(super) fn new(
        store: Arc<dyn CheckpointStore>,
        clock: Arc<dyn Clock>,
        owner: String,
        lease: Duration,
    ) -> Self {
        Self { store, clock, owner, lease, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims what is missing of each task, and looks again at what is missing then: whoever held it until now may
    /// have fetched it. Tasks that somebody else is fetching are refused.
    pub(super) async fn take(
        &self,
        tasks: Vec<Task>,
        refused: &mut Vec<(Option<Series>, Error)>,
    ) -> Vec<Task> {
        let claimed = iter(tasks).map(|mut task| async {
            let done = self.take_one(&mut task).await;
            (task, done)
        });
        let mut kept = Vec::new();
        for (task, done) in claimed.buffered(WIDTH).collect::<Vec<_>>().await {
            match done {
                Ok(()) => kept.push(task),
                Err(error) => refused.push((Some(task.series.clone()), error)),
            }
        }
        kept
    }

    async fn take_one(&self, task: &mut Task) -> Result<()> {
        let wanted = task.claimed();
        if wanted.is_empty() {
            return Ok(());
        }
        let until = self.clock.monotonic() + self.lease;
        let claim = self.store.claim(&task.key, &wanted, &self.owner, self.lease).await?;
        let Some(epoch) = claim else { return Ok(()) };
        self.held().insert(Arc::clone(&task.key), Held { epoch, until });
        let now = self.store.load(&task.key).await?.unwrap_or_default();
        task.narrow(now);
        Ok(())
    }

    /// `Conflict` where `key` was claimed and the claim is lost.
    pub(super) fn check(&self, key: &str) -> Result<()> {
        let lost = self.held().get(key).is_some_and(|held| self.clock.monotonic() >= held.until);
        if !lost {
            return Ok(());
        }
        Err(Error::conflict(format!("the claim on {key} ended before it could be renewed"))
            .with_hint("run again: what is committed is kept"))
    }

    /// Renews every claim, for as long as this is polled.
    pub(super) async fn keep(&self) {
        loop {
            if self.held().is_empty() {
                return std::future::pending().await;
            }
            self.clock.sleep(self.lease / 3).await;
            let until = self.clock.monotonic() + self.lease;
            let epochs: Vec<Epoch> = self.held().values().map(|held| held.epoch).collect();
            match self.store.renew(&epochs, self.lease).await {
                Ok(renewed) => {
                    for held in self.held().values_mut() {
                        let is_there = renewed.contains(&held.epoch);
                        held.until = if is_there { held.until.max(until) } else { Duration::ZERO };
                    }
                }
                Err(error) => tracing::warn!("claims were not renewed: {error}"),
            }
        }
    }

    /// Gives everything back; where that fails, the leases end by themselves.
    pub(super) async fn release(&self) {
        let epochs: Vec<Epoch> = self.held().drain().map(|(_, held)| held.epoch).collect();
        if epochs.is_empty() {
            return;
        }
        tokio::select! {
            done = self.store.release(&epochs) => {
                if let Err(error) = done {
                    tracing::warn!("claims were not given back, they end in {:?}: {error}", self.lease);
                }
            }
            // The end of a run waits for no server.
            () = self.clock.sleep(PATIENCE) => {}
        }
    }
}
