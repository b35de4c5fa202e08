//! Parts written in Python. Their methods may be plain or `async`: a plain one runs on a worker thread, off
//! the event loop; a coroutine runs on the loop that the run was started from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyTuple};
use pyo3_async_runtimes::{TaskLocals, into_future_with_locals};

use super::adapter::FetchRequest;
use super::batch::{self, Batch};
use super::convert::{datetime, pairs, range};
use super::errors::from_python;
use super::store;
use crate::coverage::State;
use crate::error::{Error, Result};
use crate::ports;
use crate::ports::{
    Ask, Capability, Checkpoint, CheckpointStore, ChunkStrategy, DataAdapter, DataWriter, Feedback, Fetched,
    Held, Observation, Page, Permit, Prices, RateLimiter, Receipt, Verdict,
};
use crate::rate_limit::WindowLimiter;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// The event loop of the run; set when it starts.
pub(super) type EventLoop = Arc<Mutex<Option<TaskLocals>>>;

/// One object of an author's.
pub(super) struct Foreign {
    object: Arc<Py<PyAny>>,
    part: &'static str,
    event_loop: EventLoop,
}

impl Foreign {
    pub(super) fn new(object: &Bound<'_, PyAny>, part: &'static str, event_loop: &EventLoop) -> Self {
        Self { object: Arc::new(object.clone().unbind()), part, event_loop: Arc::clone(event_loop) }
    }

    /// Calls `method` off the event loop, awaits what it returns where that can be awaited, and converts it.
    async fn call<T: Send + 'static>(
        &self,
        method: &'static str,
        arguments: impl FnOnce(Python<'_>) -> PyResult<(Py<PyTuple>, Option<Py<PyDict>>)> + Send + 'static,
        convert: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T> + Send + 'static,
    ) -> Result<T> {
        let (object, event_loop, part) = (Arc::clone(&self.object), Arc::clone(&self.event_loop), self.part);
        let called = blocking(part, move |py| {
            let (positional, named) = arguments(py)?;
            let named = named.as_ref().map(|named| named.bind(py));
            let answer = object.bind(py).getattr(method)?.call(positional.bind(py), named)?;
            if !answer.hasattr("__await__")? {
                return Ok(Err(answer.unbind()));
            }
            let locals = event_loop.lock().unwrap_or_else(PoisonError::into_inner).as_ref().cloned();
            let locals = locals
                .ok_or_else(|| Error::internal(format!("a method of {part} is async and no loop runs")))?;
            Ok(Ok(into_future_with_locals(&locals, answer)?))
        });
        let answer = match called.await? {
            Err(ready) => Ok(ready),
            Ok(pending) => pending.await,
        };
        blocking(part, move |py| convert(&answer?.into_bound(py))).await
    }
}

/// Runs Python code on a worker thread.
async fn blocking<T: Send + 'static>(
    part: &'static str,
    work: impl FnOnce(Python<'_>) -> PyResult<T> + Send + 'static,
) -> Result<T> {
    let attached = move || Python::attach(|py| work(py).map_err(|error| from_python(py, &error, part)));
    let done = tokio::task::spawn_blocking(attached).await;
    done.map_err(|_| Error::internal(format!("{part} panicked")))?
}

#[expect(clippy::unnecessary_wraps, reason = "stands where arguments may fail to convert")]
fn no_arguments(py: Python<'_>) -> PyResult<(Py<PyTuple>, Option<Py<PyDict>>)> {
    Ok((PyTuple::empty(py).unbind(), None))
}

/// An adapter written in Python: `source` and `fetch(request)`; the rest has defaults.
pub(super) struct ForeignAdapter {
    pub(super) foreign: Foreign,
    pub(super) source: String,
}

const UNLIMITED: Capability = Capability { prices: Prices::flat(1000, 1), retention_bars: None };

/// `Invalid` for a misspelt field: pages of another size than the source's would leave holes.
fn known(capability: &Bound<'_, PyDict>) -> PyResult<()> {
    let fields = ["rows_per_request", "weight", "prices", "retention_bars"];
    for name in capability.keys() {
        if !name.extract::<String>().is_ok_and(|name| fields.contains(&&*name)) {
            let message = format!("capability has no field {}", name.repr()?);
            return Err(Error::invalid(message).with_hint(format!("it has {}", fields.join(", "))).into());
        }
    }
    Ok(())
}

