//! Which files Binance's archive is asked for, and what their absence means, against a server of named files.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use quant_framework::adapters::archive::{BinanceArchiveAdapter, Market};
use quant_framework::checkpoint::MemoryCheckpointStore;
use quant_framework::chunking::AdaptiveChunkStrategy;
use quant_framework::clock::{Clock, ManualClock};
use quant_framework::coverage::State;
use quant_framework::error::{Error, Kind};
use quant_framework::lake::{BronzeWriter, Encoding};
use quant_framework::objects::S3Settings;
use quant_framework::ports::{CheckpointStore, DataAdapter, FetchRequest, Fetched};
use quant_framework::series::{DataType, Series};
use quant_framework::time_range::{TimeRange, iso};
use quant_framework::workflows::{Backfill, BackfillSpec, Parts};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

fn at(day: &str) -> i64 {
    let midnight = format!("{day}T00:00:00Z");
    (0..40_000).map(|day| day * DAY).find(|at| iso(*at) == midnight).unwrap()
}

/// Statuses and bodies, the next one first.
type Answers = Vec<(u16, Vec<u8>)>;

/// A server of files by their last name; every one that is asked for is remembered.
struct Files {
    url: String,
    bodies: Arc<Mutex<HashMap<String, Answers>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Files {
    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files = Self { url, bodies: Arc::default(), asked: Arc::default() };
        let (bodies, asked) = (Arc::clone(&files.bodies), Arc::clone(&files.asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (bodies, asked) = (Arc::clone(&bodies), Arc::clone(&asked));
                tokio::spawn(async move {
                    let mut socket = BufReader::new(socket);
                    let mut first = String::new();
                    while socket.read_line(&mut first).await.is_ok_and(|read| read > 0) {
                        let mut line = String::new();
                        while line != "\r\n" {
                            line.clear();
                            socket.read_line(&mut line).await.unwrap();
                        }
                        let path = first.split(' ').nth(1).unwrap();
                        let name = path.rsplit('/').next().unwrap().to_owned();
                        asked.lock().unwrap().push(name.clone());
                        let answer = {
                            let mut bodies = bodies.lock().unwrap();
                            let queue = bodies.entry(name).or_default();
                            // The last answer stays.
                            if queue.len() > 1 { Some(queue.remove(0)) } else { queue.first().cloned() }
                        };
                        let (status, body) = answer.unwrap_or((404, b"NoSuchKey".to_vec()));
                        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len());
                        let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
                        first.clear();
                    }
                });
            }
        });
        files
    }

    fn answer(&self, name: &str, status: u16, body: &[u8]) {
        self.bodies.lock().unwrap().entry(name.to_owned()).or_default().push((status, body.to_vec()));
    }

    /// The bars of one hour that open `from` until `to`, and the checksum.
    fn hours(&self, date: &str, from: i64, to: i64) -> Vec<u8> {
        let stem = format!("BTCUSDT-1h-{date}");
        let open =
            |at: i64| format!("{at},2.0,3.0,1.0,2.5,{}.5,{},1,9,4.25,1,0\n", at / HOUR % 100, at + HOUR - 1);
        let rows: String = (from / HOUR..to / HOUR).map(|hour| open(hour * HOUR)).collect();
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file(format!("{stem}.csv"), SimpleFileOptions::default()).unwrap();
        writer.write_all(rows.as_bytes()).unwrap();
        let body = writer.finish().unwrap().into_inner();
        self.answer(&format!("{stem}.zip"), 200, &body);
        self.checksum(&format!("{stem}.zip"), &body);
        body
    }

    fn checksum(&self, name: &str, body: &[u8]) {
        let sum = format!("{:x}", Sha256::digest(body));
        self.answer(&format!("{name}.CHECKSUM"), 200, format!("{sum}  {name}\n").as_bytes());
    }

    async fn fetch(&self, now: i64, from: &str, to: &str) -> Result<Fetched, Error> {
        let clock = Arc::new(ManualClock::new(now));
        let adapter = BinanceArchiveAdapter::new(Market::Spot, Some(&self.url), clock).unwrap();
        let series: Series = "binance/ohlcv/BTCUSDT/1h".parse().unwrap();
        adapter.fetch(&FetchRequest { series, range: TimeRange::new(at(from), at(to)).unwrap() }).await
    }

    /// The zips that were asked for, without what all their names share; sorted.
    fn zips(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let zips = asked.iter().filter_map(|name| name.strip_suffix(".zip"));
        let mut dates: Vec<String> =
            zips.map(|name| name.trim_start_matches("BTCUSDT-1h-").to_owned()).collect();
        dates.sort();
        dates
    }
}

