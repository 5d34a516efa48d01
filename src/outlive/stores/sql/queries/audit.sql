-- name: append
-- Appends a row to a stream.
SELECT a.tenant, a.stream, a.position, a.id, a.at, a.actor, a.action, a.subject, a.details::text AS details_json,
    a.previous, a.hash, a.actor_salt, a.actor_seal, a.content_salt, a.content_seal, a.erased_at
FROM outlive.append_audit($1, $2, $3, $4, $5, $6) AS a

-- name: page
-- Reads rows of a stream that stand after one position and up to another, in order; all that share the last position.
SELECT tenant, stream, position, id, at, actor, action, subject, details::text AS details_json, previous, hash,
    actor_salt, actor_seal, content_salt, content_seal, erased_at
FROM outlive.audit
WHERE tenant = $1 AND stream = $2 AND position > $3 AND position <= $4
ORDER BY position FETCH FIRST $5 ROWS WITH TIES

-- name: heads
-- Reads the last position of each stream and its hash, as the heads have it.
SELECT tenant, stream, position, hash FROM outlive.audit_heads WHERE position > 0 ORDER BY tenant, stream

-- name: spans
-- Reads the last position of each stream and its hash, and the last one that was removed.
SELECT tenant, stream, position, hash, begin_position, begin_hash
FROM outlive.audit_heads WHERE position > 0 ORDER BY tenant, stream

-- name: prune
-- Removes the rows of a stream up to one of them; returns how many.
SELECT outlive.prune_audit($1, $2, $3, $4) AS removed

-- name: beyond
-- Finds the first row of each stream that its head does not know of, or knows as removed.
SELECT a.tenant, a.stream, min(a.position) AS position
FROM outlive.audit AS a LEFT JOIN outlive.audit_heads AS h ON h.tenant = a.tenant AND h.stream = a.stream
WHERE a.position > coalesce(h.position, 0) OR a.position <= h.begin_position
GROUP BY a.tenant, a.stream ORDER BY a.tenant, a.stream

-- name: last
-- Reads the last rows of a stream, of an action or all, of a subject or all, the latest first.
SELECT tenant, stream, position, id, at, actor, action, subject, details::text AS details_json, previous, hash,
    actor_salt, actor_seal, content_salt, content_seal, erased_at
FROM outlive.audit
WHERE tenant = coalesce(current_setting('outlive.tenant', true), '') AND stream = $1
    AND ($2::text IS NULL OR action = $2) AND ($3::text IS NULL OR subject = $3)
    AND ($4::bigint IS NULL OR position < $4)
ORDER BY position DESC LIMIT $5