#[async_trait]
impl DataAdapter for ForeignAdapter {
    fn source(&self) -> &str {
        &self.source
    }

    fn capability(&self, data_type: DataType, timeframe: Timeframe) -> Result<Capability> {
        Python::attach(|py| {
            let object = self.foreign.object.bind(py);
            if !object.hasattr("capability")? {
                return Ok(UNLIMITED);
            }
            let given = object.call_method1("capability", (data_type.name(), timeframe.to_string()))?;
            if let Ok(given) = given.cast::<PyDict>() {
                known(given)?;
            }
            let field = |name: &str| -> PyResult<Option<u32>> {
                given.get_item(name).map_or(Ok(None), |value| value.extract())
            };
            let prices = match given.get_item("prices") {
                Ok(prices) if !prices.is_none() => {
                    let steps: Vec<[u32; 2]> = prices.extract()?;
                    Prices::new(&steps.into_iter().map(<(u32, u32)>::from).collect::<Vec<_>>())?
                }
                _ => Prices::new(&[(
                    field("rows_per_request")?.unwrap_or(1000),
                    field("weight")?.unwrap_or(1),
                )])?,
            };
            Ok(Capability { prices, retention_bars: field("retention_bars")? })
        })
        .map_err(|error| Python::attach(|py| from_python(py, &error, self.foreign.part)))
    }

    fn is_exact(&self, symbol: &str) -> bool {
        Python::attach(|py| {
            let object = self.foreign.object.bind(py);
            let said = object.call_method1("is_exact", (symbol,)).and_then(|said| said.extract());
            said.unwrap_or_else(|_| !object.hasattr("resolve").unwrap_or(false))
        })
    }

    async fn resolve(&self, symbol: &str) -> Result<String> {
        let symbol = symbol.to_owned();
        let arguments = move |py: Python<'_>| Ok((PyTuple::new(py, [symbol])?.unbind(), None));
        self.foreign.call("resolve", arguments, |answer| answer.extract()).await
    }

    async fn fetch(&self, request: &ports::FetchRequest) -> Result<Fetched> {
        let data_type = request.series.data_type;
        let request = FetchRequest(request.clone());
        let arguments =
            move |py: Python<'_>| Ok((PyTuple::new(py, [Bound::new(py, request)?])?.unbind(), None));
        self.foreign.call("fetch", arguments, move |answer| fetched(answer, data_type)).await
    }

    fn resolve_weight(&self) -> u32 {
        self.attribute("resolve_weight").unwrap_or(1)
    }

    fn fingerprint(&self) -> String {
        self.attribute("fingerprint").unwrap_or_default()
    }

    fn lookup(&self) -> String {
        self.attribute("lookup").unwrap_or_default()
    }

    fn file_delay(&self, timeframe: Timeframe) -> Option<Duration> {
        Python::attach(|py| {
            let object = self.foreign.object.bind(py);
            let said = object.call_method1("file_delay", (timeframe.to_string(),)).ok()?;
            Duration::try_from_secs_f64(said.extract().ok()?).ok()
        })
    }
}

impl ForeignAdapter {
    /// A value that the object has beside its methods.
    fn attribute<T: for<'a, 'py> FromPyObject<'a, 'py>>(&self, name: &str) -> Option<T> {
        Python::attach(|py| {
            let value = self.foreign.object.bind(py).getattr(name).ok()?;
            value.extract().ok()
        })
    }
}

/// A writer written in Python: `write(series, range, batch)`; `prepare()`, and `held(series)` with
/// `remove(series, range)`, if it has them.
pub(super) struct ForeignWriter(pub(super) Foreign);

impl ForeignWriter {
    fn has(&self, method: &str) -> bool {
        Python::attach(|py| self.0.object.bind(py).hasattr(method).unwrap_or(false))
    }
}

#[async_trait]
impl DataWriter for ForeignWriter {
    async fn prepare(&self) -> Result<()> {
        if !self.has("prepare") {
            return Ok(());
        }
        self.0.call("prepare", no_arguments, |_| Ok(())).await
    }

