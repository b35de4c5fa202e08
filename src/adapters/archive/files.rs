//! The archive's files: what they are called, and which days and months they hold. Pure.

use std::fmt;
use std::str::FromStr;

use chrono::DateTime;

use crate::error::{Error, Result};
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

pub(super) const DAY: Timeframe = Timeframe::Minutes(1440);
const FIVE_MINUTES: Timeframe = Timeframe::Minutes(5);

/// Which of Binance's markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Market {
    /// Spot.
    Spot,
    /// Futures margined in stable coins.
    UsdM,
}

impl Market {
    /// The first part of series keys: that of the REST interface, whose rows these are.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Spot => "binance",
            Self::UsdM => "binance_usdm",
        }
    }

    /// The name used in arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::UsdM => "usdm",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::UsdM => "futures/um",
        }
    }

    /// `Invalid` where the archive has no such files.
    pub(super) fn check(self, data_type: DataType, timeframe: Timeframe) -> Result<()> {
        match (data_type, timeframe) {
            (DataType::Ohlcv, Timeframe::Week) => Err(Error::invalid(
                "Binance's archive cuts its 1w bars by months, so that the last one of a file may be a part of a week",
            )
            .with_hint("ask for 1d bars, or take 1w bars from the source \"binance\"")),
            (DataType::Ohlcv, _) => Ok(()),
            (DataType::OpenInterest, FIVE_MINUTES) if self == Self::UsdM => Ok(()),
            (DataType::OpenInterest, _) if self == Self::UsdM => {
                Err(Error::invalid(format!("Binance's archive has no {timeframe} open interest; it has 5m")))
            }
            _ => Err(Error::invalid(format!(
                "Binance's archive has no {data_type} of the market {self}; it has ohlcv, and open_interest of usdm"
            ))),
        }
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Market {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        [Self::Spot, Self::UsdM]
            .into_iter()
            .find(|market| market.name() == text)
            .ok_or_else(|| Error::invalid(format!("unknown market {text:?}; use spot or usdm")))
    }
}

/// The period of one file, by its first millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day(Millis),
    Month(Millis),
}

impl Period {
    pub(super) fn range(self) -> Option<TimeRange> {
        match self {
            Self::Day(start) => TimeRange::non_empty(start, DAY.next(start)),
            Self::Month(start) => TimeRange::non_empty(start, Timeframe::Month.next(start)),
        }
    }
}

/// Whether `series` has files of whole months.
pub(super) fn has_months(series: &Series) -> bool {
    series.data_type == DataType::Ohlcv
}

/// Whether `series` has files of single days.
pub(super) fn has_days(series: &Series) -> bool {
    matches!(series.timeframe, Timeframe::Minutes(_))
}

/// Where the file of `period` lies, relative to the archive's root; it ends in `.zip`.
pub(super) fn path(market: Market, series: &Series, period: Period) -> String {
    let (start, folder, shape) = match period {
        Period::Day(start) => (start, "daily", "%Y-%m-%d"),
        Period::Month(start) => (start, "monthly", "%Y-%m"),
    };
    let date = DateTime::from_timestamp_millis(start).unwrap_or_default().format(shape);
    let (root, symbol) = (market.folder(), &series.symbol);
    if series.data_type == DataType::OpenInterest {
        return format!("data/{root}/{folder}/metrics/{symbol}/{symbol}-metrics-{date}.zip");
    }
    let interval = match series.timeframe {
        Timeframe::Month => "1mo".to_owned(),
        other => other.to_string(),
    };
    format!("data/{root}/{folder}/klines/{symbol}/{interval}/{symbol}-{interval}-{date}.zip")
}

/// `range` cut at the first of each month.
pub(super) fn months(range: TimeRange) -> Vec<TimeRange> {
    cut(range, Timeframe::Month)
}

/// The days that overlap any of `ranges` (in order), each once, by their first millisecond.
pub(super) fn days(ranges: &[TimeRange]) -> Vec<Millis> {
    let pieces = ranges.iter().flat_map(|range| cut(*range, DAY));
    let mut days: Vec<Millis> = pieces.map(|piece| DAY.floor(piece.start())).collect();
    days.dedup();
    days
}

fn cut(range: TimeRange, grid: Timeframe) -> Vec<TimeRange> {
    let mut pieces = Vec::new();
    let mut at = range.start();
    while let Some(piece) = TimeRange::non_empty(at, grid.next(grid.floor(at)).min(range.end())) {
        pieces.push(piece);
        at = piece.end();
    }
    pieces
}
