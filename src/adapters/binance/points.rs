//! What is not bars there: open interest, a point at the right edge of its period, and funding, an event of its own time.
//! Here both are rows of the bar that they belong to.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::Millis;
use crate::timeframe::Timeframe;

/// A number, with quotes or without.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Whole(i64),
    Float(f64),
}

impl Number<'_> {
    fn float(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
            Self::Whole(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
        }
    }

    fn millis(&self) -> Option<Millis> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Whole(value) => Some(*value),
            Self::Float(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Interest<'a> {
    #[serde(rename = "sumOpenInterest", borrow)]
    value: Number<'a>,
    #[serde(borrow)]
    timestamp: Number<'a>,
}

#[derive(Deserialize)]
struct Funding<'a> {
    #[serde(rename = "fundingRate", borrow)]
    rate: Number<'a>,
    #[serde(rename = "fundingTime", borrow)]
    time: Number<'a>,
}

fn unreadable(said: impl std::fmt::Display) -> Error {
    Error::data(format!("the answer is not what it should be: {said}"))
}

fn points<T>(items: &[T], point: impl Fn(&T) -> Option<(Millis, f64)>) -> Result<Vec<(Millis, f64)>> {
    let one = |(index, item): (usize, &T)| {
        point(item).ok_or_else(|| unreadable(format!("item {index} holds no time or no number")))
    };
    items.iter().enumerate().map(one).collect()
}

/// Open interest in base units. What was measured at the end of a bar is that bar's close, so `ts` is `timestamp` less
/// the bar's length; open, high and low are not said.
pub(super) fn open_interest(body: &[u8], timeframe: Timeframe) -> Result<Batch> {
    let items: Vec<Interest<'_>> = serde_json::from_slice(body).map_err(unreadable)?;
    let points = points(&items, |item| Some((item.timestamp.millis()?, item.value.float()?)))?;
    let ts = points.iter().map(|(at, _)| at - timeframe.shortest()).collect();
    let close = Arc::new(Float64Array::from_iter_values(points.iter().map(|(_, value)| *value)));
    let unsaid = || Arc::new(Float64Array::new_null(points.len())) as ArrayRef;
    Batch::new(DataType::OpenInterest, ts, vec![unsaid(), unsaid(), unsaid(), close])
}

/// The funding rates of one bar.
struct Bar {
    ts: Millis,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
}

/// Funding: a bar's rates are those that were settled from its open on until before the next one's. Times of settlement
/// are a few milliseconds late, so a bar that a settlement opens is the one it belongs to. Where the answer holds `most`
/// rates there may be more: whether so, and then without the last bar, which may lack some.
pub(super) fn funding(body: &[u8], timeframe: Timeframe, most: usize) -> Result<(Batch, bool)> {
    let items: Vec<Funding<'_>> = serde_json::from_slice(body).map_err(unreadable)?;
    let points = points(&items, |item| Some((item.time.millis()?, item.rate.float()?)))?;
    if !points.is_sorted_by_key(|(at, _)| *at) {
        return Err(unreadable("funding times go back"));
    }
    let mut bars: Vec<Bar> = Vec::new();
    for (at, rate) in &points {
        let ts = timeframe.floor(*at);
        match bars.last_mut().filter(|bar| bar.ts == ts) {
            Some(bar) => {
                (bar.high, bar.low, bar.close) = (bar.high.max(*rate), bar.low.min(*rate), *rate);
            }
            None => bars.push(Bar { ts, open: *rate, high: *rate, low: *rate, close: *rate }),
        }
    }
    let truncated = points.len() >= most;
    if truncated {
        bars.pop();
    }
    let column =
        |value: fn(&Bar) -> f64| Arc::new(Float64Array::from_iter_values(bars.iter().map(value))) as ArrayRef;
    let values =
        vec![column(|bar| bar.open), column(|bar| bar.high), column(|bar| bar.low), column(|bar| bar.close)];
    let ts = bars.iter().map(|bar| bar.ts).collect();
    Ok((Batch::new(DataType::FundingRate, ts, values)?, truncated))
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;

    use super::*;
    use crate::error::Kind;

    const FIVE: Timeframe = Timeframe::Minutes(5);
    const EIGHT_HOURS: Timeframe = Timeframe::Minutes(480);
    const HOUR: i64 = 3_600_000;

    fn values(batch: &Batch, column: usize) -> Vec<f64> {
        batch.rows().column(column).as_primitive::<Float64Type>().values().to_vec()
    }

    #[test]
    fn open_interest_is_the_close_of_the_bar_that_ends_there() {
        let body = br#"[{"symbol":"BTCUSDT","sumOpenInterest":"20403.63700000","sumOpenInterestValue":"150570784.07","timestamp":"1583127900000"},
            {"symbol":"BTCUSDT","sumOpenInterest":20401.367,"sumOpenInterestValue":1,"timestamp":1583128200000}]"#;
        let batch = open_interest(body, FIVE).unwrap();
        assert_eq!(batch.ts(), [1_583_127_600_000, 1_583_127_900_000]);
        assert_eq!(values(&batch, 4), [20403.637, 20401.367]);
        assert_eq!((1..4).map(|column| batch.rows().column(column).null_count()).sum::<usize>(), 6);
    }

    #[test]
    fn jitter_of_funding_times_stays_in_the_bar_and_several_rates_make_one_row() {
        let at = |index: i64, late: i64| 1_570_608_000_000 + index * HOUR + late;
        let item = |at: i64, rate: &str| format!("{{\"fundingTime\":{at},\"fundingRate\":\"{rate}\"}}");
        let items = [
            item(at(0, 3), "0.0001"),
            item(at(8, 0), "0.0003"),
            item(at(12, 17), "-0.0002"),
            item(at(16, 1), "0"),
        ];
        let body = format!("[{}]", items.join(","));
        let (batch, truncated) = funding(body.as_bytes(), EIGHT_HOURS, 1000).unwrap();
        assert_eq!(batch.ts(), [at(0, 0), at(8, 0), at(16, 0)]);
        let expected =
            [[0.0001, 0.0003, 0.0], [0.0001, 0.0003, 0.0], [0.0001, -0.0002, 0.0], [0.0001, -0.0002, 0.0]];
        for (column, expected) in expected.into_iter().enumerate() {
            assert_eq!(values(&batch, column + 1), expected);
        }
        assert!(!truncated);
        let (batch, truncated) = funding(body.as_bytes(), EIGHT_HOURS, 4).unwrap();
        assert_eq!((batch.ts(), truncated), (&[at(0, 0), at(8, 0)][..], true), "the last bar may lack some");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for body in [
            "{}",
            "null",
            r#"[{"fundingTime":1,"fundingRate":null}]"#,
            r#"[{"fundingTime":1,"fundingRate":""}]"#,
            r#"[{"fundingTime":1,"fundingRate":"NaN"}]"#,
            r#"[{"fundingTime":1.5,"fundingRate":"1"}]"#,
            r#"[{"fundingTime":2,"fundingRate":"1"},{"fundingTime":1,"fundingRate":"1"}]"#,
            r#"[{"fundingRate":"1"}]"#,
        ] {
            assert_eq!(funding(body.as_bytes(), FIVE, 9).unwrap_err().kind(), Kind::Data, "{body}");
        }
        assert_eq!(open_interest(b"[{}]", FIVE).unwrap_err().kind(), Kind::Data);
        assert!(open_interest(b"[]", FIVE).unwrap().is_empty());
    }
}
