//! What all workers of one scope (an API key, an egress address) share: the budget, who waits for it, who takes part.
//! One pure value with a few rules; where it is kept is the matter of a [`super::Cell`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ports::{Priority, Quota};
use crate::rate_limit::{Budget, Meter, Micros, Window, rank};

/// What this version writes and reads.
const FORMAT: u32 = 1;
/// Somebody who was told to come back at a time keeps the right to go first for so long after it.
pub(super) const GRACE: Micros = 2_000_000;
/// Workers that wait for the answer to a probe look again about so soon.
const PROBING: Micros = 1_000_000;
/// Others are first and should be here any moment.
const TURN: Micros = 50_000;
/// Those who may go at the same moment come one after the other.
const STAGGER: Micros = 1000;
/// However long the wait: things may have changed.
const LOOK: Micros = 10_000_000;
/// Nobody is told to come back later than so much after a call.
pub(super) const LATEST: Micros = 2 * LOOK;
/// A clock that is this far behind was set back.
const SET_BACK: Micros = 5_000_000;
/// Divides evenly among up to sixteen.
const WHOLE: u32 = 720_720;
/// How long a worker may go on with its own share, once that is safe.
const OWN_SHARE: Micros = 120_000_000;

/// A permit may be used so much later than it was given: what a call to the scope's place may take.
pub fn hold(window: &Window) -> Duration {
    (window.period / 10).clamp(Duration::from_millis(100), Duration::from_millis(500))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiter {
    worker: u64,
    rank: Micros,
    weight: u64,
    /// When it was told to come back.
    comes: Micros,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Worker {
    id: u64,
    seen: Micros,
    /// What it may spend of every window should it be cut off, of a [`WHOLE`].
    part: u32,
    /// It may have spent some of that which it has not told yet.
    is_alone: bool,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    format: u32,
    /// When it was last changed, by the clock of its place.
    at: Micros,
    budget: Budget,
    waiting: Vec<Waiter>,
    workers: Vec<Worker>,
}

/// What a worker asks for.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// Of its first request.
    pub priority: Priority,
    /// Its place in the order, as answered before.
    pub rank: Option<Micros>,
    /// What its requests weigh, first come first.
    pub weights: Vec<u32>,
    /// It would not wait longer.
    pub patience: Option<Duration>,
    /// Who asks, and what it has to tell.
    pub news: News,
}

/// What a worker has to tell.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// Who tells.
    pub worker: u64,
    /// What it spent of its own part while the place was away.
    pub spent_alone: u32,
    /// It may have spent more of it since: its part is left alone until it says otherwise.
    pub is_alone: bool,
    /// The last answer: epoch and weight.
    pub answered: Option<(u64, u32)>,
    /// The epoch of a probe that failed.
    pub failed: Option<u64>,
    /// Refusals: epoch, weight, and for how long from now.
    pub refused: Vec<(u64, u32, Option<Duration>)>,
    /// Headers, with the time until their reset.
    pub quotas: Vec<(Quota, Option<Duration>)>,
    /// A refusal divides what a window is thought to allow by this.
    pub factor: f64,
}

/// What a worker gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    /// To be spent at once.
    pub weight: u32,
    /// Goes back with what the source answers.
    pub epoch: u64,
    /// How long the rest of the demand has to wait, as things stand.
    pub wait: Duration,
    /// When to ask again for it; zero where there is no rest.
    pub again: Duration,
    /// The place of the rest in the order.
    pub rank: Micros,
}

impl Scope {
    /// Nothing spent yet.
    pub fn new(budget: Budget) -> Self {
        Self { format: FORMAT, at: 0, budget, waiting: Vec::new(), workers: Vec::new() }
    }

