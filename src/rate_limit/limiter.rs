//! The limiter of one process: first come first served, one waiter at the head, nothing reserved ahead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::pace::{Pace, Pacer};
use super::window::{SlidingLog, Window};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ports::{Feedback, RateLimiter};
use crate::time_range::{Millis, iso};

/// Servers count arrivals, not departures: every window is this much longer here.
const SLACK: Duration = Duration::from_millis(250);
/// A refusal that does not say for how long.
const UNKNOWN_PENALTY: Duration = Duration::from_secs(60);

struct State {
    log: SlidingLog,
    pacer: Option<Pacer>,
    /// Nothing is sent before.
    penalty_until: Duration,
    /// Tickets and weights of everybody who waits, first come first.
    queue: VecDeque<(u64, u32)>,
    next_ticket: u64,
}

/// Hard windows and a pacer over one [`Clock`]. The log starts empty: one process, one limiter.
pub struct WindowLimiter {
    state: Mutex<State>,
    /// Held by the waiter at the head; tokio's mutex is fair.
    turn: tokio::sync::Mutex<()>,
    windows: Vec<Window>,
    clock: Arc<dyn Clock>,
}

impl WindowLimiter {
    /// `windows` are hard; `pace` spreads requests inside them.
    pub fn new(windows: Vec<Window>, pace: Option<Pace>, clock: Arc<dyn Clock>) -> Self {
        let stretched =
            windows.iter().map(|window| Window { period: window.period + SLACK, ..*window }).collect();
        let pacer = pace.map(|pace| Pacer::new(pace, Arc::clone(&clock)));
        let state = State {
            log: SlidingLog::new(stretched),
            pacer,
            penalty_until: Duration::ZERO,
            queue: VecDeque::new(),
            next_ticket: 0,
        };
        Self { state: Mutex::new(state), turn: tokio::sync::Mutex::default(), windows, clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the queue; when everybody ahead and this one could go, at best.
    fn enqueue(&self, weight: u32) -> (Place<'_>, Duration) {
        let mut state = self.state();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back((ticket, weight));
        let mut log = state.log.clone();
        let mut at = self.clock.monotonic().max(state.penalty_until);
        for (_, weight) in &state.queue {
            at = log.earliest(at, *weight);
            log.spend(at, *weight);
        }
        (Place { limiter: self, ticket }, at)
    }

    /// Spends at once, or says how long to wait before asking again and whether that is the windows' doing.
    fn spend(&self, weight: u32) -> std::result::Result<(), Duration> {
        let mut state = self.state();
        let now = self.clock.monotonic();
        let at = state.log.earliest(now, weight).max(state.penalty_until);
        if at > now {
            return Err(at.saturating_sub(now));
        }
        if let Some(pacer) = &mut state.pacer {
            pacer.check()?;
        }
        state.log.spend(now, weight);
        Ok(())
    }

    fn refuse(&self, wait: Duration) -> Error {
        let until = self.clock.now() + wait.as_millis() as Millis;
        Error::rate_limited(format!("the source's quota is used up until {}", iso(until)), until)
    }
}

/// A place in the queue, given back when dropped.
struct Place<'a> {
    limiter: &'a WindowLimiter,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limiter.state().queue.retain(|(ticket, _)| *ticket != self.ticket);
    }
}

#[async_trait]
impl RateLimiter for WindowLimiter {
    async fn acquire(&self, weight: u32, max_wait: Option<Duration>) -> Result<Duration> {
        if let Some(window) = self.windows.iter().find(|window| window.weight < weight) {
            let (most, seconds) = (window.weight, window.period.as_secs_f64());
            return Err(Error::invalid(format!(
                "a request of weight {weight} never fits {most} in {seconds} s"
            )));
        }
        let entered = self.clock.monotonic();
        let too_long = |wait: Duration| max_wait.is_some_and(|most| wait > most);
        let (_place, at) = self.enqueue(weight);
        if too_long(at.saturating_sub(entered)) {
            return Err(self.refuse(at.saturating_sub(entered)));
        }
        let _turn = self.turn.lock().await;
        while let Err(wait) = self.spend(weight) {
            let passed = self.clock.monotonic().saturating_sub(entered);
            if too_long(passed + wait) {
                return Err(self.refuse(wait));
            }
            self.clock.sleep(wait).await;
        }
        Ok(self.clock.monotonic().saturating_sub(entered))
    }

    fn report(&self, feedback: Feedback) {
        let Feedback::Throttled { until } = feedback else { return };
        let left = |until: Millis| Duration::from_millis((until - self.clock.now()).max(0).unsigned_abs());
        let penalty = self.clock.monotonic() + until.map_or(UNKNOWN_PENALTY, left);
        let mut state = self.state();
        state.penalty_until = state.penalty_until.max(penalty);
        if let Some(pacer) = &mut state.pacer {
            pacer.cut();
        }
    }

