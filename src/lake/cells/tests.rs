use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array};
use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;
use crate::lake::Encoding;
use crate::objects::S3Settings;
use crate::ports::DataWriter;
use crate::series::DataType;

const MINUTE: Millis = 60_000;
const DAY: Millis = 1440 * MINUTE;

fn lake(at: &Path) -> BronzeWriter {
    let clock = Arc::new(SystemClock::default());
    BronzeWriter::open(at.to_str().unwrap(), S3Settings::default(), Encoding::default(), clock).unwrap()
}

fn series() -> Series {
    "test/funding_rate/BTC/1m".parse().unwrap()
}

/// Minutes and their values.
fn batch(rows: &[(Millis, f64)]) -> Batch {
    let none = || Arc::new(Float64Array::from(vec![None::<f64>; rows.len()])) as ArrayRef;
    let close = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let ts = rows.iter().map(|row| row.0 * MINUTE).collect();
    Batch::new(DataType::FundingRate, ts, vec![none(), none(), none(), close]).unwrap()
}

fn fetched(rows: &[(Millis, f64)]) -> Fetched {
    Fetched { batch: batch(rows), bytes: 0, truncated: false, quotas: Vec::new(), lineage: Vec::new() }
}

fn pairs(batch: &Batch) -> Vec<(Millis, f64)> {
    let close = batch.rows().column(4).as_primitive::<Float64Type>();
    batch.ts().iter().zip(close.values()).map(|(at, value)| (at / MINUTE, *value)).collect()
}

fn range(from: Millis, to: Millis) -> TimeRange {
    TimeRange::new(from * MINUTE, to * MINUTE).unwrap()
}

async fn rows(lake: &BronzeWriter) -> Vec<(Millis, f64)> {
    let mut rows = pairs(&lake.read(&series(), range(-1_000_000, 1_000_000)).await.unwrap());
    rows.sort_by_key(|row| row.0);
    rows
}

#[tokio::test]
async fn a_cell_grows_in_place_and_keeps_what_was_said_before() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let first = lake.merge(&series(), &fetched(&[(0, 1.0), (1, 1.0)]), &[], 10).await.unwrap();
    assert_eq!((first.added, first.restated), (2, 0));
    let second = lake.merge(&series(), &fetched(&[(1, 2.0), (2, 1.0)]), &[], 20).await.unwrap();
    assert_eq!((second.added, second.restated), (1, 1));
    let again = lake.merge(&series(), &fetched(&[(1, 2.0), (2, 1.0)]), &[], 30).await.unwrap();
    assert_eq!(again, Merged::default(), "nothing is written where nothing is new");
    assert_eq!(rows(&lake).await, [(0, 1.0), (1, 2.0), (2, 1.0)]);
    assert_eq!(lake.all(&series()).await.unwrap().len(), 1);
    let kept = lake.objects.list(REPLACED).await.unwrap();
    assert_eq!(kept.len(), 1);
    let kept = lake.decoded(&series(), &kept[0], lake.objects.get(&kept[0]).await.unwrap().unwrap()).unwrap();
    assert_eq!(pairs(&kept), [(1, 1.0)]);
    assert_eq!(lake.series("").await.unwrap(), [series().to_string()], "what is kept apart is no series");
}

#[tokio::test]
async fn rows_go_into_the_chunk_that_spans_them_and_else_into_the_cell_of_their_day() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let (chunk, left) = (range(1430, 1435), range(1435, 1436));
    lake.write(&series(), chunk, &fetched(&[(1430, 1.0), (1432, 1.0)])).await.unwrap();
    lake.write(&series(), left, &fetched(&[(1435, 9.0)])).await.unwrap();
    let answer: Vec<(Millis, f64)> = (1430..1445).map(|minute| (minute, 1.0)).collect();
    let merged = lake.merge(&series(), &fetched(&answer), &[left], 10).await.unwrap();
    assert_eq!((merged.added, merged.restated), (13, 0));
    lake.remove(&series(), left).await.unwrap();
    assert_eq!(rows(&lake).await, answer);
    let day = |number: Millis| Object::cell(TimeRange::new(number * DAY, (number + 1) * DAY).unwrap());
    assert_eq!(lake.all(&series()).await.unwrap(), [day(0), Object::chunk(chunk), day(1)]);
}

