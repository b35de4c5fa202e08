//! Two sources of one market against each other: bars that only one has, and bars on which they differ.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use serde::Serialize;

use super::check::sorted;
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// By how much two values may differ, as a fraction of the greater one.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Of the value that the data type is about (the close of a bar).
    pub value: f64,
    /// Of the volume, where it is compared at all: venues trade different volumes.
    pub volume: Option<f64>,
}

/// Bars on one side only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OneSided {
    /// How many.
    pub bars: u64,
    /// Runs of them, pairs `[start, end)` of ISO 8601 UTC.
    pub ranges: Vec<(String, String)>,
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
}

impl Reconciliation {
    /// Whether both have the same bars and agree on them.
    pub fn agrees(&self) -> bool {
        let differing = self.value.bars + self.volume.as_ref().map_or(0, |volume| volume.bars);
        self.only_left.bars + self.only_right.bars + differing == 0
    }
}

/// The column that a data type is about.
fn value_column(data_type: DataType) -> &'static str {
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
    if left.data_type() != right.data_type() {
        let (left, right) = (left.data_type(), right.data_type());
        return Err(Error::invalid(format!("{left} cannot be compared with {right}")));
    }
    let (left, right) = (sorted(left)?, sorted(right)?);
    let value = column(&left, &right, value_column(left.data_type()))?;
    let volume = match tolerance.volume {
        Some(limit) if left.data_type() == DataType::Ohlcv => Some((column(&left, &right, "volume")?, limit)),
        _ => None,
    };
    let mut found =
        Reconciliation { volume: volume.as_ref().map(|_| Differing::default()), ..Default::default() };
    let (mut only_left, mut only_right) = (Vec::new(), Vec::new());
    for (at, side) in pairs(left.ts(), right.ts()) {
        match side {
            Side::Left => only_left.push(at),
            Side::Right => only_right.push(at),
            Side::Both(row, other) => {
                found.shared += 1;
                found.value.note(at, value.difference(row, other), tolerance.value);
                if let (Some(seen), Some((column, limit))) = (&mut found.volume, &volume) {
                    seen.note(at, column.difference(row, other), *limit);
                }
            }
        }
    }
    found.only_left = OneSided::new(&only_left, timeframe);
    found.only_right = OneSided::new(&only_right, timeframe);
    Ok(found)
}

/// Where a bar is, with its rows.
enum Side {
    Left,
    Right,
    Both(usize, usize),
}

/// The bars of both, in order, each once.
fn pairs<'a>(left: &'a [Millis], right: &'a [Millis]) -> impl Iterator<Item = (Millis, Side)> + 'a {
    let (mut row, mut other) = (0, 0);
    std::iter::from_fn(move || {
        let (here, there) = (left.get(row).copied(), right.get(other).copied());
        let at = [here, there].into_iter().flatten().min()?;
        let side = match (here == Some(at), there == Some(at)) {
            (true, true) => Side::Both(row, other),
            (true, false) => Side::Left,
            _ => Side::Right,
        };
        row += left[row..].iter().take_while(|held| **held == at).count();
        other += right[other..].iter().take_while(|held| **held == at).count();
        Some((at, side))
    })
}

/// One column of both sides.
struct Column<'a> {
    left: &'a arrow_array::Float64Array,
    right: &'a arrow_array::Float64Array,
}

fn column<'a>(left: &'a Batch, right: &'a Batch, name: &str) -> Result<Column<'a>> {
    let of = |batch: &'a Batch| {
        let held = batch.rows().column_by_name(name);
        held.and_then(|held| held.as_primitive_opt::<Float64Type>())
            .ok_or_else(|| Error::internal(format!("{} has no column {name}", batch.data_type())))
    };
    Ok(Column { left: of(left)?, right: of(right)? })
}