    fn least_duration(&self, weight: u64) -> Duration {
        let paced = self.state().pacer.as_ref().map_or(0.0, |pacer| pacer.least_seconds(weight));
        SlidingLog::new(self.windows.clone()).least_duration(weight).max(Duration::from_secs_f64(paced))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock::ManualClock;
    use crate::error::Kind;

    const COINALYZE: Window = Window { weight: 40, period: Duration::from_secs(60) };

    fn limiter(pace: Option<Pace>) -> (Arc<WindowLimiter>, ManualClock) {
        let clock = ManualClock::new(1_700_000_000_000);
        (Arc::new(WindowLimiter::new(vec![COINALYZE], pace, Arc::new(clock.clone()))), clock)
    }

    #[tokio::test]
    async fn four_windows_take_three_periods_and_never_overshoot() {
        let (limiter, clock) = limiter(None);
        let mut sent = Vec::new();
        for _ in 0..160 {
            limiter.acquire(1, None).await.unwrap();
            sent.push(clock.monotonic());
        }
        for (last, at) in sent.iter().enumerate() {
            let inside = sent[..=last].iter().filter(|then| **then + COINALYZE.period > *at).count();
            assert!(inside <= 40, "{inside} within a minute");
        }
        let took = sent[159].as_secs_f64();
        assert!((180.0..181.0).contains(&took), "{took}");
    }

    #[tokio::test]
    async fn a_wait_beyond_the_threshold_is_a_value_with_a_time_in_it() {
        let (limiter, clock) = limiter(None);
        limiter.acquire(40, None).await.unwrap();
        let refused = limiter.acquire(1, Some(Duration::from_secs(10))).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::RateLimited);
        assert_eq!(refused.until(), Some(clock.now() + 60_250));
        assert!(limiter.acquire(1, Some(Duration::from_secs(61))).await.is_ok());
        assert_eq!(limiter.acquire(41, None).await.unwrap_err().kind(), Kind::Invalid);
    }

    #[tokio::test]
    async fn a_refusal_of_the_source_stops_everybody_until_its_end() {
        let (limiter, clock) = limiter(None);
        limiter.report(Feedback::Throttled { until: Some(clock.now() + 900_000) });
        let waited = limiter.acquire(1, None).await.unwrap();
        assert_eq!(waited, Duration::from_secs(900), "never clamped");
        limiter.report(Feedback::Throttled { until: None });
        assert_eq!(limiter.acquire(1, None).await.unwrap(), UNKNOWN_PENALTY);
    }

    #[tokio::test]
    async fn a_dropped_waiter_gives_its_place_back() {
        let (limiter, _) = limiter(None);
        let held = limiter.turn.lock().await;
        {
            let waiting = limiter.acquire(40, None);
            tokio::pin!(waiting);
            assert!(futures::poll!(&mut waiting).is_pending());
            assert_eq!(limiter.state().queue.len(), 1);
        }
        assert!(limiter.state().queue.is_empty());
        drop(held);
        assert_eq!(
            limiter.acquire(40, Some(Duration::ZERO)).await.unwrap(),
            Duration::ZERO,
            "nothing was spent"
        );
    }

    #[tokio::test]
    async fn a_burst_goes_at_once_the_rest_at_the_rate_and_a_refusal_empties_the_bucket() {
        let clock = ManualClock::new(0);
        let burst = NonZeroU32::new(20).unwrap();
        let pace = Pace { base: 10.0, max: 10.0, min: 10.0, backoff_factor: 2.0, burst };
        let limiter = WindowLimiter::new(Vec::new(), Some(pace), Arc::new(clock.clone()));
        for _ in 0..20 {
            assert_eq!(limiter.acquire(1, None).await.unwrap(), Duration::ZERO);
        }
        for _ in 0..30 {
            limiter.acquire(1, None).await.unwrap();
        }
        assert!((2.99..3.01).contains(&clock.monotonic().as_secs_f64()), "{:?}", clock.monotonic());
        assert_eq!(limiter.least_duration(50), Duration::from_secs(3));
        clock.sleep(Duration::from_secs(10)).await;
        limiter.report(Feedback::Throttled { until: Some(clock.now()) });
        assert!(limiter.acquire(1, None).await.unwrap() > Duration::from_millis(90));
    }

    #[tokio::test]
    async fn one_burst_of_refusals_cuts_the_rate_once_and_waiting_raises_it_again() {
        let clock = ManualClock::new(0);
        let pace = Pace { base: 10.0, max: 50.0, min: 1.0, backoff_factor: 2.0, burst: NonZeroU32::MIN };
        let limiter = WindowLimiter::new(Vec::new(), Some(pace), Arc::new(clock.clone()));
        let rate = || limiter.state().pacer.as_ref().unwrap().rate();
        limiter.acquire(1, None).await.unwrap();
        for _ in 0..8 {
            limiter.report(Feedback::Throttled { until: Some(clock.now() + 1000) });
        }
        assert!((rate() - 5.0).abs() < 1e-9, "{}", rate());
        for _ in 0..4000 {
            limiter.acquire(1, None).await.unwrap();
        }
        assert!((rate() - 50.0).abs() < 1e-9, "{}", rate());
    }
}
