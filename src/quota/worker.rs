//! What one worker does for the requests that wait in it: the first in line asks the scope for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::alone::{Alone, Contact};
use super::cell::Cell;
use super::scope::{Demand, Lease, News, Scope, hold};
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::per_process::PerProcess;
use crate::ports::{Ask, Permit, Priority};
use crate::rate_limit::{
    Counts, Limits, Line, Micros, Pacer, Place, Timeline, WindowStats, refusal, window_stats,
};
use crate::unique::unique;

/// Requests that one call asks for at most.
const BATCH: usize = 64;
/// Permits that were too old when they arrived, in a row, before the place counts as too slow.
const STALE: u32 = 5;
/// What headers said is told so often at most, and not later than that.
pub(super) const HEADERS: Micros = 1_000_000;
/// How soon a place that was away is asked again.
const AGAIN: Micros = 1_000_000;
/// A place that takes longer to answer is away.
const PATIENCE: Micros = 1_000_000;

/// What is held of the scope's budget, to be spent soon.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Block {
    pub(super) left: u32,
    pub(super) until: Micros,
    pub(super) epoch: u64,
}

pub(super) struct State {
    pub(super) line: Line,
    pub(super) block: Block,
    pub(super) pacer: Option<Pacer>,
    pub(super) counts: Counts,
    pub(super) news: News,
    /// See [`Limits::backoff_factor`].
    factor: f64,
    /// Nothing is to be had before, as things stood.
    pub(super) comes: Micros,
    /// When to ask the scope again.
    pub(super) again: Micros,
    pub(super) rank: Option<Micros>,
    pub(super) contact: Option<Contact>,
    pub(super) alone: Option<Alone>,
    /// How the scope stood when it was last asked.
    pub(super) windows: Vec<WindowStats>,
    pub(super) blocked_until: Option<Micros>,
    /// Permits in a row that were too old when they came.
    pub(super) stale: u32,
    /// Since when a call is under way.
    pub(super) calling: Option<Micros>,
    /// Why a call failed, for the first one in line.
    pub(super) failure: Option<Error>,
    /// Spent alone, and not told yet.
    pub(super) owed: u32,
    pub(super) process: u32,
    /// When `news.quotas` were said, and when some were told last.
    pub(super) heard: Micros,
    pub(super) told: Micros,
    /// Of the last permit, and of the last that was refused.
    pub(super) epoch: u64,
    pub(super) refused: Option<u64>,
    /// What was permitted last goes first after a refusal.
    pub(super) is_probe: bool,
    /// Nobody waits here, and the scope was told so.
    pub(super) has_left: bool,
}

pub(super) struct Shared {
    pub(super) cell: Box<dyn Cell>,
    pub(super) limits: Limits,
    pub(super) hold: Micros,
    /// A forked child is another worker.
    pub(super) worker: PerProcess<u64>,
    pub(super) time: Timeline,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Mutex<State>,
}

enum Look {
    Go(Permit),
    /// Nothing to be had before.
    At(Micros),
    /// Somebody else is first.
    Follow,
    /// Ask the scope.
    Call,
}

/// What a call saw of the scope.
struct Seen {
    contact: Contact,
    is_probing: bool,
    windows: Vec<WindowStats>,
    /// How long the source refuses from now on.
    blocked: Micros,
}

impl Seen {
    fn of(scope: &Scope, worker: u64, at: Micros) -> Self {
        let (part, budget) = (scope.part_of(worker), scope.budget());
        let contact =
            Contact { at: 0, done: 0, comes: 0, part, quarantine: scope.quarantine(), term: scope.term() };
        let blocked = budget.penalty().until().saturating_sub(at);
        Self {
            contact,
            is_probing: budget.penalty().is_probing(),
            windows: window_stats(budget, at),
            blocked,
        }
    }
}

/// Somebody in line.
struct Wish {
    place: Place,
    weight: u32,
    entered: Micros,
    deadline: Option<Micros>,
    has_asked: bool,
}

impl State {
    pub(super) fn new(pacer: Option<Pacer>, factor: f64) -> Self {
        Self {
            line: Line::default(),
            block: Block::default(),
            pacer,
            counts: Counts::default(),
            news: News::default(),
            factor,
            comes: 0,
            again: 0,
            rank: None,
            contact: None,
            alone: None,
            windows: Vec::new(),
            blocked_until: None,
            stale: 0,
            calling: None,
            failure: None,
            owed: 0,
            process: std::process::id(),
            heard: 0,
            told: 0,
            epoch: 0,
            refused: None,
            is_probe: false,
            has_left: false,
        }
    }

