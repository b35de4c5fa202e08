//! From what an author asks for to series with missing ranges: symbols resolved, checkpoints loaded,
//! retention applied. Nothing here fetches rows.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{StreamExt, TryStreamExt, iter};
use tokio::sync::OnceCell;

use crate::cancel::Cancel;
use crate::chunking;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Kind, Result};
use crate::ports::{Capability, Checkpoint, ChunkStrategy, Feedback, Verdict};
use crate::report::{Counts, SeriesReport};
use crate::series::{DataType, Series, encode_segment};
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

use super::asks::Asks;
use super::backfill::{BackfillSpec, Parts, Resume};
use super::tally::Tally;

/// Series prepared at once.
pub(super) const WIDTH: usize = 16;

/// What a run knows of a series' chunks in the lake.
#[derive(Debug)]
struct InLake {
    /// Left by a killed run: they overlap what is missing.
    left: Vec<TimeRange>,
    /// Cells that overlap what is missing: a killed run may have left rows there.
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
    /// What is wanted: closed bars only, on the grid. `None` where no bar has closed yet.
    pub(super) wanted: Option<TimeRange>,
    /// Bars before are gone at the source.
    pub(super) cutoff: Millis,
    pub(super) missing: Vec<TimeRange>,
    /// What is asked for: what is missing, and what is asked for again.
    pub(super) asks: Asks,
    /// Bars before the newest missing ones to ask for again; `None`: this is no incremental run.
    overlap: Option<u32>,
    generation: u64,
    /// What is known shall be forgotten.
    anew: bool,
    /// The generation to commit to, once the source has answered and the way is clear.
    begun: OnceCell<u64>,
    pub(super) fingerprint: String,
    lake: Mutex<InLake>,
    known: Mutex<Coverage>,
    counts: Mutex<Counts>,
    failed_in_a_row: AtomicU32,
}

impl Task {
    /// Called with every good answer before it is written; the first one forgets what shall be forgotten and looks
    /// for what a killed run has left. Not earlier: a source that refuses everything must cost nothing that is
    /// stored. Answers the generation to commit to.
    pub(super) async fn begin(&self, parts: &Parts) -> Result<u64> {
        let begin = || async {
            let generation = if self.anew { parts.store.reset(&self.key).await? } else { self.generation };
            let missing: Coverage = self.missing.iter().map(|range| (*range, State::Data)).collect();
            let mut held = parts.writer.held(&self.series).await?;
            // A committed chunk is covered as a whole, so it overlaps nothing that is missing.
            held.chunks.retain(|chunk| !missing.covered(*chunk).is_empty());
            held.cells.retain(|cell| !missing.covered(*cell).is_empty());
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

    /// `range` is durable, with `rows` or with nothing to write. Answers what a killed run left and nobody needs any
    /// more: chunks whose whole range is durable under other names. Never earlier: the killed run may have been a
    /// stopped one, whose commit comes late.
    pub(super) fn written(&self, range: TimeRange, rows: u64) -> Vec<TimeRange> {
        let mut lake = self.lake();
        lake.durable.insert(range, State::Data);
        let InLake { left, durable, .. } = &mut *lake;
        let superseded = left.extract_if(.., |chunk| durable.missing(*chunk).is_empty()).collect::<Vec<_>>();
        superseded.into_iter().filter(|chunk| *chunk != range || rows == 0).collect()
    }

    /// Chunks that a killed run has left.
    pub(super) fn left(&self) -> Vec<TimeRange> {
        self.lake().left.clone()
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
        self.asks = match self.overlap {
            Some(bars) => Asks::incremental(&self.missing, known, self.series.timeframe, end, bars),
            None => Asks::chunks(self.missing.clone()),
        };
    }

    /// A chunk is committed.
    pub(super) fn done(&self, facts: &Coverage, counts: Counts) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).merge(facts);
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
        let cut = |range| strategy.first_chunk(range, timeframe, page);
        let again = self.asks.again.filter(|again| again.start() == range.start());
        let Some((again, new)) =
            again.and_then(|it| Some((it, TimeRange::non_empty(it.end(), range.end())?)))
        else {
            return cut(range);
        };
        let both = TimeRange::non_empty(range.start(), cut(new).end());
        both.filter(|both| timeframe.count(both.start(), both.end()) <= u64::from(page.most))
            .unwrap_or_else(|| cut(again))
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
        self.wanted.map(|wanted| SeriesReport::new(&self.series, wanted, self.cutoff, &known, counts))
    }
}

