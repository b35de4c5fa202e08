//! What venues call their markets, as far as a name alone tells. What it does not tell is an error, not a guess: a
//! venue's list of markets, which says base, quote and settlement, is better wherever there is one.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;

use super::symbols::{Kind, Symbol, day, is_asset, short, unreadable};
use crate::error::{Error, Result};

/// Whose names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Venue {
    /// Nobody's: `btc-usdt`, `BTC_USDT`, `BTCUSDT`; spot unless the common form says otherwise.
    Generic,
    /// `BTCUSDT`.
    BinanceSpot,
    /// `BTCUSDT`, `BTCUSDT_250328`.
    BinanceUsdm,
    /// `BTCUSD_PERP`, `BTCUSD_250328`.
    BinanceCoinm,
    /// `BTCUSDT`.
    BybitSpot,
    /// `BTCUSDT`, `BTCUSDT-28MAR25`; settled in USDC: `BTCPERP`, `BTC-28MAR25`.
    BybitLinear,
    /// `BTCUSD`. Its futures (`BTCUSDH25`) do not say on which day they end.
    BybitInverse,
    /// `BTC-USDT`, `BTC-USDT-SWAP`, `BTC-USD-SWAP`, `BTC-USDT-250328`.
    Okx,
    /// Spot: `XBT/USD`, `XBTUSD`, `XXBTZUSD`.
    Kraken,
    /// `BTCUSDT_PERP.A`, `BTCUSDT_250328.A`, spot `BTCUSD.C`; of Bybit `BTCUSDT.6`, spot `sBTCUSDT.6`. What follows the
    /// dot is the venue. Its other forms (`BTC-PERPETUAL.2`, `BTC.H`) are refused; symbols are looked up, never built.
    Coinalyze,
}

const VENUES: [(&str, Venue); 10] = [
    ("generic", Venue::Generic),
    ("binance_spot", Venue::BinanceSpot),
    ("binance_usdm", Venue::BinanceUsdm),
    ("binance_coinm", Venue::BinanceCoinm),
    ("bybit_spot", Venue::BybitSpot),
    ("bybit_linear", Venue::BybitLinear),
    ("bybit_inverse", Venue::BybitInverse),
    ("okx", Venue::Okx),
    ("kraken", Venue::Kraken),
    ("coinalyze", Venue::Coinalyze),
];

impl FromStr for Venue {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = VENUES.iter().find(|(name, _)| *name == text);
        known.map(|(_, venue)| *venue).ok_or_else(|| {
            let names = VENUES.map(|(name, _)| name).join(", ");
            Error::invalid(format!("unknown venue {text:?}; use one of {names}"))
        })
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = VENUES.iter().find(|(_, venue)| venue == self);
        f.write_str(name.map_or("?", |(name, _)| name))
    }
}

/// What the caller knows better than a table here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// The quote assets that the venue has, instead of the table's; none: the table's.
    pub quotes: Vec<String>,
    /// What the contract settles in, where the name does not say it.
    pub settle: Option<String>,
}

/// Of venues that join base and quote without a separator.
const GENERIC: &[&str] = &[
    "USDT", "USDC", "USD", "BUSD", "FDUSD", "TUSD", "USDP", "DAI", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF",
    "TRY", "BRL", "BTC", "ETH", "BNB",
];
const BINANCE_SPOT: &[&str] = &[
    "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "DAI", "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "EUR",
    "GBP", "TRY", "BRL", "AUD", "ARS", "COP", "CZK", "JPY", "MXN", "NGN", "PLN", "RON", "RUB", "UAH", "ZAR",
    "IDRT", "BIDR",
];
const BINANCE_USDM: &[&str] = &["USDT", "USDC", "BUSD", "BTC"];
const BYBIT_SPOT: &[&str] = &["USDT", "USDC", "BTC", "ETH", "DAI", "EUR", "BRL", "PLN", "TRY"];
const KRAKEN: &[&str] =
    &["USD", "EUR", "GBP", "CAD", "JPY", "AUD", "CHF", "USDT", "USDC", "DAI", "XBT", "BTC", "ETH"];

