//! The same bars, asked for twice: what the source says now against what it said then.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::quality::check::sorted;
use crate::records::{Batch, same_row};
use crate::time_range::iso;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Restatement {
    /// Bars that both have.
    pub shared: u64,
    /// Bars of which the source says something else now.
    pub restated: u64,
    /// Open time of the first one, ISO 8601 UTC.
    pub first: Option<String>,
    /// Bars that only the older rows have.
    pub withdrawn: u64,
    /// Bars that only the newer rows have.
    pub added: u64,
}

/// Compares `newer` rows of one series with `older` ones; where a side has a bar twice, its last row counts.
pub fn restated(older: &Batch, newer: &Batch) -> Result<Restatement> {
    if older.data_type() != newer.data_type() {
        let (older, newer) = (older.data_type(), newer.data_type());
        return Err(Error::invalid(format!("{older} cannot be compared with {newer}")));
    }
    let (older, newer) = (sorted(older)?, sorted(newer)?);
    let mut found = Restatement::default();
    let (mut row, mut other) = (last_of_bar(&older, 0), last_of_bar(&newer, 0));
    while let (Some(before), Some(after)) = (row, other) {
        let (at, now) = (older.ts()[before], newer.ts()[after]);
        if at == now {
            found.shared += 1;
            if !same_row(older.rows(), before, newer.rows(), after) {
                found.restated += 1;
                found.first.get_or_insert_with(|| iso(at));
            }
        }
        found.withdrawn += u64::from(at < now);
        found.added += u64::from(now < at);
        row = if at <= now { last_of_bar(&older, before + 1) } else { row };
        other = if now <= at { last_of_bar(&newer, after + 1) } else { other };
    }
    found.withdrawn += bars_from(&older, row);
    found.added += bars_from(&newer, other);
    Ok(found)
}

/// The last row of the bar that begins at `from`.
fn last_of_bar(rows: &Batch, from: usize) -> Option<usize> {
    let at = *rows.ts().get(from)?;
    Some(from + rows.ts()[from..].iter().take_while(|other| **other == at).count() - 1)
}

fn bars_from(rows: &Batch, from: Option<usize>) -> u64 {
    let mut left = 0;
    let mut row = from;
    while let Some(held) = row {
        left += 1;
        row = last_of_bar(rows, held + 1);
    }
    left
}
