//! Series made of stored ones: coarser bars ([`resample_series`]) and several sources as one ([`merge_series`]). They are
//! a function of what the lake holds, a period at a time (a month below 1h, else a year) under names made of series and
//! period, so that twice is once. A derived series has a source of its own: nobody takes it for what a source said.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::lake::{BronzeWriter, Object, period};
use crate::ports::{DataWriter, Fetched};
use crate::processing::{self, check_nesting, latest};
use crate::quality;
use crate::records::Batch;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// A bar that was left out because a part of it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// When it opens, ISO 8601 UTC.
    pub open: String,
    /// Source bars that are known.
    pub known: u64,
    /// Source bars that it is made of.
    pub expected: u64,
}

/// What a derived series was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Key of the series.
    pub series: String,
    /// Rows of it that were used: read for coarser bars, taken in a merge.
    pub rows: u64,
}

/// Coarser bars of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When the first one opens, ISO 8601 UTC.
    pub start: String,
    /// When the last one closes, ISO 8601 UTC.
    pub end: String,
}

/// What was made of one or more series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Derived {
    /// Key of the derived series.
    pub series: String,
    /// Periods of which there are rows now.
    pub periods: u64,
    /// Rows in them.
    pub rows: u64,
    /// Size of their objects.
    pub bytes: u64,
    /// In the given order.
    pub sources: Vec<Source>,
    /// Of coarser bars: those that are left out.
    pub incomplete: Vec<LeftOut>,
    /// Of coarser bars: runs of which nothing is known.
    pub gaps: Vec<Gap>,
}

impl Derived {
    fn new(into: &Series, sources: &[Series]) -> Self {
        let sources = sources.iter().map(|source| Source { series: source.to_string(), rows: 0 }).collect();
        Self { series: into.to_string(), sources, ..Self::default() }
    }
}

/// Where coarser bars of `series` belong unless somebody names another place: source `<source>.resampled`.
pub fn resampled(series: &Series, to: Timeframe) -> Series {
    Series { source: format!("{}.resampled", series.source), timeframe: to, ..series.clone() }
}

/// Makes the complete bars of `into` of the rows of `series` in `lake`: of the periods that `range` touches, of all where
/// it is `None`. `covered` is what a checkpoint says of `series`: dense bars that the source did not have are known by
/// it, and of sparse series everything that was asked for.
///
/// # Errors
/// `Invalid` where the timeframes do not nest, `into` is no place for it, or a sparse series comes without `covered`;
/// `Data`, naming the bar, where a stored row cannot be.
pub async fn resample_series(
    lake: &BronzeWriter,
    series: &Series,
    into: &Series,
    target: &BronzeWriter,
    range: Option<TimeRange>,
    covered: &Coverage,
) -> Result<Derived> {
    check_nesting(series.timeframe, into.timeframe)?;
    check_place(std::slice::from_ref(series), into)?;
    let known = known(series, covered)?;
    let mut done = Derived::new(into, std::slice::from_ref(series));
    for whole in periods(&lake.all(series).await?, into.timeframe, range) {
        let span = opening(whole, into.timeframe)?;
        let rows = stored(lake, series, span).await?;
        let covered: Vec<TimeRange> = known.iter().filter_map(|range| range.intersect(span)).collect();
        if rows.is_empty() && covered.is_empty() {
            continue;
        }
        let made = processing::resample(&rows, series.timeframe, into.timeframe, &covered, false)?;
        done.sources[0].rows += rows.len() as u64;
        done.incomplete.extend(made.incomplete.iter().map(|bar| LeftOut {
            open: iso(bar.open),
            known: bar.known,
            expected: bar.expected,
        }));
        done.gaps.extend(made.gaps.iter().map(|gap| Gap { start: iso(gap.start()), end: iso(gap.end()) }));
        let lineage = [("derived_by", "resample".to_owned()), ("derived_from", series.to_string())];
        write(target, into, whole, made.batch, &lineage, &mut done).await?;
    }
    Ok(done)
}

