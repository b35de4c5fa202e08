//! Resumable market-data backfills: Airflow schedules, Rust works, Python names.

// vocabulary
pub mod cancel;
pub mod clock;
pub mod coverage;
pub mod error;
pub mod secret;
pub mod series;
pub mod time_range;
pub mod timeframe;

// policy (pure)
pub mod records;
pub mod report;
pub mod retry;

// ports
pub mod ports;

// policy over ports (pure)
pub mod chunking;
pub mod quality;
pub mod rate_limit;

// implementations
pub mod adapters;
pub mod checkpoint;
pub mod disk;
pub mod lake;

// use cases
pub mod workflows;

// bindings
#[cfg(feature = "python")]
mod python;
