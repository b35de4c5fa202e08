//! The one sentence that everything else serves:
//!
//! `plan(wanted - covered) -> for each chunk: permit -> fetch -> check -> write -> commit -> report`
//!
//! `Pipeline::fetch_and_write` and `Pipeline::settle` are that sentence. The order is the safety: a commit follows the
//! durable write. Where commits cost a round trip, a worker goes on while its chunk waits to be committed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cancel::Cancel;
use crate::error::{Error, Kind, Result};
use crate::ports::{Checkpoint, Event, Feedback, FetchRequest, Fetched, Observation, Permit, SLOW, Verdict};
use crate::quality::{self, Checked};
use crate::records::{Batch, Quarantined};
use crate::report::Counts;
use crate::time_range::{Millis, TimeRange};

use super::attempts::Attempts;
use super::backfill::{BackfillSpec, Parts};
use super::claims::Claims;
use super::committer::{BACKLOG, Committer, delta};
use super::planner::{Chunk, Planner};
use super::prepare::verdict_of;
use super::tally::Tally;
use super::task::Task;

/// Chunks of one series that may fail in a row before the series is given up.
const PATIENCE: u32 = 3;

/// How the chunks of a run ended, beside what is in the tasks.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Per failed chunk: its series' index and why.
    pub(super) failures: Vec<(usize, Error)>,
    /// The refusal that parked the run.
    pub(super) parked: Option<Error>,
    /// Somebody asked to stop before everything was done.
    pub(super) cancelled: bool,
}

/// Everything that the workers of one run share.
pub(super) struct Pipeline {
    parts: Parts,
    spec: BackfillSpec,
    tasks: Arc<[Task]>,
    claims: Arc<Claims>,
    tally: Arc<Tally>,
    cancel: Cancel,
    planner: Mutex<Planner>,
    outcome: Arc<Mutex<Outcome>>,
    committer: Committer,
    /// Chunks that may wait for their commit while their workers go on.
    backlog: Arc<Semaphore>,
    /// Workers that still fetch.
    fetching: AtomicUsize,
}

/// What a source has said of a chunk, checked.
struct Answer {
    /// The part of the chunk that it settles.
    range: TimeRange,
    /// With the rows that passed.
    fetched: Fetched,
    quarantined: Quarantined,
    /// When it was asked for.
    asked: Millis,
}

/// A chunk whose rows are durable and not yet committed.
struct Written {
    range: TimeRange,
    counts: Counts,
    bytes: u64,
    delta: Checkpoint,
}

