-- name: lock
-- Lets one migration run at a time; released with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('outlive.migrations', 0))

-- name: prepared
-- Says whether there is a record of migrations.
SELECT to_regclass('outlive.migrations') IS NOT NULL

-- name: prepare
-- Makes the schema and the record of its migrations.
CREATE SCHEMA IF NOT EXISTS outlive;
CREATE TABLE outlive.migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)

-- name: recorded
-- Reads what was applied.
SELECT version, name, checksum FROM outlive.migrations ORDER BY version

-- name: record
-- Remembers one applied migration.
INSERT INTO outlive.migrations (version, name, checksum) VALUES ($1, $2, $3)
