//! Checkpoints in PostgreSQL 14 or later: one row per series, ranges as `int8multirange`. A commit of any number of
//! series is one statement that unions under the generation guard, so concurrent commits need no retry.

mod claims;
mod multirange;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use self::multirange::{Multirange, unpack};
use super::naming::{check, path_of};
use crate::clock::Clock;
use crate::coverage::State;
use crate::database::{Database, Statement};
use crate::error::{Error, Result};
use crate::ports::{Checkpoint, CheckpointStore, Epoch};
use crate::secret::Secret;
use crate::time_range::TimeRange;

/// Commits of a run gather so long: many chunks, few statements.
const LINGER: Duration = Duration::from_millis(200);

/// Ranges as pairs of eight bytes: PostgreSQL takes eight times as long to send a large multirange as such.
const LOAD: &str = "
SELECT generation,
    (SELECT string_agg(int8send(lower(r)) || int8send(upper(r)), ''::bytea) FROM unnest(data) r),
    (SELECT string_agg(int8send(lower(r)) || int8send(upper(r)), ''::bytea) FROM unnest(empty) r),
    cursor, fingerprint
FROM quant_framework.checkpoints WHERE series = $1";

/// A function of the schema: its plan is kept by the server's session, which saves a third of a small commit.
const COMMIT: &str = "SELECT quant_framework.commit($1, $2, $3, $4, $5, $6)";

const RESET: &str = "
INSERT INTO quant_framework.checkpoints AS held (series, generation, data, empty) VALUES ($1, 1, '{}', '{}')
ON CONFLICT (series) DO UPDATE SET
    generation = held.generation + 1, data = '{}', empty = '{}', cursor = NULL, fingerprint = NULL,
    changed = clock_timestamp()
RETURNING generation";

const LIST: &str =
    "SELECT series FROM quant_framework.checkpoints WHERE starts_with(series, $1) ORDER BY series";
const DELETE: &str = "DELETE FROM quant_framework.checkpoints WHERE series = $1";

/// One row per series in the schema `quant_framework` of a database.
pub struct PostgresCheckpointStore {
    database: Database,
    ready: OnceCell<()>,
}

impl PostgresCheckpointStore {
    /// Arguments as for [`Database::new`]. Connects at the first use, and makes its tables then.
    pub fn new(
        dsn: &str,
        password: Option<&Secret>,
        time_limit: Option<Duration>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Ok(Self { database: Database::new(dsn, password, time_limit, clock)?, ready: OnceCell::new() })
    }

    /// The address, without user and password.
    pub fn place(&self) -> &str {
        self.database.place()
    }

    /// The database, with its tables made.
    async fn prepared(&self) -> Result<&Database> {
        self.ready.get_or_try_init(|| schema::prepare(&self.database)).await?;
        Ok(&self.database)
    }

    async fn query(&self, doing: &str, statement: Statement<'_>) -> Result<Vec<Row>> {
        self.prepared().await?.query(doing, statement).await
    }

    /// All deltas in one statement; no series twice.
    async fn commit_rows(&self, deltas: &BTreeMap<&str, Checkpoint>) -> Result<()> {
        for (key, delta) in deltas {
            check(key, delta)?;
        }
        let ranges = |state: State| -> Vec<Multirange> {
            deltas.values().map(|delta| Multirange(delta.coverage.ranges(state))).collect()
        };
        let series: Vec<&str> = deltas.keys().copied().collect();
        let generations: Vec<i64> = deltas.values().map(|delta| delta.generation as i64).collect();
        let (data, empty) = (ranges(State::Data), ranges(State::Empty));
        let cursors: Vec<Option<&str>> = deltas.values().map(|delta| delta.cursor.as_deref()).collect();
        let fingerprints: Vec<Option<&str>> =
            deltas.values().map(|delta| delta.fingerprint.as_deref()).collect();
        let statement = Statement {
            text: COMMIT,
            arguments: &[
                (&series, Type::TEXT_ARRAY),
                (&generations, Type::INT8_ARRAY),
                (&data, Type::INT8MULTI_RANGE_ARRAY),
                (&empty, Type::INT8MULTI_RANGE_ARRAY),
                (&cursors, Type::TEXT_ARRAY),
                (&fingerprints, Type::TEXT_ARRAY),
            ],
        };
        self.query("commit to", statement).await.map(drop)
    }
}

fn checkpoint(key: &str, row: &Row) -> Result<Checkpoint> {
    let ranges = |column: usize, state| {
        let ranges = unpack(row.get(column));
        let wrong =
            || Error::data(format!("the ranges of {key} in quant_framework.checkpoints cannot be read"));
        Ok(ranges.ok_or_else(wrong)?.into_iter().map(move |range| (range, state)))
    };
    let coverage = ranges(1, State::Data)?.chain(ranges(2, State::Empty)?).collect();
    let generation: i64 = row.get(0);
    Ok(Checkpoint { generation: generation as u64, coverage, cursor: row.get(3), fingerprint: row.get(4) })
}

#[async_trait]
impl CheckpointStore for PostgresCheckpointStore {
    async fn load(&self, key: &str) -> Result<Option<Checkpoint>> {
        path_of(key)?;
        let rows =
            self.query("read from", Statement { text: LOAD, arguments: &[(&key, Type::TEXT)] }).await?;
        rows.first().map(|row| checkpoint(key, row)).transpose()
    }

    async fn commit(&self, key: &str, delta: &Checkpoint) -> Result<()> {
        self.commit_rows(&BTreeMap::from([(key, delta.clone())])).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        if prefix.contains('\0') {
            return Ok(Vec::new());
        }
        let rows = self.query("list", Statement { text: LIST, arguments: &[(&prefix, Type::TEXT)] }).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        path_of(key)?;
        self.query("delete from", Statement { text: DELETE, arguments: &[(&key, Type::TEXT)] })
            .await
            .map(drop)
    }

    async fn reset(&self, key: &str) -> Result<u64> {
        path_of(key)?;
        let rows =
            self.query("reset in", Statement { text: RESET, arguments: &[(&key, Type::TEXT)] }).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0)) as u64)
    }

    async fn commit_all(&self, deltas: &[(Arc<str>, Checkpoint)]) -> Vec<Result<()>> {
        let mut merged: BTreeMap<&str, Checkpoint> = BTreeMap::new();
        for (key, delta) in deltas {
            merged.entry(key).and_modify(|held| held.merge(delta)).or_insert_with(|| delta.clone());
        }
        let done = self.commit_rows(&merged).await;
        deltas.iter().map(|_| done.clone()).collect()
    }

    fn linger(&self) -> Duration {
        LINGER
    }

    async fn claim(
        &self,
        key: &str,
        wanted: &[TimeRange],
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Epoch>> {
        claims::claim(self.prepared().await?, key, wanted, owner, lease).await.map(Some)
    }

    async fn renew(&self, held: &[Epoch], lease: Duration) -> Result<Vec<Epoch>> {
        claims::renew(&self.database, held, lease).await
    }

    async fn release(&self, held: &[Epoch]) -> Result<()> {
        claims::release(&self.database, held).await
    }
}
