//! What only PostgreSQL can show: time limits, dropped tables, a newer format, and claims inside a run.

use std::sync::Arc;
use std::time::Duration;

use quant_framework::checkpoint::PostgresCheckpointStore;
use quant_framework::coverage::State;
use quant_framework::error::Kind;
use quant_framework::ports::{Checkpoint, CheckpointStore};
use quant_framework::time_range::TimeRange;

use crate::servers::{database, moved_clock, postgres};

const KEY: &str = "test/ohlcv/BTC/1m";

fn facts(start: i64, end: i64) -> Checkpoint {
    let coverage = [(TimeRange::new(start, end).unwrap(), State::Data)].into_iter().collect();
    Checkpoint { coverage, ..Checkpoint::default() }
}

async fn client(dsn: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(dsn, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_hangs_is_cancelled_and_the_connection_replaced() {
    let dsn = database("hangs").await;
    // Long enough to connect and make the tables on a busy machine.
    let limit = Some(Duration::from_secs(5));
    let store = PostgresCheckpointStore::new(&dsn, None, limit, moved_clock(0)).unwrap();
    store.commit(KEY, &facts(0, 10)).await.unwrap();
    let other = client(&dsn).await;
    other.batch_execute("BEGIN; SELECT * FROM quant_framework.checkpoints FOR UPDATE").await.unwrap();
    let error = store.commit(KEY, &facts(10, 20)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.message().contains("no answer in 5s"), "{error}");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    loop {
        let row = other.query_one(waiting, &[]).await.unwrap();
        if row.get::<_, i64>(0) == 0 {
            break; // The server has given up what was cancelled; else this never ends.
        }
    }
    other.batch_execute("ROLLBACK").await.unwrap();
    store.commit(KEY, &facts(20, 30)).await.unwrap();
    assert!(
        store.load(KEY).await.unwrap().unwrap().coverage.missing(TimeRange::new(20, 30).unwrap()).is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_gone_and_tables_that_are_newer_are_named() {
    let dsn = database("gone").await;
    let store = postgres(&dsn, moved_clock(0));
    store.commit(KEY, &facts(0, 10)).await.unwrap();
    let other = client(&dsn).await;
    other.batch_execute("UPDATE quant_framework.format SET format = 9, min_reader = 9").await.unwrap();
    let error = postgres(&dsn, moved_clock(0)).load(KEY).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.message().contains("format 9, this version reads up to"), "{error}");
    other.batch_execute("DROP SCHEMA quant_framework CASCADE").await.unwrap();
    let error = store.commit(KEY, &facts(0, 10)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.hint().is_some_and(|hint| hint.contains("rebuild --lake")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_itself_objects_to_is_not_tried_again() {
    let dsn = database("objections").await;
    let (scheme, rest) = dsn.split_once("://").unwrap();
    let (user, place) = rest.split_once('@').unwrap();
    let without_password = format!("{scheme}://{}@{place}", user.split_once(':').unwrap().0);
    let without_tls = format!("{dsn}?sslmode=require");
    for (dsn, says) in [(without_password, "password missing"), (without_tls, "does not support TLS")] {
        let error = postgres(&dsn, moved_clock(0)).load(KEY).await.unwrap_err();
        assert!(error.kind() == Kind::Invalid && error.is_fatal(), "{error}");
        assert!(error.message().contains(says) && error.hint().is_some(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_read_only_for_a_time_is_tried_again_later() {
    let dsn = database("standby").await;
    postgres(&dsn, moved_clock(0)).commit(KEY, &facts(0, 10)).await.unwrap();
    let read_only = "ALTER DATABASE standby SET default_transaction_read_only = on";
    client(&dsn).await.batch_execute(&read_only.replace("standby", &name_of(&dsn))).await.unwrap();
    let store = postgres(&dsn, moved_clock(0));
    assert!(store.load(KEY).await.unwrap().is_some());
    let error = store.commit(KEY, &facts(10, 20)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

/// The database's name.
fn name_of(dsn: &str) -> String {
    dsn.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_make_the_tables_at_once() {
    let dsn = database("at_once").await;
    let commits = (0..16).map(|number| {
        let store = Arc::new(postgres(&dsn, moved_clock(0)));
        tokio::spawn(async move { store.commit(KEY, &facts(number * 10, number * 10 + 10)).await })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.unwrap().unwrap();
    }
    let held = postgres(&dsn, moved_clock(0)).load(KEY).await.unwrap().unwrap();
    assert_eq!(held, facts(0, 160));
}
