//! From what an author asks for to series with missing ranges: symbols resolved, checkpoints loaded,
//! retention applied. Nothing here fetches rows.

use std::sync::Arc;

use futures::stream::{StreamExt, TryStreamExt, iter};

use crate::cancel::Cancel;
use crate::chunking;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Kind, Result};
use crate::ports::{Capability, Checkpoint, Feedback, Verdict};
use crate::series::{DataType, Series, encode_segment};
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

use super::attempts::Attempts;
use super::backfill::{BackfillSpec, Parts, Resume};
use super::gaps::{self, HoleRepair, Look};
use super::tally::Tally;
use super::task::{Start, Task};

/// Series prepared at once.
pub(super) const WIDTH: usize = 16;

/// What can be run, and what cannot, with the series where it is known.
pub(super) type Prepared = (Vec<Task>, Vec<(Option<Series>, Error)>);

/// Resolves, loads and plans every series; what fails is in the second list, with its symbol's series
/// where that is known.
pub(super) async fn prepare(
    parts: &Parts,
    spec: &BackfillSpec,
    tally: &Tally,
    cancel: &Cancel,
) -> Result<Prepared> {
    let mut failures = Vec::new();
    let mut wanted = spec.series.clone();
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
    let symbol = look_up(parts, spec, tally, cancel, name).await?;
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

/// Asks the source, as a chunk is asked for: with a permit, and again where that failed. What the adapter knows already
/// costs nothing.
async fn look_up(
    parts: &Parts,
    spec: &BackfillSpec,
    tally: &Tally,
    cancel: &Cancel,
    name: &str,
) -> Result<String> {
    let mut attempts = Attempts::new(name.bytes().fold(0, |seed, byte| seed << 5 ^ u64::from(byte)));
    loop {
        let weight = parts.adapter.resolve_weight();
        if weight == 0 {
            return cancel.guard(parts.adapter.resolve(name)).await;
        }
        let permit = cancel.guard(parts.limiter.acquire(spec.ask(weight))).await?;
        tally.throttle(permit.waited);
        tally.request();
        let symbol = cancel.guard(parts.adapter.resolve(name)).await;
        let verdict = symbol.as_ref().map_or_else(verdict_of, |_| Verdict::Answered { is_slow: false });
        let epoch = Some(permit.epoch);
        parts.limiter.report(Feedback { epoch, weight, verdict, quotas: &[] });
        match symbol {
            Ok(symbol) => return Ok(symbol),
            Err(error) => attempts.pause(error, name, parts, spec, cancel).await?,
        }
    }
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
    let file_delay = parts.adapter.file_delay(series.timeframe);
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
    let mut missing = alive.map(|alive| checkpoint.coverage.missing(alive)).unwrap_or_default();
    let holes = match (&spec.repair, alive) {
        (Some(repair), Some(alive)) => {
            Some(holes(parts, &series, repair, &checkpoint.coverage, alive, &mut missing).await?)
        }
        (Some(_), None) => Some(Vec::new()),
        (None, _) => None,
    };
    if let (Some(wanted), None) = (wanted, alive)
        && !checkpoint.coverage.missing(wanted).is_empty()
    {
        return Err(too_old(&key, wanted, cutoff));
    }
    Ok(Task::new(Start {
        series,
        capability,
        file_delay,
        wanted,
        cutoff,
        missing,
        overlap: spec.overlap.filter(|_| parts.writer.cells().is_some() && !anew && file_delay.is_none()),
        holes,
        fingerprint,
        checkpoint,
        anew,
    }))
}

/// What a repair asks for again of `alive`; where it was told what, nothing else is missing either.
async fn holes(
    parts: &Parts,
    series: &Series,
    repair: &HoleRepair,
    known: &Coverage,
    alive: TimeRange,
    missing: &mut Vec<TimeRange>,
) -> Result<Vec<TimeRange>> {
    let now = parts.clock.now();
    if let Some(named) = repair.named(&series.to_string()) {
        let named: Coverage =
            named.iter().filter_map(|it| Some((bars(*it, series)?, State::Empty))).collect();
        *missing = missing.iter().flat_map(|range| named.covered(*range)).map(|(range, _)| range).collect();
        let parts = named.covered(alive).into_iter().flat_map(|(range, _)| known.covered(range));
        return Ok(parts.map(|(range, _)| range).collect());
    }
    if !series.data_type.is_dense() {
        return Ok(Vec::new());
    }
    let (asked, attempts) = (&Coverage::new(), repair.patience.attempts);
    let look = Look { wanted: alive, coverage: known, asked, cutoff: Millis::MIN, attempts };
    let ledger = gaps::record(&*parts.store, series, &look, now).await?;
    Ok(ledger.due(alive, repair.patience, now))
}

/// The whole bars that `range` touches.
fn bars(range: TimeRange, series: &Series) -> Option<TimeRange> {
    let timeframe = series.timeframe;
    TimeRange::non_empty(timeframe.floor(range.start()), timeframe.ceil(range.end()))
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
    let kept = |bars: u32| {
        timeframe.ceil(now.saturating_sub(Millis::from(bars).saturating_mul(timeframe.shortest())))
    };
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
