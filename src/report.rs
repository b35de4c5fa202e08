//! What a run did, as plain values: the answer of every workflow and of `plan`.

use serde::Serialize;

use crate::coverage::{Coverage, State};
use crate::error::Error;
use crate::series::Series;
use crate::time_range::{TimeRange, iso};
use crate::timeframe::Timeframe;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything wanted is covered.
    Success,
    /// Some series failed, others did not.
    Partial,
    /// Nothing of what was missing could be fetched.
    Failed,
    /// Somebody asked to stop; what was done is kept.
    Cancelled,
    /// The source's quota is used up until `until`; what was done is kept.
    Parked,
}

/// A hole in a series and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First missing bar, ISO 8601 UTC.
    pub start: String,
    /// End of the hole (exclusive), ISO 8601 UTC.
    pub end: String,
    /// Missing bars.
    pub bars: u64,
    /// `empty`: the source was asked and had none; `beyond_retention`: the source has deleted them;
    /// `unknown`: not asked yet. Of an empty one the gap ledger says more: `no_trade outage not_listed unresolved`.
    pub kind: &'static str,
    /// How often the source was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When it was first written down, ISO 8601 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// When a repair last asked for it, ISO 8601 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_checked: Option<String>,
}

impl Gap {
    /// A hole without history.
    pub fn new(range: TimeRange, timeframe: Timeframe, kind: &'static str) -> Self {
        let (start, end) = (iso(range.start()), iso(range.end()));
        let bars = timeframe.count(range.start(), range.end());
        Self { start, end, bars, kind, attempts: None, first_seen: None, last_checked: None }
    }
}

/// One failure, with the series it belongs to where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Series key; absent when the whole run is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The kind's name, as in the Python exception.
    pub kind: &'static str,
    /// One line.
    pub message: String,
}

impl Failure {
    /// What went wrong with `series`.
    pub fn new(series: Option<&Series>, error: &Error) -> Self {
        Self {
            series: series.map(ToString::to_string),
            kind: error.kind().name(),
            message: error.to_string(),
        }
    }
}

/// What a run did to the rows of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written, those that took the place of another version included.
    pub rows: u64,
    /// Written in the place of another version.
    pub restated: u64,
    /// Kept apart, because they cannot be true.
    pub quarantined: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.restated += other.restated;
        self.quarantined += other.quarantined;
    }
}

/// One series after the run.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesReport {
    /// Series key.
    pub series: String,
    /// The source's own symbol.
    pub symbol: String,
    /// Data type.
    pub data_type: &'static str,
    /// Timeframe.
    pub timeframe: String,
    /// Start of what was wanted, ISO 8601 UTC, on the grid; closed bars only.
    pub start: String,
    /// End of what was wanted (exclusive), ISO 8601 UTC.
    pub end: String,
    /// Rows written in this run.
    pub rows: u64,
    /// Those of them that took the place of another version.
    pub restated: u64,
    /// Rows of this run that cannot be true and were kept apart.
    pub quarantined: u64,
    /// Bars in the ranges with rows: for a dense data type, the rows that are held.
    pub bars: u64,
    /// Ranges with rows, pairs of ISO 8601 UTC.
    pub covered: Vec<(String, String)>,
    /// Bars covered over bars wanted, 0 to 1; bars that the source does not have count as covered.
    pub coverage: f64,
    /// Every hole in what was wanted, in order.
    pub gaps: Vec<Gap>,
}

impl SeriesReport {
    /// Reads holes and ranges off the coverage; bars before `cutoff` that nobody asked for are beyond retention.
    pub fn new(series: &Series, wanted: TimeRange, cutoff: i64, coverage: &Coverage, counts: Counts) -> Self {
        let timeframe = series.timeframe;
        let mut holes: Vec<(TimeRange, &'static str)> = Vec::new();
        let covered = coverage.covered(wanted);
        if series.data_type.is_dense() {
            holes.extend(
                covered
                    .iter()
                    .filter(|(_, state)| *state == State::Empty)
                    .map(|(range, _)| (*range, "empty")),
            );
        }
        let missing = coverage.missing(wanted);
        for hole in &missing {
            let gone = TimeRange::non_empty(hole.start(), hole.end().min(cutoff));
            holes.extend(gone.map(|range| (range, "beyond_retention")));
            let unknown = TimeRange::non_empty(hole.start().max(cutoff), hole.end());
            holes.extend(unknown.map(|range| (range, "unknown")));
        }
        holes.sort();
        let total = timeframe.count(wanted.start(), wanted.end());
        let lacking: u64 = missing.iter().map(|hole| timeframe.count(hole.start(), hole.end())).sum();
        let data = covered.iter().filter(|(_, state)| *state == State::Data).map(|(range, _)| *range);
        Self {
            series: series.to_string(),
            symbol: series.symbol.clone(),
            data_type: series.data_type.name(),
            timeframe: timeframe.to_string(),
            start: iso(wanted.start()),
            end: iso(wanted.end()),
            rows: counts.rows,
            restated: counts.restated,
            quarantined: counts.quarantined,
            bars: data.clone().map(|range| timeframe.count(range.start(), range.end())).sum(),
            covered: data.map(|range| (iso(range.start()), iso(range.end()))).collect(),
            coverage: if total == 0 { 1.0 } else { (total - lacking) as f64 / total as f64 },
            gaps: holes.into_iter().map(|(range, kind)| Gap::new(range, timeframe, kind)).collect(),
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// Rows durably written in this run.
    pub records_written: u64,
    /// Bytes durably written in this run.
    pub bytes_written: u64,
    /// Wall time in seconds.
    pub duration_seconds: f64,
    /// Everything that went wrong, one line each.
    pub errors: Vec<Failure>,
    /// Chunks that were missing at the start.
    pub chunks_planned: u64,
    /// Chunks fetched, written and committed.
    pub chunks_done: u64,
    /// Chunks that were covered already.
    pub chunks_skipped: u64,
    /// Requests sent to the source, retries and look-ups included.
    pub requests: u64,
    /// Time spent waiting for the source's quota, summed over concurrent requests, seconds.
    pub throttled_seconds: f64,
    /// Rows written that took the place of another version, which the source has restated.
    pub rows_restated: u64,
    /// Rows that cannot be true; kept apart in the lake, under `_quarantine`.
    pub rows_quarantined: u64,
    /// Rows that the source repeated and bars that had not closed; neither is stored.
    pub rows_dropped: u64,
    /// When a parked run may go on, ISO 8601 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// One entry per series.
    pub series: Vec<SeriesReport>,
}

/// What a run would do, before it does anything.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Series to look at.
    pub series: u64,
    /// Chunks to fetch.
    pub chunks: u64,
    /// Chunks that are covered already.
    pub chunks_skipped: u64,
    /// Requests to send.
    pub requests: u64,
    /// What they cost of the source's quota.
    pub weight: u64,
    /// Bars that lie in the chunks.
    pub bars: u64,
    /// Bars that the source has deleted already.
    pub bars_beyond_retention: u64,
    /// The least time under the limit, seconds.
    pub least_seconds: f64,
    /// What can be known to be wrong.
    pub errors: Vec<Failure>,
}
