//! A place for reports beside the rows: objects under names of one's own, replaced when made again.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;

use super::bronze::open;
use super::encoding::{Encoding, encode_rows};
use crate::clock::Clock;
use crate::error::Result;
use crate::objects::{Objects, S3Settings};

/// Reports under a URL.
pub struct Reports {
    objects: Box<dyn Objects>,
}

impl Reports {
    /// `url`: `file:///reports`, an absolute path, or `s3://bucket/prefix`. Opens nothing yet.
    pub fn open(url: &str, settings: S3Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self { objects: open(url, settings, clock)? })
    }

    /// Writes a text; its address.
    pub async fn text(&self, key: &str, text: String) -> Result<String> {
        self.objects.put(key, Bytes::from(text)).await?;
        Ok(self.objects.uri(key))
    }

    /// Writes rows as Parquet; their address.
    pub async fn rows(&self, key: &str, rows: &RecordBatch, lineage: &[(String, String)]) -> Result<String> {
        let body = encode_rows(rows, lineage, Encoding::default())?;
        self.objects.put(key, Bytes::from(body)).await?;
        Ok(self.objects.uri(key))
    }
}
