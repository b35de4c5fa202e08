//! The bronze writer as a Python class.

use std::sync::Arc;

use pyo3::prelude::*;

use super::batch::from_python;
use super::convert::{plain, range, s3_settings};
use super::foreign::{EventLoop, Foreign, ForeignWriter};
use super::policy::overrides;
use super::runtime::awaitable;
use crate::clock::SystemClock;
use crate::lake::{self, Encoding};
use crate::ports::{DataWriter, Fetched};
use crate::series::Series;

/// Writes one typed, compressed Parquet object per chunk under `url` (`file:///lake/bronze`, `s3://bucket/prefix`).
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

    /// Checks that the lake can be written; raises a one-line error where it cannot.
    fn prepare<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let writer = Arc::clone(&self.writer);
        awaitable(py, async move { writer.prepare().await }, |py, ()| Ok(py.None()))
    }

    /// Writes the rows of one chunk of `series` (its key); `{"uri", "rows", "bytes"}`. Twice is once.
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
