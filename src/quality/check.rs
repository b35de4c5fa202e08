//! The checks that every fetched answer passes: inside what was asked, on the grid, one row per bar, only closed bars,
//! and prices that can be true. Single rows that fail are kept apart, with the reason.

use std::time::Duration;

use arrow_array::{BooleanArray, UInt32Array};

use super::checks::impossible;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::records::{Batch, Quarantined, Reason, same_row};
use crate::series::Series;
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// Rows that passed, in time order.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What may be stored.
    pub batch: Batch,
    /// Rows that cannot be true, in time order: kept apart, never stored as data.
    pub quarantined: Quarantined,
    /// Rows that repeated another one exactly.
    pub duplicates: u64,
    /// Bars that had not closed by the given time; left for a later run.
    pub forming: u64,
}

/// So many bad rows, if they are most of an answer, are a bad answer.
const BAD: usize = 10;

/// Checks the answer to a request for `range`. Rows that cannot be true are kept apart. `Data`, naming the first
/// offender, where a row lies outside the range, or where ten rows and most of the answer cannot be true: then it is
/// the answer to another question. A forming bar may still change, so its values are not looked at.
pub fn check(batch: &Batch, range: TimeRange, timeframe: Timeframe, now: Millis) -> Result<Checked> {
    if let Some(outside) = batch.ts().iter().find(|at| !range.contains(**at)) {
        let row = iso(*outside);
        return Err(Error::data(format!("the answer holds a row of {row} outside the asked {range}")));
    }
    let (batch, forming) = closed(&sorted(batch)?, range, timeframe, now);
    let (batch, duplicates) = without_repetitions(batch)?;
    let reasons = reasons(&batch, timeframe);
    let mask =
        |bad: bool| reasons.iter().map(|reason| Some(reason.is_some() == bad)).collect::<BooleanArray>();
    let (fine, bad) = (mask(false), mask(true));
    let bad = Quarantined { batch: batch.keep(&bad)?, reasons: reasons.into_iter().flatten().collect() };
    let rows = batch.len();
    if bad.len() >= BAD && 2 * bad.len() > rows {
        return Err(Error::data(format!("{} of {rows} rows cannot be true: {}", bad.len(), bad.describe())));
    }
    let batch = if bad.is_empty() { batch } else { batch.keep(&fine)? };
    Ok(Checked { batch, quarantined: bad, duplicates, forming })
}

/// Of each row (in time order, no exact repetitions) why it cannot be true.
fn reasons(batch: &Batch, timeframe: Timeframe) -> Vec<Option<Reason>> {
    let ts = batch.ts();
    let mut reasons: Vec<Option<Reason>> =
        ts.iter().map(|at| (!timeframe.is_aligned(*at)).then_some(Reason::Grid)).collect();
    impossible(batch).for_each(|row| reasons[row] = reasons[row].or(Some(Reason::Values)));
    for row in (1..ts.len()).filter(|row| ts[*row] == ts[row - 1]) {
        // Nobody can say which of them is right.
        reasons[row - 1] = Some(Reason::Conflict);
        reasons[row] = Some(Reason::Conflict);
    }
    reasons
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

/// The rows (in time order) without exact repetitions of the one before; no copy where there are none.
fn without_repetitions(batch: Batch) -> Result<(Batch, u64)> {
    let ts = batch.ts();
    if ts.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok((batch, 0));
    }
    let repeats =
        |row: usize| row > 0 && ts[row] == ts[row - 1] && same_row(batch.rows(), row - 1, batch.rows(), row);
    let keep: BooleanArray = (0..ts.len()).map(|row| Some(!repeats(row))).collect();
    let repeated = keep.false_count() as u64;
    Ok((batch.keep(&keep)?, repeated))
}

