//! A comparison written down: its bars as Parquet, its numbers as JSON, and a page to read. Names come from what was
//! compared, so that the same comparison replaces its report.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType as ArrowType, Field, Schema, TimeUnit};
use chrono::DateTime;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::page;
use super::{Drawn, ValidationReport};
use crate::error::{Error, Result};
use crate::lake::Reports;
use crate::series::{Series, encode_segment};
use crate::time_range::Millis;

/// Where the parts of a report lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// The page.
    pub html: String,
    /// The numbers.
    pub json: String,
    /// The bars that differ: `ts, left_series, right_series, kind, left, right`.
    pub parquet: String,
}

/// Writes all of it.
pub(super) async fn write(
    reports: &Reports,
    report: &ValidationReport,
    drawn: &Drawn,
    first: &Series,
) -> Result<Addresses> {
    let name = name(report, drawn, first);
    let lineage = [("start".to_owned(), report.start.clone()), ("end".to_owned(), report.end.clone())];
    let json =
        serde_json::to_string_pretty(report).map_err(|error| Error::internal(error.to_string()))? + "\n";
    Ok(Addresses {
        parquet: reports.rows(&format!("{name}.parquet"), &rows(report, drawn)?, &lineage).await?,
        json: reports.text(&format!("{name}.json"), json).await?,
        html: reports.text(&format!("{name}.html"), page::page(report, drawn)).await?,
    })
}

/// `BTCUSDT_PERP.A/ohlcv-1m-20260105T000000Z-20260119T000000Z-1a2b3c4d`.
fn name(report: &ValidationReport, drawn: &Drawn, first: &Series) -> String {
    let stamp = |at: Millis| DateTime::from_timestamp_millis(at).unwrap_or_default().format("%Y%m%dT%H%M%SZ");
    let keys: Vec<&str> = report.series.iter().map(|one| one.series.as_str()).collect();
    let said = format!("{keys:?} {} {:?} {}", report.tolerance, report.volume_tolerance, drawn.range);
    let hash = Sha256::digest(said);
    let hash = format!("{:08x}", u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    let (start, end) = (stamp(drawn.range.start()), stamp(drawn.range.end()));
    let folder = encode_segment(&first.symbol);
    format!("{folder}/{}-{}-{start}-{end}-{hash}", first.data_type, first.timeframe)
}

/// The bars that differ, pair by pair.
fn rows(report: &ValidationReport, drawn: &Drawn) -> Result<RecordBatch> {
    let (mut ts, mut left, mut right) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lefts, mut rights, mut kinds) =
        (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    for (pair, details) in report.pairs.iter().zip(&drawn.details) {
        for bar in &details.listed {
            ts.push(bar.at);
            lefts.append_value(&pair.left);
            rights.append_value(&pair.right);
            kinds.append_value(bar.kind.name());
            left.push(bar.left);
            right.push(bar.right);
        }
    }
    let time = ArrowType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let text = |name: &str| Field::new(name, ArrowType::Utf8, false);
    let value = |name: &str| Field::new(name, ArrowType::Float64, true);
    let fields = vec![
        Field::new("ts", time, false),
        text("left_series"),
        text("right_series"),
        text("kind"),
        value("left"),
        value("right"),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from(ts).with_timezone("UTC")),
        Arc::new(lefts.finish()),
        Arc::new(rights.finish()),
        Arc::new(kinds.finish()),
        Arc::new(Float64Array::from(left)),
        Arc::new(Float64Array::from(right)),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| Error::internal(error.to_string()))
}
