//! Batches as Parquet: delta-packed integers and byte-stream-split floats, so that a cheap codec does well.
//! Equal rows and lineage give equal bytes. Every object names the format it is in: older is read, newer is refused.

use std::str::FromStr;

use arrow_array::RecordBatch;
use arrow_schema::{DataType as ArrowType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding as Pages, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::records::Batch;

/// How the names of lineage begin in an object's key-value metadata.
const OURS: &str = "quant_framework.";
/// What this version writes; objects of before there were formats name none.
const FORMAT: u32 = 1;
/// The name under which an object tells its format.
const FORMAT_NAME: &str = "quant_framework.format";
/// The name of the lineage that counts rows.
const ROWS: &str = "quant_framework.rows";
/// Rows that are read in one piece.
const MOST: usize = 1 << 20;

/// What pages are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Zstandard of this level (1 to 22).
    Zstd(i32),
    /// LZ4 in raw frames.
    Lz4,
    /// Snappy.
    Snappy,
    /// Nothing.
    Uncompressed,
}

/// How batches are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// What pages are compressed with.
    pub codec: Codec,
}

impl Default for Encoding {
    /// Measured on recorded candles: docs/decisions/0005.
    fn default() -> Self {
        Self { codec: Codec::Lz4 }
    }
}

impl FromStr for Encoding {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let codec = match text {
            "lz4" => Codec::Lz4,
            "snappy" => Codec::Snappy,
            "none" => Codec::Uncompressed,
            "zstd" => Codec::Zstd(1),
            other => {
                let level = other.strip_prefix("zstd").and_then(|level| level.parse().ok());
                let level = level.filter(|level| (1..=22).contains(level));
                Codec::Zstd(level.ok_or_else(|| {
                    Error::invalid(format!(
                        "unknown compression {text:?}; use lz4, zstd, zstd1 to zstd22, snappy or none"
                    ))
                })?)
            }
        };
        Ok(Self { codec })
    }
}

fn compression(codec: Codec) -> Result<Compression> {
    Ok(match codec {
        Codec::Zstd(level) => {
            Compression::ZSTD(ZstdLevel::try_new(level).map_err(|error| Error::invalid(error.to_string()))?)
        }
        Codec::Lz4 => Compression::LZ4_RAW,
        Codec::Snappy => Compression::SNAPPY,
        Codec::Uncompressed => Compression::UNCOMPRESSED,
    })
}

fn properties(
    schema: &SchemaRef,
    lineage: &[(String, String)],
    encoding: Encoding,
) -> Result<WriterProperties> {
    let lineage = lineage.iter().map(|(key, value)| KeyValue::new(format!("{OURS}{key}"), value.clone()));
    let metadata = lineage.chain([KeyValue::new(FORMAT_NAME.to_owned(), FORMAT.to_string())]);
    let mut builder = WriterProperties::builder()
        .set_compression(compression(encoding.codec)?)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("quant_framework {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(metadata.collect()));
    for field in schema.fields() {
        let pages = match field.data_type() {
            ArrowType::Float64 => Pages::BYTE_STREAM_SPLIT,
            ArrowType::Utf8 => Pages::DELTA_BYTE_ARRAY,
            _ => Pages::DELTA_BINARY_PACKED,
        };
        builder = builder.set_column_encoding(ColumnPath::from(field.name().as_str()), pages);
    }
    Ok(builder.build())
}

/// `batch` as one Parquet object with `lineage` as key-value metadata under `quant_framework.*`.
pub fn encode(batch: &Batch, lineage: &[(String, String)], encoding: Encoding) -> Result<Vec<u8>> {
    encode_rows(batch.rows(), lineage, encoding)
}

/// As [`encode`], of rows in a schema of their own.
pub(super) fn encode_rows(
    rows: &RecordBatch,
    lineage: &[(String, String)],
    encoding: Encoding,
) -> Result<Vec<u8>> {
    let failed =
        |error: parquet::errors::ParquetError| Error::internal(format!("cannot encode Parquet: {error}"));
    let schema = rows.schema();
    let properties = properties(&schema, lineage, encoding)?;
    let room = rows.get_array_memory_size() / 2 + 4096;
    let mut writer =
        ArrowWriter::try_new(Vec::with_capacity(room), schema, Some(properties)).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

/// The rows of a Parquet object. `Invalid` where a newer version wrote it.
pub fn decode(bytes: Bytes) -> Result<Vec<RecordBatch>> {
    decode_with_rows(bytes).map(|(batches, _)| batches)
}

/// The rows of a Parquet object, and how many its lineage says there are.
pub(super) fn decode_with_rows(bytes: Bytes) -> Result<(Vec<RecordBatch>, Option<u64>)> {
    let failed = |error: String| Error::data(format!("not a readable Parquet object: {error}"));
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| failed(error.to_string()))?;
    let file = builder.metadata().file_metadata();
    let rows = usize::try_from(file.num_rows()).unwrap_or_default();
    let pairs = file.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let number = |name: &str| -> Option<u64> {
        pairs.iter().find(|pair| pair.key == name).and_then(|pair| pair.value.as_ref()?.parse().ok())
    };
    if let Some(newer) = number(FORMAT_NAME).filter(|format| *format > u64::from(FORMAT)) {
        let message = format!("the object has format {newer}, this version reads up to {FORMAT}");
        return Err(Error::invalid(message).with_hint("upgrade quant-framework; it was left as it is"));
    }
    let said = number(ROWS);
    // In one piece where it is no giant: joining pieces is a copy.
    let reader =
        builder.with_batch_size(rows.clamp(1, MOST)).build().map_err(|error| failed(error.to_string()))?;
    let batches = reader.collect::<std::result::Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    Ok((batches, said))
}

/// What an object's lineage says of `name`; `None` where it says nothing or cannot be read.
pub(super) fn lineage(bytes: &Bytes, name: &str) -> Option<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).ok()?;
    let held = reader.metadata().file_metadata().key_value_metadata()?;
    held.iter().find(|held| held.key.strip_prefix(OURS) == Some(name))?.value.clone()
}
