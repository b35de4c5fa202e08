//! Group commit: while one round of commits is on its way to the store, finished chunks gather, and
//! the next round commits them together, one call per series. Nobody waits longer than one round.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::coverage::Coverage;
use crate::error::{Error, Result};
use crate::ports::{Checkpoint, CheckpointStore};

/// One chunk's facts, and who waits for them to be durable.
struct Entry {
    key: Arc<str>,
    delta: Checkpoint,
    done: oneshot::Sender<Result<()>>,
}

/// The pipeline's end of the group commit.
#[derive(Clone)]
pub(super) struct Committer {
    entries: mpsc::Sender<Entry>,
}

impl Committer {
    /// The handle, and the task that must be driven beside the pipeline until every handle is gone.
    pub(super) fn new(store: Arc<dyn CheckpointStore>, capacity: usize) -> (Self, impl Future<Output = ()>) {
        let (entries, queue) = mpsc::channel(capacity.max(1));
        (Self { entries }, drive(store, queue))
    }

    /// Returns when `delta` is durable. Once called, the commit goes on even if the caller is dropped.
    pub(super) async fn commit(&self, key: Arc<str>, delta: Checkpoint) -> Result<()> {
        let (done, durable) = oneshot::channel();
        let gone = || Error::internal("the checkpoint committer has stopped");
        self.entries.send(Entry { key, delta, done }).await.map_err(|_| gone())?;
        durable.await.map_err(|_| gone())?
    }
}

/// What is committed of one series in a round, and who waits for it.
type Group = (Checkpoint, Vec<oneshot::Sender<Result<()>>>);

async fn drive(store: Arc<dyn CheckpointStore>, mut queue: mpsc::Receiver<Entry>) {
    while let Some(first) = queue.recv().await {
        let mut groups: HashMap<Arc<str>, Group> = HashMap::new();
        let mut next = Some(first);
        while let Some(entry) = next {
            let (delta, waiting) =
                groups.entry(entry.key).or_insert_with(|| (entry.delta.clone(), Vec::new()));
            delta.merge(&entry.delta);
            waiting.push(entry.done);
            next = queue.try_recv().ok();
        }
        join_all(groups.into_iter().map(|(key, (delta, waiting))| {
            let store = Arc::clone(&store);
            async move {
                let result = store.commit(&key, &delta).await;
                for done in waiting {
                    // A waiter that is gone was cancelled; its facts are stored all the same.
                    let _ = done.send(result.clone());
                }
            }
        }))
        .await;
    }
}

/// The facts of one chunk as a delta.
pub(super) fn delta(generation: u64, fingerprint: &str, coverage: Coverage) -> Checkpoint {
    Checkpoint { generation, coverage, cursor: None, fingerprint: Some(fingerprint.to_owned()) }
}
