//! The use cases. [`Backfill`] prepares series and hands them to the pipeline, which is the one
//! sentence of the design: plan, permit, fetch, check, write, commit, report.

mod asks;
mod attempts;
mod backfill;
mod claims;
mod committer;
mod coverage_map;
mod derive;
mod gaps;
mod html;
mod pipeline;
mod planner;
mod prepare;
mod repair;
mod tally;
mod task;
mod validation;

pub use backfill::{Backfill, BackfillSpec, Parts, Resume};
pub use coverage_map::{Asked, CoverageMap, Section, Terminal, coverage_map, coverage_page, coverage_text};
pub use derive::{Derived, Gap, LeftOut, Source, merge_series, resample_series, resampled};
pub use gaps::{HoleRepair, detect_gaps, forget};
pub use repair::{RepairReport, RepairSpec, repair};
pub use tally::{Snapshot, Tally};
pub use validation::{
    Addresses, Hole, Look, Pair, ValidationReport, Wanted, expect_rows, reconcile, validate,
};