    pub(super) fn permit(&mut self, weight: u32, epoch: u64, waited: Duration) -> Permit {
        self.counts.permits += 1;
        self.counts.weight += u64::from(weight);
        self.counts.waited += waited;
        self.epoch = epoch;
        Permit { waited, epoch }
    }

    /// From the block that is held, or when the pacer allows it; `None` where there is not enough.
    pub(super) fn take(&mut self, now: Micros, weight: u32) -> Option<std::result::Result<u64, Micros>> {
        if self.block.left < weight || now >= self.block.until {
            return None;
        }
        if let Some(Err(at)) = self.pacer.as_mut().map(|pacer| pacer.check(now)) {
            return Some(Err(at));
        }
        self.block.left -= weight;
        Some(Ok(self.block.epoch))
    }

    /// What to ask the scope for: what waits, as far as the pacer lets it go before the permits are too old.
    fn demand(
        &mut self,
        now: Micros,
        priority: Priority,
        worker: u64,
        hold: Micros,
        deadline: Option<Micros>,
    ) -> Demand {
        let paced = |pacer: &Pacer| pacer.places(now, now + hold * 3 / 4).clamp(1, BATCH);
        let count = self.pacer.as_ref().map_or(BATCH, paced);
        Demand {
            priority,
            rank: self.rank,
            weights: self.line.weights(count),
            patience: deadline.map(|deadline| Duration::from_micros(deadline.saturating_sub(now))),
            news: self.take_news(now, worker),
        }
    }

    /// What the scope has answered to `demand` at `decided`; its permits hold until then.
    fn heed(&mut self, demand: &Demand, lease: Lease, decided: Micros, until: Micros) {
        // What was spent alone while the scope was asked comes out of what it gives.
        self.owed = self.owed.saturating_sub(demand.news.spent_alone);
        let paid = self.owed.min(lease.weight);
        self.owed -= paid;
        self.block = Block { left: lease.weight - paid, until, epoch: lease.epoch };
        let waits = !lease.again.is_zero();
        let after = |pause: Duration| if waits { decided + pause.as_micros() as Micros } else { 0 };
        (self.comes, self.again) = (after(lease.wait), after(lease.again));
        self.rank = waits.then_some(lease.rank);
    }

    /// How the scope stood at `decided`; the contact was not before `contact`.
    fn see(&mut self, seen: Seen, contact: Micros, decided: Micros) {
        let (done, comes) = (decided.max(contact), self.again);
        self.contact = Some(Contact { at: contact, done, comes, ..seen.contact });
        self.alone = None;
        self.is_probe = seen.is_probing && self.block.left > 0;
        self.windows = seen.windows;
        self.blocked_until = (seen.blocked > 0).then_some(decided + seen.blocked);
    }

    /// From the own share, where the place is away; or when to ask again.
    fn spend_alone(&mut self, now: Micros, weight: u32) -> Option<std::result::Result<(), Micros>> {
        let alone = self.alone.as_mut()?;
        if let Some(at) = self.blocked_until.filter(|at| *at > now) {
            return Some(Err(at));
        }
        match alone.spend(now, weight) {
            Ok(()) => {
                self.owed += weight;
                Some(Ok(()))
            }
            Err(at) => at.map(Err),
        }
    }

    /// What to tell. Headers that are old say nothing about now.
    pub(super) fn take_news(&mut self, now: Micros, worker: u64) -> News {
        let (spent_alone, is_alone, factor) = (self.owed, self.alone.is_some(), self.factor);
        let mut news = News { worker, spent_alone, is_alone, factor, ..std::mem::take(&mut self.news) };
        if now > self.heard + HEADERS {
            news.quotas.clear();
        } else if !news.quotas.is_empty() {
            self.told = now;
        }
        news
    }

