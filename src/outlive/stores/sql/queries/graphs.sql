-- name: put
-- Keeps a checkpoint and the objects that it brings.
SELECT outlive.put_checkpoint($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: put_writes
-- Keeps what a task wrote after a checkpoint.
SELECT outlive.put_graph_writes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)

-- name: read
-- Reads a checkpoint, or the latest of a namespace.
SELECT * FROM outlive.read_checkpoint($1, $2, $3, $4)

-- name: page
-- Reads a page of checkpoints, the newest first.
SELECT * FROM outlive.list_checkpoints($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: line
-- Reads the ancestors that channels are built up from, and what was written to them.
SELECT * FROM outlive.read_graph_line($1, $2, $3, $4)

-- name: objects
-- Reads objects of a thread.
SELECT * FROM outlive.read_graph_objects($1, $2, $3)

-- name: delete_thread
-- Deletes all that a thread has.
SELECT outlive.delete_graph_thread($1)

-- name: delete_runs
-- Deletes the checkpoints of runs.
SELECT outlive.delete_graph_runs($1)

-- name: copy_thread
-- Copies all that a thread has.
SELECT outlive.copy_graph_thread($1, $2)

-- name: prune
-- Keeps the latest checkpoint of each namespace.
SELECT outlive.prune_graph_thread($1)
