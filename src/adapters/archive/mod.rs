//! Binance's public archive (data.binance.vision): zip files of whole days and months, each with its checksum, without
//! a key and without a quota. The rows are those of the REST interface, and so are series keys and fingerprint: what
//! was loaded from here is continued from there.
//!
//! A chunk is a month (a year for bars of an hour and more), so that each file is downloaded once. A month's file that
//! is not there yet, or that lacks bars, is made up for by those of its days. A file that is absent three days after
//! its day (two weeks after its month) does not exist, and its bars are `empty`; before that, nothing is known of them.
//! A market without any file is refused.
//! The lineage names every file with its SHA-256: files are corrected in place, and that is how one can tell.

mod csv;
mod download;
mod files;
mod gather;
mod known;
mod rooms;
mod table;
mod unzip;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use self::download::Archive;
pub use self::files::Market;
use self::gather::{DAY_LATE, Found, MONTH_LATE};
use self::rooms::Rooms;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::per_process::PerProcess;
use crate::ports::{Capability, DataAdapter, FetchRequest, Fetched, Prices};
use crate::records::Batch;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// Where the archive is.
pub const BASE_URL: &str = "https://data.binance.vision";
/// A month of minutes, the longest chunk.
const ROWS_PER_REQUEST: u32 = 31 * 1440;
const DAY: Millis = 86_400_000;

/// See the module.
#[derive(Debug)]
pub struct BinanceArchiveAdapter {
    market: Market,
    archive: Archive,
    /// Series that have files.
    known: Mutex<HashSet<Series>>,
    clock: Arc<dyn Clock>,
    rooms: PerProcess<Rooms>,
}

impl BinanceArchiveAdapter {
    /// The archive at `base_url`, by default Binance's. `Invalid` where that is no URL. Opens nothing yet.
    pub fn new(market: Market, base_url: Option<&str>, clock: Arc<dyn Clock>) -> Result<Self> {
        let archive = Archive::new(base_url.unwrap_or(BASE_URL), Arc::clone(&clock))?;
        Ok(Self { market, archive, known: Mutex::default(), rooms: PerProcess::default(), clock })
    }

    fn lineage(&self, found: &Found) -> Vec<(String, String)> {
        let mut lineage = vec![
            ("endpoint".to_owned(), format!("binance archive {}", self.market)),
            ("files".to_owned(), found.files.join(" ")),
            ("fetched_at".to_owned(), iso(self.clock.now())),
        ];
        if !found.notes.is_empty() {
            lineage.push(("notes".to_owned(), found.notes.join("; ")));
        }
        lineage
    }
}

/// Letters, digits and `_`, as in `BTCUSDT` and `BTCUSDT_240329`; a base asset alone is too short.
fn is_symbol(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() > 4 && text.bytes().all(fits)
}

#[async_trait]
impl DataAdapter for BinanceArchiveAdapter {
    fn source(&self) -> &'static str {
        self.market.source()
    }

    fn capability(&self, data_type: DataType, timeframe: Timeframe) -> Result<Capability> {
        self.market.check(data_type, timeframe)?;
        Ok(Capability { prices: Prices::flat(ROWS_PER_REQUEST, 1), retention_bars: None })
    }

    fn is_exact(&self, symbol: &str) -> bool {
        is_symbol(symbol)
    }

    async fn resolve(&self, symbol: &str) -> Result<String> {
        let joined = symbol.replace(['/', '-'], "").to_ascii_uppercase();
        if is_symbol(&joined) {
            return Ok(joined);
        }
        Err(Error::invalid(format!("{symbol:?} is not the name of a market in Binance's archive"))
            .with_hint("name the pair, such as BTCUSDT or BTC/USDT"))
    }

    fn resolve_weight(&self) -> u32 {
        0
    }

    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched> {
        let (series, range) = (&request.series, request.range);
        self.market.check(series.data_type, series.timeframe)?;
        if !is_symbol(&series.symbol) {
            return Err(Error::invalid(format!("{:?} is not the name of a market", series.symbol)));
        }
        let found = self.gather(series, range).await.map_err(|error| error.context(&series.symbol))?;
        for note in &found.notes {
            tracing::warn!("{series}: {note}");
        }
        let lineage = self.lineage(&found);
        let published = found.open_from.map_or(range.end(), |open| open.min(range.end()));
        let known = TimeRange::non_empty(range.start(), published);
        let batch = known
            .map_or_else(|| Ok(Batch::empty(series.data_type)), |known| joined(series, found.rows, known))?;
        Ok(Fetched { batch, bytes: found.bytes, truncated: false, quotas: Vec::new(), lineage })
    }

    fn fingerprint(&self) -> String {
        format!("binance/v1 {}", self.market)
    }

    fn lookup(&self) -> String {
        self.market.to_string()
    }

    fn file_delay(&self, timeframe: Timeframe) -> Option<Duration> {
        // Counted from the end of a bar, which may be the first one of its day or month.
        let late = match timeframe {
            Timeframe::Minutes(_) => DAY + DAY_LATE,
            Timeframe::Week | Timeframe::Month => 31 * DAY + MONTH_LATE,
        };
        Some(Duration::from_millis(late.unsigned_abs()))
    }
}

/// The rows of `parts` in `known`; no copy where they are one part in order.
fn joined(series: &Series, mut parts: Vec<Batch>, known: TimeRange) -> Result<Batch> {
    parts.retain(|part| !part.is_empty());
    if let [only] = &*parts
        && only.ts().is_sorted()
    {
        return Ok(only.within(known));
    }
    Batch::joined(series.data_type, &parts)?.select(|at| known.contains(at))
}

#[cfg(test)]
mod tests;
