//! The source's quota in two layers: a hard budget of exact windows that is never exceeded, and a pacer (governor) at
//! a rate that follows the source's answers.
//!
//! [`Budget`] is what a scope may spend, as one pure value; [`WindowLimiter`] keeps one for a process; shared ones
//! are in `quota`.

mod budget;
mod learned;
mod limiter;
mod line;
mod pace;
mod penalty;
mod response;
mod stats;
mod timeline;
mod window;

pub use budget::Budget;
pub use limiter::{Limits, WindowLimiter, check_fits, least_duration, refusal};
pub use line::{Line, Place, rank};
pub use pace::{Pace, Pacer};
pub use response::{Answer, read};
pub use stats::{Counts, Stats, WindowStats, window_stats};
pub use timeline::Timeline;
pub use window::{Alignment, Meter, Micros, Window};
