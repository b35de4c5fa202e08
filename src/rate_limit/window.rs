//! One window of a source's limit: an exact account of what was spent in it. Pure.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::learned::Learned;

/// Microseconds since 1970 UTC.
pub type Micros = u64;

/// A window is divided into so many grains; what is spent within one grain counts as spent at its end, so an account
/// stays small and a wait is at most a grain longer than it had to be.
const GRAINS: Micros = 1024;

/// Where windows of one length lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alignment {
    /// Everywhere: no span of that length may hold more.
    Rolling,
    /// At multiples of their length of the UTC clock, as Binance's minute.
    Fixed,
}

/// At most `weight` in a span of `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// What may be spent.
    pub weight: u32,
    /// The length.
    pub period: Duration,
    /// Which spans.
    pub alignment: Alignment,
}

impl Window {
    /// At most `weight` in any span of `period`.
    pub const fn rolling(weight: u32, period: Duration) -> Self {
        Self { weight, period, alignment: Alignment::Rolling }
    }

    /// At most `weight` in each `period` of the UTC clock.
    pub const fn fixed(weight: u32, period: Duration) -> Self {
        Self { weight, period, alignment: Alignment::Fixed }
    }

    /// The weight of `share` (0 to 1) of it, at least 1.
    pub fn part(&self, share: f64) -> u32 {
        // A share such as 1/3 is not quite that in binary.
        ((f64::from(self.weight) * share + 1e-6) as u32).max(1)
    }

    /// Servers count arrivals, and by their own clock: what is sent at one moment may be counted so much earlier or
    /// later, by default. A twentieth of the period, between 50 and 250 ms.
    pub fn spread(&self) -> Duration {
        (self.period / 20).clamp(Duration::from_millis(50), Duration::from_millis(250))
    }
}

/// What others spent of the same limit, as far as the source has told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Foreign {
    weight: u32,
    until: Micros,
}

/// The account of one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// What the limit is thought to be.
    pub learned: Learned,
    alignment: Alignment,
    period: Micros,
    /// See [`Window::spread`].
    spread: Micros,
    /// What is left to others, where only a share is used.
    others: u32,
    /// Rolling: number of the grain at whose end it counts as spent. Fixed: number of the window. Oldest first.
    spent: VecDeque<(u64, u32)>,
    /// Of all entries.
    total: u32,
    foreign: Foreign,
}

impl Meter {
    /// An empty account of `share` (0 to 1) of `window`.
    pub fn new(window: Window, share: f64, spread: Duration) -> Self {
        let limit = window.part(share);
        Self {
            learned: Learned::new(limit),
            alignment: window.alignment,
            period: window.period.as_micros() as Micros,
            spread: spread.as_micros() as Micros,
            others: window.weight.saturating_sub(limit),
            spent: VecDeque::new(),
            total: 0,
            foreign: Foreign::default(),
        }
    }

    /// What all may spend at most, others included.
    pub(super) const fn whole(&self) -> u32 {
        self.learned.most() + self.others
    }

    /// The window's length.
    pub const fn period(&self) -> Micros {
        self.period
    }

    /// How long a spend counts at most.
    pub const fn memory(&self) -> Micros {
        self.period + 2 * self.spread
    }

    fn grain(&self) -> Micros {
        (self.period / GRAINS).max(1)
    }

    /// When an entry stops to count.
    fn end_of(&self, entry: u64) -> Micros {
        match self.alignment {
            Alignment::Rolling => entry * self.grain() + self.period + self.spread,
            Alignment::Fixed => (entry + 1) * self.period + self.spread,
        }
    }

    /// The fixed windows in which a spend at `at` may be counted.
    fn arrivals(&self, at: Micros) -> RangeInclusive<u64> {
        at.saturating_sub(self.spread) / self.period..=(at + self.spread) / self.period
    }

    fn foreign_at(&self, at: Micros) -> u32 {
        if self.foreign.until > at { self.foreign.weight.saturating_sub(self.others) } else { 0 }
    }

    /// What of our own counts against a spend at `at`.
    fn own(&self, at: Micros) -> u32 {
        match self.alignment {
            Alignment::Rolling => {
                let gone = self.spent.iter().take_while(|(entry, _)| self.end_of(*entry) <= at);
                self.total - gone.map(|(_, weight)| weight).sum::<u32>()
            }
            // Near an edge a spend is in two windows: the fuller one decides.
            Alignment::Fixed => {
                let windows = self.arrivals(at);
                let near = self.spent.iter().filter(|(window, _)| windows.contains(window));
                near.map(|(_, weight)| *weight).max().unwrap_or(0)
            }
        }
    }

    /// What counts against a spend at `at`.
    pub fn used(&self, at: Micros) -> u32 {
        self.own(at).saturating_add(self.foreign_at(at))
    }

    /// What the source surely counts: an account holds on to what it spent a little longer than the source does.
    pub(super) fn counted(&self, now: Micros) -> u32 {
        match self.alignment {
            Alignment::Rolling => self.used(now + 2 * self.spread),
            Alignment::Fixed => self.used(now),
        }
    }

    /// The source refused a request of `weight`, the first of a burst.
    pub(super) fn refuse(&mut self, now: Micros, weight: u32, factor: f64) {
        let fresh = self.is_fresh(now).then(|| self.counted(now));
        let used = self.used(now);
        self.learned.refuse(now, self.period, used, fresh, weight, factor);
    }

    /// The source answered a request of `weight`.
    pub(super) fn answer(&mut self, now: Micros, weight: u32) {
        let mut learned = self.learned;
        learned.answer(now, self.period, || self.shown(now, weight));
        self.learned = learned;
    }

