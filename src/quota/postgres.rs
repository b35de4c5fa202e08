//! A scope in PostgreSQL: one row, replaced where nobody else has changed it meanwhile, by the database's clock. One
//! statement where nobody has, two where somebody has; no lock outlives a statement.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio_postgres::types::Type;

use super::cell::{Cell, Change};
use super::scope::Scope;
use crate::clock::Clock;
use crate::database::{Database, Statement};
use crate::error::{Error, Result};
use crate::rate_limit::Micros;
use crate::secret::Secret;
use crate::unique::unique;

/// No lock is held for longer than a statement; a statement that takes so long says that the server is away.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// What was read longer ago is read again: clocks drift.
const FRESH: Duration = Duration::from_secs(10);
/// How long others may be faster every time.
const PATIENCE: Duration = Duration::from_secs(30);
/// About what a statement takes.
const TURN: Duration = Duration::from_millis(1);
const MOST_PAUSE: Duration = Duration::from_millis(500);

/// The lock's number is that of the checkpoints' tables: both make the schema.
const CREATE: &str = r#"
SELECT pg_advisory_xact_lock(7113094206523);
CREATE SCHEMA IF NOT EXISTS quant_framework;
CREATE TABLE IF NOT EXISTS quant_framework.quotas (
    scope text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    state text NOT NULL  -- JSON with its own format number
) WITH (fillfactor = 50);
ALTER TABLE quant_framework.quotas ALTER state SET STORAGE EXTERNAL;
-- Stores a state where the version is still the one that it was made from; answers what is there otherwise. A version
-- of 0 stores nothing but a first state.
CREATE OR REPLACE FUNCTION quant_framework.swap_quota(
    name text, expected bigint, replacement text, OUT is_swapped boolean, OUT version bigint, OUT state text,
    OUT now_us bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
IF expected = 0 THEN
    INSERT INTO quant_framework.quotas (scope, version, state) VALUES (name, 1, replacement) ON CONFLICT DO NOTHING;
ELSE
    UPDATE quant_framework.quotas q SET version = q.version + 1, state = replacement
    WHERE q.scope = name AND q.version = expected;
END IF;
is_swapped := FOUND;
SELECT q.version, CASE WHEN is_swapped THEN NULL ELSE q.state END INTO version, state
FROM quant_framework.quotas q WHERE q.scope = name;
now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
END
$$;
"#;

const THERE: &str = "SELECT to_regprocedure('quant_framework.swap_quota(text, bigint, text)') IS NOT NULL";
const SWAP: &str = "SELECT is_swapped, version, state, now_us FROM quant_framework.swap_quota($1, $2, $3)";

/// What was last seen of the row.
struct Seen {
    version: i64,
    scope: Scope,
    now: Micros,
    sent: Duration,
    received: Duration,
}

/// One row of the table `quant_framework.quotas`.
pub struct PostgresCell {
    database: Database,
    scope: String,
    new: Scope,
    ready: OnceCell<()>,
    seen: Mutex<Option<Seen>>,
    clock: Arc<dyn Clock>,
}

impl PostgresCell {
    /// `new`: what the row holds at first. Connects at the first use, and makes the table then.
    pub fn new(
        dsn: &str,
        password: Option<&Secret>,
        scope: &str,
        new: Scope,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let database = Database::new(dsn, password, Some(TIME_LIMIT), Arc::clone(&clock))?;
        let ready = OnceCell::new();
        Ok(Self { database, scope: scope.to_owned(), new, ready, seen: Mutex::new(None), clock })
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn prepare(&self) -> Result<()> {
        let there = Statement { text: THERE, arguments: &[] };
        let rows = self.database.query("look for quotas in", there).await?;
        if rows.first().is_some_and(|row| row.get::<_, bool>(0)) {
            return Ok(());
        }
        self.database.script("make the table of quotas in", CREATE).await
    }

    /// Whether `replacement` is stored; what is there is remembered either way.
    async fn swap(&self, expected: i64, replacement: &Scope) -> Result<bool> {
        self.ready.get_or_try_init(|| self.prepare()).await?;
        let (text, sent) = (replacement.text()?, self.clock.monotonic());
        let arguments = [
            (&self.scope as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
            (&expected, Type::INT8),
            (&text, Type::TEXT),
        ];
        let rows =
            self.database.query("share a quota in", Statement { text: SWAP, arguments: &arguments }).await;
        let received = self.clock.monotonic();
        let rows = rows.inspect_err(|_| *self.seen() = None)?;
        let row = rows.first().ok_or_else(|| Error::internal("swap_quota answered no row"))?;
        let (is_swapped, state): (bool, Option<String>) = (row.get(0), row.get(2));
        let Some(version) = row.get::<_, Option<i64>>(1) else {
            *self.seen() = None;
            return Ok(false);
        };
        let now = row.get::<_, i64>(3).unsigned_abs();
        let scope = match state {
            Some(state) => Scope::parse(&state).map_err(|error| error.context(self.database.place()))?,
            None => replacement.clone(),
        };
        *self.seen() = Some(Seen { version, scope, now, sent, received });
        Ok(is_swapped)
    }
}

#[async_trait]
impl Cell for PostgresCell {
    async fn update(&self, change: &mut Change<'_>) -> Result<Duration> {
        let deadline = self.clock.monotonic() + PATIENCE;
        let (mut moment, mut attempt) = (self.clock.monotonic(), 0);
        while moment < deadline {
            let seen = self.seen().take().filter(|seen| moment < seen.received + FRESH);
            let Some(Seen { version, mut scope, now, sent, received }) = seen else {
                self.swap(0, &self.new).await?;
                moment = self.clock.monotonic();
                continue;
            };
            // The database's clock was read between sending and receiving.
            let now = now + moment.saturating_sub(received).as_micros() as Micros;
            let lag = received.saturating_sub(sent);
            change(&mut scope, now)?;
            if self.swap(version, &scope).await? {
                return Ok(lag);
            }
            // Somebody was faster: the more there are, the more they have to spread.
            attempt += 1;
            let crowd = scope.crowd() as u32 * (1 + attempt / 4);
            let pause = (TURN * crowd).min(MOST_PAUSE).mul_f64(unique() as f64 / u64::MAX as f64);
            self.clock.sleep(pause).await;
            moment = self.clock.monotonic();
        }
        let place = self.database.place();
        Err(Error::unavailable(format!("too many workers change the quota {} in {place}", self.scope)))
    }

    fn place(&self) -> String {
        self.database.place().to_owned()
    }
}
