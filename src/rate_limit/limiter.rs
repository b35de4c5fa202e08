//! The limiter of one process: first come first served, one sleep per waiter, nothing reserved ahead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::budget::Budget;
use super::line::{Line, Place};
use super::pace::{Pace, Pacer};
use super::stats::{Counts, Stats, window_stats};
use super::timeline::Timeline;
use super::window::{Meter, Micros, Window};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ports::{Ask, Feedback, Permit, Quota, RateLimiter, Verdict};
use crate::time_range::iso;

/// How a limiter starts and what part of the windows it uses.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Hard: none is ever exceeded.
    pub windows: Vec<Window>,
    /// Spreads requests inside them.
    pub pace: Option<Pace>,
    /// A refusal divides the rate, and what a window is thought to allow, by this.
    pub backoff_factor: f64,
    /// The part of each window that this limiter may use, above 0 and up to 1.
    pub share: f64,
    /// Instead of [`Window::spread`].
    pub spread: Option<Duration>,
    /// Nothing is known of what was sent before: count every window as full at the start.
    pub assume_full: bool,
}

impl Limits {
    /// All of `windows`, from a clean start.
    pub const fn new(windows: Vec<Window>, pace: Option<Pace>) -> Self {
        Self { windows, pace, backoff_factor: 2.0, share: 1.0, spread: None, assume_full: false }
    }

    /// `hold`: a permit may be used so much later than it was given.
    pub fn budget(&self, now: Micros, hold: impl Fn(&Window) -> Duration) -> Budget {
        let meter = |window: &Window| {
            let spread = self.spread.unwrap_or_else(|| window.spread());
            Meter::new(*window, self.share, spread + hold(window))
        };
        let mut budget = Budget::new(self.windows.iter().map(meter).collect());
        if self.assume_full {
            budget.assume_full(now);
        }
        budget
    }
}

struct State {
    budget: Budget,
    pacer: Option<Pacer>,
    line: Line,
    counts: Counts,
    /// Of the last permit.
    epoch: u64,
}

/// Hard windows and a pacer over one [`Clock`], for one process.
pub struct WindowLimiter {
    state: Mutex<State>,
    limits: Limits,
    time: Timeline,
}

/// `Invalid` for a weight that not even an empty window fits, of which `share` may be used.
pub fn check_fits(windows: &[Window], share: f64, weight: u32) -> Result<()> {
    let Some(window) = windows.iter().find(|window| window.part(share) < weight) else { return Ok(()) };
    let (most, seconds) = (window.part(share), window.period.as_secs_f64());
    Err(Error::invalid(format!("a request of weight {weight} never fits {most} in {seconds} s")))
}

/// The refusal of a wait that ends at `at`.
pub fn refusal(time: &Timeline, at: Micros) -> Error {
    let until = time.wall(at);
    Error::rate_limited(format!("the source's quota is used up until {}", iso(until)), until)
}

impl WindowLimiter {
    /// Nothing spent yet, unless `limits` say otherwise.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let time = Timeline::new(clock);
        let now = time.now();
        let state = State {
            budget: limits.budget(now, |_| Duration::ZERO),
            pacer: limits.pace.map(|pace| Pacer::new(pace, now)),
            line: Line::default(),
            counts: Counts::default(),
            epoch: 0,
        };
        Self { state: Mutex::new(state), limits, time }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit of `weight` at once, or `None`; never overtakes those who wait.
    pub fn try_acquire(&self, weight: u32) -> Result<Option<Permit>> {
        let mut state = self.state();
        check_fits(&self.limits.windows, self.limits.share, weight)?;
        if !state.line.is_empty() {
            return Ok(None);
        }
        let now = self.time.now();
        let spent = state.spend(now, weight).ok();
        Ok(spent.map(|epoch| Permit { waited: Duration::ZERO, epoch }))
    }

    /// What happened so far and how things stand.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        let now = self.time.now();
        Stats {
            counts: state.counts,
            waiting: state.line.len(),
            rate: state.pacer.as_ref().map(Pacer::rate),
            blocked_until: Some(state.budget.penalty().until())
                .filter(|until| *until > now)
                .map(|at| self.time.wall(at)),
            windows: window_stats(&state.budget, now),
        }
    }

    /// Waits in line: the first one sleeps until its time, the others until it is their turn.
    async fn wait(&self, ask: Ask) -> Result<Permit> {
        let entered = self.time.now();
        let deadline = ask.max_wait.map(|most| entered + most.as_micros() as Micros);
        let wake = Arc::new(Notify::new());
        let waiting = {
            let mut state = self.state();
            let total = state.line.ahead(ask.priority) + u64::from(ask.weight);
            let at = state.budget.backlog(entered, total).max(state.paced(entered));
            if deadline.is_some_and(|deadline| at > deadline) {
                state.counts.turned_away += 1;
                return Err(refusal(&self.time, at));
            }
            let place = state.line.join(entered, &ask, Arc::clone(&wake));
            Waiting { limiter: self, place }
        };
        let epoch = loop {
            let sleep = match self.look(waiting.place, ask.weight, deadline)? {
                Look::Go(epoch) => break epoch,
                Look::At(at) => Some(at),
                Look::Follow => deadline,
            };
            tokio::select! {
                () = wake.notified() => {}
                () = self.time.sleep_until(sleep.unwrap_or_default()), if sleep.is_some() => {}
            }
        };
        drop(waiting);
        let waited = Duration::from_micros(self.time.now() - entered);
        self.state().counts.waited += waited;
        Ok(Permit { waited, epoch })
    }

    fn look(&self, place: Place, weight: u32, deadline: Option<Micros>) -> Result<Look> {
        let mut state = self.state();
        let now = self.time.now();
        let is_late = |at: Micros| deadline.is_some_and(|deadline| at > deadline);
        if !state.line.is_first(place) {
            let at = state.budget.backlog(now, state.line.weight());
            return if is_late(now + 1) { Err(state.turn_away(&self.time, at)) } else { Ok(Look::Follow) };
        }
        let (at, hoped) = match state.spend(now, weight) {
            Ok(epoch) => return Ok(Look::Go(epoch)),
            // The answer to a probe may come at any time.
            Err(Wait::Budget(at)) => (at, state.budget.backlog(now, u64::from(weight)).max(now + 1)),
            Err(Wait::Pace(at)) => (at, at),
        };
        if is_late(hoped) {
            return Err(state.turn_away(&self.time, hoped));
        }
        Ok(Look::At(deadline.map_or(at, |deadline| at.min(deadline + 1))))
    }
}

