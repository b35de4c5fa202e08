//! The facts of the Coinalyze API, against a server that answers as scripted.

use std::sync::Arc;

use quant_framework::adapters::coinalyze::{CoinalyzeAdapter, CoinalyzeSettings, MarketChoice};
use quant_framework::clock::ManualClock;
use quant_framework::error::{Error, Kind};
use quant_framework::ports::{DataAdapter, FetchRequest, Fetched};
use quant_framework::secret::Secret;
use quant_framework::series::{DataType, Series};
use quant_framework::time_range::TimeRange;

use crate::scripted::{Answer, Server, ok, serve};

const KEY: &str = "a-very-secret-key";
const NOW: i64 = 1_761_400_000_000;
const OPEN: i64 = 1_761_350_400;

fn settings(url: &str) -> CoinalyzeSettings {
    CoinalyzeSettings {
        api_key: Some(Secret::new(KEY)),
        base_url: Some(url.to_owned()),
        market: MarketChoice::default(),
        retention: Some(2000),
        convert_to_usd: false,
    }
}

fn adapter(server: &Server) -> CoinalyzeAdapter {
    CoinalyzeAdapter::new(settings(&server.url), Arc::new(ManualClock::new(NOW))).unwrap()
}

fn request(data_type: DataType) -> FetchRequest {
    let (symbol, timeframe) = ("BTCUSDT_PERP.A".into(), "1h".parse().unwrap());
    let series = Series { source: "coinalyze".into(), data_type, symbol, timeframe };
    FetchRequest { series, range: TimeRange::new(OPEN * 1000, (OPEN + 7200) * 1000).unwrap() }
}

async fn fetch(answer: Answer) -> Result<Fetched, Error> {
    let server = serve([answer]).await;
    adapter(&server).fetch(&request(DataType::Ohlcv)).await
}

fn body(items: &str) -> String {
    format!("[{{\"symbol\":\"BTCUSDT_PERP.A\",\"history\":[{items}]}}]")
}

#[tokio::test]
async fn every_history_asks_in_seconds_inclusive_and_reads_its_fields() {
    for (data_type, path, item) in [
        (
            DataType::Ohlcv,
            "ohlcv-history",
            "\"o\":2,\"h\":3,\"l\":1,\"c\":2.5,\"v\":9,\"bv\":4,\"tx\":7,\"btx\":3",
        ),
        (DataType::OpenInterest, "open-interest-history", "\"o\":2,\"h\":3,\"l\":1,\"c\":2.5"),
        (DataType::FundingRate, "funding-rate-history", "\"o\":2,\"h\":3,\"l\":1,\"c\":0.0001"),
        (DataType::Liquidations, "liquidation-history", "\"l\":1000.0,\"s\":800.0"),
        (DataType::LongShortRatio, "long-short-ratio-history", "\"r\":1.5,\"l\":60.0,\"s\":40.0"),
    ] {
        let server = serve([ok(body(&format!("{{\"t\":{OPEN},{item}}}")))]).await;
        let fetched = adapter(&server).fetch(&request(data_type)).await.unwrap();
        assert_eq!(fetched.batch.ts(), [OPEN * 1000]);
        assert_eq!(fetched.batch.rows().columns().iter().map(|column| column.null_count()).sum::<usize>(), 0);
        let asked = server.asked.lock().unwrap()[0].clone();
        let (from, to) = (OPEN, OPEN + 3600);
        let expected =
            format!("GET /v1/{path}?symbols=BTCUSDT_PERP.A&interval=1hour&from={from}&to={to} HTTP/1.1");
        assert_eq!(asked.lines().next().unwrap(), expected, "the bar that opens at the end is not asked for");
        assert!(asked.contains(&format!("api_key: {KEY}")), "the key is a header");
        assert!(fetched.lineage.iter().all(|(_, value)| !value.contains(KEY)));
    }
}

