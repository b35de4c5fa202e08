use proptest::prelude::*;

use super::*;
use crate::error::Kind as ErrorKind;
use crate::processing::{Hints, Venue};

fn read(venue: &str, text: &str) -> Result<Symbol> {
    venue.parse::<Venue>().unwrap().parse(text, &Hints::default())
}

/// What venues call markets, and the common form of it.
const KNOWN: &[(&str, &str, &str)] = &[
    ("generic", "btc-usdt", "BTC/USDT"),
    ("generic", "BTC_USDT", "BTC/USDT"),
    ("generic", "ethbtc", "ETH/BTC"),
    ("generic", "btc/usdt:usdt-250328", "BTC/USDT:USDT-250328"),
    ("generic", "XBT/USD", "BTC/USD"),
    ("binance_spot", "BTCUSDT", "BTC/USDT"),
    ("binance_spot", "BTCBUSD", "BTC/BUSD"),
    ("binance_spot", "1000SATSUSDT", "1000SATS/USDT"),
    ("binance_spot", "USDCUSDT", "USDC/USDT"),
    ("binance_usdm", "BTCUSDT", "BTC/USDT:USDT"),
    ("binance_usdm", "1000SHIBUSDT", "1000SHIB/USDT:USDT"),
    ("binance_usdm", "ETHBTC", "ETH/BTC:BTC"),
    ("binance_usdm", "BTCUSDT_250328", "BTC/USDT:USDT-250328"),
    ("binance_coinm", "BTCUSD_PERP", "BTC/USD:BTC"),
    ("binance_coinm", "BNBUSD_PERP", "BNB/USD:BNB"),
    ("binance_coinm", "BTCUSD_250328", "BTC/USD:BTC-250328"),
    ("bybit_spot", "BTCUSDC", "BTC/USDC"),
    ("bybit_linear", "BTCUSDT", "BTC/USDT:USDT"),
    ("bybit_linear", "PERPUSDT", "PERP/USDT:USDT"),
    ("bybit_linear", "BTCPERP", "BTC/USDC:USDC"),
    ("bybit_linear", "BTC-08MAR24", "BTC/USDC:USDC-240308"),
    ("bybit_linear", "BTCUSDT-26DEC25", "BTC/USDT:USDT-251226"),
    ("bybit_inverse", "BTCUSD", "BTC/USD:BTC"),
    ("okx", "BTC-USDT", "BTC/USDT"),
    ("okx", "BTC-USDT-SWAP", "BTC/USDT:USDT"),
    ("okx", "BTC-USD-SWAP", "BTC/USD:BTC"),
    ("okx", "BTC-USDT-250328", "BTC/USDT:USDT-250328"),
    ("okx", "BTC-USD-250328", "BTC/USD:BTC-250328"),
    ("kraken", "XBT/USD", "BTC/USD"),
    ("kraken", "XXBTZUSD", "BTC/USD"),
    ("kraken", "XBTUSDT", "BTC/USDT"),
    ("kraken", "XETHXXBT", "ETH/BTC"),
    ("kraken", "XTZUSD", "XTZ/USD"),
    ("kraken", "USDTZUSD", "USDT/USD"),
    ("kraken", "XDGUSD", "DOGE/USD"),
    ("kraken", "BNBUSD", "BNB/USD"),
    ("coinalyze", "BTCUSDT_PERP.A", "BTC/USDT:USDT"),
    ("coinalyze", "BTCUSD_PERP.A", "BTC/USD:BTC"),
    ("coinalyze", "BTCUSD_PERP.0", "BTC/USD:BTC"),
    ("coinalyze", "BTCUSDT_261225.A", "BTC/USDT:USDT-261225"),
    ("coinalyze", "BTCUSDT.6", "BTC/USDT:USDT"),
    ("coinalyze", "BTCUSD.6", "BTC/USD:BTC"),
    ("coinalyze", "BTCPERP.6", "BTC/USDC:USDC"),
    ("coinalyze", "sBTCUSDT.6", "BTC/USDT"),
    ("coinalyze", "solusdt.6", "SOL/USDT:USDT"),
    ("coinalyze", "BTCUSD.A", "BTC/USD"),
    ("coinalyze", "FDUSDUSD.A", "FDUSD/USD"),
];