/// What there is to wait for, and until when.
enum Wait {
    Budget(Micros),
    Pace(Micros),
}

enum Look {
    /// Permitted, in this epoch.
    Go(u64),
    /// Nothing to be had before.
    At(Micros),
    /// Somebody else is first.
    Follow,
}

impl State {
    /// Spends now and answers the epoch, or says when to ask again.
    fn spend(&mut self, now: Micros, weight: u32) -> std::result::Result<u64, Wait> {
        self.budget.check(now, weight).map_err(Wait::Budget)?;
        if let Some(pacer) = &mut self.pacer {
            pacer.check(now).map_err(Wait::Pace)?;
        }
        self.budget.spend(now, weight);
        self.counts.permits += 1;
        self.counts.weight += u64::from(weight);
        self.epoch = self.budget.epoch();
        Ok(self.epoch)
    }

    /// When those who wait will be through as far as the pace goes.
    fn paced(&self, now: Micros) -> Micros {
        let rate = self.pacer.as_ref().map_or(f64::INFINITY, Pacer::rate);
        now + (self.line.len() as f64 / rate * 1e6) as Micros
    }

    fn turn_away(&mut self, time: &Timeline, at: Micros) -> Error {
        self.counts.turned_away += 1;
        refusal(time, at)
    }
}

/// A place in the line, given back when dropped.
struct Waiting<'a> {
    limiter: &'a WindowLimiter,
    place: Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.limiter.state().line.leave(self.place);
    }
}

/// What quota headers say as a rate, where they say enough: what is left over the time until there is more.
fn rate_of(quotas: &[Quota], now: Micros, at: impl Fn(&Quota) -> Option<Micros>) -> Option<f64> {
    let rate = |quota: &Quota| {
        let seconds = at(quota)?.saturating_sub(now) as f64 / 1e6;
        // Bybit's is the present as long as there is some left.
        (seconds >= 0.5).then_some(f64::from(quota.remaining?) / seconds)
    };
    quotas.iter().filter_map(rate).min_by(f64::total_cmp)
}

#[async_trait]
impl RateLimiter for WindowLimiter {
    async fn acquire(&self, ask: Ask) -> Result<Permit> {
        match self.try_acquire(ask.weight)? {
            Some(permit) => Ok(permit),
            None => self.wait(ask).await,
        }
    }

    fn report(&self, feedback: Feedback<'_>) {
        let mut guard = self.state();
        let State { budget, pacer, line, counts, epoch: last } = &mut *guard;
        let now = self.time.now();
        let epoch = feedback.epoch.unwrap_or(*last);
        for quota in feedback.quotas {
            budget.heed(now, quota, quota.reset.map(|reset| self.time.at(reset)));
        }
        match (feedback.verdict, pacer) {
            (Verdict::Failed, _) => {
                if !budget.fail(epoch) {
                    return;
                }
            }
            (Verdict::Answered { is_slow }, pacer) => {
                counts.answered += 1;
                let is_released = budget.answer(now, feedback.weight, epoch);
                if let Some(pacer) = pacer {
                    if is_slow {
                        pacer.hold(now);
                    }
                    // Without windows there is nothing that headers could correct but the rate.
                    let at = |quota: &Quota| quota.reset.map(|reset| self.time.at(reset));
                    if budget.meters().is_empty()
                        && let Some(rate) = rate_of(feedback.quotas, now, at)
                    {
                        pacer.follow(rate, now);
                    }
                }
                if !is_released && feedback.quotas.is_empty() {
                    return;
                }
            }
            (Verdict::Refused { until }, pacer) => {
                counts.refused += 1;
                let until = until.map(|until| self.time.at(until));
                let factor = self.limits.backoff_factor;
                let is_first = budget.refuse(now, feedback.weight, epoch, until, factor);
                match pacer {
                    Some(pacer) if is_first => pacer.cut(now, factor),
                    Some(pacer) => pacer.hold(now),
                    None => {}
                }
            }
        }
        line.wake();
    }

    async fn least_duration(&self, requests: u64, weight: u64) -> Duration {
        let state = self.state();
        let now = self.time.now();
        let windows = Duration::from_micros(state.budget.backlog(now, weight) - now);
        least_duration(&state.budget, state.pacer.as_ref(), windows, requests, weight)
    }
}

/// The least time for `requests` that weigh `weight` together, of which the windows take `windows`.
pub fn least_duration(
    budget: &Budget,
    pacer: Option<&Pacer>,
    windows: Duration,
    requests: u64,
    weight: u64,
) -> Duration {
    if requests == 0 {
        return Duration::ZERO;
    }
    let spread = |requests| Duration::from_secs_f64(pacer.map_or(0.0, |pacer| pacer.least_seconds(requests)));
    // The last round of the windows is paced too.
    let last = budget.last_round(weight) * requests / weight.max(1);
    (windows + spread(last)).max(spread(requests))
}

#[cfg(test)]
mod tests;
