//! Klines: `[openTime, open, high, low, close, volume, closeTime, quoteVolume, trades, takerBuyBase, ...]`, the same on
//! both markets. The quote volumes have no column in the schema.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};

use crate::adapters::scan::{Column, Number, scan_table};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::DataType;
use crate::timeframe::Timeframe;

const FLOAT: Option<Number> = Some(Number::Float);
const COUNT: Option<Number> = Some(Number::Integer);

const PLACES: [Option<Number>; 10] = [COUNT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, None, None, COUNT, FLOAT];

const INTERVALS: [(Timeframe, &str); 14] = [
    (Timeframe::Minutes(1), "1m"),
    (Timeframe::Minutes(3), "3m"),
    (Timeframe::Minutes(5), "5m"),
    (Timeframe::Minutes(15), "15m"),
    (Timeframe::Minutes(30), "30m"),
    (Timeframe::Minutes(60), "1h"),
    (Timeframe::Minutes(120), "2h"),
    (Timeframe::Minutes(240), "4h"),
    (Timeframe::Minutes(360), "6h"),
    (Timeframe::Minutes(480), "8h"),
    (Timeframe::Minutes(720), "12h"),
    (Timeframe::Minutes(1440), "1d"),
    (Timeframe::Week, "1w"),
    (Timeframe::Month, "1M"),
];

/// What Binance calls `timeframe`.
pub(super) fn interval(timeframe: Timeframe) -> Result<&'static str> {
    let known = INTERVALS.iter().find(|(known, _)| *known == timeframe);
    known.map(|(_, name)| *name).ok_or_else(|| Error::invalid(format!("Binance has no {timeframe} bars")))
}

/// The rows of a body.
pub(super) fn batch(body: &[u8]) -> Result<Batch> {
    let mut ts = Vec::new();
    let mut floats = Vec::with_capacity(6);
    let mut trades: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
    for (place, column) in scan_table(body, &PLACES)?.into_iter().enumerate() {
        match column {
            Column::Floats(values, _) => floats.push(Arc::new(Float64Array::from(values)) as ArrayRef),
            Column::Integers(values, _) if place == 0 => ts = values,
            Column::Integers(values, _) => trades = Arc::new(Int64Array::from(values)),
        }
    }
    // open, high, low, close, volume and the takers' part of it, trades; how many of them were takers' is not said.
    let unsaid = Arc::new(Int64Array::new_null(ts.len()));
    let values = floats.into_iter().chain([trades, unsaid as ArrayRef]).collect();
    Batch::new(DataType::Ohlcv, ts, values)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};

    use super::*;

    #[test]
    fn each_value_lands_in_its_column() {
        let body = br#"[[1672981200000,"16823.24000000","16823.63","16792.12","16810.18","6230.44034000",1672984799999,
            "104737787.36570630",162086,"3058.60695000","51418990.63131130","0"]]"#;
        let batch = batch(body).unwrap();
        assert_eq!(batch.ts(), [1_672_981_200_000]);
        let float = |index: usize| batch.rows().column(index).as_primitive::<Float64Type>().value(0);
        let expected = [16_823.24, 16_823.63, 16_792.12, 16_810.18, 6_230.440_34, 3_058.606_95];
        for (index, value) in expected.into_iter().enumerate() {
            assert_eq!(float(index + 1).to_bits(), f64::to_bits(value), "column {index}");
        }
        assert_eq!(batch.rows().column(7).as_primitive::<Int64Type>().value(0), 162_086);
        assert_eq!(batch.rows().column(8).null_count(), 1);
    }

    #[test]
    fn a_body_without_rows_is_a_batch_without_rows_and_anything_else_is_refused() {
        assert!(batch(b"[]").unwrap().is_empty());
        for body in
            ["null", "{}", "[[1,\"2\"]]", "[[1,null,\"1\",\"1\",\"1\",\"1\",2,\"1\",3,\"1\"]]", "[[1,"]
        {
            assert_eq!(batch(body.as_bytes()).unwrap_err().kind(), crate::error::Kind::Data, "{body}");
        }
    }
}
