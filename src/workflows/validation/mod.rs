//! Stored rows looked at: of one series ([`validate`]), and of two or more sources against each other ([`reconcile`]).
//! Series are read period by period, so that memory does not grow with the range.

mod chart;
mod page;
mod reading;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::clock::Clock;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::lake::{BronzeWriter, Reports};
use crate::ports::CheckpointStore;
use crate::quality::reconcile::{Details, bin};
use crate::quality::{self, Reconciler, Reconciliation, RollUp, Tolerance, Validation, closed_bars};
use crate::records::Batch;
use crate::series::Series;
use crate::time_range::{TimeRange, iso};
use crate::timeframe::Timeframe;
pub use reading::Wanted;
use reading::{Reader, ends};
pub use writing::Addresses;

/// What looks, and where.
#[derive(Clone)]
pub struct Look {
    /// Where the rows lie.
    pub lake: Arc<BronzeWriter>,
    /// What is remembered of them; without it a gap is just a gap.
    pub store: Option<Arc<dyn CheckpointStore>>,
    /// Says which bars have closed.
    pub clock: Arc<dyn Clock>,
    /// What is looked for.
    pub wanted: Wanted,
}

/// One series against the first.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// Key of the series that counts as right.
    pub left: String,
    /// Key of the other.
    pub right: String,
    /// What came of it.
    #[serde(flatten)]
    pub found: Reconciliation,
}

/// Closed bars that another source has and this series lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// Key of the series.
    pub series: String,
    /// First bar, ISO 8601 UTC.
    pub start: String,
    /// End (exclusive), ISO 8601 UTC.
    pub end: String,
    /// How many bars.
    pub bars: u64,
}

/// Several sources of one market over one range.
#[derive(Debug, Clone, Serialize)]
pub struct ValidationReport {
    /// Start of the range, ISO 8601 UTC.
    pub start: String,
    /// Its end (exclusive), ISO 8601 UTC.
    pub end: String,
    /// Version of the checks.
    pub checks_version: u32,
    /// Whether every series has no error of its own and agrees with the first.
    pub agrees: bool,
    /// By what fraction values may differ.
    pub tolerance: f64,
    /// By what fraction volumes may; `None`: they are not compared.
    pub volume_tolerance: Option<f64>,
    /// Each series by itself.
    pub series: Vec<Validation>,
    /// Each but the first against the first.
    pub pairs: Vec<Pair>,
    /// What a backfill may fetch: of a dense data type, the bars that one source has and another lacks.
    pub holes: Vec<Hole>,
    /// Where the report lies, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Addresses>,
}

impl Look {
    async fn coverage(&self, series: &Series) -> Result<Option<Coverage>> {
        let Some(store) = &self.store else { return Ok(None) };
        Ok(Some(store.load(&series.to_string()).await?.unwrap_or_default().coverage))
    }

    async fn open(&self, series: &Series, range: TimeRange) -> Result<Reader> {
        let coverage = self.coverage(series).await?;
        Reader::open(&self.lake, series, range, self.clock.now(), &self.wanted, coverage).await
    }
}

/// `Invalid` where the lake holds nothing at all of `series`, of which every bar is expected: most often a wrong key.
pub async fn expect_rows(look: &Look, series: &Series) -> Result<()> {
    if !series.data_type.is_dense() || !look.lake.all(series).await?.is_empty() {
        return Ok(());
    }
    let nothing = format!("there is nothing of {series} in {}", look.lake.address(series));
    Err(Error::invalid(nothing).with_hint("is it the right key, and the right lake?"))
}

/// Looks at the rows of `series` that open in `range`; with `roll_up`, also at whether the bars of that timeframe add
/// up to its own.
pub async fn validate(
    look: &Look,
    series: &Series,
    range: TimeRange,
    roll_up: Option<Timeframe>,
) -> Result<Validation> {
    let tolerance = look.wanted.thresholds.volume_tolerance;
    let mut sums = roll_up.map(|fine| RollUp::new(series, fine, tolerance)).transpose()?;
    let mut fine = match roll_up {
        Some(timeframe) => {
            let finer = Series { timeframe, ..series.clone() };
            let whole = TimeRange::new(series.timeframe.floor(range.start()), range.end())?;
            Some(Look { store: None, ..look.clone() }.open(&finer, whole).await?)
        }
        None => None,
    };
    let mut reader = look.open(series, range).await?;
    // By the periods of the finer bars, which are more.
    let paced = fine.as_ref().map_or(series, |fine| &fine.series).clone();
    for end in ends(range, &paced) {
        let rows = reader.until(end).await?;
        if let (Some(fine), Some(sums)) = (&mut fine, &mut sums) {
            let finer = fine.until(end).await?;
            sums.look(
                &Batch::joined(fine.series.data_type, &finer)?,
                &Batch::joined(series.data_type, &rows)?,
            );
        }
    }
    if let Some(sums) = &sums {
        sums.tell(&mut reader.checker);
    }
    Ok(reader.finish())
}

