//! The traits between the use cases and the world, and the values that cross them.
//! Each has few required methods; whatever satisfies a trait may stand in for a native part.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

mod lake;

pub use lake::{Cells, DataWriter, Held, Merged, Receipt};

pub use crate::clock::Clock;
use crate::coverage::Coverage;
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// What a source can do for one data type and timeframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// What one request costs of the source's quota.
    pub prices: Prices,
    /// Rows older than this many bars are gone at the source; `None`: kept for ever.
    pub retention_bars: Option<u32>,
}

/// What a request costs by the rows it asks for, as on Binance USD-M: up to 99 rows 1, up to 499 rows 2, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// (rows up to, weight), both rising; the rest is (0, 0).
    steps: [(u32, u32); Self::MOST],
}

impl Prices {
    const MOST: usize = 6;

    /// `weight` for any request of up to `rows`.
    pub const fn flat(rows: u32, weight: u32) -> Self {
        let mut steps = [(0, 0); Self::MOST];
        steps[0] = (rows, weight);
        Self { steps }
    }

    /// `Invalid` unless `steps` (rows up to, weight) rise, none is 0 and there are 1 to 6 of them.
    pub fn new(steps: &[(u32, u32)]) -> Result<Self> {
        let rising = steps.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        let first = steps.first().is_some_and(|(rows, weight)| *rows > 0 && *weight > 0);
        if !rising || !first || steps.len() > Self::MOST {
            return Err(Error::invalid(format!(
                "prices must be 1 to 6 rising (rows, weight) pairs, not {steps:?}"
            )));
        }
        let mut prices = Self { steps: [(0, 0); Self::MOST] };
        prices.steps[..steps.len()].copy_from_slice(steps);
        Ok(prices)
    }

    /// (rows up to, weight), rising.
    pub fn steps(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.steps.iter().copied().take_while(|(rows, _)| *rows > 0)
    }

    /// What a request of `rows` costs.
    pub fn weight(&self, rows: u64) -> u32 {
        let fitting = self.steps().find(|(most, _)| rows <= u64::from(*most));
        fitting.or(self.steps().last()).map_or(1, |(_, weight)| weight)
    }

    /// The sizes that matter to a strategy.
    pub fn page(&self) -> Page {
        let most = self.steps().last().map_or(1, |(rows, _)| rows);
        let worth = |step: &(u32, u32)| f64::from(step.0) / f64::from(step.1);
        let best = self.steps().max_by(|a, b| worth(a).total_cmp(&worth(b))).map_or(most, |(rows, _)| rows);
        Page { most, best }
    }
}

/// Rows that one request may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Never more.
    pub most: u32,
    /// Most rows for the quota they cost.
    pub best: u32,
}

impl Page {
    /// Every row costs the less the more there are.
    pub const fn up_to(most: u32) -> Self {
        Self { most, best: most }
    }
}

/// One request to a source: the bars of one series that open in `range`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// What to fetch; the symbol is the source's own.
    pub series: Series,
    /// Bars that open inside.
    pub range: TimeRange,
}

/// A source's answer.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Rows as the source gave them, in its order, not yet checked.
    pub batch: Batch,
    /// Size of the body, for speed and adaptive chunks.
    pub bytes: u64,
    /// The source cut the answer short: rows after the last one may exist.
    pub truncated: bool,
    /// What the source said of its limits beside it.
    pub quotas: Vec<Quota>,
    /// Where it came from, without secrets; ends up in the object's lineage.
    pub lineage: Vec<(String, String)>,
}

/// A source of market data.
#[async_trait]
pub trait DataAdapter: Send + Sync {
    /// Name of the source, the first part of every series key.
    fn source(&self) -> &str;

    /// `Invalid` where the source has no such data.
    fn capability(&self, data_type: DataType, timeframe: Timeframe) -> Result<Capability>;

    /// Whether `symbol` is the source's own name, so that [`Self::resolve`] need not be asked.
    fn is_exact(&self, symbol: &str) -> bool;

    /// The source's own name for what a user calls `symbol`; at most one request. `Invalid` where there is none.
    async fn resolve(&self, symbol: &str) -> Result<String>;

    /// What [`Self::resolve`] would cost of the quota now; 0 where it is answered from memory.
    fn resolve_weight(&self) -> u32 {
        1
    }

    /// Asks the source once. Retries belong to the caller. Cancel safe.
    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched>;

