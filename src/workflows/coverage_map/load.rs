//! Checkpoints and gap ledgers of many series, read a few at once.

use std::collections::BTreeMap;

use futures::stream::{StreamExt, iter};

use super::runs::{Frame, Known, row};
use super::{CoverageMap, Moment, Row, Totals};
use crate::clock::Clock;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::ports::CheckpointStore;
use crate::quality::Ledger;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};
use crate::workflows::gaps;

/// Series read at once.
const WIDTH: usize = 16;
/// Segments and holes kept in memory until the range of the picture is known; further series are read twice.
const KEPT: usize = 1_000_000;
/// What a picture may have.
const COLUMNS: std::ops::RangeInclusive<usize> = 1..=2000;
/// The year 1: nothing earlier has a date that can be written.
const FIRST: Millis = -62_135_596_800_000;
const DAY: Millis = 86_400_000;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Asked {
    /// These series, by their keys; by default all that are known.
    pub series: Option<Vec<String>>,
    /// Without `series`: those whose key begins so.
    pub prefix: String,
    /// Bars are expected from here on; by default from the first known moment of each series on.
    pub start: Option<Millis>,
    /// To here; by default to the last closed bar.
    pub end: Option<Millis>,
    /// Cells of each row, 1 to 2000.
    pub columns: usize,
}

/// What `store` knows of the series asked for. A series that cannot be read is a row with an error; only where none can
/// be read because the store does not answer, that is the error of the whole. Writes nothing.
pub async fn coverage_map(
    store: &dyn CheckpointStore,
    asked: &Asked,
    clock: &dyn Clock,
) -> Result<CoverageMap> {
    map_of(store, asked, clock.now(), KEPT).await
}

/// As [`coverage_map`]; so much is kept in memory.
pub(super) async fn map_of(
    store: &dyn CheckpointStore,
    asked: &Asked,
    now: Millis,
    most: usize,
) -> Result<CoverageMap> {
    if !COLUMNS.contains(&asked.columns) {
        return Err(Error::invalid(format!("columns must be 1 to 2000, not {}", asked.columns)));
    }
    if let (Some(start), Some(end)) = (asked.start, asked.end) {
        TimeRange::new(start, end)?;
    }
    let keys = match &asked.series {
        Some(keys) => {
            ask(store, keys).await?;
            keys.clone()
        }
        None => store.list(&asked.prefix).await?.into_iter().filter(|key| is_series(key)).collect(),
    };
    let first = first_look(store, keys, asked.start.is_none(), most).await?;
    let picture = picture(asked, &first, now)?;
    let columns = asked.columns.min(picture.length().unsigned_abs() as usize);
    let frame = Frame { picture, is_asked: asked.start.is_some(), now, columns };
    let series = rows(store, first, &frame).await?;
    let (start, end, as_of) = (Moment(picture.start()), Moment(picture.end()), Moment(now));
    Ok(CoverageMap { start, end, as_of, columns, totals: totals(&series), series })
}

/// Ledgers and the like have longer keys.
fn is_series(key: &str) -> bool {
    key.split('/').count() == 4
}

/// One series between the first look and its row.
struct Seen {
    key: String,
    series: Result<Series>,
    first: Option<Millis>,
    /// `None`: not read yet, or too much to be kept.
    known: Option<Result<Known>>,
}

/// Every series, and where it begins where that is needed.
async fn first_look(
    store: &dyn CheckpointStore,
    keys: Vec<String>,
    needs_start: bool,
    most: usize,
) -> Result<Vec<Seen>> {
    let look = |key: String| async move {
        let series = key.parse::<Series>();
        let known = if needs_start && series.is_ok() { Some(known(store, &key).await) } else { None };
        let coverage = known.as_ref().and_then(|known| known.as_ref().ok()).map(|known| &known.coverage);
        let first = coverage.and_then(|coverage| coverage.iter().next()).map(|(range, _)| range.start());
        Seen { key, series, first, known }
    };
    let mut looks = iter(keys).map(look).buffered(WIDTH);
    let (mut seen, mut kept, mut answers) = (Vec::new(), 0, Answers::default());
    while let Some(mut one) = looks.next().await {
        if let Some(known) = &one.known {
            answers.add(known)?;
            let size = known.as_ref().map_or(0, Known::size);
            if kept + size > most {
                one.known = None;
            } else {
                kept += size;
            }
        }
        seen.push(one);
    }
    answers.end()?;
    Ok(seen)
}

