//! Times and plain values across the border: aware `datetime` outside, milliseconds UTC inside.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pyo3::prelude::*;
use pyo3::types::{PyDateTime, PyList, PyTzInfo};
use serde::Serialize;

use crate::error::Error;
use crate::objects::S3Settings;
use crate::secret::Secret;
use crate::time_range::{Millis, TimeRange};

/// Milliseconds of an aware `datetime`; a naive one is `Invalid`.
pub(super) fn millis(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Millis> {
    let wrong = |what: String| Error::invalid(format!("{name} must be an aware datetime, not {what}"));
    let Ok(time) = value.cast::<PyDateTime>() else {
        let kind = value.get_type().name()?.to_string();
        return Err(wrong(kind).into());
    };
    if time.call_method0("utcoffset")?.is_none() {
        let naive = wrong(format!("the naive {}", time.str()?));
        return Err(naive.with_hint("add tzinfo=datetime.timezone.utc").into());
    }
    let utc = time.call_method1("astimezone", (PyTzInfo::utc(value.py())?,))?;
    Ok(utc.extract::<DateTime<Utc>>()?.timestamp_millis())
}

/// An aware `datetime` in UTC.
pub(super) fn datetime(at: Millis) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at).unwrap_or_default()
}

/// A pair of aware datetimes, `[start, end)`.
pub(super) fn range(value: &Bound<'_, PyAny>) -> PyResult<TimeRange> {
    let (start, end): (Bound<'_, PyAny>, Bound<'_, PyAny>) = value.extract()?;
    span(&start, &end)
}

/// `[start, end)` of two aware datetimes.
pub(super) fn span(start: &Bound<'_, PyAny>, end: &Bound<'_, PyAny>) -> PyResult<TimeRange> {
    Ok(TimeRange::new(millis(start, "start")?, millis(end, "end")?)?)
}

/// Pairs of aware datetimes.
pub(super) fn ranges(value: Option<&Bound<'_, PyList>>) -> PyResult<Vec<TimeRange>> {
    value.map_or(Ok(Vec::new()), |list| list.iter().map(|pair| range(&pair)).collect())
}

/// The keyword arguments that say where an S3 server is and who asks.
pub(super) fn s3_settings(
    endpoint: Option<String>,
    access_key: Option<String>,
    secret_key: Option<String>,
    session_token: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    ca_file: Option<PathBuf>,
) -> S3Settings {
    let [access_key, secret_key, session_token] =
        [access_key, secret_key, session_token].map(|text| text.map(Secret::new));
    S3Settings { endpoint, region, access_key, secret_key, session_token, path_style, ca_file }
}

/// A duration in seconds; `Invalid` where it is negative or no number.
pub(super) fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    let duration = Duration::try_from_secs_f64(value);
    Ok(duration.map_err(|_| Error::invalid(format!("{name} must be at least 0 seconds")))?)
}

/// Pairs of aware datetimes, for Python.
pub(super) fn pairs(ranges: &[TimeRange]) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    ranges.iter().map(|range| (datetime(range.start()), datetime(range.end()))).collect()
}

/// A report as dicts, lists and numbers.
pub(super) fn plain<T: Serialize>(py: Python<'_>, value: &T) -> PyResult<Py<PyAny>> {
    Ok(pythonize::pythonize(py, value)?.unbind())
}