#[tokio::test]
async fn an_earlier_answer_does_not_replace_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.merge(&series(), &fetched(&[(0, 2.0)]), &[], 20).await.unwrap();
    let stale = lake.merge(&series(), &fetched(&[(0, 1.0), (1, 1.0)]), &[], 10).await.unwrap();
    assert_eq!((stale.added, stale.restated), (1, 0));
    assert_eq!(rows(&lake).await, [(0, 2.0), (1, 1.0)]);
    let another = lake.merge(&series(), &fetched(&[(1, 3.0)]), &[], 15).await.unwrap();
    assert_eq!(another.restated, 1, "of that bar nobody has asked since");
    let since = lake.merge(&series(), &fetched(&[(0, 3.0)]), &[], 21).await.unwrap();
    assert_eq!(since.restated, 1);
    assert_eq!(rows(&lake).await, [(0, 3.0), (1, 3.0)]);
}

#[tokio::test]
async fn trimming_removes_the_rows_that_a_chunk_holds_now_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.merge(&series(), &fetched(&[(0, 1.0), (1, 1.0), (2, 1.0)]), &[], 10).await.unwrap();
    let cell = TimeRange::new(0, DAY).unwrap();
    lake.write(&series(), range(1, 2), &fetched(&[(1, 5.0)])).await.unwrap();
    for _ in 0..2 {
        lake.trim(&series(), cell, range(1, 2)).await.unwrap();
    }
    assert_eq!(rows(&lake).await, [(0, 1.0), (1, 5.0), (2, 1.0)]);
    lake.trim(&series(), cell, range(0, 1440)).await.unwrap();
    lake.trim(&series(), TimeRange::new(DAY, 2 * DAY).unwrap(), range(0, 9999)).await.unwrap();
    assert_eq!(rows(&lake).await, [(1, 5.0)]);
    assert_eq!(lake.held(&series()).await.unwrap().cells, [cell]);
}

#[tokio::test]
async fn a_chunk_is_trimmed_too_and_one_that_is_gone_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.write(&series(), range(0, 3), &fetched(&[(0, 1.0), (1, 1.0), (2, 1.0)])).await.unwrap();
    lake.write(&series(), range(1, 2), &fetched(&[(1, 5.0)])).await.unwrap();
    for _ in 0..2 {
        lake.trim_chunk(&series(), range(0, 3), range(1, 2)).await.unwrap();
    }
    assert_eq!(rows(&lake).await, [(0, 1.0), (1, 5.0), (2, 1.0)]);
    lake.trim_chunk(&series(), range(7, 9), range(0, 9)).await.unwrap();
    assert_eq!(lake.held(&series()).await.unwrap().chunks, [range(0, 3), range(1, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_writers_of_one_cell_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Arc::new(lake(folder.path()));
    let writers = (0..16).map(|number| {
        let lake = Arc::clone(&lake);
        tokio::spawn(async move {
            for turn in 0..4 {
                let rows: Vec<_> = (0..4).map(|step| ((turn * 16 + number) * 4 + step, 1.0)).collect();
                lake.merge(&series(), &fetched(&rows), &[], 10).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(rows(&lake).await, (0..256).map(|minute| (minute, 1.0)).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn a_union_is_what_a_naive_model_says(
        old in prop::collection::btree_map(0..30_i64, 0..3_u8, 0..20),
        new in prop::collection::btree_map(0..30_i64, 0..3_u8, 0..20), later in any::<bool>(),
    ) {
        let rows = |map: &BTreeMap<i64, u8>| map.iter().map(|(at, value)| (*at, f64::from(*value))).collect::<Vec<_>>();
        let found = union(&batch(&rows(&old)), &batch(&rows(&new)), |_| later).unwrap();
        let mut model = old.clone();
        let mut lost = BTreeMap::new();
        for (at, value) in &new {
            match old.get(at) {
                Some(held) if later || held == value => {}
                Some(held) => { lost.insert(*at, *held); model.insert(*at, *value); }
                None => { model.insert(*at, *value); }
            }
        }
        prop_assert_eq!(pairs(&found.rows), rows(&model));
        prop_assert_eq!(pairs(&found.replaced), rows(&lost));
        prop_assert_eq!(found.added as usize, new.keys().filter(|at| !old.contains_key(at)).count());
    }
}
