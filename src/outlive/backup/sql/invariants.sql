-- What is always true of the agent's state. Each query returns what breaks its rule, as text, and nothing where all is
-- well; the line below a name says which tables it reads. A restored server is asked all of them.

-- name: no_hole_in_a_conversation
-- tables: outlive.conversations outlive.turns
SELECT format('conversation %s has %s turns at positions up to %s, and says %s', c.id, count(t.position),
              coalesce(max(t.position), -1), c.turn_count)
FROM outlive.conversations c LEFT JOIN outlive.turns t ON t.conversation = c.key
GROUP BY c.key
HAVING count(t.position) <> c.turn_count OR coalesce(max(t.position), -1) + 1 <> c.turn_count
LIMIT 5

-- name: checkpoints_follow_their_turns
-- tables: outlive.conversations outlive.checkpoints
SELECT format('conversation %s has a checkpoint of version %s after %s turns, and says %s and %s', c.id, k.version,
              k.turn_count, c.checkpoint_version, c.turn_count)
FROM outlive.checkpoints k JOIN outlive.conversations c ON c.key = k.conversation
WHERE k.version > c.checkpoint_version OR k.turn_count > c.turn_count
LIMIT 5

-- name: one_holder_of_a_conversation
-- tables: outlive.conversations
SELECT format('conversation %s is held by %s, and no lease was ever given', id, lease_worker)
FROM outlive.conversations WHERE lease_worker IS NOT NULL AND lease_token = 0
LIMIT 5

-- name: finished_calls_have_results
-- tables: outlive.tool_calls
SELECT format('call %s of conversation %s is %s and has %s', key, conversation, status,
              CASE WHEN result IS NULL THEN 'no result' ELSE 'a result' END)
FROM outlive.tool_calls
WHERE (status = 'finished') <> (result IS NOT NULL) OR (status = 'started') <> (finished_at IS NULL)
LIMIT 5

-- name: histories_end_in_entries
-- tables: outlive.histories outlive.history_entries
SELECT format('history %s ends with an entry that is not there', h.id)
FROM outlive.histories h LEFT JOIN outlive.history_entries e ON e.key = h.head
WHERE h.head IS NOT NULL AND e.key IS NULL
LIMIT 5
