//! Numbers that no other process, thread or container picks.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A new one at each call, seeded by the operating system.
pub fn unique() -> u64 {
    RandomState::new().build_hasher().finish()
}
