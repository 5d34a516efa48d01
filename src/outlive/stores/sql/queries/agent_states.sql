-- name: save
-- Keeps a version of an agent's state if the one before it is the latest.
SELECT outlive.save_agent_state($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: read
-- Reads a version of an agent's state, or the latest one.
SELECT * FROM outlive.read_agent_state($1, $2, $3)

-- name: prune
-- Forgets versions of an agent's state but the latest ones; how many there were.
SELECT outlive.prune_agent_state($1, $2) AS gone
