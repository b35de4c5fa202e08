//! Chunks of a fixed number of bars.

use super::first_cell;
use crate::ports::{ChunkStrategy, Page};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

#[derive(Debug, Clone, Copy)]
enum Size {
    Bars(u32),
    Duration(Millis),
}

/// Cuts at multiples of a number of bars, counted from the first Monday of 1970 (months from January 1970).
#[derive(Debug, Clone, Copy)]
pub struct FixedChunkStrategy {
    size: Size,
}

impl FixedChunkStrategy {
    /// Chunks of `bars` bars; 0 counts as 1.
    pub fn new(bars: u32) -> Self {
        Self { size: Size::Bars(bars.max(1)) }
    }

    /// Chunks of as many whole bars as fit `length` milliseconds, at least one; a month counts as 28 days.
    pub const fn from_duration(length: Millis) -> Self {
        Self { size: Size::Duration(length) }
    }

    fn bars(self, timeframe: Timeframe) -> u32 {
        match self.size {
            Size::Bars(bars) => bars,
            Size::Duration(length) => {
                u32::try_from((length / timeframe.shortest()).max(1)).unwrap_or(u32::MAX)
            }
        }
    }
}

impl ChunkStrategy for FixedChunkStrategy {
    fn first_chunk(&self, range: TimeRange, timeframe: Timeframe, page: Page) -> TimeRange {
        first_cell(range, timeframe, self.bars(timeframe).min(page.most.max(1)), 0)
    }
}
