-- name: append
-- Appends turns to a conversation that nobody holds.
SELECT outlive.append_shared($1, $2, $3, $4)

-- name: take_back
-- Takes turns out of a conversation that nobody holds, and adds others; returns what was taken.
SELECT outlive.take_back($1, $2, $3, $4, $5, $6, $7) AS taken

-- name: last
-- Reads the last turns of a conversation, in order.
SELECT r.content
FROM (
    SELECT t.position, t.content::text AS content
    FROM outlive.conversations AS c JOIN outlive.turns AS t ON t.conversation = c.key
    WHERE c.id = $1 ORDER BY t.position DESC LIMIT $2
) AS r
ORDER BY r.position
