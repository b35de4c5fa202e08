//! Native adapters and fetch requests as Python classes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pyo3::PyClass;
use pyo3::prelude::*;

use super::batch::Batch;
use super::convert::{datetime, span};
use super::foreign::{EventLoop, Foreign, ForeignAdapter};
use super::policy::overrides;
use super::runtime::awaitable;
use super::writer::LakeAdapter;
use crate::adapters::archive;
use crate::adapters::binance::{self, BinanceSettings, Venue};
use crate::adapters::coinalyze::{self, CoinalyzeSettings, MarketChoice};
use crate::clock::SystemClock;
use crate::error::Error;
use crate::ports::{self, DataAdapter};
use crate::secret::Secret;
use crate::series::Series;

/// One request to a source: the bars of one series that open in ``[start, end)``.
///
/// Args:
///     series: key, ``source/data_type/symbol/timeframe``.
///     start: open time of the first bar, aware.
///     end: end (exclusive), aware.
///
/// Raises:
///     InvalidError: no such key, a naive time, or an end that is not after the start.
#[pyclass(frozen, skip_from_py_object, module = "quant_framework._core")]
#[derive(Clone)]
pub(super) struct FetchRequest(pub(super) ports::FetchRequest);

#[pymethods]
impl FetchRequest {
    /// `series` is a key, `source/data_type/symbol/timeframe`; times are aware.
    #[new]
    fn new(series: &str, start: &Bound<'_, PyAny>, end: &Bound<'_, PyAny>) -> PyResult<Self> {
        let range = span(start, end)?;
        Ok(Self(ports::FetchRequest { series: series.parse::<Series>()?, range }))
    }

    /// Key of the series.
    #[getter]
    fn series(&self) -> String {
        self.0.series.to_string()
    }

    /// Name of the data type, such as ``ohlcv``.
    #[getter]
    fn data_type(&self) -> &'static str {
        self.0.series.data_type.name()
    }

    /// The source's own name of the market.
    #[getter]
    fn symbol(&self) -> &str {
        &self.0.series.symbol
    }

    /// Such as ``1m``.
    #[getter]
    fn timeframe(&self) -> String {
        self.0.series.timeframe.to_string()
    }

    /// Open time of the first bar, UTC.
    #[getter]
    fn start(&self) -> DateTime<Utc> {
        datetime(self.0.range.start())
    }

    /// End (exclusive), UTC.
    #[getter]
    fn end(&self) -> DateTime<Utc> {
        datetime(self.0.range.end())
    }

    fn __repr__(&self) -> String {
        format!("FetchRequest({}, {})", self.0.series, self.0.range)
    }
}

/// What every native adapter is; made by its subclasses alone. Safe to share between threads; copies share it.
#[pyclass(frozen, subclass, module = "quant_framework._core")]
pub(super) struct NativeAdapter {
    adapter: Arc<dyn DataAdapter>,
    quota_scope: String,
}

impl NativeAdapter {
    /// As the base of `subclass`.
    pub(super) fn with<S>(
        subclass: S,
        adapter: impl DataAdapter + 'static,
        quota_scope: String,
    ) -> PyClassInitializer<S>
    where
        S: PyClass<BaseType = Self>,
    {
        PyClassInitializer::from(Self { adapter: Arc::new(adapter), quota_scope }).add_subclass(subclass)
    }
}

#[pymethods]
impl NativeAdapter {
    /// Name of the source.
    #[getter]
    fn source(&self) -> &str {
        self.adapter.source()
    }

    /// What the source limits: who shares one quota, as a name without secrets.
    #[getter]
    fn quota_scope(&self) -> &str {
        &self.quota_scope
    }

    /// What determines the rows beside their series; kept in checkpoints.
    #[getter]
    fn fingerprint(&self) -> String {
        self.adapter.fingerprint()
    }

    /// What determines the meaning of a bare name such as ``BTC``.
    #[getter]
    fn lookup(&self) -> String {
        self.adapter.lookup()
    }

    /// What looking a name up costs of the quota; 0 where it is known already.
    #[getter]
    fn resolve_weight(&self) -> u32 {
        self.adapter.resolve_weight()
    }

