//! Runs of bars without a move, and of bars without volume.

use std::collections::BTreeMap;

use super::Check;
use super::finding::Tally;
use super::thresholds::Thresholds;
use crate::time_range::Millis;

/// So many runs tell what is usual for a series.
const ENOUGH: u64 = 1000;

/// The runs of one kind.
struct Run {
    check: Check,
    least: u64,
    start: Millis,
    bars: u64,
    /// How many runs of each length there were.
    lengths: BTreeMap<u64, u64>,
    /// Those that are longer than `least`.
    long: Vec<(Millis, u64)>,
}

impl Run {
    fn new(check: Check, least: f64) -> Self {
        let (lengths, long) = (BTreeMap::new(), Vec::new());
        Self { check, least: least as u64, start: 0, bars: 0, lengths, long }
    }

    fn step(&mut self, at: Millis, is_in: bool) {
        if !is_in {
            return self.end();
        }
        if self.bars == 0 {
            self.start = at;
        }
        self.bars += 1;
    }

    fn end(&mut self) {
        if self.bars > 0 {
            *self.lengths.entry(self.bars).or_default() += 1;
            if self.bars > self.least {
                self.long.push((self.start, self.bars));
            }
            self.bars = 0;
        }
    }

    /// The length below which `quantile` of all runs lie, where there are enough of them.
    fn usual(&self, quantile: f64) -> u64 {
        let total: u64 = self.lengths.values().sum();
        if total < ENOUGH {
            return 0;
        }
        let mut left = (total as f64 * quantile).ceil() as u64;
        let reached = |(length, count): (&u64, &u64)| {
            left = left.saturating_sub(*count);
            (left == 0).then_some(*length)
        };
        self.lengths.iter().find_map(reached).unwrap_or_default()
    }

    fn findings(&mut self, quantile: f64, tally: &mut Tally) {
        self.end();
        let usual = self.usual(quantile);
        for (start, bars) in self.long.iter().filter(|(_, bars)| *bars > usual) {
            tally.add(self.check, *start, *bars);
        }
    }
}

/// Both kinds.
pub(super) struct Runs {
    frozen: Run,
    idle: Run,
}

impl Runs {
    pub(super) fn new(thresholds: &Thresholds) -> Self {
        let frozen = Run::new(Check::Frozen, thresholds.frozen_bars);
        Self { frozen, idle: Run::new(Check::Idle, thresholds.idle_bars) }
    }

    /// The next bar: whether its price has not moved since the bar before, and whether it has no volume.
    pub(super) fn step(&mut self, at: Millis, is_unmoved: bool, is_idle: bool) {
        self.frozen.step(at, is_unmoved && !is_idle);
        self.idle.step(at, is_idle);
    }

    /// The next bar is not the one after, or it is like any other.
    pub(super) fn end(&mut self) {
        self.frozen.end();
        self.idle.end();
    }

    pub(super) fn findings(&mut self, thresholds: &Thresholds, tally: &mut Tally) {
        self.frozen.findings(thresholds.run_quantile, tally);
        self.idle.findings(thresholds.run_quantile, tally);
    }
}
