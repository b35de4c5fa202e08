//! Numbers that no other process, thread or container picks.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A new one at each call, seeded by the operating system.
pub fn unique() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    // A forked child has its parent's seeds.
    hasher.write_u32(std::process::id());
    hasher.finish()
}
