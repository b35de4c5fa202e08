//! One tokio runtime per process id, made at first use and drained before the interpreter ends.
//! [`awaitable`] and [`enter`] are the only ways in: both release the GIL and map errors.
//!
//! A forked child finds the runtime of its parent, whose threads it does not have: that one is leaked
//! (dropping it would join dead threads) and a new one is made.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{self, ContextExt, JoinError, Runtime};

use crate::error::Result;

/// Python's signal handlers run this often while a synchronous call waits.
const POLL: Duration = Duration::from_millis(50);
/// How long the end of the interpreter waits for calls that still run.
const DRAIN: Duration = Duration::from_secs(5);

type Held = Option<(u32, Arc<tokio::runtime::Runtime>)>;
static RUNTIME: Mutex<Held> = Mutex::new(None);

fn held() -> std::sync::MutexGuard<'static, Held> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The runtime of this process.
fn runtime() -> PyResult<Arc<tokio::runtime::Runtime>> {
    let process = std::process::id();
    if let Some((owner, runtime)) = &*held()
        && *owner == process
    {
        return Ok(Arc::clone(runtime));
    }
    super::log::listen();
    let built =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("quant-framework").build();
    let runtime =
        Arc::new(built.map_err(|error| PyRuntimeError::new_err(format!("cannot start threads: {error}")))?);
    let old = held().replace((process, Arc::clone(&runtime)));
    std::mem::forget(old);
    Python::attach(|py| {
        let drain = PyCFunction::new_closure(py, None, None, |arguments, _| drain(arguments.py()))?;
        py.import("atexit")?.call_method1("register", (drain,)).map(drop)
    })?;
    Ok(runtime)
}

/// Ends this process's runtime and waits for its threads, so that none of them enters a dying interpreter.
fn drain(py: Python<'_>) {
    let process = std::process::id();
    let Some((owner, runtime)) = held().take() else { return };
    if owner != process {
        std::mem::forget(runtime);
        return;
    }
    py.detach(|| match Arc::try_unwrap(runtime) {
        Ok(runtime) => runtime.shutdown_timeout(DRAIN),
        Err(shared) => std::mem::forget(shared),
    });
}

/// The face of [`runtime`] towards the asyncio bridge.
pub(super) struct ProcessRuntime;

pub(super) struct Failed(tokio::task::JoinError);

impl JoinError for Failed {
    fn is_panic(&self) -> bool {
        self.0.is_panic()
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send + 'static> {
        self.0.into_panic()
    }
}

pub(super) struct Joining(tokio::task::JoinHandle<()>);

impl Future for Joining {
    type Output = std::result::Result<(), Failed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(Failed)
    }
}

tokio::task_local! {
    static LOCALS: TaskLocals;
}

impl Runtime for ProcessRuntime {
    type JoinError = Failed;
    type JoinHandle = Joining;

    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Self::JoinHandle {
        Joining(tokio::runtime::Handle::current().spawn(future))
    }

    fn spawn_blocking<F: FnOnce() + Send + 'static>(work: F) -> Self::JoinHandle {
        Joining(tokio::runtime::Handle::current().spawn_blocking(work))
    }
}

impl ContextExt for ProcessRuntime {
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(locals, future))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS.try_with(Clone::clone).ok()
    }
}

/// An awaitable that starts its work when it is awaited: what [`awaitable`] gives where no loop runs, as in a plain
/// method of an author's that answers `super().write(...)`.
#[pyclass(frozen, module = "quant_framework._core")]
pub(super) struct Deferred(Mutex<Option<Start>>);

type Start = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

#[pymethods]
impl Deferred {
    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let start = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let start = start.ok_or_else(|| PyRuntimeError::new_err("this call was awaited already"))?;
        start(py)?.into_bound(py).call_method0("__await__")
    }
}

/// Starts `future` and gives Python an awaitable for `convert` of its result. The GIL is free meanwhile and
/// the event loop keeps running signal handlers. Cancelling the awaitable drops `future`.
pub(super) fn awaitable<'py, T, U>(
    py: Python<'py>,
    future: impl Future<Output = Result<T>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<U> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    U: for<'a> IntoPyObject<'a> + Send + 'static,
{
    let Ok(locals) = TaskLocals::with_running_loop(py) else {
        let start = move |py: Python<'_>| start(py, TaskLocals::with_running_loop(py)?, future, convert);
        return Ok(Bound::new(py, Deferred(Mutex::new(Some(Box::new(start)))))?.into_any());
    };
    Ok(start(py, locals, future, convert)?.into_bound(py))
}

fn start<T, U>(
    py: Python<'_>,
    locals: TaskLocals,
    future: impl Future<Output = Result<T>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<U> + Send + 'static,
) -> PyResult<Py<PyAny>>
where
    T: Send + 'static,
    U: for<'a> IntoPyObject<'a> + Send + 'static,
{
    let runtime = runtime()?;
    let _context = runtime.enter();
    let converted = async move {
        let value = future.await?;
        Python::attach(|py| convert(py, value))
    };
    let locals = locals.copy_context(py)?;
    Ok(generic::future_into_py_with_locals::<ProcessRuntime, _, U>(py, locals, converted)?.unbind())
}

/// Runs `future` to its end, or until a Python signal handler raises. The GIL is free meanwhile.
pub(super) fn enter<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    let runtime = runtime()?;
    let mut future = Box::pin(future);
    loop {
        // On this thread: handing a short call over to another one and back costs more than many calls do.
        let waited = py.detach(|| {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    done = &mut future => Some(done),
                    () = tick() => None,
                }
            })
        });
        if let Some(result) = waited {
            return Ok(result?);
        }
        py.check_signals()?;
    }
}

/// Runs `work`, which does not wait, where it may start tasks.
pub(super) fn inside<T>(work: impl FnOnce() -> T) -> PyResult<T> {
    let runtime = runtime()?;
    let _context = runtime.enter();
    Ok(work())
}

#[expect(clippy::disallowed_methods, reason = "paces signal polling at the edge; no decision depends on it")]
async fn tick() {
    tokio::time::sleep(POLL).await;
}
