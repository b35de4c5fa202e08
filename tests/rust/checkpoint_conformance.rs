//! What every checkpoint store must do. Later stores join by calling [`all`].

use std::sync::Arc;

use quant_framework::coverage::{Coverage, State};
use quant_framework::ports::{Checkpoint, CheckpointStore};
use quant_framework::series::{DataType, Series};
use quant_framework::time_range::TimeRange;

const KEY: &str = "test/ohlcv/BTC/1m";

fn facts(ranges: &[(i64, i64, State)]) -> Checkpoint {
    let range = |(start, end, state): &(i64, i64, State)| (TimeRange::new(*start, *end).unwrap(), *state);
    let coverage: Coverage = ranges.iter().map(range).collect();
    Checkpoint { coverage, ..Checkpoint::default() }
}

/// Runs the whole suite; `open` opens the same (at first empty) store each time.
pub(crate) async fn all(open: impl Fn() -> Arc<dyn CheckpointStore>) {
    absent_merged_and_reopened(&open).await;
    any_order(&open).await;
    generations(&open).await;
    odd_names_and_listing(&open).await;
    huge(&open).await;
    concurrent(&open).await;
    deleted_while_committing(&open).await;
    cancelled(&open).await;
}

async fn absent_merged_and_reopened(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let store = open();
    assert_eq!(store.load(KEY).await.unwrap(), None);
    store.delete(KEY).await.unwrap();
    let parts =
        [facts(&[(0, 10, State::Empty)]), facts(&[(5, 20, State::Data)]), facts(&[(30, 40, State::Data)])];
    let mut expected = Checkpoint::default();
    for part in parts.iter().chain(&parts) {
        store.commit(KEY, part).await.unwrap();
        expected.merge(part);
    }
    assert_eq!(
        open().load(KEY).await.unwrap(),
        Some(expected),
        "merged, idempotent, and there when reopened"
    );
    store.delete(KEY).await.unwrap();
    assert_eq!(open().load(KEY).await.unwrap(), None);
}

async fn any_order(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let store = open();
    let parts =
        [facts(&[(0, 10, State::Empty)]), facts(&[(5, 20, State::Data)]), facts(&[(15, 30, State::Empty)])];
    let expected = facts(&[(0, 5, State::Empty), (5, 20, State::Data), (20, 30, State::Empty)]);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for part in order {
            store.commit(KEY, &parts[part]).await.unwrap();
        }
        assert_eq!(store.load(KEY).await.unwrap().as_ref(), Some(&expected), "{order:?}");
        store.delete(KEY).await.unwrap();
    }
}

async fn generations(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let store = open();
    store.commit(KEY, &facts(&[(0, 10, State::Data)])).await.unwrap();
    let generation = store.reset(KEY).await.unwrap();
    store.commit(KEY, &facts(&[(50, 60, State::Data)])).await.unwrap();
    let held = store.load(KEY).await.unwrap().unwrap();
    assert!(
        held.coverage.is_empty() && held.generation == generation,
        "a commit of an old generation changes nothing"
    );
    let fresh = Checkpoint {
        generation,
        cursor: Some("c".into()),
        fingerprint: Some("f".into()),
        ..facts(&[(1, 2, State::Data)])
    };
    store.commit(KEY, &fresh).await.unwrap();
    assert_eq!(store.load(KEY).await.unwrap(), Some(fresh));
    assert_eq!(store.reset(KEY).await.unwrap(), generation + 1);
    store.delete(KEY).await.unwrap();
}

async fn odd_names_and_listing(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let store = open();
    let long = "x".repeat(300);
    let mut keys: Vec<String> =
        ["BTC/USDT:USDT", "..", "../x", "Ωμέγα", ".hidden", &long, &format!("{long}y")]
            .map(|symbol| Series {
                source: "odd".into(),
                data_type: DataType::Ohlcv,
                symbol: symbol.into(),
                timeframe: "1h".parse().unwrap(),
            })
            .map(|series| series.to_string())
            .to_vec();
    for (number, key) in keys.iter().enumerate() {
        store.commit(key, &facts(&[(0, 1 + number as i64, State::Data)])).await.unwrap();
    }
    for (number, key) in keys.iter().enumerate() {
        let held = store.load(key).await.unwrap().unwrap();
        assert_eq!(held, facts(&[(0, 1 + number as i64, State::Data)]), "{key}");
    }
    keys.sort();
    assert_eq!(store.list("odd/").await.unwrap(), keys);
    assert_eq!(store.list("odd/ohlcv/%2E").await.unwrap().len(), 3);
    assert!(store.list("nothing").await.unwrap().is_empty());
}

async fn huge(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let ranges: Vec<(i64, i64, State)> = (0..100_000).map(|n| (n * 3, n * 3 + 1, State::Data)).collect();
    let huge = facts(&ranges);
    open().commit("test/ohlcv/HUGE/1m", &huge).await.unwrap();
    assert_eq!(open().load("test/ohlcv/HUGE/1m").await.unwrap(), Some(huge));
}

async fn concurrent(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let writers = (0..64).map(|number| {
        let store = open();
        tokio::spawn(async move {
            store
                .commit("test/ohlcv/RACE/1m", &facts(&[(number * 2, number * 2 + 1, State::Data)]))
                .await
                .unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let held = open().load("test/ohlcv/RACE/1m").await.unwrap().unwrap();
    assert_eq!(held.coverage.segment_count(), 64, "no concurrent commit is lost");
}

/// A delete comes before or after a commit; never in between, where it would be undone.
async fn deleted_while_committing(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let key = "test/ohlcv/DELETED/1m";
    let (old, new) = (facts(&[(0, 1, State::Data)]), facts(&[(5, 6, State::Data)]));
    for round in 0..200 {
        open().commit(key, &old).await.unwrap();
        let (store, delta) = (open(), new.clone());
        let commit = tokio::spawn(async move { store.commit(key, &delta).await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        open().delete(key).await.unwrap();
        commit.await.unwrap().unwrap();
        let held = open().load(key).await.unwrap();
        assert!(
            held.is_none() || held.as_ref() == Some(&new),
            "round {round}: the delete was undone: {held:?}"
        );
    }
    open().delete(key).await.unwrap();
}

async fn cancelled(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let (key, store) = ("test/ohlcv/DROPPED/1m", open());
    let (old, new) = (facts(&[(0, 10, State::Data)]), facts(&[(10, 20, State::Data)]));
    store.commit(key, &old).await.unwrap();
    for polls in 0..4 {
        let mut commit = store.commit(key, &new);
        for _ in 0..polls {
            if futures::poll!(&mut commit).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        let held = store.load(key).await.unwrap().unwrap();
        assert!(held == old || held == facts(&[(0, 20, State::Data)]), "old or new, nothing else: {held:?}");
    }
    store.commit(key, &new).await.unwrap();
    assert_eq!(store.load(key).await.unwrap(), Some(facts(&[(0, 20, State::Data)])));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    let store: Arc<dyn CheckpointStore> =
        Arc::new(quant_framework::checkpoint::MemoryCheckpointStore::default());
    all(move || Arc::clone(&store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local() {
    let folder = tempfile::tempdir().unwrap();
    all(|| Arc::new(quant_framework::checkpoint::LocalCheckpointStore::new(folder.path()))).await;
}