/// Old names of assets, everywhere.
const RENAMED: &[(&str, &str)] = &[("XBT", "BTC")];
/// And at Kraken: its own names of those that it has listed from the beginning.
const KRAKEN_NAMES: &[(&str, &str)] = &[
    ("XXBT", "BTC"),
    ("XBT", "BTC"),
    ("XXDG", "DOGE"),
    ("XDG", "DOGE"),
    ("XETC", "ETC"),
    ("XETH", "ETH"),
    ("XLTC", "LTC"),
    ("XMLN", "MLN"),
    ("XREP", "REP"),
    ("XXLM", "XLM"),
    ("XXMR", "XMR"),
    ("XXRP", "XRP"),
    ("XZEC", "ZEC"),
    ("ZAUD", "AUD"),
    ("ZCAD", "CAD"),
    ("ZEUR", "EUR"),
    ("ZGBP", "GBP"),
    ("ZJPY", "JPY"),
    ("ZUSD", "USD"),
];
/// Coinalyze's codes of venues whose contracts quoted in USD settle in the base asset: Binance, Bybit, OKX.
const COIN_MARGINED: [&str; 3] = ["A", BYBIT, "3"];
/// Its code of `BitMEX`, whose contracts quoted in USD settle in BTC whatever the base is.
const BITMEX: &str = "0";
const BYBIT: &str = "6";
/// Its codes of Bybit and Phemex, whose perpetuals it names as they do, `BTCUSDT.6`, and spot with an s: `sBTCUSDT.6`.
const NATIVE: [&str; 2] = [BYBIT, "7"];

impl Venue {
    /// The market that this venue calls `text`, in any case. The common form is read as such at every venue.
    ///
    /// # Errors
    /// `Invalid`, naming `text`, where it has none of the venue's forms, where base and quote cannot be told apart for
    /// certain, or where the name does not say what the contract settles in.
    pub fn parse(self, text: &str, hints: &Hints) -> Result<Symbol> {
        let upper = text.to_uppercase();
        let symbol = if upper.contains('/') {
            text.parse()?
        } else {
            match self {
                Self::Generic => self.separated(text, &upper, hints)?,
                Self::Okx => okx(text, &upper)?,
                Self::Coinalyze => self.coinalyze(text, &upper, hints)?,
                Self::Kraken => self.kraken(text, &upper, hints)?,
                Self::BybitLinear => self.bybit_linear(text, &upper, hints)?,
                Self::BinanceUsdm | Self::BinanceCoinm => self.binance_futures(text, &upper, hints)?,
                Self::BinanceSpot | Self::BybitSpot | Self::BybitInverse => {
                    self.settling(&self.joined(text, &upper, hints)?, None)
                }
            }
        };
        let settle = hints.settle.as_ref().map(|settle| settle.to_uppercase());
        let settle = if symbol.settle.is_some() { settle.or(symbol.settle) } else { None };
        let current = |asset: &str| self.current(asset).to_owned();
        let symbol = Symbol {
            base: current(&symbol.base),
            quote: current(&symbol.quote),
            settle: settle.as_deref().map(current),
            expiry: symbol.expiry,
        };
        if [Some(&symbol.base), Some(&symbol.quote), symbol.settle.as_ref()]
            .into_iter()
            .flatten()
            .all(|name| is_asset(name))
        {
            return Ok(symbol);
        }
        Err(unreadable(text, &format!("a form that {self} uses")))
    }

    /// What this venue calls `symbol`.
    ///
    /// # Errors
    /// `Invalid` where it has no such kind of market, or where its names cannot be built but only looked up.
    pub fn format(self, symbol: &Symbol) -> Result<String> {
        let (base, quote) = (&*symbol.base, &*symbol.quote);
        let dated = |separator: &str, perpetual: &str| {
            let end = symbol.expiry.map_or(perpetual.to_owned(), |day| format!("{separator}{}", short(day)));
            format!("{base}{quote}{end}")
        };
        let name = match self {
            Self::Generic => return Ok(symbol.to_string()),
            Self::Coinalyze => {
                let error = Error::invalid("symbols of coinalyze are looked up, not built");
                return Err(error.with_hint(format!("its adapter finds {base} and {base}/{quote}")));
            }
            Self::BinanceSpot | Self::BybitSpot | Self::BybitInverse => format!("{base}{quote}"),
            Self::BinanceUsdm => dated("_", ""),
            Self::BinanceCoinm => dated("_", "_PERP"),
            Self::BybitLinear => bybit_name(symbol),
            Self::Okx => {
                let perpetual = symbol.settle.as_ref().map(|_| "SWAP".to_owned());
                let end =
                    symbol.expiry.map(short).or(perpetual).map_or(String::new(), |end| format!("-{end}"));
                format!("{base}-{quote}{end}")
            }
            Self::Kraken => format!("{}/{}", kraken_name(base), kraken_name(quote)),
        };
        // A kind of market that the venue does not have reads back as another one.
        let hints = Hints { quotes: vec![symbol.quote.clone()], settle: None };
        if self.parse(&name, &hints).is_ok_and(|back| back == *symbol) {
            return Ok(name);
        }
        Err(Error::invalid(format!("{self} has no name for {symbol}")))
    }

