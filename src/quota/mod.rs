//! One quota for many workers: what the source limits (an API key, an egress address) has one budget in a place that
//! all of them reach, a file for one machine or a database for many.
//!
//! A worker asks for what its waiting requests need, gets it as a lease to be spent at once, or a time to come back:
//! nobody polls, and whoever was told to come back goes first when it does. While the place is away a worker goes on
//! with its own share, once everything that others were permitted is past; its absence reserves that share meanwhile.

mod alone;
mod cell;
mod file;
mod limiter;
mod look;
mod open;
mod postgres;
mod scope;
mod worker;

pub use cell::{Cell, Change, MemoryCell};
pub use file::FileCell;
pub use limiter::SharedLimiter;
pub use look::{ScopeStats, look};
pub use open::open;
pub use postgres::PostgresCell;
pub use scope::{Demand, Lease, News, Scope, hold};
