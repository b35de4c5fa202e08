//! A value that a forked child must not share: connections and what belongs to a runtime's threads.

use std::sync::{Arc, Mutex, PoisonError};

/// Made at first use in each process; a child leaks its parent's (dropping it would reach for dead threads).
#[derive(Debug)]
pub struct PerProcess<T> {
    held: Mutex<Option<(u32, Arc<T>)>>,
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self { held: Mutex::new(None) }
    }
}

impl<T> PerProcess<T> {
    /// This process's value; `make` must not block.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some((owner, value)) = &*held
            && *owner == process
        {
            return Arc::clone(value);
        }
        let value = Arc::new(make());
        std::mem::forget(held.replace((process, Arc::clone(&value))));
        value
    }
}