    /// What could not be told is told next time.
    fn keep(&mut self, news: News) {
        let newer = std::mem::replace(&mut self.news, news);
        self.news.answered = newer.answered.or(self.news.answered);
        self.news.failed = newer.failed.or(self.news.failed);
        self.news.refused.extend(newer.refused);
        self.news.quotas.extend(newer.quotas);
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if state.process != process {
            // A forked child: what waits and what is leased is its parent's.
            let pacer = self.limits.pace.map(|pace| Pacer::new(pace, self.time.now()));
            let windows = std::mem::take(&mut state.windows);
            *state = State { windows, ..State::new(pacer, self.limits.backoff_factor) };
        }
        state
    }

    /// The longest window.
    pub(super) fn longest(&self) -> Micros {
        let periods = self.limits.windows.iter().map(|window| window.period.as_micros() as Micros);
        periods.max().unwrap_or_default()
    }

    pub(super) fn worker(&self) -> u64 {
        // Small enough for every reader of JSON.
        *self.worker.get_or_init(|| unique() >> 11)
    }

    /// What somebody in line should do now.
    fn look(&self, wish: &Wish) -> Result<Look> {
        let mut guard = self.state();
        let (state, now) = (&mut *guard, self.time.now());
        let is_late = |at: Micros| wish.deadline.is_some_and(|deadline| at > deadline);
        if !state.line.is_first(wish.place) {
            return if is_late(now) { Err(self.turn_away(state, now)) } else { Ok(Look::Follow) };
        }
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let waited = Duration::from_micros(now - wish.entered);
        match state.take(now, wish.weight) {
            Some(Ok(epoch)) => return Ok(Look::Go(state.permit(wish.weight, epoch, waited))),
            Some(Err(paced)) if is_late(paced) => return Err(self.turn_away(state, paced)),
            Some(Err(paced)) => return Ok(Look::At(paced)),
            None => {}
        }
        let mut wait = state.again;
        // A permit that comes long before the pace allows it would be too old by then.
        let paced = state.pacer.as_ref().map_or(0, Pacer::ready_at);
        if paced > now + self.hold / 4 {
            if is_late(paced) {
                return Err(self.turn_away(state, paced));
            }
            wait = wait.max(paced - self.hold / 8);
        }
        if let Some(since) = state.calling {
            wait = since + PATIENCE;
            if wait <= now {
                let error = Error::unavailable(format!("{} does not answer", self.cell.place()));
                self.go_alone(state, now, &error, true);
                wait = now + PATIENCE;
            }
        }
        match state.spend_alone(now, wish.weight) {
            Some(Ok(())) => return Ok(Look::Go(state.permit(wish.weight, state.block.epoch, waited))),
            Some(Err(at)) => wait = wait.min(at),
            None => {}
        }
        // A first answer is waited for a moment, whatever the patience.
        let is_asking = state.calling.is_some() && now < wish.entered + PATIENCE;
        let is_new = state.calling.is_none() && !wish.has_asked;
        if is_late(now) && !is_asking && !is_new {
            return Err(self.turn_away(state, now));
        }
        if state.calling.is_none() && wait <= now {
            state.calling = Some(now);
            return Ok(Look::Call);
        }
        if state.calling.is_none() && state.alone.is_none() && is_late(state.comes) {
            return Err(self.turn_away(state, now));
        }
        Ok(Look::At(
            wish.deadline.filter(|deadline| *deadline > now).map_or(wait, |deadline| wait.min(deadline + 1)),
        ))
    }

    fn turn_away(&self, state: &mut State, at: Micros) -> Error {
        state.counts.turned_away += 1;
        let refused = || refusal(&self.time, state.comes.max(at));
        state.alone.as_ref().map_or_else(refused, |alone| alone.why.clone())
    }

