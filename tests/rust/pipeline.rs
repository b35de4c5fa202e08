//! The loop against a source and a lake that fail at chosen steps: whatever happens, a resumed run ends with
//! the lake of an undisturbed one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use async_trait::async_trait;
use quant_framework::checkpoint::MemoryCheckpointStore;
use quant_framework::chunking::FixedChunkStrategy;
use quant_framework::clock::ManualClock;
use quant_framework::error::{Error, Kind, Result};
use quant_framework::ports::{
    Capability, Checkpoint, CheckpointStore, DataAdapter, DataWriter, Event, FetchRequest, Fetched, Held,
    Prices, ProgressReporter, Receipt,
};
use quant_framework::rate_limit::{Limits, Window, WindowLimiter};
use quant_framework::records::Batch;
use quant_framework::report::{Report, Status};
use quant_framework::series::{DataType, Series};
use quant_framework::time_range::TimeRange;
use quant_framework::timeframe::Timeframe;
use quant_framework::workflows::{Backfill, BackfillSpec, Parts};

const MINUTE: Timeframe = Timeframe::Minutes(1);
const NOW: i64 = 1_700_000_000_000;

/// Counts steps over the whole run; the chosen one fails as if the process had been killed there.
#[derive(Default)]
struct Steps {
    taken: AtomicI64,
    die_at: AtomicI64,
}

impl Steps {
    fn step(&self) -> Result<()> {
        let dies = self.taken.fetch_add(1, Ordering::SeqCst) == self.die_at.load(Ordering::SeqCst);
        let dead = self.taken.load(Ordering::SeqCst) > self.die_at.load(Ordering::SeqCst);
        if dies || dead { Err(Error::internal("killed")) } else { Ok(()) }
    }
}

/// Bars at every minute but those divisible by seven.
struct Source {
    steps: Arc<Steps>,
    asked: Mutex<Vec<TimeRange>>,
    failing: Mutex<Vec<Error>>,
    truncate_to: Option<usize>,
}

fn bars(range: TimeRange) -> Batch {
    let open = (range.start()..range.end()).step_by(60_000).filter(|at| at / 60_000 % 7 != 0);
    let ts: Vec<i64> = open.collect();
    let column =
        |add: f64| Arc::new(Float64Array::from_iter_values(ts.iter().map(|at| *at as f64 + add))) as ArrayRef;
    let none = || Arc::new(Int64Array::from(vec![None::<i64>; ts.len()])) as ArrayRef;
    let buy = Arc::new(Float64Array::from(vec![None::<f64>; ts.len()])) as ArrayRef;
    let values = vec![column(0.0), column(2.0), column(-2.0), column(1.0), column(0.0), buy, none(), none()];
    Batch::new(DataType::Ohlcv, ts.clone(), values).unwrap()
}

#[async_trait]
impl DataAdapter for Source {
    fn source(&self) -> &'static str {
        "test"
    }
    fn capability(&self, _: DataType, _: Timeframe) -> Result<Capability> {
        Ok(Capability { prices: Prices::flat(60, 1), retention_bars: None })
    }
    fn is_exact(&self, _: &str) -> bool {
        true
    }
    async fn resolve(&self, symbol: &str) -> Result<String> {
        Ok(symbol.to_owned())
    }
    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched> {
        self.steps.step()?;
        self.asked.lock().unwrap().push(request.range);
        if let Some(error) = self.failing.lock().unwrap().pop() {
            return Err(error);
        }
        let whole = bars(request.range);
        let kept = self.truncate_to.unwrap_or(usize::MAX).min(whole.len());
        let truncated = kept < whole.len();
        let batch = Batch::from_record_batch(DataType::Ohlcv, &whole.rows().slice(0, kept)).unwrap();
        Ok(Fetched { batch, bytes: 0, truncated, quotas: Vec::new(), lineage: Vec::new() })
    }
}

/// Objects by start and end, so that an overlap shows.
#[derive(Default)]
struct Lake {
    objects: Mutex<BTreeMap<(String, i64, i64), Vec<i64>>>,
}

