use std::path::Path;

use arrow_array::{ArrayRef, Float64Array};
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::clock::SystemClock;
use crate::ports::{DataWriter, Fetched};
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::Millis;

const DAY: Millis = 86_400_000;

fn bronze(at: &Path) -> Arc<BronzeWriter> {
    let url = at.join("bronze").to_str().unwrap().to_owned();
    let clock = Arc::new(ManualClock::new(0));
    Arc::new(BronzeWriter::open(&url, S3Settings::default(), Encoding::default(), clock).unwrap())
}

fn silver(at: &Path) -> SilverWriter {
    let url = at.join("silver").to_str().unwrap().to_owned();
    let clock = Arc::new(SystemClock::default());
    SilverWriter::open(&url, S3Settings::default(), Encoding::default(), bronze(at), clock).unwrap()
}

fn series(timeframe: &str) -> Series {
    format!("x/funding_rate/BTC/{timeframe}").parse().unwrap()
}

fn funding(rows: &[(Millis, f64)]) -> Fetched {
    let none = || Arc::new(Float64Array::from(vec![None::<f64>; rows.len()])) as ArrayRef;
    let close = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let ts = rows.iter().map(|row| row.0).collect();
    let batch = Batch::new(DataType::FundingRate, ts, vec![none(), none(), none(), close]).unwrap();
    Fetched { batch, bytes: 0, truncated: false, quotas: Vec::new(), lineage: Vec::new() }
}

fn range(start: Millis, end: Millis) -> TimeRange {
    TimeRange::new(start, end).unwrap()
}

async fn put(bronze: &BronzeWriter, series: &Series, span: TimeRange, rows: &[(Millis, f64)]) {
    bronze.write(series, span, &funding(rows)).await.unwrap();
}

