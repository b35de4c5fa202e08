//! Checks of an answer before it is stored, where wrong rows are kept apart and never silently dropped ([`check`]); of
//! rows that are stored ([`validate`]); and of two sources against each other ([`reconcile`]). What is known of holes is
//! the [`Ledger`].

mod check;
mod ledger;
mod reconcile;
mod validate;

pub use check::{Checked, GRACE, check, facts, gaps, settled};
pub(crate) use check::{same_row, sorted};
pub use ledger::{Evidence, GapKind, Hole, Ledger, Patience};
pub use reconcile::{Reconciliation, Tolerance, reconcile};
pub use validate::{Finding, Severity, Validation, closed_bars, validate};
