//! One series of a run: what is asked for, and what has come of it so far.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::chunking::CalendarChunkStrategy;
use crate::coverage::{Coverage, State};
use crate::error::Result;
use crate::ports::{Capability, Checkpoint, ChunkStrategy};
use crate::report::{Counts, Gap, SeriesReport};
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

use super::asks::Asks;
use super::backfill::Parts;
use super::gaps::{self, Look};

/// What a run knows of a series' chunks in the lake.
#[derive(Debug)]
struct InLake {
    /// Chunks that a killed run has left: not all of them is known.
    left: Vec<TimeRange>,
    /// Cells of which not all is known: a killed run may have left rows there.
    cells: Vec<TimeRange>,
    /// What is committed, or durably written by this run.
    durable: Coverage,
}

/// One series of a run.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) series: Series,
    pub(super) key: Arc<str>,
    pub(super) capability: Capability,
    /// Of a source of files: see `DataAdapter::file_delay`.
    pub(super) file_delay: Option<Duration>,
    /// What is wanted: closed bars only, on the grid. `None` where no bar has closed yet.
    pub(super) wanted: Option<TimeRange>,
    /// Bars before are gone at the source.
    pub(super) cutoff: Millis,
    pub(super) missing: Vec<TimeRange>,
    /// What is asked for: what is missing, and what is asked for again.
    pub(super) asks: Asks,
    /// Bars before the newest missing ones to ask for again; `None`: this is no incremental run.
    overlap: Option<u32>,
    /// Known holes to ask for again; `None`: this is no repair.
    holes: Option<Vec<TimeRange>>,
    generation: u64,
    /// What is known shall be forgotten.
    anew: bool,
    /// The generation to commit to, once the source has answered and the way is clear.
    begun: OnceCell<u64>,
    pub(super) fingerprint: String,
    lake: Mutex<InLake>,
    known: Mutex<Coverage>,
    /// What a repair has got an answer for.
    told: Mutex<Coverage>,
    /// The holes that a repair has left.
    left_over: Mutex<Option<Vec<Gap>>>,
    counts: Mutex<Counts>,
    failed_in_a_row: AtomicU32,
}

/// What a run begins with.
pub(super) struct Start {
    pub(super) series: Series,
    pub(super) capability: Capability,
    pub(super) file_delay: Option<Duration>,
    pub(super) wanted: Option<TimeRange>,
    pub(super) cutoff: Millis,
    pub(super) missing: Vec<TimeRange>,
    pub(super) overlap: Option<u32>,
    pub(super) holes: Option<Vec<TimeRange>>,
    pub(super) fingerprint: String,
    pub(super) checkpoint: Checkpoint,
    pub(super) anew: bool,
}

impl Task {
    pub(super) fn new(start: Start) -> Self {
        let Start {
            series,
            capability,
            file_delay,
            wanted,
            cutoff,
            missing,
            overlap,
            holes,
            fingerprint,
            checkpoint,
            anew,
        } = start;
        let Checkpoint { generation, coverage, .. } = checkpoint;
        let mut task = Self {
            key: series.to_string().into(),
            series,
            capability,
            file_delay,
            wanted,
            cutoff,
            missing,
            asks: Asks::default(),
            overlap,
            holes,
            generation,
            anew,
            begun: OnceCell::new(),
            fingerprint,
            lake: Mutex::new(InLake { left: Vec::new(), cells: Vec::new(), durable: coverage.clone() }),
            known: Mutex::new(coverage),
            told: Mutex::default(),
            left_over: Mutex::default(),
            counts: Mutex::default(),
            failed_in_a_row: AtomicU32::default(),
        };
        task.decide();
        task
    }

    /// Called with every good answer before it is written; the first one forgets what shall be forgotten and looks
    /// for what a killed run has left. Not earlier: a source that refuses everything must cost nothing that is
    /// stored. Answers the generation to commit to.
    pub(super) async fn begin(&self, parts: &Parts) -> Result<u64> {
        let begin = || async {
            let generation = if self.anew { parts.store.reset(&self.key).await? } else { self.generation };
            let mut held = parts.writer.held(&self.series).await?;
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // A committed chunk is covered as a whole.
            held.chunks.retain(|chunk| !known.missing(*chunk).is_empty());
            held.cells.retain(|cell| !known.missing(*cell).is_empty());
            let mut lake = self.lake();
            (lake.left, lake.cells) = (held.chunks, held.cells);
            drop(lake);
            Ok(generation)
        };
        self.begun.get_or_try_init(begin).await.copied()
    }

    fn lake(&self) -> MutexGuard<'_, InLake> {
        self.lake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `range` is durable, in an object named by it or elsewhere. Answers what a killed run left and nobody needs any
    /// more: chunks whose whole range is durable under other names. Never earlier: the killed run may have been a
    /// stopped one, whose commit comes late.
    pub(super) fn written(&self, range: TimeRange, has_own_object: bool) -> Vec<TimeRange> {
        let mut lake = self.lake();
        lake.durable.insert(range, State::Data);
        let InLake { left, durable, .. } = &mut *lake;
        let superseded = left.extract_if(.., |chunk| durable.missing(*chunk).is_empty()).collect::<Vec<_>>();
        superseded.into_iter().filter(|chunk| *chunk != range || !has_own_object).collect()
    }

