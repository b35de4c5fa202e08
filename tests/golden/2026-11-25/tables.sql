


SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;


CREATE SCHEMA quant_framework;



CREATE FUNCTION quant_framework.commit(series text[], generations bigint[], data int8multirange[], empty int8multirange[], cursors text[], fingerprints text[]) RETURNS void
    LANGUAGE plpgsql
    AS $_$
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
$_$;



CREATE FUNCTION quant_framework.swap_quota(name text, expected bigint, replacement text, caller bigint, OUT is_swapped boolean, OUT has_turn boolean, OUT version bigint, OUT state text, OUT now_us bigint) RETURNS record
    LANGUAGE plpgsql
    AS $$
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


SET default_tablespace = '';

SET default_table_access_method = heap;


CREATE TABLE quant_framework.checkpoints (
    series text NOT NULL COLLATE pg_catalog."C",
    generation bigint NOT NULL,
    data int8multirange NOT NULL,
    empty int8multirange NOT NULL,
    cursor text COLLATE pg_catalog."C",
    fingerprint text COLLATE pg_catalog."C",
    changed timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT checkpoints_check CHECK ((NOT (data && empty)))
)
WITH (fillfactor='50');
ALTER TABLE ONLY quant_framework.checkpoints ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE ONLY quant_framework.checkpoints ALTER COLUMN empty SET STORAGE EXTERNAL;



CREATE TABLE quant_framework.claims (
    epoch bigint NOT NULL,
    series text NOT NULL COLLATE pg_catalog."C",
    slot int8range GENERATED ALWAYS AS (int8range((hashtextextended(series, (0)::bigint) / 2), (hashtextextended(series, (0)::bigint) / 2), '[]'::text)) STORED NOT NULL,
    wanted int8multirange NOT NULL,
    owner text NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    CONSTRAINT claims_wanted_check CHECK ((NOT isempty(wanted)))
);



ALTER TABLE quant_framework.claims ALTER COLUMN epoch ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME quant_framework.claims_epoch_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE quant_framework.format (
    singleton boolean DEFAULT true NOT NULL,
    format integer NOT NULL,
    min_reader integer NOT NULL,
    CONSTRAINT format_singleton_check CHECK (singleton)
);



CREATE TABLE quant_framework.quotas (
    scope text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    state text NOT NULL,
    turn_of bigint,
    turn_until timestamp with time zone
)
WITH (fillfactor='50');
ALTER TABLE ONLY quant_framework.quotas ALTER COLUMN state SET STORAGE EXTERNAL;



INSERT INTO quant_framework.checkpoints VALUES ('golden/ohlcv/BTC%2FUSDT%3AUSDT/1h', 0, '{[1767571200000,1767916800000)}', '{}', NULL, '', '2026-11-26 02:13:22.948609+00');
INSERT INTO quant_framework.checkpoints VALUES ('golden/ohlcv/BTC/1h', 0, '{[1767571200000,1767607200000),[1767614400000,1767715200000),[1767718800000,1767787200000),[1767790800000,1767895200000),[1767898800000,1767934800000)}', '{[1767607200000,1767614400000),[1767715200000,1767718800000),[1767787200000,1767790800000),[1767895200000,1767898800000)}', NULL, '', '2026-11-26 02:13:22.948724+00');






INSERT INTO quant_framework.format VALUES (true, 1, 1);



INSERT INTO quant_framework.quotas VALUES ('golden:key', 3, '{"format":1,"at":1795659202998036,"budget":{"meters":[{"learned":{"most":40,"limit":40,"refused":null,"before":null,"basis":"Settled","bounced":0,"changed":0,"patience":10,"is_wanted":false},"alignment":"rolling","period":31536000000000,"spread":750000,"others":0,"spent":[[58307,7]],"total":7,"foreign":{"weight":0,"until":0}}],"penalty":{"until":0,"probe":"None","row":0},"epoch":0},"waiting":[],"workers":[]}', NULL, NULL);



SELECT pg_catalog.setval('quant_framework.claims_epoch_seq', 1, false);



ALTER TABLE ONLY quant_framework.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (series);



ALTER TABLE ONLY quant_framework.claims
    ADD CONSTRAINT claims_pkey PRIMARY KEY (epoch);



ALTER TABLE ONLY quant_framework.format
    ADD CONSTRAINT format_pkey PRIMARY KEY (singleton);



ALTER TABLE ONLY quant_framework.claims
    ADD CONSTRAINT one_owner EXCLUDE USING gist (slot WITH &&, wanted WITH &&);



ALTER TABLE ONLY quant_framework.quotas
    ADD CONSTRAINT quotas_pkey PRIMARY KEY (scope);




