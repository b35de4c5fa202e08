//! Rows replaced where they lie: read, merge, compare-and-set, so that any number of runs may do it at once and none
//! loses another's rows. What a row said before is kept apart.

use std::time::Duration;

use arrow_select::interleave::interleave_record_batch;
use async_trait::async_trait;
use bytes::Bytes;

use super::bronze::{BronzeWriter, lineage};
use super::encoding::{self, encode};
use super::naming::{Object, cell, folder, key};
use crate::error::{Error, Result};
use crate::objects::Condition;
use crate::ports::{Cells, Fetched, Merged};
use crate::quality;
use crate::records::{Batch, same_row};
use crate::retry::{RetryPolicy, repeat};
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

/// Against other writers of one object, and against servers that fail.
pub(super) const RACE: RetryPolicy =
    RetryPolicy { attempts: 200, base: Duration::from_millis(20), max: Duration::from_secs(1) };
/// In an object's lineage: which rows the source was asked for when, `[[start, end, asked], ...]` in milliseconds UTC.
const ASKED: &str = "asked";
/// So many of the latest are remembered: those of runs that may go on at the same time.
const REMEMBERED: usize = 16;
/// Where earlier versions of rows lie; readers of the lake pass over folders that begin with an underscore.
const REPLACED: &str = "_replaced/";

/// A lock for each object, shared by a few.
pub(super) struct Turns([tokio::sync::Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::Mutex::default()))
    }
}

impl Turns {
    async fn take(&self, key: &str) -> tokio::sync::MutexGuard<'_, ()> {
        self.0[crc32fast::hash(key.as_bytes()) as usize % self.0.len()].lock().await
    }
}

/// A range, and when the source was asked for it.
type Asked = (Millis, Millis, Millis);

/// An object as it lies there.
struct Held {
    key: String,
    rows: Batch,
    asked: Vec<Asked>,
    condition: Condition,
}

impl Held {
    /// Whether the source was asked for the bar of `at` later than `asked`.
    fn is_later(&self, at: Millis, asked: Millis) -> bool {
        self.asked.iter().any(|(start, end, when)| (*start..*end).contains(&at) && *when > asked)
    }

    /// With one more answer remembered.
    fn remember(&self, rows: &Batch, asked: Millis) -> Vec<Asked> {
        let span = rows.ts().first().zip(rows.ts().last()).map(|(first, last)| (*first, *last + 1, asked));
        let mut all: Vec<Asked> = self.asked.iter().copied().chain(span).collect();
        all.sort_by_key(|(_, _, when)| std::cmp::Reverse(*when));
        all.truncate(REMEMBERED);
        all
    }
}

/// Two versions of the rows of one object made one.
struct Union {
    rows: Batch,
    /// The versions that lost.
    replaced: Batch,
    added: u64,
}

#[async_trait]
impl Cells for BronzeWriter {
    async fn merge(
        &self,
        series: &Series,
        rows: &Fetched,
        left: &[TimeRange],
        asked: Millis,
    ) -> Result<Merged> {
        let mut merged = Merged::default();
        let mut rest = rows.batch.clone();
        let chunks = self.all(series).await?.into_iter().filter(|object| !object.is_cell);
        for chunk in chunks.filter(|chunk| !left.contains(&chunk.range)) {
            let inside = rest.within(chunk.range);
            if !inside.is_empty()
                && self.put(series, chunk, inside, &rows.lineage, asked, &mut merged).await?
            {
                rest = rest.select(|at| !chunk.range.contains(at))?;
            }
        }
        while let Some(range) = rest.ts().first().and_then(|at| cell(series.timeframe, *at)) {
            let inside = rest.within(range);
            rest = rest.slice(inside.len(), rest.len() - inside.len());
            self.put(series, Object::cell(range), inside, &rows.lineage, asked, &mut merged).await?;
        }
        Ok(merged)
    }

    async fn trim(&self, series: &Series, cell: TimeRange, range: TimeRange) -> Result<()> {
        self.take_out(series, Object::cell(cell), range).await
    }

    async fn trim_chunk(&self, series: &Series, chunk: TimeRange, range: TimeRange) -> Result<()> {
        self.take_out(series, Object::chunk(chunk), range).await
    }
}

impl BronzeWriter {
    /// Removes the rows of `range` from `object`.
    async fn take_out(&self, series: &Series, object: Object, range: TimeRange) -> Result<()> {
        let attempt = || async {
            let held = self.look(series, object).await?;
            let kept = held.rows.select(|at| !range.contains(at))?;
            if kept.len() == held.rows.len() {
                return Ok(());
            }
            // An empty object stays: nobody can delete one on a condition.
            self.replace(series, object.range, &held, &kept, &[], &held.asked).await.map(drop)
        };
        let _turn = self.turns.take(&key(series, object)).await;
        repeat(&RACE, &*self.clock, attempt).await
    }

