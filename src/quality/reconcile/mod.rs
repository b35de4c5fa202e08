//! Two sources of one market against each other: bars that only one has, bars on which they differ, and whether one of
//! them stamps its bars later than the other.

mod details;
mod lag;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, Float64Array};
use serde::Serialize;

pub use details::{BINS, BUCKETS, Detail, Details, Difference, bin};
pub use lag::Lag;

use super::check::sorted;
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;
use lag::Shifts;

/// By how much two values may differ, as a fraction of the greater one.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Of the value that the data type is about (the close of a bar).
    pub value: f64,
    /// Of the volume, where it is compared at all: venues trade different volumes.
    pub volume: Option<f64>,
}

/// So many runs of bars are listed.
const MOST: usize = 1000;

/// Bars on one side only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OneSided {
    /// How many.
    pub bars: u64,
    /// Runs of them, pairs `[start, end)` of ISO 8601 UTC; the first thousand.
    pub ranges: Vec<(String, String)>,
    /// All of them.
    #[serde(skip)]
    pub runs: Vec<TimeRange>,
}

/// Bars that differ by more than the tolerance.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Differing {
    /// How many.
    pub bars: u64,
    /// The greatest difference, as a fraction; also where it is within the tolerance.
    pub worst: f64,
    /// Open time of the bar with the greatest difference, ISO 8601 UTC.
    pub worst_at: Option<String>,
    /// Open time of the first bar that differs, ISO 8601 UTC.
    pub first: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Reconciliation {
    /// Bars that both have.
    pub shared: u64,
    /// Bars that only the first has.
    pub only_left: OneSided,
    /// Bars that only the second has.
    pub only_right: OneSided,
    /// The value (the close of a bar).
    pub value: Differing,
    /// The volume, where it was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Differing>,
    /// Whether one side's stamps are later than the other's; not for sparse data types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
}

impl Reconciliation {
    /// Whether both have the same bars and agree on them.
    pub fn agrees(&self) -> bool {
        let differing = self.value.bars + self.volume.as_ref().map_or(0, |volume| volume.bars);
        let is_shifted = self.lag.as_ref().is_some_and(|lag| lag.is_shifted);
        self.only_left.bars + self.only_right.bars + differing == 0 && !is_shifted
    }
}

/// The column that a data type is about.
pub const fn value_column(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Ohlcv => "close",
        DataType::OpenInterest => "oi_close",
        DataType::FundingRate => "funding_close",
        DataType::Liquidations => "long_volume",
        DataType::LongShortRatio => "ratio",
    }
}

/// Compares two batches of one data type and timeframe. Where a side has a bar twice, its first row counts.
pub fn reconcile(
    left: &Batch,
    right: &Batch,
    timeframe: Timeframe,
    tolerance: Tolerance,
) -> Result<Reconciliation> {
    let (left, right) = (sorted(left)?, sorted(right)?);
    let ends =
        || [&left, &right].into_iter().flat_map(|side| [side.ts().first(), side.ts().last()]).flatten();
    let (first, last) = (ends().min().copied(), ends().max().copied());
    let range = TimeRange::new(first.unwrap_or_default(), last.unwrap_or_default() + 1)?;
    let mut reconciler = Reconciler::new(left.data_type(), timeframe, tolerance, range);
    reconciler.look(&left, &right)?;
    Ok(reconciler.finish().0)
}

/// The comparison of two series, fed step by step.
pub struct Reconciler {
    data_type: DataType,
    timeframe: Timeframe,
    tolerance: Tolerance,
    found: Reconciliation,
    shifts: Option<Shifts>,
    details: Details,
}

impl Reconciler {
    /// For rows of `data_type` in `range`.
    pub fn new(data_type: DataType, timeframe: Timeframe, tolerance: Tolerance, range: TimeRange) -> Self {
        let has_volume = tolerance.volume.is_some() && data_type == DataType::Ohlcv;
        Self {
            data_type,
            timeframe,
            tolerance,
            found: Reconciliation { volume: has_volume.then(Differing::default), ..Default::default() },
            shifts: data_type.is_dense().then(|| Shifts::new(data_type, timeframe)),
            details: Details::new(range),
        }
    }

