//! Rows across the border, as Arrow. Whatever speaks the Arrow `PyCapsule` interface comes in without a
//! copy (pyarrow, polars, pandas >= 2.2, `DuckDB`); so do lists of dicts or of rows, and dicts of columns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType as ArrowType, Field, SchemaRef};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PySequence, PyTuple};
use pyo3_arrow::PyRecordBatch;
use pyo3_arrow::input::AnyRecordBatch;

use super::convert::millis;
use crate::error::{Error, Result};
use crate::records::{self, TS, schema};
use crate::series::DataType;

/// Rows of one series, for ``pyarrow.record_batch(batch)`` or ``polars.DataFrame(batch)``.
///
/// Speaks the Arrow PyCapsule interface, so that nothing is copied. The first column is
/// ``ts``, the open time, ``timestamp[ms, UTC]``; the others are those of the data type.
///
/// Args:
///     data_type: such as ``ohlcv``; says which columns there are.
///     rows: Arrow data, a dict of columns, or a list of dicts or of rows in schema order.
///
/// Raises:
///     InvalidError: no such data type, or a naive time.
///     DataError: rows of another shape, a column that is absent or unknown, a null where there must be a value.
#[pyclass(frozen, module = "quant_framework._core")]
pub(super) struct Batch(pub(super) records::Batch);

#[pymethods]
impl Batch {
    /// Rows from Arrow data, lists of dicts or rows, or a dict of columns.
    #[new]
    fn new(data_type: &str, rows: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(from_python(rows, data_type.parse::<DataType>()?)?))
    }

    /// Name of the data type.
    #[getter]
    fn data_type(&self) -> &'static str {
        self.0.data_type().name()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!("Batch({}, {} rows)", self.0.data_type(), self.0.len())
    }

    /// The PyCapsules of an Arrow C schema and array; rows are not copied.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let rows = Bound::new(py, PyRecordBatch::new(self.0.rows().clone()))?;
        rows.call_method1("__arrow_c_array__", (requested_schema,))
    }

    /// The PyCapsule of the schema.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Bound::new(py, PyRecordBatch::new(self.0.rows().clone()))?.call_method0("__arrow_c_schema__")
    }
}

/// Rows of whatever an author gives; `None` is no rows.
pub(super) fn from_python(rows: &Bound<'_, PyAny>, data_type: DataType) -> PyResult<records::Batch> {
    if rows.is_none() {
        return Ok(records::Batch::empty(data_type));
    }
    if let Ok(batch) = rows.cast::<Batch>() {
        return Ok(batch.get().0.clone());
    }
    if rows.hasattr("__arrow_c_stream__")? || rows.hasattr("__arrow_c_array__")? {
        let table = rows.extract::<AnyRecordBatch>()?.into_table()?;
        let (batches, schema) = table.into_inner();
        return Ok(conform(data_type, &batches, &schema)?);
    }
    if let Ok(columns) = rows.cast::<PyDict>() {
        return from_columns(data_type, columns);
    }
    let list = rows.cast::<PyList>().map_err(|_| unknown_shape(rows))?;
    from_rows(data_type, list)
}

fn unknown_shape(rows: &Bound<'_, PyAny>) -> PyErr {
    let kind = rows.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    Error::data(format!(
        "fetch returned {kind}; return Arrow data, a DataFrame, a dict of columns, or a list of dicts or rows"
    ))
    .into()
}

/// Columns by name, cast to the schema's types; unknown columns are an error, absent optional ones are null.
fn conform(data_type: DataType, batches: &[RecordBatch], given: &SchemaRef) -> Result<records::Batch> {
    let wanted = schema(data_type);
    if let Some(extra) =
        given.fields().iter().find(|field| wanted.field_with_name(field.name()).is_err() && !is_index(field))
    {
        return Err(Error::data(format!("{data_type} has no column {:?}", extra.name())));
    }
    let mut parts = Vec::with_capacity(batches.len());
    for batch in batches {
        let columns: Result<Vec<ArrayRef>> =
            wanted.fields().iter().map(|field| column(data_type, batch, field)).collect();
        let rows = RecordBatch::try_new(Arc::clone(&wanted), columns?);
        parts.push(
            rows.map_err(|error| Error::data(format!("{data_type} rows do not fit their schema: {error}")))?,
        );
    }
    let rows = arrow_select::concat::concat_batches(&wanted, &parts);
    records::Batch::from_record_batch(data_type, &rows.map_err(|error| Error::data(error.to_string()))?)
}

/// The index that pandas adds.
fn is_index(field: &Field) -> bool {
    field.name().starts_with("__index_level_")
}

