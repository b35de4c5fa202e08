//! The checks that every fetched answer passes: inside what was asked, on the grid, one row per bar,
//! only closed bars, and prices that can be true.

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, BooleanArray, RecordBatch, UInt32Array};

use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// Rows that passed, in time order.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What may be stored.
    pub batch: Batch,
    /// Rows that repeated another one exactly.
    pub duplicates: u64,
    /// Bars that had not closed by the given time; left for a later run.
    pub forming: u64,
}

/// Checks the answer to a request for `range`. `Data`, naming the first offender, where a row lies outside
/// the range or off the grid, where two rows of one closed bar differ, or where its values cannot be true.
/// A forming bar may still change, so its values are not looked at.
pub fn check(batch: &Batch, range: TimeRange, timeframe: Timeframe, now: Millis) -> Result<Checked> {
    for at in batch.ts() {
        if !range.contains(*at) {
            return Err(Error::data(format!(
                "the answer holds a row of {} outside the asked {range}",
                iso(*at)
            )));
        }
        if !timeframe.is_aligned(*at) {
            return Err(Error::data(format!(
                "the answer holds a row of {}, which no {timeframe} bar opens at",
                iso(*at)
            )));
        }
    }
    let (batch, forming) = closed(&sorted(batch)?, range, timeframe, now);
    let (batch, duplicates) = without_repetitions(batch)?;
    if batch.data_type() == DataType::Ohlcv {
        prices(&batch)?;
    }
    Ok(Checked { batch, duplicates, forming })
}

/// The rows in time order; no copy where they are.
pub(crate) fn sorted(batch: &Batch) -> Result<Batch> {
    let ts = batch.ts();
    if ts.is_sorted() {
        return Ok(batch.clone());
    }
    let mut order: Vec<u32> = (0..ts.len() as u32).collect();
    order.sort_by_key(|row| ts[*row as usize]);
    select(batch, &UInt32Array::from(order))
}

/// The bars that have closed by `now`, and how many rows have not. No copy.
fn closed(batch: &Batch, range: TimeRange, timeframe: Timeframe, now: Millis) -> (Batch, u64) {
    let closed = batch.ts().partition_point(|open| timeframe.next(*open) <= now);
    let Some(first_open) = batch.ts().get(closed).copied() else { return (batch.clone(), 0) };
    let kept = TimeRange::non_empty(range.start(), first_open)
        .map_or_else(|| Batch::empty(batch.data_type()), |closed| batch.within(closed));
    (kept, (batch.len() - closed) as u64)
}

/// The rows (in time order) without exact repetitions; no copy where there are none.
fn without_repetitions(batch: Batch) -> Result<(Batch, u64)> {
    let ts = batch.ts();
    if ts.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok((batch, 0));
    }
    let mut keep = vec![true; ts.len()];
    for row in 1..ts.len() {
        if ts[row] == ts[row - 1] {
            if !same_row(batch.rows(), row - 1, row) {
                return Err(Error::data(format!("the answer holds two different rows of {}", iso(ts[row]))));
            }
            keep[row] = false;
        }
    }
    let repeated = keep.iter().filter(|kept| !**kept).count() as u64;
    Ok((batch.keep(&BooleanArray::from(keep))?, repeated))
}

fn select(batch: &Batch, rows: &UInt32Array) -> Result<Batch> {
    let taken = arrow_select::take::take_record_batch(batch.rows(), rows);
    Batch::from_record_batch(batch.data_type(), &taken.map_err(|error| Error::internal(error.to_string()))?)
}

pub(crate) fn same_row(rows: &RecordBatch, a: usize, b: usize) -> bool {
    rows.columns().iter().all(|column| column.slice(a, 1).as_ref() == column.slice(b, 1).as_ref())
}

/// The rows that cannot be true: low is the lowest, high the highest, everything is finite and above zero, volume is
/// not negative.
pub(super) fn impossible(batch: &Batch) -> impl Iterator<Item = usize> + '_ {
    let rows = batch.rows();
    let column = |index: usize| &**rows.column(index).as_primitive::<Float64Type>().values();
    let (open, high, low, close, volume) = (column(1), column(2), column(3), column(4), column(5));
    let fine = move |row: usize| {
        let (open, high, low, close, volume) = (open[row], high[row], low[row], close[row], volume[row]);
        low > 0.0
            && low <= open.min(close)
            && high >= open.max(close)
            && high.is_finite()
            && volume >= 0.0
            && volume.is_finite()
            && !open.is_nan()
            && !close.is_nan()
    };
    (0..batch.len()).filter(move |row| !fine(*row))
}