    /// What a first answer after a refusal shows to be allowed: what counted then, unless that is about to go anyway, as
    /// what was sent in one burst does, or is nothing but the request itself.
    fn shown(&self, now: Micros, weight: u32) -> Option<u32> {
        let (used, soon) = (self.counted(now), self.counted(now + self.period / 20));
        (used > weight && u64::from(soon) * 10 >= u64::from(used) * 8).then_some(used)
    }

    /// Whether nearly all that counts was spent in the last quarter of the period.
    pub(super) fn is_fresh(&self, now: Micros) -> bool {
        let recent = now.saturating_sub(self.period / 4);
        let counted = self.used(now);
        let fresh = match self.alignment {
            Alignment::Rolling => {
                let young = self.spent.iter().filter(|(entry, _)| entry * self.grain() > recent);
                young.map(|(_, weight)| weight).sum()
            }
            // A counter that has started anew holds nothing old.
            Alignment::Fixed => self.own(now),
        };
        u64::from(fresh) * 10 >= u64::from(counted) * 9
    }

    /// The first moment, not before `now`, at which `weight` may be spent: alone, where that is more than the limit is
    /// thought to be.
    pub fn earliest(&self, now: Micros, weight: u32) -> Micros {
        self.earliest_under(self.learned.limit().max(weight), now, weight)
    }

    /// Whether `weight` fits now, in as many requests as it may take.
    pub fn fits(&self, now: Micros, weight: u32) -> bool {
        let limit = self.learned.limit();
        weight <= limit && self.earliest_under(limit, now, weight) == now
    }

    fn earliest_under(&self, limit: u32, now: Micros, weight: u32) -> Micros {
        let room = limit.saturating_sub(weight);
        let mut own = self.own(now);
        if own.saturating_add(self.foreign_at(now)) <= room {
            return now;
        }
        for (entry, spent) in &self.spent {
            let end = self.end_of(*entry);
            if end <= now {
                continue;
            }
            if own <= room && self.foreign.until <= end {
                break;
            }
            own = if self.alignment == Alignment::Rolling { own - spent } else { self.own(end) };
            if own.saturating_add(self.foreign_at(end)) <= room {
                return end;
            }
        }
        self.foreign.until.max(now)
    }

    /// When the last of `total` could be spent, in steps that fit, from `now` on.
    pub fn backlog(&self, now: Micros, total: u64) -> Micros {
        let limit = u64::from(self.learned.limit());
        let (rounds, rest) = (total.saturating_sub(1) / limit, (total.saturating_sub(1) % limit + 1) as u32);
        if self.alignment == Alignment::Rolling || rounds == 0 {
            return self.earliest(now, rest) + rounds * (self.period + self.spread);
        }
        let free = limit.saturating_sub(u64::from(self.used(now)));
        let later = total.saturating_sub(free).div_ceil(limit);
        (now / self.period + later) * self.period + self.spread
    }

    /// Notes that `weight` is spent at `at`, which is not before anything noted earlier.
    pub fn spend(&mut self, at: Micros, weight: u32) {
        while let Some((entry, gone)) = self.spent.front().copied()
            && self.end_of(entry) <= at
        {
            self.spent.pop_front();
            self.total -= gone;
        }
        let entries = match self.alignment {
            Alignment::Rolling => at.div_ceil(self.grain())..=at.div_ceil(self.grain()),
            Alignment::Fixed => self.arrivals(at),
        };
        for entry in entries {
            // From the back: a fixed window's neighbour may be there already.
            match self.spent.iter_mut().rev().find(|(held, _)| *held <= entry) {
                Some((held, spent)) if *held == entry => *spent += weight,
                _ => self.spent.push_back((entry, weight)),
            }
            self.total += weight;
        }
    }

    /// The source says what the whole window allows.
    pub(super) fn declare(&mut self, now: Micros, limit: u32) {
        self.learned.declare(now, limit.saturating_sub(self.others));
    }

    /// The source has counted `used` in this window by now, ours and everybody's. What we sent and it has not yet
    /// counted is in our account, so the difference is at least what others spent.
    pub fn correct(&mut self, now: Micros, used: u32, reset: Option<Micros>) {
        let own = self.own(now);
        let end = match self.alignment {
            Alignment::Rolling => now + self.period + self.spread,
            Alignment::Fixed => (now / self.period + 1) * self.period + self.spread,
        };
        let until = reset.map_or(end, |reset| (reset + self.spread).min(end));
        self.foreign = Foreign { weight: used.saturating_sub(own), until };
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.alignment == Alignment::Fixed
    }

    pub(super) fn is_as_long_as(&self, other: &Self) -> bool {
        (self.period, self.alignment) == (other.period, other.alignment)
    }

    /// Whether both were made of the same window.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.is_as_long_as(other)
            && (self.spread, self.others, self.learned.most())
                == (other.spread, other.others, other.learned.most())
    }

    /// Takes over what was spent in a window of the same length.
    pub(super) fn inherit(&mut self, old: &Self) {
        (self.spent, self.total, self.foreign) = (old.spent.clone(), old.total, old.foreign);
    }

    /// Forgets what was spent.
    pub(super) fn clear(&mut self) {
        self.spent.clear();
        (self.total, self.foreign) = (0, Foreign::default());
    }

    /// Counts everything before `now` as spent: a start that knows nothing of what was.
    pub fn assume_full(&mut self, now: Micros) {
        self.correct(now, self.learned.most() + self.others, None);
    }
}

#[cfg(test)]
mod tests;
