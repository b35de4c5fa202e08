//! The source's quota in two layers: a hard budget of exact sliding windows that is never exceeded, and a
//! pacer (governor) at a rate that follows the source's answers.

mod limiter;
mod pace;
mod window;

pub use limiter::WindowLimiter;
pub use pace::Pace;
pub use window::{SlidingLog, Window};
