//! The one sentence that everything else serves:
//!
//! `plan(wanted - covered) -> for each chunk: permit -> fetch -> check -> write -> commit -> report`
//!
//! `Pipeline::chunk` is that sentence. The order is the safety: a commit follows the durable write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cancel::Cancel;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Kind, Result};
use crate::ports::{Event, Feedback, FetchRequest, Fetched, Observation};
use crate::quality::{self, Checked};
use crate::time_range::TimeRange;

use super::backfill::{BackfillSpec, Parts};
use super::committer::{Committer, delta};
use super::planner::{Chunk, Planner};
use super::prepare::Task;
use super::tally::Tally;

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
    tally: Arc<Tally>,
    cancel: Cancel,
    planner: Mutex<Planner>,
    outcome: Arc<Mutex<Outcome>>,
    committer: Committer,
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
    tally: Arc<Tally>,
    cancel: Cancel,
) -> Outcome {
    let (committer, commits) = Committer::new(Arc::clone(&parts.store), spec.concurrency);
    let planner = Mutex::new(Planner::new(&tasks));
    let width = spec.concurrency.max(1);
    let outcome: Arc<Mutex<Outcome>> = Arc::default();
    let pipeline =
        Pipeline { parts, spec, tasks, tally, cancel, planner, outcome: Arc::clone(&outcome), committer };
    let pipeline = Arc::new(pipeline);
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
    /// Takes chunks until there are none left.
    async fn work(&self) {
        loop {
            if self.cancel.is_cancelled() {
                lock(&self.outcome).cancelled = true;
                return;
            }
            let next = lock(&self.planner).next(&self.tasks, &*self.parts.strategy);
            let Some(chunk) = next else { return };
            match self.chunk(chunk).await {
                Ok(()) => self.tasks[chunk.task].forgive(),
                Err(error) => self.give_up(chunk, error),
            }
        }
    }

    /// The sentence.
    async fn chunk(&self, chunk: Chunk) -> Result<()> {
        let task = &self.tasks[chunk.task];
        let fetched = self.permit_and_fetch(task, chunk).await?;
        let (range, checked) = self.check(task, chunk, &fetched)?;
        let fetched = Fetched { batch: checked.batch, ..fetched };
        let generation = task.begin(&self.parts).await?;
        let receipt = self.parts.writer.write(&task.series, range, &fetched).await?;
        let coverage = facts(task, range, &fetched);
        let delta = delta(generation, &task.fingerprint, coverage);
        self.committer.commit(Arc::clone(&task.key), delta.clone()).await?;
        task.done(&delta.coverage, receipt.rows);
        self.tally.chunk_done(receipt.rows, receipt.bytes);
        let event = Event::ChunkDone { series: &task.series, range, rows: receipt.rows };
        self.parts.reporter.report(&event);
        Ok(())
    }

    /// Asks the source for one chunk, as often as the retry schedule allows; every attempt pays.
    async fn permit_and_fetch(&self, task: &Task, chunk: Chunk) -> Result<Fetched> {
        let request = FetchRequest { series: task.series.clone(), range: chunk.range };
        let mut attempt = 0;
        loop {
            self.permit(task.capability.weight).await?;
            let error = match self.fetch(task, &request).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            if error.kind() == Kind::RateLimited {
                // The limiter now makes everybody wait; `permit` parks where that is too long.
                tracing::warn!("{}: {error}", task.key);
                self.parts.limiter.report(Feedback::Throttled { until: error.until() });
                continue;
            }
            attempt += 1;
            let seed = chunk.range.start().unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let Some(delay) = self.spec.retry.delay(&error, attempt, seed) else {
                return Err(if attempt > 1 {
                    error.context(format!("after {attempt} attempts"))
                } else {
                    error
                });
            };
            tracing::warn!(
                "{} {}: attempt {attempt} failed, again in {delay:.1?}: {error}",
                task.key,
                chunk.range
            );
            let pause = async {
                self.parts.clock.sleep(delay).await;
                Ok(())
            };
            self.cancel.guard(pause).await?;
        }
    }

    async fn permit(&self, weight: u32) -> Result<()> {
        let waiting = self.parts.limiter.acquire(weight, self.spec.max_wait);
        let waited = self.cancel.guard(waiting).await?;
        if waited > Duration::ZERO {
            self.tally.throttle(waited);
            self.parts.reporter.report(&Event::Throttled { waited });
        }
        Ok(())
    }

    async fn fetch(&self, task: &Task, request: &FetchRequest) -> Result<Fetched> {
        self.tally.request();
        let sent = self.parts.clock.monotonic();
        let fetched = self.cancel.guard(self.parts.adapter.fetch(request)).await?;
        self.parts.limiter.report(Feedback::Success);
        let (timeframe, range) = (task.series.timeframe, request.range);
        self.parts.strategy.observe(&Observation {
            timeframe,
            bars: timeframe.count(range.start(), range.end()),
            rows: fetched.batch.len() as u64,
            elapsed: self.parts.clock.monotonic().saturating_sub(sent),
            truncated: fetched.truncated,
        });
        Ok(fetched)
    }

    /// The part of the chunk that the answer settles, and its rows. What a truncated answer leaves
    /// open is handed out again.
    fn check(&self, task: &Task, chunk: Chunk, fetched: &Fetched) -> Result<(TimeRange, Checked)> {
        let timeframe = task.series.timeframe;
        let checked = quality::check(&fetched.batch, chunk.range, timeframe, self.parts.clock.now())?;
        self.tally.drop_rows(checked.duplicates + checked.forming);
        if !fetched.truncated {
            return Ok((chunk.range, checked));
        }
        let last = checked.batch.ts().last().copied();
        let settled = last.and_then(|last| TimeRange::non_empty(chunk.range.start(), timeframe.next(last)));
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
        Ok((settled, checked))
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
                tracing::warn!("{} {}: given up: {error}", task.key, chunk.range);
                let event = Event::ChunkFailed { series: &task.series, range: chunk.range, error: &error };
                self.parts.reporter.report(&event);
                if error.is_fatal() {
                    planner.stop();
                }
                if kind == Kind::Invalid || task.blame() >= PATIENCE {
                    planner.drop_task(chunk.task);
                }
                outcome.failures.push((chunk.task, error.context(chunk.range)));
            }
        }
    }
}

/// What a chunk's answer proves: rows where there are rows; `empty` where a dense series has none.
/// A sparse series is settled as a whole: a missing row there means zero.
fn facts(task: &Task, range: TimeRange, fetched: &Fetched) -> Coverage {
    let mut coverage = Coverage::new();
    if fetched.batch.is_empty() {
        coverage.insert(range, State::Empty);
        return coverage;
    }
    coverage.insert(range, State::Data);
    if !task.series.data_type.is_dense() {
        return coverage;
    }
    let gaps = quality::gaps(fetched.batch.ts(), range, task.series.timeframe);
    if gaps.is_empty() {
        return coverage;
    }
    let holes: Coverage = gaps.into_iter().map(|gap| (gap, State::Empty)).collect();
    let rows = holes.missing(range).into_iter().map(|rows| (rows, State::Data));
    holes.iter().chain(rows).collect()
}