impl Lake {
    /// Every row with how often it is there.
    fn rows(&self) -> BTreeMap<(String, i64), u32> {
        let mut rows = BTreeMap::new();
        for ((series, _, _), ts) in &*self.objects.lock().unwrap() {
            for at in ts {
                *rows.entry((series.clone(), *at)).or_default() += 1;
            }
        }
        rows
    }
}

struct Writer(Arc<Lake>, Arc<Steps>);

#[async_trait]
impl DataWriter for Writer {
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }
    async fn held(&self, series: &Series) -> Result<Held> {
        let objects = self.0.objects.lock().unwrap();
        let own = objects.keys().filter(|(held, _, _)| *held == series.to_string());
        let chunks = own.map(|(_, start, end)| TimeRange::new(*start, *end)).collect::<Result<_>>()?;
        Ok(Held { chunks, cells: Vec::new() })
    }
    async fn remove(&self, series: &Series, range: TimeRange) -> Result<()> {
        self.1.step()?;
        self.0.objects.lock().unwrap().remove(&(series.to_string(), range.start(), range.end()));
        self.1.step()
    }
    async fn write(&self, series: &Series, range: TimeRange, fetched: &Fetched) -> Result<Receipt> {
        self.1.step()?;
        let rows = fetched.batch.len() as u64;
        if rows > 0 {
            let key = (series.to_string(), range.start(), range.end());
            self.0.objects.lock().unwrap().insert(key, fetched.batch.ts().to_vec());
        }
        self.1.step()?;
        Ok(Receipt { uri: String::new(), rows, bytes: rows })
    }
}

/// A store that also counts steps, before and after it has committed, and lets commits linger.
struct Store {
    inner: Arc<MemoryCheckpointStore>,
    steps: Arc<Steps>,
    linger: Duration,
    /// Calls of `commit_all` and what they carried.
    rounds: Arc<Mutex<Vec<usize>>>,
}

#[async_trait]
impl CheckpointStore for Store {
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        self.inner.load(key).await
    }
    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        self.steps.step()?;
        self.inner.commit(key, delta).await?;
        self.steps.step()
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }
    async fn reset(&self, key: &str) -> Result<u64> {
        self.inner.reset(key).await
    }
    async fn commit_all(&self, deltas: &[(Arc<str>, Checkpoint)]) -> Vec<Result<()>> {
        self.rounds.lock().unwrap().push(deltas.len());
        let mut results = Vec::new();
        for (key, delta) in deltas {
            results.push(self.commit(key, delta).await);
        }
        results
    }
    fn linger(&self) -> Duration {
        self.linger
    }
}

#[derive(Default)]
struct Events(AtomicU64);

impl ProgressReporter for Events {
    fn report(&self, event: &Event<'_>) {
        self.0.fetch_add(u64::from(matches!(event, Event::ChunkDone { .. })), Ordering::SeqCst);
    }
}

/// A world that survives the processes in it.
struct World {
    steps: Arc<Steps>,
    lake: Arc<Lake>,
    store: Arc<MemoryCheckpointStore>,
    source: Arc<Source>,
    linger: Duration,
    rounds: Arc<Mutex<Vec<usize>>>,
}

impl World {
    fn new() -> Self {
        let steps = Arc::new(Steps::default());
        steps.die_at.store(i64::MAX, Ordering::SeqCst);
        let source = Source {
            steps: Arc::clone(&steps),
            asked: Mutex::default(),
            failing: Mutex::default(),
            truncate_to: None,
        };
        Self {
            steps,
            lake: Arc::default(),
            store: Arc::default(),
            source: Arc::new(source),
            linger: Duration::ZERO,
            rounds: Arc::default(),
        }
    }

    /// Commits gather for `linger`, as on a store across a network.
    fn lingering() -> Self {
        Self { linger: Duration::from_secs(1), ..Self::new() }
    }

