//! The bronze layer: what the source said, typed, one object per chunk.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::cells::Turns;
use super::encoding::{Encoding, encode, encode_rows};
use super::naming::{self, Object, key, object};
use crate::clock::Clock;
use crate::disk;
use crate::error::{Error, Result};
use crate::objects::{Bucket, Folder, Objects, S3Settings};
use crate::ports::{Cells, DataWriter, Fetched, Held, Receipt};
use crate::records::Quarantined;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

/// Where rows lie that cannot be true; readers of the lake pass over folders that begin with an underscore.
const QUARANTINE: &str = "_quarantine/";

/// One Parquet object per chunk under a URL, and one per cell that grows.
pub struct BronzeWriter {
    pub(super) objects: Box<dyn Objects>,
    pub(super) encoding: Encoding,
    pub(super) clock: Arc<dyn Clock>,
    /// Those who merge into one object take turns, so that a run does not race with itself.
    pub(super) turns: Turns,
    write_only: bool,
}

impl BronzeWriter {
    /// `url`: `file:///lake/bronze`, an absolute path, or `s3://bucket/prefix`. Opens nothing yet.
    pub fn open(url: &str, settings: S3Settings, encoding: Encoding, clock: Arc<dyn Clock>) -> Result<Self> {
        let objects = open(url, settings, Arc::clone(&clock))?;
        Ok(Self { objects, encoding, clock, turns: Turns::default(), write_only: false })
    }

    /// For credentials that may put objects and nothing else: never lists, never deletes. What a crashed run
    /// left is then replaced only where a resumed run cuts its chunks as before (`FixedChunkStrategy`).
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.write_only = true;
        self
    }
}

impl BronzeWriter {
    /// Every object of the lake and its series, read off the names alone.
    pub async fn everything(&self) -> Result<Vec<(Series, Object)>> {
        let keys = self.objects.list("").await?;
        Ok(keys.iter().filter_map(|key| Some((naming::series(key)?, object(key)?))).collect())
    }
}

/// The place of a lake.
pub(super) fn open(url: &str, settings: S3Settings, clock: Arc<dyn Clock>) -> Result<Box<dyn Objects>> {
    if url.starts_with("s3://") {
        return Ok(Box::new(Bucket::new(url, settings, clock)?));
    }
    Ok(Box::new(Folder::new(local_path(url)?)))
}

fn local_path(url: &str) -> Result<PathBuf> {
    let wrong = || {
        Error::invalid(format!("lake URL {url:?} is neither file:///absolute/path nor s3://bucket/prefix"))
    };
    disk::path_of(url).ok_or_else(wrong)
}

/// An unfinished object of which nothing was heard for so long belongs to nobody.
const DAY: Millis = 86_400_000;

/// What is written beside `rows` rows of `series`.
pub(super) fn lineage(
    series: &Series,
    range: TimeRange,
    rows: usize,
    more: &[(String, String)],
) -> Vec<(String, String)> {
    let own = [("series", series.to_string()), ("range", range.to_string()), ("rows", rows.to_string())];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    own.chain(more.iter().cloned()).collect()
}

#[async_trait]
impl DataWriter for BronzeWriter {
    async fn prepare(&self) -> Result<()> {
        self.objects.probe(!self.write_only).await
    }

    async fn held(&self, series: &Series) -> Result<Held> {
        if self.write_only {
            return Ok(Held::default());
        }
        self.objects.sweep(&naming::folder(series), self.clock.now() - DAY).await?;
        let (cells, chunks): (Vec<Object>, Vec<Object>) =
            self.all(series).await?.into_iter().partition(|object| object.is_cell);
        let ranges = |objects: Vec<Object>| objects.into_iter().map(|object| object.range).collect();
        Ok(Held { chunks: ranges(chunks), cells: ranges(cells) })
    }

    async fn remove(&self, series: &Series, range: TimeRange) -> Result<()> {
        let key = key(series, Object::chunk(range));
        self.objects.delete(&key).await?;
        tracing::info!("deleted {}, whose rows lie elsewhere", self.objects.uri(&key));
        Ok(())
    }

    async fn write(&self, series: &Series, range: TimeRange, fetched: &Fetched) -> Result<Receipt> {
        if fetched.batch.is_empty() {
            return Ok(Receipt { uri: String::new(), rows: 0, bytes: 0 });
        }
        let rows = fetched.batch.len();
        let lineage = lineage(series, range, rows, &fetched.lineage);
        // A chunk is at most a few thousand rows, about a millisecond: cheaper here than on another thread.
        let body = Bytes::from(encode(&fetched.batch, &lineage, self.encoding)?);
        let (key, bytes) = (key(series, Object::chunk(range)), body.len() as u64);
        self.objects.put(&key, body).await?;
        Ok(Receipt { uri: self.objects.uri(&key), rows: rows as u64, bytes })
    }

    async fn quarantine(&self, series: &Series, range: TimeRange, bad: &Quarantined) -> Result<()> {
        let lineage = lineage(series, range, bad.len(), &[]);
        let body = Bytes::from(encode_rows(&bad.rows()?, &lineage, self.encoding)?);
        let key = format!("{QUARANTINE}{}", key(series, Object::chunk(range)));
        self.objects.put(&key, body).await?;
        tracing::warn!("{series}: {} rows kept in {}: {}", bad.len(), self.objects.uri(&key), bad.describe());
        Ok(())
    }

    fn cells(&self) -> Option<&dyn Cells> {
        (!self.write_only).then_some(self)
    }
}

#[cfg(test)]
mod tests;
