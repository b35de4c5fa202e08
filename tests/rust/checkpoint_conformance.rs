//! What every checkpoint store must do. Later stores join by calling [`all`].

use std::sync::Arc;
use std::time::Duration;

use quant_framework::coverage::{Coverage, State};
use quant_framework::error::Kind;
use quant_framework::ports::{Checkpoint, CheckpointStore};
use quant_framework::series::{DataType, Series};
use quant_framework::time_range::TimeRange;

use crate::servers::{self, moved_clock};

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
    many_at_once(&open).await;
    claims(&open).await;
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
    for wrong in ["", "a//b", "../x", "a/../b", "a b"] {
        for error in [store.load(wrong).await.err(), store.commit(wrong, &facts(&[])).await.err()] {
            assert_eq!(error.map(|error| error.kind()), Some(Kind::Invalid), "{wrong:?}");
        }
    }
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

/// A group with series twice, an old generation and an empty delta commits as each alone would.
async fn many_at_once(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let store = open();
    let key = |name: &str| -> Arc<str> { format!("many/ohlcv/{name}/1m").into() };
    let generation = store.reset(&key("B")).await.unwrap();
    let newer = Checkpoint { generation, ..facts(&[(7, 8, State::Empty)]) };
    let deltas = [
        (key("A"), facts(&[(0, 10, State::Empty)])),
        (key("B"), facts(&[(0, 10, State::Data)])),
        (key("A"), facts(&[(5, 20, State::Data)])),
        (key("B"), newer.clone()),
        (key("C"), facts(&[(1, 2, State::Data)])),
    ];
    assert!(store.commit_all(&deltas).await.iter().all(Result::is_ok));
    assert!(open().commit_all(&deltas).await.iter().all(Result::is_ok), "twice is once");
    let a = facts(&[(0, 5, State::Empty), (5, 20, State::Data)]);
    assert_eq!(open().load(&key("A")).await.unwrap(), Some(a));
    assert_eq!(open().load(&key("B")).await.unwrap(), Some(newer));
    assert_eq!(open().load(&key("C")).await.unwrap(), Some(facts(&[(1, 2, State::Data)])));
    assert!(store.commit_all(&[]).await.is_empty());
    assert!(!store.repair(&key("A")).await.unwrap(), "nothing is behind");
}

/// Where the store has claims: one owner per moment of a series, until the lease ends.
async fn claims(open: &impl Fn() -> Arc<dyn CheckpointStore>) {
    let (long, short) = (Duration::from_secs(600), Duration::from_millis(1));
    let range = |start, end| TimeRange::new(start, end).unwrap();
    let store = open();
    let Some(first) = store.claim(KEY, &[range(0, 10), range(20, 30)], "one", long).await.unwrap() else {
        return;
    };
    let error = open().claim(KEY, &[range(9, 12)], "two", long).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.message().contains("by one, whose claim ends"), "{error}");
    let between = open().claim(KEY, &[range(10, 20)], "two", long).await.unwrap().unwrap();
    let other = open().claim("test/ohlcv/ETH/1m", &[range(0, 10)], "two", long).await.unwrap().unwrap();
    assert!(first != between && between != other, "each claim has an epoch of its own");
    let again = open().claim(KEY, &[range(0, 30)], "one", long).await.unwrap_err();
    assert_eq!(again.kind(), Kind::Conflict, "its owner's are taken over, others' are not");
    let again = open().claim(KEY, &[range(0, 5)], "one", long).await.unwrap().unwrap();
    assert_eq!(store.renew(&[first, again], long).await.unwrap(), [again], "what was taken over is gone");
    store.release(&[again, between]).await.unwrap();
    store.release(&[again, between]).await.unwrap();
    let expiring = store.claim(KEY, &[range(0, 10)], "one", short).await.unwrap().unwrap();
    let taken = loop {
        match open().claim(KEY, &[range(5, 15)], "two", long).await {
            Ok(taken) => break taken.unwrap(),
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
        }
    };
    assert_eq!(store.renew(&[expiring], long).await.unwrap(), [], "the lease has ended and another has it");
    store.release(&[taken, other]).await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn s3() {
    let url = servers::s3_url("conformance").await;
    all(servers::in_turn(|| Arc::new(servers::s3(&url, moved_clock(0))))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let dsn = servers::database("conformance").await;
    all(servers::in_turn(|| Arc::new(servers::postgres(&dsn, moved_clock(0))))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hybrid() {
    let (url, dsn) =
        (servers::s3_url("conformance_hybrid").await, servers::database("conformance_hybrid").await);
    all(servers::in_turn(|| Arc::new(servers::hybrid(&url, &dsn)))).await;
}

/// Clients whose clocks are an hour off, in either direction, keep to the leases of the server's clock.
#[tokio::test(flavor = "multi_thread")]
async fn stores_whose_clock_is_wrong() {
    let dsn = servers::database("clocks").await;
    for by in [-3_600_000, 3_600_000] {
        all(servers::in_turn(|| Arc::new(servers::postgres(&dsn, moved_clock(by))))).await;
        let url = servers::s3_url(&format!("clocks{by}")).await;
        let store = servers::s3(&url, moved_clock(by));
        store.commit(KEY, &facts(&[(0, 1, State::Data)])).await.unwrap();
        let held = servers::s3(&url, moved_clock(0)).load(KEY).await.unwrap();
        assert_eq!(held, Some(facts(&[(0, 1, State::Data)])), "requests are signed by the server's clock");
    }
}
