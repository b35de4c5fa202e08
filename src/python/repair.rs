//! What is done to whole stores: repair, export, import. Any store will do, native or not.

use std::sync::{Arc, PoisonError};

use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;

use super::convert::plain;
use super::foreign::EventLoop;
use super::runtime::awaitable;
use super::store::store_from;
use super::writer::BronzeWriter;
use crate::checkpoint;
use crate::ports::CheckpointStore;
use crate::workflows::{RepairSpec, repair};

/// `object` as a store whose async methods run on the loop that runs now.
pub(super) fn opened(object: &Bound<'_, PyAny>) -> PyResult<Arc<dyn CheckpointStore>> {
    let event_loop = EventLoop::default();
    let locals = TaskLocals::with_running_loop(object.py())?.copy_context(object.py())?;
    *event_loop.lock().unwrap_or_else(PoisonError::into_inner) = Some(locals);
    store_from(object, &event_loop)
}

/// Make checkpoints right again; see ``quant_framework.ingestion.backfill.CheckpointManager.repair``.
#[pyfunction]
#[pyo3(signature = (store, prefix="", *, lake=None, replace_damaged=false, names_only=false))]
pub(super) fn repair_checkpoints<'py>(
    py: Python<'py>,
    store: &Bound<'_, PyAny>,
    prefix: &str,
    lake: Option<&Bound<'_, BronzeWriter>>,
    replace_damaged: bool,
    names_only: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let (store, lake) = (opened(store)?, lake.map(|lake| lake.get().native()));
    let spec = RepairSpec { prefix: prefix.to_owned(), replace_damaged, names_only };
    let repaired = async move { repair(&*store, lake.as_deref(), &spec).await };
    awaitable(py, repaired, |py, report| plain(py, &report))
}

/// The checkpoints whose keys start with ``prefix``, as one JSON document.
#[pyfunction]
#[pyo3(signature = (store, prefix=""))]
pub(super) fn export_checkpoints<'py>(
    py: Python<'py>,
    store: &Bound<'_, PyAny>,
    prefix: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let (store, prefix) = (opened(store)?, prefix.to_owned());
    awaitable(py, async move { checkpoint::export(&*store, &prefix).await }, |_, document| Ok(document))
}

/// Merge an exported document into ``store``; the number of its series.
///
/// Raises:
///     InvalidError: no such document; nothing was merged.
#[pyfunction]
pub(super) fn import_checkpoints<'py>(
    py: Python<'py>,
    store: &Bound<'_, PyAny>,
    document: String,
) -> PyResult<Bound<'py, PyAny>> {
    let store = opened(store)?;
    awaitable(py, async move { checkpoint::import(&*store, &document).await }, |_, count| Ok(count))
}
