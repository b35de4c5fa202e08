//! Where a scope is kept.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::scope::Scope;
use crate::error::Result;
use crate::rate_limit::{Micros, Timeline};

/// A change of a scope at a moment of its place's clock. May be made several times before one counts.
pub type Change<'a> = dyn FnMut(&mut Scope, Micros) -> Result<()> + Send + 'a;

/// A place that keeps one scope and changes it for one caller at a time.
#[async_trait]
pub trait Cell: Send + Sync {
    /// Makes `change`; returns how far the moment that it was given may lie behind the place's clock.
    /// `Unavailable` where the place is away; then nothing or all of it may have happened. Cancel safe in that sense.
    async fn update(&self, change: &mut Change<'_>) -> Result<Duration>;

    /// Where it is, without secrets.
    fn place(&self) -> String;
}

/// Kept in memory, for one process.
#[derive(Debug)]
pub struct MemoryCell {
    scope: Mutex<Scope>,
    time: Timeline,
}

impl MemoryCell {
    /// Keeps `scope`.
    pub const fn new(scope: Scope, time: Timeline) -> Self {
        Self { scope: Mutex::new(scope), time }
    }
}

#[async_trait]
impl Cell for MemoryCell {
    async fn update(&self, change: &mut Change<'_>) -> Result<Duration> {
        let mut scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut scope, self.time.now())?;
        Ok(Duration::ZERO)
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

/// Several workers of one process, in tests: they share the cell itself.
#[async_trait]
impl<C: Cell> Cell for std::sync::Arc<C> {
    async fn update(&self, change: &mut Change<'_>) -> Result<Duration> {
        (**self).update(change).await
    }

    fn place(&self) -> String {
        (**self).place()
    }
}
