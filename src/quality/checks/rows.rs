//! What a row says of itself: finite, possible, its volume and trades fitting each other.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, Float64Array, Int64Array};

use super::Check;
use super::finding::Tally;
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::Millis;

/// The columns of a batch, borrowed.
pub(super) enum Columns<'a> {
    Bars(Bars<'a>),
    Levels(Levels<'a>),
}

/// The columns of bars.
pub(super) struct Bars<'a> {
    pub(super) ts: &'a [Millis],
    pub(super) open: &'a [f64],
    pub(super) high: &'a [f64],
    pub(super) low: &'a [f64],
    pub(super) close: &'a [f64],
    pub(super) volume: &'a [f64],
    bought: Option<&'a Float64Array>,
    trades: Option<&'a Int64Array>,
    buys: Option<&'a Int64Array>,
}

/// The columns of other data types that every row must have.
pub(super) struct Levels<'a> {
    ts: &'a [Millis],
    /// With what a value below 0 is.
    columns: Vec<(&'a [f64], Option<Check>)>,
}

/// What is true of some rows together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    /// Every row is possible.
    pub(super) is_fine: bool,
    /// Some row may belong to a run without a move or without volume.
    pub(super) may_rest: bool,
}

/// The rows that cannot be true by themselves.
pub(in crate::quality) fn impossible(batch: &Batch) -> impl Iterator<Item = usize> + '_ {
    let columns = Columns::of(batch);
    (0..batch.len()).filter(move |row| columns.fault(*row).is_some())
}

fn floats(batch: &Batch, index: usize) -> &[f64] {
    batch.rows().column(index).as_primitive::<Float64Type>().values()
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a Batch) -> Self {
        let (rows, ts) = (batch.rows(), batch.ts());
        let levels = |columns: &[(usize, Option<Check>)]| {
            let columns = columns.iter().map(|(index, below)| (floats(batch, *index), *below)).collect();
            Self::Levels(Levels { ts, columns })
        };
        match batch.data_type() {
            DataType::Ohlcv => {
                let count = |index: usize| {
                    let column = rows.column(index).as_primitive::<Int64Type>();
                    (column.null_count() < column.len()).then_some(column)
                };
                let bought = rows.column(6).as_primitive::<Float64Type>();
                Self::Bars(Bars {
                    ts,
                    open: floats(batch, 1),
                    high: floats(batch, 2),
                    low: floats(batch, 3),
                    close: floats(batch, 4),
                    volume: floats(batch, 5),
                    bought: (bought.null_count() < bought.len()).then_some(bought),
                    trades: count(7),
                    buys: count(8),
                })
            }
            DataType::OpenInterest => levels(&[(4, Some(Check::Values))]),
            DataType::FundingRate => levels(&[(4, None)]),
            DataType::Liquidations => levels(&[(1, Some(Check::Volume)), (2, Some(Check::Volume))]),
            DataType::LongShortRatio => levels(&[(1, Some(Check::Values))]),
        }
    }

    /// Why `row` cannot be true, if so: the first reason.
    pub(super) fn fault(&self, row: usize) -> Option<Check> {
        match self {
            Self::Bars(bars) => bars.fault(row),
            Self::Levels(levels) => levels.fault(row),
        }
    }
}

impl Levels<'_> {
    fn fault(&self, row: usize) -> Option<Check> {
        let infinite = self.columns.iter().any(|(values, _)| !values[row].is_finite());
        let below = || self.columns.iter().find(|(values, _)| values[row] < 0.0);
        if infinite { Some(Check::Finite) } else { below().and_then(|(_, check)| *check) }
    }

    pub(super) fn look(&self, tally: &mut Tally) {
        for (values, below) in &self.columns {
            let fine = values
                .iter()
                .fold(true, |fine, value| fine & value.is_finite() & (*value >= 0.0 || below.is_none()));
            if !fine {
                let faults = (0..self.ts.len()).filter_map(|row| Some((row, self.fault(row)?)));
                faults.for_each(|(row, fault)| tally.note(fault, self.ts[row]));
                return;
            }
        }
    }
}

