-- name: drop
-- Loses an acknowledged turn.
DELETE FROM outlive.turns
WHERE conversation = (SELECT key FROM outlive.conversations WHERE id = $1) AND position = 1

-- name: double_copy
-- Copies a turn, under a new id and far away, since no two turns may share an id or a position.
INSERT INTO outlive.turns (conversation, position, id, role, content, tokens, dollars)
SELECT conversation, 1000000, id || '-again', role, content, tokens, dollars FROM outlive.turns
WHERE conversation = (SELECT key FROM outlive.conversations WHERE id = $1) AND position = 1

-- name: double_place
-- Moves the copy behind the last turn.
UPDATE outlive.turns SET position = (SELECT turn_count FROM outlive.conversations WHERE id = $1)
WHERE conversation = (SELECT key FROM outlive.conversations WHERE id = $1) AND position = 1000000

-- name: swap_aside
-- Moves the first two turns out of the way.
UPDATE outlive.turns SET position = position + 1000000
WHERE conversation = (SELECT key FROM outlive.conversations WHERE id = $1) AND position IN (0, 1)

-- name: swap_back
-- Moves them back, each to the other's position.
UPDATE outlive.turns SET position = 1000001 - position
WHERE conversation = (SELECT key FROM outlive.conversations WHERE id = $1) AND position >= 1000000

-- name: alter
-- Changes what an acknowledged turn says.
UPDATE outlive.turns SET content = '{"role":"user","content":"something else"}'
WHERE conversation = (SELECT key FROM outlive.conversations WHERE id = $1) AND position = 0

-- name: forget_calls
-- Forgets that tools were called: the next worker can't but call them again.
DELETE FROM outlive.tool_calls WHERE conversation = (SELECT key FROM outlive.conversations WHERE id = $1)
