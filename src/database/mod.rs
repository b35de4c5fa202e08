//! A PostgreSQL database: pooled connections, TLS, time limits, and every failure as one of our kinds.
//!
//! Statements are never prepared under a name and sessions hold no state, so that a connection pooler that gives each
//! transaction another server connection (`PgBouncer` in transaction mode) may stand in between.

mod dsn;
mod failure;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{NoTls, Row};

use self::dsn::Dsn;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::per_process::PerProcess;
use crate::retry::{RetryPolicy, repeat};
use crate::secret::Secret;

/// Connections of one process: a server has some hundred, and workers are many.
const CONNECTIONS: usize = 4;
/// A statement that takes longer is cancelled, unless told otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How long the server is asked to stop a statement.
const CANCEL: Duration = Duration::from_secs(1);
/// No call is attempted again after so many time limits.
const PATIENCE: u32 = 2;
const RETRY: RetryPolicy =
    RetryPolicy { attempts: 7, base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// An argument of a statement and its type.
pub type Argument<'a> = (&'a (dyn ToSql + Sync), Type);

/// One statement and its arguments.
pub struct Statement<'a> {
    /// SQL; `$1` is the first argument.
    pub text: &'a str,
    /// By position.
    pub arguments: &'a [Argument<'a>],
}

/// A database that is connected to at the first use.
pub struct Database {
    dsn: Dsn,
    pool: PerProcess<Result<Pool>>,
    clock: Arc<dyn Clock>,
    time_limit: Duration,
}

impl Database {
    /// `dsn`: `postgresql://user:password@host:port/name?sslmode=verify-full&sslrootcert=/ca.pem`, or libpq's
    /// `key=value` form. `sslmode` as libpq has it, except that `verify-ca` checks the host name too.
    /// `password` where the DSN has none.
    /// A statement that takes longer than `time_limit` (30 s where there is none) is cancelled and counts as unavailable.
    pub fn new(
        dsn: &str,
        password: Option<&Secret>,
        time_limit: Option<Duration>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let dsn = Dsn::parse(dsn, password)?;
        Ok(Self { dsn, pool: PerProcess::default(), clock, time_limit: time_limit.unwrap_or(TIME_LIMIT) })
    }

    /// The address, without user and password.
    pub fn place(&self) -> &str {
        &self.dsn.place
    }

    /// Runs one statement as its own transaction, again where the server was away: it must be idempotent.
    pub async fn query(&self, doing: &str, statement: Statement<'_>) -> Result<Vec<Row>> {
        self.transaction(doing, &[statement]).await
    }

    /// Runs statements in one transaction, again where the server was away, and returns the rows of the last one.
    pub async fn transaction(&self, doing: &str, statements: &[Statement<'_>]) -> Result<Vec<Row>> {
        let deadline = self.clock.monotonic() + self.time_limit * PATIENCE;
        let once = || async {
            let done = self.attempt(doing, statements).await;
            let is_late = self.clock.monotonic() >= deadline;
            done.map_err(|error| if is_late { error.fatal() } else { error })
        };
        repeat(&RETRY, &*self.clock, once).await
    }

    /// Runs a script of several statements without arguments as one transaction, again where the server was away.
    pub async fn script(&self, doing: &str, script: &str) -> Result<()> {
        let once = || async {
            let client = self.connect(doing).await?;
            let done = client.batch_execute(script).await;
            done.map_err(|error| failure::of(doing, self.place(), &error))
        };
        repeat(&RETRY, &*self.clock, once).await
    }

    async fn attempt(&self, doing: &str, statements: &[Statement<'_>]) -> Result<Vec<Row>> {
        let mut client = self.connect(doing).await?;
        let cancel = client.cancel_token();
        let failed = |error| failure::of(doing, self.place(), &error);
        tokio::select! {
            done = run(&mut client, statements) => done.map_err(failed),
            () = self.clock.sleep(self.time_limit) => {
                // The connection is in the middle of something: it does not go back to the pool.
                drop(Object::take(client));
                let encryption = self.dsn.encryption.connector()?;
                let stop = async {
                    match encryption {
                        Some(tls) => cancel.cancel_query(tls).await,
                        None => cancel.cancel_query(NoTls).await,
                    }
                };
                // Over a silent network it would not return either.
                tokio::select! {
                    _ = stop => {}
                    () = self.clock.sleep(CANCEL) => {}
                }
                Err(Error::unavailable(format!("cannot {doing} {}: no answer in {:?}", self.place(), self.time_limit)))
            }
        }
    }

    async fn connect(&self, doing: &str) -> Result<Object> {
        let pool = self.pool.get_or_init(|| self.open());
        let pool = pool.as_ref().as_ref().map_err(Clone::clone)?;
        pool.get().await.map_err(|error| failure::of_pool(doing, self.place(), error))
    }

    fn open(&self) -> Result<Pool> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = self.dsn.config.clone();
        let manager = match self.dsn.encryption.connector()? {
            Some(tls) => Manager::from_config(config, tls, recycling),
            None => Manager::from_config(config, NoTls, recycling),
        };
        let limit = Some(self.time_limit);
        let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1).wait_timeout(limit);
        let built = pool.create_timeout(limit).recycle_timeout(limit).build();
        built.map_err(|error| Error::internal(format!("cannot make a connection pool: {error}")))
    }
}

async fn run(
    client: &mut Object,
    statements: &[Statement<'_>],
) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
    if let [only] = statements {
        return client.query_typed(only.text, only.arguments).await;
    }
    let transaction = client.transaction().await?;
    let mut rows = Vec::new();
    for statement in statements {
        rows = transaction.query_typed(statement.text, statement.arguments).await?;
    }
    transaction.commit().await?;
    Ok(rows)
}
