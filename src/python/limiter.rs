//! Limiters as Python classes: of one process, or shared through a file or a database.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::convert::{datetime, millis, plain, seconds};
use super::foreign::{EventLoop, Foreign, ForeignLimiter};
use super::policy::overrides;
use super::runtime::{awaitable, enter, inside};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind};
use crate::ports::{self, Ask, Feedback, Permit, Priority, Verdict};
use crate::quota::{self, SharedLimiter};
use crate::rate_limit::{self, Alignment, Limits, Pace, Stats, Window, WindowLimiter};
use crate::secret::Secret;
use crate::time_range::Millis;

/// What a limiter is behind its class.
#[derive(Clone)]
enum Native {
    Own(Arc<WindowLimiter>),
    Shared(Arc<SharedLimiter>),
}

impl Native {
    fn port(&self) -> Arc<dyn ports::RateLimiter> {
        match self {
            Self::Own(limiter) => limiter.clone(),
            Self::Shared(limiter) => limiter.clone(),
        }
    }

    fn stats(&self) -> Stats {
        match self {
            Self::Own(limiter) => limiter.stats(),
            Self::Shared(limiter) => limiter.stats(),
        }
    }

    /// A permit that needs no waiting and no call.
    fn at_once(&self, weight: u32) -> crate::error::Result<Option<Permit>> {
        match self {
            Self::Own(limiter) => limiter.try_acquire(weight),
            Self::Shared(limiter) => limiter.try_acquire(weight),
        }
    }
}

/// A hard budget of exact windows, and a pacer at an adaptive rate.
///
/// See ``quant_framework.ingestion.rate_limit.AdaptiveRateLimiter``, which has other defaults and reads ``PGPASSWORD``.
///
/// Args:
///     windows: ``(weight, seconds)`` or ``(weight, seconds, "fixed")``.
///     base_rate: at the start, requests a second; ``None``: no pace, only windows.
///     max_rate: never faster; by default ``base_rate``.
///     min_rate: never slower; by default ``base_rate``.
///     backoff_factor: a refusal divides the rate, and what a window is thought to allow, by this.
///     burst: so many requests at once after a pause.
///     share: the part of every window that this limiter may use, above 0 and at most 1.
///     slack: seconds by which the source may count a request earlier or later than it was sent.
///     assume_full: count every window as full at the start.
///     place: where the windows are shared, ``postgresql://user@host/name`` or ``file:///folder``.
///     scope: with ``place``, what the source limits.
///     password: of the database.
///
/// Raises:
///     InvalidError: rates out of order, a window without weight or length, a place that is none.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct RateLimiter(Native);

/// Longer windows cannot be meant.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// An awaitable that is done already.
#[pyclass(frozen, module = "quant_framework._core")]
struct Done(f64);

#[pymethods]
impl Done {
    const fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    const fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self) -> PyResult<()> {
        Err(PyStopIteration::new_err(self.0))
    }
}

/// `(weight, seconds)` or `(weight, seconds, "rolling" | "fixed")`.
fn window(given: &Bound<'_, PyAny>) -> PyResult<Window> {
    let wrong = || {
        Error::invalid(format!(
            "window {given} must be (weight, seconds) or (weight, seconds, \"fixed\"), both above 0, of a year at most"
        ))
    };
    let parts: Vec<Bound<'_, PyAny>> = given.try_iter().map_err(|_| wrong())?.collect::<PyResult<_>>()?;
    let name = parts.get(2).map(PyAnyMethods::extract::<String>);
    let alignment = match name.transpose().map_err(|_| wrong())?.as_deref() {
        None | Some("rolling") => Alignment::Rolling,
        Some("fixed") => Alignment::Fixed,
        Some(_) => return Err(wrong().into()),
    };
    let [weight, length, ..] = &parts[..] else { return Err(wrong().into()) };
    let (weight, length) = (weight.extract::<u32>().unwrap_or(0), length.extract::<f64>().unwrap_or(0.0));
    let period = Duration::try_from_secs_f64(length)
        .ok()
        .filter(|period| (Duration::from_millis(1)..=YEAR).contains(period));
    match period {
        Some(period) if weight > 0 && parts.len() <= 3 => Ok(Window { weight, period, alignment }),
        _ => Err(wrong().into()),
    }
}

fn pace_of(base: f64, max: f64, min: f64, burst: u32) -> PyResult<Pace> {
    let ordered = 0.0 < min && min <= base && base <= max && max.is_finite();
    let burst = NonZeroU32::new(burst).filter(|_| ordered);
    let pace = burst.map(|burst| Pace { base, max, min, burst });
    let wrong = "rates must be 0 < min_rate <= base_rate <= max_rate";
    Ok(pace.ok_or_else(|| Error::invalid(wrong))?)
}

/// `live` or `backfill`.
pub(super) fn priority(name: &str) -> PyResult<Priority> {
    match name {
        "live" => Ok(Priority::Live),
        "backfill" => Ok(Priority::Backfill),
        other => Err(Error::invalid(format!("priority must be live or backfill, not {other:?}")).into()),
    }
}

