//! Coinalyze API v1. Times are in seconds there and both ends inclusive; every symbol of a request costs one
//! of 40 calls a minute; intraday history is kept for some 2,000 points. An unknown symbol is answered with an
//! empty list, so that it looks like a symbol without history: here it is an error.

mod history;
mod markets;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

pub use markets::MarketChoice;

use self::history::{batch, endpoint, interval};
use self::markets::Market;
use super::http::Http;
use super::scan::scan_history;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::per_process::PerProcess;
use crate::ports::{Capability, DataAdapter, FetchRequest, Fetched, Prices};
use crate::secret::Secret;
use crate::series::DataType;
use crate::time_range::iso;
use crate::timeframe::Timeframe;

/// Where the real API is.
pub const BASE_URL: &str = "https://api.coinalyze.net/v1";
/// Intraday points that the API keeps (documented: 1,500 to 2,000).
pub const RETENTION: u32 = 2000;
/// Rows asked for at once: a day of minutes fits, and no documented limit is met.
const ROWS_PER_REQUEST: u32 = 2000;

/// How to reach the API and what to ask of it.
#[derive(Debug, Clone)]
pub struct CoinalyzeSettings {
    /// Sent as a header; never in a URL.
    pub api_key: Option<Secret>,
    /// Another server that speaks the protocol.
    pub base_url: Option<String>,
    /// Which market a bare name such as `BTC` means.
    pub market: MarketChoice,
    /// Intraday points that the server keeps; `None`: everything.
    pub retention: Option<u32>,
    /// Open interest and liquidations in USD.
    pub convert_to_usd: bool,
}

impl Default for CoinalyzeSettings {
    fn default() -> Self {
        Self {
            api_key: None,
            base_url: None,
            market: MarketChoice::default(),
            retention: Some(RETENTION),
            convert_to_usd: false,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct CoinalyzeAdapter {
    http: Http,
    market: MarketChoice,
    retention: Option<u32>,
    convert_to_usd: bool,
    /// Asked for once: by a forked child again, as its parent may be about to.
    markets: PerProcess<OnceCell<Arc<Vec<Market>>>>,
    clock: Arc<dyn Clock>,
}

impl CoinalyzeAdapter {
    /// `Invalid` without a key or with a wrong URL. Opens nothing yet.
    pub fn new(settings: CoinalyzeSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let key = settings.api_key.filter(|key| !key.expose().trim().is_empty()).ok_or_else(|| {
            Error::invalid("Coinalyze needs an API key")
                .with_hint("set the environment variable COINALYZE_API_KEY, pass api_key=..., or name a connection (market_data_conn_id)")
        })?;
        if !key.expose().chars().all(|c| c.is_ascii_graphic()) {
            return Err(Error::invalid("the Coinalyze API key holds characters that no key has"));
        }
        let http = Http::new(
            settings.base_url.as_deref().unwrap_or(BASE_URL),
            Some(("api_key", key)),
            explain,
            Arc::clone(&clock),
        )?;
        let (market, retention, convert_to_usd) =
            (settings.market, settings.retention, settings.convert_to_usd);
        Ok(Self { http, market, retention, convert_to_usd, markets: PerProcess::default(), clock })
    }

    /// What the source limits: the key, as a name without secrets. Another server's limit is another one.
    pub fn quota_scope(&self) -> String {
        self.http.scope("coinalyze", BASE_URL)
    }

    fn known(&self) -> Arc<OnceCell<Arc<Vec<Market>>>> {
        self.markets.get_or_init(OnceCell::new)
    }

    async fn markets(&self) -> Result<Arc<Vec<Market>>> {
        let load = || async {
            let (body, _) = self.http.get("future-markets", &[]).await?;
            serde_json::from_slice(&body)
                .map(Arc::new)
                .map_err(|error| Error::data(format!("the list of markets is unreadable: {error}")))
        };
        Ok(Arc::clone(self.known().get_or_try_init(load).await?))
    }

    fn query(&self, request: &FetchRequest) -> Result<Vec<(&'static str, String)>> {
        let (series, range) = (&request.series, request.range);
        // Both ends are inclusive there, so the last bar is the last one that opens before the end.
        let last = series.timeframe.floor(range.end() - 1);
        let mut query = vec![
            ("symbols", series.symbol.clone()),
            ("interval", interval(series.timeframe)?.to_owned()),
            ("from", (range.start() / 1000).to_string()),
            ("to", (last / 1000).to_string()),
        ];
        if self.convert_to_usd && matches!(series.data_type, DataType::OpenInterest | DataType::Liquidations)
        {
            query.push(("convert_to_usd", "true".to_owned()));
        }
        Ok(query)
    }
}

fn explain(status: u16, said: String, _body: &[u8]) -> Error {
    match status {
        401 | 403 => Error::invalid(format!("{said}: the API key was refused"))
            .with_hint("check the key: the environment variable COINALYZE_API_KEY, api_key=..., or the connection's password")
            .fatal(),
        _ => Error::invalid(said),
    }
}

#[async_trait]
impl DataAdapter for CoinalyzeAdapter {
    fn source(&self) -> &'static str {
        "coinalyze"
    }

    fn capability(&self, data_type: DataType, timeframe: Timeframe) -> Result<Capability> {
        interval(timeframe).map_err(|error| error.context(data_type))?;
        let daily = timeframe == Timeframe::Minutes(1440);
        let retention_bars = self.retention.filter(|_| !daily);
        Ok(Capability { prices: Prices::flat(ROWS_PER_REQUEST, 1), retention_bars })
    }

    fn is_exact(&self, symbol: &str) -> bool {
        symbol.contains('.')
    }

    async fn resolve(&self, symbol: &str) -> Result<String> {
        self.market.pick(&self.markets().await?, symbol)
    }

    fn resolve_weight(&self) -> u32 {
        u32::from(!self.known().initialized())
    }

    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched> {
        let (series, query) = (&request.series, self.query(request)?);
        let path = endpoint(series.data_type);
        let (body, quotas) = self.http.get(path, &query).await?;
        let mut found = scan_history(&body, history::fields(series.data_type))
            .map_err(|error| error.context(format!("{path} of {}", series.symbol)))?;
        let Some(history) = found.pop() else {
            return Err(Error::invalid(format!("Coinalyze knows no symbol {:?}", series.symbol))
                .with_hint("it may have been renamed or delisted; a bare name such as BTC is looked up"));
        };
        if history.symbol != series.symbol || !found.is_empty() {
            return Err(Error::data(format!(
                "asked for {:?}, Coinalyze answered {:?}",
                series.symbol, history.symbol
            )));
        }
        let parameters =
            query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let lineage =
            [("endpoint", path.to_owned()), ("request", parameters), ("fetched_at", iso(self.clock.now()))];
        Ok(Fetched {
            batch: batch(series.data_type, history.columns)?,
            bytes: body.len() as u64,
            truncated: false,
            quotas,
            lineage: lineage.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }

    fn fingerprint(&self) -> String {
        let unit = if self.convert_to_usd { " convert_to_usd" } else { "" };
        format!("coinalyze/v1{unit}")
    }

    fn lookup(&self) -> String {
        self.market.describe()
    }
}
