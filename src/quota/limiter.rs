//! The limiter of one worker among many.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::cell::Cell;
use super::scope::{Scope, hold};
use super::worker::{HEADERS, Shared, State};
use crate::clock::Clock;
use crate::error::Result;
use crate::per_process::PerProcess;
use crate::ports::{Ask, Feedback, Permit, RateLimiter, Verdict};
use crate::rate_limit::{Limits, Micros, Pacer, Stats, Timeline, check_fits, least_duration, window_stats};

/// The end of a run does not wait longer to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// See the module.
pub struct SharedLimiter(Arc<Shared>);

impl SharedLimiter {
    /// A worker of the scope in `cell`. Every worker of a scope must have the same windows; `limits.assume_full` is
    /// the matter of the cell.
    pub fn new(limits: Limits, cell: Box<dyn Cell>, clock: Arc<dyn Clock>) -> Self {
        let time = Timeline::new(Arc::clone(&clock));
        let now = time.now();
        let shortest = limits.windows.iter().map(hold).min().unwrap_or_default().as_micros() as Micros;
        let mut state = State::new(limits.pace.map(|pace| Pacer::new(pace, now)), limits.backoff_factor);
        state.windows = window_stats(&limits.budget(now, hold), now);
        let shared = Shared {
            cell,
            limits,
            hold: shortest,
            worker: PerProcess::default(),
            time,
            clock,
            state: Mutex::new(state),
        };
        Self(Arc::new(shared))
    }

    /// A permit of `weight` from the block that is held, or `None`; never overtakes those who wait.
    pub fn try_acquire(&self, weight: u32) -> Result<Option<Permit>> {
        check_fits(&self.0.limits.windows, self.0.limits.share, weight)?;
        let mut state = self.0.state();
        let now = self.0.time.now();
        if !state.line.is_empty() {
            return Ok(None);
        }
        let taken = state.take(now, weight).and_then(std::result::Result::ok);
        Ok(taken.map(|epoch| state.permit(weight, epoch, Duration::ZERO)))
    }

    /// What happened here so far, and how the scope stood when it was last asked.
    pub fn stats(&self) -> Stats {
        let state = self.0.state();
        let now = self.0.time.now();
        Stats {
            counts: state.counts,
            waiting: state.line.len(),
            rate: state.pacer.as_ref().map(Pacer::rate),
            blocked_until: state.blocked_until.filter(|at| *at > now).map(|at| self.0.time.wall(at)),
            windows: state.windows.clone(),
        }
    }
}

#[async_trait]
impl RateLimiter for SharedLimiter {
    async fn acquire(&self, ask: Ask) -> Result<Permit> {
        if let Some(permit) = self.try_acquire(ask.weight)? {
            return Ok(permit);
        }
        self.0.wait(&ask).await
    }

    fn report(&self, feedback: Feedback<'_>) {
        let mut state = self.0.state();
        let now = self.0.time.now();
        let epoch = feedback.epoch.unwrap_or(state.epoch);
        let after = |wall| Duration::from_micros(self.0.time.at(wall).saturating_sub(now));
        if !feedback.quotas.is_empty() {
            state.heard = now;
            state.news.quotas =
                feedback.quotas.iter().map(|quota| (*quota, quota.reset.map(after))).collect();
        }
        match feedback.verdict {
            Verdict::Failed => {
                if !std::mem::take(&mut state.is_probe) {
                    return;
                }
                state.news.failed = Some(epoch);
            }
            Verdict::Answered { is_slow } => {
                state.counts.answered += 1;
                state.news.answered = Some((epoch, feedback.weight));
                if let Some(pacer) = state.pacer.as_mut().filter(|_| is_slow) {
                    pacer.hold(now);
                }
                // Others wait for this answer, or should know what the headers say.
                let is_due = !feedback.quotas.is_empty() && now > state.told + HEADERS;
                if !std::mem::take(&mut state.is_probe) && !is_due {
                    return;
                }
                state.told = now;
            }
            Verdict::Refused { until } => {
                state.counts.refused += 1;
                let is_first = state.refused.replace(epoch) != Some(epoch);
                state.news.refused.push((epoch, feedback.weight, until.map(after)));
                (state.block.left, state.again) = (0, 0);
                // Until the scope says more. Without an end: a window.
                let end = until.map_or(now + self.0.longest(), |until| self.0.time.at(until));
                state.blocked_until = state.blocked_until.max(Some(end));
                if let Some(pacer) = &mut state.pacer {
                    if is_first { pacer.cut(now, self.0.limits.backoff_factor) } else { pacer.hold(now) }
                }
                state.line.wake();
            }
        }
        drop(state);
        // Without a runtime it is told with the next request.
        if let Ok(runtime) = Handle::try_current() {
            let shared = Arc::clone(&self.0);
            runtime.spawn(async move { shared.tell().await });
        }
    }

    async fn least_duration(&self, requests: u64, weight: u64) -> Duration {
        let (mut seen, now) = (None, self.0.time.now());
        let mut look = |scope: &mut Scope, at: Micros| {
            seen = Some((scope.clone(), at));
            Ok(())
        };
        // Where the place is away: from an empty budget.
        let looked = self.0.cell.update(&mut look).await;
        let (scope, at) = seen
            .filter(|_| looked.is_ok())
            .unwrap_or_else(|| (Scope::new(self.0.limits.budget(now, hold)), now));
        let windows = scope.backlog(at, weight);
        let state = self.0.state();
        least_duration(scope.budget(), state.pacer.as_ref(), windows, requests, weight)
    }

    async fn close(&self) {
        let worker = self.0.worker();
        let news = {
            let mut state = self.0.state();
            // A call that is under way would enlist this worker again.
            state.has_left = state.line.is_empty();
            if state.has_left && state.alone.is_none() {
                // Nobody leaves the part alone of a worker that has said goodbye.
                state.contact = None;
            }
            state.take_news(self.0.time.now(), worker)
        };
        let mut leave = |scope: &mut Scope, at: Micros| {
            scope.leave(at, &news);
            Ok(())
        };
        tokio::select! {
            done = self.0.cell.update(&mut leave) => if let Err(error) = done {
                tracing::warn!("cannot tell other workers that this one ends: {error}");
            },
            () = self.0.clock.sleep(GOODBYE) => {}
        }
    }
}