fn ask(weight: i64, max_wait: Option<f64>, name: &str) -> PyResult<Ask> {
    let max_wait = max_wait.map(|longest| seconds("max_wait", longest)).transpose()?;
    let weight = u32::try_from(weight).ok().filter(|weight| *weight > 0);
    let weight = weight.ok_or_else(|| Error::invalid("weight must be at least 1"))?;
    Ok(Ask { weight, priority: priority(name)?, max_wait })
}

impl RateLimiter {
    fn tell(&self, weight: u32, verdict: Verdict, quotas: &[ports::Quota]) -> PyResult<()> {
        let feedback = Feedback { epoch: None, weight, verdict, quotas };
        inside(|| self.0.port().report(feedback))
    }
}

#[pymethods]
impl RateLimiter {
    /// `windows`: see `window`; rates in requests a second; `place` and `scope` make it a shared one.
    #[new]
    #[pyo3(signature = (windows, *, base_rate=None, max_rate=None, min_rate=None, backoff_factor=2.0, burst=1, share=1.0, slack=None, assume_full=false, place=None, scope=None, password=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        windows: &Bound<'_, PyAny>,
        base_rate: Option<f64>,
        max_rate: Option<f64>,
        min_rate: Option<f64>,
        backoff_factor: f64,
        burst: i64,
        share: f64,
        slack: Option<f64>,
        assume_full: bool,
        place: Option<&str>,
        scope: Option<&str>,
        password: Option<String>,
    ) -> PyResult<Self> {
        let windows = windows.try_iter()?.map(|given| window(&given?)).collect::<PyResult<Vec<_>>>()?;
        if !(backoff_factor > 1.0 && backoff_factor.is_finite()) {
            return Err(
                Error::invalid(format!("backoff_factor must be above 1, not {backoff_factor}")).into()
            );
        }
        let burst = u32::try_from(burst).ok().filter(|burst| *burst > 0);
        let burst = burst.ok_or_else(|| Error::invalid("burst must be at least 1"))?;
        if base_rate.is_none() && (max_rate.is_some() || min_rate.is_some()) {
            return Err(Error::invalid("max_rate and min_rate need a base_rate").into());
        }
        let rates = base_rate.map(|base| {
            let (max, min) = (max_rate.unwrap_or(base), min_rate.unwrap_or(base));
            pace_of(base, max, min, burst)
        });
        let rates = rates.transpose()?;
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::invalid(format!("share must be above 0 and at most 1, not {share}")).into());
        }
        let spread = slack.map(|slack| seconds("slack", slack)).transpose()?;
        let limits = Limits { windows, pace: rates, backoff_factor, share, spread, assume_full };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let Some(place) = place else {
            return Ok(Self(Native::Own(Arc::new(WindowLimiter::new(limits, clock)))));
        };
        let scope = scope.ok_or_else(|| {
            Error::invalid("a shared limiter needs a scope")
                .with_hint("name what the source limits: scope=\"coinalyze:...\"")
        })?;
        let password = password.map(Secret::new);
        let shared = quota::open(place, scope, password.as_ref(), limits, &clock)?;
        Ok(Self(Native::Shared(Arc::new(shared))))
    }

    /// Wait for a permit; the seconds waited.
    ///
    /// Args:
    ///     weight: what the request costs of every window.
    ///     max_wait: seconds; a wait that would be longer is refused at once.
    ///     priority: ``live`` goes before ``backfill``.
    ///
    /// Raises:
    ///     RateLimitedError: the wait would be longer than ``max_wait``; ``until`` says when to come back.
    ///     InvalidError: a weight that fits into no window.
    ///     ConflictError: other workers share the scope with other windows.
    ///     UnavailableError: the place where the windows are shared does not answer.
    #[pyo3(signature = (weight=1, max_wait=None, priority="backfill"))]
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        weight: i64,
        max_wait: Option<f64>,
        priority: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ask = ask(weight, max_wait, priority)?;
        if self.0.at_once(ask.weight)?.is_some() {
            return Ok(Bound::new(py, Done(0.0))?.into_any());
        }
        let limiter = self.0.port();
        awaitable(py, async move { limiter.acquire(ask).await }, |_, permit| Ok(permit.waited.as_secs_f64()))
    }

    /// As ``acquire``, blocking; obeys signals.
    #[pyo3(signature = (weight=1, max_wait=None, priority="backfill"))]
    fn acquire_sync(
        &self,
        py: Python<'_>,
        weight: i64,
        max_wait: Option<f64>,
        priority: &str,
    ) -> PyResult<f64> {
        let ask = ask(weight, max_wait, priority)?;
        if self.0.at_once(ask.weight)?.is_some() {
            return Ok(0.0);
        }
        let limiter = self.0.port();
        Ok(enter(py, async move { limiter.acquire(ask).await })?.waited.as_secs_f64())
    }

    /// Take a permit of ``weight`` if there is one now; a shared limiter may have to ask its place.
    #[pyo3(signature = (weight=1, priority="backfill"))]
    fn try_acquire(&self, py: Python<'_>, weight: i64, priority: &str) -> PyResult<bool> {
        let ask = ask(weight, Some(0.0), priority)?;
        if self.0.at_once(ask.weight)?.is_some() {
            return Ok(true);
        }
        let Native::Shared(limiter) = self.0.clone() else { return Ok(false) };
        let asked = async move {
            match ports::RateLimiter::acquire(&*limiter, ask).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == Kind::RateLimited => Ok(false),
                Err(error) => Err(error),
            }
        };
        enter(py, asked)
    }

    /// Say what the source answered: the limits are learned from it.
    ///
    /// Args:
    ///     event: ``success`` or ``throttled``.
    ///     until: with ``throttled``, the aware time after which to ask again, where the source says so.
    ///     weight: of the request.
    #[pyo3(signature = (event, until=None, *, weight=1))]
    fn report(&self, event: &str, until: Option<&Bound<'_, PyAny>>, weight: u32) -> PyResult<()> {
        let until = until.map(|until| millis(until, "until")).transpose()?;
        let verdict = match event {
            "success" => Verdict::Answered { is_slow: false },
            "throttled" => Verdict::Refused { until },
            other => {
                return Err(
                    Error::invalid(format!("event must be success or throttled, not {other:?}")).into()
                );
            }
        };
        self.tell(weight, verdict, &[])
    }

    /// Say what an HTTP answer says about quota; more than ``report``, as headers tell what is left.
    ///
    /// Args:
    ///     status: of the answer.
    ///     headers: a mapping or pairs, in any case: Retry-After and those that tell what is left.
    ///     body: the first bytes, where refusals are told by a code.
    ///     weight: of the request.
    ///
    /// Returns:
    ///     ``answered``, ``refused`` or ``failed``.
    #[pyo3(signature = (status, headers=None, body=None, *, weight=1))]
    fn report_response(
        &self,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&[u8]>,
        weight: u32,
    ) -> PyResult<&'static str> {
        let headers = headers.map_or(Ok(Vec::new()), texts)?;
        let pairs = headers.iter().map(|(name, value)| (&**name, &**value));
        let answer = rate_limit::read(status, pairs, body.unwrap_or_default(), SystemClock::default().now());
        self.tell(weight, answer.verdict, &answer.quotas)?;
        Ok(match answer.verdict {
            Verdict::Answered { .. } => "answered",
            Verdict::Refused { .. } => "refused",
            Verdict::Failed => "failed",
        })
    }

    /// How the limiter stands.
    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let stats = self.0.stats();
        let fields = plain(py, &stats)?;
        let until = stats.blocked_until.map(|until: Millis| datetime(until));
        fields.bind(py).cast::<PyDict>()?.set_item("blocked_until", until)?;
        Ok(fields)
    }

    /// The least seconds from now until requests of weight 1 that weigh ``weight`` together are sent.
    fn least_seconds(&self, py: Python<'_>, weight: u64) -> PyResult<f64> {
        let limiter = self.0.port();
        Ok(enter(py, async move { Ok(limiter.least_duration(weight, weight).await) })?.as_secs_f64())
    }

    /// Tell those who share the quota that this worker ends; a limiter that is used again takes part again.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let limiter = self.0.port();
        enter(py, async move {
            limiter.close().await;
            Ok(())
        })
    }
}