    /// Asks the scope on behalf of everybody who waits here; its answer is in the state when the first one is woken.
    async fn call(self: Arc<Self>, priority: Priority, deadline: Option<Micros>) {
        let before = self.time.now();
        let demand = self.state().demand(before, priority, self.worker(), self.hold, deadline);
        let mut answer = None;
        let fresh = self.limits.budget(before, hold);
        let mut change = |scope: &mut Scope, at: Micros| {
            if self.state().has_left {
                return Err(Error::cancelled("this worker has left"));
            }
            scope.admit(at, demand.news.worker, &fresh)?;
            let lease = scope.lease(at, &demand);
            answer = Some((lease, Seen::of(scope, demand.news.worker, at), self.time.now()));
            Ok(())
        };
        let updated = self.cell.update(&mut change).await;
        let now = self.time.now();
        let mut guard = self.state();
        let state = &mut *guard;
        state.calling = None;
        if state.has_left {
            return state.keep(demand.news);
        }
        match (updated, answer) {
            (Ok(lag), Some((lease, seen, decided))) => {
                let lag = lag.as_micros() as Micros;
                let until = (decided + self.hold).saturating_sub(lag);
                state.heed(&demand, lease, decided, until);
                state.see(seen, before.saturating_sub(lag), now.max(decided));
                if demand.news.is_alone {
                    // What was spent while the scope was asked.
                    let shared = Arc::clone(&self);
                    tokio::spawn(async move { shared.tell().await });
                }
                state.stale = if lease.weight > 0 && until <= now { state.stale + 1 } else { 0 };
                if state.stale >= STALE {
                    let (place, hold) = (self.cell.place(), Duration::from_micros(self.hold));
                    let message = format!("{place} answers too slowly for permits that hold {hold:?}");
                    state.failure = Some(Error::unavailable(message));
                }
            }
            (Err(error), _) => {
                let is_told = demand.news.is_alone;
                state.keep(demand.news);
                state.again = now + AGAIN;
                if !self.go_alone(state, now, &error, is_told) {
                    state.failure = Some(error);
                }
            }
            (Ok(_), None) => state.failure = Some(Error::internal("a quota's place made no change")),
        }
        state.line.wake();
    }

    /// The place does not answer: on with the own share, if there is one. Whether there is something to hope for.
    /// `is_told`: the call that failed said that this worker is alone.
    fn go_alone(&self, state: &mut State, now: Micros, error: &Error, is_told: bool) -> bool {
        let Some(contact) = state.contact.filter(|_| error.kind() == Kind::Unavailable) else { return false };
        if state.alone.is_none() {
            tracing::warn!("{error}; going on soon with {:.0} % of the quota", contact.part * 100.0);
        }
        let alone = state.alone.get_or_insert_with(|| Alone::new(now, contact, &self.limits, error.clone()));
        if !is_told {
            alone.put_off(now, contact);
        }
        !alone.is_over(now)
    }

    /// Tells the scope what was learnt.
    pub(super) async fn tell(&self) {
        let news = self.state().take_news(self.time.now(), self.worker());
        let mut hear = |scope: &mut Scope, at: Micros| {
            scope.hear(at, &news);
            Ok(())
        };
        let told = self.cell.update(&mut hear).await;
        let mut state = self.state();
        match told {
            Ok(_) => state.owed = state.owed.saturating_sub(news.spent_alone),
            Err(error) => {
                tracing::warn!("cannot tell other workers what the source said: {error}");
                state.keep(news);
            }
        }
    }

    pub(super) async fn wait(self: &Arc<Self>, ask: &Ask) -> Result<Permit> {
        let entered = self.time.now();
        let deadline = ask.max_wait.map(|most| entered + most.as_micros() as Micros);
        let wake = Arc::new(Notify::new());
        let place = {
            let mut state = self.state();
            state.has_left = false;
            state.line.join(entered, ask, Arc::clone(&wake))
        };
        let mut waiting = Waiting { shared: self, place, is_served: false };
        let mut wish = Wish { place, weight: ask.weight, entered, deadline, has_asked: false };
        loop {
            let until = match self.look(&wish)? {
                Look::Go(permit) => {
                    waiting.is_served = true;
                    return Ok(permit);
                }
                Look::Call => {
                    // A task of its own: whoever waits may give up or go on alone meanwhile.
                    tokio::spawn(Arc::clone(self).call(ask.priority, deadline));
                    wish.has_asked = true;
                    continue;
                }
                Look::At(at) => Some(at),
                Look::Follow => deadline.map(|deadline| deadline + 1),
            };
            tokio::select! {
                () = wake.notified() => {}
                () = self.time.sleep_until(until.unwrap_or_default()), if until.is_some() => {}
            }
        }
    }
}

/// A place in the line, given back when dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    place: Place,
    is_served: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if !self.is_served && state.line.is_first(self.place) {
            // The time to come back was told to this one.
            (state.again, state.comes, state.rank) = (0, 0, None);
        }
        state.line.leave(self.place);
    }
}