fn lineage<'a>(fetched: &'a Fetched, key: &str) -> &'a str {
    fetched.lineage.iter().find(|(held, _)| held == key).map_or("", |(_, value)| value)
}

#[tokio::test]
async fn whole_months_come_from_monthly_files_and_the_running_one_from_days() {
    let files = Files::serve().await;
    files.hours("2024-01", at("2024-01-01"), at("2024-02-01"));
    files.hours("2024-02", at("2024-02-01"), at("2024-03-01"));
    for day in ["2024-03-01", "2024-03-02"] {
        files.hours(day, at(day), at(day) + DAY);
    }
    let fetched = files.fetch(at("2024-03-03") + 5 * HOUR, "2024-01-30", "2024-03-03").await.unwrap();
    assert_eq!(fetched.batch.len(), 24 * 33);
    assert_eq!(files.zips(), ["2024-01", "2024-02", "2024-03-01", "2024-03-02"]);
    assert_eq!(lineage(&fetched, "files").split(' ').count(), 4);
    assert!(fetched.batch.ts().windows(2).all(|pair| pair[0] + HOUR == pair[1]));
    assert!(fetched.bytes > 1000 && !fetched.truncated);
}

#[tokio::test]
async fn days_that_are_not_yet_published_are_unknown_with_all_that_follows() {
    let files = Files::serve().await;
    files.hours("2024-03-01", at("2024-03-01"), at("2024-03-02"));
    files.hours("2024-03-03", at("2024-03-03"), at("2024-03-04"));
    let from = &files;
    let rows = |now: i64| async move {
        from.fetch(at("2024-03-01") + now, "2024-03-01", "2024-03-05").await.unwrap().batch
    };
    let batch = rows(4 * DAY).await;
    assert_eq!(batch.len(), 24, "the second day may still come, so the third one proves nothing");
    let batch = rows(5 * DAY).await;
    assert_eq!(
        (batch.len(), iso(batch.ts()[24])),
        (48, "2024-03-03T00:00:00Z".to_owned()),
        "it does not come any more"
    );
    assert_eq!(
        files.zips().iter().filter(|day| *day == "2024-03-05").count(),
        0,
        "a day that is not asked for"
    );
    files.asked.lock().unwrap().clear();
    assert_eq!(rows(2 * DAY).await.len(), 24);
    assert_eq!(files.zips(), ["2024-03-01", "2024-03-02"], "no day that is not over");
}

#[tokio::test]
async fn a_month_that_lacks_bars_is_made_up_for_by_its_days() {
    let files = Files::serve().await;
    // Cut at the 10th (binance-public-data issue 320), without a day in the middle (253) and its first days (297).
    files.hours("2024-01", at("2024-01-03"), at("2024-01-10") + 5 * HOUR);
    for day in ["2024-01-02", "2024-01-10", "2024-01-12"] {
        files.hours(day, at(day), at(day) + DAY);
    }
    let now = at("2024-06-01");
    let fetched = files.fetch(now, "2024-01-01", "2024-02-01").await.unwrap();
    assert_eq!(fetched.batch.len() as i64, (8 + 1 + 1) * 24);
    let mut ts = fetched.batch.ts().to_vec();
    ts.sort_unstable();
    ts.dedup();
    assert_eq!(ts.len(), fetched.batch.len(), "no bar twice");
    let asked = files.zips();
    assert_eq!(asked.len(), 1 + 31 - 7, "the month, and each day that lacks bars once: {asked:?}");
    // What is whole needs no days.
    files.asked.lock().unwrap().clear();
    assert_eq!(files.fetch(now, "2024-01-04", "2024-01-09").await.unwrap().batch.len(), 5 * 24);
    assert_eq!(files.zips(), ["2024-01"]);
}