#[tokio::test]
async fn an_unknown_symbol_is_an_error_and_a_symbol_without_rows_is_not() {
    let error = fetch(ok("[]")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("BTCUSDT_PERP.A") && !error.is_fatal(), "{error}");
    assert!(fetch(ok(body(""))).await.unwrap().batch.is_empty());
    let other = ok("[{\"symbol\":\"ETHUSDT_PERP.A\",\"history\":[]}]");
    assert_eq!(fetch(other).await.unwrap_err().kind(), Kind::Data);
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    for (header, wait) in [
        ("Retry-After: 7\r\n", Some(7000)),
        ("retry-after: 1.5\r\n", Some(1500)),
        ("Retry-After: Sat, 25 Oct 2025 13:50:00 GMT\r\n", Some(1_761_400_200_000 - NOW)),
        ("", None),
        ("Retry-After: soon\r\n", None),
    ] {
        let error = fetch(Answer(429, header, "{}".into(), None)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.until()),
            (Kind::RateLimited, wait.map(|wait| NOW + wait)),
            "{header}"
        );
    }
}

#[tokio::test]
async fn each_failure_has_its_kind_and_never_shows_the_key() {
    let echo = format!("{{\"message\":\"bad key {KEY}\"}}");
    for (answer, kind, fatal) in [
        (Answer(401, "", echo.clone(), None), Kind::Invalid, true),
        (Answer(403, "", echo.clone(), None), Kind::Invalid, true),
        (Answer(400, "", echo.clone(), None), Kind::Invalid, false),
        (Answer(404, "", echo.clone(), None), Kind::Invalid, false),
        (Answer(500, "", echo.clone(), None), Kind::Unavailable, false),
        (Answer(503, "", echo, None), Kind::Unavailable, false),
        (Answer(200, "", body(""), Some(9)), Kind::Unavailable, false),
        (ok(body("{\"t\":1,")), Kind::Data, false),
        (ok(body("{\"t\":1,\"o\":null}")), Kind::Data, false),
    ] {
        let error = fetch(answer.clone()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (kind, fatal), "{error}");
        assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
    }
    let server = serve([]).await;
    assert!(!format!("{:?} {:?}", adapter(&server), settings("x")).contains(KEY));
}

#[tokio::test]
async fn a_redirect_takes_the_key_nowhere() {
    for (status, kind) in [(301, Kind::Invalid), (302, Kind::Unavailable), (307, Kind::Unavailable)] {
        let elsewhere = serve([ok(body(""))]).await;
        let to: &'static str = format!("Location: {}\r\n", elsewhere.url).leak();
        let error = fetch(Answer(status, to, String::new(), None)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("base_url")), "{error}");
        assert!(elsewhere.asked.lock().unwrap().is_empty(), "nobody else is asked");
    }
}

#[tokio::test]
async fn names_are_looked_up_once() {
    let market = "[{\"symbol\":\"BTCUSDT_PERP.A\",\"exchange\":\"A\",\"symbol_on_exchange\":\"BTCUSDT\",\"base_asset\":\"BTC\",\
        \"quote_asset\":\"USDT\",\"is_perpetual\":true,\"margined\":\"STABLE\",\"expire_at\":null,\"has_ohlcv_data\":true}]";
    let server = serve([ok(market)]).await;
    let adapter = adapter(&server);
    assert!(adapter.is_exact("BTCUSDT_PERP.A") && !adapter.is_exact("BTC"));
    for weight in [1, 0] {
        assert_eq!(adapter.resolve_weight(), weight, "what is known costs nothing");
        assert_eq!(adapter.resolve("BTC").await.unwrap(), "BTCUSDT_PERP.A");
    }
    assert_eq!(adapter.resolve("XYZ").await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_asked() {
    let clock = || Arc::new(ManualClock::new(NOW));
    let mut without_key = settings("http://x");
    without_key.api_key = None;
    for settings in [without_key, settings("ftp://x"), settings("nonsense")] {
        assert_eq!(CoinalyzeAdapter::new(settings, clock()).unwrap_err().kind(), Kind::Invalid);
    }
    let adapter = CoinalyzeAdapter::new(settings("http://x"), clock()).unwrap();
    let capability = |timeframe: &str| adapter.capability(DataType::Ohlcv, timeframe.parse().unwrap());
    assert_eq!(capability("1m").unwrap().retention_bars, Some(2000));
    assert_eq!(capability("1d").unwrap().retention_bars, None, "daily bars are kept for ever");
    assert!(capability("1w").unwrap_err().to_string().contains("no 1w bars; it has 1m,"));
}
