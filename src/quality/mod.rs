//! Checks of an answer before it is stored. Wrong rows are an error, never silently dropped.

mod check;

pub use check::{Checked, check, facts, gaps};