    /// Coinalyze's code of the venue in a name of Coinalyze; `None` at other venues.
    pub fn exchange(self, text: &str) -> Option<String> {
        let code = if self == Self::Coinalyze { text.rsplit_once('.')?.1 } else { return None };
        Some(code.to_uppercase())
    }

    /// The quote assets of names without a separator.
    fn quotes(self) -> &'static [&'static str] {
        match self {
            Self::BinanceSpot => BINANCE_SPOT,
            Self::BinanceUsdm => BINANCE_USDM,
            Self::BinanceCoinm | Self::BybitInverse => &["USD"],
            Self::BybitSpot => BYBIT_SPOT,
            Self::BybitLinear => &["USDT"],
            Self::Kraken => KRAKEN,
            Self::Generic | Self::Okx | Self::Coinalyze => GENERIC,
        }
    }

    fn current(self, asset: &str) -> &str {
        let table = if self == Self::Kraken { KRAKEN_NAMES } else { RENAMED };
        table.iter().find(|(old, _)| *old == asset).map_or(asset, |(_, new)| *new)
    }

    /// Base and quote of a name without a separator: the one split that the quote assets allow.
    fn joined(self, text: &str, name: &str, hints: &Hints) -> Result<(String, String)> {
        let given: Vec<String> = hints.quotes.iter().map(|quote| quote.to_uppercase()).collect();
        let mut quotes: Vec<&str> = given.iter().map(String::as_str).collect();
        if quotes.is_empty() {
            quotes.extend(self.quotes());
        }
        let split = |quote: &&str| Some((name.strip_suffix(*quote)?.to_owned(), (*quote).to_owned()));
        let mut found: Vec<(String, String)> =
            quotes.iter().filter_map(split).filter(|(base, _)| is_asset(base)).collect();
        found.sort();
        found.dedup();
        match &found[..] {
            [one] => Ok(one.clone()),
            [] => {
                Err(Error::invalid(format!("symbol {text:?} ends in no quote asset that is known of {self}"))
                    .with_hint("pass quotes, the quote assets of the venue, or write BASE/QUOTE"))
            }
            several => {
                let readings: Vec<String> =
                    several.iter().map(|(base, quote)| format!("{base}/{quote}")).collect();
                Err(Error::invalid(format!("symbol {text:?} may be {}", readings.join(" or ")))
                    .with_hint("pass quotes, the quote assets of the venue, or write BASE/QUOTE"))
            }
        }
    }

    /// The market of a pair at a venue whose markets are all of one kind.
    fn settling(self, (base, quote): &(String, String), expiry: Option<NaiveDate>) -> Symbol {
        match self.kind() {
            Kind::Linear => Symbol::settled(base, quote, quote, expiry),
            Kind::Inverse => Symbol::settled(base, quote, base, expiry),
            Kind::Spot | Kind::Other => Symbol::spot(base, quote),
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::BinanceUsdm | Self::BybitLinear => Kind::Linear,
            Self::BinanceCoinm | Self::BybitInverse => Kind::Inverse,
            _ => Kind::Spot,
        }
    }

    fn separated(self, text: &str, name: &str, hints: &Hints) -> Result<Symbol> {
        let parts: Vec<&str> = name.split(['-', '_']).collect();
        match parts[..] {
            [_] => Ok(self.settling(&self.joined(text, name, hints)?, None)),
            [base, quote] if !is_day(quote) => Ok(Symbol::spot(base, quote)),
            _ => Err(unreadable(text, "the form BASE-QUOTE").with_hint("name the venue whose symbol it is")),
        }
    }

    fn binance_futures(self, text: &str, name: &str, hints: &Hints) -> Result<Symbol> {
        let (pair, end) = name.split_once('_').map_or((name, None), |(pair, end)| (pair, Some(end)));
        let perpetual = if self == Self::BinanceCoinm { Some("PERP") } else { None };
        if end == perpetual {
            return Ok(self.settling(&self.joined(text, pair, hints)?, None));
        }
        let expiry =
            end.and_then(day).ok_or_else(|| unreadable(text, &format!("a form that {self} uses")))?;
        Ok(self.settling(&self.joined(text, pair, hints)?, Some(expiry)))
    }

    fn bybit_linear(self, text: &str, name: &str, hints: &Hints) -> Result<Symbol> {
        let (pair, expiry) = match name.split_once('-') {
            None => (name, None),
            Some((pair, end)) => {
                let end = NaiveDate::parse_from_str(end, "%d%b%y").ok();
                (pair, Some(end.ok_or_else(|| unreadable(text, "the form BTCUSDT-28MAR25"))?))
            }
        };
        let in_usdc = if expiry.is_some() { Some(pair) } else { pair.strip_suffix("PERP") };
        match (self.joined(text, pair, hints), in_usdc) {
            (Ok(pair), _) => Ok(self.settling(&pair, expiry)),
            (Err(_), Some(base)) => Ok(Symbol::settled(base, "USDC", "USDC", expiry)),
            (Err(error), None) => Err(error),
        }
    }

    fn kraken(self, text: &str, name: &str, hints: &Hints) -> Result<Symbol> {
        // Pairs of the first assets have four letters each, `XXBTZUSD`; of later ones plain names, `XTZUSD`.
        let is_old = |asset: &str| asset.len() == 4 && KRAKEN_NAMES.iter().any(|(old, _)| *old == asset);
        if let Some((base, quote)) = name.split_at_checked(4)
            && is_old(quote)
            && (is_old(base) || base == "USDT")
        {
            return Ok(Symbol::spot(base, quote));
        }
        Ok(self.settling(&self.joined(text, name, hints)?, None))
    }

    fn coinalyze(self, text: &str, name: &str, hints: &Hints) -> Result<Symbol> {
        let form = || {
            let error = unreadable(text, "the form BTCUSDT_PERP.A");
            error.with_hint(
                "of some venues Coinalyze uses other names; its list of markets tells base and quote",
            )
        };
        let (name, code) = name.rsplit_once('.').filter(|(_, code)| is_asset(code)).ok_or_else(form)?;
        let (pair, end) = name.split_once('_').map_or((name, None), |(pair, end)| (pair, Some(end)));
        let expiry = match end {
            None | Some("PERP") => None,
            Some(end) => Some(day(end).ok_or_else(form)?),
        };
        let is_native = end.is_none() && NATIVE.contains(&code);
        if is_native && text.starts_with('s') && !text[1..].chars().any(char::is_lowercase) {
            let (base, quote) = self.joined(text, &pair[1..], hints)?;
            return Ok(Symbol::spot(&base, &quote));
        }
        if is_native && code == BYBIT && !pair.ends_with("USD") {
            return Self::BybitLinear.bybit_linear(text, pair, hints);
        }
        let (base, quote) = self.joined(text, pair, hints)?;
        if end.is_none() && !is_native {
            return Ok(Symbol::spot(&base, &quote));
        }
        let settle = self.coinalyze_settle(text, (&base, &quote), code, hints)?;
        Ok(Symbol::settled(&base, &quote, &settle, expiry))
    }

    /// What a contract that Coinalyze lists settles in. Contracts quoted in USD settle in the base asset at some venues and
    /// in a stable coin at others.
    fn coinalyze_settle(
        self,
        text: &str,
        (base, quote): (&str, &str),
        code: &str,
        hints: &Hints,
    ) -> Result<String> {
        let is_inverse = COIN_MARGINED.contains(&code) || (code == BITMEX && self.current(base) == "BTC");
        match &hints.settle {
            Some(settle) => Ok(settle.to_uppercase()),
            None if quote != "USD" => Ok(quote.to_owned()),
            None if is_inverse => Ok(base.to_owned()),
            None => {
                let error = Error::invalid(format!("symbol {text:?} does not say what it settles in"));
                Err(error.with_hint("its list of markets does (margined); pass settle"))
            }
        }
    }
}

