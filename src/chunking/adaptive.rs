//! Chunks that start at a day, a week or thirty days and follow what the source answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::first_cell;
use crate::ports::{ChunkStrategy, Observation, Page, SLOW};
use crate::time_range::TimeRange;
use crate::timeframe::Timeframe;

/// Faster answers than this grow the chunk; slower ones than [`SLOW`] shrink it.
const FAST: Duration = Duration::from_secs(1);
/// So many fast answers grow it once.
const STREAK: u32 = 3;
/// Powers of two by which the chunk may differ from its start.
const MOST: i32 = 6;
const LEAST: i32 = -MOST;

/// What is known of one timeframe.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The power of two.
    power: i32,
    /// Fast answers since it last changed.
    fast: u32,
    /// The greatest power whose cells the source answers at once, as last asked.
    most: i32,
}

impl Default for Level {
    fn default() -> Self {
        Self { power: 0, fast: 0, most: MOST }
    }
}

/// Cells of a base size times a power of two: doubled, or halved (the first half is the longer one), so that
/// every cell is the union of two of the next smaller size and the grids nest.
#[derive(Debug, Default)]
pub struct AdaptiveChunkStrategy {
    levels: Mutex<BTreeMap<Timeframe, Level>>,
}

/// Bars of a chunk before anything is learnt: a day of minutes, a week of hours, 30 days of days. A whole page where
/// that is more than the source answers, and where another size costs more quota for a row.
fn base(timeframe: Timeframe, page: Page) -> u32 {
    let usual = match timeframe {
        Timeframe::Minutes(n) if n < 60 => 1440 / u32::from(n),
        Timeframe::Minutes(n) if n < 1440 => 7 * 1440 / u32::from(n),
        Timeframe::Minutes(_) => 30,
        Timeframe::Week => 4,
        Timeframe::Month => 12,
    };
    let has_best = page.best < page.most;
    if has_best || usual > page.most { page.best.max(1) } else { usual }
}

/// Bars of the longest cell at `power`.
fn longest(base: u32, power: i32) -> u32 {
    if power >= 0 { base << power } else { base.div_ceil(1 << -power) }
}

/// The greatest power, not above `power`, whose cells hold at most `max_bars`.
fn fitting(base: u32, mut power: i32, max_bars: u32) -> i32 {
    while longest(base, power) > max_bars.max(1) {
        power -= 1;
    }
    power
}

impl ChunkStrategy for AdaptiveChunkStrategy {
    fn first_chunk(&self, range: TimeRange, timeframe: Timeframe, page: Page) -> TimeRange {
        let base = base(timeframe, page);
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels.entry(timeframe).or_default();
        level.most = fitting(base, MOST, page.best);
        let power = level.power.min(level.most);
        drop(levels);
        first_cell(range, timeframe, longest(base, power.max(0)), (-power).max(0).unsigned_abs())
    }

    fn observe(&self, observation: &Observation) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels.entry(observation.timeframe).or_default();
        // What the source's rows per request cut is the size that was answered, and from which to go on.
        let power = level.power.min(level.most);
        if observation.truncated || observation.elapsed > SLOW {
            (level.power, level.fast) = ((power - 1).max(LEAST), 0);
        } else if observation.elapsed < FAST {
            level.fast += 1;
            if level.fast == STREAK {
                (level.power, level.fast) = ((power + 1).min(level.most).max(LEAST), 0);
            }
        }
    }
}
