//! Checkpoint stores as Python classes: every method `async`, with a `*_sync` twin over the same future.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::convert::{datetime, pairs, ranges, s3_settings, seconds, span};
use super::foreign::{EventLoop, Foreign, ForeignStore};
use super::policy::overrides;
use super::runtime::{awaitable, enter};
use crate::checkpoint::{self, Access, HybridCheckpointStore};
use crate::clock::{Clock, SystemClock};
use crate::coverage::{Coverage, State};
use crate::ports;
use crate::secret::Secret;
use crate::workflows::forget;

/// What is known of one series: ranges with rows, and ranges for which the source had none.
///
/// Args:
///     data: ranges with rows, pairs of aware datetimes in any order.
///     empty: ranges for which the source had nothing; where both meet, rows count.
///     generation: raised by a reset; what is committed to an older one changes nothing.
///     cursor: opaque text of a stream; the greater wins.
///     fingerprint: what determines the data beside the series.
///
/// Raises:
///     InvalidError: a naive time, or a range that ends before it starts.
#[pyclass(frozen, module = "quant_framework._core")]
pub(super) struct Checkpoint(pub(super) ports::Checkpoint);

#[pymethods]
impl Checkpoint {
    /// Ranges are pairs of aware datetimes, in any order.
    #[new]
    #[pyo3(signature = (data=None, empty=None, *, generation=0, cursor=None, fingerprint=None))]
    fn new(
        data: Option<&Bound<'_, PyList>>,
        empty: Option<&Bound<'_, PyList>>,
        generation: u64,
        cursor: Option<String>,
        fingerprint: Option<String>,
    ) -> PyResult<Self> {
        Ok(Self(delta(data, empty, generation, cursor, fingerprint)?))
    }

    /// The parts of ``[start, end)`` of which nothing is known.
    fn missing(
        &self,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
        Ok(pairs(&self.0.coverage.missing(span(start, end)?)))
    }

    /// Ranges with rows, ascending, UTC.
    #[getter]
    fn data(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        pairs(&self.0.coverage.ranges(State::Data))
    }

    /// Ranges for which the source had nothing, ascending, UTC.
    #[getter]
    fn empty(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        pairs(&self.0.coverage.ranges(State::Empty))
    }

    /// End of the unbroken coverage from the first known moment on; ``None`` where nothing is known.
    #[getter]
    fn watermark(&self) -> Option<DateTime<Utc>> {
        self.0.coverage.watermark().map(datetime)
    }

    /// What a stream has committed; opaque to the store.
    #[getter]
    fn cursor(&self) -> Option<&str> {
        self.0.cursor.as_deref()
    }

    /// Raised by a reset, from 0.
    #[getter]
    fn generation(&self) -> u64 {
        self.0.generation
    }

