//! A backfill run as a Python object: start it, look at it, stop it.

use std::sync::{Arc, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_async_runtimes::TaskLocals;

use super::adapter::adapter_from;
use super::convert::{millis, plain, seconds, span};
use super::foreign::EventLoop;
use super::limiter::{self, limiter_from};
use super::policy::strategy_from;
use super::runtime::awaitable;
use super::store::store_from;
use super::writer::writer_from;
use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;
use crate::workflows::{self, BackfillSpec, HoleRepair, Parts, Resume};

/// One run of the pipeline: plan, then per chunk permit, fetch, check, write, commit, report.
///
/// ``quant_framework.orchestration.workflows.BackfillWorkflow`` describes what the arguments mean.
///
/// Args:
///     adapter: the source, native or any object with ``source`` and ``fetch(request)``.
///     writer: the lake.
///     checkpoint_store: what is remembered.
///     chunk_strategy: how ranges are cut.
///     rate_limiter: the source's quota; ``None`` for none.
///     symbols: the source's own names, or names that it can resolve.
///     timeframes: ``1m`` to ``1M``.
///     data_types: such as ``ohlcv``.
///     start: first bar, aware; ``None``, with ``overlap`` or ``repair``, where each checkpoint begins.
///     end: end (exclusive), aware.
///     concurrency: requests in flight.
///     resume: ``always`` or ``never``.
///     max_wait: a longer wait for quota, in seconds, parks the run; ``None`` waits.
///     lag: a bar counts as closed so many seconds after its end.
///     owner: who claims what is fetched; by default unique.
///     lease: seconds after which a run that stands still loses its claims.
///     priority: ``live`` or ``backfill``.
///     overlap: so many known bars before the newest missing ones are asked for again.
///     series: keys beside or instead of the products of symbols, timeframes and data types.
///     repair: holes to ask for again: ``attempts``, ``pause`` (seconds), ``force``, ``only`` (tuples of key, start,
///         end).
///
/// Raises:
///     InvalidError: an argument that cannot be, or a part that lacks a method.
#[pyclass(frozen, module = "quant_framework._core")]
pub(super) struct Backfill {
    run: Arc<workflows::Backfill>,
    event_loop: EventLoop,
}

fn parsed<T: std::str::FromStr<Err = Error>>(names: &[String]) -> Result<Vec<T>> {
    names.iter().map(|name| name.parse()).collect()
}

/// Which holes to ask for again: `attempts`, `pause` (seconds), `force`, and `only`: triples of key, start and end.
fn hole_repair(options: &Bound<'_, PyDict>) -> PyResult<HoleRepair> {
    let mut repair = HoleRepair::default();
    if let Some(attempts) = options.get_item("attempts")? {
        repair.patience.attempts = attempts.extract()?;
    }
    if let Some(pause) = options.get_item("pause")? {
        repair.patience.pause = seconds("pause", pause.extract()?)?.as_millis() as Millis;
    }
    if let Some(force) = options.get_item("force")? {
        repair.patience.is_forced = force.extract()?;
    }
    if let Some(only) = options.get_item("only")? {
        let hole = |hole: Bound<'_, PyAny>| -> PyResult<(String, TimeRange)> {
            let (key, start, end): (String, Bound<'_, PyAny>, Bound<'_, PyAny>) = hole.extract()?;
            Ok((key, span(&start, &end)?))
        };
        repair.only = Some(only.try_iter()?.map(|it| hole(it?)).collect::<PyResult<_>>()?);
    }
    Ok(repair)
}