    fn backfill(
        &self,
        start: i64,
        minutes: i64,
        cell: u32,
        limit: u32,
        max_wait: Option<Duration>,
    ) -> Result<Backfill> {
        let clock = Arc::new(ManualClock::new(NOW));
        let window = Window::rolling(limit, Duration::from_secs(60));
        let range = TimeRange::new(start, start + minutes * 60_000).unwrap();
        let symbols = vec!["A".to_owned(), "B".to_owned()];
        let mut spec = BackfillSpec::new(symbols, vec![MINUTE], vec![DataType::Ohlcv], range);
        (spec.concurrency, spec.max_wait) = (3, max_wait);
        let parts = Parts {
            adapter: Arc::clone(&self.source) as _,
            writer: Arc::new(Writer(Arc::clone(&self.lake), Arc::clone(&self.steps))),
            store: Arc::new(Store {
                inner: Arc::clone(&self.store),
                steps: Arc::clone(&self.steps),
                linger: self.linger,
                rounds: Arc::clone(&self.rounds),
            }),
            strategy: Arc::new(FixedChunkStrategy::new(cell)),
            limiter: Arc::new(WindowLimiter::new(Limits::new(vec![window], None), Arc::clone(&clock) as _)),
            reporter: Arc::new(Events::default()),
            clock,
        };
        Backfill::new(parts, spec)
    }

    async fn run(&self, start: i64, minutes: i64, cell: u32) -> Report {
        self.backfill(start, minutes, cell, 10_000, None).unwrap().run().await.unwrap()
    }
}

const START: i64 = 1_600_000_020_000;

#[tokio::test]
async fn a_run_killed_at_any_step_and_resumed_equals_an_undisturbed_one() {
    for world in [World::new, World::lingering] {
        killed_at_any_step(world).await;
    }
}

async fn killed_at_any_step(new: fn() -> World) {
    let calm = new();
    let report = calm.run(START, 300, 60).await;
    assert_eq!(report.status, Status::Success);
    let (expected, total) = (calm.lake.rows(), calm.steps.taken.load(Ordering::SeqCst));
    assert!(expected.values().all(|count| *count == 1) && total > 30);
    for die_at in 0..total {
        // The resumed run cuts other cells than the killed one.
        for cell in [60, 30] {
            let world = new();
            world.steps.die_at.store(die_at, Ordering::SeqCst);
            assert_ne!(world.run(START, 300, 60).await.status, Status::Success);
            let asked = world.source.asked.lock().unwrap().len();
            world.steps.die_at.store(i64::MAX, Ordering::SeqCst);
            let report = world.run(START, 300, cell).await;
            assert_eq!(report.status, Status::Success, "{:?}", report.errors);
            assert_eq!(world.lake.rows(), expected, "killed at step {die_at}, resumed with cells of {cell}");
            if cell == 60 && world.linger.is_zero() {
                let again = world.source.asked.lock().unwrap().len() - 12;
                assert!(again <= 3, "at most the chunks in flight are asked again: {again} of {asked}");
            }
        }
    }
}

#[tokio::test]
async fn a_range_that_has_not_begun_is_refused_and_clocks_may_differ() {
    let (world, hour) = (World::new(), 3_600_000);
    assert!(world.backfill(NOW + hour, 60, 60, 10_000, None).is_ok());
    let refused = world.backfill(NOW + hour + 1, 60, 60, 10_000, None).err().unwrap();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(refused.to_string().contains("lies in the future"), "{refused}");
}

#[tokio::test]
async fn a_second_run_asks_for_nothing_and_a_longer_one_for_the_rest_only() {
    let world = World::new();
    let first = world.run(START, 300, 60).await;
    world.source.asked.lock().unwrap().clear();
    let second = world.run(START, 300, 60).await;
    assert_eq!((second.requests, second.chunks_skipped, second.records_written), (0, first.chunks_done, 0));
    let longer = world.run(START, 400, 60).await;
    let end = START + 300 * 60_000;
    assert!(
        longer.records_written > 0
            && world.source.asked.lock().unwrap().iter().all(|range| range.start() >= end)
    );
}

#[tokio::test]
async fn the_report_names_exactly_the_holes() {
    let world = World::new();
    for _ in 0..2 {
        let report = world.run(START, 300, 60).await;
        for series in &report.series {
            assert_eq!(series.gaps.len(), (0..300).filter(|n| (START / 60_000 + n) % 7 == 0).count());
            assert!(series.gaps.iter().all(|gap| gap.bars == 1 && gap.kind == "empty"));
            assert!((series.coverage - 1.0).abs() < 1e-9);
        }
    }
}

