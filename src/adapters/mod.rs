//! Sources of market data.

pub mod coinalyze;
mod http;
mod scan;

pub use scan::{Column, Field, History, Number, Validity, scan_history};
