//! The facts of Binance's API, against a server that answers as scripted.

use std::sync::Arc;
use std::time::Duration;

use quant_framework::adapters::binance::{BinanceAdapter, BinanceSettings, Venue};
use quant_framework::clock::ManualClock;
use quant_framework::error::{Error, Kind};
use quant_framework::ports::{DataAdapter, FetchRequest, Fetched};
use quant_framework::series::{DataType, Series};
use quant_framework::time_range::TimeRange;

use crate::scripted::{Answer, Server, ok, serve};

const NOW: i64 = 1_761_400_000_000;
const OPEN: i64 = 1_761_350_400_000;
const HOUR: i64 = 3_600_000;
const KLINE: &str =
    "[1761350400000,\"2\",\"3\",\"1\",\"2.5\",\"9\",1761353999999,\"22\",7,\"4\",\"10\",\"0\"]";

fn build(venue: Venue, base_url: &str) -> Result<BinanceAdapter, Error> {
    let settings = BinanceSettings { venue, base_url: Some(base_url.to_owned()), quote: None };
    BinanceAdapter::new(settings, Arc::new(ManualClock::new(NOW)))
}

fn adapter(venue: Venue, server: &Server) -> BinanceAdapter {
    build(venue, &server.url).unwrap()
}

fn request(data_type: DataType, timeframe: &str, hours: i64) -> FetchRequest {
    let timeframe = timeframe.parse().unwrap();
    let series = Series { source: "binance".into(), data_type, symbol: "BTCUSDT".into(), timeframe };
    FetchRequest { series, range: TimeRange::new(OPEN, OPEN + hours * HOUR).unwrap() }
}

async fn fetch(answer: Answer) -> Result<Fetched, Error> {
    let server = serve([answer]).await;
    adapter(Venue::Spot, &server).fetch(&request(DataType::Ohlcv, "1h", 2)).await
}

#[tokio::test]
async fn every_history_asks_for_exactly_its_bars() {
    let (start, last) = (OPEN, OPEN + 16 * HOUR - 1);
    let klines =
        |path: &str| format!("{path}?symbol=BTCUSDT&interval=1h&startTime={start}&endTime={last}&limit=16");
    let interest = format!(
        "futures/data/openInterestHist?symbol=BTCUSDT&period=1h&startTime={}&endTime={}&limit=16",
        OPEN + HOUR,
        OPEN + 16 * HOUR
    );
    let funding = format!("fapi/v1/fundingRate?symbol=BTCUSDT&startTime={start}&endTime={last}&limit=1000");
    let point = format!("[{{\"sumOpenInterest\":\"7\",\"timestamp\":{}}}]", OPEN + HOUR);
    let rate = format!("[{{\"fundingRate\":\"0.0001\",\"fundingTime\":{}}}]", OPEN + 3);
    for (venue, data_type, timeframe, expected, body) in [
        (Venue::Spot, DataType::Ohlcv, "1h", klines("api/v3/klines"), format!("[{KLINE}]")),
        (Venue::UsdM, DataType::Ohlcv, "1h", klines("fapi/v1/klines"), format!("[{KLINE}]")),
        (Venue::UsdM, DataType::OpenInterest, "1h", interest, point),
        (Venue::UsdM, DataType::FundingRate, "8h", funding, rate),
    ] {
        let server = serve([ok(body)]).await;
        let fetched = adapter(venue, &server).fetch(&request(data_type, timeframe, 16)).await.unwrap();
        assert_eq!((fetched.batch.ts(), fetched.truncated), (&[OPEN][..], false));
        let asked = server.asked.lock().unwrap()[0].clone();
        assert_eq!(asked.lines().next().unwrap(), format!("GET /v1/{expected} HTTP/1.1"));
        let headers = asked.lines().skip(1).collect::<String>().to_ascii_lowercase();
        assert!(!headers.contains("api"), "no key is sent: {headers}");
        let unit = fetched.lineage.iter().find(|(key, _)| key == "unit").map(|(_, unit)| &**unit);
        assert_eq!(unit, (data_type == DataType::OpenInterest).then_some("base"));
    }
}

#[tokio::test]
async fn the_used_weight_is_read_and_a_refusal_says_when_to_come_back() {
    let answered =
        fetch(Answer(200, "x-mbx-used-weight-1m: 57\r\nX-MBX-USED-WEIGHT: 57\r\n", "[]".into(), None))
            .await
            .unwrap();
    assert!(answered.batch.is_empty());
    let [quota] = answered.quotas[..] else { panic!("one window") };
    assert_eq!((quota.period, quota.used), (Some(Duration::from_secs(60)), Some(57)));
    let banned = "{\"code\":-1003,\"msg\":\"Way too much request weight used; IP banned until 1761400123456. Please use\"}";
    for (status, headers, body, until) in [
        (429, "Retry-After: 7\r\n", "{}", Some(NOW + 7000)),
        (429, "", "{\"code\":-1003,\"msg\":\"Too much request weight used; current limit is 6000\"}", None),
        (418, "Retry-After: 120\r\n", banned, Some(NOW + 120_000)),
        (418, "", banned, Some(1_761_400_123_456)),
        (418, "", "{}", Some(NOW + 120_000)),
    ] {
        let error = fetch(Answer(status, headers, body.into(), None)).await.unwrap_err();
        assert_eq!((error.kind(), error.until()), (Kind::RateLimited, until), "{status} {headers} {body}");
    }
}