    /// Chunks that are not committed: those that a killed run has left, or of what was forgotten.
    pub(super) fn left(&self) -> Vec<TimeRange> {
        self.lake().left.clone()
    }

    /// Those of them in which rows of `range` may lie.
    pub(super) fn left_in(&self, range: TimeRange) -> Vec<TimeRange> {
        self.lake().left.iter().filter(|chunk| chunk.intersect(range).is_some()).copied().collect()
    }

    /// Cells in which a killed run may have left rows of `range`.
    pub(super) fn cells(&self, range: TimeRange) -> Vec<TimeRange> {
        self.lake().cells.iter().filter(|cell| cell.intersect(range).is_some()).copied().collect()
    }

    /// Takes the newest checkpoint; what was not missing before is not wanted now.
    pub(super) fn narrow(&mut self, now: Checkpoint) {
        if self.anew || now.generation < self.generation {
            return;
        }
        self.missing = self.missing.iter().flat_map(|range| now.coverage.missing(*range)).collect();
        self.generation = now.generation;
        self.lake().durable = now.coverage.clone();
        self.known = Mutex::new(now.coverage);
        self.decide();
    }

    /// Finds out what to ask for.
    fn decide(&mut self) {
        let end = self.wanted.map_or(Millis::MAX, TimeRange::end);
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        let most = self.capability.prices.page().best;
        self.asks = match (&self.holes, self.overlap) {
            (Some(holes), _) => Asks::repair(&self.missing, holes, self.series.timeframe, most),
            (None, Some(bars)) => Asks::incremental(&self.missing, known, self.series.timeframe, end, bars),
            (None, None) => Asks::chunks(self.missing.clone()),
        };
    }

    /// What is claimed.
    pub(super) fn claimed(&self) -> Vec<TimeRange> {
        if self.holes.is_some() { self.asks.ranges.clone() } else { self.missing.clone() }
    }

    /// Writes what a repair has found out into the gap ledger.
    pub(super) async fn remember(&self, parts: &Parts, attempts: u32) -> Result<()> {
        let Some(wanted) = self.wanted else { return Ok(()) };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let look = Look { wanted, coverage: &known, asked: &told, cutoff: self.cutoff, attempts };
        let ledger = gaps::record(&*parts.store, &self.series, &look, parts.clock.now()).await?;
        let left = gaps::gaps(&self.series, wanted, &known, &ledger);
        *self.left_over.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        Ok(())
    }

    /// A chunk is committed.
    pub(super) fn done(&self, facts: &Coverage, counts: Counts) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).merge(facts);
        if self.holes.is_some() {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).merge(facts);
        }
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) += counts;
    }

    /// A chunk failed; how many in a row by now.
    pub(super) fn blame(&self) -> u32 {
        self.failed_in_a_row.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A chunk went well.
    pub(super) fn forgive(&self) {
        self.failed_in_a_row.store(0, Ordering::Relaxed);
    }

    /// The first chunk of `range`. What is asked for again goes with what comes after it, if a page holds both.
    pub(super) fn first_chunk(&self, range: TimeRange, strategy: &dyn ChunkStrategy) -> TimeRange {
        let (timeframe, page) = (self.series.timeframe, self.capability.prices.page());
        if self.file_delay.is_some() {
            return CalendarChunkStrategy.first_chunk(range, timeframe, page);
        }
        let fits = |range: &TimeRange| timeframe.count(range.start(), range.end()) <= u64::from(page.most);
        if self.holes.is_some() && self.asks.merges(range.start()) && fits(&range) {
            return range;
        }
        let cut = |range| strategy.first_chunk(range, timeframe, page);
        let again = self.asks.again.filter(|again| again.start() == range.start());
        let Some((again, new)) =
            again.and_then(|it| Some((it, TimeRange::non_empty(it.end(), range.end())?)))
        else {
            return cut(range);
        };
        let both = TimeRange::non_empty(range.start(), cut(new).end());
        both.filter(fits).unwrap_or_else(|| cut(again))
    }

    /// What a request for `range` costs.
    pub(super) fn weight(&self, range: TimeRange) -> u32 {
        self.capability.prices.weight(self.series.timeframe.count(range.start(), range.end()))
    }

    /// Bars that no request can bring back.
    pub(super) fn bars_beyond_retention(&self) -> u64 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = self
            .wanted
            .and_then(|wanted| TimeRange::non_empty(wanted.start(), wanted.end().min(self.cutoff)));
        let holes = gone.map(|gone| known.missing(gone)).unwrap_or_default();
        holes.iter().map(|hole| self.series.timeframe.count(hole.start(), hole.end())).sum()
    }

    pub(super) fn report(&self) -> Option<SeriesReport> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let report = SeriesReport::new(&self.series, self.wanted?, self.cutoff, &known, counts);
        let left = self.left_over.lock().unwrap_or_else(PoisonError::into_inner).take();
        Some(SeriesReport { gaps: left.unwrap_or(report.gaps), ..report })
    }

    /// What is covered of what is wanted.
    pub(super) fn covered(&self) -> Vec<TimeRange> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Joined over states: a chunk with holes is one chunk.
        let whole: Coverage = self
            .wanted
            .map(|wanted| known.covered(wanted))
            .unwrap_or_default()
            .into_iter()
            .map(|(range, _)| (range, State::Data))
            .collect();
        whole.ranges(State::Data)
    }
}