/// How the quotas of `source` at `place` stand, as a list of dicts, see `ScopeStats`. Nothing is written.
#[pyfunction]
#[pyo3(signature = (place, source, *, password=None))]
pub(super) fn quota_states(
    py: Python<'_>,
    place: String,
    source: String,
    password: Option<String>,
) -> PyResult<Bound<'_, PyAny>> {
    let password = password.map(Secret::new);
    let looked = async move {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        quota::look(&place, password.as_ref(), &source, &clock).await
    };
    awaitable(py, looked, |py, states| plain(py, &states))
}

/// Headers as a mapping or pairs, names in lower case.
fn texts(headers: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let pairs = match headers.call_method0("items") {
        Ok(items) => items,
        Err(_) => headers.clone(),
    };
    let one = |pair: PyResult<Bound<'_, PyAny>>| {
        let (name, value): (String, Bound<'_, PyAny>) = pair?.extract()?;
        Ok((name.to_ascii_lowercase(), value.str()?.to_string()))
    };
    pairs.try_iter()?.map(one).collect()
}

/// No limit for `None`, the native limiter behind `object`, or `object` itself as a limiter. A refusal by the source is
/// heeded whatever it is.
pub(super) fn limiter_from(
    object: &Bound<'_, PyAny>,
    event_loop: &EventLoop,
) -> PyResult<Arc<dyn ports::RateLimiter>> {
    if object.is_none() {
        return Ok(Arc::new(refusals()));
    }
    if let Ok(native) = object.cast::<RateLimiter>()
        && !overrides::<RateLimiter>(object, &["acquire"])?
    {
        return Ok(native.get().0.port());
    }
    let foreign = Foreign::new(object, "rate_limiter", event_loop);
    Ok(Arc::new(ForeignLimiter { foreign, refusals: refusals() }))
}

/// Lets everything through but what comes after a refusal.
fn refusals() -> WindowLimiter {
    WindowLimiter::new(Limits::new(Vec::new(), None), Arc::new(SystemClock::default()))
}