    /// As stored. `Invalid` where a newer version wrote it, `Data` where it cannot be read.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged =
            |error: serde_json::Error| Error::data(format!("the quota's state is damaged: {error}"));
        let Format { format } = serde_json::from_str(text).map_err(damaged)?;
        if format > FORMAT {
            return Err(Error::invalid(format!(
                "the quota's state has format {format}, this version reads {FORMAT}"
            ))
            .with_hint("upgrade quant-framework")
            .fatal());
        }
        serde_json::from_str(text).map_err(damaged)
    }

    /// To be stored.
    pub fn text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::internal(format!("cannot write a quota's state: {error}")))
    }

    /// The shared budget.
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Lets `worker` in, whose windows (shares and slack too) make `fresh` budgets. `Conflict` while others have other
    /// ones: all would overshoot. Nobody else there, its windows are taken over with what was spent in equal ones.
    pub fn admit(&mut self, now: Micros, worker: u64, fresh: &Budget) -> Result<()> {
        if self.budget.has_windows_of(fresh) {
            return Ok(());
        }
        let now = self.arrive(now);
        let term = self.term();
        if self.workers.iter().any(|other| other.id != worker && other.seen + term > now) {
            let (held, asked) = (self.budget.describe(), fresh.describe());
            return Err(Error::conflict(format!(
                "the scope's windows are {held} for others and {asked} here"
            ))
            .with_hint("give every worker the same windows, share and slack, or take another scope")
            .fatal());
        }
        let mut budget = fresh.clone();
        budget.assume_full(now);
        budget.inherit(&self.budget);
        *self = Self { at: now, ..Self::new(budget) };
        Ok(())
    }

    /// Nothing is known of what was spent before.
    pub fn forget(&mut self, now: Micros) {
        self.budget.restart(now);
    }

    /// How long others must be silent before one's own share is free: everything they were permitted is past.
    pub fn quarantine(&self) -> Micros {
        self.budget.meters().iter().map(Meter::memory).max().unwrap_or_default()
    }

    /// How long after its last contact a worker may spend its own share at most.
    pub fn term(&self) -> Micros {
        2 * self.quarantine() + OWN_SHARE
    }

    /// The moment, by a clock that never goes back. One that was set back makes the past unknown.
    fn arrive(&mut self, now: Micros) -> Micros {
        if now + SET_BACK < self.at {
            self.waiting.clear();
            self.workers.clear();
            self.budget.restart(now);
            self.at = now;
        }
        self.at = self.at.max(now);
        self.at
    }

    /// Takes in what a worker has learnt, and gives it what is free.
    pub fn lease(&mut self, now: Micros, demand: &Demand) -> Lease {
        let (now, me) = (self.arrive(now), demand.news.worker);
        self.meet(now, me, demand.news.is_alone);
        self.learn(now, &demand.news);
        let mine = demand.rank.unwrap_or_else(|| rank(now, demand.priority));
        self.waiting.retain(|waiter| waiter.worker != me && waiter.comes + GRACE >= now);
        let reserved = self.reserved(now, me);
        // Whoever sleeps for a while yet does not hold up what is free now.
        let due = |waiter: &&Waiter| waiter.comes <= now + GRACE;
        let ahead = self.ahead_of(mine, me).filter(due).map(|waiter| waiter.weight).sum::<u64>();
        let (count, weight) = self.fitting(now, ahead + reserved, &demand.weights);
        if weight > 0 {
            self.budget.spend(now, weight);
        }
        let mut lease = Lease { weight, epoch: self.budget.epoch(), ..Lease::default() };
        if let Some(next) = demand.weights.get(count) {
            lease.rank = if count == 0 { mine } else { rank(now, demand.priority) };
            let (place, ahead) = self
                .ahead_of(lease.rank, me)
                .fold((0, reserved), |(place, ahead), waiter| (place + 1, ahead + waiter.weight));
            let at = self.budget.backlog(now, ahead + u64::from(*next));
            let comes = self.come_back(now, at + place * STAGGER, *next, me);
            lease.wait = Duration::from_micros(at.saturating_sub(now));
            lease.again = Duration::from_micros(comes - now);
            if demand.patience.is_none_or(|patience| lease.wait <= patience) {
                // No more than it can be given at once: what is left then waits anew.
                let weight = demand.weights[count..].iter().map(|weight| u64::from(*weight)).sum();
                let most = self.budget.meters().iter().map(|meter| u64::from(meter.learned.limit())).min();
                let weight = most.map_or(weight, |most| most.min(weight));
                self.waiting.push(Waiter { worker: me, rank: lease.rank, weight, comes });
            }
        }
        lease
    }

    /// Who goes before a worker of `rank`.
    fn ahead_of(&self, rank: Micros, worker: u64) -> impl Iterator<Item = &Waiter> {
        self.waiting.iter().filter(move |waiter| (waiter.rank, waiter.worker) < (rank, worker))
    }

    /// What `worker` may spend of every window should it be cut off, as a share of 1.
    pub fn part_of(&self, worker: u64) -> f64 {
        let part = self.workers.iter().find(|held| held.id == worker).map_or(0, |held| held.part);
        f64::from(part) / f64::from(WHOLE)
    }

    /// How many take part.
    pub const fn crowd(&self) -> usize {
        self.workers.len()
    }

    /// How many workers wait, and how many take part or did so a moment ago.
    pub fn busy(&self, now: Micros) -> (usize, usize) {
        let waiting = self.waiting.iter().filter(|waiter| waiter.comes + GRACE >= now).count();
        let recent = now.saturating_sub(self.quarantine());
        (waiting, self.workers.iter().filter(|worker| worker.seen >= recent).count())
    }

    /// How many of `weights` may be spent now after `ahead`, and what they weigh.
    fn fitting(&mut self, now: Micros, ahead: u64, weights: &[u32]) -> (usize, u32) {
        let (mut count, mut sum) = (0, 0);
        for weight in weights {
            let total = ahead + u64::from(sum + weight);
            let fits = match u32::try_from(total) {
                Ok(total) if ahead == 0 && count == 0 => self.budget.check(now, total).is_ok(),
                Ok(total) => self.budget.fits(now, total),
                Err(_) => false,
            };
            if !fits {
                break;
            }
            (count, sum) = (count + 1, sum + weight);
            // Others wait for the answer to this one.
            if self.budget.penalty().is_probing() {
                break;
            }
        }
        (count, sum)
    }

    /// When a worker that gets nothing should ask again, where `at` is when it may hope for something.
    fn come_back(&mut self, now: Micros, at: Micros, weight: u32, worker: u64) -> Micros {
        let _ = self.budget.check(now, weight);
        // Spread, so that they do not all come at once.
        let soon = |pause: Micros| now + pause + worker % pause;
        if self.budget.penalty().is_awaited(now) {
            return soon(PROBING);
        }
        if at <= now { soon(TURN) } else { at.min(soon(LOOK)) }
    }

    /// Notes who is there. Those that are gone for good are forgotten.
    fn meet(&mut self, now: Micros, id: u64, is_alone: bool) {
        let gone = self.term() + self.quarantine();
        let held = self.workers.iter().find(|worker| worker.id == id).map_or(0, |worker| worker.part);
        self.workers.retain(|worker| worker.id != id && worker.seen + gone > now);
        // All parts together are never more than a whole. Half of it is for those who come while it is cut off.
        let others = self.workers.iter().map(|worker| worker.part).sum::<u32>();
        let even = WHOLE / (self.workers.len() as u32 + 1).max(2);
        let part = if is_alone { held } else { even.min(WHOLE.saturating_sub(others)) };
        self.workers.push(Worker { id, seen: now, part, is_alone });
    }

    /// The parts of those who may be using them alone: silent for long, and not because they were told to wait; or back
    /// since a moment ago.
    fn reserved(&self, now: Micros, me: u64) -> u64 {
        let quarantine = self.quarantine();
        let expected = |id: u64| self.waiting.iter().any(|waiter| waiter.worker == id);
        let silent = |worker: &Worker| worker.seen + quarantine < now && !expected(worker.id);
        let alone =
            self.workers.iter().filter(|worker| worker.id != me && (worker.is_alone || silent(worker)));
        let most = self.budget.meters().iter().map(|meter| meter.learned.most()).max().unwrap_or_default();
        alone.map(|worker| u64::from(most) * u64::from(worker.part) / u64::from(WHOLE)).sum()
    }

    fn learn(&mut self, now: Micros, news: &News) {
        if news.spent_alone > 0 {
            self.budget.spend(now, news.spent_alone);
        }
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == news.worker) {
            worker.is_alone = news.is_alone;
        }
        let after = |pause: Duration| now + pause.as_micros() as Micros;
        for (quota, reset) in &news.quotas {
            self.budget.heed(now, quota, reset.map(after));
        }
        for (epoch, weight, pause) in &news.refused {
            self.budget.refuse(now, *weight, *epoch, pause.map(after), news.factor);
        }
        if let Some(epoch) = news.failed {
            self.budget.fail(epoch);
        }
        if let Some((epoch, weight)) = news.answered {
            self.budget.answer(now, weight, epoch);
        }
    }

    /// What a worker has learnt, without a demand.
    pub fn hear(&mut self, now: Micros, news: &News) {
        let now = self.arrive(now);
        self.learn(now, news);
    }

    /// When the last of `weight` could be spent after all who wait, from now on.
    pub fn backlog(&self, now: Micros, weight: u64) -> Duration {
        let waiting = self.waiting.iter().map(|waiter| waiter.weight).sum::<u64>();
        Duration::from_micros(self.budget.backlog(now, waiting + weight).saturating_sub(now))
    }

    /// A worker ends: its place and its share are free.
    pub fn leave(&mut self, now: Micros, news: &News) {
        self.hear(now, news);
        self.waiting.retain(|waiter| waiter.worker != news.worker);
        self.workers.retain(|held| held.id != news.worker);
    }
}

#[cfg(test)]
mod tests;
