-- name: create
-- Makes each conversation that is not there yet; returns how many are new.
SELECT outlive.create_conversations($1, $2::text::jsonb)

-- name: open
-- Takes the lease and brings all of the conversation back, in one round trip.
SELECT * FROM outlive.open_conversation($1, $2, make_interval(secs => $3), $4::text::jsonb)

-- name: claim
-- Takes the lease of a conversation that nobody holds and brings all of it back; no row if there is none.
SELECT * FROM outlive.claim_conversation($1, $2, make_interval(secs => $3))

-- name: load
-- Reads all of a conversation without taking its lease.
SELECT p.* FROM outlive.conversations AS c CROSS JOIN LATERAL outlive.picture_of(c.key) AS p WHERE c.id = $1

-- name: count_open
-- Counts those of these conversations that exist and are not complete.
SELECT count(*) FROM outlive.conversations WHERE id = ANY ($1::text[]) AND status = 'open'

-- name: append
-- Appends turns to several conversations for the holders of their leases, which this renews.
SELECT positions, created_at, refused, refusal FROM outlive.append_turns($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: checkpoint
-- Keeps a state for the holder of the lease as the next version.
SELECT turn_count, created_at FROM outlive.save_checkpoint($1, $2, make_interval(secs => $3), $4, $5)

-- name: start_tool_call
-- Notes that a tool call starts, or returns the result that is there.
SELECT result, attempts, tokens, dollars
FROM outlive.start_tool_call($1, $2, make_interval(secs => $3), $4, $5, $6, $7, $8, $9)

-- name: end_tool_call
-- Notes a tool call's result or error.
SELECT outlive.end_tool_call($1, $2, make_interval(secs => $3), $4, $5, $6, $7, $8, $9)

-- name: renew
-- Renews the lease; returns until when, by the database's clock.
SELECT (outlive.hold($1, $2, make_interval(secs => $3))).lease_until

-- name: end_lease
-- Gives the lease back, and says whether the conversation is complete.
SELECT outlive.end_lease($1, $2, $3)

-- name: append_with_effects
-- Appends turns for the holder of the lease, and adds the tasks that they ask for.
SELECT positions, created_at FROM outlive.append_turns_with_effects(
    $1, $2, make_interval(secs => $3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
)

-- name: finish_tool_call_with_effects
-- Notes a tool call's result, and adds the tasks that it asks for.
SELECT outlive.finish_tool_call_with_effects(
    $1, $2, make_interval(secs => $3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
)