#[pymethods]
impl Backfill {
    #[new]
    #[pyo3(signature = (*, adapter, writer, checkpoint_store, chunk_strategy, rate_limiter, symbols, timeframes, data_types, start, end, concurrency=8, resume="always", max_wait=None, lag=5.0, owner=None, lease=60.0, priority="backfill", overlap=None, series=None, repair=None))]
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "keyword arguments of a Python constructor"
    )]
    fn new(
        adapter: &Bound<'_, PyAny>,
        writer: &Bound<'_, PyAny>,
        checkpoint_store: &Bound<'_, PyAny>,
        chunk_strategy: &Bound<'_, PyAny>,
        rate_limiter: &Bound<'_, PyAny>,
        symbols: Vec<String>,
        timeframes: Vec<String>,
        data_types: Vec<String>,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
        concurrency: usize,
        resume: &str,
        max_wait: Option<f64>,
        lag: f64,
        owner: Option<String>,
        lease: f64,
        priority: &str,
        overlap: Option<u32>,
        series: Option<Vec<String>>,
        repair: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let event_loop = EventLoop::default();
        let from_known = start.is_none() && (overlap.is_some() || repair.is_some());
        let end_at = millis(end, "end")?;
        let range = if from_known { TimeRange::new(end_at - 1, end_at)? } else { span(start, end)? };
        let (timeframes, data_types) = (parsed::<Timeframe>(&timeframes)?, parsed::<DataType>(&data_types)?);
        let mut spec = BackfillSpec::new(symbols, timeframes, data_types, range);
        spec.concurrency = concurrency;
        spec.resume = match resume {
            "always" => Resume::Always,
            "never" => Resume::Never,
            other => {
                return Err(Error::invalid(format!("resume must be always or never, not {other:?}")).into());
            }
        };
        spec.max_wait = max_wait.map(|value| seconds("max_wait", value)).transpose()?;
        spec.priority = limiter::priority(priority)?;
        spec.from_known = from_known;
        spec.overlap = overlap;
        let named = |key: String| key.parse::<Series>().map_err(|error| error.context(key));
        spec.series = series.unwrap_or_default().into_iter().map(named).collect::<Result<_>>()?;
        spec.repair = repair.map(hole_repair).transpose()?;
        spec.lag = seconds("lag", lag)?;
        spec.lease = seconds("lease", lease)?;
        spec.owner = owner.unwrap_or(spec.owner);
        let parts = Parts {
            adapter: adapter_from(adapter, &event_loop)?,
            writer: writer_from(writer, &event_loop)?,
            store: store_from(checkpoint_store, &event_loop)?,
            strategy: strategy_from(chunk_strategy, &event_loop),
            limiter: limiter_from(rate_limiter, &event_loop)?,
            // Progress is read off `progress`, so that no Rust thread enters Python for it.
            reporter: Arc::new(()),
            clock: Arc::new(SystemClock::default()),
        };
        Ok(Self { run: Arc::new(workflows::Backfill::new(parts, spec)?), event_loop })
    }

    /// Run to the end. What fails is in the report; only what makes the run pointless is raised.
    ///
    /// Raises:
    ///     QuantFrameworkError: of any kind; the store or the lake cannot be used at all.
    fn run<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.remember_loop(py)?;
        let run = Arc::clone(&self.run);
        awaitable(py, async move { run.run().await }, |py, report| plain(py, &report))
    }

    /// What ``run`` would do. Reads checkpoints and looks names up, but asks the source for no rows.
    fn plan<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.remember_loop(py)?;
        let run = Arc::clone(&self.run);
        awaitable(py, async move { run.plan().await }, |py, plan| plain(py, &plan))
    }

    /// Counters of the run so far; may be called from any thread.
    fn progress(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        plain(py, &self.run.tally().snapshot())
    }

    /// Let the run finish its writes, commit and return ``cancelled``. A signal handler may call this.
    fn cancel(&self) {
        self.run.cancel();
    }
}

impl Backfill {
    fn remember_loop(&self, py: Python<'_>) -> PyResult<()> {
        let locals = TaskLocals::with_running_loop(py)?.copy_context(py)?;
        *self.event_loop.lock().unwrap_or_else(PoisonError::into_inner) = Some(locals);
        Ok(())
    }
}
