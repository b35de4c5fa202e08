//! The only file that reads time or sleeps. Everything else is handed a [`Clock`], so that a
//! thirty-day backfill under a rate limit can be tested in milliseconds.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A boxed future that borrows nothing.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Wall time, monotonic time and waiting.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time in milliseconds since 1970 UTC; may jump.
    fn now(&self) -> i64;
    /// Time since some fixed point of this process; never goes back.
    fn monotonic(&self) -> Duration;
    /// Resolves after `duration`. Cancel safe.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> i64 {
        chrono::Utc::now().timestamp_millis()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that moves only when told to, or at once when somebody sleeps on it.
#[derive(Debug, Clone)]
pub struct ManualClock {
    state: Arc<Mutex<(i64, Duration)>>,
}

impl ManualClock {
    /// Starts at `now`, in milliseconds since 1970 UTC.
    pub fn new(now: i64) -> Self {
        Self { state: Arc::new(Mutex::new((now, Duration::ZERO))) }
    }

    /// Moves both wall and monotonic time forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += by.as_millis() as i64;
        state.1 += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.clone();
        Box::pin(async move {
            clock.advance(duration);
            tokio::task::yield_now().await;
        })
    }
}