fn okx(text: &str, name: &str) -> Result<Symbol> {
    let parts: Vec<&str> = name.split('-').collect();
    let (base, quote, expiry) = match parts[..] {
        [base, quote] if !is_day(quote) => return Ok(Symbol::spot(base, quote)),
        [base, quote, "SWAP"] => (base, quote, None),
        [base, quote, end] if day(end).is_some() => (base, quote, day(end)),
        _ => return Err(unreadable(text, "the form BTC-USDT, BTC-USDT-SWAP or BTC-USDT-250328")),
    };
    Ok(Symbol::settled(base, quote, if quote == "USD" { base } else { quote }, expiry))
}

/// Whether `text` is a day and no quote asset, as in `BTCUSDT-27MAR26` and `BTCUSDT_260327`, which other venues use.
fn is_day(text: &str) -> bool {
    day(text).is_some() || NaiveDate::parse_from_str(text, "%d%b%y").is_ok()
}

fn bybit_name(symbol: &Symbol) -> String {
    let in_usdc = symbol.quote == "USDC";
    let quote = if in_usdc { "" } else { &*symbol.quote };
    let perpetual = if in_usdc { "PERP" } else { "" };
    let end = symbol.expiry.map(|day| day.format("-%d%b%y").to_string().to_uppercase());
    format!("{}{quote}{}", symbol.base, end.as_deref().unwrap_or(perpetual))
}

fn kraken_name(asset: &str) -> &str {
    match asset {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        other => other,
    }
}