#[test]
fn what_venues_call_markets_has_one_name() {
    for (venue, text, wanted) in KNOWN {
        let found = read(venue, text).unwrap_or_else(|error| panic!("{venue} {text}: {error}"));
        assert_eq!(found.to_string(), *wanted, "{venue} {text}");
        for other in ["generic", "okx", "kraken", "coinalyze", "binance_usdm"] {
            assert_eq!(read(other, wanted).unwrap(), found, "{wanted} at {other}");
        }
    }
}

#[test]
fn what_a_name_does_not_tell_is_an_error_that_names_it() {
    let refused = [
        ("generic", "BNBUSD", "may be BN/BUSD or BNB/USD"),
        ("generic", "BTCXYZ", "ends in no quote asset"),
        ("generic", "BTCUSDT-27MAR26", "BASE-QUOTE"),
        ("generic", "BTCUSDT_260327", "BASE-QUOTE"),
        ("okx", "BTCUSDT-27MAR26", "BTC-USDT-250328"),
        ("generic", "USDT", "ends in no quote asset"),
        ("generic", "", "ends in no quote asset"),
        ("generic", "BTC-USDT-SWAP", "BASE-QUOTE"),
        ("generic", "/USDT", "BASE/QUOTE"),
        ("generic", "BTC/USDT:", "BASE/QUOTE"),
        ("generic", "BTC/USDT:USDT-250230", "BASE/QUOTE"),
        ("generic", "../../etc", "BASE/QUOTE"),
        ("generic", "BTC-", "a form that generic uses"),
        ("generic", "BTC USDT", "ends in no quote asset"),
        ("binance_usdm", "BTCUSDT_PERP", "a form that binance_usdm uses"),
        ("binance_usdm", "BTCUSDT_251340", "a form that binance_usdm uses"),
        ("binance_usdm", "BTCUSDT_+50328", "a form that binance_usdm uses"),
        ("binance_coinm", "BTCUSD", "a form that binance_coinm uses"),
        ("bybit_inverse", "BTCUSDH25", "ends in no quote asset"),
        ("bybit_linear", "BTC-31FEB25", "BTCUSDT-28MAR25"),
        ("okx", "BTCUSDT", "BTC-USDT-SWAP"),
        ("okx", "BTC-USD-250328-50000-C", "BTC-USDT-SWAP"),
        ("okx", "BTC-USD_UM-SWAP", "a form that okx uses"),
        ("coinalyze", "BTCUSDT", "BTCUSDT_PERP.A"),
        ("coinalyze", "BTC-PERPETUAL.2", "ends in no quote asset"),
        ("coinalyze", "ETHUSD_PERP.0", "does not say what it settles in"),
        ("coinalyze", "BTCUSD.7", "does not say what it settles in"),
        ("coinalyze", "BNBUSD_PERP.A", "may be BN/BUSD or BNB/USD"),
    ];
    for (venue, text, said) in refused {
        let error = read(venue, text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let shown = error.to_string();
        assert!(shown.contains(said) && shown.contains(&format!("{text:?}")), "{venue} {text}: {shown}");
    }
}

#[test]
fn what_the_caller_knows_beats_the_table() {
    let quotes = |quotes: &[&str]| Hints {
        quotes: quotes.iter().map(|quote| (*quote).to_owned()).collect(),
        settle: None,
    };
    let read = |text, hints| Venue::Generic.parse(text, &hints).unwrap().to_string();
    assert_eq!(read("BNBUSD", quotes(&["usd"])), "BNB/USD");
    assert_eq!(read("BNBUSD", quotes(&["BUSD"])), "BN/BUSD");
    assert_eq!(read("BTCXYZ", quotes(&["XYZ", "xyz"])), "BTC/XYZ");
    let settle = Hints { settle: Some("btc".to_owned()), ..Hints::default() };
    assert_eq!(Venue::Coinalyze.parse("ETHUSD_PERP.0", &settle).unwrap().to_string(), "ETH/USD:BTC");
    assert_eq!(read("BTC-USDT", settle), "BTC/USDT", "spot settles at once");
}

#[test]
fn kinds_follow_from_what_is_settled_in() {
    for (text, kind) in [
        ("BTC/USDT", "spot"),
        ("BTC/USDT:USDT", "linear"),
        ("BTC/USD:BTC-250328", "inverse"),
        ("ETH/USD:BTC", "other"),
    ] {
        assert_eq!(text.parse::<Symbol>().unwrap().kind().name(), kind);
    }
}

#[test]
fn venues_call_markets_what_they_call_them() {
    for (venue, text, common) in KNOWN {
        let (venue, symbol) = (venue.parse::<Venue>().unwrap(), common.parse::<Symbol>().unwrap());
        let is_old = venue == Venue::Kraken || symbol.to_string().starts_with("XBT");
        match venue {
            Venue::Coinalyze => assert!(venue.format(&symbol).unwrap_err().to_string().contains("looked up")),
            Venue::Generic => assert_eq!(venue.format(&symbol.clone()).unwrap(), symbol.to_string()),
            _ if is_old => {
                assert_eq!(venue.parse(&venue.format(&symbol).unwrap(), &Hints::default()).unwrap(), symbol);
            }
            _ => assert_eq!(venue.format(&symbol).unwrap(), *text),
        }
    }
    assert_eq!(Venue::Kraken.format(&Symbol::spot("BTC", "USD")).unwrap(), "XBT/USD");
}

#[test]
fn a_kind_that_a_venue_does_not_have_has_no_name_there() {
    let refused = [
        ("binance_spot", "BTC/USDT:USDT"),
        ("binance_usdm", "BTC/USDT"),
        ("binance_usdm", "BTC/USD:BTC"),
        ("binance_coinm", "BTC/USDT:USDT"),
        ("bybit_inverse", "BTC/USD:BTC-250328"),
        ("bybit_linear", "ETH/USD:BTC"),
        ("okx", "BTC/USD:USDC"),
        ("kraken", "BTC/USD:BTC"),
    ];
    for (venue, symbol) in refused {
        let error = venue.parse::<Venue>().unwrap().format(&symbol.parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), format!("{venue} has no name for {symbol}"));
    }
}

