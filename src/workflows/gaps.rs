//! The holes of stored series: what the checkpoint knows of them, and what the gap ledger beside it remembers.

use std::sync::Arc;

use futures::future::try_join_all;

use crate::clock::Clock;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::ports::{Checkpoint, CheckpointStore};
use crate::quality::{self, Evidence, Hole, Ledger, Patience};
use crate::report::{Counts, Gap, SeriesReport};
use crate::series::Series;
use crate::time_range::{Millis, TimeRange, iso};

/// So many other series of a source say whether a hole was an outage.
const WITNESSES: usize = 8;

/// A ledger as it lies there.
pub(super) struct Kept {
    key: String,
    generation: u64,
    pub(super) ledger: Ledger,
}

/// What the ledger of `series` is held under, beside its checkpoint.
fn key(series: &Series) -> String {
    format!("{series}/gaps")
}

/// Forgets what is known under `key`, and of a series the ledger of its holes; no error where there is nothing.
pub async fn forget(store: &dyn CheckpointStore, series: &str) -> Result<()> {
    store.delete(series).await?;
    match series.parse::<Series>() {
        Ok(series) => store.delete(&key(&series)).await,
        Err(_) => Ok(()),
    }
}

/// The ledger of `series`.
pub(super) async fn load(store: &dyn CheckpointStore, series: &Series) -> Result<Kept> {
    let key = key(series);
    let held = store.load(&key).await?.unwrap_or_default();
    let ledger = held.cursor.as_deref().map_or_else(|| Ok(Ledger::default()), Ledger::parse);
    Ok(Kept { generation: held.generation, ledger: ledger.map_err(|error| error.context(&key))?, key })
}

/// Keeps `ledger` in the place of `kept`; nothing is written where nothing is new. Where two write at once one of them
/// counts an attempt too few.
async fn save(store: &dyn CheckpointStore, kept: &Kept, ledger: &Ledger) -> Result<()> {
    if *ledger == kept.ledger {
        return Ok(());
    }
    let cursor = Some(ledger.text()?);
    let checkpoint = Checkpoint { generation: kept.generation + 1, cursor, ..Checkpoint::default() };
    store.commit(&kept.key, &checkpoint).await
}

/// What other series of the same source, data type and timeframe know.
async fn others(store: &dyn CheckpointStore, series: &Series) -> Result<Vec<Coverage>> {
    let own = series.to_string();
    let start = |text: &str| text.split('/').take(2).collect::<Vec<_>>().join("/") + "/";
    let timeframe = format!("/{}", series.timeframe);
    let mut keys = store.list(&start(&own)).await?;
    keys.retain(|key| *key != own && key.ends_with(&timeframe));
    // Neighbours in the list: the same ones every time, whatever else comes.
    let place = keys.partition_point(|key| *key < own);
    let from = place.saturating_sub(WITNESSES / 2).min(keys.len().saturating_sub(WITNESSES));
    let near = keys.iter().skip(from).take(WITNESSES).map(|key| store.load(key));
    Ok(try_join_all(near).await?.into_iter().flatten().map(|held| held.coverage).collect())
}

/// What was found out about a series.
pub(super) struct Look<'a> {
    /// Where it was looked.
    pub(super) wanted: TimeRange,
    /// What is known.
    pub(super) coverage: &'a Coverage,
    /// What was asked for once more.
    pub(super) asked: &'a Coverage,
    /// Bars before are gone at the source.
    pub(super) cutoff: Millis,
    /// Asked so often, a hole is settled.
    pub(super) attempts: u32,
}

