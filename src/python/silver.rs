//! The silver writer as a Python class.

use std::sync::Arc;

use pyo3::prelude::*;

use super::convert::{plain, s3_settings, span};
use super::runtime::awaitable;
use super::writer::BronzeWriter;
use crate::clock::SystemClock;
use crate::error::Error;
use crate::lake::{self, Encoding};
use crate::series::Series;

/// One sorted Parquet object per series and period under ``url``, made of what ``bronze`` holds.
///
/// See ``quant_framework.ingestion.writers.SilverWriter``, which reads the environment.
///
/// Args:
///     url: ``file:///lake/silver``, an absolute path, or ``s3://bucket/prefix``.
///     bronze: the lake that it is made of.
///     endpoint_url: an S3 server other than AWS.
///     access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
///     secret_key: see ``access_key``.
///     session_token: beside temporary keys.
///     region: by default ``us-east-1``.
///     path_style: the bucket in the path, not in the host name; by default with an endpoint.
///     ca_file: PEM file of certificates to trust beside the system's.
///     compression: ``lz4``, ``zstd``, ``zstd1`` to ``zstd22``, ``snappy`` or ``none``; by default ``lz4``.
///
/// Raises:
///     InvalidError: a URL or a compression that is none.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct SilverWriter {
    writer: Arc<lake::SilverWriter>,
    url: String,
}

#[pymethods]
impl SilverWriter {
    #[new]
    #[pyo3(signature = (url, bronze, *, endpoint_url=None, access_key=None, secret_key=None, session_token=None, region=None, path_style=None, ca_file=None, compression=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        url: &str,
        bronze: &Bound<'_, BronzeWriter>,
        endpoint_url: Option<String>,
        access_key: Option<String>,
        secret_key: Option<String>,
        session_token: Option<String>,
        region: Option<String>,
        path_style: Option<bool>,
        ca_file: Option<std::path::PathBuf>,
        compression: Option<&str>,
    ) -> PyResult<Self> {
        let settings =
            s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file);
        let encoding = compression.map(str::parse::<Encoding>).transpose()?.unwrap_or_default();
        let (bronze, clock) = (bronze.get().native(), Arc::new(SystemClock::default()));
        let writer = lake::SilverWriter::open(url, settings, encoding, bronze, clock)?;
        Ok(Self { writer: Arc::new(writer), url: url.to_owned() })
    }

    /// Where the lake lies.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    fn __repr__(&self) -> String {
        format!("SilverWriter({:?})", self.url)
    }

    /// The address of the folder that holds the rows of ``series`` (its key).
    fn address(&self, series: &str) -> PyResult<String> {
        Ok(self.writer.address(&series.parse()?))
    }

    /// Make the periods of ``series`` (its key) that ``[start, end)`` touches, all where neither is given.
    ///
    /// Raises:
    ///     InvalidError: half a range, or no such key.
    ///     DataError: an object of bronze that cannot be read.
    ///     UnavailableError: a server or a disk did not answer as it should.
    #[pyo3(signature = (series, start=None, end=None))]
    fn compact<'py>(
        &self,
        py: Python<'py>,
        series: &str,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (writer, series) = (Arc::clone(&self.writer), series.parse::<Series>()?);
        let range = match (start, end) {
            (None, None) => None,
            (Some(start), Some(end)) => Some(span(start, end)?),
            _ => return Err(Error::invalid("start and end belong together; pass both, or none").into()),
        };
        awaitable(py, async move { writer.compact(&series, range).await }, |py, done| plain(py, &done))
    }
}
