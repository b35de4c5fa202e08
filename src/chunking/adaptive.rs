//! Chunks that start at a day, a week or thirty days and follow what the source answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::first_cell;
use crate::ports::{ChunkStrategy, Observation};
use crate::time_range::TimeRange;
use crate::timeframe::Timeframe;

/// Slower answers shrink the chunk.
const SLOW: Duration = Duration::from_secs(5);
/// Faster ones grow it.
const FAST: Duration = Duration::from_secs(1);
/// So many fast answers in a row grow it once.
const STREAK: u32 = 3;
/// Powers of two by which the chunk may differ from its start.
const MOST: i32 = 6;

/// Per timeframe: the power of two, and fast answers in a row.
type Level = (i32, u32);

/// Cells of a base size times a power of two; since sizes double, their grids nest.
#[derive(Debug, Default)]
pub struct AdaptiveChunkStrategy {
    levels: Mutex<BTreeMap<Timeframe, Level>>,
}

/// Bars of a chunk before anything is learnt: a day of minutes, a week of hours, 30 days of days.
fn base(timeframe: Timeframe) -> u32 {
    match timeframe {
        Timeframe::Minutes(n) if n < 60 => 1440 / u32::from(n),
        Timeframe::Minutes(n) if n < 1440 => 7 * 1440 / u32::from(n),
        Timeframe::Minutes(_) => 30,
        Timeframe::Week => 4,
        Timeframe::Month => 12,
    }
}

fn scaled(base: u32, level: i32) -> u32 {
    if level >= 0 { base << level } else { (base >> -level).max(1) }
}

impl ChunkStrategy for AdaptiveChunkStrategy {
    fn first_chunk(&self, range: TimeRange, timeframe: Timeframe, max_bars: u32) -> TimeRange {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut level = levels.get(&timeframe).map_or(0, |level| level.0);
        drop(levels);
        while scaled(base(timeframe), level) > max_bars.max(1) {
            level -= 1;
        }
        first_cell(range, timeframe, scaled(base(timeframe), level))
    }

    fn observe(&self, observation: &Observation) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, streak) = levels.entry(observation.timeframe).or_default();
        if observation.truncated || observation.elapsed > SLOW {
            (*level, *streak) = ((*level - 1).max(-MOST), 0);
        } else if observation.elapsed < FAST {
            *streak += 1;
            if *streak == STREAK {
                (*level, *streak) = ((*level + 1).min(MOST), 0);
            }
        }
    }
}