/// `Data`, naming the first bar that cannot be true.
fn prices(batch: &Batch) -> Result<()> {
    let Some(bad) = impossible(batch).next() else { return Ok(()) };
    let value = |index: usize| batch.rows().column(index).as_primitive::<Float64Type>().value(bad);
    Err(Error::data(format!(
        "the bar of {} cannot be true: open {}, high {}, low {}, close {}, volume {}",
        iso(batch.ts()[bad]),
        value(1),
        value(2),
        value(3),
        value(4),
        value(5)
    )))
}

/// The runs of bars of `range` (aligned) that no row of `ts` (in order, aligned) opens.
pub fn gaps(ts: &[Millis], range: TimeRange, timeframe: Timeframe) -> Vec<TimeRange> {
    let mut gaps = Vec::new();
    let mut expected = range.start();
    for at in ts {
        gaps.extend(TimeRange::non_empty(expected, *at));
        expected = timeframe.next(*at);
    }
    gaps.extend(TimeRange::non_empty(expected, range.end()));
    gaps
}

/// How long a source may be late with a bar that has closed, at least; a whole bar where that is longer.
const GRACE: Millis = 600_000;

/// The part of `range` that an answer settles: all up to its last row, and beyond that only what is so old that the
/// source would have it; it may be late with the newest bars. `None` where it settles nothing. `ts` in order.
pub fn settled(ts: &[Millis], range: TimeRange, timeframe: Timeframe, now: Millis) -> Option<TimeRange> {
    let told = ts.last().map_or(range.start(), |last| timeframe.next(*last));
    let silent_from = timeframe.floor(now - GRACE.max(timeframe.shortest()));
    TimeRange::non_empty(range.start(), range.end().min(told.max(silent_from)))
}