    async fn held(&self, series: &Series) -> Result<Held> {
        if !self.has("held") || !self.has("remove") {
            return Ok(Held::default());
        }
        let key = series.to_string();
        let arguments = move |py: Python<'_>| Ok((PyTuple::new(py, [key])?.unbind(), None));
        let convert = |answer: &Bound<'_, PyAny>| {
            let chunks = answer.try_iter()?.map(|pair| range(&pair?)).collect::<PyResult<_>>()?;
            Ok(Held { chunks, cells: Vec::new() })
        };
        self.0.call("held", arguments, convert).await
    }

    async fn remove(&self, series: &Series, range: TimeRange) -> Result<()> {
        let key = series.to_string();
        let arguments =
            move |py: Python<'_>| Ok(((key, pairs(&[range])[0]).into_pyobject(py)?.unbind(), None));
        self.0.call("remove", arguments, |_| Ok(())).await
    }

    async fn write(&self, series: &Series, range: TimeRange, fetched: &Fetched) -> Result<Receipt> {
        let (key, batch, rows) =
            (series.to_string(), Batch(fetched.batch.clone()), fetched.batch.len() as u64);
        let arguments = move |py: Python<'_>| {
            Ok(((key, pairs(&[range])[0], Bound::new(py, batch)?).into_pyobject(py)?.unbind(), None))
        };
        let convert = move |answer: &Bound<'_, PyAny>| {
            let get = |name: &str| answer.get_item(name).or_else(|_| answer.getattr(name)).ok();
            let uri = get("uri").and_then(|uri| uri.extract().ok()).unwrap_or_default();
            let number = |name: &str| get(name).and_then(|number| number.extract::<u64>().ok());
            Ok(Receipt { uri, rows: number("rows").unwrap_or(rows), bytes: number("bytes").unwrap_or(0) })
        };
        self.0.call("write", arguments, convert).await
    }
}

/// A checkpoint store written in Python; see `ICheckpointStore`.
pub(super) struct ForeignStore(pub(super) Foreign);

#[async_trait]
impl CheckpointStore for ForeignStore {
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        let key = key.to_owned();
        let arguments = move |py: Python<'_>| Ok((PyTuple::new(py, [key])?.unbind(), None));
        let convert = |answer: &Bound<'_, PyAny>| {
            if answer.is_none() {
                return Ok(None);
            }
            if let Ok(native) = answer.cast::<store::Checkpoint>() {
                return Ok(Some(native.get().0.clone()));
            }
            let mut known = Vec::new();
            for (name, state) in [("empty", State::Empty), ("data", State::Data)] {
                for pair in answer.getattr(name)?.try_iter()? {
                    known.push((range(&pair?)?, state));
                }
            }
            let mut checkpoint =
                Checkpoint { coverage: known.into_iter().collect(), ..Checkpoint::default() };
            let optional = |name: &str| answer.getattr(name).ok().and_then(|value| value.extract().ok());
            checkpoint.generation = answer.getattr("generation").and_then(|it| it.extract()).unwrap_or(0);
            checkpoint.cursor = optional("cursor");
            checkpoint.fingerprint = optional("fingerprint");
            Ok(Some(checkpoint))
        };
        self.0.call("load", arguments, convert).await
    }

    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        let (key, delta) = (key.to_owned(), delta.clone());
        let arguments = move |py: Python<'_>| {
            let named = PyDict::new(py);
            named.set_item("data", PyList::new(py, pairs(&delta.coverage.ranges(State::Data)))?)?;
            named.set_item("empty", PyList::new(py, pairs(&delta.coverage.ranges(State::Empty)))?)?;
            named.set_item("generation", delta.generation)?;
            named.set_item("cursor", delta.cursor)?;
            named.set_item("fingerprint", delta.fingerprint)?;
            Ok((PyTuple::new(py, [key])?.unbind(), Some(named.unbind())))
        };
        self.0.call("commit", arguments, |_| Ok(())).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        let arguments = move |py: Python<'_>| Ok((PyTuple::new(py, [prefix])?.unbind(), None));
        self.0.call("list", arguments, |answer| answer.extract()).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        let arguments = move |py: Python<'_>| Ok((PyTuple::new(py, [key])?.unbind(), None));
        self.0.call("delete", arguments, |_| Ok(())).await
    }

    async fn reset(&self, key: &str) -> Result<u64> {
        let key = key.to_owned();
        let arguments = move |py: Python<'_>| Ok((PyTuple::new(py, [key])?.unbind(), None));
        self.0.call("reset", arguments, |answer| answer.extract()).await
    }
}