#[tokio::test]
async fn passing_failures_are_repeated_and_lasting_ones_are_reported() {
    let world = World::new();
    *world.source.failing.lock().unwrap() = vec![Error::unavailable("reset"); 3];
    let report = world.run(START, 300, 60).await;
    assert_eq!((report.status, report.requests), (Status::Success, 12 + 3));

    let world = World::new();
    *world.source.failing.lock().unwrap() = vec![Error::data("wrong"); 1];
    let report = world.run(START, 300, 60).await;
    assert_eq!((report.status, report.errors.len()), (Status::Partial, 1));
    assert_eq!(world.run(START, 300, 60).await.status, Status::Success, "the hole is asked for again");

    let world = World::new();
    *world.source.failing.lock().unwrap() = vec![Error::invalid("the key was refused").fatal(); 99];
    let report = world.run(START, 300, 60).await;
    assert_eq!(report.status, Status::Failed);
    assert!(report.requests <= 3, "a bad key stops everything: {}", report.requests);
}

#[tokio::test]
async fn an_answer_cut_short_is_completed() {
    let mut world = World::new();
    let calm = World::new();
    calm.run(START, 300, 60).await;
    Arc::get_mut(&mut world.source).unwrap().truncate_to = Some(20);
    let report = world.run(START, 300, 60).await;
    assert_eq!(report.status, Status::Success);
    assert_eq!(world.lake.rows(), calm.lake.rows());
}

#[tokio::test]
async fn a_long_wait_parks_with_a_time_and_keeps_what_is_done() {
    let world = World::new();
    let report =
        world.backfill(START, 300, 60, 5, Some(Duration::from_secs(1))).unwrap().run().await.unwrap();
    assert_eq!((report.status, report.chunks_done), (Status::Parked, 5));
    assert!(report.until.is_some());
    assert_eq!(world.run(START, 300, 60).await.requests, 12 - 5);
}

#[tokio::test]
async fn a_cancelled_run_keeps_what_is_done() {
    let world = World::new();
    let job = world.backfill(START, 300, 60, 10_000, None).unwrap();
    job.cancel();
    assert_eq!(job.run().await.unwrap().status, Status::Cancelled);
    assert!(world.lake.rows().is_empty());
}

#[tokio::test]
async fn a_plan_says_what_a_run_will_cost() {
    let world = World::new();
    let plan = world.backfill(START, 300, 60, 4, None).unwrap().plan().await.unwrap();
    let report = world.backfill(START, 300, 60, 4, None).unwrap().run().await.unwrap();
    assert_eq!(
        (plan.chunks, plan.requests, plan.weight),
        (report.chunks_done, report.requests, report.requests)
    );
    assert!((plan.least_seconds - 120.5).abs() < 1e-9, "12 calls at 4 a minute: {}", plan.least_seconds);
    let off = report.duration_seconds / plan.least_seconds;
    assert!(
        (0.99..1.01).contains(&off),
        "planned {} s, took {} s",
        plan.least_seconds,
        report.duration_seconds
    );
    assert_eq!(plan.bars, 600);
}

#[tokio::test]
async fn commits_gather_where_they_cost_a_round_trip_and_are_flushed_at_the_end() {
    let world = World::lingering();
    let report = world.run(START, 6000, 60).await;
    assert_eq!((report.status, report.chunks_done), (Status::Success, 202));
    let rounds = world.rounds.lock().unwrap().clone();
    assert!(rounds.len() <= 8 && rounds.iter().all(|series| *series <= 2), "{rounds:?}");
    assert_eq!(world.run(START, 6000, 60).await.requests, 0, "everything is committed");
}

#[tokio::test]
async fn a_parked_run_flushes_what_lingers() {
    let world = World::lingering();
    let report =
        world.backfill(START, 300, 60, 5, Some(Duration::from_secs(1))).unwrap().run().await.unwrap();
    assert_eq!((report.status, report.chunks_done), (Status::Parked, 5));
    assert_eq!(world.run(START, 300, 60).await.requests, 12 - 5);
}
