//! Stored rows and checkpoints looked at, from Python.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;

use super::batch::from_python;
use super::convert::{plain, s3_settings, span};
use super::repair::opened;
use super::runtime::awaitable;
use super::writer::BronzeWriter;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::lake::Reports;
use crate::quality::checks::{RULES, restated};
use crate::quality::{CHECKS_VERSION, Checker, Selection, Stored, Thresholds, Tolerance};
use crate::series::Series;
use crate::timeframe::Timeframe;
use crate::workflows::{self, Look, Wanted};

fn fraction(name: &str, value: f64) -> Result<f64> {
    let fine = (0.0..1.0).contains(&value);
    fine.then_some(value).ok_or_else(|| {
        Error::invalid(format!("{name} must be a fraction of at least 0 and below 1, not {value}"))
    })
}

/// What is looked for: thresholds by name, and ids or codes of checks.
fn wanted(thresholds: Option<BTreeMap<String, f64>>, checks: Option<Vec<String>>) -> Result<Wanted> {
    let (thresholds, checks) = (thresholds.unwrap_or_default(), checks.unwrap_or_default());
    let values = thresholds.iter().map(|(name, value)| (name.as_str(), *value));
    Ok(Wanted {
        thresholds: Thresholds::of(values)?,
        selection: Selection::of(checks.iter().map(String::as_str))?,
    })
}

/// Check names and values of thresholds, and names of checks.
///
/// Raises:
///     InvalidError: there is no such threshold or check, or a threshold cannot be so.
#[pyfunction]
#[pyo3(signature = (thresholds=None, checks=None))]
pub(super) fn check_wanted(
    thresholds: Option<BTreeMap<String, f64>>,
    checks: Option<Vec<String>>,
) -> PyResult<()> {
    Ok(wanted(thresholds, checks).map(|_| ())?)
}

fn look(lake: &Bound<'_, BronzeWriter>, store: Option<&Bound<'_, PyAny>>, wanted: Wanted) -> PyResult<Look> {
    let store = store.map(opened).transpose()?;
    Ok(Look { lake: lake.get().native(), store, clock: Arc::new(SystemClock::default()), wanted })
}

/// A place for reports of comparisons under ``url``; see ``quant_framework.ingestion.writers.ReportWriter``.
///
/// Args:
///     url: ``file:///lake/reports``, an absolute path, or ``s3://bucket/prefix``.
///     endpoint_url: an S3 server other than AWS.
///     access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
///     secret_key: see ``access_key``.
///     session_token: beside temporary keys.
///     region: by default ``us-east-1``.
///     path_style: the bucket in the path, not in the host name; by default with an endpoint.
///     ca_file: PEM file of certificates to trust beside the system's.
///
/// Raises:
///     InvalidError: a URL that is none of these.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct ReportWriter {
    reports: Arc<Reports>,
    url: String,
}

#[pymethods]
impl ReportWriter {
    #[new]
    #[pyo3(signature = (url, *, endpoint_url=None, access_key=None, secret_key=None, session_token=None, region=None, path_style=None, ca_file=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        url: &str,
        endpoint_url: Option<String>,
        access_key: Option<String>,
        secret_key: Option<String>,
        session_token: Option<String>,
        region: Option<String>,
        path_style: Option<bool>,
        ca_file: Option<std::path::PathBuf>,
    ) -> PyResult<Self> {
        let settings =
            s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file);
        let reports = Reports::open(url, settings, Arc::new(SystemClock::default()))?;
        Ok(Self { reports: Arc::new(reports), url: url.to_owned() })
    }

    /// Where the reports lie.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    fn __repr__(&self) -> String {
        format!("ReportWriter({:?})", self.url)
    }
}

