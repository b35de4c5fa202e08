//! The binding: the only files that name `pyo3`. Each function converts its arguments, enters the runtime
//! and converts the answer; behaviour lives in the other modules. Docs of what Python sees are Python's: Google style,
//! copied into `_core.pyi` by `make stubs`.

#![expect(clippy::doc_markdown, reason = "docs are Python's, which name errors without backticks")]

mod adapter;
mod backfill;
mod batch;
mod config;
mod convert;
mod coverage;
mod errors;
mod foreign;
mod limiter;
mod log;
mod policy;
mod processing;
mod repair;
mod runtime;
mod silver;
mod store;
mod validation;
mod writer;

use pyo3::prelude::*;

/// Buffers of every size come and go on many threads: measurably cheaper than the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The compiled core. Times are aware datetimes, ranges half-open; errors are those of ``quant_framework.errors``.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::adapter::{
        BinanceAdapter, BinanceArchiveAdapter, CoinalyzeAdapter, FetchRequest, NativeAdapter,
    };
    #[pymodule_export]
    use super::backfill::Backfill;
    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::config::{check_config, config_schema};
    #[pymodule_export]
    use super::coverage::{coverage_map, coverage_page, coverage_text};
    #[pymodule_export]
    use super::limiter::{RateLimiter, quota_states};
    #[pymodule_export]
    use super::log::drain_log;
    #[pymodule_export]
    use super::policy::{AdaptiveChunkStrategy, FixedChunkStrategy, bars_before};
    #[pymodule_export]
    use super::processing::{
        convert_open_interest, format_symbol, merge, merge_series, resample, resample_series, split_symbol,
    };
    #[pymodule_export]
    use super::repair::{export_checkpoints, import_checkpoints, repair_checkpoints};
    #[pymodule_export]
    use super::silver::SilverWriter;
    #[pymodule_export]
    use super::store::{Checkpoint, CheckpointStore};
    #[pymodule_export]
    use super::validation::{
        ReportWriter, check_rows, check_wanted, detect_gaps, known_checks, reconcile_rows, restated_rows,
        validate_rows,
    };
    #[pymodule_export]
    use super::writer::{BronzeWriter, LakeAdapter};

    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
