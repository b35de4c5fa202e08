//! The pacer: governor at a rate between a minimum and a maximum, raised slowly, cut by a factor.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;

/// Rates in requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// At the start.
    pub base: f64,
    /// Never faster.
    pub max: f64,
    /// Never slower.
    pub min: f64,
    /// A refusal divides the rate by this.
    pub backoff_factor: f64,
    /// So many at once after a pause.
    pub burst: NonZeroU32,
}

/// Steps from the slowest to the fastest rate.
const STEPS: f64 = 20.0;
/// So long without a refusal raises the rate by a step, if somebody waited for it.
const CLEAN: Duration = Duration::from_secs(5);

/// Our clock under governor.
#[derive(Debug, Clone)]
pub(super) struct Monotonic(Arc<dyn Clock>);

impl GovernorClock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Self::Instant {
        self.0.monotonic()
    }
}

type Governor = RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Duration>>;

/// Spreads requests at the present rate.
pub(super) struct Pacer {
    pace: Pace,
    rate: f64,
    governor: Governor,
    clock: Monotonic,
    clean_since: Duration,
    waited: bool,
    granted_since_cut: bool,
}

fn governor_at(rate: f64, burst: NonZeroU32, clock: &Monotonic) -> Governor {
    let period = Duration::from_secs_f64(1.0 / rate).max(Duration::from_nanos(1));
    let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
    RateLimiter::direct_with_clock(quota, clock.clone())
}

impl Pacer {
    pub(super) fn new(pace: Pace, clock: Arc<dyn Clock>) -> Self {
        let clock = Monotonic(clock);
        let (clean_since, governor) = (clock.now(), governor_at(pace.base, pace.burst, &clock));
        Self { pace, rate: pace.base, governor, clock, clean_since, waited: false, granted_since_cut: true }
    }

    /// Takes a place now, or says how long to wait before asking again.
    pub(super) fn check(&mut self) -> Result<(), Duration> {
        self.raise();
        match self.governor.check() {
            Ok(()) => {
                self.granted_since_cut = true;
                Ok(())
            }
            Err(refusal) => {
                self.waited = true;
                Err(refusal.wait_time_from(self.clock.now()).max(Duration::from_micros(100)))
            }
        }
    }

    /// The source refused. Refusals of requests that were sent before the last cut do not count again.
    pub(super) fn cut(&mut self) {
        self.clean_since = self.clock.now();
        if std::mem::take(&mut self.granted_since_cut) {
            self.set((self.rate / self.pace.backoff_factor).max(self.pace.min));
        }
    }

    fn raise(&mut self) {
        let now = self.clock.now();
        if now.duration_since(self.clean_since) < CLEAN.into() {
            return;
        }
        self.clean_since = now;
        if std::mem::take(&mut self.waited) && self.rate < self.pace.max {
            self.set((self.rate + (self.pace.max - self.pace.min) / STEPS).min(self.pace.max));
        }
    }

    fn set(&mut self, rate: f64) {
        self.rate = rate;
        self.governor = governor_at(rate, self.pace.burst, &self.clock);
        // A new limiter would let a whole burst through at once: those places are taken.
        let _ = self.governor.check_n(self.pace.burst);
    }

    /// The least time for `requests`, seconds.
    pub(super) fn least_seconds(&self, requests: u64) -> f64 {
        requests.saturating_sub(u64::from(self.pace.burst.get())) as f64 / self.pace.max
    }

    #[cfg(test)]
    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }
}
