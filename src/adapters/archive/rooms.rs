//! Room to unpack files in, for as many at once as there are cores. A month takes 7 MB, and to touch that much new
//! memory for every file costs about as much as to parse it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// A room that has grown beyond is not kept.
const MOST: usize = 16 << 20;

/// The rooms that nobody uses, and the turns to use one.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    turns: OnceLock<Arc<Semaphore>>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// One room, until it is dropped.
pub(super) struct Room {
    _turn: OwnedSemaphorePermit,
    body: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Rooms {
    /// Waits for a turn.
    pub(super) async fn take(&self) -> Result<Room> {
        let cores = || tokio::runtime::Handle::current().metrics().num_workers().max(1);
        let turns = Arc::clone(self.turns.get_or_init(|| Arc::new(Semaphore::new(cores()))));
        let turn =
            turns.acquire_owned().await.map_err(|_| Error::internal("the archive's rooms are closed"))?;
        let body = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        Ok(Room { _turn: turn, body, free: Arc::clone(&self.free) })
    }
}

impl Room {
    /// Does `work` here.
    pub(super) fn with<T>(mut self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let done = work(&mut self.body);
        if self.body.capacity() <= MOST {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.body));
        }
        done
    }
}
