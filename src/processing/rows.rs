//! What every processor asks of its rows: in time order, each bar once, on the grid, every number finite.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, BooleanArray};

use crate::error::{Error, Result};
use crate::quality::sorted;
use crate::records::Batch;
use crate::time_range::{Millis, iso};
use crate::timeframe::Timeframe;

/// Years 1 to 9999, so that no arithmetic on bars can overflow and every time can be shown.
const TIMES: std::ops::RangeInclusive<Millis> = -62_135_596_800_000..=253_402_300_799_999;

/// Rows that are looked at together.
const BLOCK: usize = 64;

/// The runs of rows whose bars follow one another without a hole. `Data`, naming the first offender, where a row is out of
/// order or repeated, opens no bar of `timeframe`, or holds a number that is not finite.
pub(super) fn check_rows(batch: &Batch, timeframe: Timeframe) -> Result<Vec<Range<usize>>> {
    let ts = batch.ts();
    let mut runs = Vec::new();
    let mut first = 0;
    while let Some(at) = ts.get(first).copied() {
        in_calendar(at)?;
        if let Some(before) = first.checked_sub(1) {
            after(ts[before], at)?;
        }
        if !timeframe.is_aligned(at) {
            return Err(Error::data(format!("no {timeframe} bar opens at {}", iso(at))));
        }
        let end = run_end(ts, first, timeframe);
        runs.push(first..end);
        first = end;
    }
    finite(batch)?;
    Ok(runs)
}

/// Where the run that begins at the row `first`, which is on the grid, ends.
fn run_end(ts: &[Millis], first: usize, timeframe: Timeframe) -> usize {
    let mut last = first;
    if timeframe != Timeframe::Month {
        let step = timeframe.shortest();
        let follows = |pair: &[Millis]| pair[1].wrapping_sub(pair[0]) == step;
        // Without a branch in the loop, so that the compiler may take several at once.
        let is_run = |rows: &[Millis]| rows.windows(2).fold(true, |fine, pair| fine & follows(pair));
        while ts.get(last..=last + BLOCK).is_some_and(is_run) {
            last += BLOCK;
        }
    }
    while ts.get(last + 1) == Some(&timeframe.next(ts[last])) {
        last += 1;
    }
    last + 1
}

/// `Data` where a time is not after the one before it, or none that a calendar has.
pub(super) fn in_order(ts: &[Millis]) -> Result<()> {
    // Of rows in order, the first and the last tell.
    ts.first().into_iter().chain(ts.last()).try_for_each(|at| in_calendar(*at))?;
    ts.windows(2).try_for_each(|pair| after(pair[0], pair[1]))
}

fn in_calendar(at: Millis) -> Result<()> {
    if TIMES.contains(&at) {
        return Ok(());
    }
    Err(Error::data(format!("ts {at} is no time in milliseconds since 1970")))
}

fn after(before: Millis, at: Millis) -> Result<()> {
    if before < at {
        return Ok(());
    }
    let (before, at, is_same) = (iso(before), iso(at), before == at);
    let text = if is_same {
        format!("the bar of {at} comes twice")
    } else {
        format!("the bar of {at} comes after that of {before}")
    };
    Err(Error::data(text).with_hint("rows must be in time order, each bar once"))
}

/// `Data`, naming the first offender, where a number is not finite. What is missing is null.
pub(super) fn finite(batch: &Batch) -> Result<()> {
    for (index, field) in batch.rows().schema_ref().fields().iter().enumerate() {
        let Some(column) = batch.rows().column(index).as_primitive_opt::<Float64Type>() else { continue };
        // Without a branch in the loop, so that the compiler may take several at once.
        let fine = column.values().iter().fold(true, |fine, value| fine & value.is_finite());
        if fine {
            continue;
        }
        let odd = (0..column.len()).find(|row| column.is_valid(*row) && !column.value(*row).is_finite());
        if let Some(row) = odd {
            let (name, at) = (field.name(), iso(batch.ts()[row]));
            let error = Error::data(format!("{name} of the bar of {at} is {}", column.value(row)));
            return Err(error.with_hint("a value that is missing is null"));
        }
    }
    Ok(())
}

/// The rows in time order, of each bar the last one: of a lake that was read, the row of the object that begins last.
pub fn latest(batch: &Batch) -> Result<Batch> {
    let ordered = sorted(batch)?;
    let ts = ordered.ts();
    if ts.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(ordered);
    }
    let last: BooleanArray = (0..ts.len()).map(|row| Some(ts.get(row + 1) != Some(&ts[row]))).collect();
    ordered.keep(&last)
}