fn select(batch: &Batch, rows: &UInt32Array) -> Result<Batch> {
    let taken = arrow_select::take::take_record_batch(batch.rows(), rows);
    Batch::from_record_batch(batch.data_type(), &taken.map_err(|error| Error::internal(error.to_string()))?)
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
pub const GRACE: Duration = Duration::from_secs(600);

/// The part of `range` that an answer settles: all up to its last row, and beyond that only what is so old that the
/// source would have it; it may be `late` with the newest bars (see [`GRACE`]). `None` where it settles nothing. `ts`
/// in order.
pub fn settled(
    ts: &[Millis],
    range: TimeRange,
    timeframe: Timeframe,
    now: Millis,
    late: Duration,
) -> Option<TimeRange> {
    let told = ts.last().map_or(range.start(), |last| timeframe.next(timeframe.floor(*last)));
    let silent_from = timeframe.floor(now - (late.as_millis() as Millis).max(timeframe.shortest()));
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
    use crate::series::DataType;

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

    fn joined(parts: &[&Batch]) -> Batch {
        let all = arrow_select::concat::concat_batches(
            &parts[0].rows().schema(),
            parts.iter().map(|part| part.rows()),
        );
        Batch::from_record_batch(DataType::Ohlcv, &all.unwrap()).unwrap()
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        let refused = |batch: &Batch| {
            let error = check(batch, range(40), MINUTE, LATE).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            error.to_string()
        };
        assert!(refused(&bars(&[0, 2_400_000], 2.0)).contains("1970-01-01T00:40:00Z outside"));
        let minutes =
            |count: i64, off: i64| (0..count).map(|minute| minute * 60_000 + off).collect::<Vec<_>>();
        assert!(refused(&bars(&minutes(10, 1), 2.0)).contains("no bar opens at 1970-01-01T00:00:00.001Z"));
        assert!(refused(&bars(&minutes(10, 0), 1.9)).contains("10 of 10 rows cannot be true"));
        let half = joined(&[&bars(&minutes(10, 0), f64::NAN), &bars(&minutes(10, 600_000), 2.0)]);
        let checked = check(&half, range(40), MINUTE, LATE).unwrap();
        assert_eq!(
            (checked.batch.len(), checked.quarantined.batch.len()),
            (10, 10),
            "half is not most of it"
        );
    }

    #[test]
    fn single_rows_that_cannot_be_true_are_kept_apart_with_the_reason() {
        let (off, low, fine) = (bars(&[60_001], 2.0), bars(&[120_000], 1.9), bars(&[0, 180_000], 2.0));
        let other = bars(&[180_000], 3.0);
        let checked = check(&joined(&[&low, &off, &fine, &other]), range(10), MINUTE, LATE).unwrap();
        assert_eq!(checked.batch.ts(), [0]);
        assert_eq!(checked.quarantined.batch.ts(), [60_001, 120_000, 180_000, 180_000]);
        let reasons = [Reason::Grid, Reason::Values, Reason::Conflict, Reason::Conflict];
        assert_eq!(checked.quarantined.reasons, reasons);
        assert!(checked.quarantined.describe().contains("00:01:00.001Z"));
    }

    #[test]
    fn newest_first_is_turned_and_exact_repetitions_are_dropped() {
        let checked = check(&bars(&[120_000, 60_000, 60_000, 0], 2.0), range(10), MINUTE, LATE).unwrap();
        assert_eq!(checked.batch.ts(), [0, 60_000, 120_000]);
        assert_eq!(checked.duplicates, 1);
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
            settled(&ts, range(30), MINUTE, now * 60_000, GRACE)
        };
        assert_eq!(end(Some(29), 30), minutes(30), "the newest bar is there");
        assert_eq!(end(Some(24), 30), minutes(25), "the source may be late with five bars");
        assert_eq!(end(Some(3), 30), minutes(20), "but not with more than ten minutes");
        assert_eq!(end(None, 30), minutes(20));
        assert_eq!(end(None, 1000), minutes(30), "what is old is settled");
        assert_eq!(end(None, 5), None);
        let (days, day) = (TimeRange::new(0, 3 * 86_400_000).unwrap(), Timeframe::Minutes(1440));
        let found = settled(&[86_400_000], days, day, 3 * 86_400_000 + 3_600_000, GRACE);
        assert_eq!(found, TimeRange::new(0, 2 * 86_400_000).ok(), "nor with the last whole bar");
    }

    #[test]
    fn a_forming_bar_may_still_differ_or_be_odd() {
        let (closed, odd) = (bars(&[0], 2.0), bars(&[60_000, 60_000], 1.0));
        let other = bars(&[60_000], 3.0);
        let all = joined(&[&other, &odd, &closed]);
        let checked = check(&all, range(10), MINUTE, 60_000).unwrap();
        assert_eq!((checked.batch.ts(), checked.duplicates, checked.forming), (&[0][..], 0, 3));
        assert_eq!(check(&all, range(10), MINUTE, 120_000).unwrap().quarantined.batch.len(), 2);
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
            let end = |at: Millis| at + 60_000;
            let kept: Vec<_> = rows.iter().filter(|(at, _)| end(*at) <= closed * 60_000).copied().collect();
            let mut model = std::collections::BTreeMap::<Millis, Vec<f64>>::new();
            for (at, high) in &kept {
                model.entry(*at).or_default().push(*high);
            }
            prop_assert_eq!(answer.is_err(), rows.iter().any(|(at, _)| *at >= 660_000));
            if let Ok(checked) = answer {
                let alike = |highs: &[f64]| highs.iter().all(|high| high.to_bits() == highs[0].to_bits());
                let is_fine = |(at, highs): &(&Millis, &Vec<f64>)| *at % 60_000 == 0 && highs[0] >= 2.0 && alike(highs);
                let fine: Vec<Millis> = model.iter().filter(is_fine).map(|(at, _)| *at).collect();
                prop_assert_eq!(checked.batch.ts(), &fine[..]);
                let bad: std::collections::BTreeSet<_> = checked.quarantined.batch.ts().iter().collect();
                prop_assert!(model.keys().all(|at| fine.contains(at) != bad.contains(at)));
                prop_assert_eq!(checked.forming as usize, rows.len() - kept.len());
                let told = checked.batch.len() + checked.quarantined.batch.len() + checked.duplicates as usize;
                prop_assert_eq!(told, kept.len());
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