/// Makes `into` of `sources` in `lake`, the most trusted first: per bar the whole row of the first that has it. Of the
/// periods that `range` touches, of all where it is `None`.
///
/// # Errors
/// `Invalid` where there are fewer than two sources, they differ in data type or timeframe, or `into` is no place for
/// it; `Data`, naming the bar, where a stored row cannot be.
pub async fn merge_series(
    lake: &BronzeWriter,
    sources: &[Series],
    into: &Series,
    target: &BronzeWriter,
    range: Option<TimeRange>,
) -> Result<Derived> {
    if sources.len() < 2 {
        return Err(Error::invalid("series must name at least two series to merge"));
    }
    let kind = |series: &Series| (series.data_type, series.timeframe);
    if let Some(other) = sources.iter().find(|source| kind(source) != kind(into)) {
        return Err(Error::invalid(format!("{other} and {into} differ in data type or timeframe")));
    }
    check_place(sources, into)?;
    let mut objects = Vec::new();
    for source in sources {
        objects.extend(lake.all(source).await?);
    }
    let mut done = Derived::new(into, sources);
    for whole in periods(&objects, into.timeframe, range) {
        let span = opening(whole, into.timeframe)?;
        let mut held = Vec::with_capacity(sources.len());
        for source in sources {
            held.push(stored(lake, source, span).await?);
        }
        let merged = processing::merge(&held, into.timeframe)?;
        let mut parts = Vec::with_capacity(sources.len());
        for (source, taken) in done.sources.iter_mut().zip(&merged.taken) {
            source.rows += taken;
            parts.push(format!("{} ({taken} rows)", source.series));
        }
        let lineage = [("derived_by", "merge".to_owned()), ("derived_from", parts.join(", "))];
        write(target, into, whole, merged.batch, &lineage, &mut done).await?;
    }
    Ok(done)
}

/// `Invalid` where `into` would be taken for what one of `sources` said.
fn check_place(sources: &[Series], into: &Series) -> Result<()> {
    if let Some(same) = sources.iter().find(|source| source.source == into.source) {
        let error = Error::invalid(format!("{into} would be taken for what {} said", same.source));
        return Err(error.with_hint("give the derived series a source of its own"));
    }
    match sources.iter().find(|source| source.data_type != into.data_type) {
        Some(other) => Err(Error::invalid(format!("{into} cannot be made of {other}"))),
        None => Ok(()),
    }
}

/// What `covered` adds to the rows. A dense bar that should have a row and has none is not known: it was lost.
fn known(series: &Series, covered: &Coverage) -> Result<Vec<TimeRange>> {
    if series.data_type.is_dense() {
        return Ok(covered.ranges(State::Empty));
    }
    if covered.is_empty() {
        let error = Error::invalid(format!("{series}: no checkpoint says what was asked for"));
        return Err(error.with_hint(
            "rows of sparse data do not tell complete bars; pass the checkpoint store of its backfill",
        ));
    }
    Ok(covered.iter().map(|(range, _)| (range, State::Data)).collect::<Coverage>().ranges(State::Data))
}

/// The periods that the bars of `objects` inside `range` belong to, each once, in order.
fn periods(objects: &[Object], timeframe: Timeframe, range: Option<TimeRange>) -> Vec<TimeRange> {
    let mut found = BTreeMap::new();
    for object in objects.iter().map(|object| object.range) {
        let Some(part) = range.map_or(Some(object), |range| object.intersect(range)) else { continue };
        // A week that opens in December is made of rows of January, too.
        let mut at = timeframe.floor(part.start());
        while at < part.end() {
            let Some(whole) = period(timeframe, at) else { break };
            found.insert(whole.start(), whole);
            at = whole.end();
        }
    }
    found.into_values().collect()
}

/// What the bars that open in `period` span.
fn opening(period: TimeRange, timeframe: Timeframe) -> Result<TimeRange> {
    TimeRange::new(timeframe.ceil(period.start()), timeframe.ceil(period.end()))
}

/// The rows of `series` that open in `span`, in order, of each bar that of the last object. A row that cannot be true is
/// none: its bar is not known.
async fn stored(lake: &BronzeWriter, series: &Series, span: TimeRange) -> Result<Batch> {
    let rows = latest(&lake.read(series, span).await?)?;
    let checked = quality::check(&rows, span, series.timeframe, Millis::MAX);
    Ok(checked.map_err(|error| error.context(series))?.batch)
}

/// A period without rows stays as it is: what the lake has lost is no reason to forget more.
async fn write(
    target: &BronzeWriter,
    into: &Series,
    period: TimeRange,
    batch: Batch,
    lineage: &[(&str, String)],
    done: &mut Derived,
) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let lineage = lineage.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let fetched = Fetched { batch, bytes: 0, truncated: false, quotas: Vec::new(), lineage };
    let receipt = target.write(into, period, &fetched).await?;
    done.periods += 1;
    done.rows += receipt.rows;
    done.bytes += receipt.bytes;
    Ok(())
}
