//! Binance's public REST API: spot and USD-M futures, without a key. Times are in milliseconds, both ends inclusive;
//! quota is weight in minutes of the clock, per address. A range before a market's listing is answered with no rows.

mod klines;
mod markets;
mod points;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::klines::interval;
use self::markets::Market;
use super::http::Http;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::per_process::PerProcess;
use crate::ports::{Capability, DataAdapter, FetchRequest, Fetched, Prices};
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::{Millis, iso};
use crate::timeframe::Timeframe;

/// Rows of open interest and of funding that one request may ask for.
const INTEREST_ROWS: u32 = 500;
const FUNDING_ROWS: u32 = 1000;
/// Both have buckets of their own (1,000 and 500 requests in 5 minutes) beside the 2,400 of weight in a minute, and move
/// no header. One limiter stands for a source, so they pay as much of the weight as keeps them inside their buckets.
const INTEREST_WEIGHT: u32 = 12;
const FUNDING_WEIGHT: u32 = 24;
/// Open interest is kept for 30 days. An hour less is asked for: a run takes a while, and a start beyond is an error.
const KEPT: Millis = (30 * 24 - 1) * 3_600_000;

/// Which of Binance's exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Venue {
    /// Spot, source `binance`.
    Spot,
    /// Futures margined in stable coins, source `binance_usdm`.
    UsdM,
}

impl Venue {
    /// Where the real API is.
    pub const fn base_url(self) -> &'static str {
        match self {
            Self::Spot => "https://api.binance.com",
            Self::UsdM => "https://fapi.binance.com",
        }
    }

    const fn source(self) -> &'static str {
        match self {
            Self::Spot => "binance",
            Self::UsdM => "binance_usdm",
        }
    }

    /// Path, query and weight of the list of markets.
    const fn listing(self) -> (&'static str, &'static [(&'static str, &'static str)], u32) {
        match self {
            Self::Spot => ("api/v3/exchangeInfo", &[("showPermissionSets", "false")], 20),
            Self::UsdM => ("fapi/v1/exchangeInfo", &[], 1),
        }
    }

    fn path(self, data_type: DataType) -> Result<&'static str> {
        match (self, data_type) {
            (Self::Spot, DataType::Ohlcv) => Ok("api/v3/klines"),
            (Self::UsdM, DataType::Ohlcv) => Ok("fapi/v1/klines"),
            (Self::UsdM, DataType::OpenInterest) => Ok("futures/data/openInterestHist"),
            (Self::UsdM, DataType::FundingRate) => Ok("fapi/v1/fundingRate"),
            (Self::Spot, DataType::OpenInterest | DataType::FundingRate) => {
                Err(Error::invalid(format!("Binance's spot markets have no {data_type}"))
                    .with_hint("use the source binance_usdm"))
            }
            _ => Err(Error::invalid(format!("Binance's REST API has no history of {data_type}"))),
        }
    }
}

/// How to reach the API and what to ask of it.
#[derive(Debug, Clone)]
pub struct BinanceSettings {
    /// Which exchange.
    pub venue: Venue,
    /// Another server that speaks the protocol.
    pub base_url: Option<String>,
    /// A bare name such as `BTC` means the market quoted in this asset; by default USDT, else USDC, FDUSD, BUSD, TUSD.
    pub quote: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct BinanceAdapter {
    http: Http,
    venue: Venue,
    quote: Option<String>,
    /// Asked for once: by a forked child again, as its parent may be about to.
    markets: PerProcess<OnceCell<Arc<Vec<Market>>>>,
    clock: Arc<dyn Clock>,
}

impl BinanceAdapter {
    /// `Invalid` for a wrong URL. Opens nothing yet.
    pub fn new(settings: BinanceSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let BinanceSettings { venue, base_url, quote } = settings;
        let base_url = base_url.as_deref().unwrap_or(venue.base_url());
        let http = Http::new(base_url, None, explain, Arc::clone(&clock))?;
        Ok(Self { http, venue, quote, markets: PerProcess::default(), clock })
    }

    /// What the source limits: the address that asks. Another server's limit is another one.
    pub fn quota_scope(&self) -> String {
        self.http.scope(self.venue.source(), self.venue.base_url())
    }

    fn known(&self) -> Arc<OnceCell<Arc<Vec<Market>>>> {
        self.markets.get_or_init(OnceCell::new)
    }

