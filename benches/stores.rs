//! What checkpoints cost against real servers: `stores pg DSN`, `stores s3` and `stores huge DSN` (S3 from
//! the environment).
//! Run by `benches/checkpoints.py`, which starts the servers and has the peers.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a failed step is a failed bench; it measures time and is told by the environment where the servers are"
)]

use std::sync::Arc;
use std::time::Instant;

use quant_framework::checkpoint::{Access, open};
use quant_framework::clock::{Clock, SystemClock};
use quant_framework::coverage::{Coverage, State};
use quant_framework::objects::S3Settings;
use quant_framework::ports::{Checkpoint, CheckpointStore};
use quant_framework::secret::Secret;
use quant_framework::time_range::TimeRange;

const GROUP: usize = 64;
const FACTS: usize = 6400;
const HUGE: i64 = 100_000;

fn store(url: &str) -> Arc<dyn CheckpointStore> {
    let variable = |name: &str| std::env::var(name).ok();
    let s3 = S3Settings {
        endpoint: variable("AWS_ENDPOINT_URL"),
        region: Some("us-east-1".into()),
        access_key: variable("AWS_ACCESS_KEY_ID").map(Secret::new),
        secret_key: variable("AWS_SECRET_ACCESS_KEY").map(Secret::new),
        ..S3Settings::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    open(url, &Access { s3, ..Access::default() }, &clock).unwrap()
}

/// Fact number `number`: a minute of one of `width` series.
fn fact(number: usize, width: usize) -> (Arc<str>, Checkpoint) {
    let minute = (number / width) as i64 * 60_000;
    let coverage = [(TimeRange::new(minute, minute + 60_000).unwrap(), State::Data)].into_iter().collect();
    let key = format!("bench{width}/ohlcv/S{}/1m", number % width);
    (key.into(), Checkpoint { coverage, ..Checkpoint::default() })
}

async fn grouped(store: &dyn CheckpointStore, width: usize) -> f64 {
    let facts: Vec<_> = (0..FACTS).map(|number| fact(number, width)).collect();
    let began = Instant::now();
    for group in facts.chunks(GROUP) {
        assert!(store.commit_all(group).await.iter().all(Result::is_ok));
    }
    FACTS as f64 / began.elapsed().as_secs_f64()
}

async fn one_at_a_time(store: &dyn CheckpointStore) -> f64 {
    let facts: Vec<_> = (0..FACTS / 10).map(|number| fact(number, 9)).collect();
    let began = Instant::now();
    for (key, delta) in &facts {
        store.commit(key, delta).await.unwrap();
    }
    facts.len() as f64 / began.elapsed().as_secs_f64()
}

/// A bare client: one statement per 64 rows of the plainest table.
async fn bare(dsn: &str) -> f64 {
    let (client, connection) = tokio_postgres::connect(dsn, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let table = "CREATE TABLE IF NOT EXISTS bare (chunk text PRIMARY KEY, state text, updated timestamptz DEFAULT now())";
    client.batch_execute(table).await.unwrap();
    let upsert = "INSERT INTO bare (chunk, state) SELECT x, $2 FROM unnest($1::text[]) x
        ON CONFLICT (chunk) DO UPDATE SET state = excluded.state, updated = now()";
    let statement = client.prepare(upsert).await.unwrap();
    let keys: Vec<String> = (0..FACTS).map(|number| format!("c{}", number % 1000)).collect();
    let began = Instant::now();
    for group in keys.chunks(GROUP) {
        client.execute(&statement, &[&group, &"{\"done\": \"2024-01-05\", \"rows\": 1440}"]).await.unwrap();
    }
    FACTS as f64 / began.elapsed().as_secs_f64()
}

async fn postgres(dsn: &str) {
    let store = store(dsn);
    grouped(&*store, 1).await;
    println!("bare client, one unnest statement per 64 facts\t{:.0}", bare(dsn).await);
    println!("groups of 64 facts of 8 series\t{:.0}", grouped(&*store, 8).await);
    println!("groups of 64 facts of 64 series\t{:.0}", grouped(&*store, 64).await);
    println!("one commit at a time\t{:.0}", one_at_a_time(&*store).await);
}

/// Microseconds that this process has used so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time, in hundredths of a second.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() * 1e4
}

/// What a run does: eight series at once, again and again.
async fn s3() {
    const ROUNDS: usize = 200;
    let store = store("s3://bench/run");
    grouped(&*store, 8).await;
    let (used, began) = (cpu(), Instant::now());
    for round in 0..ROUNDS {
        let facts: Vec<_> = (0..8).map(|number| fact(round * 8 + number, 8)).collect();
        assert!(store.commit_all(&facts).await.iter().all(Result::is_ok));
    }
    let commits = (8 * ROUNDS) as f64;
    println!("{:.0}\t{:.0}", commits / began.elapsed().as_secs_f64(), (cpu() - used) / commits);
}

async fn huge(dsn: &str) {
    let every = |offset: i64| -> Coverage {
        let range = |n: i64| TimeRange::new(n * 180_000 + offset, n * 180_000 + offset + 60_000).unwrap();
        (0..HUGE).map(|n| (range(n), State::Data)).collect()
    };
    let (held, other) = (every(1_600_000_000_000), every(1_600_000_090_000));
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().to_str().unwrap().to_owned();
    for (name, url) in [("local file", local.as_str()), ("S3", "s3://bench/huge"), ("PostgreSQL", dsn)] {
        let store = store(url);
        let key = "bench/ohlcv/HUGE/1m";
        let checkpoint = Checkpoint { coverage: held.clone(), ..Checkpoint::default() };
        store.commit(key, &checkpoint).await.unwrap();
        let (mut loads, mut merges) = (Vec::new(), Vec::new());
        for _ in 0..21 {
            let began = Instant::now();
            let mut loaded = store.load(key).await.unwrap().unwrap();
            loads.push(began.elapsed().as_secs_f64() * 1e3);
            let began = Instant::now();
            loaded.coverage.merge(&other);
            merges.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(loaded.coverage.segment_count() as i64, 2 * HUGE);
        }
        loads.sort_by(f64::total_cmp);
        merges.sort_by(f64::total_cmp);
        println!("{name}\t{:.2}\t{:.2}", loads[10], merges[10]);
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("pg") => postgres(&arguments[2]).await,
        Some("s3") => s3().await,
        Some("huge") => huge(&arguments[2]).await,
        // `cargo bench` without arguments builds and passes by.
        _ => println!("stores s3|pg|huge [DSN]; see benches/checkpoints.py"),
    }
}