/// Look at the rows of a series in ``lake``; see ``quant_framework.orchestration.tasks.validate_rows``.
#[pyfunction]
#[pyo3(signature = (lake, series, start, end, *, thresholds=None, checks=None, checkpoint_store=None, roll_up=None, is_expected=false))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python function")]
pub(super) fn validate_rows<'py>(
    py: Python<'py>,
    lake: &Bound<'_, BronzeWriter>,
    series: &str,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    thresholds: Option<BTreeMap<String, f64>>,
    checks: Option<Vec<String>>,
    checkpoint_store: Option<&Bound<'_, PyAny>>,
    roll_up: Option<&str>,
    is_expected: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let look = look(lake, checkpoint_store, wanted(thresholds, checks)?)?;
    let (series, range) = (series.parse::<Series>()?, span(start, end)?);
    let roll_up = roll_up.map(str::parse::<Timeframe>).transpose()?;
    let looked = async move {
        if is_expected {
            workflows::expect_rows(&look, &series).await?;
        }
        workflows::validate(&look, &series, range, roll_up).await
    };
    awaitable(py, looked, |py, validation| plain(py, &validation))
}

/// Look at rows that are at hand as if they were stored; see ``quant_framework.orchestration.tasks.check_rows``.
#[pyfunction]
#[pyo3(signature = (rows, series, start, end, *, thresholds=None, checks=None))]
pub(super) fn check_rows(
    py: Python<'_>,
    rows: &Bound<'_, PyAny>,
    series: &str,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    thresholds: Option<BTreeMap<String, f64>>,
    checks: Option<Vec<String>>,
) -> PyResult<Py<PyAny>> {
    let (wanted, series, range) = (wanted(thresholds, checks)?, series.parse::<Series>()?, span(start, end)?);
    let rows = from_python(rows, series.data_type)?;
    let now = SystemClock::default().now();
    let validation = py.detach(|| {
        let mut checker = Checker::new(&series, range, now, wanted.thresholds, wanted.selection, None);
        let ordered = checker.stored(&Stored { range, is_cell: false, rows, said: None })?;
        checker.look(&ordered);
        Ok::<_, Error>(checker.finish())
    })?;
    plain(py, &validation)
}

/// Version of the checks; every check as id, code, severity, text; and every threshold with its default.
#[pyfunction]
pub(super) fn known_checks(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let checks: Vec<_> = RULES.iter().map(|rule| (rule.id, rule.code, rule.severity, rule.text)).collect();
    plain(py, &(CHECKS_VERSION, checks, Thresholds::default().named()))
}

/// Compare ``newer`` rows of one series (its key) with ``older`` ones.
#[pyfunction]
pub(super) fn restated_rows(
    py: Python<'_>,
    series: &str,
    older: &Bound<'_, PyAny>,
    newer: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let data_type = series.parse::<Series>()?.data_type;
    let (older, newer) = (from_python(older, data_type)?, from_python(newer, data_type)?);
    plain(py, &restated(&older, &newer)?)
}

/// Compare two or more series in ``lake`` with the first.
///
/// See ``quant_framework.orchestration.workflows.ValidationWorkflow``.
#[pyfunction]
#[pyo3(signature = (lake, series, start, end, *, tolerance=0.001, volume_tolerance=None, thresholds=None, checks=None, checkpoint_store=None, reports=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python function")]
#[expect(clippy::needless_pass_by_value, reason = "arguments of a Python function")]
pub(super) fn reconcile_rows<'py>(
    py: Python<'py>,
    lake: &Bound<'_, BronzeWriter>,
    series: Vec<String>,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    tolerance: f64,
    volume_tolerance: Option<f64>,
    thresholds: Option<BTreeMap<String, f64>>,
    checks: Option<Vec<String>>,
    checkpoint_store: Option<&Bound<'_, PyAny>>,
    reports: Option<&Bound<'_, ReportWriter>>,
) -> PyResult<Bound<'py, PyAny>> {
    let look = look(lake, checkpoint_store, wanted(thresholds, checks)?)?;
    let range = span(start, end)?;
    let series = series.iter().map(|key| key.parse()).collect::<Result<Vec<Series>>>()?;
    let volume = volume_tolerance.map(|value| fraction("volume_tolerance", value)).transpose()?;
    let tolerance = Tolerance { value: fraction("tolerance", tolerance)?, volume };
    let reports = reports.map(|reports| Arc::clone(&reports.get().reports));
    let compared =
        async move { workflows::reconcile(&look, &series, range, tolerance, reports.as_deref()).await };
    awaitable(py, compared, |py, report| plain(py, &report))
}

/// What the checkpoint of ``series`` (its key) in ``store`` says is missing of ``[start, end)``.
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