impl Column<'_> {
    /// As a fraction of the greater one; all of it where only one side has a value.
    fn difference(&self, row: usize, other: usize) -> f64 {
        let value = |array: &arrow_array::Float64Array, at| array.is_valid(at).then(|| array.value(at));
        match (value(self.left, row), value(self.right, other)) {
            (Some(left), Some(right)) => {
                let most = left.abs().max(right.abs());
                if most == 0.0 { 0.0 } else { (left - right).abs() / most }
            }
            (None, None) => 0.0,
            _ => 1.0,
        }
    }
}

impl Differing {
    fn note(&mut self, at: Millis, difference: f64, limit: f64) {
        if difference > self.worst {
            (self.worst, self.worst_at) = (difference, Some(iso(at)));
        }
        if difference > limit {
            self.bars += 1;
            self.first.get_or_insert_with(|| iso(at));
        }
    }
}

impl OneSided {
    fn new(bars: &[Millis], timeframe: Timeframe) -> Self {
        let mut runs: Vec<TimeRange> = Vec::new();
        for at in bars {
            let start = runs.pop_if(|run| run.end() == *at).map_or(*at, TimeRange::start);
            runs.extend(TimeRange::non_empty(start, timeframe.next(*at)));
        }
        let ranges = runs.iter().map(|run| (iso(run.start()), iso(run.end()))).collect();
        Self { bars: bars.len() as u64, ranges }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array};
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Timeframe = Timeframe::Minutes(1);

    fn funding(rows: &[(Millis, f64)]) -> Batch {
        let none = || Arc::new(Float64Array::from(vec![None::<f64>; rows.len()])) as ArrayRef;
        let close = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1)));
        let ts = rows.iter().map(|row| row.0 * 60_000).collect();
        Batch::new(DataType::FundingRate, ts, vec![none(), none(), none(), close]).unwrap()
    }

    fn compare(left: &[(Millis, f64)], right: &[(Millis, f64)]) -> Reconciliation {
        let tolerance = Tolerance { value: 0.01, volume: None };
        reconcile(&funding(left), &funding(right), MINUTE, tolerance).unwrap()
    }

    #[test]
    fn each_side_and_each_difference_is_named() {
        let found = compare(
            &[(0, 1.0), (1, 1.0), (2, 1.0), (5, 1.0), (6, 0.0)],
            &[(2, 1.005), (3, 1.0), (5, 1.1), (6, 0.0)],
        );
        assert_eq!(found.shared, 3);
        let minutes = |from: u32, to: u32| {
            (format!("1970-01-01T00:{from:02}:00Z"), format!("1970-01-01T00:{to:02}:00Z"))
        };
        assert_eq!(found.only_left, OneSided { bars: 2, ranges: vec![minutes(0, 2)] });
        assert_eq!(found.only_right, OneSided { bars: 1, ranges: vec![minutes(3, 4)] });
        assert_eq!((found.value.bars, found.value.first.as_deref()), (1, Some("1970-01-01T00:05:00Z")));
        assert!((found.value.worst - 0.1 / 1.1).abs() < 1e-9);
        assert!(!found.agrees());
        assert!(compare(&[(0, 1.0)], &[(0, 1.009)]).agrees());
    }

    proptest! {
        #[test]
        fn it_says_what_a_naive_model_says(
            left in prop::collection::btree_map(0..40_i64, 1..4_u8, 0..30),
            right in prop::collection::btree_map(0..40_i64, 1..4_u8, 0..30),
        ) {
            let rows = |side: &BTreeMap<i64, u8>| side.iter().map(|(at, value)| (*at, f64::from(*value))).collect::<Vec<_>>();
            let found = compare(&rows(&left), &rows(&right));
            let shared: Vec<_> = left.keys().filter(|at| right.contains_key(at)).collect();
            prop_assert_eq!(found.shared as usize, shared.len());
            prop_assert_eq!(found.only_left.bars as usize, left.len() - shared.len());
            prop_assert_eq!(found.only_right.bars as usize, right.len() - shared.len());
            prop_assert_eq!(found.value.bars as usize, shared.iter().filter(|at| left[at] != right[at]).count());
            prop_assert_eq!(found.agrees(), left == right);
        }
    }
}