/// What can be run, and what cannot, with the series where it is known.
pub(super) type Prepared = (Vec<Task>, Vec<(Option<Series>, Error)>);

/// Resolves, loads and plans every series; what fails is in the second list, with its symbol's series
/// where that is known. Look-ups at the source happen only where `look_up` allows.
pub(super) async fn prepare(
    parts: &Parts,
    spec: &BackfillSpec,
    tally: &Tally,
    cancel: &Cancel,
) -> Result<Prepared> {
    let mut failures = Vec::new();
    let mut wanted = Vec::new();
    for name in &spec.symbols {
        match resolve(parts, spec, tally, cancel, name).await {
            Ok(symbol) => wanted.extend(series_of(parts, spec, &symbol)),
            Err(error) if error.is_fatal() || matches!(error.kind(), Kind::RateLimited | Kind::Cancelled) => {
                return Err(error);
            }
            Err(error) => failures.push((None, error)),
        }
    }
    wanted.sort();
    wanted.dedup();
    let prepared = iter(wanted).map(|series| async {
        let task = load(parts, spec, series.clone()).await;
        Ok::<_, Error>(task.map_err(|error| (Some(series), error)))
    });
    let mut tasks = Vec::new();
    for task in prepared.buffered(WIDTH).try_collect::<Vec<_>>().await? {
        match task {
            Ok(task) => tasks.push(task),
            Err(failure) => failures.push(failure),
        }
    }
    Ok((tasks, failures))
}

/// Counts what `tasks` will do and what is done already.
pub(super) fn announce(parts: &Parts, tasks: &[Task], tally: &Tally) {
    for task in tasks {
        tally.plan(count(parts, task, &task.asks.ranges), count(parts, task, &task.covered()));
    }
}

