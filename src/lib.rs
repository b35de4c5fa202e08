//! Resumable market-data backfills: Airflow schedules, Rust works, Python names.
//!
//! A whole backfill; run again, it asks for nothing:
//!
//! ```no_run
//! use std::sync::Arc;
//! use quant_framework::{adapters::coinalyze::*, checkpoint::*, chunking::*, clock::*, lake::*, objects::*, rate_limit::*};
//! use quant_framework::{secret::Secret, series::DataType, time_range::TimeRange, workflows::*};
//!
//! # async fn backfill() -> quant_framework::error::Result<()> {
//! let clock: Arc<dyn quant_framework::ports::Clock> = Arc::new(SystemClock::default());
//! let key = CoinalyzeSettings { api_key: Some(Secret::new("...")), ..CoinalyzeSettings::default() };
//! let minute = Window::rolling(40, std::time::Duration::from_secs(60));
//! let parts = Parts {
//!     adapter: Arc::new(CoinalyzeAdapter::new(key, Arc::clone(&clock))?),
//!     writer: Arc::new(BronzeWriter::open("file:///lake", S3Settings::default(), Encoding::default(), Arc::clone(&clock))?),
//!     store: Arc::new(LocalCheckpointStore::new("/checkpoints")),
//!     strategy: Arc::new(AdaptiveChunkStrategy::default()),
//!     limiter: Arc::new(WindowLimiter::new(Limits::new(vec![minute], None), Arc::clone(&clock))),
//!     reporter: Arc::new(()),
//!     clock,
//! };
//! let year = TimeRange::new(1_735_689_600_000, 1_767_225_600_000)?; // 2025, in milliseconds
//! let spec = BackfillSpec::new(vec!["BTC".to_owned()], vec!["1d".parse()?], vec![DataType::Ohlcv], year);
//! let report = Backfill::new(parts, spec)?.run().await?;
//! println!("{} rows", report.records_written);
//! # Ok(())
//! # }
//! ```

// vocabulary
pub mod cancel;
pub mod certificates;
pub mod clock;
pub mod coverage;
pub mod error;
pub mod per_process;
pub mod secret;
pub mod series;
pub mod time_range;
pub mod timeframe;
pub mod unique;

// policy (pure)
pub mod records;
pub mod report;
pub mod retry;

// ports
pub mod ports;

// policy over ports (pure)
pub mod chunking;
pub mod processing;
pub mod quality;
pub mod rate_limit;

// implementations
pub mod adapters;
pub mod checkpoint;
pub mod database;
pub mod disk;
pub mod lake;
pub mod objects;
pub mod quota;

// use cases
pub mod config;
pub mod workflows;

// bindings
#[cfg(feature = "python")]
mod python;