    /// Of a source of files: seconds after a bar's end within which its file comes; of any other source ``None``.
    fn file_delay(&self, timeframe: &str) -> PyResult<Option<f64>> {
        Ok(self.adapter.file_delay(timeframe.parse()?).map(|delay| delay.as_secs_f64()))
    }

    /// What one request for a data type and timeframe gives and costs.
    ///
    /// Raises:
    ///     InvalidError: the source has no such data.
    fn capability<'py>(
        &self,
        py: Python<'py>,
        data_type: &str,
        timeframe: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let capability = self.adapter.capability(data_type.parse()?, timeframe.parse()?)?;
        let fields = pyo3::types::PyDict::new(py);
        fields.set_item("rows_per_request", capability.prices.page().most)?;
        fields.set_item("weight", capability.prices.weight(1))?;
        fields.set_item("prices", capability.prices.steps().collect::<Vec<_>>())?;
        fields.set_item("retention_bars", capability.retention_bars)?;
        Ok(fields.into_any())
    }

    /// Whether ``symbol`` is the source's own name, so that it need not be looked up.
    fn is_exact(&self, symbol: &str) -> bool {
        self.adapter.is_exact(symbol)
    }

    /// The source's own name for one such as ``BTC``; an exact one passes through.
    ///
    /// Raises:
    ///     InvalidError: the source has no such market.
    ///     UnavailableError: the source did not answer as it should.
    ///     RateLimitedError: the source refused.
    fn resolve<'py>(&self, py: Python<'py>, symbol: String) -> PyResult<Bound<'py, PyAny>> {
        let adapter = Arc::clone(&self.adapter);
        let resolved = async move {
            if adapter.is_exact(&symbol) { Ok(symbol) } else { adapter.resolve(&symbol).await }
        };
        awaitable(py, resolved, |_, symbol| Ok(symbol))
    }

    /// Ask the source once, without retries and without a limiter.
    ///
    /// Raises:
    ///     InvalidError: another source's series, or one that the source does not have; a wrong key.
    ///     UnavailableError: the source did not answer as it should.
    ///     RateLimitedError: the source refused.
    ///     DataError: the answer cannot be read.
    fn fetch<'py>(&self, py: Python<'py>, request: &FetchRequest) -> PyResult<Bound<'py, PyAny>> {
        let (adapter, request) = (Arc::clone(&self.adapter), request.0.clone());
        awaitable(py, async move { adapter.fetch(&request).await }, |_, fetched| Ok(Batch(fetched.batch)))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!("{}({})", slf.get_type().name()?, slf.get().adapter.lookup()))
    }

    /// Copies of a task share their adapter.
    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Copies of a task share their adapter.
    fn __deepcopy__<'py>(slf: Bound<'py, Self>, _memo: &Bound<'_, PyAny>) -> Bound<'py, Self> {
        slf
    }
}

/// Coinalyze API v1, native; see ``quant_framework.ingestion.adapters.CoinalyzeAdapter``.
///
/// Args:
///     api_key: sent as a header.
///     base_url: another server that speaks the protocol.
///     exchange: Coinalyze's code of the exchange that a bare name means, such as ``A`` for Binance.
///     quote: the quote asset that a bare name means.
///     retention: intraday points that the server keeps; ``None`` for one that keeps everything.
///     convert_to_usd: open interest and liquidations in USD.
///
/// Raises:
///     InvalidError: no key, or a wrong URL.
#[pyclass(frozen, subclass, extends = NativeAdapter, module = "quant_framework._core")]
pub(super) struct CoinalyzeAdapter;

#[pymethods]
impl CoinalyzeAdapter {
    #[new]
    #[pyo3(signature = (api_key=None, base_url=None, *, exchange=None, quote=None, retention=2000, convert_to_usd=false))]
    fn new(
        api_key: Option<String>,
        base_url: Option<String>,
        exchange: Option<String>,
        quote: Option<String>,
        retention: Option<u32>,
        convert_to_usd: bool,
    ) -> PyResult<PyClassInitializer<Self>> {
        let market = MarketChoice { exchange, quote };
        let api_key = api_key.map(Secret::new);
        let settings = CoinalyzeSettings { api_key, base_url, market, retention, convert_to_usd };
        let adapter = coinalyze::CoinalyzeAdapter::new(settings, Arc::new(SystemClock::default()))?;
        let scope = adapter.quota_scope();
        Ok(NativeAdapter::with(Self, adapter, scope))
    }
}

