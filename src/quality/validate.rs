//! What is wrong with stored rows: every finding with its count and its first place, not only the first one.

use serde::Serialize;

use super::check::{gaps, impossible, same_row, sorted};
use crate::error::Result;
use crate::records::Batch;
use crate::report::Gap;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rows cannot be used as they are.
    Error,
    /// Somebody should know.
    Warning,
}

/// One kind of trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Id of the check: `outside grid order repeated conflicting forming values missing`.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Rows, or bars for `missing`.
    pub count: u64,
    /// Open time of the first one, ISO 8601 UTC.
    pub first: String,
}

/// The rows of one series over a range, looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// Series key.
    pub series: String,
    /// Start of the range, ISO 8601 UTC.
    pub start: String,
    /// Its end (exclusive), ISO 8601 UTC.
    pub end: String,
    /// Whether no finding is an error.
    pub ok: bool,
    /// Rows that there are.
    pub rows: u64,
    /// Closed bars of the range.
    pub bars: u64,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// For a dense data type, the closed bars without a row; kind `missing`.
    pub gaps: Vec<Gap>,
}

/// Looks at the rows of `series` in `range`, as stored. `now` says which bars have closed.
pub fn validate(batch: &Batch, range: TimeRange, series: &Series, now: Millis) -> Result<Validation> {
    let timeframe = series.timeframe;
    let mut findings = Vec::new();
    let mut note = |check, severity, rows: Vec<Millis>| {
        if let Some(first) = rows.iter().min() {
            findings.push(Finding { check, severity, count: rows.len() as u64, first: iso(*first) });
        }
    };
    let ts = batch.ts();
    let rows = |wrong: &dyn Fn(Millis) -> bool| ts.iter().copied().filter(|at| wrong(*at)).collect();
    note("outside", Severity::Error, rows(&|at| !range.contains(at)));
    note("grid", Severity::Error, rows(&|at| !timeframe.is_aligned(at)));
    let ordered = sorted(batch)?;
    let (repeated, conflicting) = doubled(&ordered);
    note("conflicting", Severity::Error, conflicting);
    if batch.data_type() == DataType::Ohlcv {
        note("values", Severity::Error, impossible(batch).map(|row| ts[row]).collect());
    }
    note(
        "order",
        Severity::Warning,
        ts.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[1]).collect(),
    );
    note("repeated", Severity::Warning, repeated);
    note("forming", Severity::Warning, rows(&|at| timeframe.next(at) > now));
    let closed = closed_bars(range, timeframe, now);
    let holes = match closed {
        Some(closed) if series.data_type.is_dense() => holes(&ordered, closed, timeframe),
        _ => Vec::new(),
    };
    let missing: u64 = holes.iter().map(|gap| gap.bars).sum();
    if let Some(gap) = holes.first() {
        let (check, severity, first) = ("missing", Severity::Warning, gap.start.clone());
        findings.push(Finding { check, severity, count: missing, first });
    }
    Ok(Validation {
        series: series.to_string(),
        start: iso(range.start()),
        end: iso(range.end()),
        ok: findings.iter().all(|finding| finding.severity != Severity::Error),
        rows: batch.len() as u64,
        bars: closed.map_or(0, |closed| timeframe.count(closed.start(), closed.end())),
        findings,
        gaps: holes,
    })
}

/// The whole bars of `range` that have closed by `now`.
pub fn closed_bars(range: TimeRange, timeframe: Timeframe, now: Millis) -> Option<TimeRange> {
    let end = timeframe.ceil(range.end()).min(timeframe.floor(now));
    TimeRange::non_empty(timeframe.ceil(range.start()), end)
}

/// Open times of rows that repeat the one before exactly, and of those that contradict it.
fn doubled(ordered: &Batch) -> (Vec<Millis>, Vec<Millis>) {
    let ts = ordered.ts();
    let again = (1..ts.len()).filter(|row| ts[*row] == ts[row - 1]);
    let (same, other): (Vec<usize>, Vec<usize>) =
        again.partition(|row| same_row(ordered.rows(), row - 1, *row));
    let times = |rows: Vec<usize>| rows.into_iter().map(|row| ts[row]).collect();
    (times(same), times(other))
}

fn holes(ordered: &Batch, closed: TimeRange, timeframe: Timeframe) -> Vec<Gap> {
    let inside = ordered.within(closed);
    let ts: Vec<Millis> = inside.ts().iter().copied().filter(|at| timeframe.is_aligned(*at)).collect();
    let gap = |hole: TimeRange| Gap::new(hole, timeframe, "missing");
    gaps(&ts, closed, timeframe).into_iter().map(gap).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array};

    use super::*;

    fn bars(rows: &[(Millis, f64)]) -> Batch {
        let column = |value: f64| Arc::new(Float64Array::from(vec![value; rows.len()])) as ArrayRef;
        let high = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1)));
        let count = || Arc::new(Int64Array::from(vec![None::<i64>; rows.len()])) as ArrayRef;
        let none = Arc::new(Float64Array::from(vec![None::<f64>; rows.len()]));
        let values = vec![column(2.0), high, column(1.0), column(1.5), column(3.0), none, count(), count()];
        Batch::new(DataType::Ohlcv, rows.iter().map(|row| row.0 * 60_000).collect(), values).unwrap()
    }

    fn look(rows: &[(Millis, f64)], now: Millis) -> Validation {
        let series = "x/ohlcv/BTC/1m".parse().unwrap();
        validate(&bars(rows), TimeRange::new(0, 600_000).unwrap(), &series, now * 60_000).unwrap()
    }

    #[test]
    fn whole_rows_have_no_finding() {
        let rows: Vec<(Millis, f64)> = (0..10).map(|minute| (minute, 2.0)).collect();
        let validation = look(&rows, 10);
        assert_eq!((validation.ok, validation.rows, validation.bars), (true, 10, 10));
        assert_eq!(validation.findings, []);
    }

    #[test]
    fn everything_is_found_at_once_and_counted() {
        let validation = look(&[(1, 2.0), (1, 2.0), (1, 3.0), (0, 2.0), (5, 1.0), (12, 2.0), (8, 2.0)], 9);
        let found: Vec<_> = validation.findings.iter().map(|found| (found.check, found.count)).collect();
        let wanted = [
            ("outside", 1),
            ("conflicting", 1),
            ("values", 1),
            ("order", 2),
            ("repeated", 1),
            ("forming", 1),
            ("missing", 5),
        ];
        assert_eq!(found, wanted);
        assert!(!validation.ok);
        assert_eq!(validation.findings[0].first, "1970-01-01T00:12:00Z");
        let gaps: Vec<_> = validation.gaps.iter().map(|gap| gap.bars).collect();
        assert_eq!(gaps, [3, 2], "minutes 2 to 4, 6 and 7; 8 has a row, 9 has not closed");
    }
}
