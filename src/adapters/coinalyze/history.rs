//! The history endpoints: their paths, intervals and fields, and their columns as batches.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use arrow_buffer::NullBuffer;

use crate::adapters::scan::{Column, Field, Number};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::DataType;
use crate::timeframe::Timeframe;

const INTERVALS: [(&str, Timeframe, &str); 10] = [
    ("1m", Timeframe::Minutes(1), "1min"),
    ("5m", Timeframe::Minutes(5), "5min"),
    ("15m", Timeframe::Minutes(15), "15min"),
    ("30m", Timeframe::Minutes(30), "30min"),
    ("1h", Timeframe::Minutes(60), "1hour"),
    ("2h", Timeframe::Minutes(120), "2hour"),
    ("4h", Timeframe::Minutes(240), "4hour"),
    ("6h", Timeframe::Minutes(360), "6hour"),
    ("12h", Timeframe::Minutes(720), "12hour"),
    ("1d", Timeframe::Minutes(1440), "daily"),
];

/// What the API calls `timeframe`.
pub(super) fn interval(timeframe: Timeframe) -> Result<&'static str> {
    let known = INTERVALS.iter().find(|(_, known, _)| *known == timeframe);
    known.map(|(_, _, interval)| *interval).ok_or_else(|| {
        let names: Vec<&str> = INTERVALS.iter().map(|(name, _, _)| *name).collect();
        Error::invalid(format!("Coinalyze has no {timeframe} bars; it has {}", names.join(", ")))
    })
}

/// The path of `data_type`'s history.
pub(super) const fn endpoint(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Ohlcv => "ohlcv-history",
        DataType::OpenInterest => "open-interest-history",
        DataType::FundingRate => "funding-rate-history",
        DataType::Liquidations => "liquidation-history",
        DataType::LongShortRatio => "long-short-ratio-history",
    }
}

const fn float(key: &'static str) -> Field {
    Field { key, number: Number::Float, optional: false }
}

const fn optional(key: &'static str, number: Number) -> Field {
    Field { key, number, optional: true }
}

const TIME: Field = Field { key: "t", number: Number::Integer, optional: false };

const OHLCV: [Field; 9] = [
    TIME,
    float("o"),
    float("h"),
    float("l"),
    float("c"),
    float("v"),
    optional("bv", Number::Float),
    optional("tx", Number::Integer),
    optional("btx", Number::Integer),
];
const OHLC: [Field; 5] = [
    TIME,
    optional("o", Number::Float),
    optional("h", Number::Float),
    optional("l", Number::Float),
    float("c"),
];
const LIQUIDATIONS: [Field; 3] = [TIME, float("l"), float("s")];
const RATIO: [Field; 4] = [TIME, float("r"), optional("l", Number::Float), optional("s", Number::Float)];

/// The fields of an item, in the order of the schema's columns.
pub(super) const fn fields(data_type: DataType) -> &'static [Field] {
    match data_type {
        DataType::Ohlcv => &OHLCV,
        DataType::OpenInterest | DataType::FundingRate => &OHLC,
        DataType::Liquidations => &LIQUIDATIONS,
        DataType::LongShortRatio => &RATIO,
    }
}

/// Scanned columns (see [`fields`]) as a batch; `t` goes from seconds to milliseconds.
pub(super) fn batch(data_type: DataType, columns: Vec<Column>) -> Result<Batch> {
    let mut columns = columns.into_iter();
    let Some(Column::Integers(seconds, _)) = columns.next() else {
        return Err(Error::internal("the first column of a history is not its time"));
    };
    let overflow = || Error::data("the answer holds a time that is not in seconds");
    let ts: Option<Vec<i64>> = seconds.into_iter().map(|at| at.checked_mul(1000)).collect();
    let array = |column: Column| -> ArrayRef {
        match column {
            Column::Floats(values, validity) => {
                Arc::new(Float64Array::new(values.into(), validity.map(NullBuffer::from)))
            }
            Column::Integers(values, validity) => {
                Arc::new(Int64Array::new(values.into(), validity.map(NullBuffer::from)))
            }
        }
    };
    Batch::new(data_type, ts.ok_or_else(overflow)?, columns.map(array).collect())
}