/// The rows of each part of a range that is drawn.
#[derive(Debug, Clone)]
pub(crate) struct Strip {
    range: TimeRange,
    rows: Vec<u64>,
}

impl Strip {
    fn new(range: TimeRange) -> Self {
        Self { range, rows: vec![0; quality::reconcile::BINS] }
    }

    fn note(&mut self, rows: &Batch) {
        for at in rows.ts() {
            if let Some(bin) = bin(self.range, *at) {
                self.rows[bin] += 1;
            }
        }
    }
}

/// Compares `series`, all of one data type and timeframe, with the first of them; writes a report where `reports` says.
pub async fn reconcile(
    look: &Look,
    series: &[Series],
    range: TimeRange,
    tolerance: Tolerance,
    reports: Option<&Reports>,
) -> Result<ValidationReport> {
    let [first, others @ ..] = series else { return Err(too_few()) };
    if others.is_empty() {
        return Err(too_few());
    }
    if let Some(other) =
        others.iter().find(|other| (other.data_type, other.timeframe) != (first.data_type, first.timeframe))
    {
        return Err(Error::invalid(format!("{other} and {first} differ in data type or timeframe")));
    }
    let mut readers = Vec::with_capacity(series.len());
    for one in series {
        readers.push(look.open(one, range).await?);
    }
    let compared = |_: &Series| Reconciler::new(first.data_type, first.timeframe, tolerance, range);
    let mut reconcilers: Vec<Reconciler> = others.iter().map(compared).collect();
    let mut strips = vec![Strip::new(range); series.len()];
    for end in ends(range, first) {
        let mut reference = None;
        for (place, reader) in readers.iter_mut().enumerate() {
            let rows = Batch::joined(series[place].data_type, &reader.until(end).await?)?;
            strips[place].note(&rows);
            match &reference {
                None => reference = Some(rows),
                Some(reference) => reconcilers[place - 1].look(reference, &rows)?,
            }
        }
    }
    let looked_at: Vec<Validation> = readers.into_iter().map(Reader::finish).collect();
    let (mut pairs, mut details) = (Vec::new(), Vec::new());
    for (other, reconciler) in others.iter().zip(reconcilers) {
        let (found, bars) = reconciler.finish();
        pairs.push(Pair { left: first.to_string(), right: other.to_string(), found });
        details.push(bars);
    }
    let mut report = ValidationReport {
        start: iso(range.start()),
        end: iso(range.end()),
        checks_version: quality::CHECKS_VERSION,
        agrees: looked_at.iter().all(|one| one.ok) && pairs.iter().all(|pair| pair.found.agrees()),
        tolerance: tolerance.value,
        volume_tolerance: tolerance.volume,
        series: looked_at,
        holes: holes(first, &pairs, range, look.clock.now())?,
        pairs,
        report: None,
    };
    if let Some(reports) = reports {
        report.report =
            Some(writing::write(reports, &report, &Drawn { range, strips, details }, first).await?);
    }
    Ok(report)
}

/// What a page draws, beside the numbers.
pub(crate) struct Drawn {
    range: TimeRange,
    strips: Vec<Strip>,
    details: Vec<Details>,
}

/// Per series, the closed bars that the other side of some pair has.
fn holes(first: &Series, pairs: &[Pair], range: TimeRange, now: i64) -> Result<Vec<Hole>> {
    let closed = closed_bars(range, first.timeframe, now);
    let (Some(closed), true) = (closed, first.data_type.is_dense()) else { return Ok(Vec::new()) };
    let mut lacking: BTreeMap<&str, Coverage> = BTreeMap::new();
    for pair in pairs {
        let sides = [(&pair.left, &pair.found.only_right), (&pair.right, &pair.found.only_left)];
        for (key, bars) in sides {
            let whole = bars.runs.iter().filter_map(|run| run.intersect(closed));
            let lacks = whole.map(|run| (run, State::Data)).collect();
            lacking.entry(key.as_str()).or_default().merge(&lacks);
        }
    }
    let mut holes = Vec::new();
    for (key, lacks) in lacking {
        let timeframe = key.parse::<Series>()?.timeframe;
        holes.extend(lacks.iter().map(|(run, _)| Hole {
            series: key.to_owned(),
            start: iso(run.start()),
            end: iso(run.end()),
            bars: timeframe.count(run.start(), run.end()),
        }));
    }
    Ok(holes)
}

fn too_few() -> Error {
    Error::invalid("series must name at least two series to compare")
}
