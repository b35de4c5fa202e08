//! The penalty box: after a refusal nobody asks until its end, then one asks, and the others wait for its answer. Pure.

use serde::{Deserialize, Serialize};

use super::window::Micros;

/// An answer that does not come within this time does not hold up the others any longer.
const PROBE: Micros = 60_000_000;
/// A refusal that does not say for how long: the period of the window that was fullest, within these bounds, and
/// twice as long each time that the next request is refused too.
const SHORTEST: Micros = 1_000_000;
/// The pause after a refusal that says for how long, at least, and doubled likewise.
const LEAST: Micros = 100_000;
const LONGEST: Micros = 60_000_000;
const MOST_DOUBLINGS: u32 = 4;

/// Where a scope stands with its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalty {
    until: Micros,
    probe: Probe,
    /// Refusals since the last answer, one per burst.
    row: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Probe {
    /// All is well.
    #[default]
    None,
    /// The next request is one.
    Due,
    /// It was sent then.
    Sent(Micros),
}

impl Penalty {
    /// Nothing is sent before; 0 where there is no penalty.
    pub const fn until(&self) -> Micros {
        self.until
    }

    /// Whether one request goes first, or has gone, to see whether the source answers again.
    pub const fn is_probing(&self) -> bool {
        !matches!(self.probe, Probe::None)
    }

    /// Whether that one's answer is waited for.
    pub fn is_awaited(&self, now: Micros) -> bool {
        matches!(self.probe, Probe::Sent(at) if at + PROBE > now) && self.until <= now
    }

    /// The first moment, not before `now`, at which a request may be sent.
    pub(super) fn earliest(&self, now: Micros) -> Micros {
        match self.probe {
            Probe::None | Probe::Due => self.until.max(now),
            Probe::Sent(at) => self.until.max(at + PROBE).max(now),
        }
    }

    /// A request is sent.
    pub(super) const fn spend(&mut self, now: Micros) {
        match self.probe {
            Probe::None => {}
            Probe::Due => self.probe = Probe::Sent(now),
            Probe::Sent(_) => self.probe = Probe::None,
        }
    }

    /// The source refused; `period` is that of the fullest window. `is_first`: of its burst.
    pub(super) fn refuse(&mut self, now: Micros, until: Option<Micros>, period: Micros, is_first: bool) {
        if is_first {
            self.row += 1;
        }
        let doublings = self.row.saturating_sub(1).min(MOST_DOUBLINGS);
        let doubled = |pause: Micros| now + (pause << doublings);
        // A time that is past, by the clocks of two machines or by the word of the source, is no pause at all.
        let said = until.map(|until| until.max(doubled(LEAST)));
        self.until = self.until.max(said.unwrap_or_else(|| doubled(period.clamp(SHORTEST, LONGEST))));
        self.probe = Probe::Due;
    }

    /// The source answered a request sent after the last refusal. Whether that ends a wait.
    pub(super) const fn answer(&mut self) -> bool {
        let waited = matches!(self.probe, Probe::Sent(_));
        (self.probe, self.row) = (Probe::None, 0);
        waited
    }

    /// A request failed in another way: if it was the probe, the next one is. Whether somebody waited for it.
    pub(super) const fn fail(&mut self) -> bool {
        let waited = matches!(self.probe, Probe::Sent(_));
        if waited {
            self.probe = Probe::Due;
        }
        waited
    }

    /// Nobody may send before `until`, as its headers say; no refusal.
    pub(super) fn pause(&mut self, until: Micros) {
        self.until = self.until.max(until);
    }
}
