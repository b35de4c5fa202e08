//! The bronze layer: what the source said, typed, one object per chunk, append-only.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::encoding::{Encoding, encode};
use super::naming::{self, folder, key, range};
use crate::clock::Clock;
use crate::disk;
use crate::error::{Error, Result};
use crate::objects::{Bucket, Folder, Objects, S3Settings};
use crate::ports::{DataWriter, Fetched, Receipt};
use crate::series::Series;
use crate::time_range::TimeRange;

/// One Parquet object per chunk under a URL.
pub struct BronzeWriter {
    pub(super) objects: Box<dyn Objects>,
    encoding: Encoding,
    write_only: bool,
}

impl BronzeWriter {
    /// `url`: `file:///lake/bronze`, an absolute path, or `s3://bucket/prefix`. Opens nothing yet.
    pub fn open(url: &str, settings: S3Settings, encoding: Encoding, clock: Arc<dyn Clock>) -> Result<Self> {
        let objects = open(url, settings, clock)?;
        Ok(Self { objects, encoding, write_only: false })
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
    /// Every chunk that lies in the lake, read off the names alone: its series and range.
    pub async fn chunks(&self) -> Result<Vec<(Series, TimeRange)>> {
        let keys = self.objects.list("").await?;
        Ok(keys.iter().filter_map(|key| Some((naming::series(key)?, range(key)?))).collect())
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

fn lineage(series: &Series, range: TimeRange, fetched: &Fetched) -> Vec<(String, String)> {
    let own = [
        ("series", series.to_string()),
        ("range", range.to_string()),
        ("rows", fetched.batch.len().to_string()),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    own.chain(fetched.lineage.iter().cloned()).collect()
}

#[async_trait]
impl DataWriter for BronzeWriter {
    async fn prepare(&self) -> Result<()> {
        self.objects.probe(!self.write_only).await
    }

    async fn held(&self, series: &Series) -> Result<Vec<TimeRange>> {
        if self.write_only {
            return Ok(Vec::new());
        }
        Ok(self.objects.list(&folder(series)).await?.iter().filter_map(|key| range(key)).collect())
    }

    async fn remove(&self, series: &Series, range: TimeRange) -> Result<()> {
        let key = key(series, range);
        self.objects.delete(&key).await?;
        tracing::info!("deleted {}, whose rows lie elsewhere", self.objects.uri(&key));
        Ok(())
    }

    async fn write(&self, series: &Series, range: TimeRange, fetched: &Fetched) -> Result<Receipt> {
        if fetched.batch.is_empty() {
            return Ok(Receipt { uri: String::new(), rows: 0, bytes: 0 });
        }
        // A chunk is at most a few thousand rows, about a millisecond: cheaper here than on another thread.
        let body = Bytes::from(encode(&fetched.batch, &lineage(series, range, fetched), self.encoding)?);
        let (key, bytes) = (key(series, range), body.len() as u64);
        self.objects.put(&key, body).await?;
        Ok(Receipt { uri: self.objects.uri(&key), rows: fetched.batch.len() as u64, bytes })
    }
}

#[cfg(test)]
mod tests;
