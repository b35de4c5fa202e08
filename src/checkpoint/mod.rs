//! Checkpoint stores. All pass one conformance suite, `tests/rust/checkpoint_conformance.rs`.

mod format;
mod local;
mod memory;

pub use local::LocalCheckpointStore;
pub use memory::MemoryCheckpointStore;
