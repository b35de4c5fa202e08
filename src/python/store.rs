//! Checkpoint stores as Python classes: every method `async`, with a `*_sync` twin over the same future.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::convert::{datetime, pairs, ranges};
use super::foreign::{EventLoop, Foreign, ForeignStore};
use super::runtime::{awaitable, enter};
use crate::checkpoint;
use crate::coverage::{Coverage, State};
use crate::ports::{self, CheckpointStore};

/// What is remembered of one series.
#[pyclass(frozen, module = "quant_framework._core")]
pub(super) struct Checkpoint(pub(super) ports::Checkpoint);

#[pymethods]
impl Checkpoint {
    /// Ranges with rows, as pairs of aware datetimes.
    #[getter]
    fn data(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        pairs(&self.0.coverage.ranges(State::Data))
    }

    /// Ranges for which the source had nothing.
    #[getter]
    fn empty(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        pairs(&self.0.coverage.ranges(State::Empty))
    }

    /// End of the unbroken coverage from the first known moment on.
    #[getter]
    fn watermark(&self) -> Option<DateTime<Utc>> {
        self.0.coverage.watermark().map(datetime)
    }

    /// Opaque to the store.
    #[getter]
    fn cursor(&self) -> Option<&str> {
        self.0.cursor.as_deref()
    }

    /// Raised by a reset.
    #[getter]
    fn generation(&self) -> u64 {
        self.0.generation
    }

    /// What determines the data.
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

/// The methods that every native store has; `$store` is a tuple struct over `Arc<dyn CheckpointStore>`.
macro_rules! store_methods {
    ($store:ident { $($own:item)* }) => {
        #[pymethods]
        impl $store {
            $($own)*

            /// The checkpoint of `series` (its key), or None.
            fn load<'py>(&self, py: Python<'py>, series: String) -> PyResult<Bound<'py, PyAny>> {
                let store = Arc::clone(&self.0);
                awaitable(py, async move { store.load(&series).await }, |_, found| Ok(found.map(Checkpoint)))
            }

            /// As `load`, blocking.
            fn load_sync(&self, py: Python<'_>, series: String) -> PyResult<Option<Checkpoint>> {
                let store = Arc::clone(&self.0);
                Ok(enter(py, async move { store.load(&series).await })?.map(Checkpoint))
            }

            /// Merges ranges (pairs of aware datetimes) in; durable on return.
            #[pyo3(signature = (series, data=None, empty=None, *, generation=0, cursor=None, fingerprint=None))]
            #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
            fn commit<'py>(
                &self, py: Python<'py>, series: String, data: Option<&Bound<'_, PyList>>,
                empty: Option<&Bound<'_, PyList>>, generation: u64, cursor: Option<String>, fingerprint: Option<String>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let (store, delta) = (Arc::clone(&self.0), delta(data, empty, generation, cursor, fingerprint)?);
                awaitable(py, async move { store.commit(&series, &delta).await }, |_, ()| Ok(()))
            }

            /// As `commit`, blocking.
            #[pyo3(signature = (series, data=None, empty=None, *, generation=0, cursor=None, fingerprint=None))]
            #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
            fn commit_sync(
                &self, py: Python<'_>, series: String, data: Option<&Bound<'_, PyList>>,
                empty: Option<&Bound<'_, PyList>>, generation: u64, cursor: Option<String>, fingerprint: Option<String>,
            ) -> PyResult<()> {
                let (store, delta) = (Arc::clone(&self.0), delta(data, empty, generation, cursor, fingerprint)?);
                enter(py, async move { store.commit(&series, &delta).await })
            }

            /// The keys that start with `prefix`, sorted.
            #[pyo3(signature = (prefix=""))]
            fn list<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyAny>> {
                let (store, prefix) = (Arc::clone(&self.0), prefix.to_owned());
                awaitable(py, async move { store.list(&prefix).await }, |_, keys| Ok(keys))
            }

            /// As `list`, blocking.
            #[pyo3(signature = (prefix=""))]
            fn list_sync(&self, py: Python<'_>, prefix: &str) -> PyResult<Vec<String>> {
                let (store, prefix) = (Arc::clone(&self.0), prefix.to_owned());
                enter(py, async move { store.list(&prefix).await })
            }

            /// Forgets `series`; no error where it is absent.
            fn delete<'py>(&self, py: Python<'py>, series: String) -> PyResult<Bound<'py, PyAny>> {
                let store = Arc::clone(&self.0);
                awaitable(py, async move { store.delete(&series).await }, |_, ()| Ok(()))
            }

            /// As `delete`, blocking.
            fn delete_sync(&self, py: Python<'_>, series: String) -> PyResult<()> {
                let store = Arc::clone(&self.0);
                enter(py, async move { store.delete(&series).await })
            }

            /// Starts an empty new generation of `series` and returns its number.
            fn reset<'py>(&self, py: Python<'py>, series: String) -> PyResult<Bound<'py, PyAny>> {
                let store = Arc::clone(&self.0);
                awaitable(py, async move { store.reset(&series).await }, |_, generation| Ok(generation))
            }

            /// As `reset`, blocking.
            fn reset_sync(&self, py: Python<'_>, series: String) -> PyResult<u64> {
                let store = Arc::clone(&self.0);
                enter(py, async move { store.reset(&series).await })
            }
        }
    };
}

/// Checkpoints in this process's memory; gone when it ends.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct MemoryCheckpointStore(Arc<dyn CheckpointStore>);

store_methods!(MemoryCheckpointStore {
    #[new]
    fn new() -> Self {
        Self(Arc::new(checkpoint::MemoryCheckpointStore::default()))
    }
});

/// Checkpoints as files under `path`, one per series; safe for many processes of one machine.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct LocalCheckpointStore(Arc<dyn CheckpointStore>);

store_methods!(LocalCheckpointStore {
    #[new]
    fn new(path: std::path::PathBuf) -> Self {
        Self(Arc::new(checkpoint::LocalCheckpointStore::new(path)))
    }
});

/// The native store behind `object`, or `object` itself as a store.
pub(super) fn store_from(object: &Bound<'_, PyAny>, event_loop: &EventLoop) -> Arc<dyn CheckpointStore> {
    if let Ok(native) = object.cast::<LocalCheckpointStore>() {
        return Arc::clone(&native.get().0);
    }
    if let Ok(native) = object.cast::<MemoryCheckpointStore>() {
        return Arc::clone(&native.get().0);
    }
    Arc::new(ForeignStore(Foreign::new(object, "checkpoint_store", event_loop)))
}