async fn held(silver: &SilverWriter, series: &Series) -> Vec<(String, Vec<(Millis, f64)>)> {
    let mut found = Vec::new();
    for key in silver.objects.list(&folder(series)).await.unwrap() {
        if key.contains("/.") {
            continue;
        }
        let body = silver.objects.get(&key).await.unwrap().unwrap();
        let mut rows = Vec::new();
        for batch in super::super::encoding::decode(body).unwrap() {
            let batch = Batch::from_record_batch(series.data_type, &batch).unwrap();
            let close = batch.rows().column(4).as_any().downcast_ref::<Float64Array>().unwrap().clone();
            rows.extend(batch.ts().iter().copied().zip(close.values().iter().copied()));
        }
        found.push((key.rsplit('/').next().unwrap().to_owned(), rows));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[tokio::test]
async fn periods_are_objects_the_last_object_wins_and_twice_is_once() {
    let lake = tempfile::tempdir().unwrap();
    let (bronze, silver, hourly) = (bronze(lake.path()), silver(lake.path()), series("1h"));
    let year = 365 * DAY;
    put(&bronze, &hourly, range(year - DAY, year + DAY), &[(year - DAY, 1.0), (year, 2.0)]).await;
    put(&bronze, &hourly, range(year, year + 2 * DAY), &[(year, 3.0), (year + DAY, 4.0)]).await;
    put(&bronze, &hourly, range(year + DAY, year + 2 * DAY), &[(year + DAY, 4.0)]).await;
    let done = silver.compact(&hourly, None).await.unwrap();
    let wanted = Compaction { partitions: 2, written: 2, rows: 3, repeated: 1, replaced: 1, ..done };
    assert_eq!((&done, done.quarantined), (&wanted, 1));
    assert_eq!(aside(&silver, &hourly).await, [(year, 2.0, "conflicting".to_owned())]);
    let objects = [
        ("1970.parquet".to_owned(), vec![(year - DAY, 1.0)]),
        ("1971.parquet".to_owned(), vec![(year, 3.0), (year + DAY, 4.0)]),
    ];
    assert_eq!(held(&silver, &hourly).await, objects);
    let again = silver.compact(&hourly, None).await.unwrap();
    assert_eq!(again, Compaction { written: 0, bytes: 0, ..wanted }, "it was right already");
}

#[tokio::test]
async fn only_the_periods_of_a_range_are_made_and_what_bronze_has_lost_stays() {
    let lake = tempfile::tempdir().unwrap();
    let (bronze, silver, minutes) = (bronze(lake.path()), silver(lake.path()), series("1m"));
    for day in 0..90 {
        put(&bronze, &minutes, range(day * DAY, (day + 1) * DAY), &[(day * DAY, 1.0)]).await;
    }
    let done = silver.compact(&minutes, Some(range(40 * DAY, 41 * DAY))).await.unwrap();
    assert_eq!((done.partitions, done.rows), (1, 28), "February 1970");
    assert_eq!(silver.compact(&minutes, None).await.unwrap().written, 2);
    for day in 0..31 {
        bronze.remove(&minutes, range(day * DAY, (day + 1) * DAY)).await.unwrap();
    }
    assert_eq!(silver.compact(&minutes, None).await.unwrap().written, 0);
    let rows: Vec<usize> = held(&silver, &minutes).await.iter().map(|(_, rows)| rows.len()).collect();
    assert_eq!(rows, [31, 28, 31]);
}

/// What is kept aside, with its reasons.
async fn aside(silver: &SilverWriter, series: &Series) -> Vec<(Millis, f64, String)> {
    let mut found = Vec::new();
    for key in silver.objects.list(&format!("_quarantine/{}", folder(series))).await.unwrap() {
        if key.contains("/.") {
            continue;
        }
        let body = silver.objects.get(&key).await.unwrap().unwrap();
        for rows in super::super::encoding::decode(body).unwrap() {
            assert_eq!(rows.schema().fields().len(), 7);
            let plain = rows.project(&[0, 1, 2, 3, 4]).unwrap();
            let batch = Batch::from_record_batch(series.data_type, &plain).unwrap();
            let close = rows.column(4).as_any().downcast_ref::<Float64Array>().unwrap();
            let reason = rows.column(5).as_any().downcast_ref::<arrow_array::StringArray>().unwrap();
            let row = |row: usize| (batch.ts()[row], close.value(row), reason.value(row).to_owned());
            found.extend((0..batch.len()).map(row));
        }
    }
    found
}

#[tokio::test]
async fn rows_that_cannot_be_are_kept_aside_until_bronze_is_right() {
    let lake = tempfile::tempdir().unwrap();
    let (bronze, silver, hourly) = (bronze(lake.path()), silver(lake.path()), series("1h"));
    put(&bronze, &hourly, range(0, DAY), &[(0, 1.0), (1, 2.0), (3_600_000, f64::INFINITY), (5 * DAY, 3.0)])
        .await;
    let done = silver.compact(&hourly, None).await.unwrap();
    assert_eq!((done.rows, done.quarantined, done.written), (1, 3, 1));
    let reasons = [
        (1, 2.0, "grid".to_owned()),
        (3_600_000, f64::INFINITY, "finite".to_owned()),
        (5 * DAY, 3.0, "outside".to_owned()),
    ];
    assert_eq!(aside(&silver, &hourly).await, reasons);
    let again = silver.compact(&hourly, None).await.unwrap();
    assert_eq!((again.quarantined, again.written), (3, 0), "twice is once");
    put(&bronze, &hourly, range(0, DAY), &[(0, 1.0), (3_600_000, 2.0)]).await;
    let done = silver.compact(&hourly, None).await.unwrap();
    assert_eq!((done.rows, done.quarantined), (2, 0));
    assert_eq!(aside(&silver, &hourly).await, []);
    put(&bronze, &hourly, range(0, DAY), &[(0, f64::NAN)]).await;
    silver.compact(&hourly, None).await.unwrap();
    assert_eq!(held(&silver, &hourly).await, [("1970.parquet".to_owned(), vec![])], "nothing true is left");
}

#[tokio::test]
async fn a_true_row_is_not_lost_to_a_later_one_that_cannot_be() {
    let lake = tempfile::tempdir().unwrap();
    let (bronze, silver, hourly) = (bronze(lake.path()), silver(lake.path()), series("1h"));
    put(&bronze, &hourly, range(0, DAY), &[(3_600_000, 1.0)]).await;
    put(&bronze, &hourly, range(3_600_000, DAY), &[(3_600_000, f64::NAN)]).await;
    silver.compact(&hourly, None).await.unwrap();
    assert_eq!(held(&silver, &hourly).await, [("1970.parquet".to_owned(), vec![(3_600_000, 1.0)])]);
    assert_eq!(aside(&silver, &hourly).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_writers_at_once_lose_nothing() {
    let lake = tempfile::tempdir().unwrap();
    let hourly = series("1h");
    let writers = (0..16_i64).map(|writer| {
        let (bronze, silver, hourly) = (bronze(lake.path()), silver(lake.path()), hourly.clone());
        tokio::spawn(async move {
            for turn in 0..8_i64 {
                let day = (turn * 16 + writer) * DAY;
                put(&bronze, &hourly, range(day, day + DAY), &[(day, writer as f64)]).await;
                silver.compact(&hourly, Some(range(day, day + DAY))).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let objects = held(&silver(lake.path()), &hourly).await;
    let days: Vec<Millis> = objects.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.0 / DAY)).collect();
    assert_eq!(days, (0..128).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn silver_is_what_a_map_says_whatever_the_order(
        objects in prop::collection::vec((0..60_i64, 1..40_i64, prop::collection::btree_map(0..40_i64, 1..5_u8, 1..20)), 1..8),
        turned in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lake = tempfile::tempdir().unwrap();
            let (bronze, silver, daily) = (bronze(lake.path()), silver(lake.path()), series("1d"));
            let mut all: Vec<(TimeRange, Vec<(Millis, f64)>)> = Vec::new();
            for (start, length, rows) in objects {
                let span = range(start * 30 * DAY, (start * 30 + length) * DAY);
                let rows: Vec<(Millis, f64)> = rows.into_iter().filter(|(day, _)| *day < length)
                    .map(|(day, value)| ((start * 30 + day) * DAY, f64::from(value))).collect();
                all.retain(|(known, _)| *known != span);
                if !rows.is_empty() { all.push((span, rows)); }
            }
            if turned { all.reverse(); }
            for (span, rows) in &all { put(&bronze, &daily, *span, rows).await; }
            let done = silver.compact(&daily, None).await.unwrap();
            all.sort_by_key(|(span, _)| *span);
            let model: std::collections::BTreeMap<Millis, u64> =
                all.iter().flat_map(|(_, rows)| rows.iter().map(|(at, value)| (*at, value.to_bits()))).collect();
            let rows: Vec<(Millis, u64)> = held(&silver, &daily).await.into_iter()
                .flat_map(|(_, rows)| rows.into_iter().map(|(at, value)| (at, value.to_bits()))).collect();
            assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
            assert_eq!(done.rows as usize, rows.len());
            assert_eq!((done.quarantined, aside(&silver, &daily).await.len() as u64), (done.replaced, done.replaced));
        });
    }
}
