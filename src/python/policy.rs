//! Chunk strategies and the in-process limiter as Python classes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pyo3::PyTypeInfo;
use pyo3::prelude::*;

use super::convert::{millis, pairs};
use super::foreign::{EventLoop, Foreign, ForeignLimiter, ForeignStrategy};
use super::runtime::{awaitable, enter};
use crate::chunking::{self, chunks};
use crate::clock::SystemClock;
use crate::error::Error;
use crate::ports::{ChunkStrategy, Feedback, RateLimiter};
use crate::rate_limit::{Pace, Window, WindowLimiter};
use crate::time_range::TimeRange;
use crate::timeframe::Timeframe;

/// The most rows that any source answers at once; `generate_chunks` is asked without a source.
const ANY_SOURCE: u32 = 100_000;

fn generate(
    strategy: &dyn ChunkStrategy,
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    timeframe: &str,
) -> PyResult<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
    let range = TimeRange::new(millis(start, "start")?, millis(end, "end")?)?;
    let cut: Vec<TimeRange> =
        chunks(vec![range], timeframe.parse::<Timeframe>()?, ANY_SOURCE, strategy).collect();
    Ok(pairs(&cut))
}

/// Chunks of a fixed number of bars, on a grid that does not depend on where a range starts.
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

    /// The chunks of `[start, end)`, in order.
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

    /// The chunks of `[start, end)` as the strategy cuts now, in order.
    fn generate_chunks(
        &self,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
        timeframe: &str,
    ) -> PyResult<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
        generate(&*self.0, start, end, timeframe)
    }
}

/// A hard budget of sliding windows and a pacer at an adaptive rate, for one process.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct WindowRateLimiter(Arc<WindowLimiter>);

#[pymethods]
impl WindowRateLimiter {
    /// `windows`: (weight, seconds) pairs, none of which is ever exceeded; rates in requests a second.
    #[new]
    #[pyo3(signature = (windows, base_rate=None, max_rate=None, min_rate=None, backoff_factor=2.0, burst=1))]
    fn new(
        windows: Vec<(u32, f64)>,
        base_rate: Option<f64>,
        max_rate: Option<f64>,
        min_rate: Option<f64>,
        backoff_factor: f64,
        burst: u32,
    ) -> PyResult<Self> {
        let mut hard = Vec::new();
        for (weight, seconds) in windows {
            let period = Duration::try_from_secs_f64(seconds).ok().filter(|period| !period.is_zero());
            let (Some(period), true) = (period, weight > 0) else {
                return Err(Error::invalid(format!(
                    "window ({weight}, {seconds}) must have a weight and seconds above 0"
                ))
                .into());
            };
            hard.push(Window { weight, period });
        }
        let pace = |base: f64| {
            let (max, min) = (max_rate.unwrap_or(base), min_rate.unwrap_or(base));
            let ordered = 0.0 < min && min <= base && base <= max && max.is_finite() && backoff_factor > 1.0;
            let burst = NonZeroU32::new(burst).filter(|_| ordered);
            let pace = burst.map(|burst| Pace { base, max, min, backoff_factor, burst });
            pace.ok_or_else(|| {
                Error::invalid(
                    "rates must be 0 < min_rate <= base_rate <= max_rate, backoff_factor > 1, burst >= 1",
                )
            })
        };
        let pace = base_rate.map(pace).transpose()?;
        Ok(Self(Arc::new(WindowLimiter::new(hard, pace, Arc::new(SystemClock::default())))))
    }

    /// Waits for a permit of `weight`; the seconds waited.
    #[pyo3(signature = (weight=1, max_wait=None))]
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        weight: u32,
        max_wait: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limiter = Arc::clone(&self.0);
        let max_wait = max_wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        awaitable(py, async move { limiter.acquire(weight, max_wait).await }, |_, waited| {
            Ok(waited.as_secs_f64())
        })
    }

    /// As `acquire`, blocking; obeys signals.
    #[pyo3(signature = (weight=1, max_wait=None))]
    fn acquire_sync(&self, py: Python<'_>, weight: u32, max_wait: Option<f64>) -> PyResult<f64> {
        let limiter = Arc::clone(&self.0);
        let max_wait = max_wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(enter(py, async move { limiter.acquire(weight, max_wait).await })?.as_secs_f64())
    }

    /// What the source answered: `"success"` or `"throttled"`, with the aware time after which to ask again.
    #[pyo3(signature = (event, until=None))]
    fn report(&self, event: &str, until: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let until = until.map(|until| millis(until, "until")).transpose()?;
        match event {
            "success" => self.0.report(Feedback::Success),
            "throttled" => self.0.report(Feedback::Throttled { until }),
            other => {
                return Err(
                    Error::invalid(format!("event must be success or throttled, not {other:?}")).into()
                );
            }
        }
        Ok(())
    }

    /// The least time in which `weight` can be spent from a full budget, seconds.
    fn least_seconds(&self, weight: u64) -> f64 {
        self.0.least_duration(weight).as_secs_f64()
    }
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

/// The native limiter behind `object`, or `object` itself as a limiter.
pub(super) fn limiter_from(
    object: &Bound<'_, PyAny>,
    event_loop: &EventLoop,
) -> PyResult<Arc<dyn RateLimiter>> {
    if let Ok(native) = object.cast::<WindowRateLimiter>()
        && !overrides::<WindowRateLimiter>(object, "acquire")?
    {
        return Ok(native.get().0.clone());
    }
    Ok(Arc::new(ForeignLimiter(Foreign::new(object, "rate_limiter", event_loop))))
}

/// Whether `object`'s class replaces `method` of the native class `T`.
pub(super) fn overrides<T: PyTypeInfo>(object: &Bound<'_, PyAny>, method: &str) -> PyResult<bool> {
    let own = object.get_type().getattr(method)?;
    Ok(!own.is(&object.py().get_type::<T>().getattr(method)?))
}