/// What an answer for `range` of `series` proves: rows where there are rows; `empty` where a dense series has none.
/// A sparse series is settled as a whole: a missing row there means zero. `ts` as for [`gaps`].
pub fn facts(ts: &[Millis], range: TimeRange, series: &Series) -> Coverage {
    let state = if ts.is_empty() { State::Empty } else { State::Data };
    let whole = [(range, state)];
    if ts.is_empty() || !series.data_type.is_dense() {
        return whole.into_iter().collect();
    }
    let holes: Coverage =
        gaps(ts, range, series.timeframe).into_iter().map(|gap| (gap, State::Empty)).collect();
    let rows = holes.missing(range).into_iter().map(|rows| (rows, State::Data));
    holes.iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array};
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    const MINUTE: Timeframe = Timeframe::Minutes(1);
    const LATE: Millis = 1_000_000_000;

    fn bars(ts: &[Millis], high: f64) -> Batch {
        let column = |value: f64| Arc::new(Float64Array::from(vec![value; ts.len()])) as ArrayRef;
        let count = || Arc::new(Int64Array::from(vec![None::<i64>; ts.len()])) as ArrayRef;
        let none = Arc::new(Float64Array::from(vec![None::<f64>; ts.len()]));
        let values =
            vec![column(2.0), column(high), column(1.0), column(1.5), column(3.0), none, count(), count()];
        Batch::new(DataType::Ohlcv, ts.to_vec(), values).unwrap()
    }

    fn range(minutes: i64) -> TimeRange {
        TimeRange::new(0, minutes * 60_000).unwrap()
    }

    fn refused(batch: &Batch) -> String {
        let error = check(batch, range(10), MINUTE, LATE).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        error.to_string()
    }

    #[test]
    fn wrong_answers_are_refused_by_name() {
        assert!(refused(&bars(&[0, 600_000], 2.0)).contains("1970-01-01T00:10:00Z outside"));
        assert!(refused(&bars(&[0, 60_001], 2.0)).contains("no 1m bar opens"));
        assert!(refused(&bars(&[60_000], 1.9)).contains("high 1.9"));
        assert!(refused(&bars(&[0], f64::NAN)).contains("cannot be true"));
    }

    #[test]
    fn newest_first_is_turned_and_exact_repetitions_are_dropped() {
        let checked = check(&bars(&[120_000, 60_000, 60_000, 0], 2.0), range(10), MINUTE, LATE).unwrap();
        assert_eq!(checked.batch.ts(), [0, 60_000, 120_000]);
        assert_eq!(checked.duplicates, 1);
    }

    #[test]
    fn rows_of_one_bar_that_differ_are_refused() {
        let (a, b) = (bars(&[0], 2.0), bars(&[0], 3.0));
        let both = arrow_select::concat::concat_batches(&a.rows().schema(), [a.rows(), b.rows()]).unwrap();
        assert!(
            refused(&Batch::from_record_batch(DataType::Ohlcv, &both).unwrap())
                .contains("two different rows")
        );
    }

    #[test]
    fn a_bar_that_has_not_closed_is_left_out() {
        let checked = check(&bars(&[0, 60_000, 120_000], 2.0), range(10), MINUTE, 120_000).unwrap();
        assert_eq!(checked.batch.ts(), [0, 60_000]);
        assert_eq!(checked.forming, 1);
        assert!(check(&bars(&[0], 2.0), range(10), MINUTE, 59_999).unwrap().batch.is_empty());
    }

    #[test]
    fn silence_about_the_newest_bars_settles_nothing() {
        let minutes = |to: i64| TimeRange::new(0, to * 60_000).ok();
        let end = |last: Option<i64>, now: i64| {
            let ts: Vec<Millis> = last.iter().map(|minute| minute * 60_000).collect();
            settled(&ts, range(30), MINUTE, now * 60_000)
        };
        assert_eq!(end(Some(29), 30), minutes(30), "the newest bar is there");
        assert_eq!(end(Some(24), 30), minutes(25), "the source may be late with five bars");
        assert_eq!(end(Some(3), 30), minutes(20), "but not with more than ten minutes");
        assert_eq!(end(None, 30), minutes(20));
        assert_eq!(end(None, 1000), minutes(30), "what is old is settled");
        assert_eq!(end(None, 5), None);
        let (days, day) = (TimeRange::new(0, 3 * 86_400_000).unwrap(), Timeframe::Minutes(1440));
        let found = settled(&[86_400_000], days, day, 3 * 86_400_000 + 3_600_000);
        assert_eq!(found, TimeRange::new(0, 2 * 86_400_000).ok(), "nor with the last whole bar");
    }

    #[test]
    fn a_forming_bar_may_still_differ_or_be_odd() {
        let (closed, odd) = (bars(&[0], 2.0), bars(&[60_000, 60_000], 1.0));
        let other = bars(&[60_000], 3.0);
        let parts = [other.rows(), odd.rows(), closed.rows()];
        let all = arrow_select::concat::concat_batches(&odd.rows().schema(), parts).unwrap();
        let all = Batch::from_record_batch(DataType::Ohlcv, &all).unwrap();
        let checked = check(&all, range(10), MINUTE, 60_000).unwrap();
        assert_eq!((checked.batch.ts(), checked.duplicates, checked.forming), (&[0][..], 0, 3));
        assert_eq!(check(&all, range(10), MINUTE, 120_000).unwrap_err().kind(), Kind::Data);
    }

    proptest! {
        #[test]
        fn an_answer_is_what_a_naive_model_says(
            rows in prop::collection::vec((-2..12_i64, 0..40_u8, 0..25_u8), 0..9), closed in -1..12_i64,
        ) {
            // A row is off the grid, or has another high, once in a while.
            let rows: Vec<(Millis, f64)> = rows.into_iter().map(|(bar, off, high)| {
                let high = match high { 0 => 1.0, 1 => 3.0, _ => 2.0 };
                (bar.clamp(0, 11 - i64::from(off > 0)) * 60_000 + i64::from(off == 1), high)
            }).collect();
            let empty = Batch::empty(DataType::Ohlcv);
            let one: Vec<Batch> = rows.iter().map(|(at, high)| bars(&[*at], *high)).collect();
            let all = arrow_select::concat::concat_batches(&empty.rows().schema(), one.iter().map(Batch::rows));
            let batch = Batch::from_record_batch(DataType::Ohlcv, &all.unwrap()).unwrap();

            let answer = check(&batch, range(11), MINUTE, closed * 60_000);
            let kept: Vec<_> = rows.iter().filter(|(at, _)| at + 60_000 <= closed * 60_000).copied().collect();
            let mut model = std::collections::BTreeMap::new();
            let mut wrong = rows.iter().any(|(at, _)| *at >= 660_000 || at % 60_000 != 0);
            for (at, high) in &kept {
                wrong |= *high < 2.0 || model.insert(*at, *high).is_some_and(|other| other.to_bits() != high.to_bits());
            }
            prop_assert_eq!(answer.is_err(), wrong);
            if let Ok(checked) = answer {
                prop_assert!(checked.batch.ts().iter().eq(model.keys()));
                prop_assert_eq!(checked.forming as usize, rows.len() - kept.len());
                prop_assert_eq!(checked.duplicates as usize, kept.len() - model.len());
            }
        }

        #[test]
        fn gaps_are_exactly_the_bars_without_a_row(present in prop::collection::vec(any::<bool>(), 1..60)) {
            let ts: Vec<Millis> = present.iter().enumerate().filter(|(_, held)| **held).map(|(bar, _)| bar as i64 * 60_000).collect();
            let gaps = gaps(&ts, range(present.len() as i64), MINUTE);
            for (bar, held) in present.iter().enumerate() {
                let at = bar as i64 * 60_000;
                prop_assert_eq!(gaps.iter().any(|gap| gap.contains(at)), !held);
            }
            prop_assert!(gaps.windows(2).all(|pair| pair[0].end() < pair[1].start()), "gaps are maximal");
        }
    }
}