    /// The next rows of both, in time order: all that open before some moment.
    pub fn look(&mut self, left: &Batch, right: &Batch) -> Result<()> {
        if let Some(other) = [left, right].into_iter().find(|side| side.data_type() != self.data_type) {
            let (one, other) = (self.data_type, other.data_type());
            return Err(Error::invalid(format!("{one} cannot be compared with {other}")));
        }
        let value = Column::of(left, right, value_column(self.data_type))?;
        let volume = match (&self.found.volume, self.tolerance.volume) {
            (Some(_), Some(limit)) => Some((Column::of(left, right, "volume")?, limit)),
            _ => None,
        };
        for (at, row, other) in pairs(left.ts(), right.ts()) {
            let pair = value.pair(row, other);
            if let Some(shifts) = &mut self.shifts {
                shifts.step(at, pair.0, pair.1);
            }
            match (row, other) {
                (Some(_), Some(_)) => {
                    self.found.shared += 1;
                    let difference = difference(pair);
                    self.details.compared(at, difference);
                    if self.found.value.note(at, difference, self.tolerance.value) {
                        self.details.list(at, Difference::Value, pair);
                    }
                    if let (Some(seen), Some((column, limit))) = (&mut self.found.volume, &volume) {
                        let pair = column.pair(row, other);
                        if seen.note(at, self::difference(pair), *limit) {
                            self.details.list(at, Difference::Volume, pair);
                        }
                    }
                }
                (Some(_), None) => {
                    self.found.only_left.note(at, self.timeframe);
                    self.details.list(at, Difference::OnlyLeft, pair);
                }
                _ => {
                    self.found.only_right.note(at, self.timeframe);
                    self.details.list(at, Difference::OnlyRight, pair);
                }
            }
        }
        Ok(())
    }

    /// What came of it, and the bars that are behind it.
    pub fn finish(mut self) -> (Reconciliation, Details) {
        self.found.lag = self.shifts.as_ref().map(Shifts::lag);
        for side in [&mut self.found.only_left, &mut self.found.only_right] {
            let listed = side.runs.iter().take(MOST);
            side.ranges = listed.map(|run| (iso(run.start()), iso(run.end()))).collect();
        }
        (self.found, self.details)
    }
}

/// The bars of both, in order, each once, with the rows of either side.
fn pairs<'a>(
    left: &'a [Millis],
    right: &'a [Millis],
) -> impl Iterator<Item = (Millis, Option<usize>, Option<usize>)> + 'a {
    let (mut row, mut other) = (0, 0);
    std::iter::from_fn(move || {
        let (here, there) = (left.get(row).copied(), right.get(other).copied());
        let at = [here, there].into_iter().flatten().min()?;
        let found = (at, (here == Some(at)).then_some(row), (there == Some(at)).then_some(other));
        row += left[row..].iter().take_while(|held| **held == at).count();
        other += right[other..].iter().take_while(|held| **held == at).count();
        Some(found)
    })
}

/// One column of both sides.
struct Column<'a> {
    left: &'a Float64Array,
    right: &'a Float64Array,
}

/// A value on either side.
type Pair = (Option<f64>, Option<f64>);

impl<'a> Column<'a> {
    fn of(left: &'a Batch, right: &'a Batch, name: &str) -> Result<Self> {
        let of = |batch: &'a Batch| {
            let held = batch.rows().column_by_name(name);
            held.and_then(|held| held.as_primitive_opt::<Float64Type>())
                .ok_or_else(|| Error::internal(format!("{} has no column {name}", batch.data_type())))
        };
        Ok(Self { left: of(left)?, right: of(right)? })
    }

    fn pair(&self, row: Option<usize>, other: Option<usize>) -> Pair {
        let value = |array: &Float64Array, row: Option<usize>| {
            row.filter(|row| array.is_valid(*row)).map(|row| array.value(row))
        };
        (value(self.left, row), value(self.right, other))
    }
}

/// As a fraction of the greater one; all of it where only one side has a number.
fn difference(pair: Pair) -> f64 {
    let number = |value: Option<f64>| value.filter(|value| !value.is_nan());
    match (number(pair.0), number(pair.1)) {
        (Some(left), Some(right)) if left.total_cmp(&right).is_eq() => 0.0,
        (Some(left), Some(right)) => {
            let (apart, most) = ((left - right).abs(), left.abs().max(right.abs()));
            // Both are zero of either sign, or infinite of either sign.
            let part = if apart > 0.0 { apart / most } else { 0.0 };
            if part.is_nan() { 1.0 } else { part }
        }
        (None, None) => 0.0,
        _ => 1.0,
    }
}

impl Differing {
    /// Whether it is beyond the limit.
    fn note(&mut self, at: Millis, difference: f64, limit: f64) -> bool {
        if difference > self.worst {
            (self.worst, self.worst_at) = (difference, Some(iso(at)));
        }
        if difference > limit {
            self.bars += 1;
            self.first.get_or_insert_with(|| iso(at));
        }
        difference > limit
    }
}

impl OneSided {
    fn note(&mut self, at: Millis, timeframe: Timeframe) {
        self.bars += 1;
        let start = self.runs.pop_if(|run| run.end() == at).map_or(at, TimeRange::start);
        self.runs.extend(TimeRange::non_empty(start, timeframe.next(at)));
    }
}

#[cfg(test)]
mod tests;
