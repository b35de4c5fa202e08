//! Checkpoints as one readable JSON document, to look at, to move between stores, and to keep.

use serde::{Deserialize, Serialize};

use super::naming::check;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::ports::{Checkpoint, CheckpointStore};
use crate::series::Series;
use crate::time_range::{Millis, TimeRange, iso};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    /// The document's own version.
    quant_framework_checkpoints: u32,
    checkpoints: Vec<Entry>,
}

/// Ranges are pairs of ISO 8601 times in UTC, `[start, end)`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    series: String,
    #[serde(default)]
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    data: Vec<(String, String)>,
    empty: Vec<(String, String)>,
}

/// Every checkpoint of `store` whose key starts with `prefix`.
pub async fn export(store: &dyn CheckpointStore, prefix: &str) -> Result<String> {
    let mut checkpoints = Vec::new();
    for series in store.list(prefix).await? {
        let Some(held) = store.load(&series).await? else { continue };
        let pairs = |state| {
            let ranges = held.coverage.ranges(state).into_iter();
            ranges.map(|range| (iso(range.start()), iso(range.end()))).collect()
        };
        let (data, empty) = (pairs(State::Data), pairs(State::Empty));
        let Checkpoint { generation, cursor, fingerprint, .. } = held;
        checkpoints.push(Entry { series, generation, cursor, fingerprint, data, empty });
    }
    let document = Document { quant_framework_checkpoints: FORMAT, checkpoints };
    serde_json::to_string_pretty(&document)
        .map_err(|error| Error::internal(format!("cannot export: {error}")))
}

/// Merges what [`export`] wrote into `store`; how many series. Nothing is merged where `document` cannot be read.
pub async fn import(store: &dyn CheckpointStore, document: &str) -> Result<u64> {
    let wrong = |why: &str| Error::invalid(format!("this is no export of checkpoints: {why}"));
    let document: Document = serde_json::from_str(document).map_err(|error| wrong(&error.to_string()))?;
    if document.quant_framework_checkpoints > FORMAT {
        let newer = document.quant_framework_checkpoints;
        return Err(wrong(&format!("version {newer}, this one reads up to {FORMAT}"))
            .with_hint("upgrade quant-framework"));
    }
    let mut deltas = Vec::new();
    for entry in document.checkpoints {
        let coverage = coverage(&entry).map_err(|error| error.context(&entry.series))?;
        let Entry { series, generation, cursor, fingerprint, .. } = entry;
        let delta = Checkpoint { generation, coverage, cursor, fingerprint };
        check(&series, &delta)?;
        if series.matches('/').count() == 3 {
            series.parse::<Series>().map_err(|error| error.context(&series))?;
        }
        deltas.push((series.into(), delta));
    }
    for result in store.commit_all(&deltas).await {
        result?;
    }
    Ok(deltas.len() as u64)
}

fn coverage(entry: &Entry) -> Result<Coverage> {
    let mut ranges = Vec::new();
    for (pairs, state) in [(&entry.data, State::Data), (&entry.empty, State::Empty)] {
        for (start, end) in pairs {
            ranges.push((TimeRange::new(moment(start)?, moment(end)?)?, state));
        }
    }
    Ok(ranges.into_iter().collect())
}

fn moment(text: &str) -> Result<Millis> {
    let time = chrono::DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_millis())
        .map_err(|_| Error::invalid(format!("{text:?} is not an ISO 8601 time with a time zone")))
}
