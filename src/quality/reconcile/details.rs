//! The bars behind a comparison: those that differ, listed, and all of them as what a page draws.

use crate::time_range::{Millis, TimeRange};

/// So many bars are listed.
const MOST: usize = 1_000_000;
/// Parts of a range that are drawn.
pub const BINS: usize = 240;
/// Upper ends of the buckets of differences, as fractions; one more bucket is what is beyond the last.
pub const BUCKETS: [f64; 8] = [0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// In what a bar differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Only the first has it.
    OnlyLeft,
    /// Only the second has it.
    OnlyRight,
    /// The value differs by more than the tolerance.
    Value,
    /// The volume does.
    Volume,
}

impl Difference {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnlyLeft => "only_left",
            Self::OnlyRight => "only_right",
            Self::Value => "value",
            Self::Volume => "volume",
        }
    }
}

/// One bar that differs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detail {
    /// Its open time.
    pub at: Millis,
    /// In what.
    pub kind: Difference,
    /// What the first says, of the value or the volume.
    pub left: Option<f64>,
    /// What the second says.
    pub right: Option<f64>,
}

/// The bars behind a comparison.
#[derive(Debug, Clone)]
pub struct Details {
    range: TimeRange,
    /// The first million bars that differ, in time order.
    pub listed: Vec<Detail>,
    /// Whether there are more.
    pub is_cut: bool,
    /// The greatest difference in each part of the range; NaN where nothing was compared.
    pub worst: Vec<f64>,
    /// How many compared bars fall into each of [`BUCKETS`], and beyond.
    pub histogram: [u64; BUCKETS.len() + 1],
}

impl Details {
    pub(super) fn new(range: TimeRange) -> Self {
        let worst = vec![f64::NAN; BINS];
        Self { range, listed: Vec::new(), is_cut: false, worst, histogram: [0; BUCKETS.len() + 1] }
    }

    pub(super) fn compared(&mut self, at: Millis, difference: f64) {
        if let Some(bin) = bin(self.range, at) {
            self.worst[bin] = self.worst[bin].max(difference);
        }
        self.histogram[BUCKETS.iter().position(|end| difference <= *end).unwrap_or(BUCKETS.len())] += 1;
    }

    pub(super) fn list(&mut self, at: Millis, kind: Difference, (left, right): (Option<f64>, Option<f64>)) {
        if self.listed.len() < MOST {
            self.listed.push(Detail { at, kind, left, right });
        } else {
            self.is_cut = true;
        }
    }
}

/// The part of `range` that `at` lies in.
pub fn bin(range: TimeRange, at: Millis) -> Option<usize> {
    let part = || i128::from(at - range.start()) * BINS as i128 / i128::from(range.length());
    range.contains(at).then(part).and_then(|part| usize::try_from(part).ok())
}