    /// Puts `rows` into `object`; whether it could: a chunk may be gone.
    async fn put(
        &self,
        series: &Series,
        object: Object,
        rows: Batch,
        more: &[(String, String)],
        asked: Millis,
        merged: &mut Merged,
    ) -> Result<bool> {
        let attempt = || async {
            let held = self.look(series, object).await?;
            if !object.is_cell && held.condition == Condition::Absent {
                return Ok(None);
            }
            let union = union(&held.rows, &rows, |at| held.is_later(at, asked))?;
            let (added, restated) = (union.added, union.replaced.len() as u64);
            if added + restated == 0 {
                return Ok(Some(Merged::default()));
            }
            self.keep(series, &union.replaced).await?;
            let told = held.remember(&rows, asked);
            let bytes = self.replace(series, object.range, &held, &union.rows, more, &told).await?;
            Ok(Some(Merged { added, restated, bytes }))
        };
        let _turn = self.turns.take(&key(series, object)).await;
        let Some(done) = repeat(&RACE, &*self.clock, attempt).await? else { return Ok(false) };
        merged.added += done.added;
        merged.restated += done.restated;
        merged.bytes += done.bytes;
        Ok(true)
    }

    async fn look(&self, series: &Series, object: Object) -> Result<Held> {
        let key = key(series, object);
        let Some((body, tag)) = self.objects.get_tagged(&key).await? else {
            let (rows, condition) = (Batch::empty(series.data_type), Condition::Absent);
            return Ok(Held { key, rows, asked: Vec::new(), condition });
        };
        let asked = encoding::lineage(&body, ASKED).and_then(|text| serde_json::from_str(&text).ok());
        let rows = quality::sorted(&self.decoded(series, &key, body)?)?;
        Ok(Held { key, rows, asked: asked.unwrap_or_default(), condition: Condition::Unchanged(tag) })
    }

    /// Puts `rows` in the place of `held`; its size. `Unavailable` where somebody else was faster.
    async fn replace(
        &self,
        series: &Series,
        range: TimeRange,
        held: &Held,
        rows: &Batch,
        more: &[(String, String)],
        asked: &[Asked],
    ) -> Result<u64> {
        let mut lineage = lineage(series, range, rows.len(), more);
        let asked = serde_json::to_string(asked).map_err(|error| Error::internal(error.to_string()))?;
        lineage.push((ASKED.to_owned(), asked));
        let body = Bytes::from(encode(rows, &lineage, self.encoding)?);
        let bytes = body.len() as u64;
        if self.objects.replace_if(&held.key, body, &held.condition).await? {
            return Ok(bytes);
        }
        Err(Error::unavailable(format!("{}: another writer was faster", self.objects.uri(&held.key))))
    }

    /// Keeps rows that are about to be replaced, under a name made of what they say.
    async fn keep(&self, series: &Series, replaced: &Batch) -> Result<()> {
        let (Some(first), Some(last)) = (replaced.ts().first(), replaced.ts().last()) else { return Ok(()) };
        let Some(range) = TimeRange::non_empty(*first, series.timeframe.next(*last)) else { return Ok(()) };
        let body =
            Bytes::from(encode(replaced, &lineage(series, range, replaced.len(), &[]), self.encoding)?);
        let name = format!("{:08x}.parquet", crc32fast::hash(&body));
        self.objects.put(&format!("{REPLACED}{}{first}-{name}", folder(series)), body).await
    }
}

/// The rows of `old` and `new` (each in time order), of each bar one: that of `new`, unless the old one `is_later`.
fn union(old: &Batch, new: &Batch, is_later: impl Fn(Millis) -> bool) -> Result<Union> {
    let (mut rows, mut replaced) = (Vec::with_capacity(old.len() + new.len()), Vec::new());
    let (mut left, mut right, mut added) = (0, 0, 0);
    while left < old.len() || right < new.len() {
        let (first, second) = (old.ts().get(left), new.ts().get(right));
        match (first, second) {
            (Some(first), Some(second)) if first == second => {
                let is_restated = !same_row(old.rows(), left, new.rows(), right) && !is_later(*first);
                rows.push(if is_restated { (1, right) } else { (0, left) });
                replaced.extend(is_restated.then_some(left));
                (left, right) = (left + 1, right + 1);
            }
            (Some(first), second) if second.is_none_or(|second| first < second) => {
                rows.push((0, left));
                left += 1;
            }
            _ => {
                rows.push((1, right));
                (right, added) = (right + 1, added + 1);
            }
        }
    }
    let taken = |of: &[&Batch], rows: &[(usize, usize)]| {
        let parts: Vec<_> = of.iter().map(|batch| batch.rows()).collect();
        let rows = interleave_record_batch(&parts, rows);
        let rows = rows.map_err(|error| Error::internal(error.to_string()))?;
        Batch::from_record_batch(old.data_type(), &rows)
    };
    let lost: Vec<(usize, usize)> = replaced.iter().map(|row| (0, *row)).collect();
    Ok(Union { rows: taken(&[old, new], &rows)?, replaced: taken(&[old], &lost)?, added })
}

#[cfg(test)]
mod tests;
