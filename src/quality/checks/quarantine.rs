//! Which rows may go on to silver, and why others may not.

use arrow_array::BooleanArray;

use super::Check;
use super::rows::Columns;
use crate::error::Result;
use crate::records::{Batch, same_row};
use crate::timeframe::Timeframe;

/// Rows, sifted.
#[derive(Debug)]
pub struct Sifted {
    /// Those that passed: in time order, each bar once.
    pub passed: Batch,
    /// The others but for exact repetitions, by their place in what was sifted, each with the check that it failed.
    pub rejected: Vec<(usize, Check)>,
    /// Rows that repeat the one that counts.
    pub repeated: u64,
    /// Rows that the one that counts contradicts; they are among the rejected.
    pub replaced: u64,
}

/// Sifts rows in time order, of which the later one counts where two are of one bar and both can be true: on the grid,
/// finite, possible.
pub fn sift(ordered: &Batch, timeframe: Timeframe) -> Result<Sifted> {
    let (ts, columns) = (ordered.ts(), Columns::of(ordered));
    let fault = |row: usize| {
        if timeframe.is_aligned(ts[row]) { columns.fault(row) } else { Some(Check::Grid) }
    };
    let mut sifted = Sifted { passed: ordered.clone(), rejected: Vec::new(), repeated: 0, replaced: 0 };
    let mut keep = vec![true; ts.len()];
    // From the end: the row that counts comes first.
    let mut counting: Option<usize> = None;
    for row in (0..ts.len()).rev() {
        let reason = match (fault(row), counting.filter(|counting| ts[*counting] == ts[row])) {
            (Some(check), _) => Some(check),
            (None, None) => {
                counting = Some(row);
                continue;
            }
            (None, Some(counting)) if same_row(ordered.rows(), row, ordered.rows(), counting) => {
                sifted.repeated += 1;
                None
            }
            (None, Some(_)) => {
                sifted.replaced += 1;
                Some(Check::Conflicting)
            }
        };
        keep[row] = false;
        sifted.rejected.extend(reason.map(|check| (row, check)));
    }
    if sifted.rejected.len() as u64 + sifted.repeated > 0 {
        sifted.rejected.reverse();
        sifted.passed = ordered.keep(&BooleanArray::from(keep))?;
    }
    Ok(sifted)
}
