//! From a file's CSV to rows in the schema of their data type, each on the bar that it opened in. What is odd in a
//! file is put right where only one reading is possible, and said in the lineage. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, UInt32Array};

use super::csv::{self, Klines, Metrics};
use super::files::Period;
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// From this day on, metrics are labelled by the start of their five minutes, before it by the end (binance-public-data
/// issue 491): 2026-06-25.
const START_LABELS: Millis = 1_782_345_600_000;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Batch,
    /// What was odd.
    pub(super) notes: Vec<String>,
}

/// The rows of the file of `period` of `series`, from its CSV. `Data` where it is not what it should be.
pub(super) fn table(series: &Series, period: Period, body: &[u8]) -> Result<Table> {
    let mut notes = Vec::new();
    let (opens, values) = if series.data_type == DataType::OpenInterest {
        let metrics = csv::metrics(body, &series.symbol)?;
        if metrics.blank > 0 {
            notes.push(format!("{} rows without open interest left out", metrics.blank));
        }
        open_interest(metrics, series.timeframe, period)
    } else {
        ohlcv(csv::klines(body)?)
    };
    let (fitted, moved) = fit(&opens, series.timeframe);
    if let Some(first) = moved.first() {
        notes.push(format!(
            "{} rows off the grid, the first of {}, stand at their bar's start",
            moved.len(),
            iso(*first)
        ));
    }
    let mut rows = Batch::new(series.data_type, fitted, values)?;
    // Two rows of a bar are refused by whoever checks the answer; here they come from labels that were put right.
    if !moved.is_empty() || series.data_type == DataType::OpenInterest {
        let kept = one_per_bar(&opens, rows.ts());
        notes.extend(left_out(&kept, "of bars that have another row"));
        rows = rows.keep(&kept)?;
    }
    if let Some(range) = period.range() {
        rows = inside(rows, range, series, &mut notes)?;
    }
    let rows = in_order(rows)?;
    Ok(Table { rows, notes })
}

fn in_order(rows: Batch) -> Result<Batch> {
    let ts = rows.ts();
    if ts.is_sorted() {
        return Ok(rows);
    }
    let mut order: Vec<u32> = (0..ts.len() as u32).collect();
    order.sort_by_key(|row| ts[*row as usize]);
    let taken = arrow_select::take::take_record_batch(rows.rows(), &UInt32Array::from(order));
    Batch::from_record_batch(rows.data_type(), &taken.map_err(|error| Error::internal(error.to_string()))?)
}

fn floats(values: Vec<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

fn ohlcv(rows: Klines) -> (Vec<Millis>, Vec<ArrayRef>) {
    let count = rows.ts.len();
    let mut values: Vec<ArrayRef> = rows.values.into_iter().map(floats).collect();
    values.push(floats(rows.taker_buy_volume));
    values.push(Arc::new(Int64Array::from(rows.trade_count)));
    values.push(Arc::new(Int64Array::new_null(count)));
    (rows.ts, values)
}

/// The open interest at the end of each five minutes, stamped by their start.
fn open_interest(rows: Metrics, timeframe: Timeframe, period: Period) -> (Vec<Millis>, Vec<ArrayRef>) {
    let count = rows.create_time.len();
    let next_day = period.range().map(TimeRange::end);
    let by_end = period.range().is_some_and(|day| day.start() < START_LABELS)
        || rows.create_time.iter().any(|label| Some(*label) == next_day);
    let shift = if by_end { timeframe.shortest() } else { 0 };
    let opens = rows.create_time.iter().map(|label| label - shift).collect();
    let null = || Arc::new(Float64Array::new_null(count)) as ArrayRef;
    (opens, vec![null(), null(), null(), floats(rows.open_interest)])
}

/// Each time's bar, and the times that were not its start.
fn fit(opens: &[Millis], timeframe: Timeframe) -> (Vec<Millis>, Vec<Millis>) {
    let fitted: Vec<Millis> = opens.iter().map(|open| timeframe.floor(*open)).collect();
    let moved = opens.iter().zip(&fitted).filter(|(open, bar)| open != bar).map(|(open, _)| *open).collect();
    (fitted, moved)
}

/// One row of each bar: one that opened at its start, else any; the last of those.
fn one_per_bar(opens: &[Millis], bars: &[Millis]) -> BooleanArray {
    let mut chosen: HashMap<Millis, usize> = HashMap::with_capacity(bars.len());
    for (row, (open, bar)) in opens.iter().zip(bars).enumerate() {
        let held = chosen.entry(*bar).or_insert(row);
        if open == bar || opens[*held] != *bar {
            *held = row;
        }
    }
    bars.iter().enumerate().map(|(row, bar)| Some(chosen.get(bar) == Some(&row))).collect()
}

/// The rows that belong to the file. Its neighbours' are left out; a file without any of its own is another's.
fn inside(rows: Batch, range: TimeRange, series: &Series, notes: &mut Vec<String>) -> Result<Batch> {
    if rows.ts().iter().all(|at| range.contains(*at)) {
        return Ok(rows);
    }
    let kept: BooleanArray = rows.ts().iter().map(|at| Some(range.contains(*at))).collect();
    // The last five minutes of the day before, of a file with both midnights.
    let edge = series.data_type == DataType::OpenInterest
        && rows.ts().iter().all(|at| range.contains(*at) || range.contains(series.timeframe.next(*at)));
    if kept.true_count() == 0 && !edge {
        return Err(Error::data(format!("it holds rows of {}, outside its own {range}", iso(rows.ts()[0]))));
    }
    notes.extend(left_out(&kept, "outside the file's own time"));
    rows.keep(&kept)
}

fn left_out(kept: &BooleanArray, why: &str) -> Option<String> {
    let count = kept.false_count();
    (count > 0).then(|| format!("{count} rows {why} left out"))
}

/// The rows of `day` in `range` for whose bars `month` (in order) has none.
pub(super) fn supplement(month: &Batch, day: &Batch, range: TimeRange) -> Result<Batch> {
    day.select(|at| range.contains(at) && month.ts().binary_search(&at).is_err())
}
