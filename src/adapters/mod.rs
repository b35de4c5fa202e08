//! Sources of market data.

pub mod archive;
pub mod binance;
pub mod coinalyze;
mod digits;
mod http;
mod names;
mod scan;

pub use scan::{Column, Field, History, Number, Validity, scan_history, scan_table};
