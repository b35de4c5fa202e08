//! Wall time that does not jump: as it was at the start, and the monotonic clock from there on.

use std::sync::Arc;
use std::time::Duration;

use super::window::Micros;
use crate::clock::Clock;
use crate::time_range::Millis;

/// See the module.
#[derive(Debug, Clone)]
pub struct Timeline {
    clock: Arc<dyn Clock>,
    /// Between the monotonic clock's zero and 1970.
    origin: Micros,
}

impl Timeline {
    /// Starts at the clock's wall time.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let wall = clock.now().unsigned_abs() * 1000;
        let origin = wall.saturating_sub(clock.monotonic().as_micros() as Micros);
        Self { clock, origin }
    }

    /// The moment.
    pub fn now(&self) -> Micros {
        self.origin + self.clock.monotonic().as_micros() as Micros
    }

    /// Sleeps until `at`, at once where that is past. Cancel safe.
    pub async fn sleep_until(&self, at: Micros) {
        self.clock.sleep(Duration::from_micros(at.saturating_sub(self.now()))).await;
    }

    /// What the wall clock will show at `at`.
    pub fn wall(&self, at: Micros) -> Millis {
        self.clock.now() + (at.saturating_sub(self.now()).div_ceil(1000)) as Millis
    }

    /// Where a wall time lies here.
    pub fn at(&self, wall: Millis) -> Micros {
        let ahead = wall.saturating_sub(self.clock.now()).max(0).unsigned_abs();
        self.now().saturating_add(ahead.saturating_mul(1000))
    }
}
