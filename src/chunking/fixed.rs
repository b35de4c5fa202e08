//! Chunks of a fixed number of bars.

use super::first_cell;
use crate::ports::ChunkStrategy;
use crate::time_range::TimeRange;
use crate::timeframe::Timeframe;

/// Cuts at multiples of `bars` bars since 1970.
#[derive(Debug, Clone, Copy)]
pub struct FixedChunkStrategy {
    bars: u32,
}

impl FixedChunkStrategy {
    /// Chunks of `bars` bars; 0 counts as 1.
    pub fn new(bars: u32) -> Self {
        Self { bars: bars.max(1) }
    }
}

impl ChunkStrategy for FixedChunkStrategy {
    fn first_chunk(&self, range: TimeRange, timeframe: Timeframe, max_bars: u32) -> TimeRange {
        first_cell(range, timeframe, self.bars.min(max_bars.max(1)))
    }
}