/// Binance's public REST API, native; see ``quant_framework.ingestion.adapters.BinanceAdapter``.
///
/// Args:
///     market: ``spot`` or ``usdm``.
///     base_url: another server that speaks the protocol.
///     quote: the quote asset that a bare name means.
///
/// Raises:
///     InvalidError: no such market, or a wrong URL.
#[pyclass(frozen, subclass, extends = NativeAdapter, module = "quant_framework._core")]
pub(super) struct BinanceAdapter;

#[pymethods]
impl BinanceAdapter {
    #[new]
    #[pyo3(signature = (market="spot", base_url=None, quote=None))]
    fn new(
        market: &str,
        base_url: Option<String>,
        quote: Option<String>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let venue = match market {
            "spot" => Venue::Spot,
            "usdm" => Venue::UsdM,
            other => return Err(Error::invalid(format!("market must be spot or usdm, not {other:?}")).into()),
        };
        let settings = BinanceSettings { venue, base_url, quote };
        let adapter = binance::BinanceAdapter::new(settings, Arc::new(SystemClock::default()))?;
        let scope = adapter.quota_scope();
        Ok(NativeAdapter::with(Self, adapter, scope))
    }
}
/// Binance's public archive, native; see ``quant_framework.ingestion.adapters.BinanceArchiveAdapter``.
///
/// Args:
///     market: ``spot`` or ``usdm``.
///     base_url: another server that has the archive's files.
///
/// Raises:
///     InvalidError: no such market, or a wrong URL.
#[pyclass(frozen, subclass, extends = NativeAdapter, module = "quant_framework._core")]
pub(super) struct BinanceArchiveAdapter;

#[pymethods]
impl BinanceArchiveAdapter {
    #[new]
    #[pyo3(signature = (market="spot", base_url=None))]
    fn new(market: &str, base_url: Option<&str>) -> PyResult<PyClassInitializer<Self>> {
        let clock = Arc::new(SystemClock::default());
        let adapter =
            archive::BinanceArchiveAdapter::new(market.parse::<archive::Market>()?, base_url, clock)?;
        Ok(NativeAdapter::with(Self, adapter, Self::limited_as().to_owned()))
    }

    /// Whose documented limit holds: the archive has none, its namesake has.
    #[classattr]
    fn limited_as() -> &'static str {
        "binance_archive"
    }
}

/// What a Python class overrides where it is not the native adapter any more.
const METHODS: [&str; 4] = ["fetch", "capability", "resolve", "is_exact"];

/// The native adapter behind `object`, or `object` itself as an adapter.
pub(super) fn adapter_from(
    object: &Bound<'_, PyAny>,
    event_loop: &EventLoop,
) -> PyResult<Arc<dyn DataAdapter>> {
    if let Ok(native) = object.cast::<NativeAdapter>()
        && !overrides::<NativeAdapter>(object, &METHODS)?
    {
        return Ok(Arc::clone(&native.get().adapter));
    }
    if let Ok(lake) = object.cast_exact::<LakeAdapter>() {
        return Ok(lake.get().native());
    }
    let kind = object.get_type().name()?;
    if !object.hasattr("fetch")? {
        return Err(Error::invalid(format!("adapter {kind} has no method fetch(request)")).into());
    }
    let source = object.getattr("source").and_then(|source| source.extract::<String>());
    let source =
        source.map_err(|_| Error::invalid(format!("adapter {kind} has no attribute source (a string)")))?;
    for name in ["fingerprint", "lookup"] {
        if object.getattr(name).is_ok_and(|value| !value.is_instance_of::<pyo3::types::PyString>()) {
            return Err(Error::invalid(format!("{name} of the adapter {kind} is no string")).into());
        }
    }
    Ok(Arc::new(ForeignAdapter { foreign: Foreign::new(object, "adapter", event_loop), source }))
}