/// What `fetch` has answered: rows alone, or an object that says more of them, see
/// `quant_framework.ingestion.adapters.Fetched`. `Data` for `None`: a `return` that was forgotten must not settle a range
/// as empty.
fn fetched(answer: &Bound<'_, PyAny>, data_type: DataType) -> PyResult<Fetched> {
    let (mut rows, mut truncated, mut lineage) = (answer.clone(), false, BTreeMap::new());
    if let Ok(is_truncated) = answer.getattr("truncated") {
        rows = answer.getattr("rows")?;
        truncated = is_truncated.extract()?;
        let items = PyDict::new(answer.py());
        items.update(answer.getattr("lineage")?.cast::<PyMapping>()?)?;
        lineage = items.extract()?;
    }
    if rows.is_none() {
        let hint = "return [] where the source has no rows";
        return Err(Error::data("fetch returned None").with_hint(hint).into());
    }
    let batch = batch::from_python(&rows, data_type)?;
    Ok(Fetched { batch, bytes: 0, truncated, quotas: Vec::new(), lineage: lineage.into_iter().collect() })
}

/// A limiter written in Python: `acquire(weight)`; `report(event, until)` if it has one. What the source refuses is
/// heeded here, as most of them know nothing of it.
pub(super) struct ForeignLimiter {
    pub(super) foreign: Foreign,
    pub(super) refusals: WindowLimiter,
}

#[async_trait]
impl RateLimiter for ForeignLimiter {
    async fn acquire(&self, ask: Ask) -> Result<Permit> {
        let arguments = move |py: Python<'_>| Ok((PyTuple::new(py, [ask.weight])?.unbind(), None));
        // Anything that is not a number of seconds counts as no wait.
        let waited = |answer: &Bound<'_, PyAny>| Ok(answer.extract::<f64>().unwrap_or(0.0));
        let seconds = self.foreign.call("acquire", arguments, waited).await?;
        let permit = self.refusals.acquire(ask).await?;
        let waited = permit.waited + Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(Permit { waited, ..permit })
    }

    fn report(&self, feedback: Feedback<'_>) {
        self.refusals.report(feedback);
        let (event, until): (&str, Option<Millis>) = match feedback.verdict {
            Verdict::Answered { .. } => ("success", None),
            Verdict::Refused { until } => ("throttled", until),
            Verdict::Failed => return,
        };
        Python::attach(|py| {
            let object = self.foreign.object.bind(py);
            if object.hasattr("report").unwrap_or(false)
                && let Err(error) = object.call_method1("report", (event, until.map(datetime)))
            {
                error.write_unraisable(py, Some(object));
            }
        });
    }

    async fn least_duration(&self, _requests: u64, _weight: u64) -> Duration {
        Duration::ZERO
    }
}

/// A chunk strategy written in Python: `generate_chunks(start, end, timeframe)`, of which the first is taken.
pub(super) struct ForeignStrategy(pub(super) Foreign);

impl ChunkStrategy for ForeignStrategy {
    fn first_chunk(&self, whole: TimeRange, timeframe: Timeframe, page: Page) -> TimeRange {
        let first = Python::attach(|py| -> PyResult<Option<TimeRange>> {
            let (start, end) = pairs(&[whole])[0];
            let arguments = (start, end, timeframe.to_string());
            let mut chunks = self.0.object.bind(py).call_method1("generate_chunks", arguments)?.try_iter()?;
            chunks.next().map(|chunk| range(&chunk?)).transpose()
        });
        let longest = timeframe.step(whole.start(), page.most);
        let asked = first.ok().flatten().map_or(longest, |chunk| timeframe.ceil(chunk.end()));
        let end = asked.min(longest).min(whole.end()).max(timeframe.next(whole.start()));
        TimeRange::non_empty(whole.start(), end).unwrap_or(whole)
    }

    fn observe(&self, observation: &Observation) {
        Python::attach(|py| {
            let object = self.0.object.bind(py);
            if !object.hasattr("observe").unwrap_or(false) {
                return;
            }
            let told = || -> PyResult<()> {
                let fields = PyDict::new(py);
                fields.set_item("timeframe", observation.timeframe.to_string())?;
                fields.set_item("bars", observation.bars)?;
                fields.set_item("rows", observation.rows)?;
                fields.set_item("seconds", observation.elapsed.as_secs_f64())?;
                fields.set_item("truncated", observation.truncated)?;
                object.call_method1("observe", (fields,)).map(drop)
            };
            if let Err(error) = told() {
                error.write_unraisable(py, Some(object));
            }
        });
    }
}