async fn rows(store: &dyn CheckpointStore, seen: Vec<Seen>, frame: &Frame) -> Result<Vec<Row>> {
    let look = |one: Seen| async move {
        let Seen { key, series, known: held, .. } = one;
        let held = match (held, &series) {
            (Some(held), _) => held,
            (None, Ok(_)) => known(store, &key).await,
            (None, Err(error)) => Err(error.clone()),
        };
        (key, series, held)
    };
    let mut looks = iter(seen).map(look).buffered(WIDTH);
    let (mut rows, mut answers) = (Vec::new(), Answers::default());
    while let Some((key, series, held)) = looks.next().await {
        answers.add(&held)?;
        rows.push(match (series, held) {
            (Ok(series), Ok(known)) => Row { series: key, ..row(&series, &known, frame) },
            (_, Err(error)) | (Err(error), _) => {
                Row { series: key, error: Some(error.to_string()), ..Row::default() }
            }
        });
    }
    answers.end()?;
    Ok(rows)
}

/// Whether the store answers at all.
#[derive(Default)]
struct Answers {
    has_answered: bool,
    /// One after the other, up to now.
    failures: usize,
    last: Option<Error>,
}

impl Answers {
    /// Fails where going on makes no sense.
    fn add(&mut self, held: &Result<Known>) -> Result<()> {
        match held {
            Err(error) if error.is_fatal() || error.kind() == ErrorKind::Cancelled => Err(error.clone()),
            Err(error) if !matches!(error.kind(), ErrorKind::Data | ErrorKind::Invalid) => {
                self.failures += 1;
                self.last = Some(error.clone());
                // Each of thousands would be waited for otherwise.
                if self.failures >= WIDTH { Err(error.clone()) } else { Ok(()) }
            }
            _ => {
                *self = Self { has_answered: true, ..Self::default() };
                Ok(())
            }
        }
    }

    fn end(self) -> Result<()> {
        self.last.filter(|_| !self.has_answered).map_or(Ok(()), Err)
    }
}

/// Fails where the store does not answer, before each series is waited for. Who may read and not list goes on.
async fn ask(store: &dyn CheckpointStore, keys: &[String]) -> Result<()> {
    let Some(first) = keys.first() else { return Ok(()) };
    match store.list(first).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
        _ => Ok(()),
    }
}

/// The checkpoint of `key`, and the ledger beside it.
async fn known(store: &dyn CheckpointStore, key: &str) -> Result<Known> {
    // Asked for by its name, a series that was never begun is all missing.
    let held = store.load(key).await?.unwrap_or_default();
    let series: Series = key.parse()?;
    // A sparse data type has no ledger.
    if !series.data_type.is_dense() {
        return Ok(Known { coverage: held.coverage, ..Known::default() });
    }
    let ledger = gaps::load(store, &series).await;
    let (ledger, error) = match ledger {
        Ok(kept) => (kept.ledger, None),
        Err(error) if matches!(error.kind(), ErrorKind::Data | ErrorKind::Invalid) => {
            (Ledger::default(), Some(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    Ok(Known { coverage: held.coverage, ledger, error })
}

/// What is drawn: as asked for, else from the first known moment to the last closed bar.
fn picture(asked: &Asked, seen: &[Seen], now: Millis) -> Result<TimeRange> {
    let closed =
        seen.iter().filter_map(|one| one.series.as_ref().ok()).map(|series| series.timeframe.floor(now));
    let end = asked.end.or_else(|| closed.max()).unwrap_or(now);
    let first = seen.iter().filter_map(|one| one.first).min().map(|first| first.max(FIRST));
    match (asked.start, first) {
        (Some(start), _) => TimeRange::new(start, end),
        // Nothing is known before the end: a day of nothing.
        (None, first) => {
            let first = first.filter(|first| *first < end).unwrap_or(end - DAY);
            TimeRange::new(first, end)
        }
    }
}

fn totals(rows: &[Row]) -> Totals {
    let mut bars: BTreeMap<_, u64> = BTreeMap::new();
    for (kind, count) in rows.iter().flat_map(|row| &row.bars) {
        *bars.entry(*kind).or_default() += count;
    }
    Totals {
        series: rows.len() as u64,
        errors: rows.iter().filter(|row| row.error.is_some()).count() as u64,
        expected: rows.iter().map(|row| row.expected).sum(),
        bars,
    }
}
