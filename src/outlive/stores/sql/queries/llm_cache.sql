-- name: look
-- Reads a value that is fresh, or says whether somebody computes it.
SELECT value::text AS value, tokens, dollars, coalesce(flight_until > clock_timestamp(), false) AS in_flight
FROM outlive.llm_cache
WHERE key = $1 AND (expires_at > clock_timestamp() OR flight_until > clock_timestamp())

-- name: board
-- Takes the flight, if it is free.
SELECT outlive.board_llm_flight($1, $2, $3, make_interval(secs => $4)) AS mine

-- name: renew
-- Lets a flight last longer.
WITH renewed AS (
    UPDATE outlive.llm_cache
    SET flight_until = clock_timestamp() + make_interval(secs => $3),
        expires_at = clock_timestamp() + make_interval(secs => $3)
    WHERE key = $1 AND flight = $2
    RETURNING 1
)
SELECT count(*) > 0 AS held FROM renewed

-- name: land
-- Keeps a value, unless there is a fresh one already.
WITH landed AS (
    INSERT INTO outlive.llm_cache AS c (key, model, value, tokens, dollars, expires_at, subject)
    VALUES ($1, $2, $3::text::json, $4, $5, clock_timestamp() + make_interval(secs => $6), $7)
    ON CONFLICT ON CONSTRAINT llm_cache_pkey DO UPDATE
    SET value = excluded.value, tokens = excluded.tokens, dollars = excluded.dollars, flight = NULL,
        flight_until = NULL, expires_at = excluded.expires_at, created_at = excluded.created_at,
        subject = excluded.subject
    WHERE c.value IS NULL OR c.expires_at <= clock_timestamp()
    RETURNING 1
)
SELECT count(*) > 0 AS kept FROM landed

-- name: leave
-- Gives a flight up.
WITH gone AS (DELETE FROM outlive.llm_cache WHERE key = $1 AND flight = $2 RETURNING 1) SELECT count(*) FROM gone

-- name: forget
-- Deletes a value.
WITH gone AS (DELETE FROM outlive.llm_cache WHERE key = $1 AND value IS NOT NULL RETURNING 1)
SELECT count(*) > 0 AS forgotten FROM gone

-- name: evict
-- Deletes some of what has expired; returns how many.
WITH old AS (
    SELECT key FROM outlive.llm_cache WHERE expires_at <= clock_timestamp()
    ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM outlive.llm_cache AS c USING old WHERE c.key = old.key RETURNING 1
)
SELECT count(*) AS evicted FROM gone
