//! Checks of an answer before it is stored, where wrong rows are kept apart and never silently dropped ([`check`]); of
//! rows that are stored ([`checks`]); and of two sources against each other ([`reconcile`]). What is known of holes is
//! the [`Ledger`].

mod check;
pub mod checks;
mod ledger;
pub mod reconcile;

pub(crate) use check::sorted;
pub use check::{Checked, GRACE, check, facts, gaps, settled};
pub use checks::{
    CHECKS_VERSION, Check, Checker, Finding, RollUp, Selection, Severity, Stored, Thresholds, Validation,
    sift,
};
pub use ledger::{Evidence, GapKind, Hole, Ledger, Patience};
pub use reconcile::{Reconciler, Reconciliation, Tolerance};

use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// The whole bars of `range` that have closed by `now`.
pub fn closed_bars(range: TimeRange, timeframe: Timeframe, now: Millis) -> Option<TimeRange> {
    let end = timeframe.ceil(range.end()).min(timeframe.floor(now));
    TimeRange::non_empty(timeframe.ceil(range.start()), end)
}
