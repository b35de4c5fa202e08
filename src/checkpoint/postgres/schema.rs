//! The tables. Made and migrated by whoever comes first, under a lock; newer ones are refused.

use crate::database::{Database, Statement};
use crate::error::{Error, Result};

/// What this version writes.
const FORMAT: i32 = 1;

/// One transaction. The lock's number is arbitrary and ours.
const CREATE: &str = r#"
SELECT pg_advisory_xact_lock(7113094206523);
CREATE SCHEMA IF NOT EXISTS quant_framework;
CREATE TABLE IF NOT EXISTS quant_framework.format (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    format integer NOT NULL,
    min_reader integer NOT NULL  -- the oldest format whose readers understand this
);
CREATE TABLE IF NOT EXISTS quant_framework.checkpoints (
    series text COLLATE "C" PRIMARY KEY,
    generation bigint NOT NULL,
    data int8multirange NOT NULL,   -- [start, end) in milliseconds since 1970 UTC
    empty int8multirange NOT NULL,  -- the source was asked and had nothing
    cursor text COLLATE "C",
    fingerprint text COLLATE "C",
    changed timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (NOT data && empty)
) WITH (fillfactor = 50);
-- Compressing a large coverage at every commit costs more than its bytes.
ALTER TABLE quant_framework.checkpoints ALTER data SET STORAGE EXTERNAL, ALTER empty SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS quant_framework.claims (
    epoch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series text COLLATE "C" NOT NULL,
    -- Equality of series as an overlap, which needs no extension.
    slot int8range NOT NULL GENERATED ALWAYS AS (
        int8range(hashtextextended(series, 0) / 2, hashtextextended(series, 0) / 2, '[]')) STORED,
    wanted int8multirange NOT NULL CHECK (NOT isempty(wanted)),
    owner text NOT NULL,
    lease_until timestamptz NOT NULL,  -- by this server's clock
    CONSTRAINT one_owner EXCLUDE USING gist (slot WITH &&, wanted WITH &&)
);
-- In order of series: two commits never wait for each other crosswise.
CREATE OR REPLACE FUNCTION quant_framework.commit(
    series text[], generations bigint[], data int8multirange[], empty int8multirange[], cursors text[], fingerprints text[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
INSERT INTO quant_framework.checkpoints AS held (series, generation, data, empty, cursor, fingerprint)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6) AS delta (series, generation, data, empty, cursor, fingerprint)
ORDER BY delta.series
ON CONFLICT (series) DO UPDATE SET
    generation = excluded.generation,
    data = CASE WHEN excluded.generation > held.generation THEN excluded.data
                ELSE held.data + excluded.data END,
    empty = CASE WHEN excluded.generation > held.generation THEN excluded.empty
                 ELSE held.empty + excluded.empty - held.data - excluded.data END,
    cursor = CASE WHEN excluded.generation > held.generation THEN excluded.cursor
                  ELSE greatest(held.cursor, excluded.cursor) END,
    fingerprint = CASE WHEN excluded.generation > held.generation THEN excluded.fingerprint
                       ELSE greatest(held.fingerprint, excluded.fingerprint) END,
    changed = clock_timestamp()
WHERE excluded.generation >= held.generation;
END
$$;
INSERT INTO quant_framework.format (format, min_reader) VALUES (1, 1) ON CONFLICT DO NOTHING;
"#;

/// Makes the tables where they are missing; `Invalid` where a newer version has made them.
pub(super) async fn prepare(database: &Database) -> Result<()> {
    let there = "SELECT to_regclass('quant_framework.format') IS NOT NULL";
    let there = Statement { text: there, arguments: &[] };
    let rows = database.query("look for checkpoints in", there).await?;
    if !rows.first().is_some_and(|row| row.get::<_, bool>(0)) {
        database.script("make the tables in", CREATE).await?;
    }
    let text = "SELECT format, min_reader FROM quant_framework.format";
    let rows = database.query("read the format of", Statement { text, arguments: &[] }).await?;
    let Some(row) = rows.first() else {
        let place = database.place();
        return Err(Error::data(format!("quant_framework.format in {place} is empty")).fatal());
    };
    let (format, min_reader): (i32, i32) = (row.get(0), row.get(1));
    if min_reader <= FORMAT {
        return Ok(());
    }
    let place = database.place();
    let message =
        format!("the checkpoints in {place} have format {format}, this version reads up to {FORMAT}");
    Err(Error::invalid(message).with_hint("upgrade quant-framework; they were left as they are").fatal())
}
