//! Rows of one series, in the schema of their data type.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMillisecondArray};
use arrow_schema::DataType as ArrowType;

use super::schema;
use crate::error::{Error, Result};
use crate::series::DataType;
use crate::time_range::{Millis, TimeRange};

/// Rows in the schema of `data_type`. Order and range are the caller's to check
/// (see `quality::check`); this type only promises the columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    data_type: DataType,
    rows: RecordBatch,
}

impl Batch {
    /// From `ts` (milliseconds UTC) and the other columns in schema order.
    pub fn new(data_type: DataType, ts: Vec<Millis>, values: Vec<ArrayRef>) -> Result<Self> {
        let ts: ArrayRef = Arc::new(TimestampMillisecondArray::from(ts).with_timezone("UTC"));
        let columns = std::iter::once(ts).chain(values).collect();
        let rows = RecordBatch::try_new(schema(data_type), columns);
        let rows =
            rows.map_err(|error| Error::data(format!("{data_type} rows do not fit their schema: {error}")))?;
        Ok(Self { data_type, rows })
    }

    /// No rows.
    pub fn empty(data_type: DataType) -> Self {
        Self { data_type, rows: RecordBatch::new_empty(schema(data_type)) }
    }

    /// From a record batch that has exactly the schema's columns (see [`schema`]).
    pub fn from_record_batch(data_type: DataType, rows: &RecordBatch) -> Result<Self> {
        let rows = rows.clone().with_schema(schema(data_type));
        let rows =
            rows.map_err(|error| Error::data(format!("{data_type} rows do not fit their schema: {error}")))?;
        Ok(Self { data_type, rows })
    }

    /// Which schema the rows have.
    pub const fn data_type(&self) -> DataType {
        self.data_type
    }

    /// The rows as Arrow.
    pub const fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// Several as one, in their order; no copy of a single one.
    pub fn joined(data_type: DataType, parts: &[Self]) -> Result<Self> {
        if let [one] = parts {
            return Ok(one.clone());
        }
        let rows = arrow_select::concat::concat_batches(&schema(data_type), parts.iter().map(Self::rows));
        Self::from_record_batch(data_type, &rows.map_err(|error| Error::data(error.to_string()))?)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Open time of each row, milliseconds UTC.
    pub fn ts(&self) -> &[Millis] {
        self.rows.column(0).as_primitive::<TimestampMillisecondType>().values()
    }

    /// The rows that `mask` says, in their order.
    pub fn keep(&self, mask: &BooleanArray) -> Result<Self> {
        let rows = arrow_select::filter::filter_record_batch(&self.rows, mask);
        let rows = rows.map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self { data_type: self.data_type, rows })
    }

    /// The rows whose open time is `wanted`, in their order, whatever that is.
    pub fn select(&self, wanted: impl Fn(Millis) -> bool) -> Result<Self> {
        self.keep(&self.ts().iter().map(|at| Some(wanted(*at))).collect())
    }

    /// `len` rows from `from` on. No copy.
    #[must_use]
    pub fn slice(&self, from: usize, len: usize) -> Self {
        Self { data_type: self.data_type, rows: self.rows.slice(from, len) }
    }

    /// The rows whose `ts` lies in `range`; rows must be in time order. No copy.
    #[must_use]
    pub fn within(&self, range: TimeRange) -> Self {
        let from = self.ts().partition_point(|at| *at < range.start());
        let to = self.ts().partition_point(|at| *at < range.end());
        Self { data_type: self.data_type, rows: self.rows.slice(from, to - from) }
    }
}

/// Whether two rows of one schema hold the same, bit by bit.
pub fn same_row(left: &RecordBatch, row: usize, right: &RecordBatch, other: usize) -> bool {
    left.columns().iter().zip(right.columns()).all(|(left, right)| {
        if left.is_null(row) || right.is_null(other) {
            return left.is_null(row) == right.is_null(other);
        }
        match left.data_type() {
            ArrowType::Float64 => {
                let value =
                    |array: &dyn Array, row: usize| array.as_primitive::<Float64Type>().value(row).to_bits();
                value(left, row) == value(right, other)
            }
            ArrowType::Int64 => {
                left.as_primitive::<Int64Type>().value(row) == right.as_primitive::<Int64Type>().value(other)
            }
            _ => left.slice(row, 1).as_ref() == right.slice(other, 1).as_ref(),
        }
    })
}
