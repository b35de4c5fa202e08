//! The pacer: governor at a rate between a minimum and a maximum, raised slowly, cut by a factor.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::window::Micros;

/// Rates in requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// At the start.
    pub base: f64,
    /// Never faster.
    pub max: f64,
    /// Never slower.
    pub min: f64,
    /// So many at once after a pause.
    pub burst: NonZeroU32,
}

/// Steps from the slowest to the fastest rate; near the rate that was refused last, a tenth of one.
const STEPS: f64 = 20.0;
const CAREFUL: f64 = 0.1;
/// So long without a refusal raises the rate by a step, if somebody waited for it.
const CLEAN: Micros = 5_000_000;

/// The moment of the call, as the limiter has read it.
#[derive(Debug, Clone, Default)]
struct Moment(Arc<AtomicU64>);

impl GovernorClock for Moment {
    type Instant = Duration;

    fn now(&self) -> Self::Instant {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

type Governor = RateLimiter<NotKeyed, InMemoryState, Moment, NoOpMiddleware<Duration>>;

/// Spreads requests at the present rate.
pub struct Pacer {
    pace: Pace,
    rate: f64,
    /// The rate that was refused last.
    refused: Option<f64>,
    governor: Governor,
    /// Every place up to this moment is taken: governor's own state, which it does not show.
    spent: f64,
    moment: Moment,
    clean_since: Micros,
    waited: bool,
}

fn governor_at(rate: f64, burst: NonZeroU32, moment: &Moment) -> Governor {
    let period = Duration::from_secs_f64(1.0 / rate).max(Duration::from_nanos(1));
    let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
    RateLimiter::direct_with_clock(quota, moment.clone())
}

impl Pacer {
    /// Starts at the base rate.
    pub fn new(pace: Pace, now: Micros) -> Self {
        let moment = Moment(Arc::new(AtomicU64::new(now)));
        let governor = governor_at(pace.base, pace.burst, &moment);
        Self {
            pace,
            rate: pace.base,
            refused: None,
            governor,
            spent: 0.0,
            moment,
            clean_since: now,
            waited: false,
        }
    }

    /// Takes a place now, or says when to ask again.
    pub fn check(&mut self, now: Micros) -> Result<(), Micros> {
        self.moment.0.store(now, Ordering::Relaxed);
        self.raise(now);
        match self.governor.check() {
            Ok(()) => {
                self.spent = self.spent.max(now as f64) + 1e6 / self.rate;
                Ok(())
            }
            Err(refusal) => {
                self.waited = true;
                let wait = refusal.wait_time_from(self.moment.now());
                Err(now + (wait.as_nanos().div_ceil(1000) as Micros).max(1))
            }
        }
    }

    /// About when there is a place.
    pub fn ready_at(&self) -> Micros {
        (self.spent - f64::from(self.pace.burst.get() - 1) * 1e6 / self.rate).max(0.0) as Micros
    }

    /// About how many places there are from `now` to `until`.
    pub fn places(&self, now: Micros, until: Micros) -> usize {
        let burst = f64::from(self.pace.burst.get() - 1);
        let taken = (self.spent - now as f64).max(0.0) / 1e6 * self.rate;
        let coming = until.saturating_sub(now) as f64 / 1e6 * self.rate;
        (burst + coming - taken + 1.0).max(0.0) as usize
    }

    /// The source refused: once per burst.
    pub fn cut(&mut self, now: Micros, factor: f64) {
        self.refused = Some(self.rate);
        self.set((self.rate / factor).max(self.pace.min), now);
    }

    /// The source is slow, or has refused again: no faster for a while.
    pub const fn hold(&mut self, now: Micros) {
        self.clean_since = now;
        self.waited = false;
    }

    /// What the source says is left, as a rate.
    pub fn follow(&mut self, rate: f64, now: Micros) {
        let rate = rate.clamp(self.pace.min, self.pace.max);
        if (rate - self.rate).abs() > self.rate / STEPS {
            self.set(rate, now);
        }
    }

    fn raise(&mut self, now: Micros) {
        if now < self.clean_since + CLEAN {
            return;
        }
        self.clean_since = now;
        if !std::mem::take(&mut self.waited) || self.rate >= self.pace.max {
            return;
        }
        let step = (self.pace.max - self.pace.min) / STEPS;
        let near = self.refused.is_some_and(|refused| self.rate + step >= refused);
        let rate = (self.rate + if near { step * CAREFUL } else { step }).min(self.pace.max);
        // Well beyond what was refused: the source has changed its mind.
        self.refused = self.refused.filter(|refused| rate < refused + step);
        self.set(rate, now);
    }

    fn set(&mut self, rate: f64, now: Micros) {
        self.hold(now);
        self.rate = rate;
        self.moment.0.store(now, Ordering::Relaxed);
        self.governor = governor_at(rate, self.pace.burst, &self.moment);
        // A new limiter would let a whole burst through at once: those places are taken.
        let _ = self.governor.check_n(self.pace.burst);
        self.spent = now as f64 + f64::from(self.pace.burst.get()) * 1e6 / rate;
    }

    /// The least time for `requests`, seconds.
    pub fn least_seconds(&self, requests: u64) -> f64 {
        requests.saturating_sub(u64::from(self.pace.burst.get())) as f64 / self.rate
    }

    /// Requests a second, as of now.
    pub const fn rate(&self) -> f64 {
        self.rate
    }
}
