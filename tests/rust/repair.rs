//! Lost and damaged checkpoints, made again from the other copy or from the lake.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use quant_framework::checkpoint::{HybridCheckpointStore, LocalCheckpointStore, MemoryCheckpointStore};
use quant_framework::coverage::State;
use quant_framework::lake::{BronzeWriter, Encoding};
use quant_framework::objects::S3Settings;
use quant_framework::ports::{Checkpoint, CheckpointStore, DataWriter, Fetched};
use quant_framework::records::Batch;
use quant_framework::series::{DataType, Series};
use quant_framework::time_range::TimeRange;
use quant_framework::workflows::{RepairSpec, repair};

use crate::servers::moved_clock;

const HOUR: i64 = 3_600_000;

fn series() -> Series {
    "test/open_interest/BTC/1m".parse().unwrap()
}

fn facts(ranges: &[(i64, i64, State)]) -> Checkpoint {
    let range = |(start, end, state): &(i64, i64, State)| (TimeRange::new(*start, *end).unwrap(), *state);
    Checkpoint { coverage: ranges.iter().map(range).collect(), ..Checkpoint::default() }
}

/// Two hours of minutes in two objects; the last ten minutes of the first hour have no rows.
async fn lake(folder: &Path) -> BronzeWriter {
    let url = folder.join("lake");
    let writer =
        BronzeWriter::open(url.to_str().unwrap(), S3Settings::default(), Encoding::default(), moved_clock(0))
            .unwrap();
    for (start, minutes) in [(0, 50), (HOUR, 60)] {
        let ts: Vec<i64> = (0..minutes).map(|minute| start + minute * 60_000).collect();
        let column = || Arc::new(Float64Array::from(vec![1.0; ts.len()])) as ArrayRef;
        let batch =
            Batch::new(DataType::OpenInterest, ts.clone(), vec![column(), column(), column(), column()]);
        let fetched = Fetched {
            batch: batch.unwrap(),
            bytes: 0,
            truncated: false,
            quotas: Vec::new(),
            lineage: Vec::new(),
        };
        writer.write(&series(), TimeRange::new(start, start + HOUR).unwrap(), &fetched).await.unwrap();
    }
    writer
}

fn with_hole() -> Checkpoint {
    let (hole, end) = (50 * 60_000, 2 * HOUR);
    facts(&[(0, hole, State::Data), (hole, HOUR, State::Empty), (HOUR, end, State::Data)])
}

#[tokio::test]
async fn a_lost_checkpoint_is_read_off_the_lake_with_its_holes_or_off_the_names_without() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let key = series().to_string();
    for (names_only, expected) in [(false, with_hole()), (true, facts(&[(0, 2 * HOUR, State::Data)]))] {
        let store = MemoryCheckpointStore::default();
        let spec = RepairSpec { names_only, ..RepairSpec::default() };
        let report = repair(&store, Some(&lake), &spec).await.unwrap();
        assert_eq!((report.series, report.rebuilt), (0, vec![key.clone()]));
        assert_eq!(store.load(&key).await.unwrap(), Some(expected));
        let again = repair(&store, Some(&lake), &spec).await.unwrap();
        assert!((again.series, again.rebuilt.len(), again.repaired.len()) == (1, 0, 0), "{again:?}");
        let elsewhere = RepairSpec { prefix: "other/".into(), ..spec };
        assert_eq!(repair(&store, Some(&lake), &elsewhere).await.unwrap().series, 0);
    }
}

#[tokio::test]
async fn what_the_lake_proves_goes_into_the_present_generation() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let store = MemoryCheckpointStore::default();
    let key = series().to_string();
    store.reset(&key).await.unwrap();
    let generation = store.reset(&key).await.unwrap();
    repair(&store, Some(&lake), &RepairSpec::default()).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), Some(Checkpoint { generation, ..with_hole() }));
}

