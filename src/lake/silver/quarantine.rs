//! Rows that may not go on to silver: their columns, and why.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, Int32Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType as ArrowType, Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::quality::{CHECKS_VERSION, Check};
use crate::records::{self, Batch};
use crate::series::DataType;

/// The columns of a row, and `reason` (id of the check that it failed) and `checks_version`.
pub(super) fn schema(data_type: DataType) -> SchemaRef {
    let own =
        [Field::new("reason", ArrowType::Utf8, false), Field::new("checks_version", ArrowType::Int32, false)];
    let columns = records::schema(data_type);
    let fields = columns.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(fields.chain(own).collect::<Vec<_>>()))
}

/// The rejected rows of `ordered` and strays, in time order; `None` where there is none.
pub(super) fn rejected(
    ordered: &Batch,
    rejected: &[(usize, Check)],
    strays: Vec<Batch>,
) -> Result<Option<RecordBatch>> {
    let data_type = ordered.data_type();
    let failed = |error: arrow_schema::ArrowError| Error::internal(error.to_string());
    let rows: UInt32Array = rejected.iter().map(|(row, _)| Some(*row as u32)).collect();
    let mut parts = vec![arrow_select::take::take_record_batch(ordered.rows(), &rows).map_err(failed)?];
    let mut reasons: Vec<Check> = rejected.iter().map(|(_, check)| *check).collect();
    for stray in strays {
        reasons.extend(std::iter::repeat_n(Check::Outside, stray.len()));
        parts.push(stray.rows().clone());
    }
    if reasons.is_empty() {
        return Ok(None);
    }
    let rows = arrow_select::concat::concat_batches(&records::schema(data_type), &parts).map_err(failed)?;
    let mut texts = StringBuilder::new();
    for check in &reasons {
        texts.append_value(check.rule().id);
    }
    let versions = Int32Array::from(vec![CHECKS_VERSION as i32; reasons.len()]);
    let own: [ArrayRef; 2] = [Arc::new(texts.finish()), Arc::new(versions)];
    let columns = rows.columns().iter().cloned().chain(own).collect();
    let rows = RecordBatch::try_new(schema(data_type), columns).map_err(failed)?;
    let ts = rows.column(0).as_primitive::<TimestampMillisecondType>().values();
    let mut order: Vec<u32> = (0..ts.len() as u32).collect();
    order.sort_by_key(|row| ts[*row as usize]);
    arrow_select::take::take_record_batch(&rows, &UInt32Array::from(order)).map(Some).map_err(failed)
}