    /// What determines the data beside the series.
    #[getter]
    fn fingerprint(&self) -> Option<&str> {
        self.0.fingerprint.as_deref()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __repr__(&self) -> String {
        let segments = self.0.coverage.segment_count();
        format!("Checkpoint(generation={}, {segments} segments)", self.0.generation)
    }
}

/// The arguments of a commit as a delta.
fn delta(
    data: Option<&Bound<'_, PyList>>,
    empty: Option<&Bound<'_, PyList>>,
    generation: u64,
    cursor: Option<String>,
    fingerprint: Option<String>,
) -> PyResult<ports::Checkpoint> {
    let data = ranges(data)?.into_iter().map(|range| (range, State::Data));
    let empty = ranges(empty)?.into_iter().map(|range| (range, State::Empty));
    let coverage: Coverage = data.chain(empty).collect();
    Ok(ports::Checkpoint { generation, coverage, cursor, fingerprint })
}

/// Checkpoints under a URL; every method ``async``, with a blocking ``*_sync`` twin that obeys signals.
///
/// ``quant_framework.ingestion.backfill.open_checkpoint_store`` and the subclasses read the environment. Opens
/// nothing yet: what is wrong with a server shows at the first call.
///
/// Args:
///     url: ``memory:``, ``file:///folder``, ``s3://bucket/prefix``, ``postgresql://user@host/name``, or
///         ``hybrid:`` with an ``s3:`` and a ``postgresql:`` URL, separated by a comma.
///     endpoint_url: an S3 server other than AWS.
///     access_key: together with ``secret_key``; by default the SDK's usual chain (environment, profile, role).
///     secret_key: see ``access_key``.
///     session_token: beside temporary keys.
///     region: by default ``us-east-1``.
///     path_style: the bucket in the path, not in the host name; by default with an endpoint.
///     ca_file: PEM file of certificates to trust beside the system's.
///     single_writer: accept an S3 server that ignores conditional writes; then one process may commit at a time.
///     password: of the database.
///     timeout: seconds after which a statement of the database is cancelled; by default 30.
///     minio: with ``database``, a hybrid over both.
///     database: see ``minio``.
///
/// Raises:
///     InvalidError: a URL that is none of these; at the first call: wrong credentials, no such bucket or database.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct CheckpointStore {
    store: Arc<dyn ports::CheckpointStore>,
    /// What may be shown.
    place: String,
}

