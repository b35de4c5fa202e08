//! Resumable market-data backfills: Airflow schedules, Rust works, Python names.

// vocabulary
pub mod clock;
pub mod coverage;
pub mod error;
pub mod series;
pub mod time_range;
pub mod timeframe;

// policy (pure)
pub mod records;

// ports
pub mod ports;
