//! What a window's limit is thought to be: what was documented, until the source shows otherwise. Pure.

use serde::{Deserialize, Serialize};

use super::window::Micros;

/// The limit grows by this part of itself at a time.
const STEP: u32 = 20;
/// What is inferred is taken less this part: requests on their way blur it.
const MARGIN: u32 = 50;
/// Windows without a refusal before a limit that was refused is tried again; doubled by each refusal.
const PATIENCE: u32 = 10;
const MOST_PATIENCE: u32 = 160;

/// What the present limit is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Basis {
    /// The documents, or what was tried since.
    Settled,
    /// The source said so itself.
    Declared,
    /// What was let through of a burst, of which more refusals may come.
    Burst,
    /// A guess after a refusal; the next answer may show more.
    Guess,
}

/// A limit between 1 and what is documented. A refusal halves it (or what the author says), and the first answer
/// after it tells more; it grows again by steps while somebody waits for more, slowly beyond what was refused last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    most: u32,
    limit: u32,
    /// So much was too much.
    refused: Option<u32>,
    /// Before it was last raised.
    before: Option<u32>,
    basis: Basis,
    /// What was refused since the last answer: spent here, not counted there.
    bounced: u32,
    changed: Micros,
    patience: u32,
    /// Somebody had to wait for this window since it last changed.
    is_wanted: bool,
}

impl Learned {
    pub(super) const fn new(most: u32) -> Self {
        Self {
            most,
            limit: most,
            refused: None,
            before: None,
            basis: Basis::Settled,
            bounced: 0,
            changed: 0,
            patience: PATIENCE,
            is_wanted: false,
        }
    }

    /// As of now.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Never more.
    pub const fn most(&self) -> u32 {
        self.most
    }

    pub(super) const fn want(&mut self) {
        self.is_wanted = true;
    }

    /// The source said so.
    pub(super) fn declare(&mut self, now: Micros, limit: u32) {
        let limit = limit.clamp(1, self.most);
        if limit != self.limit || self.basis != Basis::Declared {
            *self = Self { limit, changed: now, basis: Basis::Declared, ..Self::new(self.most) };
        }
    }

    /// The source refused a request of `weight` with which the window would have held `used` at most. `fresh`: nearly all
    /// of that was spent just now, so that the limit cannot have changed meanwhile and what was let through, of at least
    /// so much, is the limit.
    pub(super) fn refuse(
        &mut self,
        now: Micros,
        period: Micros,
        used: u32,
        fresh: Option<u32>,
        weight: u32,
        factor: f64,
    ) {
        if self.basis == Basis::Declared {
            // Others spend it too. Where it is less now, the next answer's headers say so, or the next refusal.
            self.basis = Basis::Settled;
            return;
        }
        let was = self.before.take().filter(|_| now < self.changed + 2 * period);
        self.bounced = self.bounced.saturating_add(weight);
        self.refused = Some(used.max(1));
        let below = fresh.unwrap_or(used).saturating_sub(weight).min(self.limit);
        if let Some(limit) = was {
            // It was a try, and too much.
            (self.limit, self.patience) = (limit, (self.patience * 2).min(MOST_PATIENCE));
        } else if fresh.is_some() {
            self.limit = (below - below / MARGIN).max(1);
        } else {
            self.limit = ((f64::from(below) / factor.max(1.0)) as u32).max(1);
        }
        self.basis = match was {
            Some(_) => Basis::Settled,
            None if fresh.is_some() => Basis::Burst,
            None => Basis::Guess,
        };
        (self.changed, self.is_wanted) = (now, false);
    }

    /// Another request of the same burst was refused: that much less was let through.
    pub(super) fn refuse_again(&mut self, weight: u32) {
        self.bounced = self.bounced.saturating_add(weight);
        let Some(refused) = self.refused else { return };
        let refused = refused.saturating_sub(weight).max(1);
        self.refused = Some(refused);
        match self.basis {
            Basis::Burst => self.limit = self.limit.saturating_sub(weight).max(1),
            Basis::Guess => self.limit = self.limit.min(refused),
            Basis::Settled | Basis::Declared => {}
        }
    }

    /// The source answered; `shown`: what that shows to be allowed, if it comes first after a refusal.
    pub(super) fn answer(&mut self, now: Micros, period: Micros, shown: impl FnOnce() -> Option<u32>) {
        let bounced = std::mem::take(&mut self.bounced);
        if self.basis == Basis::Declared {
            return;
        }
        if std::mem::replace(&mut self.basis, Basis::Settled) == Basis::Guess {
            // The source let us in as soon as there was room.
            let shown = shown().map_or(0, |shown| shown.saturating_sub(bounced));
            self.limit = self.limit.max(shown - shown / MARGIN).min(self.most);
            self.changed = now;
            return;
        }
        if self.limit >= self.most || !self.is_wanted || now < self.changed + period {
            return;
        }
        let step = (self.limit / STEP).max(self.most / (5 * STEP)).max(1);
        let next = self.limit.saturating_add(step).min(self.most);
        match self.refused {
            Some(refused) if next >= refused => {
                if now < self.changed + period * Micros::from(self.patience) {
                    return;
                }
                self.raise(now, self.limit.saturating_add(1).max(refused).min(self.most));
                self.refused = None;
            }
            _ => self.raise(now, next),
        }
    }

    fn raise(&mut self, now: Micros, limit: u32) {
        (self.before, self.limit) = (Some(self.limit), limit);
        (self.changed, self.is_wanted) = (now, false);
        if limit == self.most {
            self.refused = None;
        }
    }
}
