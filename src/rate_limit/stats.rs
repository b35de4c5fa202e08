//! How a limiter stands, for people and dashboards.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::budget::Budget;
use super::window::Micros;
use crate::time_range::Millis;

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests permitted.
    pub permits: u64,
    /// Their weight.
    pub weight: u64,
    /// Answers reported.
    pub answered: u64,
    /// Refusals of the source reported.
    pub refused: u64,
    /// Wishes that would have waited too long.
    pub turned_away: u64,
    /// Time waited, summed over requests; in seconds where serialised.
    #[serde(rename = "waited_seconds", serialize_with = "seconds")]
    pub waited: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WindowStats {
    /// Its length.
    pub seconds: f64,
    /// What may be spent in it, as thought now.
    pub weight: u32,
    /// What this limiter would never exceed.
    pub most: u32,
    /// What counts as spent, others' part included as far as it is known.
    pub used: u32,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// What happened so far.
    #[serde(flatten)]
    pub counts: Counts,
    /// How many wait.
    pub waiting: usize,
    /// Requests a second, where there is a pace.
    pub rate: Option<f64>,
    /// Nobody asks before, in milliseconds since 1970 UTC.
    pub blocked_until: Option<Millis>,
    /// In the order in which they were given.
    pub windows: Vec<WindowStats>,
}

/// The windows of `budget`.
pub fn window_stats(budget: &Budget, now: Micros) -> Vec<WindowStats> {
    let of = |meter: &super::window::Meter| WindowStats {
        seconds: meter.period() as f64 / 1e6,
        weight: meter.learned.limit(),
        most: meter.learned.most(),
        used: meter.used(now),
    };
    budget.meters().iter().map(of).collect()
}
