-- name: enqueue
-- Adds tasks that are not there under their keys; returns all of them as they are.
SELECT t.*, (SELECT c.id FROM outlive.conversations AS c WHERE c.key = t.conversation) AS conversation_id
FROM outlive.enqueue_tasks($1, $2, $3, $4, $5, $6, $7, $8) AS t

-- name: claim
-- Claims tasks for a worker.
SELECT t.*, (SELECT c.id FROM outlive.conversations AS c WHERE c.key = t.conversation) AS conversation_id
FROM outlive.claim_tasks($1, $2, $3, make_interval(secs => $4), $5) AS t

-- name: next_due
-- Says in how many seconds the next task is due.
SELECT outlive.next_task_due($1) AS due_s

-- name: renew
-- Renews the leases of tasks; returns which are still held.
SELECT outlive.renew_tasks($1, $2, make_interval(secs => $3)) AS held

-- name: progress
-- Keeps how far a task came.
SELECT outlive.save_task_progress($1, $2, make_interval(secs => $3), $4) AS lease_until

-- name: finish
-- Ends a task with its result.
SELECT outlive.finish_task($1, $2, $3)

-- name: fail
-- Ends an attempt with its error; without a pause the task is dead.
SELECT outlive.fail_task($1, $2, $3, make_interval(secs => $4))

-- name: release
-- Gives a task back.
SELECT outlive.release_task($1, $2)

-- name: cancel
-- Ends a task that is not over; returns its status.
SELECT outlive.cancel_task($1) AS status

-- name: requeue
-- Queues a dead or cancelled task again.
SELECT outlive.requeue_task($1, $2)

-- name: find
-- Reads a task by its queue and key.
SELECT t.*, (SELECT c.id FROM outlive.conversations AS c WHERE c.key = t.conversation) AS conversation_id
FROM outlive.tasks AS t WHERE t.queue = $1 AND t.key = $2

-- name: page
-- Reads the tasks of a queue and status that come after an id.
SELECT t.*, (SELECT c.id FROM outlive.conversations AS c WHERE c.key = t.conversation) AS conversation_id
FROM outlive.tasks AS t WHERE t.queue = $1 AND t.status = $2 AND t.id > $3 ORDER BY t.id LIMIT $4

-- name: get
-- Reads a task.
SELECT t.*, (SELECT c.id FROM outlive.conversations AS c WHERE c.key = t.conversation) AS conversation_id
FROM outlive.tasks AS t WHERE t.id = $1

-- name: filtered
-- Reads tasks that come after an id, of a queue, a status and a conversation, or any.
SELECT t.*, (SELECT c.id FROM outlive.conversations AS c WHERE c.key = t.conversation) AS conversation_id
FROM outlive.tasks AS t
WHERE ($1::text IS NULL OR t.queue = $1) AND ($2::text IS NULL OR t.status = $2)
    AND ($3::text IS NULL OR t.conversation = (SELECT c.key FROM outlive.conversations AS c WHERE c.id = $3))
    AND t.id > $4
ORDER BY t.id LIMIT $5

-- name: depths
-- Counts what waits, runs and is dead in a queue, or in each, and says for how long the first one due has waited.
SELECT queue,
    count(*) FILTER (WHERE due_at <= clock_timestamp()) AS due,
    count(*) FILTER (WHERE status = 'queued' AND due_at > clock_timestamp()) AS delayed,
    count(*) FILTER (WHERE status = 'running' AND due_at > clock_timestamp()) AS running,
    count(*) FILTER (WHERE status = 'dead') AS dead,
    coalesce(extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE due_at <= clock_timestamp())), 0)::float8
        AS waits_s
FROM outlive.tasks
WHERE status IN ('queued', 'running', 'dead') AND ($1::text IS NULL OR queue = $1)
GROUP BY queue ORDER BY queue

-- name: counts
-- Counts the tasks of a queue by their status.
SELECT status, count(*) AS tasks FROM outlive.tasks WHERE queue = $1 GROUP BY status

-- name: expire
-- Deletes some of the tasks that ended long ago; returns how many.
WITH old AS (
    SELECT id FROM outlive.tasks
    WHERE status = $1 AND ended_at < clock_timestamp() - make_interval(secs => $2)
    ORDER BY ended_at LIMIT $3
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM outlive.tasks AS t USING old WHERE t.id = old.id RETURNING 1
)
SELECT count(*) AS deleted FROM gone

-- name: ring
-- Wakes the workers that wait for tasks of these queues.
SELECT count(pg_notify('outlive_tasks', queue)) FROM unnest($1::text[]) AS q (queue)