fn column(data_type: DataType, batch: &RecordBatch, field: &Field) -> Result<ArrayRef> {
    let Some(array) = batch.column_by_name(field.name()) else {
        if field.is_nullable() {
            return Ok(arrow_array::new_null_array(field.data_type(), batch.num_rows()));
        }
        return Err(Error::data(format!("{data_type} rows lack the column {:?}", field.name())));
    };
    if field.name() == TS && !matches!(array.data_type(), ArrowType::Timestamp(_, Some(_)) | ArrowType::Int64)
    {
        return Err(Error::data("ts must be a timestamp with time zone, or int64 milliseconds UTC"));
    }
    let array = if field.is_nullable() { &without_nan(Arc::clone(array)) } else { array };
    // What does not fit is an error, not a null.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    if *field.data_type() == ArrowType::Int64
        && let Some(floats) = array.as_primitive_opt::<Float64Type>()
        && let Some(part) = floats.iter().flatten().find(|value| value.fract().abs() > 0.0)
    {
        return Err(Error::data(format!("column {:?}: {part} is no whole number", field.name())));
    }
    let cast = cast_with_options(array, field.data_type(), &strict);
    let cast = cast.map_err(|error| Error::data(format!("column {:?}: {error}", field.name())))?;
    if !field.is_nullable() && cast.null_count() > 0 && field.name() == TS {
        return Err(Error::data("a row has no ts"));
    }
    Ok(if field.is_nullable() { without_nan(cast) } else { without_null(cast) })
}

/// What a row must have and lacks is NaN: such a row cannot be true, and the others can.
fn without_null(array: ArrayRef) -> ArrayRef {
    match array.as_primitive_opt::<Float64Type>() {
        Some(values) if values.null_count() > 0 => {
            Arc::new(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Float64Array>())
        }
        _ => array,
    }
}

/// NaN is how much of Python says that a value is missing.
fn without_nan(array: ArrayRef) -> ArrayRef {
    let Some(values) = array.as_primitive_opt::<Float64Type>() else { return array };
    if !values.values().iter().any(|value| value.is_nan()) {
        return array;
    }
    Arc::new(values.iter().map(|value| value.filter(|value| !value.is_nan())).collect::<Float64Array>())
}

/// A time as milliseconds: an aware datetime, or an integer that already is one.
fn time(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    value.extract::<i64>().or_else(|_| millis(value, TS))
}

/// `Data` for a column that `data_type` has not: most likely a misspelt one.
fn known(data_type: DataType, columns: &Bound<'_, PyDict>) -> PyResult<()> {
    let wanted = schema(data_type);
    for name in columns.keys() {
        let is_known = name.extract::<String>().is_ok_and(|name| wanted.field_with_name(&name).is_ok());
        if !is_known {
            return Err(Error::data(format!("{data_type} has no column {}", name.repr()?)).into());
        }
    }
    Ok(())
}

fn from_columns(data_type: DataType, columns: &Bound<'_, PyDict>) -> PyResult<records::Batch> {
    known(data_type, columns)?;
    let get = |name: &str| -> PyResult<Option<Vec<Bound<'_, PyAny>>>> {
        columns.get_item(name)?.map(|values| values.try_iter()?.collect()).transpose()
    };
    build(data_type, |name| get(name))
}

fn from_rows(data_type: DataType, rows: &Bound<'_, PyList>) -> PyResult<records::Batch> {
    let wanted = schema(data_type);
    for row in rows.iter() {
        if let Ok(row) = row.cast::<PyDict>() {
            known(data_type, row)?;
        }
    }
    let position = |name: &str| wanted.index_of(name).unwrap_or_default();
    build(data_type, |name| {
        let none = rows.py().None().into_bound(rows.py());
        let values =
            rows.iter().map(|row| Ok(cell(&row, name, position(name))?.unwrap_or_else(|| none.clone())));
        values.collect::<PyResult<Vec<_>>>().map(Some)
    })
}

/// The value of one column in a row that is a dict, or a list in schema order.
fn cell<'py>(row: &Bound<'py, PyAny>, name: &str, position: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(row) = row.cast::<PyDict>() {
        return row.get_item(name);
    }
    if row.is_instance_of::<PyList>() || row.is_instance_of::<PyTuple>() {
        let row = row.cast::<PySequence>()?;
        return if position < row.len()? { row.get_item(position).map(Some) } else { Ok(None) };
    }
    Err(Error::data("each row must be a dict, a list or a tuple").into())
}

/// A batch from one list of Python values per column.
fn build<'py>(
    data_type: DataType,
    values: impl Fn(&str) -> PyResult<Option<Vec<Bound<'py, PyAny>>>>,
) -> PyResult<records::Batch> {
    let wanted = schema(data_type);
    let lack = |name: &str| Error::data(format!("{data_type} rows lack the column {name:?}"));
    let ts = values(TS)?.ok_or_else(|| lack(TS))?;
    let ts = ts.iter().map(time).collect::<PyResult<Vec<i64>>>()?;
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in wanted.fields().iter().skip(1) {
        let held = values(field.name())?;
        let array: ArrayRef = match (held, field.data_type()) {
            (None, kind) => arrow_array::new_null_array(kind, ts.len()),
            (Some(held), ArrowType::Int64) => Arc::new(Int64Array::from(
                held.iter().map(PyAnyMethods::extract).collect::<PyResult<Vec<Option<i64>>>>()?,
            )),
            (Some(held), _) => Arc::new(Float64Array::from(
                held.iter().map(PyAnyMethods::extract).collect::<PyResult<Vec<Option<f64>>>>()?,
            )),
        };
        if !array.is_empty() && array.null_count() == array.len() && !field.is_nullable() {
            return Err(lack(field.name()).into());
        }
        columns.push(if field.is_nullable() { without_nan(array) } else { without_null(array) });
    }
    Ok(records::Batch::new(data_type, ts, columns)?)
}
