-- name: write
-- Replaces or makes a history, with the entries that it adds.
SELECT outlive.write_history($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: delete
-- Deletes a history and the entries that only it reaches.
SELECT outlive.delete_history($1, $2)

-- name: read
-- Reads what is kept of a history besides its entries.
SELECT h.id, h.revision, h.scope, e.id AS head, h.record::text AS record, h.updated_at,
    ARRAY(
        SELECT b.id FROM unnest(h.branches) WITH ORDINALITY AS n (key, place)
        JOIN outlive.history_entries AS b ON b.key = n.key ORDER BY n.place
    ) AS branches
FROM outlive.histories AS h LEFT JOIN outlive.history_entries AS e ON e.key = h.head
WHERE h.id = $1

-- name: page
-- Reads the histories of a scope, or all, that were saved last.
SELECT h.id, h.revision, h.scope, e.id AS head, h.record::text AS record, h.updated_at,
    ARRAY(
        SELECT b.id FROM unnest(h.branches) WITH ORDINALITY AS n (key, place)
        JOIN outlive.history_entries AS b ON b.key = n.key ORDER BY n.place
    ) AS branches
FROM outlive.histories AS h LEFT JOIN outlive.history_entries AS e ON e.key = h.head
WHERE $1::text IS NULL OR h.scope = $1
ORDER BY h.updated_at DESC LIMIT $2

-- name: path
-- Reads the entries that end with this one, the last of them, in order.
WITH RECURSIVE path AS (
    SELECT key, id, parent, content, 1 AS distance FROM outlive.history_entries WHERE id = $1
    UNION ALL
    SELECT e.key, e.id, e.parent, e.content, path.distance + 1
    FROM path JOIN outlive.history_entries AS e ON e.key = path.parent
    WHERE path.distance < $2
)
SELECT path.id, before.id AS parent, path.content::text AS content
FROM path LEFT JOIN outlive.history_entries AS before ON before.key = path.parent
ORDER BY path.distance DESC
