//! Who may fetch which ranges of a series, for how long: leases by the database's clock, each with an epoch that
//! never comes again. An exclusion constraint keeps claims of one series from overlapping.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::multirange::Multirange;
use crate::database::{Database, Statement};
use crate::error::{Error, Kind, Result};
use crate::ports::Epoch;
use crate::time_range::TimeRange;

/// What a new claim may take over: its owner's earlier ones (a task that was killed and runs again), and expired ones.
const CLEAR: &str = "
DELETE FROM quant_framework.claims
WHERE series = $1 AND wanted && $2 AND (lease_until < clock_timestamp() OR owner = $3)";

const CLAIM: &str = "
INSERT INTO quant_framework.claims (series, wanted, owner, lease_until)
VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 millisecond') RETURNING epoch";

const HOLDER: &str = "
SELECT owner, to_char(lease_until AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
FROM quant_framework.claims WHERE series = $1 AND wanted && $2 ORDER BY lease_until DESC LIMIT 1";

const RENEW: &str = "
UPDATE quant_framework.claims SET lease_until = clock_timestamp() + $2 * interval '1 millisecond'
WHERE epoch = ANY($1) RETURNING epoch";

const RELEASE: &str = "DELETE FROM quant_framework.claims WHERE epoch = ANY($1)";

fn numbers(epochs: &[Epoch]) -> Vec<i64> {
    epochs.iter().map(|epoch| epoch.0 as i64).collect()
}

/// See [`crate::ports::CheckpointStore::claim`].
pub(super) async fn claim(
    database: &Database,
    key: &str,
    wanted: &[TimeRange],
    owner: &str,
    lease: Duration,
) -> Result<Epoch> {
    let (wanted, lease) = (Multirange(wanted.to_vec()), lease.as_millis() as i64);
    let (series, ranges, owner) =
        ((&key as _, Type::TEXT), (&wanted as _, Type::INT8MULTI_RANGE), (&owner as _, Type::TEXT));
    let clear = [series.clone(), ranges.clone(), owner.clone()];
    let insert = [series.clone(), ranges.clone(), owner, (&lease as _, Type::INT8)];
    let statements =
        [Statement { text: CLEAR, arguments: &clear }, Statement { text: CLAIM, arguments: &insert }];
    match database.transaction("claim in", &statements).await {
        Ok(rows) => Ok(Epoch(rows.first().map_or(0, |row| row.get::<_, i64>(0)) as u64)),
        Err(error) if error.kind() == Kind::Conflict => {
            let rows =
                database.query("read from", Statement { text: HOLDER, arguments: &[series, ranges] }).await?;
            let holder = rows.first().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)));
            Err(taken(holder))
        }
        Err(error) => Err(error),
    }
}

fn taken(holder: Option<(String, String)>) -> Error {
    let by = holder.map_or_else(
        || "another run".to_owned(),
        |(owner, until)| format!("{owner}, whose claim ends {until} unless it is renewed"),
    );
    Error::conflict(format!("being fetched by {by}"))
        .with_hint("run again later: what it fetches need not be asked for twice")
}

/// See [`crate::ports::CheckpointStore::renew`].
pub(super) async fn renew(database: &Database, held: &[Epoch], lease: Duration) -> Result<Vec<Epoch>> {
    let (epochs, lease) = (numbers(held), lease.as_millis() as i64);
    let arguments = [(&epochs as _, Type::INT8_ARRAY), (&lease as _, Type::INT8)];
    let rows = database.query("renew a claim in", Statement { text: RENEW, arguments: &arguments }).await?;
    Ok(rows.iter().map(|row| Epoch(row.get::<_, i64>(0) as u64)).collect())
}

/// See [`crate::ports::CheckpointStore::release`].
pub(super) async fn release(database: &Database, held: &[Epoch]) -> Result<()> {
    let epochs = numbers(held);
    let arguments = [(&epochs as _, Type::INT8_ARRAY)];
    database.query("release a claim in", Statement { text: RELEASE, arguments: &arguments }).await.map(drop)
}
