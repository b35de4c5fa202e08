//! Whether one side's stamps are later than the other's: the changes of both move together best when one of them is
//! shifted by some bars. A stamp at the close instead of the open is one bar; a time zone on hours is one or more.

use serde::Serialize;

use crate::series::DataType;
use crate::time_range::Millis;
use crate::timeframe::Timeframe;

/// Shifts that are tried, in bars, either way.
const FARTHEST: usize = 2;
/// Fewer pairs say nothing.
const ENOUGH: u64 = 30;
/// A shift is told where the changes move together at least so much, and so much better than without it.
const LEAST: f64 = 0.5;
const BETTER: f64 = 0.2;

/// What the test says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Lag {
    /// By how many bars the second is stamped later than the first, where they move together best.
    pub bars: i32,
    /// How much they do then, -1 to 1; `None` where there is too little to say.
    pub correlation: Option<f64>,
    /// How much they do as they are.
    pub correlation_unshifted: Option<f64>,
    /// Whether that is clear enough to be a finding.
    pub is_shifted: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: u64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Sums {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
    }

    fn correlation(&self) -> Option<f64> {
        let count = self.count as f64;
        let spread = |sum: f64, squares: f64| squares - sum * sum / count;
        let (x, y) = (spread(self.x, self.xx), spread(self.y, self.yy));
        let found = (self.xy - self.x * self.y / count) / (x * y).sqrt();
        (self.count >= ENOUGH && found.is_finite()).then_some(found)
    }
}

/// One side: its last value, and its newest changes, the last bar's first.
#[derive(Default)]
struct Side {
    value: Option<f64>,
    changes: [Option<f64>; FARTHEST + 1],
}

impl Side {
    fn step(&mut self, skipped: u64, value: Option<f64>, is_price: bool) {
        for _ in 0..skipped.min(FARTHEST as u64 + 1) {
            self.push(None);
            self.value = None;
        }
        let change = match (self.value, value) {
            (Some(before), Some(now)) if is_price => Some(2.0 * (now - before) / (now + before)),
            (Some(before), Some(now)) => Some(now - before),
            _ => None,
        };
        self.push(change.filter(|change| change.is_finite()));
        self.value = value;
    }

    fn push(&mut self, change: Option<f64>) {
        self.changes.rotate_right(1);
        self.changes[0] = change;
    }
}

/// The test, fed bar by bar.
pub(super) struct Shifts {
    timeframe: Timeframe,
    is_price: bool,
    expected: Option<Millis>,
    left: Side,
    right: Side,
    /// The second later by so many bars: -2 to 2.
    sums: [Sums; 2 * FARTHEST + 1],
}

impl Shifts {
    pub(super) fn new(data_type: DataType, timeframe: Timeframe) -> Self {
        Self {
            timeframe,
            is_price: data_type == DataType::Ohlcv,
            expected: None,
            left: Side::default(),
            right: Side::default(),
            sums: [Sums::default(); 2 * FARTHEST + 1],
        }
    }

    /// The next bar, with the value of either side.
    pub(super) fn step(&mut self, at: Millis, left: Option<f64>, right: Option<f64>) {
        if !self.timeframe.is_aligned(at) {
            return;
        }
        let skipped = match self.expected {
            Some(expected) if expected == at => 0,
            Some(expected) => self.timeframe.count(expected, at),
            None => 0,
        };
        self.expected = Some(self.timeframe.next(at));
        self.left.step(skipped, left, self.is_price);
        self.right.step(skipped, right, self.is_price);
        for shift in 0..=FARTHEST {
            if let (Some(left), Some(right)) = (self.left.changes[shift], self.right.changes[0]) {
                self.sums[FARTHEST + shift].add(left, right);
            }
            if let (Some(left), Some(right), true) =
                (self.left.changes[0], self.right.changes[shift], shift > 0)
            {
                self.sums[FARTHEST - shift].add(left, right);
            }
        }
    }

    pub(super) fn lag(&self) -> Lag {
        let correlations = self.sums.iter().map(Sums::correlation);
        let found =
            (0_i32..).zip(correlations).filter_map(|(at, found)| Some((at - FARTHEST as i32, found?)));
        let found: Vec<(i32, f64)> = found.collect();
        // The nearest of those that are alike.
        let best = found.iter().copied().reduce(|best, next| {
            let is_better = next.1 > best.1 || (next.1 >= best.1 && next.0.abs() < best.0.abs());
            if is_better { next } else { best }
        });
        let unshifted = self.sums[FARTHEST].correlation();
        let Some((bars, correlation)) = best else { return Lag::default() };
        let is_shifted =
            bars != 0 && correlation >= LEAST && correlation - unshifted.unwrap_or_default() >= BETTER;
        Lag { bars, correlation: Some(correlation), correlation_unshifted: unshifted, is_shifted }
    }
}