/// The times of all rows that closed, good and bad: the source has said something up to there.
fn told(checked: &Checked) -> Vec<Millis> {
    let last = |batch: &Batch| batch.ts().last().copied();
    last(&checked.batch).max(last(&checked.quarantined.batch)).into_iter().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs every missing chunk of `tasks`; returns when all are done, failed, parked or cancelled
/// and everything written is committed. Dropped, it aborts its workers.
pub(super) async fn run(
    parts: Parts,
    spec: BackfillSpec,
    tasks: Arc<[Task]>,
    claims: Arc<Claims>,
    tally: Arc<Tally>,
    cancel: Cancel,
) -> Outcome {
    let (committer, commits) = Committer::new(Arc::clone(&parts.store), Arc::clone(&parts.clock));
    let planner = Mutex::new(Planner::new(&tasks));
    let width = spec.concurrency.max(1);
    let outcome: Arc<Mutex<Outcome>> = Arc::default();
    let pipeline = Arc::new(Pipeline {
        parts,
        spec,
        tasks,
        claims,
        tally,
        cancel,
        planner,
        outcome: Arc::clone(&outcome),
        committer,
        backlog: Arc::new(Semaphore::new(BACKLOG)),
        fetching: AtomicUsize::new(width),
    });
    // Tasks of their own: parsing and encoding use every core.
    let mut workers = JoinSet::new();
    for _ in 0..width {
        let pipeline = Arc::clone(&pipeline);
        workers.spawn(async move { pipeline.work().await });
    }
    workers.spawn(commits);
    // The committer ends when the workers have dropped the last handle: everything is durable by then.
    drop(pipeline);
    while let Some(ended) = workers.join_next().await {
        if ended.is_err() {
            lock(&outcome).failures.push((0, Error::internal("a worker panicked")));
        }
    }
    std::mem::take(&mut *lock(&outcome))
}

impl Pipeline {
    /// Takes chunks until there are none left, and returns when all of its own are committed or given up.
    async fn work(self: Arc<Self>) {
        let mut settling = JoinSet::new();
        while let Some(chunk) = self.next() {
            match self.fetch_and_write(chunk).await {
                Err(error) => self.give_up(chunk, error),
                Ok(None) => self.tally.chunk_done(Counts::default(), 0),
                Ok(Some(written)) if self.parts.store.linger().is_zero() => self.settle(chunk, written).await,
                Ok(Some(written)) => {
                    let place = Arc::clone(&self.backlog).acquire_owned().await;
                    let pipeline = Arc::clone(&self);
                    settling.spawn(async move {
                        pipeline.settle(chunk, written).await;
                        drop(place);
                    });
                }
            }
            while settling.try_join_next().is_some() {}
        }
        if self.fetching.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.committer.hurry();
        }
        settling.join_all().await;
    }

    fn next(&self) -> Option<Chunk> {
        if self.cancel.is_cancelled() {
            lock(&self.outcome).cancelled = true;
            return None;
        }
        lock(&self.planner).next(&self.tasks, &*self.parts.strategy)
    }

    /// The sentence, up to the durable write; `None` where the answer settles nothing.
    async fn fetch_and_write(&self, chunk: Chunk) -> Result<Option<Written>> {
        let task = &self.tasks[chunk.task];
        let allowed = || self.claims.check(&task.key);
        allowed()?;
        let Some(answer) = self.fetch_and_check(task, chunk).await? else { return Ok(None) };
        allowed()?;
        let generation = task.begin(&self.parts).await?;
        let mut counts = Counts { quarantined: answer.quarantined.len() as u64, ..Counts::default() };
        if !answer.quarantined.is_empty() {
            self.parts.writer.quarantine(&task.series, answer.range, &answer.quarantined).await?;
        }
        let (bytes, has_own_object) = self.write(task, &answer, &mut counts).await?;
        for left in task.written(answer.range, has_own_object) {
            allowed()?;
            self.parts.writer.remove(&task.series, left).await?;
        }
        self.trim(task, answer.range).await?;
        let coverage = quality::facts(answer.fetched.batch.ts(), answer.range, &task.series);
        let delta = delta(generation, &task.fingerprint, coverage);
        Ok(Some(Written { range: answer.range, counts, bytes, delta }))
    }

    /// Writes the rows as a chunk, or merges them into what is there; their bytes, and whether there is a chunk now.
    async fn write(&self, task: &Task, answer: &Answer, counts: &mut Counts) -> Result<(u64, bool)> {
        let (series, range, writer) = (&task.series, answer.range, &self.parts.writer);
        let cells = writer.cells();
        if let Some(cells) = cells.filter(|_| task.asks.merges(range.start())) {
            let merged = cells.merge(series, &answer.fetched, &task.left(), answer.asked).await?;
            (counts.rows, counts.restated) = (merged.added + merged.restated, merged.restated);
            return Ok((merged.bytes, false));
        }
        let receipt = writer.write(series, range, &answer.fetched).await?;
        for cell in task.cells(range) {
            self.claims.check(&task.key)?;
            if let Some(cells) = cells {
                cells.trim(series, cell, range).await?;
            }
        }
        counts.rows = receipt.rows;
        Ok((receipt.bytes, receipt.rows > 0))
    }

    /// Takes the rows of `range` out of chunks that reach beyond it and are not committed: each row lies in the lake once.
    async fn trim(&self, task: &Task, range: TimeRange) -> Result<()> {
        let Some(cells) = self.parts.writer.cells() else { return Ok(()) };
        for chunk in task.left_in(range) {
            self.claims.check(&task.key)?;
            cells.trim_chunk(&task.series, chunk, range).await?;
        }
        Ok(())
    }

    /// The rest of the sentence: commit, report.
    async fn settle(&self, chunk: Chunk, written: Written) {
        let task = &self.tasks[chunk.task];
        let Written { range, counts, bytes, delta } = written;
        if let Err(error) = self.committer.commit(Arc::clone(&task.key), delta.clone()).await {
            return self.give_up(chunk, error);
        }
        task.done(&delta.coverage, counts);
        task.forgive();
        self.tally.chunk_done(counts, bytes);
        let event = Event::ChunkDone { series: &task.series, range, rows: counts.rows };
        self.parts.reporter.report(&event);
    }

    /// An answer that was checked. Where rows cannot be true the source is asked once more: the fault may pass.
    async fn fetch_and_check(&self, task: &Task, chunk: Chunk) -> Result<Option<Answer>> {
        let mut is_last = false;
        loop {
            let (asked, fetched) = self.permit_and_fetch(task, chunk).await?;
            let checked =
                quality::check(&fetched.batch, chunk.range, task.series.timeframe, self.parts.clock.now())?;
            if checked.quarantined.is_empty() || is_last {
                return self.settled(task, chunk, fetched, checked, asked);
            }
            let bad = checked.quarantined.describe();
            tracing::warn!("{} {}: asked once more, rows cannot be true: {bad}", task.key, chunk.range);
            is_last = true;
        }
    }

    /// Asks the source for one chunk, as often as the retry schedule allows; every attempt pays. Answers when it was
    /// asked, too.
    async fn permit_and_fetch(&self, task: &Task, chunk: Chunk) -> Result<(Millis, Fetched)> {
        let request = FetchRequest { series: task.series.clone(), range: chunk.range };
        let what = format!("{} {}", task.key, chunk.range);
        let mut attempts =
            Attempts::new(chunk.range.start().unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15));
        loop {
            let permit = self.permit(task.weight(chunk.range)).await?;
            let asked = self.parts.clock.now();
            match self.fetch(task, &request, permit).await {
                Ok(fetched) => return Ok((asked, fetched)),
                Err(error) => attempts.pause(error, &what, &self.parts, &self.spec, &self.cancel).await?,
            }
        }
    }

    async fn permit(&self, weight: u32) -> Result<Permit> {
        let permit = self.cancel.guard(self.parts.limiter.acquire(self.spec.ask(weight))).await?;
        if permit.waited > Duration::ZERO {
            self.tally.throttle(permit.waited);
            self.parts.reporter.report(&Event::Throttled { waited: permit.waited });
        }
        Ok(permit)
    }

    /// Asks once; limiter and strategy learn from what becomes of it.
    async fn fetch(&self, task: &Task, request: &FetchRequest, permit: Permit) -> Result<Fetched> {
        self.tally.request();
        let sent = self.parts.clock.monotonic();
        let fetched = self.cancel.guard(self.parts.adapter.fetch(request)).await;
        let elapsed = self.parts.clock.monotonic().saturating_sub(sent);
        let is_slow = elapsed > SLOW;
        let verdict = fetched.as_ref().map_or_else(verdict_of, |_| Verdict::Answered { is_slow });
        let quotas = fetched.as_ref().map(|fetched| &*fetched.quotas).unwrap_or_default();
        let (epoch, weight) = (Some(permit.epoch), task.weight(request.range));
        self.parts.limiter.report(Feedback { epoch, weight, verdict, quotas });
        let fetched = fetched?;
        let (timeframe, range) = (task.series.timeframe, request.range);
        self.parts.strategy.observe(&Observation {
            timeframe,
            bars: timeframe.count(range.start(), range.end()),
            rows: fetched.batch.len() as u64,
            elapsed,
            truncated: fetched.truncated,
        });
        Ok(fetched)
    }

    /// The part of the chunk that the answer settles, and its rows. What a truncated answer leaves
    /// open is handed out again.
    fn settled(
        &self,
        task: &Task,
        chunk: Chunk,
        fetched: Fetched,
        checked: Checked,
        asked: Millis,
    ) -> Result<Option<Answer>> {
        let (timeframe, now) = (task.series.timeframe, self.parts.clock.now());
        self.tally.drop_rows(checked.duplicates + checked.forming);
        let truncated = fetched.truncated;
        let told = told(&checked);
        let fetched = Fetched { batch: checked.batch, ..fetched };
        let answer = |range| Answer { range, fetched, quarantined: checked.quarantined, asked };
        if !truncated {
            let late = task.file_delay.unwrap_or(quality::GRACE);
            return Ok(quality::settled(&told, chunk.range, timeframe, now, late).map(answer));
        }
        let last = told.last().map(|last| timeframe.next(timeframe.floor(*last)));
        let settled = last.and_then(|last| TimeRange::non_empty(chunk.range.start(), last));
        let Some(settled) = settled else {
            return Err(Error::data(format!(
                "the source cut its answer short before the first row of {}",
                chunk.range
            )));
        };
        if let Some(rest) = TimeRange::non_empty(settled.end(), chunk.range.end()) {
            self.tally.plan(1, 0);
            lock(&self.planner).give_back(chunk.task, rest);
        }
        Ok(Some(answer(settled)))
    }

    /// Decides what a failed chunk means for the rest.
    fn give_up(&self, chunk: Chunk, error: Error) {
        let (mut outcome, mut planner) = (lock(&self.outcome), lock(&self.planner));
        let task = &self.tasks[chunk.task];
        match error.kind() {
            Kind::Cancelled => outcome.cancelled = true,
            Kind::RateLimited => {
                planner.stop();
                outcome.parked = Some(error);
            }
            kind => {
                self.tally.chunk_failed();
                let same = |(at, held): &(usize, Error)| *at == chunk.task && held.is_fatal();
                if error.is_fatal() && outcome.failures.iter().any(same) {
                    // What it is about, a full disk or a database that is away, has been said.
                    return;
                }
                tracing::warn!("{} {}: given up: {error}", task.key, chunk.range);
                let event = Event::ChunkFailed { series: &task.series, range: chunk.range, error: &error };
                self.parts.reporter.report(&event);
                if error.is_fatal() {
                    planner.stop();
                }
                if matches!(kind, Kind::Invalid | Kind::Conflict) || task.blame() >= PATIENCE {
                    planner.drop_task(chunk.task);
                }
                outcome.failures.push((chunk.task, error.context(chunk.range)));
            }
        }
    }
}
