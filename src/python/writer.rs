//! The bronze writer as a Python class.

use std::sync::Arc;

use pyo3::prelude::*;

use super::batch::{Batch, from_python};
use super::convert::{datetime, plain, range, s3_settings, span};
use super::foreign::{EventLoop, Foreign, ForeignWriter};
use super::policy::overrides;
use super::runtime::{awaitable, enter};
use super::store::Checkpoint;
use crate::clock::SystemClock;
use crate::lake::{self, Encoding};
use crate::ports::{DataAdapter, DataWriter, Fetched};
use crate::series::Series;

/// One typed, compressed Parquet object per chunk under ``url``.
///
/// See ``quant_framework.ingestion.writers.BronzeWriter``, which reads the environment.
///
/// Args:
///     url: ``file:///lake/bronze``, an absolute path, or ``s3://bucket/prefix``.
///     endpoint_url: an S3 server other than AWS.
///     access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
///     secret_key: see ``access_key``.
///     session_token: beside temporary keys.
///     region: by default ``us-east-1``.
///     path_style: the bucket in the path, not in the host name; by default with an endpoint.
///     ca_file: PEM file of certificates to trust beside the system's.
///     compression: ``lz4``, ``zstd``, ``zstd1`` to ``zstd22``, ``snappy`` or ``none``; by default ``lz4``.
///     write_only: for credentials that may put objects and nothing else.
///
/// Raises:
///     InvalidError: a URL or a compression that is none.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct BronzeWriter {
    writer: Arc<lake::BronzeWriter>,
    url: String,
}

#[pymethods]
impl BronzeWriter {
    #[new]
    #[pyo3(signature = (url, *, endpoint_url=None, access_key=None, secret_key=None, session_token=None, region=None, path_style=None, ca_file=None, compression=None, write_only=false))]
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
        compression: Option<&str>,
        write_only: bool,
    ) -> PyResult<Self> {
        let settings =
            s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file);
        let encoding = compression.map(str::parse::<Encoding>).transpose()?.unwrap_or_default();
        let writer = lake::BronzeWriter::open(url, settings, encoding, Arc::new(SystemClock::default()))?;
        let writer = if write_only { writer.write_only() } else { writer };
        Ok(Self { writer: Arc::new(writer), url: url.to_owned() })
    }

    /// Where the lake lies.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    fn __repr__(&self) -> String {
        format!("BronzeWriter({:?})", self.url)
    }

    /// The address of the folder that holds the rows of ``series`` (its key).
    fn address(&self, series: &str) -> PyResult<String> {
        Ok(self.writer.address(&series.parse()?))
    }

    /// Check that the lake can be written.
    ///
    /// Raises:
    ///     InvalidError: wrong credentials, no such bucket, or a folder that may not be written.
    ///     UnavailableError: a server or a disk did not answer as it should.
    fn prepare<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let writer = Arc::clone(&self.writer);
        awaitable(py, async move { writer.prepare().await }, |py, ()| Ok(py.None()))
    }

    /// The rows of ``series`` (its key) that open in ``[start, end)``, in time order.
    ///
    /// Raises:
    ///     DataError: an object that cannot be read.
    ///     UnavailableError: a server or a disk did not answer as it should.
    fn read<'py>(
        &self,
        py: Python<'py>,
        series: &str,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let series: Series = series.parse()?;
        let range = span(start, end)?;
        let writer = Arc::clone(&self.writer);
        awaitable(py, async move { writer.read(&series, range).await }, |_, rows| Ok(Batch(rows)))
    }

    /// As ``read``, blocking.
    fn read_sync(
        &self,
        py: Python<'_>,
        series: &str,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
    ) -> PyResult<Batch> {
        let (series, range) = (series.parse::<Series>()?, span(start, end)?);
        let writer = Arc::clone(&self.writer);
        Ok(Batch(enter(py, async move { writer.read(&series, range).await })?))
    }

    /// When the first object of ``series`` (its key) begins, UTC; ``None`` where there is none. Reads names only.
    fn first<'py>(&self, py: Python<'py>, series: &str) -> PyResult<Bound<'py, PyAny>> {
        let (writer, series) = (Arc::clone(&self.writer), series.parse::<Series>()?);
        awaitable(py, async move { writer.all(&series).await }, |_, objects| {
            Ok(objects.first().map(|object| datetime(object.range.start())))
        })
    }

    /// The keys of the series that have rows here and begin with ``prefix``, in order.
    #[pyo3(signature = (prefix=""))]
    fn series<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyAny>> {
        let (writer, prefix) = (Arc::clone(&self.writer), prefix.to_owned());
        awaitable(py, async move { writer.series(&prefix).await }, |_, keys| Ok(keys))
    }

    /// Of a root of stages: delete those from before ``oldest`` (``2026-01-31``).
    ///
    /// Returns:
    ///     The date of the newest stage at ``path``, or ``None``.
    fn tidy<'py>(&self, py: Python<'py>, path: String, oldest: String) -> PyResult<Bound<'py, PyAny>> {
        let writer = Arc::clone(&self.writer);
        awaitable(py, async move { writer.tidy(&path, &oldest).await }, |_, date| Ok(date))
    }

    /// Write the rows of one chunk durably; twice is once.
    ///
    /// Args:
    ///     series: its key.
    ///     range: of the chunk, which names the object.
    ///     batch: rows of the series' data type, in time order.
    ///
    /// Raises:
    ///     DataError: rows of another shape.
    ///     UnavailableError: a server or a disk did not answer as it should.
    fn write<'py>(
        &self,
        py: Python<'py>,
        series: &str,
        range: &Bound<'_, PyAny>,
        batch: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let series: Series = series.parse()?;
        let range = self::range(range)?;
        let batch = from_python(batch, series.data_type)?;
        let fetched = Fetched { batch, bytes: 0, truncated: false, quotas: Vec::new(), lineage: Vec::new() };
        let writer = Arc::clone(&self.writer);
        awaitable(py, async move { writer.write(&series, range, &fetched).await }, |py, receipt| {
            plain(py, &receipt)
        })
    }
}

