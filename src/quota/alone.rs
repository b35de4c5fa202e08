//! What a worker may do while the scope's place is away: its own share, once all that others were permitted is past,
//! and for a limited time. See `Scope::reserved` for the other half. Pure.

use std::time::Duration;

use super::scope::{GRACE, LATEST};
use crate::error::Error;
use crate::rate_limit::{Budget, Limits, Micros};

/// Clocks differ.
const MARGIN: Micros = 100_000;

/// What a worker remembers of its last contact.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contact {
    /// Not after it, and not before it, by this worker's clock.
    pub(super) at: Micros,
    pub(super) done: Micros,
    /// When it was told to come back.
    pub(super) comes: Micros,
    /// What it may spend alone, as a share of 1.
    pub(super) part: f64,
    pub(super) quarantine: Micros,
    pub(super) term: Micros,
}

/// A worker on its own.
#[derive(Debug)]
pub(super) struct Alone {
    since: Micros,
    until: Micros,
    /// `None` where the share is less than one.
    budget: Option<Budget>,
    /// What the place said, or rather did not say.
    pub(super) why: Error,
}

/// When a worker may begin. Others leave its part alone once it is overdue; what they were permitted until then is past a
/// quarantine later. If its last call was heard and the answer lost, as late as `now`, others believe that it was told
/// when to come back.
fn since(now: Micros, contact: Contact) -> Micros {
    let heard = now + contact.quarantine.max(LATEST + GRACE);
    let overdue = (contact.done + contact.quarantine).max(contact.comes + GRACE).max(heard);
    overdue + contact.quarantine + MARGIN
}

impl Alone {
    /// The place has not answered since `contact`.
    pub(super) fn new(now: Micros, contact: Contact, limits: &Limits, why: Error) -> Self {
        let share = limits.share * contact.part;
        let fits = limits.windows.iter().all(|window| f64::from(window.weight) * share >= 1.0);
        let own = Limits { share, assume_full: false, ..limits.clone() };
        let budget = fits.then(|| own.budget(now, |_| Duration::ZERO));
        Self { since: since(now, contact), until: contact.at + contact.term, budget, why }
    }

    /// The call that was not answered may have been heard as late as `now`.
    pub(super) fn put_off(&mut self, now: Micros, contact: Contact) {
        self.since = self.since.max(since(now, contact));
    }

    /// Whether there is nothing more to be had at `now`.
    pub(super) const fn is_over(&self, now: Micros) -> bool {
        self.budget.is_none() || now >= self.until || self.since >= self.until
    }

    /// Spends now; `Err`: when to ask again, `None` where it may not any more.
    pub(super) fn spend(&mut self, now: Micros, weight: u32) -> Result<(), Option<Micros>> {
        let Some(budget) = self.budget.as_mut().filter(|_| now < self.until) else { return Err(None) };
        if budget.meters().iter().any(|meter| meter.learned.most() < weight) {
            return Err(None);
        }
        if now < self.since {
            return Err(Some(self.since).filter(|since| *since < self.until));
        }
        budget.check(now, weight).map_err(Some)?;
        budget.spend(now, weight);
        Ok(())
    }
}
