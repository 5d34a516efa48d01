-- name: append
-- Keeps a batch of events; returns how many are new.
SELECT outlive.append_events($1, $2, $3, $4, $5) AS added

-- name: read
-- Reads the last events of a span, of a kind or all, of a subject or all, the latest first.
SELECT id, at, kind, subject, attributes::text AS attributes
FROM outlive.events
WHERE at >= $1 AND at < $2 AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR subject = $4)
    AND ($5::timestamptz IS NULL OR (at, id) < ($5, $6::uuid))
ORDER BY at DESC, id DESC LIMIT $7

-- name: count
-- Counts the events of a span by kind.
SELECT kind, count(*) AS number FROM outlive.events WHERE at >= $1 AND at < $2 GROUP BY kind ORDER BY kind

-- name: count_over_time
-- Counts the events of a span by kind and by slices of time that begin with it.
SELECT date_bin(make_interval(secs => $3), at, $1) AS begins_at, kind, count(*) AS number
FROM outlive.events WHERE at >= $1 AND at < $2 AND ($4::text IS NULL OR kind = $4)
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $5

-- name: maintain
-- Makes the days to come and drops those that are older than is kept.
SELECT made, dropped, deleted FROM outlive.maintain_events(make_interval(secs => $1))
