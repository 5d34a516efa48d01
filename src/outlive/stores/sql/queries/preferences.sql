-- name: change
-- Sets a preference, or deletes it where the value is null; returns its version.
SELECT outlive.change_preference($1, $2, $3, $4, $5) AS version

-- name: get
-- Reads one preference, unless it was deleted.
SELECT key, version, value::text AS value, changed_at FROM outlive.preferences
WHERE subject = $1 AND key = $2 AND value IS NOT NULL

-- name: all
-- Reads all preferences of a subject that were not deleted.
SELECT key, version, value::text AS value, changed_at FROM outlive.preferences
WHERE subject = $1 AND value IS NOT NULL ORDER BY key

-- name: history
-- Reads the latest versions of a preference, the newest first.
SELECT v.key, v.version, v.value, v.changed_at
FROM (
    SELECT key, version, value::text AS value, changed_at FROM outlive.preferences WHERE subject = $1 AND key = $2
    UNION ALL
    SELECT key, version, value::text, changed_at FROM outlive.preference_versions WHERE subject = $1 AND key = $2
) AS v
ORDER BY v.version DESC LIMIT $3

-- name: erase
-- Deletes all that is kept of a subject, every version of it; returns how many preferences there were.
WITH gone AS (DELETE FROM outlive.preferences WHERE subject = $1 RETURNING 1)
SELECT count(*) AS erased FROM gone
