//! A scope in PostgreSQL: one row, replaced where nobody else has changed it meanwhile, by the database's clock. One
//! statement where nobody has, two or three where somebody has; no lock outlives a statement.

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
use crate::per_process::PerProcess;
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
    state text NOT NULL,  -- JSON with its own format number
    turn_of bigint,       -- who may change it next, for a moment
    turn_until timestamptz
) WITH (fillfactor = 50);
ALTER TABLE quant_framework.quotas ALTER state SET STORAGE EXTERNAL;
-- Stores a state where the version is still the one that it was made from and it is nobody else's turn; answers what is
-- there otherwise, and gives the caller the next turn if it is free: else whoever was last would always be first. A
-- version of 0 stores nothing but a first state.
CREATE OR REPLACE FUNCTION quant_framework.swap_quota(
    name text, expected bigint, replacement text, caller bigint,
    OUT is_swapped boolean, OUT has_turn boolean, OUT version bigint, OUT state text, OUT now_us bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
has_turn := false;
IF expected = 0 THEN
    INSERT INTO quant_framework.quotas (scope, version, state) VALUES (name, 1, replacement) ON CONFLICT DO NOTHING;
    is_swapped := FOUND;
ELSE
    UPDATE quant_framework.quotas q SET version = q.version + 1, state = replacement, turn_of = NULL
    WHERE q.scope = name AND q.version = expected
        AND (q.turn_of IS NULL OR q.turn_of = caller OR q.turn_until < clock_timestamp());
    is_swapped := FOUND;
    IF NOT is_swapped THEN
        UPDATE quant_framework.quotas q
        SET turn_of = caller, turn_until = clock_timestamp() + interval '100 milliseconds'
        WHERE q.scope = name
            AND (q.turn_of IS NULL OR q.turn_of = caller OR q.turn_until < clock_timestamp());
        has_turn := FOUND;
    END IF;
END IF;
SELECT q.version, CASE WHEN is_swapped THEN NULL ELSE q.state END INTO version, state
FROM quant_framework.quotas q WHERE q.scope = name;
now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
END
$$;
"#;

const THERE: &str =
    "SELECT to_regprocedure('quant_framework.swap_quota(text, bigint, text, bigint)') IS NOT NULL";
const SWAP: &str =
    "SELECT is_swapped, has_turn, version, state, now_us FROM quant_framework.swap_quota($1, $2, $3, $4)";

const QUOTAS: &str = "SELECT to_regclass('quant_framework.quotas') IS NOT NULL";
const PEEK: &str = "SELECT scope, state, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
    FROM quant_framework.quotas WHERE scope = $1 OR starts_with(scope, $1 || ':') ORDER BY scope LIMIT 100";

/// The scopes of `source` in a database, by its clock, without a change; none where there is no table.
pub(super) async fn peek(
    dsn: &str,
    password: Option<&Secret>,
    source: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<(String, Result<Scope>, Micros)>> {
    let database = Database::new(dsn, password, Some(TIME_LIMIT), Arc::clone(clock))?;
    let there = Statement { text: QUOTAS, arguments: &[] };
    let rows = database.query("look for quotas in", there).await?;
    if !rows.first().is_some_and(|row| row.get::<_, bool>(0)) {
        return Ok(Vec::new());
    }
    let source = source.to_owned();
    let arguments = [(&source as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT)];
    let rows = database.query("look at quotas in", Statement { text: PEEK, arguments: &arguments }).await?;
    let one = |row: &tokio_postgres::Row| {
        let (scope, state): (String, String) = (row.get(0), row.get(1));
        (scope, Scope::parse(&state), row.get::<_, i64>(2).unsigned_abs())
    };
    Ok(rows.iter().map(one).collect())
}

/// What was last seen of the row.
struct Seen {
    version: i64,
    scope: Scope,
    now: Micros,
    sent: Duration,
    received: Duration,
}

/// What came of an attempt.
enum Swap {
    Done,
    /// Somebody was faster; it is this worker's turn now.
    Next,
    Late,
}

/// One row of the table `quant_framework.quotas`.
pub struct PostgresCell {
    database: Database,
    scope: String,
    new: Scope,
    ready: OnceCell<()>,
    caller: PerProcess<i64>,
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
        let (caller, seen) = (PerProcess::default(), Mutex::new(None));
        Ok(Self { database, scope: scope.to_owned(), new, ready, caller, seen, clock })
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

    /// Stores `replacement` if it may; what is there is remembered either way.
    async fn swap(&self, expected: i64, replacement: &Scope) -> Result<Swap> {
        self.ready.get_or_try_init(|| self.prepare()).await?;
        let (text, sent) = (replacement.text()?, self.clock.monotonic());
        let caller = *self.caller.get_or_init(|| (unique() >> 1) as i64);
        let arguments = [
            (&self.scope as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
            (&expected, Type::INT8),
            (&text, Type::TEXT),
            (&caller, Type::INT8),
        ];
        let rows =
            self.database.query("share a quota in", Statement { text: SWAP, arguments: &arguments }).await;
        let received = self.clock.monotonic();
        let rows = rows.inspect_err(|_| *self.seen() = None)?;
        let row = rows.first().ok_or_else(|| Error::internal("swap_quota answered no row"))?;
        let (is_swapped, has_turn): (bool, bool) = (row.get(0), row.get(1));
        let state: Option<String> = row.get(3);
        let Some(version) = row.get::<_, Option<i64>>(2) else {
            *self.seen() = None;
            return Ok(Swap::Late);
        };
        let now = row.get::<_, i64>(4).unsigned_abs();
        let scope = match state {
            Some(state) => Scope::parse(&state).map_err(|error| error.context(self.database.place()))?,
            None => replacement.clone(),
        };
        *self.seen() = Some(Seen { version, scope, now, sent, received });
        Ok(match (is_swapped, has_turn) {
            (true, _) => Swap::Done,
            (false, true) => Swap::Next,
            (false, false) => Swap::Late,
        })
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
            match self.swap(version, &scope).await? {
                Swap::Done => return Ok(lag),
                Swap::Next => {}
                // Somebody was faster, and somebody else is next: the more there are, the more they have to spread.
                Swap::Late => {
                    attempt += 1;
                    let crowd = scope.crowd() as u32 * (1 + attempt / 4);
                    let pause = (TURN * crowd).min(MOST_PAUSE).mul_f64(unique() as f64 / u64::MAX as f64);
                    self.clock.sleep(pause).await;
                }
            }
            moment = self.clock.monotonic();
        }
        let place = self.database.place();
        Err(Error::unavailable(format!("too many workers change the quota {} in {place}", self.scope)))
    }

    fn place(&self) -> String {
        self.database.place().to_owned()
    }
}
