//! The use cases. [`Backfill`] prepares series and hands them to the pipeline, which is the one
//! sentence of the design: plan, permit, fetch, check, write, commit, report.

mod backfill;
mod committer;
mod pipeline;
mod planner;
mod prepare;
mod tally;

pub use backfill::{Backfill, BackfillSpec, Parts, Resume};
pub use tally::{Snapshot, Tally};
