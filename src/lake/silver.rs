//! The silver layer: per series and period (a month below 1h, else a year) one object of sorted rows, each bar once.
//! It is made of bronze alone, so the same bronze gives the same bytes, and making it again changes nothing.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::BooleanArray;
use bytes::Bytes;
use serde::Serialize;

use super::bronze::{BronzeWriter, open};
use super::encoding::{Encoding, encode};
use super::naming::{folder, period};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::objects::{Condition, Objects, S3Settings};
use crate::quality::{self, same_row};
use crate::records::Batch;
use crate::retry::{RetryPolicy, repeat};
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

/// Against other writers of one period, and against servers that fail.
const RACE: RetryPolicy =
    RetryPolicy { attempts: 200, base: Duration::from_millis(20), max: Duration::from_secs(1) };

/// Makes silver of a bronze lake under a URL.
pub struct SilverWriter {
    bronze: Arc<BronzeWriter>,
    objects: Box<dyn Objects>,
    encoding: Encoding,
    clock: Arc<dyn Clock>,
}

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// Periods looked at.
    pub partitions: u64,
    /// Periods whose object was replaced; the others were right already.
    pub written: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// Bytes of what was replaced.
    pub bytes: u64,
    /// Rows of bronze that repeat another one exactly.
    pub repeated: u64,
    /// Rows of bronze that a later object contradicts; the later one counts.
    pub replaced: u64,
}

/// The rows of one period, and what was left out.
struct Rows {
    batch: Batch,
    repeated: u64,
    replaced: u64,
}

impl SilverWriter {
    /// Under `url`, `file:///lake/silver`, an absolute path, or `s3://bucket/prefix`. Opens nothing yet.
    pub fn open(
        url: &str,
        settings: S3Settings,
        encoding: Encoding,
        bronze: Arc<BronzeWriter>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Ok(Self { bronze, objects: open(url, settings, Arc::clone(&clock))?, encoding, clock })
    }

    /// The address of the folder that holds the rows of `series`, ending in a slash.
    pub fn address(&self, series: &Series) -> String {
        self.objects.uri(&folder(series))
    }

    /// Makes the periods of `series` that `range` touches (all where it is `None`) from what bronze holds of them. A
    /// period of which bronze holds nothing stays as it is. Any number of writers may do so at once: whoever was not
    /// the last reads bronze again.
    ///
    /// # Errors
    /// `Data`, naming the bar, where a row of bronze cannot be.
    pub async fn compact(&self, series: &Series, range: Option<TimeRange>) -> Result<Compaction> {
        let objects = self.bronze.all(series).await?;
        let mut done = Compaction::default();
        let mut from = Millis::MIN;
        for object in objects.into_iter().map(|object| object.range) {
            let mut rest = range.map_or(Some(object), |range| object.intersect(range));
            while let Some((name, whole)) = rest.and_then(|rest| period(series.timeframe, rest.start())) {
                if whole.start() >= from {
                    self.compact_period(series, &name, whole, &mut done).await?;
                    from = whole.end();
                }
                rest = TimeRange::non_empty(whole.end(), object.end()).and_then(|left| match range {
                    Some(range) => left.intersect(range),
                    None => Some(left),
                });
            }
        }
        Ok(done)
    }

    async fn compact_period(
        &self,
        series: &Series,
        name: &str,
        whole: TimeRange,
        done: &mut Compaction,
    ) -> Result<()> {
        let key = format!("{}{name}", folder(series));
        let (rows, bytes) = repeat(&RACE, &*self.clock, || self.replace(series, &key, whole)).await?;
        done.partitions += 1;
        done.written += u64::from(bytes.is_some());
        done.bytes += bytes.unwrap_or_default();
        done.rows += rows.batch.len() as u64;
        done.repeated += rows.repeated;
        done.replaced += rows.replaced;
        Ok(())
    }

    /// One attempt: the rows, and the size of the object where it was replaced. The condition is read before bronze: who
    /// has seen less of bronze than the last writer loses.
    async fn replace(&self, series: &Series, key: &str, whole: TimeRange) -> Result<(Rows, Option<u64>)> {
        let held = self.objects.get_tagged(key).await?;
        let rows = self.rows(series, whole).await?;
        let lineage = [
            ("series".to_owned(), series.to_string()),
            ("range".to_owned(), whole.to_string()),
            ("rows".to_owned(), rows.batch.len().to_string()),
        ];
        let body = Bytes::from(encode(&rows.batch, &lineage, self.encoding)?);
        let is_right = rows.batch.is_empty() || held.as_ref().is_some_and(|(old, _)| *old == body);
        let condition = held.map_or(Condition::Absent, |(_, tag)| Condition::Unchanged(tag));
        if is_right {
            return Ok((rows, None));
        }
        let bytes = body.len() as u64;
        if !self.objects.replace_if(key, body, &condition).await? {
            return Err(Error::unavailable(format!("{}: another writer was faster", self.objects.uri(key))));
        }
        Ok((rows, Some(bytes)))
    }

    /// What bronze holds of a period: in time order, of each bar the row of the last object.
    async fn rows(&self, series: &Series, whole: TimeRange) -> Result<Rows> {
        let ordered = quality::sorted(&self.bronze.read(series, whole).await?)?;
        let ts = ordered.ts();
        let (mut repeated, mut replaced) = (0, 0);
        let keep: BooleanArray = (0..ts.len())
            .map(|row| {
                let is_last = ts.get(row + 1) != Some(&ts[row]);
                if !is_last {
                    let same = same_row(ordered.rows(), row, row + 1);
                    repeated += u64::from(same);
                    replaced += u64::from(!same);
                }
                Some(is_last)
            })
            .collect();
        let batch = ordered.keep(&keep)?;
        let checked = quality::check(&batch, whole, series.timeframe, Millis::MAX);
        let bad = checked.map_err(|error| error.context(format!("bronze of {series}")))?.quarantined;
        if !bad.is_empty() {
            return Err(Error::data(format!("bronze of {series}: {}", bad.describe())));
        }
        Ok(Rows { batch, repeated, replaced })
    }
}

#[cfg(test)]
mod tests;
