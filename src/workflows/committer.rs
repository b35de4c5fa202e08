//! Group commit: many chunks, few calls of the store. Finished chunks gather for as long as the store lets them
//! linger, until there are many, or while one round of commits is on its way; then they go together.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::cancel::Cancel;
use crate::coverage::Coverage;
use crate::error::{Error, Result};
use crate::ports::{Checkpoint, CheckpointStore, Clock};

/// So many chunks do not wait for more: a bound on memory, as time is the bound on what a kill costs.
const MANY: usize = 1024;
/// Chunks that are written and not yet committed; a kill costs at most these and those in flight.
pub(super) const BACKLOG: usize = 2 * MANY;

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
    hurry: Cancel,
}

impl Committer {
    /// The handle, and the task that must be driven beside the pipeline until every handle is gone.
    pub(super) fn new(
        store: Arc<dyn CheckpointStore>,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()>) {
        let (entries, queue) = mpsc::channel(BACKLOG);
        let hurry = Cancel::default();
        (Self { entries, hurry: hurry.clone() }, drive(store, clock, queue, hurry))
    }

    /// Returns when `delta` is durable. Once called, the commit goes on even if the caller is dropped.
    pub(super) async fn commit(&self, key: Arc<str>, delta: Checkpoint) -> Result<()> {
        let (done, durable) = oneshot::channel();
        let gone = || Error::internal("the checkpoint committer has stopped");
        self.entries.send(Entry { key, delta, done }).await.map_err(|_| gone())?;
        durable.await.map_err(|_| gone())?
    }

    /// From now on nothing lingers: the run is at its end.
    pub(super) fn hurry(&self) {
        self.hurry.cancel();
    }
}

async fn drive(
    store: Arc<dyn CheckpointStore>,
    clock: Arc<dyn Clock>,
    mut queue: mpsc::Receiver<Entry>,
    hurry: Cancel,
) {
    while let Some(first) = queue.recv().await {
        let mut gathered = vec![first];
        if !store.linger().is_zero() {
            gather(&mut gathered, &mut queue, clock.sleep(store.linger()), &hurry).await;
        }
        while let Ok(entry) = queue.try_recv() {
            gathered.push(entry);
        }
        commit(&*store, gathered).await;
    }
}

async fn gather(
    gathered: &mut Vec<Entry>,
    queue: &mut mpsc::Receiver<Entry>,
    mut due: crate::clock::Sleep,
    hurry: &Cancel,
) {
    while gathered.len() < MANY {
        tokio::select! {
            biased;
            () = &mut due => return,
            () = hurry.cancelled() => return,
            next = queue.recv() => match next {
                Some(entry) => gathered.push(entry),
                None => return,
            },
        }
    }
}

/// One round: the deltas of each series merged, and everybody who waits told.
async fn commit(store: &dyn CheckpointStore, gathered: Vec<Entry>) {
    let mut deltas: Vec<(Arc<str>, Checkpoint)> = Vec::new();
    let mut waiting: Vec<Vec<oneshot::Sender<Result<()>>>> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    for Entry { key, delta, done } in gathered {
        if let Some(place) = places.get(&key) {
            deltas[*place].1.merge(&delta);
            waiting[*place].push(done);
        } else {
            places.insert(Arc::clone(&key), deltas.len());
            deltas.push((key, delta));
            waiting.push(vec![done]);
        }
    }
    for (result, waiting) in store.commit_all(&deltas).await.into_iter().zip(waiting) {
        for done in waiting {
            // A waiter that is gone was cancelled; its facts are stored all the same.
            let _ = done.send(result.clone());
        }
    }
}

/// The facts of one chunk as a delta.
pub(super) fn delta(generation: u64, fingerprint: &str, coverage: Coverage) -> Checkpoint {
    Checkpoint { generation, coverage, cursor: None, fingerprint: Some(fingerprint.to_owned()) }
}
