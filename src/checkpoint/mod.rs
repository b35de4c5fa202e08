//! Checkpoint stores. All pass one conformance suite, `tests/rust/checkpoint_conformance.rs`.

mod conditions;
mod export;
mod format;
mod hybrid;
mod local;
mod memory;
mod naming;
mod open;
mod postgres;
mod s3;

pub use export::{export, import};
pub use hybrid::HybridCheckpointStore;
pub use local::LocalCheckpointStore;
pub use memory::MemoryCheckpointStore;
pub use open::{Access, open, shown};
pub use postgres::PostgresCheckpointStore;
pub use s3::S3CheckpointStore;