    /// What determines the data beside the series, such as options; part of the checkpoint's fingerprint.
    fn fingerprint(&self) -> String {
        String::new()
    }

    /// What determines the answer of [`Self::resolve`] beside the name, such as a preferred exchange.
    fn lookup(&self) -> String {
        String::new()
    }

    /// Of a source of files, for whole days and months: how long after a bar's end its file may come. Chunks are then
    /// months (below 1h) or years, whatever the strategy, and an answer settles nothing about younger bars after its
    /// last row. `None`: the source answers for single bars, at once.
    fn file_delay(&self, _timeframe: Timeframe) -> Option<Duration> {
        None
    }
}

/// What is remembered of one series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Raised by a reset; the higher generation wins a merge.
    pub generation: u64,
    /// What is known.
    pub coverage: Coverage,
    /// Opaque to the store; the greater wins a merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// What determines the data (adapter, options). Set by the first commit of a generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl Checkpoint {
    /// The merge of DESIGN: higher generation wins, else the pointwise maximum.
    /// Commutative, associative and idempotent.
    pub fn merge(&mut self, other: &Self) {
        match self.generation.cmp(&other.generation) {
            std::cmp::Ordering::Less => *self = other.clone(),
            std::cmp::Ordering::Greater => {}
            std::cmp::Ordering::Equal => {
                self.coverage.merge(&other.coverage);
                self.cursor = self.cursor.take().max(other.cursor.clone());
                self.fingerprint = self.fingerprint.take().max(other.fingerprint.clone());
            }
        }
    }
}

impl Checkpoint {
    /// Starts an empty new generation and answers its number.
    pub fn forget(&mut self) -> u64 {
        let generation = self.generation + 1;
        *self = Self { generation, ..Self::default() };
        generation
    }
}

/// The right to fetch some ranges of one series, until its lease ends by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// A durable map from series key (`source/data_type/symbol/timeframe`) to [`Checkpoint`].
/// Keys are relative paths of percent-encoded segments.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// `None` where nothing was committed. `Data` where what is stored cannot be read: never overwritten.
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>>;

    /// Merges `delta` in and returns when it is durable. A delta of a lower generation changes nothing.
    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()>;

    /// The keys that start with `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Forgets `key`; no error where it is absent.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Starts an empty new generation, which outlives commits of older ones, and returns its number.
    async fn reset(&self, key: &str) -> Result<u64>;

    /// [`Self::commit`] of several series, as few calls as the store can make of it; one result per delta.
    async fn commit_all(&self, deltas: &[(Arc<str>, Checkpoint)]) -> Vec<Result<()>> {
        join_all(deltas.iter().map(|(key, delta)| self.commit(key, delta))).await
    }

    /// How long commits of a run may gather before they are sent together; zero where a commit costs next to nothing.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }

    /// Makes the copies of `key` equal where the store keeps several; whether one was behind. Fails where what is
    /// stored cannot be read.
    async fn repair(&self, key: &str) -> Result<bool> {
        self.load(key).await.map(|_| false)
    }

    /// Moves a checkpoint that cannot be read out of the way, kept for a look where the store can.
    async fn set_aside(&self, key: &str) -> Result<()> {
        self.delete(key).await
    }

    /// Claims `wanted` of `key` for `owner`; `Conflict` where somebody else holds a part of it. A claim of the same
    /// owner or past its lease is taken over. `None` where the store has no claims.
    async fn claim(
        &self,
        _key: &str,
        _wanted: &[TimeRange],
        _owner: &str,
        _lease: Duration,
    ) -> Result<Option<Epoch>> {
        Ok(None)
    }

    /// Starts the leases of `held` anew and returns the claims that are still there.
    async fn renew(&self, held: &[Epoch], _lease: Duration) -> Result<Vec<Epoch>> {
        Ok(held.to_vec())
    }

    /// Gives claims back; no error for those that are gone.
    async fn release(&self, _held: &[Epoch]) -> Result<()> {
        Ok(())
    }
}

/// An answer that takes longer is slow: ask for less, and not more often.
pub const SLOW: Duration = Duration::from_secs(5);

/// What a strategy learns from one answered request.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// The bar length asked for.
    pub timeframe: Timeframe,
    /// Bars that the chunk spans.
    pub bars: u64,
    /// Rows answered.
    pub rows: u64,
    /// From send to parsed.
    pub elapsed: Duration,
    /// The source cut the answer short.
    pub truncated: bool,
}