#[tokio::test]
async fn a_damaged_checkpoint_is_set_aside_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let store = LocalCheckpointStore::new(folder.path().join("checkpoints"));
    let key = series().to_string();
    let file = folder.path().join(format!("checkpoints/{key}.json"));
    store.commit(&key, &with_hole()).await.unwrap();
    store.commit("test/ohlcv/FINE/1m", &with_hole()).await.unwrap();
    let damaged = &fs::read(&file).unwrap()[..60];
    fs::write(&file, damaged).unwrap();
    let report = repair(&store, Some(&lake), &RepairSpec::default()).await.unwrap();
    assert!(report.series == 2 && report.errors.len() == 1 && report.set_aside.is_empty(), "{report:?}");
    assert!(
        report.errors[0].series.as_ref() == Some(&key) && report.errors[0].message.contains("BTC/1m.json")
    );
    assert_eq!(fs::read(&file).unwrap(), damaged, "left as it was");
    let spec = RepairSpec { replace_damaged: true, ..RepairSpec::default() };
    let report = repair(&store, Some(&lake), &spec).await.unwrap();
    assert!(report.errors.is_empty() && report.set_aside == [key.clone()] && report.rebuilt == [key.clone()]);
    assert_eq!(store.load(&key).await.unwrap(), Some(with_hole()));
    let kept = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| path.to_string_lossy().contains(".json.damaged-")).collect();
    assert_eq!(fs::read(&kept[0]).unwrap(), damaged, "kept for a look");
}

#[tokio::test]
async fn copies_are_made_equal_in_both_directions() {
    let (minio, database) =
        (Arc::new(MemoryCheckpointStore::default()), Arc::new(MemoryCheckpointStore::default()));
    let hybrid = HybridCheckpointStore::new(Arc::clone(&minio) as _, Arc::clone(&database) as _);
    let [left, right, both] = ["t/ohlcv/LEFT/1m", "t/ohlcv/RIGHT/1m", "t/ohlcv/BOTH/1m"];
    minio.commit(left, &facts(&[(0, 10, State::Data)])).await.unwrap();
    database.commit(right, &facts(&[(0, 10, State::Data)])).await.unwrap();
    minio.commit(both, &facts(&[(0, 10, State::Empty), (20, 30, State::Data)])).await.unwrap();
    database.commit(both, &facts(&[(5, 10, State::Data)])).await.unwrap();
    let report = repair(&hybrid, None, &RepairSpec::default()).await.unwrap();
    assert_eq!((report.series, report.repaired.len()), (3, 3));
    for key in [left, right, both] {
        assert_eq!(minio.load(key).await.unwrap(), database.load(key).await.unwrap());
    }
    assert!(repair(&hybrid, None, &RepairSpec::default()).await.unwrap().repaired.is_empty());
}

#[tokio::test]
async fn what_a_run_left_in_s3_alone_is_there_when_the_next_one_looks() {
    let (minio, database) =
        (Arc::new(MemoryCheckpointStore::default()), Arc::new(MemoryCheckpointStore::default()));
    let (key, held) = ("t/ohlcv/BTC/1m", facts(&[(0, 10, State::Data)]));
    minio.commit(key, &held).await.unwrap();
    let hybrid = HybridCheckpointStore::new(Arc::clone(&minio) as _, Arc::clone(&database) as _);
    assert_eq!(hybrid.load(key).await.unwrap(), Some(held.clone()));
    assert_eq!(database.load(key).await.unwrap(), Some(held));
    let generation = hybrid.reset(key).await.unwrap();
    assert_eq!(generation, 1);
    for copy in [minio.load(key).await.unwrap(), database.load(key).await.unwrap()] {
        assert_eq!(copy, Some(Checkpoint { generation, ..Checkpoint::default() }));
    }
    hybrid.delete(key).await.unwrap();
    assert!(minio.load(key).await.unwrap().is_none() && database.load(key).await.unwrap().is_none());
}