    async fn markets(&self) -> Result<Arc<Vec<Market>>> {
        let load = || async {
            let (path, query, _) = self.venue.listing();
            let query: Vec<_> = query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let (body, _) = self.http.get(path, &query).await?;
            markets::markets(&body).map(Arc::new)
        };
        Ok(Arc::clone(self.known().get_or_try_init(load).await?))
    }
}

/// `interval=1h&startTime=...`, in the order of the documents. Both ends are inclusive there.
fn query(request: &FetchRequest) -> Result<Vec<(&'static str, String)>> {
    let (series, range) = (&request.series, request.range);
    let timeframe = series.timeframe;
    // Open interest of a bar is stamped with its end.
    let shift = if series.data_type == DataType::OpenInterest { timeframe.shortest() } else { 0 };
    let last = if shift > 0 { range.end() } else { range.end() - 1 };
    let symbol = ("symbol", series.symbol.clone());
    let times = [("startTime", (range.start() + shift).to_string()), ("endTime", last.to_string())];
    let rows = timeframe.count(range.start(), range.end());
    let limit = if series.data_type == DataType::FundingRate { u64::from(FUNDING_ROWS) } else { rows };
    let length = match series.data_type {
        DataType::Ohlcv => Some(("interval", interval(timeframe)?.to_owned())),
        DataType::OpenInterest => Some(("period", interval(timeframe)?.to_owned())),
        _ => None,
    };
    Ok([symbol].into_iter().chain(length).chain(times).chain([("limit", limit.to_string())]).collect())
}

/// `Invalid` where there are no such bars.
fn check_length(data_type: DataType, timeframe: Timeframe) -> Result<()> {
    let (least, known) = match data_type {
        DataType::OpenInterest => (5, "5m, 15m, 30m, 1h, 2h, 4h, 6h, 12h, 1d"),
        DataType::FundingRate => (60, "1h, 2h, 4h, 6h, 8h, 12h, 1d"),
        _ => return interval(timeframe).map(drop),
    };
    let fits = matches!(timeframe, Timeframe::Minutes(n) if n >= least)
        && !(data_type == DataType::OpenInterest && timeframe == Timeframe::Minutes(480));
    if fits {
        Ok(())
    } else {
        Err(Error::invalid(format!("Binance has no {timeframe} bars; it has {known}")))
    }
}

/// What the answer is beside its rows.
fn meaning(data_type: DataType) -> Option<(&'static str, &'static str)> {
    match data_type {
        DataType::OpenInterest => Some(("unit", "base")),
        DataType::FundingRate => Some(("ts", "the bar that fundingTime lies in")),
        _ => None,
    }
}

/// What a failure says in Binance's numbers.
fn explain(status: u16, said: String, body: &[u8]) -> Error {
    let code = || serde_json::from_slice::<serde_json::Value>(body).ok()?.get("code")?.as_i64();
    match (status, code()) {
        (403 | 451, _) => Error::invalid(format!("{said}: Binance does not serve this address (region or firewall)"))
            .with_hint("ask from another address, or pass base_url= of a server that serves yours, such as https://data-api.binance.vision for spot")
            .fatal(),
        (_, Some(-1121)) => Error::invalid(format!("{said}: Binance knows no such symbol"))
            .with_hint("it may have been renamed or delisted, or be of the other market (sources binance and binance_usdm); a bare name such as BTC is looked up"),
        (_, Some(-1000 | -1001 | -1006 | -1007 | -1008)) => Error::unavailable(said),
        (404, None) => Error::invalid(said).with_hint("is base_url a server that speaks Binance's protocol?"),
        _ => Error::invalid(said),
    }
}

#[async_trait]
impl DataAdapter for BinanceAdapter {
    fn source(&self) -> &'static str {
        self.venue.source()
    }

    fn capability(&self, data_type: DataType, timeframe: Timeframe) -> Result<Capability> {
        self.venue.path(data_type)?;
        check_length(data_type, timeframe).map_err(|error| error.context(data_type))?;
        let prices = match (data_type, self.venue) {
            (DataType::OpenInterest, _) => Prices::flat(INTEREST_ROWS, INTEREST_WEIGHT),
            // One row more is asked for than there are bars: a full answer means that there may be more.
            (DataType::FundingRate, _) => Prices::flat(FUNDING_ROWS - 1, FUNDING_WEIGHT),
            (_, Venue::Spot) => Prices::flat(1000, 2),
            // 499 rows for 2 are the most for the quota; 1,500 for 10 are answered unreliably beyond 1,000.
            (_, Venue::UsdM) => Prices::new(&[(99, 1), (499, 2), (1000, 5)])?,
        };
        let kept = (data_type == DataType::OpenInterest).then(|| 1 + (KEPT / timeframe.shortest()) as u32);
        Ok(Capability { prices, retention_bars: kept })
    }

    fn is_exact(&self, symbol: &str) -> bool {
        markets::is_exact(symbol)
    }

    async fn resolve(&self, symbol: &str) -> Result<String> {
        markets::pick(&self.markets().await?, symbol, self.quote.as_deref())
    }

    fn resolve_weight(&self) -> u32 {
        if self.known().initialized() { 0 } else { self.venue.listing().2 }
    }

    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched> {
        let (data_type, timeframe) = (request.series.data_type, request.series.timeframe);
        let (path, query) = (self.venue.path(data_type)?, query(request)?);
        let (body, quotas) = self.http.get(path, &query).await?;
        let rows: Result<(Batch, bool)> = match data_type {
            DataType::OpenInterest => points::open_interest(&body, timeframe).map(|batch| (batch, false)),
            DataType::FundingRate => points::funding(&body, timeframe, FUNDING_ROWS as usize),
            _ => klines::batch(&body).map(|batch| (batch, false)),
        };
        let (batch, truncated) =
            rows.map_err(|error| error.context(format!("{path} of {}", request.series.symbol)))?;
        let parameters =
            query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let lineage =
            [("endpoint", path.to_owned()), ("request", parameters), ("fetched_at", iso(self.clock.now()))];
        let lineage =
            lineage.into_iter().chain(meaning(data_type).map(|(key, value)| (key, value.to_owned())));
        Ok(Fetched {
            batch,
            bytes: body.len() as u64,
            truncated,
            quotas,
            lineage: lineage.map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }

    /// That of the archive, so that its series go on here.
    fn fingerprint(&self) -> String {
        match self.venue {
            Venue::Spot => "binance/v1 spot".to_owned(),
            Venue::UsdM => "binance/v1 usdm".to_owned(),
        }
    }

    fn lookup(&self) -> String {
        format!("quote={}", self.quote.as_deref().unwrap_or("any"))
    }
}
