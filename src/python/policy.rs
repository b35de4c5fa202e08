//! Chunk strategies as Python classes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pyo3::PyTypeInfo;
use pyo3::prelude::*;

use super::convert::{datetime, millis, pairs, span};
use super::foreign::{EventLoop, Foreign, ForeignStrategy};
use crate::chunking::{self, chunks};
use crate::error::Error;
use crate::ports::{ChunkStrategy, Page};
use crate::time_range::TimeRange;
use crate::timeframe::Timeframe;

/// The most rows that any source answers at once; `generate_chunks` is asked without a source.
const ANY_SOURCE: Page = Page::up_to(100_000);

fn generate(
    strategy: &dyn ChunkStrategy,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    timeframe: &str,
) -> PyResult<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
    let range = span(start, end)?;
    let cut: Vec<TimeRange> =
        chunks(vec![range], timeframe.parse::<Timeframe>()?, ANY_SOURCE, strategy).collect();
    Ok(pairs(&cut))
}

/// Chunks of a fixed number of bars, on a grid that does not depend on where a range starts.
///
/// Args:
///     bars: of each chunk; a source that answers fewer at once gets smaller ones.
///
/// Raises:
///     InvalidError: ``bars`` is below 1.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct FixedChunkStrategy(Arc<dyn ChunkStrategy>);

#[pymethods]
impl FixedChunkStrategy {
    #[new]
    #[pyo3(signature = (bars=1000))]
    fn new(bars: u32) -> PyResult<Self> {
        if bars == 0 {
            return Err(Error::invalid("bars must be at least 1").into());
        }
        Ok(Self(Arc::new(chunking::FixedChunkStrategy::new(bars))))
    }

    /// The chunks of ``[start, end)``, in order.
    fn generate_chunks(
        &self,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
        timeframe: &str,
    ) -> PyResult<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
        generate(&*self.0, start, end, timeframe)
    }
}

/// Chunks of a day (below 1h), a week (below 1d) or 30 days, then as the source's answers suggest.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct AdaptiveChunkStrategy(Arc<dyn ChunkStrategy>);

#[pymethods]
impl AdaptiveChunkStrategy {
    #[new]
    fn new() -> Self {
        Self(Arc::new(chunking::AdaptiveChunkStrategy::default()))
    }

    /// The chunks of ``[start, end)`` as the strategy cuts now, in order.
    fn generate_chunks(
        &self,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
        timeframe: &str,
    ) -> PyResult<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
        generate(&*self.0, start, end, timeframe)
    }
}

/// The open time of the bar ``bars`` bars before the one that ``end`` (aware) lies in, or opens.
#[pyfunction]
pub(super) fn bars_before(end: &Bound<'_, PyAny>, timeframe: &str, bars: u32) -> PyResult<DateTime<Utc>> {
    let (end, timeframe) = (millis(end, "end")?, timeframe.parse::<Timeframe>()?);
    Ok(datetime(timeframe.back(timeframe.floor(end), bars)))
}

/// The native strategy behind `object`, or `object` itself as a strategy.
pub(super) fn strategy_from(object: &Bound<'_, PyAny>, event_loop: &EventLoop) -> Arc<dyn ChunkStrategy> {
    if let Ok(native) = object.cast_exact::<AdaptiveChunkStrategy>() {
        return Arc::clone(&native.get().0);
    }
    if let Ok(native) = object.cast_exact::<FixedChunkStrategy>() {
        return Arc::clone(&native.get().0);
    }
    Arc::new(ForeignStrategy(Foreign::new(object, "chunk_strategy", event_loop)))
}

/// Whether `object`'s class replaces one of `methods` of the native class `T`.
pub(super) fn overrides<T: PyTypeInfo>(object: &Bound<'_, PyAny>, methods: &[&str]) -> PyResult<bool> {
    let (class, native) = (object.get_type(), object.py().get_type::<T>());
    for method in methods {
        if !class.getattr(*method)?.is(&native.getattr(*method)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
