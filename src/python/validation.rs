//! Stored rows and checkpoints looked at, from Python.

use std::sync::Arc;

use pyo3::prelude::*;

use super::convert::{plain, span};
use super::repair::opened;
use super::runtime::awaitable;
use super::writer::BronzeWriter;
use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::quality::Tolerance;
use crate::series::Series;
use crate::workflows;

fn fraction(name: &str, value: f64) -> Result<f64> {
    let fine = (0.0..1.0).contains(&value);
    fine.then_some(value)
        .ok_or_else(|| Error::invalid(format!("{name} must be a fraction from 0 to 1, not {value}")))
}

/// Looks at the rows of `series` (its key) in `lake` that open in `[start, end)`; a dict, see `Validation`.
#[pyfunction]
pub(super) fn validate_rows<'py>(
    py: Python<'py>,
    lake: &Bound<'_, BronzeWriter>,
    series: &str,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (lake, series, range) = (lake.get().native(), series.parse::<Series>()?, span(start, end)?);
    let looked = async move { workflows::validate(&lake, &series, range, &SystemClock::default()).await };
    awaitable(py, looked, |py, validation| plain(py, &validation))
}

/// Compares two or more series (keys) in `lake` with the first of them; a dict, see `ValidationReport`.
#[pyfunction]
#[pyo3(signature = (lake, series, start, end, *, tolerance=0.001, volume_tolerance=None))]
#[expect(clippy::needless_pass_by_value, reason = "arguments of a Python function")]
pub(super) fn reconcile_rows<'py>(
    py: Python<'py>,
    lake: &Bound<'_, BronzeWriter>,
    series: Vec<String>,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    tolerance: f64,
    volume_tolerance: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let (lake, range) = (lake.get().native(), span(start, end)?);
    let series = series.iter().map(|key| key.parse()).collect::<Result<Vec<Series>>>()?;
    let volume = volume_tolerance.map(|value| fraction("volume_tolerance", value)).transpose()?;
    let tolerance = Tolerance { value: fraction("tolerance", tolerance)?, volume };
    let compared =
        async move { workflows::reconcile(&lake, &series, range, tolerance, &SystemClock::default()).await };
    awaitable(py, compared, |py, report| plain(py, &report))
}

/// What the checkpoint of `series` (its key) in `store` says is missing of `[start, end)`; a dict as a run's report of
/// one series.
#[pyfunction]
pub(super) fn detect_gaps<'py>(
    py: Python<'py>,
    store: &Bound<'_, PyAny>,
    series: &str,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (store, series, range) = (opened(store)?, series.parse::<Series>()?, span(start, end)?);
    let clock = Arc::new(SystemClock::default());
    let detected = async move { workflows::detect_gaps(&*store, &series, range, &*clock).await };
    awaitable(py, detected, |py, report| plain(py, &report))
}
