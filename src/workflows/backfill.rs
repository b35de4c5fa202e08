//! The main job: fetch what is missing of many series over a range, resumably.

use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::error::{Error, Kind, Result};
use crate::ports::{
    Ask, CheckpointStore, ChunkStrategy, Clock, DataAdapter, DataWriter, Event, Priority, ProgressReporter,
    RateLimiter,
};
use crate::report::{Failure, Plan, Report, Status};
use crate::retry::RetryPolicy;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;
use crate::unique::unique;

use super::claims::Claims;
use super::gaps::HoleRepair;
use super::pipeline::{self, Outcome};
use super::prepare::{Prepared, announce, count, prepare, price};
use super::tally::Tally;
use super::task::Task;

/// Whether an earlier run's checkpoint counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resume {
    /// Fetch only what is missing.
    #[default]
    Always,
    /// Forget what is known and fetch everything again.
    Never,
}

/// What to fetch and how.
#[derive(Debug, Clone)]
pub struct BackfillSpec {
    /// The source's own names, or names that it can resolve (`BTC`).
    pub symbols: Vec<String>,
    /// Series beside those that symbols, timeframes and data types make together.
    pub series: Vec<Series>,
    /// Bar lengths.
    pub timeframes: Vec<Timeframe>,
    /// Data types.
    pub data_types: Vec<DataType>,
    /// Bars that open inside; bars that have not closed are left for a later run.
    pub range: TimeRange,
    /// Each series begins where its checkpoint does, and `range` says only where to end.
    pub from_known: bool,
    /// Requests in flight.
    pub concurrency: usize,
    /// Whether an earlier run's checkpoint counts.
    pub resume: Resume,
    /// Who goes first where several runs wait for one quota.
    pub priority: Priority,
    /// A longer wait for quota ends the run as parked; `None`: wait as long as it takes.
    pub max_wait: Option<Duration>,
    /// A bar counts as closed this long after its end.
    pub lag: Duration,
    /// Of an incremental run, which merges the newest rows into cells of the lake: how many known bars before them are
    /// asked for again, because a source may restate them. `None`, and from a source of files: everything is written as
    /// chunks.
    pub overlap: Option<u32>,
    /// Of a run that asks for known holes again.
    pub repair: Option<HoleRepair>,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
    /// Who claims what is fetched, where the store has claims. A run takes over what its owner has claimed before:
    /// the same for every try of one task, different for all else.
    pub owner: String,
    /// A run that stands still for longer loses its claims.
    pub lease: Duration,
}

/// For a run that nobody has named.
fn nobody() -> String {
    format!("process {} ({:016x})", std::process::id(), unique())
}

impl BackfillSpec {
    /// Everything of `symbols` in `range` with the usual settings.
    pub fn new(
        symbols: Vec<String>,
        timeframes: Vec<Timeframe>,
        data_types: Vec<DataType>,
        range: TimeRange,
    ) -> Self {
        let retry = RetryPolicy::default();
        let lag = Duration::from_secs(5);
        Self {
            symbols,
            series: Vec::new(),
            timeframes,
            data_types,
            range,
            from_known: false,
            concurrency: 8,
            resume: Resume::Always,
            priority: Priority::Backfill,
            max_wait: None,
            lag,
            overlap: None,
            repair: None,
            retry,
            owner: nobody(),
            lease: Duration::from_secs(60),
        }
    }

    /// For a request of `weight`.
    pub(super) const fn ask(&self, weight: u32) -> Ask {
        Ask { weight, priority: self.priority, max_wait: self.max_wait }
    }

    /// What is wrong with the call itself; known before anything is asked.
    pub fn validate(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut require = |fine: bool, message: &str| {
            if !fine {
                errors.push(Error::invalid(message));
            }
        };
        let is_named = !self.series.is_empty();
        require(is_named || !self.symbols.is_empty(), "symbols is empty; name at least one");
        require(self.symbols.iter().all(|name| !name.trim().is_empty()), "symbols holds an empty name");
        require(
            is_named || !self.timeframes.is_empty(),
            "timeframes is empty; name at least one, such as 1h",
        );
        require(
            is_named || !self.data_types.is_empty(),
            "data_types is empty; name at least one, such as ohlcv",
        );
        require(self.concurrency > 0, "concurrency must be at least 1");
        require(self.lease >= Duration::from_secs(1), "lease must be at least 1 second");
        require(!self.owner.is_empty(), "owner is empty");
        errors
    }
}