/// How a range is cut. Boundaries lie on a fixed grid, so that runs with other ends cut alike.
pub trait ChunkStrategy: Send + Sync {
    /// The first chunk of `range` (aligned to the timeframe): a prefix of it, at most `page.most` bars long.
    fn first_chunk(&self, range: TimeRange, timeframe: Timeframe, page: Page) -> TimeRange;

    /// Learns from an answer.
    fn observe(&self, _observation: &Observation) {}
}

/// Who goes first where several wait. Within a class: who came first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// What must be up to date: counts as if it had come a minute earlier, so that a backfill is late, never starved.
    Live,
    /// What may take its time.
    #[default]
    Backfill,
}

/// A wish to send one request.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// What it costs.
    pub weight: u32,
    /// Who goes first.
    pub priority: Priority,
    /// Longer than this the caller does not wait; `None`: as long as it takes.
    pub max_wait: Option<Duration>,
}

/// The right to send one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permit {
    /// How long it took.
    pub waited: Duration,
    /// What the limiter knew of refusals then; goes back to it with [`Feedback`].
    pub epoch: u64,
}

/// What a source says of one of its limits beside an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Length of the window; `None`: not said.
    pub period: Option<Duration>,
    /// What may be spent in it.
    pub limit: Option<u32>,
    /// What is spent in it.
    pub used: Option<u32>,
    /// What is left in it.
    pub remaining: Option<u32>,
    /// When there will be more, in milliseconds since 1970 UTC.
    pub reset: Option<Millis>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The source answered; `is_slow`: so late that it should not be asked more often.
    Answered {
        /// See above.
        is_slow: bool,
    },
    /// The source refused because it is asked too often; `until` (milliseconds since 1970 UTC) if it said when to
    /// come back.
    Refused {
        /// When it may be asked again.
        until: Option<Millis>,
    },
    /// Neither: a failure that says nothing about quota.
    Failed,
}

/// What a limiter learns from an answer.
#[derive(Debug, Clone, Copy)]
pub struct Feedback<'a> {
    /// Of the permit; `None` where it is not at hand: the last one's.
    pub epoch: Option<u64>,
    /// What the request cost.
    pub weight: u32,
    /// How it ended.
    pub verdict: Verdict,
    /// What the source says of its limits.
    pub quotas: &'a [Quota],
}

/// The source's quota.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Waits for a permit, first come first served within a class.
    /// `RateLimited { until }` at once where it would wait longer than asked for; `Invalid` where the weight
    /// exceeds the budget for ever. Cancel safe: a dropped waiter gives its place back.
    async fn acquire(&self, ask: Ask) -> Result<Permit>;

    /// Tells what the source answered. Must not block.
    fn report(&self, feedback: Feedback<'_>);

    /// The least time, from now on, until the last of `requests` requests of `weight` together can be sent.
    async fn least_duration(&self, requests: u64, weight: u64) -> Duration;

    /// Called once at the end of a run: what others should know at once, and leases that are not needed any more.
    async fn close(&self) {}
}

/// No limit: for places that nobody guards.
#[async_trait]
impl RateLimiter for () {
    async fn acquire(&self, _ask: Ask) -> Result<Permit> {
        Ok(Permit::default())
    }

    fn report(&self, _feedback: Feedback<'_>) {}

    async fn least_duration(&self, _requests: u64, _weight: u64) -> Duration {
        Duration::ZERO
    }
}

/// What happened, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// Before the first request.
    Planned {
        /// Chunks to fetch.
        chunks: u64,
        /// Bars that lie in them.
        bars: u64,
        /// Least time under the limit.
        least_duration: Duration,
    },
    /// A chunk is durable and committed.
    ChunkDone {
        /// Which series.
        series: &'a Series,
        /// Which range.
        range: TimeRange,
        /// Rows written; 0 when the source had none.
        rows: u64,
    },
    /// A permit had to be waited for.
    Throttled {
        /// How long.
        waited: Duration,
    },
    /// A chunk failed for good.
    ChunkFailed {
        /// Which series.
        series: &'a Series,
        /// Which range.
        range: TimeRange,
        /// Why.
        error: &'a Error,
    },
    /// After the last commit.
    Finished {
        /// Rows written in this run.
        rows: u64,
    },
}

/// Where progress goes.
pub trait ProgressReporter: Send + Sync {
    /// Called from any thread; must not block.
    fn report(&self, event: &Event<'_>);
}

/// Reports to nobody.
impl ProgressReporter for () {
    fn report(&self, _event: &Event<'_>) {}
}
