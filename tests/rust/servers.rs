//! The real servers that `tests/with_servers.py` has started, as stores of one test's own.

use std::sync::Arc;
use std::time::Duration;

use quant_framework::checkpoint::{HybridCheckpointStore, PostgresCheckpointStore, S3CheckpointStore};
use quant_framework::clock::{Clock, Sleep, SystemClock};
use quant_framework::objects::{Bucket, Objects, S3Settings};
use quant_framework::ports::CheckpointStore;
use quant_framework::secret::Secret;

/// The machine's clock, moved by milliseconds.
#[derive(Debug)]
struct MovedClock {
    by: i64,
    clock: SystemClock,
}

pub(crate) fn moved_clock(by: i64) -> Arc<dyn Clock> {
    Arc::new(MovedClock { by, clock: SystemClock::default() })
}

impl Clock for MovedClock {
    fn now(&self) -> i64 {
        self.clock.now() + self.by
    }
    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
    fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }
}

#[expect(clippy::disallowed_methods, reason = "how the tests are told where the servers are")]
fn variable(name: &str) -> String {
    let hint = "run tests with: .venv/bin/python tests/with_servers.py cargo nextest run (or make test)";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; {hint}"))
}

/// A prefix of a bucket that is there, and that no other test uses.
pub(crate) async fn s3_url(test: &str) -> String {
    let url = format!("s3://rust-tests/{test}-{}", std::process::id());
    let bucket = Bucket::new(&url, s3_settings(), moved_clock(0)).unwrap();
    bucket.probe(true).await.unwrap();
    url
}

pub(crate) fn s3_settings() -> S3Settings {
    S3Settings {
        endpoint: Some(variable("QF_TEST_S3")),
        region: Some("us-east-1".into()),
        access_key: Some(Secret::new(variable("QF_TEST_S3_ACCESS"))),
        secret_key: Some(Secret::new(variable("QF_TEST_S3_SECRET"))),
        ..S3Settings::default()
    }
}

pub(crate) fn s3(url: &str, clock: Arc<dyn Clock>) -> S3CheckpointStore {
    S3CheckpointStore::new(url, s3_settings(), false, clock).unwrap()
}

/// A database that no other test uses.
pub(crate) async fn database(test: &str) -> String {
    let dsn = variable("QF_TEST_POSTGRES");
    let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let name = format!("{test}_{}", std::process::id());
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    format!("{}/{name}", dsn.rsplit_once('/').unwrap().0)
}

pub(crate) fn postgres(dsn: &str, clock: Arc<dyn Clock>) -> PostgresCheckpointStore {
    PostgresCheckpointStore::new(dsn, None, None, clock).unwrap()
}

pub(crate) fn hybrid(url: &str, dsn: &str) -> HybridCheckpointStore {
    HybridCheckpointStore::new(Arc::new(s3(url, moved_clock(0))), Arc::new(postgres(dsn, moved_clock(0))))
}

/// Several stores over one place, in turn: more writers than SeaweedFS lets contend for one key do not help a test.
pub(crate) fn in_turn(make: impl Fn() -> Arc<dyn CheckpointStore>) -> impl Fn() -> Arc<dyn CheckpointStore> {
    let stores: Vec<Arc<dyn CheckpointStore>> = (0..8).map(|_| make()).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    move || Arc::clone(&stores[next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % stores.len()])
}
