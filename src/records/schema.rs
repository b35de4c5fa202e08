//! The columns of each data type. `ts` is the bar's open time, `timestamp(ms, UTC)`, never null.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit};

use crate::series::DataType;

/// Name of the time column.
pub const TS: &str = "ts";

/// Name, unit and whether it counts (int64, else float64); nullable where the third is `Null`.
type Column = (&'static str, &'static str, Shape);

#[derive(Clone, Copy)]
enum Shape {
    /// float64, never null.
    Value,
    /// float64 that not every source gives.
    Optional,
    /// int64 that not every source gives.
    Count,
}

const OHLCV: &[Column] = &[
    ("open", "price in quote units", Shape::Value),
    ("high", "price in quote units", Shape::Value),
    ("low", "price in quote units", Shape::Value),
    ("close", "price in quote units", Shape::Value),
    ("volume", "base units, or as the source says", Shape::Value),
    ("taker_buy_volume", "as volume", Shape::Optional),
    ("trade_count", "trades", Shape::Count),
    ("taker_buy_trades", "trades", Shape::Count),
];
const OPEN_INTEREST: &[Column] = &[
    ("oi_open", "the market's own unit, or USD where asked for", Shape::Optional),
    ("oi_high", "as oi_open", Shape::Optional),
    ("oi_low", "as oi_open", Shape::Optional),
    ("oi_close", "as oi_open", Shape::Value),
];
const FUNDING_RATE: &[Column] = &[
    ("funding_open", "fraction per funding interval, as the source says", Shape::Optional),
    ("funding_high", "as funding_open", Shape::Optional),
    ("funding_low", "as funding_open", Shape::Optional),
    ("funding_close", "as funding_open", Shape::Value),
];
const LIQUIDATIONS: &[Column] = &[
    ("long_volume", "the market's own unit, or USD where asked for", Shape::Value),
    ("short_volume", "as long_volume", Shape::Value),
];
const LONG_SHORT_RATIO: &[Column] = &[
    ("ratio", "long / short", Shape::Value),
    ("long_share", "percent", Shape::Optional),
    ("short_share", "percent", Shape::Optional),
];

fn columns(data_type: DataType) -> &'static [Column] {
    match data_type {
        DataType::Ohlcv => OHLCV,
        DataType::OpenInterest => OPEN_INTEREST,
        DataType::FundingRate => FUNDING_RATE,
        DataType::Liquidations => LIQUIDATIONS,
        DataType::LongShortRatio => LONG_SHORT_RATIO,
    }
}

fn field((name, unit, shape): &Column) -> Field {
    let (kind, nullable) = match shape {
        Shape::Value => (ArrowType::Float64, false),
        Shape::Optional => (ArrowType::Float64, true),
        Shape::Count => (ArrowType::Int64, true),
    };
    Field::new(*name, kind, nullable).with_metadata(HashMap::from([("unit".to_owned(), (*unit).to_owned())]))
}

fn build(data_type: DataType) -> SchemaRef {
    let ts = Field::new(TS, ArrowType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false);
    Arc::new(Schema::new(std::iter::once(ts).chain(columns(data_type).iter().map(field)).collect::<Vec<_>>()))
}

/// The schema of `data_type`; the same object at every call.
pub fn schema(data_type: DataType) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 5]> = LazyLock::new(|| DataType::ALL.map(build));
    let at = DataType::ALL.iter().position(|known| *known == data_type).unwrap_or_default();
    Arc::clone(&SCHEMAS[at])
}
