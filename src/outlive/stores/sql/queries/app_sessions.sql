-- name: create
-- Makes a session, with the state that it begins with.
SELECT outlive.create_app_session(
    $1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb, $8::text::jsonb
)

-- name: append
-- Appends an event and applies its changes of the state; returns the session's revision.
SELECT outlive.append_app_event(
    $1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9::text::jsonb, $10::text::jsonb
) AS revision

-- name: load
-- Reads a session with its states and its last events, not older than a moment, in order.
SELECT s.id, s.user_id, s.revision, s.updated_at, s.state::text AS state,
    coalesce(a.state, '{}')::text AS app_state, coalesce(u.state, '{}')::text AS user_state,
    ARRAY(
        SELECT r.content::text
        FROM (
            SELECT * FROM outlive.app_session_events AS e WHERE e.session = s.key
            ORDER BY e.position DESC LIMIT $4
        ) AS r
        WHERE $5::timestamptz IS NULL OR r.at >= $5
        ORDER BY r.position
    ) AS events
FROM outlive.app_sessions AS s
LEFT JOIN outlive.app_states AS a ON a.app = s.app AND a.user_id = ''
LEFT JOIN outlive.app_states AS u ON u.app = s.app AND u.user_id = s.user_id
WHERE s.app = $1 AND s.user_id = $2 AND s.id = $3

-- name: page
-- Reads the sessions of an app that come after a user's and an id, with their states.
SELECT s.id, s.user_id, s.revision, s.updated_at, s.state::text AS state,
    coalesce(a.state, '{}')::text AS app_state, coalesce(u.state, '{}')::text AS user_state, '{}'::text[] AS events
FROM outlive.app_sessions AS s
LEFT JOIN outlive.app_states AS a ON a.app = s.app AND a.user_id = ''
LEFT JOIN outlive.app_states AS u ON u.app = s.app AND u.user_id = s.user_id
WHERE s.app = $1 AND (s.user_id, s.id) > ($2, $3)
ORDER BY s.user_id, s.id LIMIT $4

-- name: page_of_user
-- Reads the sessions of a user that come after an id, with their states.
SELECT s.id, s.user_id, s.revision, s.updated_at, s.state::text AS state,
    coalesce(a.state, '{}')::text AS app_state, coalesce(u.state, '{}')::text AS user_state, '{}'::text[] AS events
FROM outlive.app_sessions AS s
LEFT JOIN outlive.app_states AS a ON a.app = s.app AND a.user_id = ''
LEFT JOIN outlive.app_states AS u ON u.app = s.app AND u.user_id = s.user_id
WHERE s.app = $1 AND s.user_id = $2 AND s.id > $3
ORDER BY s.id LIMIT $4

-- name: state
-- Reads the state of a user, or of the app where the user is empty.
SELECT state::text AS state FROM outlive.app_states WHERE app = $1 AND user_id = $2

-- name: delete
-- Deletes a session and its events; says whether it was there.
WITH gone AS (
    DELETE FROM outlive.app_sessions WHERE app = $1 AND user_id = $2 AND id = $3 RETURNING 1
)
SELECT count(*) > 0 AS deleted FROM gone
