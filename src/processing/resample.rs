//! Coarser bars of finer ones. What is known of a target bar is what rows and `covered` say; where any source bar of it
//! is unknown the bar is incomplete, which is said, and by default it is left out.
//!
//! | columns | of the rows of a bar |
//! |---|---|
//! | `open`, `oi_open`, `funding_open` | the first |
//! | `high`, `oi_high`, `funding_high` | the highest |
//! | `low`, `oi_low`, `funding_low` | the lowest |
//! | `close`, `oi_close`, `funding_close`, `ratio`, `long_share`, `short_share` | the last |
//! | `volume`, `taker_buy_volume`, `trade_count`, `taker_buy_trades`, `long_volume`, `short_volume` | the sum |
//!
//! A null among the values that a rule looks at makes the result null: what is not known is not 0.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_schema::Field;

use super::rows::check_rows;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// A target bar of which some source bars are known and others are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete {
    /// When it opens, milliseconds UTC.
    pub open: Millis,
    /// Source bars that are known: with a row, or covered.
    pub known: u64,
    /// Source bars that it is made of.
    pub expected: u64,
}

/// Coarser bars, and what is wrong with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// In time order, stamped by their open time.
    pub batch: Batch,
    /// Between the first and the last known moment, in time order; also those that are left out.
    pub incomplete: Vec<Incomplete>,
    /// Runs of target bars of which nothing is known, between the first and the last known moment.
    pub gaps: Vec<TimeRange>,
}

/// Bars of `to` of the rows of `from`. A bar that `covered` holds is known although there may be no row: the source was
/// asked, and had none. Incomplete bars are left out unless `keep_incomplete`; a bar without any row never becomes one.
///
/// # Errors
/// `Invalid` where `to` is not made of whole bars of `from`, or a sparse data type comes without `covered`. `Data`,
/// naming the bar, where rows are out of order, repeated, off the grid or not finite, or a sum is too great.
pub fn resample(
    batch: &Batch,
    from: Timeframe,
    to: Timeframe,
    covered: &[TimeRange],
    keep_incomplete: bool,
) -> Result<Resampled> {
    check_nesting(from, to)?;
    if !batch.data_type().is_dense() && covered.is_empty() {
        let error = Error::invalid(format!(
            "rows of {} alone do not tell which bars are complete: a missing row means zero, or nobody asked",
            batch.data_type()
        ));
        return Err(error.with_hint("pass covered: the ranges that the source was asked for"));
    }
    let runs = check_rows(batch, from)?;
    let (incomplete, gaps) = unknown(&known(batch.ts(), &runs, from, covered), from, to);
    let mut bars = bars(batch.ts(), &runs, from, to);
    if !keep_incomplete {
        let mut left_out = incomplete.iter().map(|bar| bar.open).peekable();
        bars.retain(|(open, _)| {
            while left_out.next_if(|out| out < open).is_some() {}
            left_out.peek() != Some(open)
        });
    }
    Ok(Resampled { batch: aggregate(batch, &bars)?, incomplete, gaps })
}

/// `Invalid` unless bars of `to` are longer than those of `from` and made of whole ones.
pub fn check_nesting(from: Timeframe, to: Timeframe) -> Result<()> {
    let nests = match (from, to) {
        (Timeframe::Minutes(short), Timeframe::Minutes(long)) => {
            short > 0 && long > short && long % short == 0
        }
        (Timeframe::Minutes(_), Timeframe::Week | Timeframe::Month) => true,
        (Timeframe::Week | Timeframe::Month, _) => false,
    };
    if nests {
        return Ok(());
    }
    Err(Error::invalid(format!("{to} bars are not made of whole {from} bars")))
}

/// What rows and `covered` prove, on the grid of `from`.
fn known(ts: &[Millis], runs: &[Range<usize>], from: Timeframe, covered: &[TimeRange]) -> Coverage {
    let whole = |range: &TimeRange| TimeRange::non_empty(from.ceil(range.start()), from.floor(range.end()));
    let held = |run: &Range<usize>| TimeRange::non_empty(ts[run.start], from.next(ts[run.end - 1]));
    let ranges = covered.iter().filter_map(whole).chain(runs.iter().filter_map(held));
    ranges.map(|range| (range, State::Data)).collect()
}

/// The target bars that are known in part, and runs of those that are not known at all.
fn unknown(known: &Coverage, from: Timeframe, to: Timeframe) -> (Vec<Incomplete>, Vec<TimeRange>) {
    let (mut incomplete, mut gaps) = (Vec::<Incomplete>::new(), Vec::new());
    let held = known.ranges(State::Data);
    let hull = held.first().zip(held.last());
    let hull =
        hull.and_then(|(first, last)| TimeRange::non_empty(to.floor(first.start()), to.ceil(last.end())));
    for run in hull.map_or(Vec::new(), |hull| known.missing(hull)) {
        let mut at = run.start();
        while at < run.end() {
            let (open, whole) = (to.floor(at), to.floor(run.end()));
            if open == at && whole > at {
                gaps.extend(TimeRange::non_empty(at, whole));
                at = whole;
                continue;
            }
            let close = to.next(open);
            let until = close.min(run.end());
            let lost = from.count(at, until);
            match incomplete.last_mut() {
                Some(bar) if bar.open == open => bar.known -= lost,
                _ => {
                    let expected = from.count(open, close);
                    incomplete.push(Incomplete { open, known: expected - lost, expected });
                }
            }
            at = until;
        }
    }
    (incomplete, gaps)
}

