//! Rows that cannot be true, kept apart with the reason.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType as ArrowType, Field, Schema};

use super::Batch;
use crate::error::{Error, Result};
use crate::series::DataType;
use crate::time_range::iso;

/// Why a row cannot be true. The names are stored beside quarantined rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No bar opens at its time.
    Grid,
    /// Another row of the same bar says something else.
    Conflict,
    /// Its prices or its volume contradict each other.
    Values,
}

impl Reason {
    /// As stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Conflict => "conflicting",
            Self::Values => "values",
        }
    }
}

/// Rows that cannot be true, in time order.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// The rows as the source gave them.
    pub batch: Batch,
    /// Of each row.
    pub reasons: Vec<Reason>,
}

impl Quarantined {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.reasons.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The rows with a last column `reason`.
    pub fn rows(&self) -> Result<RecordBatch> {
        let rows = self.batch.rows();
        let reason = Arc::new(Field::new("reason", ArrowType::Utf8, false));
        let fields = rows.schema().fields().iter().cloned().chain([reason]).collect::<Vec<_>>();
        let names: ArrayRef =
            Arc::new(StringArray::from_iter_values(self.reasons.iter().map(|it| it.name())));
        let columns = rows.columns().iter().cloned().chain([names]).collect();
        let labelled = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        labelled.map_err(|error| Error::internal(error.to_string()))
    }

    /// The first row and why, for people; one line.
    pub fn describe(&self) -> String {
        let (Some(reason), Some(at)) = (self.reasons.first(), self.batch.ts().first()) else {
            return String::new();
        };
        let at = iso(*at);
        match reason {
            Reason::Grid => format!("no bar opens at {at}"),
            Reason::Conflict => format!("there are two different rows of {at}"),
            Reason::Values => format!("the bar of {at} says {}", self.values()),
        }
    }

    /// The numbers of the first row.
    fn values(&self) -> String {
        let count = if self.batch.data_type() == DataType::Ohlcv { 5 } else { 1 };
        let rows = self.batch.rows();
        let number = |column: usize| {
            let value = rows.column(column).as_primitive_opt::<Float64Type>().map(|values| values.value(0));
            format!("{} {}", rows.schema().field(column).name(), value.unwrap_or(f64::NAN))
        };
        (1..=count).map(number).collect::<Vec<_>>().join(", ")
    }
}
