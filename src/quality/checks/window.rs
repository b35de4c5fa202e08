//! Moves that are far from usual. What is usual is taken from windows of so many bars, one after the other: the median
//! move and the mean range of a window or of the one before it, whichever is greater. So a market that wakes up is no
//! finding, a lone wrong price does not shift the yardstick, and a row costs the same however long the window is.

use super::Check;
use super::finding::Tally;
use super::thresholds::Thresholds;
use crate::time_range::Millis;

/// Fewer moves say nothing about what is usual.
const ENOUGH: usize = 20;
/// Whole factors of splits and redenominations.
const FACTORS: [f64; 12] = [2.0, 3.0, 4.0, 5.0, 8.0, 10.0, 20.0, 25.0, 50.0, 100.0, 1000.0, 10_000.0];

/// Some bars one after the other, as columns.
pub(super) struct Bars<'a> {
    pub(super) ts: &'a [Millis],
    pub(super) open: &'a [f64],
    pub(super) high: &'a [f64],
    pub(super) low: &'a [f64],
    pub(super) close: &'a [f64],
}

/// The window that fills.
pub(super) struct Window {
    size: usize,
    /// The close before the first bar in it.
    before: f64,
    ts: Vec<Millis>,
    close: Vec<f64>,
    /// From the close before, as a fraction of the mean of both; NaN where the bar before is missing.
    change: Vec<f64>,
    /// From the close before to the open; NaN as above.
    jump: Vec<f64>,
    ranges: f64,
    sizes: Vec<u64>,
    usual: Option<(f64, f64)>,
}

impl Window {
    pub(super) fn new(thresholds: &Thresholds) -> Self {
        let size = thresholds.spike_window as usize;
        let room = || Vec::with_capacity(size + 1);
        Self {
            size,
            before: f64::NAN,
            ts: Vec::with_capacity(size + 1),
            close: room(),
            change: room(),
            jump: room(),
            ranges: 0.0,
            sizes: Vec::with_capacity(size),
            usual: None,
        }
    }

    /// Adds bars, each one after the other; the first `follows` the bar before, or not. All prices are possible.
    pub(super) fn push(
        &mut self,
        bars: &Bars<'_>,
        follows: bool,
        thresholds: &Thresholds,
        tally: &mut Tally,
    ) {
        let (mut from, mut follows) = (0, follows);
        while from < bars.ts.len() {
            let to = bars.ts.len().min(from + self.size + 1 - self.ts.len());
            let before = match from {
                0 if follows => self.close.last().copied().unwrap_or(self.before),
                0 => f64::NAN,
                _ => bars.close[from - 1],
            };
            self.extend(bars, from, to, before);
            if self.ts.len() > self.size {
                self.evaluate(self.size, thresholds, tally);
            }
            (from, follows) = (to, true);
        }
    }

    fn extend(&mut self, bars: &Bars<'_>, from: usize, to: usize, before: f64) {
        let (open, close) = (&bars.open[from..to], &bars.close[from..to]);
        let (first, rest) = (close[0], &close[1..]);
        let change = |close: f64, before: f64| 2.0 * (close - before) / (close + before);
        self.change.push(change(first, before));
        self.change.extend(rest.iter().zip(close).map(|(close, before)| change(*close, *before)));
        self.jump.push((open[0] - before).abs());
        self.jump.extend(open[1..].iter().zip(close).map(|(open, before)| (open - before).abs()));
        self.ts.extend_from_slice(&bars.ts[from..to]);
        self.close.extend_from_slice(close);
        let ranges = bars.high[from..to].iter().zip(&bars.low[from..to]).map(|(high, low)| high - low);
        self.ranges += ranges.sum::<f64>();
    }

    /// Looks at the first `count` bars, and lets go of them.
    fn evaluate(&mut self, count: usize, thresholds: &Thresholds, tally: &mut Tally) {
        self.sizes.clear();
        let moves = self.change[..count].iter().filter(|change| !change.is_nan());
        // Floats that are not negative are in the order of their bits.
        self.sizes.extend(moves.map(|change| change.abs().to_bits()));
        if self.sizes.len() >= ENOUGH {
            let middle = self.sizes.len() / 2;
            let median = f64::from_bits(*self.sizes.select_nth_unstable(middle).1);
            let now = (median, self.ranges / self.ts.len() as f64);
            let (median, range) = self.usual.map_or(now, |usual| (now.0.max(usual.0), now.1.max(usual.1)));
            self.usual = Some(now);
            self.moves(
                count,
                (median * thresholds.spike_factor).max(thresholds.spike_least),
                thresholds,
                tally,
            );
            self.jumps(count, range * thresholds.jump_factor, thresholds.spike_least, tally);
        }
        self.before = self.close[count - 1];
        self.ranges = 0.0;
        self.ts.drain(..count);
        for column in [&mut self.close, &mut self.change, &mut self.jump] {
            column.drain(..count);
        }
    }

    fn moves(&self, count: usize, limit: f64, thresholds: &Thresholds, tally: &mut Tally) {
        if !self.change[..count].iter().fold(false, |any, change| any | (change.abs() > limit)) {
            return;
        }
        for at in (0..count).filter(|at| self.change[*at].abs() > limit) {
            let Some(next) = self.change.get(at + 1).filter(|next| !next.is_nan()) else { continue };
            let before = self.close_before(at);
            let (here, after) = (self.close[at], self.close[at + 1]);
            // The way back is not a spike of its own.
            let is_way_back = at > 0
                && self.change[at - 1].abs() > limit
                && self.change[at - 1].signum() != self.change[at].signum();
            if (after - before).abs() <= thresholds.spike_rest * (here - before).abs() {
                if !is_way_back || next.abs() > limit {
                    tally.note(Check::Spike, self.ts[at]);
                }
            } else if is_whole(here / before, thresholds.split_tolerance)
                && is_whole(after / before, thresholds.split_tolerance.max(0.1))
            {
                tally.note(Check::Split, self.ts[at]);
            }
        }
    }

    fn jumps(&self, count: usize, limit: f64, least: f64, tally: &mut Tally) {
        if !self.jump[..count].iter().fold(false, |any, jump| any | (*jump > limit)) {
            return;
        }
        let far = |at: &usize| self.jump[*at] > limit && self.jump[*at] > least * self.close_before(*at);
        (0..count).filter(far).for_each(|at| tally.note(Check::Jump, self.ts[at]));
    }

    fn close_before(&self, at: usize) -> f64 {
        at.checked_sub(1).map_or(self.before, |before| self.close[before])
    }

    /// After the last bar.
    pub(super) fn end(&mut self, thresholds: &Thresholds, tally: &mut Tally) {
        if !self.ts.is_empty() {
            self.evaluate(self.ts.len(), thresholds, tally);
        }
    }
}

/// Whether `ratio` is near a whole factor, or one by it.
fn is_whole(ratio: f64, tolerance: f64) -> bool {
    let ratio = if ratio < 1.0 { 1.0 / ratio } else { ratio };
    FACTORS.iter().any(|factor| (ratio / factor - 1.0).abs() <= tolerance)
}