/// The target bars that have rows: when each opens, and its rows. Within a run rows are counted, not looked at.
fn bars(ts: &[Millis], runs: &[Range<usize>], from: Timeframe, to: Timeframe) -> Vec<(Millis, Range<usize>)> {
    let mut bars: Vec<(Millis, Range<usize>)> = Vec::new();
    for run in runs {
        let mut first = run.start;
        while first < run.end {
            let open = to.floor(ts[first]);
            let rest = from.count(ts[first], to.next(open)) as usize;
            let last = run.end.min(first + rest);
            match bars.last_mut() {
                Some((same, rows)) if *same == open => rows.end = last,
                _ => bars.push((open, first..last)),
            }
            first = last;
        }
    }
    bars
}

/// What becomes of the values of a bar.
#[derive(Clone, Copy)]
enum Rule {
    First,
    Highest,
    Lowest,
    Last,
    Sum,
}

/// The rule of each column but `ts`, in schema order.
const fn rules(data_type: DataType) -> &'static [Rule] {
    use Rule::{First, Highest, Last, Lowest, Sum};
    match data_type {
        DataType::Ohlcv => &[First, Highest, Lowest, Last, Sum, Sum, Sum, Sum],
        DataType::OpenInterest | DataType::FundingRate => &[First, Highest, Lowest, Last],
        DataType::Liquidations => &[Sum, Sum],
        DataType::LongShortRatio => &[Last, Last, Last],
    }
}

fn aggregate(batch: &Batch, bars: &[(Millis, Range<usize>)]) -> Result<Batch> {
    let schema = batch.rows().schema();
    let fields = schema.fields().iter().zip(batch.rows().columns()).skip(1);
    let columns = fields.zip(rules(batch.data_type())).map(|((field, column), rule)| -> Result<ArrayRef> {
        if let Some(column) = column.as_primitive_opt::<Float64Type>() {
            let one = |values: &[f64]| float(*rule, values);
            return reduce(field, column, bars, *rule, one);
        }
        let column = column.as_primitive_opt::<Int64Type>();
        let column = column.ok_or_else(|| Error::internal(format!("{} is no number", field.name())))?;
        reduce(field, column, bars, *rule, |values| whole(*rule, values))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Batch::new(batch.data_type(), bars.iter().map(|(open, _)| *open).collect(), columns)
}

/// One column; `one` answers the value of a bar, or `None` where it is too great.
fn reduce<T: ArrowPrimitiveType>(
    field: &Field,
    column: &PrimitiveArray<T>,
    bars: &[(Millis, Range<usize>)],
    rule: Rule,
    one: impl Fn(&[T::Native]) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let values = column.values();
    let value = |(open, rows): &(Millis, Range<usize>)| {
        let too_great = || Error::data(format!("{} of the bar of {} is too great", field.name(), iso(*open)));
        one(&values[rows.clone()]).ok_or_else(too_great)
    };
    let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) else {
        let found = bars.iter().map(value).collect::<Result<Vec<T::Native>>>()?;
        return Ok(Arc::new(PrimitiveArray::<T>::from_iter_values(found)));
    };
    let has_all = |rows: &Range<usize>| {
        let rows = match rule {
            Rule::First => rows.start..rows.start + 1,
            Rule::Last => rows.end - 1..rows.end,
            Rule::Highest | Rule::Lowest | Rule::Sum => rows.clone(),
        };
        rows.into_iter().all(|row| nulls.is_valid(row))
    };
    let found = bars.iter().map(|bar| if has_all(&bar.1) { value(bar).map(Some) } else { Ok(None) });
    Ok(Arc::new(PrimitiveArray::<T>::from_iter(found.collect::<Result<Vec<_>>>()?)))
}

/// Of values that are finite; sums in time order, so that equal rows give equal bits.
fn float(rule: Rule, values: &[f64]) -> Option<f64> {
    let found = match rule {
        Rule::First => *values.first()?,
        Rule::Highest => extreme(values, f64::NEG_INFINITY, |a, b| a > b),
        Rule::Lowest => extreme(values, f64::INFINITY, |a, b| a < b),
        Rule::Last => *values.last()?,
        Rule::Sum => values.iter().sum(),
    };
    found.is_finite().then_some(found)
}

/// The value that no other is better than, in eight lanes, so that the compiler may take several at once.
fn extreme(values: &[f64], worst: f64, is_better: impl Fn(f64, f64) -> bool) -> f64 {
    let mut lanes = [worst; 8];
    let (blocks, rest) = values.as_chunks::<8>();
    for block in blocks {
        for (best, value) in lanes.iter_mut().zip(block) {
            *best = if is_better(*value, *best) { *value } else { *best };
        }
    }
    let candidates = lanes.iter().chain(rest);
    candidates.fold(worst, |best, value| if is_better(*value, best) { *value } else { best })
}

fn whole(rule: Rule, values: &[i64]) -> Option<i64> {
    match rule {
        Rule::First => values.first().copied(),
        Rule::Highest => values.iter().copied().max(),
        Rule::Lowest => values.iter().copied().min(),
        Rule::Last => values.last().copied(),
        Rule::Sum => values.iter().try_fold(0_i64, |sum, value| sum.checked_add(*value)),
    }
}

#[cfg(test)]
mod tests;
