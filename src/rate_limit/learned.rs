//! What a window's limit is thought to be: what was documented, until the source shows otherwise. Pure.

use serde::{Deserialize, Serialize};

use super::window::Micros;

/// The limit grows by this part of the most at a time.
const STEP: u32 = 20;
/// Windows without a refusal before a limit that was refused is tried again; doubled by each refusal.
const PATIENCE: u32 = 10;
const MOST_PATIENCE: u32 = 160;

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
    /// An answer has not yet shown how much there is after a refusal.
    is_open: bool,
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
            is_open: false,
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
        if limit != self.limit {
            *self = Self { limit, changed: now, ..Self::new(self.most) };
        }
    }

    /// The source refused a request of `weight` with which the window would have held `used`.
    pub(super) fn refuse(&mut self, now: Micros, period: Micros, used: u32, weight: u32, factor: f64) {
        let was = self.before.take().filter(|_| now < self.changed + 2 * period);
        self.refused = Some(used.max(1));
        if let Some(limit) = was {
            // It was a try, and too much.
            (self.limit, self.patience) = (limit, (self.patience * 2).min(MOST_PATIENCE));
        } else {
            let below = used.saturating_sub(weight).min(self.limit);
            (self.limit, self.is_open) = (((f64::from(below) / factor) as u32).max(1), true);
        }
        (self.changed, self.is_wanted) = (now, false);
    }

    /// Another request of the same burst was refused: that much less was let through.
    pub(super) fn refuse_again(&mut self, weight: u32, factor: f64) {
        let Some(refused) = self.refused.filter(|_| self.is_open) else { return };
        let refused = refused.saturating_sub(weight).max(1);
        self.refused = Some(refused);
        self.limit = self.limit.min(((f64::from(refused) / factor) as u32).max(1));
    }

    /// The source answered a request of `weight` with which the window held `used`.
    pub(super) fn answer(&mut self, now: Micros, period: Micros, used: u32, weight: u32) {
        if std::mem::take(&mut self.is_open) {
            // More than the request itself: the source let us in as soon as there was room.
            if used > weight {
                self.limit = used.min(self.most);
            }
            self.changed = now;
            return;
        }
        if self.limit >= self.most || !self.is_wanted || now < self.changed + period {
            return;
        }
        let next = (self.limit + (self.most / STEP).max(1)).min(self.most);
        match self.refused {
            Some(refused) if next >= refused => {
                if now < self.changed + period * Micros::from(self.patience) {
                    return;
                }
                self.raise(now, (self.limit + 1).max(refused).min(self.most));
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