#[tokio::test]
async fn a_month_without_any_file_costs_three_questions_and_one_with_days_is_made_of_them() {
    let files = Files::serve().await;
    let now = at("2024-06-01");
    files.hours("2024-04", at("2024-04-01"), at("2024-05-01"));
    assert!(files.fetch(now, "2024-01-01", "2024-02-01").await.unwrap().batch.is_empty());
    assert_eq!(files.zips(), ["2024-01", "2024-01-01", "2024-01-31"]);
    for day in ["2024-01-30", "2024-01-31"] {
        files.hours(day, at(day), at(day) + DAY);
    }
    assert_eq!(files.fetch(now, "2024-01-01", "2024-02-01").await.unwrap().batch.len(), 48);
    // A month that has just ended is made of its days until its file comes.
    files.asked.lock().unwrap().clear();
    assert_eq!(files.fetch(at("2024-02-05"), "2024-01-30", "2024-02-01").await.unwrap().batch.len(), 48);
    assert_eq!(files.zips(), ["2024-01", "2024-01-30", "2024-01-31"]);
}

#[tokio::test]
async fn a_file_that_does_not_equal_its_checksum_is_fetched_once_more() {
    let files = Files::serve().await;
    let (now, name) = (at("2024-06-01"), "BTCUSDT-1h-2024-01.zip");
    files.answer(name, 200, b"half of an upload");
    files.hours("2024-01", at("2024-01-01"), at("2024-02-01"));
    assert_eq!(files.fetch(now, "2024-01-01", "2024-02-01").await.unwrap().batch.len(), 31 * 24);
    assert_eq!(files.zips(), ["2024-01", "2024-01"]);
    for (zip, checksum, said) in [
        (&b"changed"[..], None, "its checksum says"),
        (b"changed", Some((404, "")), "no checksum"),
        (b"changed", Some((200, "<html>")), "checksum of"),
        (b"changed", Some((200, "0123  BTCUSDT-1h-2024-01.zip")), "checksum of"),
    ] {
        let files = Files::serve().await;
        files.hours("2024-01", at("2024-01-01"), at("2024-02-01"));
        files.bodies.lock().unwrap().insert(name.to_owned(), vec![(200, zip.to_vec())]);
        if let Some((status, text)) = checksum {
            files.bodies.lock().unwrap().remove(&format!("{name}.CHECKSUM"));
            files.answer(&format!("{name}.CHECKSUM"), status, text.as_bytes());
        }
        let error = files.fetch(now, "2024-01-01", "2024-02-01").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains(said) && error.to_string().contains(name), "{error}");
        assert_eq!(files.zips().len(), 2);
    }
    // Another file's checksum proves nothing, and a sound checksum of a web page does not make it a zip.
    let files = Files::serve().await;
    let body = files.hours("2024-01", at("2024-01-01"), at("2024-02-01"));
    files.bodies.lock().unwrap().remove(&format!("{name}.CHECKSUM"));
    files.checksum("BTCUSDT-1h-2024-02.zip", &body);
    assert_eq!(files.fetch(now, "2024-01-01", "2024-02-01").await.unwrap_err().kind(), Kind::Data);
    files.bodies.lock().unwrap().insert(name.to_owned(), vec![(200, b"<html></html>".to_vec())]);
    files.checksum(name, b"<html></html>");
    let error = files.fetch(now, "2024-01-01", "2024-02-01").await.unwrap_err();
    assert!(error.to_string().contains("web page"), "{error}");
}