#[pymethods]
impl CheckpointStore {
    /// With `minio` and `database`, both stores of this class, a hybrid over them.
    #[new]
    #[pyo3(signature = (url="hybrid:", *, endpoint_url=None, access_key=None, secret_key=None, session_token=None, region=None, path_style=None, ca_file=None, single_writer=false, password=None, timeout=None, minio=None, database=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        url: &str,
        endpoint_url: Option<String>,
        access_key: Option<String>,
        secret_key: Option<String>,
        session_token: Option<String>,
        region: Option<String>,
        path_style: Option<bool>,
        ca_file: Option<PathBuf>,
        single_writer: bool,
        password: Option<String>,
        timeout: Option<f64>,
        minio: Option<PyRef<'_, Self>>,
        database: Option<PyRef<'_, Self>>,
    ) -> PyResult<Self> {
        if let (Some(minio), Some(database)) = (minio, database) {
            let place = format!("{} and {}", minio.place, database.place);
            let hybrid = HybridCheckpointStore::new(Arc::clone(&minio.store), Arc::clone(&database.store));
            return Ok(Self { store: Arc::new(hybrid), place });
        }
        let s3 =
            s3_settings(endpoint_url, access_key, secret_key, session_token, region, path_style, ca_file);
        let time_limit = timeout.map(|value| seconds("timeout", value)).transpose()?;
        let access = Access {
            s3,
            single_writer,
            database_password: password.map(Secret::new),
            database_time_limit: time_limit,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        Ok(Self { store: checkpoint::open(url, &access, &clock)?, place: checkpoint::shown(url) })
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!("{}({:?})", slf.get_type().name()?, slf.get().place))
    }

    /// What is known of ``series`` (its key), or ``None``.
    ///
    /// Raises:
    ///     UnavailableError: a server or a disk did not answer as it should.
    ///     DataError: what is stored cannot be read.
    fn load<'py>(&self, py: Python<'py>, series: String) -> PyResult<Bound<'py, PyAny>> {
        let store = Arc::clone(&self.store);
        awaitable(py, async move { store.load(&series).await }, |_, held| Ok(held.map(Checkpoint)))
    }

    /// As ``load``, blocking.
    fn load_sync(&self, py: Python<'_>, series: String) -> PyResult<Option<Checkpoint>> {
        let store = Arc::clone(&self.store);
        Ok(enter(py, async move { store.load(&series).await })?.map(Checkpoint))
    }

    /// Merge ranges in; durable on return.
    ///
    /// Args:
    ///     series: its key.
    ///     data: ranges with rows, pairs of aware datetimes.
    ///     empty: ranges for which the source had nothing.
    ///     generation: lower than what is stored changes nothing.
    ///     cursor: the greater text wins.
    ///     fingerprint: what determines the data.
    ///
    /// Raises:
    ///     UnavailableError: a server or a disk did not answer as it should.
    ///     DataError: what is stored cannot be read.
    #[pyo3(signature = (series, data=None, empty=None, *, generation=0, cursor=None, fingerprint=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn commit<'py>(
        &self,
        py: Python<'py>,
        series: String,
        data: Option<&Bound<'_, PyList>>,
        empty: Option<&Bound<'_, PyList>>,
        generation: u64,
        cursor: Option<String>,
        fingerprint: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (store, delta) = (Arc::clone(&self.store), delta(data, empty, generation, cursor, fingerprint)?);
        awaitable(py, async move { store.commit(&series, &delta).await }, |py, ()| Ok(py.None()))
    }

    /// As ``commit``, blocking.
    #[pyo3(signature = (series, data=None, empty=None, *, generation=0, cursor=None, fingerprint=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn commit_sync(
        &self,
        py: Python<'_>,
        series: String,
        data: Option<&Bound<'_, PyList>>,
        empty: Option<&Bound<'_, PyList>>,
        generation: u64,
        cursor: Option<String>,
        fingerprint: Option<String>,
    ) -> PyResult<()> {
        let (store, delta) = (Arc::clone(&self.store), delta(data, empty, generation, cursor, fingerprint)?);
        enter(py, async move { store.commit(&series, &delta).await })
    }

    /// The keys that start with ``prefix``, sorted.
    #[pyo3(signature = (prefix=""))]
    fn list<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyAny>> {
        let (store, prefix) = (Arc::clone(&self.store), prefix.to_owned());
        awaitable(py, async move { store.list(&prefix).await }, |_, keys| Ok(keys))
    }

    /// As ``list``, blocking.
    #[pyo3(signature = (prefix=""))]
    fn list_sync(&self, py: Python<'_>, prefix: &str) -> PyResult<Vec<String>> {
        let (store, prefix) = (Arc::clone(&self.store), prefix.to_owned());
        enter(py, async move { store.list(&prefix).await })
    }

    /// Forget ``series`` and what is known of its holes; no error where it is absent.
    fn delete<'py>(&self, py: Python<'py>, series: String) -> PyResult<Bound<'py, PyAny>> {
        let store = Arc::clone(&self.store);
        awaitable(py, async move { forget(&*store, &series).await }, |py, ()| Ok(py.None()))
    }

    /// As ``delete``, blocking.
    fn delete_sync(&self, py: Python<'_>, series: String) -> PyResult<()> {
        let store = Arc::clone(&self.store);
        enter(py, async move { forget(&*store, &series).await })
    }

    /// Start an empty new generation of ``series``; its number.
    fn reset<'py>(&self, py: Python<'py>, series: String) -> PyResult<Bound<'py, PyAny>> {
        let store = Arc::clone(&self.store);
        awaitable(py, async move { store.reset(&series).await }, |_, generation| Ok(generation))
    }

    /// As ``reset``, blocking.
    fn reset_sync(&self, py: Python<'_>, series: String) -> PyResult<u64> {
        let store = Arc::clone(&self.store);
        enter(py, async move { store.reset(&series).await })
    }
}

/// The methods of a store that the core calls.
const METHODS: [&str; 5] = ["load", "commit", "list", "delete", "reset"];

/// The native store behind `object`, or `object` itself as a store.
pub(super) fn store_from(
    object: &Bound<'_, PyAny>,
    event_loop: &EventLoop,
) -> PyResult<Arc<dyn ports::CheckpointStore>> {
    if let Ok(native) = object.cast::<CheckpointStore>()
        && !overrides::<CheckpointStore>(object, &METHODS)?
    {
        return Ok(Arc::clone(&native.get().store));
    }
    Ok(Arc::new(ForeignStore(Foreign::new(object, "checkpoint_store", event_loop))))
}
