-- name: fork
-- Begins a conversation with the beginning of another one; returns how many turns it has.
SELECT outlive.fork_conversation($1, $2, $3) AS turns

-- name: export
-- Everything of a conversation, an object a row.
SELECT kind, body FROM outlive.export_conversation($1)

-- name: import
-- Keeps a conversation that was exported, unless the same is there; whether it is new.
SELECT outlive.import_conversation($1, $2, $3) AS new

-- name: erase
-- Erases conversations and what hangs on them; the number of rows of each table, in one row at least.
SELECT e.name, e.rows, e.remains FROM outlive.erase($1, $2, $3, make_interval(secs => $4)) AS e

-- name: forget
-- Forgets a batch of old conversations.
SELECT conversations, turns, next FROM outlive.forget_conversations($1, $2, $3, $4, $5)
