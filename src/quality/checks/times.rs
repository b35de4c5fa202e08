//! When rows open: on the grid, each bar once, none missing, none that has not closed.

use super::Check;
use super::finding::Tally;
use crate::records::{Batch, same_row};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// What is kept from row to row.
pub(super) struct Times {
    timeframe: Timeframe,
    /// Its length, where every bar has the same one.
    step: Option<Millis>,
    closed: Option<TimeRange>,
    /// The next bar that should have a row.
    expected: Millis,
    /// The last row of the batch before.
    last: Option<Batch>,
    /// Closed bars without a row.
    pub(super) gaps: Vec<TimeRange>,
    is_dense: bool,
}

impl Times {
    pub(super) fn new(timeframe: Timeframe, closed: Option<TimeRange>, is_dense: bool) -> Self {
        let step = (timeframe != Timeframe::Month).then(|| timeframe.shortest());
        let expected = closed.map_or(Millis::MAX, TimeRange::start);
        Self { timeframe, step, closed, expected, last: None, gaps: Vec::new(), is_dense }
    }

    /// Looks at the rows `from..to` of `batch`, in time order and after all rows before; whether each opens just when
    /// the one before it closes.
    pub(super) fn look(&mut self, batch: &Batch, from: usize, to: usize, tally: &mut Tally) -> bool {
        let ts = &batch.ts()[from..to];
        if let Some(step) = self.step
            && ts.first() == Some(&self.expected)
            && ts.windows(2).fold(true, |is_next, pair| is_next & (pair[1] - pair[0] == step))
        {
            self.expected += step * ts.len() as Millis;
            return true;
        }
        for row in from..to {
            self.row(batch, row, tally);
        }
        false
    }

    fn row(&mut self, batch: &Batch, row: usize, tally: &mut Tally) {
        let at = batch.ts()[row];
        let before = match row {
            0 => self.last.as_ref().map(|last| (last, 0)),
            _ => Some((batch, row - 1)),
        };
        if let Some((other, other_row)) = before.filter(|(other, row)| other.ts()[*row] == at) {
            let is_same = same_row(other.rows(), other_row, batch.rows(), row);
            tally.note(if is_same { Check::Repeated } else { Check::Conflicting }, at);
        }
        if !self.timeframe.is_aligned(at) {
            tally.note(Check::Grid, at);
        } else if at >= self.expected {
            self.gap(at);
            self.expected = self.timeframe.next(at);
        }
    }

    fn gap(&mut self, to: Millis) {
        let end = self.closed.map_or(to, |closed| to.min(closed.end()));
        if self.is_dense {
            self.gaps.extend(TimeRange::non_empty(self.expected, end));
        }
    }

    /// After the last row of `batch`.
    pub(super) fn keep(&mut self, batch: &Batch) {
        if let Some(last) = batch.len().checked_sub(1) {
            self.last = Some(batch.slice(last, 1));
        }
    }

    /// Open time of the last row.
    pub(super) fn last(&self) -> Option<Millis> {
        self.last.as_ref().and_then(|last| last.ts().first().copied())
    }

    /// After the last row of all.
    pub(super) fn end(&mut self) {
        if let Some(closed) = self.closed {
            self.gap(closed.end());
        }
    }
}
