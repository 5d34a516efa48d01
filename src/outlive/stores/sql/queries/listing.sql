-- name: all
-- A page of all conversations, the newest first.
SELECT key, id, status, metadata::text, turn_count, checkpoint_version, lease_worker, lease_until, created_at, updated_at
FROM outlive.conversations
WHERE key < $1 AND updated_at >= $2
ORDER BY key DESC LIMIT $3

-- name: by_status
-- A page of the conversations with a status, the newest first.
SELECT key, id, status, metadata::text, turn_count, checkpoint_version, lease_worker, lease_until, created_at, updated_at
FROM outlive.conversations
WHERE key < $1 AND updated_at >= $2 AND status = $4
ORDER BY key DESC LIMIT $3

-- name: by_metadata
-- A page of the conversations whose metadata contains a value, the newest first.
-- Their keys are found first, by the index: a planner that knew no better would walk all conversations, newest first.
WITH found AS MATERIALIZED (
    SELECT key FROM outlive.conversations
    WHERE metadata @> $5::text::jsonb AND updated_at >= $2 AND ($4::text IS NULL OR status = $4)
)
SELECT key, id, status, metadata::text, turn_count, checkpoint_version, lease_worker, lease_until, created_at, updated_at
FROM outlive.conversations
WHERE key IN (SELECT f.key FROM found AS f WHERE f.key < $1 ORDER BY f.key DESC LIMIT $3)
ORDER BY key DESC

-- name: change_metadata
-- Changes or replaces a conversation's metadata, and returns it.
SELECT outlive.change_metadata($1, $2::text::jsonb, $3::text[], $4)::text AS metadata