/// The rows of ``source`` that lie in ``lake``, as an adapter for the core.
///
/// What was staged goes through the same checks, writes and commits as what is fetched.
///
/// Args:
///     lake: that holds the rows.
///     source: name of the source that they came from.
///     checkpoint: what should be there, and which adapter fetched it.
#[pyclass(frozen, module = "quant_framework._core")]
pub(super) struct LakeAdapter(Arc<lake::LakeAdapter>);

#[pymethods]
impl LakeAdapter {
    #[new]
    #[pyo3(signature = (lake, source, checkpoint=None))]
    fn new(
        lake: &Bound<'_, BronzeWriter>,
        source: String,
        checkpoint: Option<&Bound<'_, Checkpoint>>,
    ) -> Self {
        let held = checkpoint.map(|held| held.get().0.clone());
        let fingerprint = held.as_ref().and_then(|held| held.fingerprint.clone()).unwrap_or_default();
        let known = held.map(|held| held.coverage);
        Self(Arc::new(lake::LakeAdapter::new(lake.get().native(), source, known, fingerprint)))
    }

    /// Name of the source that the rows came from.
    #[getter]
    fn source(&self) -> &str {
        self.0.source()
    }
}

impl LakeAdapter {
    pub(super) fn native(&self) -> Arc<lake::LakeAdapter> {
        Arc::clone(&self.0)
    }
}

impl BronzeWriter {
    pub(super) fn native(&self) -> Arc<lake::BronzeWriter> {
        Arc::clone(&self.writer)
    }
}

/// The native writer behind `object`, or `object` itself as a writer.
pub(super) fn writer_from(
    object: &Bound<'_, PyAny>,
    event_loop: &EventLoop,
) -> PyResult<Arc<dyn DataWriter>> {
    if let Ok(native) = object.cast::<BronzeWriter>()
        && !overrides::<BronzeWriter>(object, &["write"])?
    {
        return Ok(native.get().writer.clone());
    }
    Ok(Arc::new(ForeignWriter(Foreign::new(object, "writer", event_loop))))
}
