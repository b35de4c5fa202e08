//! Half-open UTC ranges in milliseconds: the unit of asking, covering and reporting.

use std::fmt;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Milliseconds since 1970 UTC.
pub type Millis = i64;

/// A non-empty range `[start, end)` in milliseconds UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Millis, Millis)", into = "(Millis, Millis)")]
pub struct TimeRange {
    start: Millis,
    end: Millis,
}

impl TimeRange {
    /// `Invalid` when `end` is not after `start`.
    pub fn new(start: Millis, end: Millis) -> Result<Self> {
        if end > start {
            return Ok(Self { start, end });
        }
        let (from, to) = (iso(start), iso(end));
        Err(Error::invalid(format!("range end {to} is not after its start {from}")))
    }

    /// The range, or `None` where it would be empty or reversed.
    pub fn non_empty(start: Millis, end: Millis) -> Option<Self> {
        (end > start).then_some(Self { start, end })
    }

    /// First millisecond inside.
    pub const fn start(self) -> Millis {
        self.start
    }

    /// First millisecond after.
    pub const fn end(self) -> Millis {
        self.end
    }

    /// Length in milliseconds, always positive.
    pub const fn length(self) -> Millis {
        self.end - self.start
    }

    /// Whether `at` lies inside.
    pub const fn contains(self, at: Millis) -> bool {
        self.start <= at && at < self.end
    }

    /// The common part, if any.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::non_empty(self.start.max(other.start), self.end.min(other.end))
    }
}

impl TryFrom<(Millis, Millis)> for TimeRange {
    type Error = Error;
    fn try_from((start, end): (Millis, Millis)) -> Result<Self> {
        Self::new(start, end)
    }
}

impl From<TimeRange> for (Millis, Millis) {
    fn from(range: TimeRange) -> Self {
        (range.start, range.end)
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} .. {}", iso(self.start), iso(self.end))
    }
}

/// `2024-01-01T00:00:00Z`; milliseconds are shown only where there are any.
pub fn iso(at: Millis) -> String {
    let Some(time) = DateTime::from_timestamp_millis(at) else { return format!("{at} ms") };
    let shape = if at % 1000 == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
    time.format(shape).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn reversed_and_empty_ranges_are_invalid() {
        for (start, end) in [(5, 5), (6, 5)] {
            assert_eq!(TimeRange::new(start, end).unwrap_err().kind(), Kind::Invalid);
        }
    }

    #[test]
    fn shows_seconds_unless_there_are_milliseconds() {
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(1), "1970-01-01T00:00:00.001Z");
    }
}