/// Brings the ledger of `series` up to date and answers it.
pub(super) async fn record(
    store: &dyn CheckpointStore,
    series: &Series,
    look: &Look<'_>,
    now: Millis,
) -> Result<Ledger> {
    let &Look { wanted, coverage, asked, cutoff, attempts } = look;
    let kept = load(store, series).await?;
    let mut ledger = kept.ledger.clone();
    if series.data_type.is_dense() {
        let has_holes = coverage.covered(wanted).iter().any(|(_, state)| *state == State::Empty);
        let others = if has_holes { others(store, series).await? } else { Vec::new() };
        ledger.asked(asked, now);
        ledger.update(wanted, &Evidence { coverage, others: &others, cutoff, attempts, now });
        save(store, &kept, &ledger).await?;
    }
    Ok(ledger)
}

/// The holes of `wanted` in order: those that were asked for with their history, and those that were not.
pub(super) fn gaps(series: &Series, wanted: TimeRange, coverage: &Coverage, ledger: &Ledger) -> Vec<Gap> {
    let timeframe = series.timeframe;
    let told: Vec<Hole> = ledger.holes(wanted).collect();
    let known: Coverage = told.iter().map(|hole| (hole.range, State::Empty)).collect();
    let unknown = coverage.missing(wanted).into_iter().flat_map(|hole| known.missing(hole));
    let mut gaps: Vec<(TimeRange, Gap)> =
        unknown.map(|range| (range, Gap::new(range, timeframe, "unknown"))).collect();
    gaps.extend(told.into_iter().map(|hole| {
        let gap = Gap {
            attempts: Some(hole.attempts),
            first_seen: Some(iso(hole.first_seen)),
            last_checked: hole.last_checked.map(iso),
            ..Gap::new(hole.range, timeframe, hole.kind.name())
        };
        (hole.range, gap)
    }));
    gaps.sort_by_key(|(range, _)| *range);
    gaps.into_iter().map(|(_, gap)| gap).collect()
}

/// What the checkpoint of `series` and the ledger beside it say of the closed bars of `range`. Holes that are new are
/// written into the ledger; where it cannot be written a warning is logged.
pub async fn detect_gaps(
    store: &dyn CheckpointStore,
    series: &Series,
    range: TimeRange,
    clock: &dyn Clock,
) -> Result<SeriesReport> {
    let coverage = store.load(&series.to_string()).await?.unwrap_or_default().coverage;
    let (timeframe, now) = (series.timeframe, clock.now());
    let wanted = quality::closed_bars(range, timeframe, now);
    let wanted =
        wanted.ok_or_else(|| Error::invalid(format!("no {timeframe} bar of {range} has closed yet")))?;
    let attempts = Patience::default().attempts;
    let look = Look { wanted, coverage: &coverage, asked: &Coverage::new(), cutoff: Millis::MIN, attempts };
    let ledger = record(store, series, &look, now).await;
    let ledger = match ledger {
        Ok(ledger) => ledger,
        Err(error) => {
            tracing::warn!("the gap ledger of {series} is passed over: {error}");
            let mut ledger = Ledger::default();
            let evidence = Evidence { coverage: &coverage, others: &[], cutoff: Millis::MIN, attempts, now };
            if series.data_type.is_dense() {
                ledger.update(wanted, &evidence);
            }
            ledger
        }
    };
    let report = SeriesReport::new(series, wanted, Millis::MIN, &coverage, Counts::default());
    Ok(SeriesReport { gaps: gaps(series, wanted, &coverage, &ledger), ..report })
}

/// Which holes a repair asks for.
#[derive(Debug, Clone, Default)]
pub struct HoleRepair {
    /// When a hole is asked for again.
    pub patience: Patience,
    /// Only these, whatever the ledger says: series key and range.
    pub only: Option<Arc<[(String, TimeRange)]>>,
}

impl HoleRepair {
    /// The ranges of `series` that were asked for by name; `None` where the ledger decides.
    pub(super) fn named(&self, series: &str) -> Option<Vec<TimeRange>> {
        let only = self.only.as_ref()?;
        let own = only.iter().filter(|(key, _)| key == series);
        let own: Coverage = own.map(|(_, range)| (*range, State::Empty)).collect();
        Some(own.ranges(State::Empty))
    }
}