#[tokio::test]
async fn a_corrected_file_is_told_by_its_checksum() {
    let files = Files::serve().await;
    let now = at("2024-06-01");
    files.hours("2024-01", at("2024-01-01"), at("2024-02-01"));
    let before = files.fetch(now, "2024-01-01", "2024-01-02").await.unwrap();
    let again = files.fetch(now, "2024-01-01", "2024-01-02").await.unwrap();
    assert_eq!(lineage(&before, "files"), lineage(&again, "files"));
    files.bodies.lock().unwrap().clear();
    files.hours("2024-01", at("2024-01-01"), at("2024-01-31"));
    let after = files.fetch(now, "2024-01-01", "2024-01-02").await.unwrap();
    assert_ne!(lineage(&before, "files"), lineage(&after, "files"));
    assert_eq!(before.batch, after.batch);
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    for (status, kind) in
        [(500, Kind::Unavailable), (503, Kind::Unavailable), (403, Kind::Invalid), (429, Kind::RateLimited)]
    {
        let files = Files::serve().await;
        files.answer("BTCUSDT-1h-2024-01.zip", status, b"no");
        let error = files.fetch(at("2024-06-01"), "2024-01-01", "2024-02-01").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("BTCUSDT"), "{error}");
    }
    let files = Files::serve().await;
    files.answer("BTCUSDT-1h-2024-01.zip", 200, &vec![0; (64 << 20) + 1]);
    let error = files.fetch(at("2024-06-01"), "2024-01-01", "2024-02-01").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data, "{error}");
}

#[tokio::test]
async fn what_the_archive_does_not_have_is_refused_before_anything_is_asked() {
    let clock = || Arc::new(ManualClock::new(0));
    assert_eq!(
        BinanceArchiveAdapter::new(Market::Spot, Some("ftp://x"), clock()).unwrap_err().kind(),
        Kind::Invalid
    );
    let adapters =
        [Market::Spot, Market::UsdM].map(|market| BinanceArchiveAdapter::new(market, None, clock()).unwrap());
    let can = |index: usize, data_type: &str, timeframe: &str| {
        adapters[index].capability(data_type.parse().unwrap(), timeframe.parse().unwrap())
    };
    assert!(
        can(0, "ohlcv", "1m").is_ok()
            && can(0, "ohlcv", "1M").is_ok()
            && can(1, "open_interest", "5m").is_ok()
    );
    for (index, data_type, timeframe) in [
        (0, "ohlcv", "1w"),
        (0, "open_interest", "5m"),
        (1, "open_interest", "1m"),
        (1, "liquidations", "1m"),
    ] {
        assert_eq!(can(index, data_type, timeframe).unwrap_err().kind(), Kind::Invalid);
    }
    let [spot, usdm] = &adapters;
    assert_eq!((spot.source(), spot.fingerprint()), ("binance", "binance/v1 spot".to_owned()));
    assert_eq!((usdm.source(), usdm.fingerprint()), ("binance_usdm", "binance/v1 usdm".to_owned()));
    assert!(spot.is_exact("BTCUSDT") && usdm.is_exact("BTCUSDT_240329"));
    assert!(!spot.is_exact("BTC") && !spot.is_exact("BTC/USDT") && !spot.is_exact("../BTCUSDT"));
    assert_eq!(spot.resolve("btc/usdt").await.unwrap(), "BTCUSDT");
    for name in ["BTC", "../../etc", "BTC USDT", ""] {
        assert_eq!(spot.resolve(name).await.unwrap_err().kind(), Kind::Invalid, "{name:?}");
    }
}

#[tokio::test]
async fn a_market_without_any_file_is_refused_and_one_with_some_is_asked_about_once() {
    let files = Files::serve().await;
    let now = at("2024-06-15");
    for (from, to) in [("2020-01-01", "2020-02-01"), ("2024-06-01", "2024-06-15")] {
        let error = files.fetch(now, from, to).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(
            error.to_string().contains("no file of ohlcv 1h of the market \"BTCUSDT\" (spot)"),
            "{error}"
        );
    }
    for there in ["2017-08", "2024-05", "2024-06-10"] {
        let files = Files::serve().await;
        files.hours(there, at("2024-05-01"), at("2024-05-02"));
        let clock = Arc::new(ManualClock::new(now));
        let adapter = BinanceArchiveAdapter::new(Market::Spot, Some(&files.url), clock).unwrap();
        let ask = |year: i64| {
            let series: Series = "binance/ohlcv/BTCUSDT/1h".parse().unwrap();
            let start = at("2018-01-01") + (year - 2018) * 365 * DAY;
            FetchRequest { series, range: TimeRange::new(start, start + 10 * DAY).unwrap() }
        };
        assert!(adapter.fetch(&ask(2018)).await.unwrap().batch.is_empty(), "{there}");
        let asked = files.asked.lock().unwrap().len();
        assert!(adapter.fetch(&ask(2019)).await.unwrap().batch.is_empty(), "{there}");
        assert_eq!(
            files.asked.lock().unwrap().len() - asked,
            3,
            "the month and two days, nothing to find out"
        );
    }
}