#[test]
fn the_exchange_of_a_coinalyze_symbol_is_what_follows_the_dot() {
    assert_eq!(Venue::Coinalyze.exchange("BTCUSDT_PERP.A").as_deref(), Some("A"));
    assert_eq!(Venue::Okx.exchange("BTC-USDT"), None);
}

const ALL: [&str; 9] = [
    "generic",
    "binance_spot",
    "binance_usdm",
    "binance_coinm",
    "bybit_spot",
    "bybit_linear",
    "bybit_inverse",
    "okx",
    "kraken",
];

/// Old names of assets, which mean others: whoever writes `A/XBT` means `A/BTC`.
const OLD: [&str; 19] = [
    "XBT", "XDG", "XXBT", "XXDG", "XETC", "XETH", "XLTC", "XMLN", "XREP", "XXLM", "XXMR", "XXRP", "XZEC",
    "ZAUD", "ZCAD", "ZEUR", "ZGBP", "ZJPY", "ZUSD",
];

proptest! {
    #[test]
    fn a_name_that_a_venue_is_given_means_the_same_market_there(
        base in "[A-Z0-9]{1,8}", quote in "[A-Z]{3,5}", settle in 0..4_usize, day in prop::option::of(0..5000_u64),
    ) {
        prop_assume!(!OLD.contains(&&*base) && !OLD.contains(&&*quote));
        let settle = [None, Some(base.clone()), Some(quote.clone()), Some("BTC".to_owned())][settle].clone();
        let first = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        let expiry = day.filter(|_| settle.is_some()).map(|day| first + chrono::Days::new(day));
        let symbol = Symbol { settle, expiry, ..Symbol::spot(&base, &quote) };
        prop_assert_eq!(symbol.to_string().parse::<Symbol>().unwrap(), symbol.clone());
        for venue in ALL {
            let venue: Venue = venue.parse().unwrap();
            if let Ok(name) = venue.format(&symbol) {
                let hints = Hints { quotes: vec![quote.clone()], settle: None };
                prop_assert_eq!(venue.parse(&name, &hints).unwrap(), symbol.clone(), "{} at {}", name, venue);
            }
        }
    }

    #[test]
    fn whatever_text_comes_the_answer_is_a_harmless_symbol_or_an_error(text in "\\PC{0,24}", venue in 0..9_usize) {
        let found = ALL[venue].parse::<Venue>().unwrap().parse(&text, &Hints::default());
        let code = Venue::Coinalyze.parse(&format!("{text}.6"), &Hints::default());
        for symbol in [found, code].into_iter().flatten() {
            prop_assert_eq!(symbol.to_string().parse::<Symbol>().unwrap(), symbol);
        }
    }
}