impl Bars<'_> {
    fn fault(&self, row: usize) -> Option<Check> {
        let (open, high, low) = (self.open[row], self.high[row], self.low[row]);
        let (close, volume) = (self.close[row], self.volume[row]);
        if ![open, high, low, close, volume].iter().all(|value| value.is_finite()) {
            return Some(Check::Finite);
        }
        if low <= 0.0 || low > open.min(close) || high < open.max(close) {
            return Some(Check::Values);
        }
        (volume < 0.0).then_some(Check::Volume)
    }

    /// Looks at the rows `from..to` at once: no branch in the loop, so that it is done several rows at a time.
    pub(super) fn scan(&self, from: usize, to: usize, tally: &mut Tally) -> Scan {
        let (open, high, low) = (&self.open[from..to], &self.high[from..to], &self.low[from..to]);
        let (close, volume) = (&self.close[from..to], &self.volume[from..to]);
        let (mut is_fine, mut is_still, mut may_rest) = (true, true, false);
        let rows = open.iter().zip(high).zip(low).zip(close).zip(volume);
        for ((((open, high), low), close), volume) in rows {
            is_fine &= (*low > 0.0) & (low <= open) & (low <= close) & (high >= open) & (high >= close);
            is_fine &= (*high < f64::INFINITY) & (*volume >= 0.0) & (*volume < f64::INFINITY);
            is_still &= (*volume != 0.0) | ((high == low) & (open == close));
            may_rest |= (high == low) | (*volume == 0.0);
        }
        if !is_fine {
            let faults = (from..to).filter_map(|row| Some((row, self.fault(row)?)));
            faults.for_each(|(row, fault)| tally.note(fault, self.ts[row]));
        }
        if !is_still {
            let moved = |row: &usize| self.volume[*row] == 0.0 && self.high[*row] != self.low[*row];
            (from..to).filter(moved).for_each(|row| tally.note(Check::Still, self.ts[row]));
        }
        Scan { is_fine, may_rest }
    }

    /// Trades and what takers bought against the volume, where the source gives them.
    pub(super) fn counts(&self, tolerance: f64, tally: &mut Tally) {
        let (ts, volume) = (self.ts, self.volume);
        if let Some(trades) = self.trades {
            note(trades, |row, trades| (trades == 0) != (volume[row] == 0.0), Check::Trades, ts, tally);
        }
        let mut more = |row: usize| tally.note(Check::Taker, ts[row]);
        if let Some(bought) = self.bought {
            let most = 1.0 + tolerance;
            let is_more = |row: usize, bought: f64| volume[row] >= 0.0 && bought > volume[row] * most;
            if bought.null_count() == 0 {
                let any = bought.values().iter().zip(volume).fold(false, |any, (b, v)| any | (*b > v * most));
                if any {
                    (0..ts.len()).filter(|row| is_more(*row, bought.value(*row))).for_each(&mut more);
                }
            } else {
                let held = (0..ts.len()).filter(|row| bought.is_valid(*row));
                held.filter(|row| is_more(*row, bought.value(*row))).for_each(&mut more);
            }
        } else if let (Some(trades), Some(buys)) = (self.trades, self.buys) {
            let held = (0..ts.len()).filter(|row| trades.is_valid(*row) && buys.is_valid(*row));
            held.filter(|row| buys.value(*row) > trades.value(*row)).for_each(&mut more);
        }
    }
}

/// Notes `check` for the rows with a count that is `wrong`.
fn note(
    column: &Int64Array,
    wrong: impl Fn(usize, i64) -> bool,
    check: Check,
    ts: &[Millis],
    tally: &mut Tally,
) {
    let values = column.values();
    if column.null_count() == 0 {
        let any = values.iter().enumerate().fold(false, |any, (row, value)| any | wrong(row, *value));
        if any {
            (0..ts.len()).filter(|row| wrong(*row, values[*row])).for_each(|row| tally.note(check, ts[row]));
        }
        return;
    }
    let held = (0..ts.len()).filter(|row| column.is_valid(*row) && wrong(*row, values[*row]));
    held.for_each(|row| tally.note(check, ts[row]));
}