impl Task {
    fn covered(&self) -> Vec<TimeRange> {
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

/// How many chunks the strategy makes of `ranges` as it cuts now.
pub(super) fn count(parts: &Parts, task: &Task, ranges: &[TimeRange]) -> u64 {
    cut(parts, task, ranges).count() as u64
}

/// What the chunks cost together.
pub(super) fn price(parts: &Parts, task: &Task) -> u64 {
    cut(parts, task, &task.asks.ranges).map(|chunk| u64::from(task.weight(chunk))).sum()
}

fn cut(parts: &Parts, task: &Task, ranges: &[TimeRange]) -> impl Iterator<Item = TimeRange> {
    chunking::cut(ranges.to_vec(), |range| task.first_chunk(range, &*parts.strategy))
}

/// What `name` is called at the source. A look-up is pinned beside the checkpoints, so that a resumed run
/// asks nothing and cannot drift to another market.
async fn resolve(
    parts: &Parts,
    spec: &BackfillSpec,
    tally: &Tally,
    cancel: &Cancel,
    name: &str,
) -> Result<String> {
    if parts.adapter.is_exact(name) {
        return Ok(name.to_owned());
    }
    let pin = format!("{}/market/{}", encode_segment(parts.adapter.source()), encode_segment(name));
    let pinned = parts
        .store
        .load(&pin)
        .await?
        .filter(|pin| pin.fingerprint.as_deref() == Some(&*parts.adapter.lookup()));
    if let Some(symbol) = pinned.and_then(|pin| pin.cursor) {
        return Ok(symbol);
    }
    let asking = async {
        let permit = parts.limiter.acquire(spec.ask(1)).await?;
        tally.throttle(permit.waited);
        tally.request();
        let symbol = parts.adapter.resolve(name).await;
        let verdict = symbol.as_ref().map_or_else(verdict_of, |_| Verdict::Answered { is_slow: false });
        let epoch = Some(permit.epoch);
        parts.limiter.report(Feedback { epoch, weight: 1, verdict, quotas: &[] });
        symbol
    };
    let symbol = cancel.guard(asking).await?;
    let generation = parts.store.load(&pin).await?.map_or(0, |old| old.generation + 1);
    let pinned = Checkpoint {
        generation,
        cursor: Some(symbol.clone()),
        fingerprint: Some(parts.adapter.lookup()),
        ..Checkpoint::default()
    };
    parts.store.commit(&pin, &pinned).await?;
    Ok(symbol)
}

/// What a failed request says about quota.
pub(super) fn verdict_of(error: &Error) -> Verdict {
    match error.kind() {
        Kind::RateLimited => Verdict::Refused { until: error.until() },
        _ => Verdict::Failed,
    }
}

fn series_of(parts: &Parts, spec: &BackfillSpec, symbol: &str) -> Vec<Series> {
    let source = parts.adapter.source();
    let one = |data_type: DataType, timeframe: Timeframe| Series {
        source: source.to_owned(),
        data_type,
        symbol: symbol.to_owned(),
        timeframe,
    };
    spec.data_types
        .iter()
        .flat_map(|data_type| spec.timeframes.iter().map(move |timeframe| one(*data_type, *timeframe)))
        .collect()
}

/// Loads one series' checkpoint and finds what is missing.
async fn load(parts: &Parts, spec: &BackfillSpec, series: Series) -> Result<Task> {
    let capability = parts.adapter.capability(series.data_type, series.timeframe)?;
    let key: Arc<str> = series.to_string().into();
    let fingerprint = parts.adapter.fingerprint();
    let mut checkpoint = parts.store.load(&key).await?.unwrap_or_default();
    if checkpoint.fingerprint.as_ref().is_some_and(|held| *held != fingerprint)
        && spec.resume != Resume::Never
    {
        return Err(changed(&key, &checkpoint, &fingerprint));
    }
    let anew = spec.resume == Resume::Never;
    if anew {
        checkpoint.coverage = Coverage::new();
    }
    let range = if spec.from_known { since_known(&key, &checkpoint, spec.range.end())? } else { spec.range };
    let now = parts.clock.now();
    let (wanted, cutoff) = wanted(spec, range, series.timeframe, capability, now);
    let alive = wanted.and_then(|wanted| TimeRange::non_empty(wanted.start().max(cutoff), wanted.end()));
    let missing = alive.map(|alive| checkpoint.coverage.missing(alive)).unwrap_or_default();
    if let (Some(wanted), None) = (wanted, alive)
        && !checkpoint.coverage.missing(wanted).is_empty()
    {
        return Err(too_old(&key, wanted, cutoff));
    }
    let mut task = Task {
        series,
        key,
        capability,
        wanted,
        cutoff,
        missing,
        asks: Asks::default(),
        overlap: spec.overlap.filter(|_| parts.writer.cells().is_some() && !anew),
        fingerprint,
        generation: checkpoint.generation,
        anew,
        begun: OnceCell::new(),
        lake: Mutex::new(InLake {
            left: Vec::new(),
            cells: Vec::new(),
            durable: checkpoint.coverage.clone(),
        }),
        known: Mutex::new(checkpoint.coverage),
        counts: Mutex::default(),
        failed_in_a_row: AtomicU32::default(),
    };
    task.decide();
    Ok(task)
}

/// The closed bars of the asked range, and the open time of the oldest bar that the source still has.
fn wanted(
    spec: &BackfillSpec,
    range: TimeRange,
    timeframe: Timeframe,
    capability: Capability,
    now: Millis,
) -> (Option<TimeRange>, Millis) {
    let closed = timeframe.floor(now - spec.lag.as_millis() as Millis);
    let end = timeframe.ceil(range.end()).min(closed);
    let kept = |bars: u32| timeframe.ceil(now - Millis::from(bars) * timeframe.shortest());
    let cutoff = capability.retention_bars.map_or(Millis::MIN, kept);
    (TimeRange::non_empty(timeframe.ceil(range.start()), end), cutoff)
}

/// From the first moment that is known of `key` to `end`.
fn since_known(key: &str, held: &Checkpoint, end: Millis) -> Result<TimeRange> {
    let (first, _) = held.coverage.iter().next().ok_or_else(|| {
        Error::invalid(format!("{key}: nothing is known of it yet"))
            .with_hint("say where it begins: start= or lookback=")
    })?;
    TimeRange::non_empty(first.start(), end.max(first.end()))
        .ok_or_else(|| Error::invalid(format!("{key}: it begins after {}", iso(end))))
}

fn changed(key: &str, held: &Checkpoint, now: &str) -> Error {
    let was = held.fingerprint.as_deref().unwrap_or_default();
    Error::conflict(format!("{key}: the checkpoint was made with {was:?}, this run uses {now:?}"))
        .with_hint("use another lake and checkpoint folder, or resume=\"never\" to fetch everything again")
}

fn too_old(key: &str, wanted: TimeRange, cutoff: Millis) -> Error {
    Error::invalid(format!(
        "{key}: all of {wanted} is beyond retention; the source keeps bars from {} on",
        iso(cutoff)
    ))
    .with_hint("ask for a later range, or pass retention=None (--no-retention) for a server that keeps more")
}
