//! Hands out chunks lazily: one chunk of each series in turn, so that requests in flight belong to
//! different series, and ten years of minutes for a thousand symbols need no list of chunks.

use std::collections::VecDeque;

use crate::ports::ChunkStrategy;
use crate::time_range::TimeRange;

use super::task::Task;

/// One piece of work: a range of the series at `task` in the run's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) task: usize,
    pub(super) range: TimeRange,
}

/// What is left to hand out.
pub(super) struct Planner {
    /// Per series that has work left: its index and the ranges to ask for, first range first.
    queue: VecDeque<(usize, VecDeque<TimeRange>)>,
    stopped: bool,
}

impl Planner {
    pub(super) fn new(tasks: &[Task]) -> Self {
        let asks = |(index, task): (usize, &Task)| (index, task.asks.ranges.iter().copied().collect());
        Self { queue: tasks.iter().enumerate().map(asks).collect(), stopped: false }
    }

    /// The next chunk, cut as `strategy` says now.
    pub(super) fn next(&mut self, tasks: &[Task], strategy: &dyn ChunkStrategy) -> Option<Chunk> {
        if self.stopped {
            return None;
        }
        while let Some((index, mut missing)) = self.queue.pop_front() {
            let Some(range) = missing.pop_front() else { continue };
            let task = &tasks[index];
            let chunk = task.first_chunk(range, strategy);
            if let Some(rest) = TimeRange::non_empty(chunk.end(), range.end()) {
                missing.push_front(rest);
            }
            self.queue.push_back((index, missing));
            return Some(Chunk { task: index, range: chunk });
        }
        None
    }

    /// Hands out `range` of `task` next: the part of a chunk that an answer left open.
    pub(super) fn give_back(&mut self, task: usize, range: TimeRange) {
        match self.queue.iter_mut().find(|(index, _)| *index == task) {
            Some((_, missing)) => missing.push_front(range),
            None => self.queue.push_front((task, VecDeque::from([range]))),
        }
    }

    /// Hands out nothing more of `task`.
    pub(super) fn drop_task(&mut self, task: usize) {
        self.queue.retain(|(index, _)| *index != task);
    }

    /// Hands out nothing more at all.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }
}
