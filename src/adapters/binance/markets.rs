//! Which market a bare name means. Pure.

use serde::Deserialize;

use crate::adapters::names;
use crate::error::{Error, Result};

/// What `exchangeInfo` says of a market; futures alone have a contract and a margin.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Market {
    symbol: String,
    #[serde(default)]
    status: String,
    base_asset: String,
    quote_asset: String,
    #[serde(default)]
    contract_type: Option<String>,
    #[serde(default)]
    margin_asset: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    symbols: Vec<Market>,
}

/// The markets of a body of `exchangeInfo`.
pub(super) fn markets(body: &[u8]) -> Result<Vec<Market>> {
    let listed: serde_json::Result<Listed> = serde_json::from_slice(body);
    let listed =
        listed.map_err(|error| Error::data(format!("the list of markets is unreadable: {error}")))?;
    Ok(listed.symbols)
}

/// In order of preference.
const QUOTES: [&str; 5] = ["USDT", "USDC", "FDUSD", "BUSD", "TUSD"];

/// Whether `symbol` is surely Binance's own name: upper case, and a base asset before a stable coin, or a dated future.
/// Others, such as `ETHBTC`, look like the name of an asset (`WBTC`): they are looked up, and found.
pub(super) fn is_exact(symbol: &str) -> bool {
    let (pair, date) = symbol.split_once('_').map_or((symbol, None), |(pair, date)| (pair, Some(date)));
    let is_name = !pair.is_empty() && pair.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let is_pair = || QUOTES.iter().any(|quote| pair.len() > quote.len() && pair.ends_with(quote));
    is_name && date.map_or_else(is_pair, |date| date.len() == 6 && date.bytes().all(|c| c.is_ascii_digit()))
}

/// The symbol that `name` (a base asset, `BTC/USDT`, `BTC/USDT:USDT`, or Binance's own) means: one that is traded, a
/// perpetual where there are dated ones, quoted in `quote` or else USDT, USDC, FDUSD, BUSD or TUSD, in this order.
pub(super) fn pick(markets: &[Market], name: &str, quote: Option<&str>) -> Result<String> {
    let wanted = name.to_ascii_uppercase();
    let quoted = |market: &&Market| quote.is_none_or(|quote| quote.eq_ignore_ascii_case(&market.quote_asset));
    let named = markets.iter().filter(|market| market.answers_to(&wanted));
    let best = named.filter(quoted).min_by_key(|market| market.rank());
    best.map(|market| market.symbol.clone()).ok_or_else(|| unknown(markets, name, &wanted, quote))
}

fn unknown(markets: &[Market], name: &str, wanted: &str, quote: Option<&str>) -> Error {
    let quoted = quote.map_or_else(String::new, |quote| format!(" quoted in {quote}"));
    let hint = names::did_you_mean(markets.iter().map(|market| &*market.base_asset), wanted);
    Error::invalid(format!("Binance has no market for {name:?}{quoted}")).with_hint(hint.unwrap_or_else(
        || {
            "name a base asset such as BTC, a pair such as BTC/USDT, or an exact symbol such as BTCUSDT"
                .to_owned()
        },
    ))
}

impl Market {
    fn answers_to(&self, wanted: &str) -> bool {
        let (pair, margin) =
            wanted.split_once(':').map_or((wanted, None), |(pair, margin)| (pair, Some(margin)));
        let is_pair = || {
            pair.split_once('/')
                .is_some_and(|(base, quote)| self.base_asset == base && self.quote_asset == quote)
        };
        match margin {
            Some(margin) => self.margin_asset.as_deref() == Some(margin) && is_pair(),
            None => self.symbol == wanted || self.base_asset == wanted || is_pair(),
        }
    }

    /// Smaller is better; ends in the symbol, so that the choice does not depend on the order of the list.
    fn rank(&self) -> impl Ord + use<> {
        let is_dated = self.contract_type.as_deref().is_some_and(|kind| kind != "PERPETUAL");
        let quote = QUOTES.iter().position(|quote| *quote == self.quote_asset).unwrap_or(QUOTES.len());
        (is_dated, self.status != "TRADING", quote, self.symbol.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"timezone":"UTC","symbols":[
        {"symbol":"BTCUSDT_261225","pair":"BTCUSDT","contractType":"CURRENT_QUARTER","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT"},
        {"symbol":"BTCBUSD","status":"BREAK","baseAsset":"BTC","quoteAsset":"BUSD","contractType":"PERPETUAL","marginAsset":"BUSD"},
        {"symbol":"BTCUSDC","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDC","contractType":"PERPETUAL","marginAsset":"USDC"},
        {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","contractType":"PERPETUAL","marginAsset":"USDT"},
        {"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","quoteAsset":"BTC"},
        {"symbol":"WBTCUSDT","status":"TRADING","baseAsset":"WBTC","quoteAsset":"USDT"}]}"#;

    #[test]
    fn a_name_means_the_documented_market_whatever_the_order() {
        let mut markets = markets(BODY.as_bytes()).unwrap();
        for _ in 0..markets.len() {
            markets.rotate_left(1);
            for name in ["BTC", "btc", "BTC/USDT", "BTC/USDT:USDT", "BTCUSDT"] {
                assert_eq!(pick(&markets, name, None).unwrap(), "BTCUSDT", "{name}");
            }
            assert_eq!(pick(&markets, "BTC", Some("usdc")).unwrap(), "BTCUSDC");
            assert_eq!(pick(&markets, "ETHBTC", None).unwrap(), "ETHBTC");
            assert_eq!(pick(&markets, "BTCUSDT_261225", None).unwrap(), "BTCUSDT_261225");
        }
        let error = pick(&markets, "BTX", None).unwrap_err().to_string();
        assert!(error.contains("\"BTX\"") && error.contains("did you mean BTC?"), "{error}");
        assert!(pick(&markets, "BTC/USDT:BTC", None).is_err());
        assert!(pick(&markets, "BTC", Some("EUR")).unwrap_err().to_string().contains("quoted in EUR"));
    }

    #[test]
    fn own_symbols_are_not_looked_up_and_names_of_assets_are() {
        for symbol in ["BTCUSDT", "1000PEPEUSDT", "BTCUSDC", "BTCUSDT_261225", "BTCFDUSD"] {
            assert!(is_exact(symbol), "{symbol}");
        }
        for name in [
            "BTC", "WBTC", "USDT", "FDUSD", "btcusdt", "BTC/USDT", "", "_261225", "BTCUSDT_", "BTC-USDT",
            "ETHBTC",
        ] {
            assert!(!is_exact(name), "{name}");
        }
    }
}