/// How far the clocks of two machines may be apart.
const SKEW: Millis = 60 * 60 * 1000;

/// A range that has not begun is a slip of the pen: a run over it would end well, with nothing.
fn not_yet(spec: &BackfillSpec, now: Millis) -> Option<Error> {
    let start = spec.range.start();
    let has_begun = spec.from_known || start <= now.saturating_add(SKEW);
    (!has_begun)
        .then(|| Error::invalid(format!("start {} lies in the future: it is {}", iso(start), iso(now))))
}

/// What a run works with.
#[derive(Clone)]
pub struct Parts {
    /// The source.
    pub adapter: Arc<dyn DataAdapter>,
    /// The lake.
    pub writer: Arc<dyn DataWriter>,
    /// What is remembered.
    pub store: Arc<dyn CheckpointStore>,
    /// How ranges are cut.
    pub strategy: Arc<dyn ChunkStrategy>,
    /// The source's quota.
    pub limiter: Arc<dyn RateLimiter>,
    /// Where progress goes.
    pub reporter: Arc<dyn ProgressReporter>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// One run. Dropping the future of [`Backfill::run`] loses at most the chunks in flight;
/// [`Backfill::cancel`] lets it finish them and commit.
pub struct Backfill {
    parts: Parts,
    spec: BackfillSpec,
    tally: Arc<Tally>,
    cancel: Cancel,
}

impl Backfill {
    /// `Invalid` where the call itself is wrong, with everything that is.
    pub fn new(parts: Parts, spec: BackfillSpec) -> Result<Self> {
        let mut wrong = spec.validate();
        let named = spec.series.iter().map(|series| (series.data_type, series.timeframe));
        for (data_type, timeframe) in
            spec.data_types.iter().flat_map(|d| spec.timeframes.iter().map(move |t| (*d, *t))).chain(named)
        {
            wrong.extend(parts.adapter.capability(data_type, timeframe).err());
        }
        wrong.extend(not_yet(&spec, parts.clock.now()));
        let source = parts.adapter.source();
        if let Some(other) = spec.series.iter().find(|series| series.source != source) {
            wrong.push(Error::invalid(format!("{other} is not of the source {source}")));
        }
        if wrong.is_empty() {
            return Ok(Self { parts, spec, tally: Arc::default(), cancel: Cancel::default() });
        }
        let messages: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Err(Error::invalid(messages.join("; ")))
    }

    /// Counters of the run so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets the run finish its writes, commit and return.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Runs to the end. An error means that nothing could be started; whatever goes wrong
    /// later is in the report.
    pub async fn run(&self) -> Result<Report> {
        let report = self.run_to_the_end().await;
        // However it ended: a worker that says nothing keeps its part of a shared quota for minutes.
        self.parts.limiter.close().await;
        report
    }

    async fn run_to_the_end(&self) -> Result<Report> {
        let started = self.parts.clock.monotonic();
        let (store, clock) = (Arc::clone(&self.parts.store), Arc::clone(&self.parts.clock));
        let claims = Arc::new(Claims::new(store, clock, self.spec.owner.clone(), self.spec.lease));
        let (tasks, refused, stopped) = match self.cancel.guard(self.begin(&claims)).await {
            Ok((tasks, refused)) => (tasks, refused, false),
            Err(error) if error.kind() == Kind::RateLimited => return Ok(self.parked(&error)),
            Err(error) if error.kind() == Kind::Cancelled => (Vec::new(), Vec::new(), true),
            Err(error) => return Err(error),
        };
        let tasks: Arc<[Task]> = tasks.into();
        announce(&self.parts, &tasks, &self.tally);
        let plan = self.plan_of(&tasks, &[], &self.tally).await;
        let least_duration = Duration::from_secs_f64(plan.least_seconds);
        self.parts.reporter.report(&Event::Planned { chunks: plan.chunks, bars: plan.bars, least_duration });
        let mut outcome = tokio::select! {
            outcome = self.run_pipeline(&tasks, &claims) => outcome,
            () = claims.keep() => Outcome::default(),
        };
        outcome.cancelled |= stopped;
        claims.release().await;
        if let Some(repair) = &self.spec.repair {
            self.remember(&tasks, repair.patience.attempts, &mut outcome).await;
        }
        let report =
            self.report(&tasks, &refused, &outcome, self.parts.clock.monotonic().saturating_sub(started));
        self.parts.reporter.report(&Event::Finished { rows: report.records_written });
        Ok(report)
    }