#[tokio::test]
async fn each_failure_has_its_kind_and_one_line() {
    let code = |code: i32, text: &str| format!("{{\"code\":{code},\"msg\":\"{text}\"}}");
    for (answer, kind, fatal, says) in [
        (
            Answer(400, "", code(-1121, "Invalid symbol."), None),
            Kind::Invalid,
            false,
            "knows no such symbol (hint:",
        ),
        (Answer(400, "", code(-1120, "Invalid interval."), None), Kind::Invalid, false, "-1120"),
        (Answer(400, "", code(-1100, "Illegal characters"), None), Kind::Invalid, false, "-1100"),
        (Answer(400, "", code(-1102, "Mandatory parameter"), None), Kind::Invalid, false, "-1102"),
        (Answer(400, "", code(-1104, "Not all sent"), None), Kind::Invalid, false, "-1104"),
        (Answer(400, "", code(-1001, "Internal error;\\nunable"), None), Kind::Unavailable, false, "-1001"),
        (Answer(404, "", "<html>\n</html>".into(), None), Kind::Invalid, false, "base_url"),
        (
            Answer(403, "", "<html>\nblocked</html>".into(), None),
            Kind::Invalid,
            true,
            "does not serve this address",
        ),
        (
            Answer(451, "", code(0, "restricted location"), None),
            Kind::Invalid,
            true,
            "does not serve this address",
        ),
        (Answer(500, "", String::new(), None), Kind::Unavailable, false, "500"),
        (Answer(503, "", code(-1000, "Unknown"), None), Kind::Unavailable, false, "503"),
        (Answer(200, "", format!("[{KLINE}]"), Some(9)), Kind::Unavailable, false, "GET"),
        (ok("[[1,"), Kind::Data, false, "api/v3/klines of BTCUSDT"),
        (ok("{}"), Kind::Data, false, "expected '['"),
        (ok("[null]"), Kind::Data, false, "expected '['"),
    ] {
        let error = fetch(answer.clone()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (kind, fatal), "{error}");
        assert!(error.to_string().contains(says) && !error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn names_are_looked_up_once_for_what_the_list_costs() {
    let body = "{\"symbols\":[{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\",\"quoteAsset\":\"USDT\"}]}";
    for (venue, path, weight) in [
        (Venue::Spot, "api/v3/exchangeInfo?showPermissionSets=false", 20),
        (Venue::UsdM, "fapi/v1/exchangeInfo", 1),
    ] {
        let server = serve([ok(body)]).await;
        let adapter = adapter(venue, &server);
        assert_eq!(adapter.resolve_weight(), weight);
        for _ in 0..2 {
            assert_eq!(adapter.resolve("BTC").await.unwrap(), "BTCUSDT");
        }
        assert_eq!(adapter.resolve("XYZ").await.unwrap_err().kind(), Kind::Invalid);
        let asked = server.asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].starts_with(&format!("GET /v1/{path} ")), "{}", asked[0]);
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_asked() {
    for url in ["ftp://x", "nonsense"] {
        assert_eq!(build(Venue::Spot, url).unwrap_err().kind(), Kind::Invalid);
    }
    let (spot, usdm) = (build(Venue::Spot, "http://x").unwrap(), build(Venue::UsdM, "http://x").unwrap());
    let says = |adapter: &BinanceAdapter, data_type, timeframe: &str| {
        let capability = adapter.capability(data_type, timeframe.parse().unwrap());
        capability
            .map_or_else(|error| error.to_string(), |capability| format!("{:?}", capability.prices.page()))
    };
    assert_eq!(says(&spot, DataType::Ohlcv, "1M"), "Page { most: 1000, best: 1000 }");
    assert_eq!(says(&usdm, DataType::Ohlcv, "1m"), "Page { most: 1000, best: 499 }");
    assert!(says(&spot, DataType::OpenInterest, "1h").contains("use the source binance_usdm"));
    assert!(says(&usdm, DataType::Liquidations, "1h").contains("no history of liquidations"));
    assert!(says(&usdm, DataType::OpenInterest, "1m").contains("no 1m bars; it has 5m,"));
    assert!(says(&usdm, DataType::OpenInterest, "8h").contains("no 8h bars"));
    assert!(says(&usdm, DataType::FundingRate, "1w").contains("no 1w bars"));
    let kept = |timeframe: &str| {
        usdm.capability(DataType::OpenInterest, timeframe.parse().unwrap()).unwrap().retention_bars
    };
    assert_eq!((kept("1d"), kept("1h"), kept("5m")), (Some(30), Some(720), Some(8629)));
    assert_ne!(spot.fingerprint(), usdm.fingerprint());
    assert_ne!(spot.quota_scope(), usdm.quota_scope());
}