/// When each file of the first months of 2024 comes: days up to almost three days after their end, months up to ten.
fn timetable(mut seed: u64) -> Vec<(i64, String, i64, i64)> {
    let mut late = |most: i64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as i64 % most
    };
    let day = |day: i64| (iso(day)[..10].to_owned(), day, day + DAY);
    let mut files: Vec<_> = (at("2024-01-20")..at("2024-03-20")).step_by(DAY as usize).map(day).collect();
    for (from, to) in [("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-03-01")] {
        files.push((from[..7].to_owned(), at(from), at(to)));
    }
    let mut timetable: Vec<_> = files
        .into_iter()
        .map(|(name, from, to)| (to + late(if name.len() > 7 { 3 * DAY } else { 10 * DAY }), name, from, to))
        .collect();
    timetable.sort();
    timetable
}

#[tokio::test]
async fn every_bar_arrives_once_whatever_the_delays_and_none_is_taken_for_absent() {
    for seed in 0..2 {
        let (files, folder) = (Files::serve().await, tempfile::tempdir().unwrap());
        let (store, url) =
            (Arc::new(MemoryCheckpointStore::default()), format!("file://{}", folder.path().display()));
        let mut timetable = timetable(seed).into_iter().peekable();
        let (start, mut now) = (at("2024-01-20"), at("2024-01-21"));
        let series: Series = "binance/ohlcv/BTCUSDT/1h".parse().unwrap();
        let mut rows = 0;
        while now < at("2024-03-20") {
            while let Some((_, name, from, to)) = timetable.next_if(|(comes, ..)| *comes <= now) {
                files.hours(&name, from, to);
            }
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(now));
            let parts = Parts {
                adapter: Arc::new(
                    BinanceArchiveAdapter::new(Market::Spot, Some(&files.url), Arc::clone(&clock)).unwrap(),
                ),
                writer: Arc::new(
                    BronzeWriter::open(&url, S3Settings::default(), Encoding::default(), Arc::clone(&clock))
                        .unwrap(),
                ),
                store: store.clone(),
                strategy: Arc::new(AdaptiveChunkStrategy::default()),
                limiter: Arc::new(()),
                reporter: Arc::new(()),
                clock,
            };
            let range = TimeRange::new(start, now).unwrap();
            let spec = BackfillSpec::new(
                vec!["BTCUSDT".into()],
                vec![series.timeframe],
                vec![DataType::Ohlcv],
                range,
            );
            let report = Backfill::new(parts, spec).unwrap().run().await.unwrap();
            // Before the first file, the archive knows no such market.
            assert!(report.errors.is_empty() || rows == 0, "{} seed {seed}: {:?}", iso(now), report.errors);
            rows += report.records_written;
            let known = store.load(&series.to_string()).await.unwrap().unwrap_or_default().coverage;
            assert_eq!(known.ranges(State::Empty), [], "{} seed {seed}", iso(now));
            now += 41 * HOUR;
        }
        let known = store.load(&series.to_string()).await.unwrap().unwrap().coverage;
        let [data] = known.ranges(State::Data)[..] else { panic!("seed {seed}: {known:?}") };
        assert!(data.start() == start && data.end() >= at("2024-03-16"), "seed {seed}: {data}");
        assert_eq!(rows as i64, data.length() / HOUR, "no row is written twice");
    }
}
