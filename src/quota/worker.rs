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
use crate::ports::{Ask, Permit};
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
const AGAIN: Micros = 2_000_000;

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
    /// When `news.quotas` were said, and when some were told last.
    pub(super) heard: Micros,
    pub(super) told: Micros,
    /// Of the last permit, and of the last that was refused.
    pub(super) epoch: u64,
    pub(super) refused: Option<u64>,
    /// What was permitted last goes first after a refusal.
    pub(super) is_probe: bool,
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

/// Somebody in line.
struct Wish {
    place: Place,
    weight: u32,
    entered: Micros,
    deadline: Option<Micros>,
    has_asked: bool,
}

impl State {
    pub(super) fn new(pacer: Option<Pacer>) -> Self {
        Self {
            line: Line::default(),
            block: Block::default(),
            pacer,
            counts: Counts::default(),
            news: News::default(),
            comes: 0,
            again: 0,
            rank: None,
            contact: None,
            alone: None,
            windows: Vec::new(),
            blocked_until: None,
            stale: 0,
            heard: 0,
            told: 0,
            epoch: 0,
            refused: None,
            is_probe: false,
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
        ask: &Ask,
        worker: u64,
        hold: Micros,
        deadline: Option<Micros>,
    ) -> Demand {
        let paced = |pacer: &Pacer| pacer.places(now, now + hold * 3 / 4).clamp(1, BATCH);
        let count = self.pacer.as_ref().map_or(BATCH, paced);
        Demand {
            worker,
            priority: ask.priority,
            rank: self.rank,
            weights: self.line.weights(count),
            patience: deadline.map(|deadline| Duration::from_micros(deadline.saturating_sub(now))),
            spent_alone: self.alone.as_ref().map_or(0, |alone| alone.spent),
            news: self.take_news(now),
        }
    }

    /// What to tell. Headers that are old say nothing about now.
    fn take_news(&mut self, now: Micros) -> News {
        let mut news = std::mem::take(&mut self.news);
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
        self.news.refused.extend(newer.refused);
        self.news.quotas.extend(newer.quotas);
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn worker(&self) -> u64 {
        // Small enough for every reader of JSON.
        *self.worker.get_or_init(|| unique() >> 11)
    }

    fn look(&self, wish: &Wish) -> Result<Look> {
        let Wish { place, weight, entered, deadline, has_asked } = *wish;
        let mut guard = self.state();
        let state = &mut *guard;
        let now = self.time.now();
        let turn_away = |state: &mut State, at: Micros| {
            state.counts.turned_away += 1;
            state.alone.as_ref().map_or_else(|| refusal(&self.time, at), |alone| alone.why.clone())
        };
        let is_late = |at: Micros| deadline.is_some_and(|deadline| at > deadline);
        let is_first = state.line.is_first(place);
        let waited = Duration::from_micros(now - entered);
        let mut wait = state.again;
        if is_first {
            match state.take(now, weight) {
                Some(Ok(epoch)) => return Ok(Look::Go(state.permit(weight, epoch, waited))),
                Some(Err(paced)) if is_late(paced) => return Err(turn_away(state, paced)),
                Some(Err(paced)) => return Ok(Look::At(paced)),
                None => {}
            }
        }
        if is_late(now) && (has_asked || !is_first) {
            let at = state.comes.max(now);
            return Err(turn_away(state, at));
        }
        if !is_first {
            return Ok(Look::Follow);
        }
        // A permit that comes long before the pace allows it would be too old by then.
        let paced = state.pacer.as_ref().map_or(0, Pacer::ready_at);
        if paced > now + self.hold / 4 {
            if is_late(paced) {
                return Err(turn_away(state, paced));
            }
            wait = wait.max(paced - self.hold / 8);
        }
        if let Some(alone) = &mut state.alone {
            match alone.spend(now, weight) {
                Ok(()) => {
                    let epoch = state.block.epoch;
                    return Ok(Look::Go(state.permit(weight, epoch, waited)));
                }
                Err(Some(at)) => wait = wait.min(at),
                Err(None) => {}
            }
        }
        match wait {
            at if at <= now => Ok(Look::Call),
            _ if state.alone.is_none() && is_late(state.comes) => {
                let at = state.comes;
                Err(turn_away(state, at))
            }
            at => Ok(Look::At(at.min(deadline.map_or(at, |deadline| deadline + 1)))),
        }
    }

    /// Asks the scope on behalf of everybody who waits here.
    async fn call(&self, ask: &Ask, deadline: Option<Micros>) -> Result<()> {
        let before = self.time.now();
        let demand = self.state().demand(before, ask, self.worker(), self.hold, deadline);
        let mut answer = (Lease::default(), before, Contact::default(), Vec::new(), 0, false);
        let fresh = self.limits.budget(before, hold);
        let mut change = |scope: &mut Scope, at: Micros| {
            scope.admit(at, demand.worker, &fresh)?;
            let lease = scope.lease(at, &demand);
            let contact = Contact {
                at: before,
                workers: lease.workers,
                quarantine: scope.quarantine(),
                term: scope.term(),
            };
            let blocked = scope.budget().penalty().until().saturating_sub(at);
            let is_probe = lease.weight > 0 && scope.budget().penalty().is_probing();
            answer = (lease, self.time.now(), contact, window_stats(scope.budget(), at), blocked, is_probe);
            Ok(())
        };
        let updated = self.cell.update(&mut change).await;
        let now = self.time.now();
        let mut guard = self.state();
        let state = &mut *guard;
        let lag = match updated {
            Ok(lag) => lag.as_micros() as Micros,
            Err(error) => {
                state.keep(demand.news);
                return self.go_alone(state, now, error);
            }
        };
        let (lease, decided, contact, windows, blocked, is_probe) = answer;
        let until = (before + self.hold).saturating_sub(lag);
        state.block = Block { left: lease.weight, until, epoch: lease.epoch };
        state.contact = Some(Contact { at: contact.at.saturating_sub(lag), ..contact });
        (state.alone, state.is_probe) = (None, is_probe);
        (state.windows, state.blocked_until) = (windows, (blocked > 0).then_some(decided + blocked));
        let waits = !lease.again.is_zero();
        let after = |pause: Duration| if waits { decided + pause.as_micros() as Micros } else { 0 };
        (state.comes, state.again) = (after(lease.wait), after(lease.again));
        state.rank = waits.then_some(lease.rank);
        state.stale = if lease.weight > 0 && until <= now { state.stale + 1 } else { 0 };
        if state.stale >= STALE {
            let place = self.cell.place();
            return Err(Error::unavailable(format!(
                "{place} answers too slowly for permits that hold {:?}",
                Duration::from_micros(self.hold)
            )));
        }
        Ok(())
    }

    /// The place does not answer: on with the own share, if there is one.
    fn go_alone(&self, state: &mut State, now: Micros, error: Error) -> Result<()> {
        let Some(contact) = state.contact.filter(|_| error.kind() == Kind::Unavailable) else {
            return Err(error);
        };
        if state.alone.is_none() {
            tracing::warn!("{error}; going on with a share of 1/{} soon", contact.workers);
        }
        let alone = state.alone.get_or_insert_with(|| Alone::new(now, contact, &self.limits, error.clone()));
        state.again = now + AGAIN;
        if alone.is_over(now) { Err(error) } else { Ok(()) }
    }

    /// Tells the scope what was learnt.
    pub(super) async fn tell(&self) {
        let news = self.state().take_news(self.time.now());
        let mut hear = |scope: &mut Scope, at: Micros| {
            scope.hear(at, &news);
            Ok(())
        };
        if let Err(error) = self.cell.update(&mut hear).await {
            tracing::warn!("cannot tell other workers what the source said: {error}");
            self.state().keep(news);
        }
    }

    pub(super) async fn wait(&self, ask: &Ask) -> Result<Permit> {
        let entered = self.time.now();
        let deadline = ask.max_wait.map(|most| entered + most.as_micros() as Micros);
        let wake = Arc::new(Notify::new());
        let place = self.state().line.join(entered, ask, Arc::clone(&wake));
        let mut waiting = Waiting { shared: self, place, is_served: false };
        let mut wish = Wish { place, weight: ask.weight, entered, deadline, has_asked: false };
        loop {
            let until = match self.look(&wish)? {
                Look::Go(permit) => {
                    waiting.is_served = true;
                    return Ok(permit);
                }
                Look::Call => {
                    self.call(ask, deadline).await?;
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