    /// What [`Self::run`] would do: looks symbols up and reads checkpoints, asks for no rows, writes no data.
    pub async fn plan(&self) -> Result<Plan> {
        let tally = Tally::default();
        let prepared = prepare(&self.parts, &self.spec, &tally, &self.cancel).await;
        let plan = match prepared {
            Ok((tasks, refused)) => {
                announce(&self.parts, &tasks, &tally);
                Ok(self.plan_of(&tasks, &refused, &tally).await)
            }
            Err(error) => Err(error),
        };
        self.parts.limiter.close().await;
        plan
    }

    /// Everything before the first request for rows.
    async fn begin(&self, claims: &Claims) -> Result<Prepared> {
        self.parts.writer.prepare().await?;
        let (tasks, mut refused) = prepare(&self.parts, &self.spec, &self.tally, &self.cancel).await?;
        let tasks = claims.take(tasks, &mut refused).await;
        Ok((tasks, refused))
    }

    /// Writes down which holes are left after a repair.
    async fn remember(&self, tasks: &[Task], attempts: u32, outcome: &mut Outcome) {
        for (index, task) in tasks.iter().enumerate() {
            if let Err(error) = task.remember(&self.parts, attempts).await {
                outcome.failures.push((index, error.context("gap ledger")));
            }
        }
    }

    async fn run_pipeline(&self, tasks: &Arc<[Task]>, claims: &Arc<Claims>) -> Outcome {
        let (parts, spec, tally) = (self.parts.clone(), self.spec.clone(), Arc::clone(&self.tally));
        pipeline::run(parts, spec, Arc::clone(tasks), Arc::clone(claims), tally, self.cancel.clone()).await
    }

    async fn plan_of(&self, tasks: &[Task], refused: &[(Option<Series>, Error)], tally: &Tally) -> Plan {
        let bars = |task: &Task| {
            task.asks.ranges.iter().map(|r| task.series.timeframe.count(r.start(), r.end())).sum::<u64>()
        };
        let chunks = tasks.iter().map(|task| count(&self.parts, task, &task.missing)).sum();
        let weight = tasks.iter().map(|task| price(&self.parts, task)).sum();
        let least = self.parts.limiter.least_duration(chunks, weight).await;
        Plan {
            series: tasks.len() as u64,
            chunks,
            chunks_skipped: tally.snapshot().chunks_skipped,
            requests: chunks,
            weight,
            bars: tasks.iter().map(bars).sum(),
            bars_beyond_retention: tasks.iter().map(Task::bars_beyond_retention).sum(),
            least_seconds: least.as_secs_f64(),
            errors: refused.iter().map(|(series, error)| Failure::new(series.as_ref(), error)).collect(),
        }
    }

    fn parked(&self, refusal: &Error) -> Report {
        let outcome = Outcome { parked: Some(refusal.clone()), ..Outcome::default() };
        self.report(&[], &[], &outcome, Duration::ZERO)
    }

    fn report(
        &self,
        tasks: &[Task],
        refused: &[(Option<Series>, Error)],
        outcome: &Outcome,
        took: Duration,
    ) -> Report {
        let tally = self.tally.snapshot();
        let mut errors: Vec<Failure> =
            refused.iter().map(|(series, error)| Failure::new(series.as_ref(), error)).collect();
        errors.extend(
            outcome.failures.iter().map(|(task, error)| Failure::new(Some(&tasks[*task].series), error)),
        );
        let untouched = tally.chunks_done == 0 && tally.chunks_skipped == 0;
        let status = match () {
            () if outcome.cancelled
                || self.cancel.is_cancelled() && tally.chunks_done < tally.chunks_planned =>
            {
                Status::Cancelled
            }
            () if outcome.parked.is_some() => Status::Parked,
            () if errors.is_empty() => Status::Success,
            () if untouched => Status::Failed,
            () => Status::Partial,
        };
        Report {
            status,
            records_written: tally.records_written,
            bytes_written: tally.bytes_written,
            duration_seconds: took.as_secs_f64(),
            errors,
            chunks_planned: tally.chunks_planned,
            chunks_done: tally.chunks_done,
            chunks_skipped: tally.chunks_skipped,
            requests: tally.requests,
            throttled_seconds: tally.throttled_seconds,
            rows_restated: tally.rows_restated,
            rows_quarantined: tally.rows_quarantined,
            rows_dropped: tally.rows_dropped,
            until: outcome.parked.as_ref().and_then(Error::until).map(iso),
            series: tasks.iter().filter_map(Task::report).collect(),
        }
    }
}
