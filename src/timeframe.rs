//! Bar lengths from one minute to one month, and the grid on which bars open.
//! Weeks open on Monday 00:00 UTC, months on the first of the calendar month.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::time_range::Millis;

const MINUTE: Millis = 60_000;
const DAY: Millis = 86_400_000;
/// 1970-01-05 was a Monday.
const FIRST_MONDAY: Millis = 4 * DAY;

/// The length of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Timeframe {
    /// A fixed number of minutes, at most one day, opening at multiples since midnight UTC.
    Minutes(u16),
    /// Monday 00:00 UTC to the next.
    Week,
    /// The first of a month to the first of the next.
    Month,
}

const NAMES: [(&str, Timeframe); 15] = [
    ("1m", Timeframe::Minutes(1)),
    ("3m", Timeframe::Minutes(3)),
    ("5m", Timeframe::Minutes(5)),
    ("15m", Timeframe::Minutes(15)),
    ("30m", Timeframe::Minutes(30)),
    ("1h", Timeframe::Minutes(60)),
    ("2h", Timeframe::Minutes(120)),
    ("4h", Timeframe::Minutes(240)),
    ("6h", Timeframe::Minutes(360)),
    ("8h", Timeframe::Minutes(480)),
    ("12h", Timeframe::Minutes(720)),
    ("1d", Timeframe::Minutes(1440)),
    ("1w", Timeframe::Week),
    ("1M", Timeframe::Month),
    ("1mo", Timeframe::Month),
];

impl Timeframe {
    /// Every name, shortest first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The last bar opening at or before `at`.
    pub fn floor(self, at: Millis) -> Millis {
        match self {
            Self::Minutes(n) => at - at.rem_euclid(Millis::from(n) * MINUTE),
            Self::Week => at - (at - FIRST_MONDAY).rem_euclid(7 * DAY),
            Self::Month => month_start(at),
        }
    }

    /// The first bar opening at or after `at`.
    pub fn ceil(self, at: Millis) -> Millis {
        let floor = self.floor(at);
        if floor == at { at } else { self.next(floor) }
    }

    /// When the bar that opens at `open` (on the grid) closes, which is when the next one opens.
    pub fn next(self, open: Millis) -> Millis {
        match self {
            Self::Minutes(n) => open + Millis::from(n) * MINUTE,
            Self::Week => open + 7 * DAY,
            Self::Month => add_months(open, 1),
        }
    }

    /// The bar opening `count` bars after `open` (on the grid).
    pub fn step(self, open: Millis, count: u32) -> Millis {
        match self {
            Self::Minutes(n) => open + Millis::from(count) * Millis::from(n) * MINUTE,
            Self::Week => open + Millis::from(count) * 7 * DAY,
            Self::Month => add_months(open, count),
        }
    }

    /// The bar opening `count` bars before `open` (on the grid).
    pub fn back(self, open: Millis, count: u32) -> Millis {
        match self {
            Self::Minutes(n) => open - Millis::from(count) * Millis::from(n) * MINUTE,
            Self::Week => open - Millis::from(count) * 7 * DAY,
            Self::Month => {
                let first = date(open).checked_sub_months(chrono::Months::new(count));
                first.map_or(Millis::MIN, midnight)
            }
        }
    }

    /// Whether a bar may open at `at`.
    pub fn is_aligned(self, at: Millis) -> bool {
        self.floor(at) == at
    }

    /// A bar's length in milliseconds; for months the shortest (28 days).
    pub fn shortest(self) -> Millis {
        match self {
            Self::Minutes(n) => Millis::from(n) * MINUTE,
            Self::Week => 7 * DAY,
            Self::Month => 28 * DAY,
        }
    }

    /// How many bars open in `[start, end)`.
    pub fn count(self, start: Millis, end: Millis) -> u64 {
        if end <= start {
            return 0;
        }
        match self {
            Self::Month => months(self.ceil(end)).abs_diff(months(self.ceil(start))),
            Self::Minutes(_) | Self::Week => {
                (self.ceil(end) - self.ceil(start)).unsigned_abs() / self.shortest().unsigned_abs()
            }
        }
    }
}

fn date(at: Millis) -> NaiveDate {
    DateTime::from_timestamp_millis(at).map_or(NaiveDate::MIN, |time| time.date_naive())
}

fn months(at: Millis) -> i64 {
    let date = date(at);
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn midnight(date: NaiveDate) -> Millis {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
}

fn month_start(at: Millis) -> Millis {
    let date = date(at);
    midnight(date.with_day(1).unwrap_or(date))
}

fn add_months(at: Millis, count: u32) -> Millis {
    let date = date(at);
    midnight(date.checked_add_months(Months::new(count)).unwrap_or(NaiveDate::MAX))
}

impl FromStr for Timeframe {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, timeframe)| *timeframe).ok_or_else(|| {
            let names: Vec<&str> = NAMES[..14].iter().map(|(name, _)| *name).collect();
            Error::invalid(format!("unknown timeframe {text:?}; use one of {}", names.join(", ")))
        })
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, timeframe)| timeframe == self);
        f.write_str(name.map_or("?", |(name, _)| name))
    }
}

impl TryFrom<String> for Timeframe {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Timeframe> for String {
    fn from(timeframe: Timeframe) -> Self {
        timeframe.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_timeframe() -> impl Strategy<Value = Timeframe> {
        (0..14_usize).prop_map(|index| NAMES[index].1)
    }

    proptest! {
        #[test]
        fn the_grid_is_consistent(timeframe in any_timeframe(), at in 0_i64..4_102_444_800_000, n in 0_u32..50) {
            let open = timeframe.floor(at);
            prop_assert!(open <= at && at < timeframe.next(open));
            prop_assert!(timeframe.is_aligned(open) && timeframe.is_aligned(timeframe.next(open)));
            let mut stepped = open;
            for _ in 0..n { stepped = timeframe.next(stepped); }
            prop_assert_eq!(timeframe.step(open, n), stepped);
            prop_assert_eq!(timeframe.back(stepped, n), open);
            prop_assert_eq!(timeframe.count(open, stepped), u64::from(n));
            let ceil = timeframe.ceil(at);
            prop_assert!(ceil >= at && timeframe.floor(ceil) == ceil && timeframe.count(at, ceil) == 0);
        }

        #[test]
        fn names_round_trip(timeframe in any_timeframe()) {
            prop_assert_eq!(timeframe.to_string().parse::<Timeframe>().unwrap(), timeframe);
        }
    }

    #[test]
    fn weeks_open_on_monday_and_months_on_the_first() {
        let thursday = 1_704_326_400_000; // 2024-01-04
        assert_eq!(Timeframe::Week.floor(thursday), 1_704_067_200_000); // Monday 2024-01-01
        assert_eq!(Timeframe::Month.next(1_706_745_600_000), 1_709_251_200_000); // February 2024 has 29 days
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let error = "7m".parse::<Timeframe>().unwrap_err();
        assert!(error.to_string().contains("\"7m\"") && error.to_string().contains("1w"), "{error}");
    }
}
