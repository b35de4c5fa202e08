//! Which market a bare name means. Pure.

use serde::Deserialize;

use crate::adapters::names;
use crate::error::{Error, Result};

/// One entry of `/future-markets`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Market {
    symbol: String,
    exchange: String,
    symbol_on_exchange: String,
    base_asset: String,
    quote_asset: String,
    #[serde(default)]
    is_perpetual: bool,
    #[serde(default)]
    margined: Option<String>,
    #[serde(default)]
    has_ohlcv_data: bool,
}

/// Codes of exchanges, most liquid first: Binance, Bybit, OKX.
const EXCHANGES: [&str; 3] = ["A", "6", "3"];
const QUOTES: [&str; 3] = ["USDT", "USDC", "USD"];

/// Which market a bare name such as `BTC` means. By default the perpetual margined in stable coins with OHLCV
/// history, quoted in USDT (else USDC, else USD), on Binance (else Bybit, else OKX, else the first by code).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarketChoice {
    /// Only this exchange, by Coinalyze's code (`A` is Binance).
    pub exchange: Option<String>,
    /// Only this quote asset.
    pub quote: Option<String>,
}

impl MarketChoice {
    /// One line that tells choices apart.
    pub(super) fn describe(&self) -> String {
        let or_any = |choice: &Option<String>| choice.clone().unwrap_or_else(|| "any".to_owned());
        format!("exchange={} quote={}", or_any(&self.exchange), or_any(&self.quote))
    }

    /// The symbol that `name` (a base asset, `BTC/USDT`, or the exchange's own symbol) means.
    pub(super) fn pick(&self, markets: &[Market], name: &str) -> Result<String> {
        let wanted = name.to_ascii_uppercase();
        let allowed = |market: &&Market| {
            self.exchange.as_ref().is_none_or(|exchange| *exchange == market.exchange)
                && self.quote.as_ref().is_none_or(|quote| quote.eq_ignore_ascii_case(&market.quote_asset))
        };
        let named = markets.iter().filter(|market| market.answers_to(&wanted));
        let best = named.filter(allowed).min_by_key(|market| market.rank());
        best.map(|market| market.symbol.clone()).ok_or_else(|| self.unknown(markets, name, &wanted))
    }

    fn unknown(&self, markets: &[Market], name: &str, wanted: &str) -> Error {
        let error =
            Error::invalid(format!("Coinalyze has no futures market for {name:?} ({})", self.describe()));
        let hint = names::did_you_mean(markets.iter().map(|market| &*market.base_asset), wanted);
        error.with_hint(hint.unwrap_or_else(|| {
            "name a base asset such as BTC, or an exact symbol such as BTCUSDT_PERP.A".to_owned()
        }))
    }
}

impl Market {
    fn answers_to(&self, wanted: &str) -> bool {
        let pair = wanted
            .split_once('/')
            .is_some_and(|(base, quote)| self.base_asset == base && self.quote_asset == quote);
        pair || self.base_asset == wanted || self.symbol_on_exchange == wanted
    }

    /// Smaller is better; ends in the symbol, so that the choice does not depend on the order of the list.
    fn rank(&self) -> impl Ord + use<> {
        let place =
            |known: &[&str], name: &str| known.iter().position(|known| *known == name).unwrap_or(known.len());
        let stable = self.margined.as_deref() == Some("STABLE");
        let (exchange, quote) = (place(&EXCHANGES, &self.exchange), place(&QUOTES, &self.quote_asset));
        (
            !self.is_perpetual,
            !self.has_ohlcv_data,
            !stable,
            quote,
            exchange,
            self.exchange.clone(),
            self.symbol.clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markets() -> Vec<Market> {
        let market = |symbol: &str, exchange: &str, quote: &str, margined: &str, perpetual: bool| Market {
            symbol: symbol.into(),
            exchange: exchange.into(),
            symbol_on_exchange: symbol.split(['_', '.']).next().unwrap().into(),
            base_asset: "BTC".into(),
            quote_asset: quote.into(),
            is_perpetual: perpetual,
            margined: Some(margined.into()),
            has_ohlcv_data: true,
        };
        vec![
            market("BTCUSDT.6", "6", "USDT", "STABLE", true),
            market("BTCUSD_PERP.A", "A", "USD", "COIN", true),
            market("BTCUSDT_PERP.A", "A", "USDT", "STABLE", true),
            market("BTCUSDT_261225.A", "A", "USDT", "STABLE", false),
        ]
    }

    #[test]
    fn a_bare_name_means_the_documented_market_whatever_the_order() {
        let mut markets = markets();
        for _ in 0..4 {
            markets.rotate_left(1);
            for name in ["BTC", "btc", "BTC/USDT", "BTCUSDT"] {
                assert_eq!(MarketChoice::default().pick(&markets, name).unwrap(), "BTCUSDT_PERP.A", "{name}");
            }
        }
    }

    #[test]
    fn the_choice_can_be_overridden_and_a_typo_is_met_with_a_suggestion() {
        let bybit = MarketChoice { exchange: Some("6".into()), quote: None };
        assert_eq!(bybit.pick(&markets(), "BTC").unwrap(), "BTCUSDT.6");
        let dollar = MarketChoice { exchange: None, quote: Some("usd".into()) };
        assert_eq!(dollar.pick(&markets(), "BTC").unwrap(), "BTCUSD_PERP.A");
        let error = MarketChoice::default().pick(&markets(), "BTX").unwrap_err().to_string();
        assert!(error.contains("\"BTX\"") && error.contains("did you mean BTC?"), "{error}");
    }
}
