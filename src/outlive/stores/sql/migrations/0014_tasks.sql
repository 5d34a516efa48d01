-- A queue of tasks: each is claimed with a lease and a fencing token, and ends once.
--
-- `due_at` is when a task may be claimed next: the moment asked for, that of its next attempt or, while it runs, the
-- end of its lease. So a claim finds delayed tasks and those of dead workers alike, and nobody has to sweep. It is
-- null once the task has ended: what is over is not in the index that claims read, however much of it is kept.

CREATE TABLE outlive.tasks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue        text NOT NULL CHECK (queue <> '' AND length(queue) <= 500),
    key          text NOT NULL CHECK (key <> '' AND length(key) <= 500),
    status       text NOT NULL DEFAULT 'queued'
                 CHECK (status IN ('queued', 'running', 'finished', 'dead', 'cancelled')),
    priority     integer NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
    due_at       timestamptz,
    conversation bigint REFERENCES outlive.conversations (key) ON DELETE CASCADE,
    payload      json NOT NULL,
    progress     json,
    result       json,
    error        text,
    attempts     integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    lease_token  bigint NOT NULL DEFAULT 0 CHECK (lease_token >= 0),
    lease_worker text,
    claim        uuid,
    claimed_at   timestamptz,
    requeued     uuid,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,
    UNIQUE (queue, key),
    CHECK ((due_at IS NOT NULL) = (status IN ('queued', 'running'))),
    CHECK ((ended_at IS NULL) = (due_at IS NOT NULL)),
    CHECK ((status = 'running') = (lease_worker IS NOT NULL)),
    CHECK ((status = 'finished') = (result IS NOT NULL))
);

COMMENT ON COLUMN outlive.tasks.lease_token IS
    'The fencing token: grows by one with each claim and cancellation; a write with another one is refused.';
COMMENT ON COLUMN outlive.tasks.claim IS
    'Made by the client for each claim: one that is retried after a lost answer gets the same tasks.';
COMMENT ON COLUMN outlive.tasks.requeued IS 'Made by the client for each requeue, so that its retry does nothing more.';

CREATE INDEX tasks_due ON outlive.tasks (queue, priority DESC, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_claim ON outlive.tasks (claim) WHERE status = 'running';
CREATE INDEX tasks_status ON outlive.tasks (queue, status, id);
CREATE INDEX tasks_ended ON outlive.tasks (status, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX tasks_conversation ON outlive.tasks (conversation) WHERE conversation IS NOT NULL;

-- Adds tasks, all or none; one that is there under its key with the same payload stays as it is, and is returned.
CREATE FUNCTION outlive.enqueue_tasks(
    p_queues text[], p_keys text[], p_payloads text[], p_priorities integer[], p_run_at timestamptz[],
    p_delays_s double precision[], p_max_attempts integer[], p_conversation text
) RETURNS SETOF outlive.tasks
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    belongs_to bigint;
    reused text;
BEGIN
    SELECT key INTO belongs_to FROM outlive.conversations WHERE id = p_conversation;
    IF p_conversation IS NOT NULL AND belongs_to IS NULL THEN
        RAISE EXCEPTION 'there is no conversation %', quote_literal(p_conversation) USING ERRCODE = 'OL003';
    END IF;
    INSERT INTO outlive.tasks (queue, key, payload, priority, due_at, max_attempts, conversation)
    SELECT n.queue, n.key, n.payload::json, n.priority,
        coalesce(n.run_at, clock_timestamp()) + make_interval(secs => n.delay_s), n.max_attempts, belongs_to
    FROM unnest(p_queues, p_keys, p_payloads, p_priorities, p_run_at, p_delays_s, p_max_attempts)
        WITH ORDINALITY AS n (queue, key, payload, priority, run_at, delay_s, max_attempts, place)
    ORDER BY n.place
    ON CONFLICT ON CONSTRAINT tasks_queue_key_key DO NOTHING;
    SELECT min(t.key) INTO reused
    FROM unnest(p_queues, p_keys, p_payloads) AS n (queue, key, payload)
    JOIN outlive.tasks AS t ON t.queue = n.queue AND t.key = n.key
    WHERE t.payload::text <> n.payload;
    IF reused IS NOT NULL THEN
        RAISE EXCEPTION 'the task % is there with another payload', quote_literal(reused) USING ERRCODE = 'OL002';
    END IF;
    RETURN QUERY
        SELECT t.* FROM unnest(p_queues, p_keys) WITH ORDINALITY AS n (queue, key, place)
        JOIN outlive.tasks AS t ON t.queue = n.queue AND t.key = n.key ORDER BY n.place;
END
$$;

-- The highest priority below this one that has tasks which are not over; null if there is none.
CREATE FUNCTION outlive.task_priority_below(p_queues text[], p_below integer) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT max(h.priority)
    FROM unnest(p_queues) AS q (queue) CROSS JOIN LATERAL (
        SELECT t.priority FROM outlive.tasks AS t
        WHERE t.queue = q.queue AND t.due_at IS NOT NULL AND t.priority < p_below
        ORDER BY t.priority DESC LIMIT 1
    ) AS h
$$;

-- Locks the first tasks of a priority that are due and that no other claim is about to take, the oldest first.
CREATE FUNCTION outlive.lock_due_tasks(p_queues text[], p_priority integer, p_moment timestamptz, p_limit integer)
RETURNS bigint[]
LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(array_agg(f.id ORDER BY f.due_at, f.id), '{}')
    FROM (
        SELECT d.id, d.due_at
        FROM unnest(p_queues) AS q (queue) CROSS JOIN LATERAL (
            SELECT t.id, t.due_at FROM outlive.tasks AS t
            WHERE t.queue = q.queue AND t.priority = p_priority AND t.due_at <= p_moment
            ORDER BY t.due_at, t.id LIMIT p_limit
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS d
        ORDER BY d.due_at, d.id LIMIT p_limit
    ) AS f
$$;

-- Claims up to so many tasks: the highest priority first, then what has been due for longest. A task whose last
-- attempt's lease ran out is dead instead. The same claim, said twice, gets the same tasks, their leases renewed.
CREATE FUNCTION outlive.claim_tasks(
    p_queues text[], p_worker text, p_claim uuid, p_lease interval, p_limit integer
) RETURNS SETOF outlive.tasks
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    wanted integer := p_limit;
    level integer;
    due bigint[];
    taken integer;
BEGIN
    -- The first attempt at this claim may be committing still: what it took shows once it has ended.
    PERFORM pg_advisory_xact_lock(hashtextextended('outlive.tasks ' || p_claim, 0));
    UPDATE outlive.tasks SET due_at = clock_timestamp() + p_lease WHERE claim = p_claim AND status = 'running';
    IF NOT FOUND THEN
        level := outlive.task_priority_below(p_queues, 101);
        WHILE level IS NOT NULL AND wanted > 0 LOOP
            due := outlive.lock_due_tasks(p_queues, level, moment, wanted);
            UPDATE outlive.tasks
            SET status = 'dead', due_at = NULL, lease_worker = NULL, ended_at = clock_timestamp(),
                error = format('the lease of its last attempt, %s by %s, ran out', attempts, quote_literal(lease_worker))
            WHERE id = ANY (due) AND status = 'running' AND attempts >= max_attempts;
            UPDATE outlive.tasks AS t
            SET status = 'running', attempts = attempts + 1, lease_token = lease_token + 1, lease_worker = p_worker,
                claim = p_claim, due_at = clock_timestamp() + p_lease,
                claimed_at = moment + d.place * interval '1 microsecond' -- remembers their order
            FROM unnest(due) WITH ORDINALITY AS d (id, place)
            WHERE t.id = d.id AND t.status <> 'dead';
            GET DIAGNOSTICS taken = ROW_COUNT;
            IF cardinality(due) < wanted THEN
                level := outlive.task_priority_below(p_queues, level);
            END IF;
            wanted := wanted - taken;
        END LOOP;
    END IF;
    RETURN QUERY
        SELECT * FROM outlive.tasks WHERE claim = p_claim AND status = 'running' ORDER BY priority DESC, claimed_at, id;
END
$$;

-- In how many seconds the next task is due, 0 if one is; null if none is to come.
CREATE FUNCTION outlive.next_task_due(p_queues text[]) RETURNS double precision
LANGUAGE plpgsql STABLE AS $$
DECLARE
    level integer := outlive.task_priority_below(p_queues, 101);
    first timestamptz;
BEGIN
    WHILE level IS NOT NULL LOOP
        SELECT least(first, min(d.due_at)) INTO first
        FROM unnest(p_queues) AS q (queue) CROSS JOIN LATERAL (
            SELECT t.due_at FROM outlive.tasks AS t
            WHERE t.queue = q.queue AND t.priority = level AND t.due_at IS NOT NULL
            ORDER BY t.due_at LIMIT 1
        ) AS d;
        level := outlive.task_priority_below(p_queues, level);
    END LOOP;
    RETURN greatest(extract(epoch FROM first - clock_timestamp()), CASE WHEN first IS NOT NULL THEN 0 END);
END
$$;

-- Locks a task for whoever has, or had last, this lease. An expired lease that nobody took since is still good: what
-- fences a worker off is the next claim, not the clock.
CREATE FUNCTION outlive.hold_task(p_id bigint, p_token bigint) RETURNS outlive.tasks
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.tasks;
BEGIN
    SELECT * INTO held FROM outlive.tasks WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no task %', p_id USING ERRCODE = 'OL003';
    ELSIF held.lease_token <> p_token THEN
        RAISE EXCEPTION 'the lease % of the task % is over', p_token, p_id USING ERRCODE = 'OL001',
            DETAIL = coalesce('its holder is ' || quote_literal(held.lease_worker), 'it is ' || held.status);
    END IF;
    RETURN held;
END
$$;

-- Refuses to end a task in a second way.
CREATE FUNCTION outlive.refuse_second_end(p_task outlive.tasks) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'this attempt at the task % has ended: it is %', p_task.id, p_task.status USING ERRCODE = 'OL004';
END
$$;

-- Renews the leases of those of these tasks that are held with these tokens, and returns which they are.
CREATE FUNCTION outlive.renew_tasks(p_ids bigint[], p_tokens bigint[], p_lease interval) RETURNS bigint[]
LANGUAGE sql VOLATILE AS $$
    WITH held AS (
        SELECT t.id FROM outlive.tasks AS t
        JOIN unnest(p_ids, p_tokens) AS n (id, token) ON t.id = n.id AND t.lease_token = n.token
        WHERE t.status = 'running' ORDER BY t.id FOR NO KEY UPDATE OF t
    ), renewed AS (
        UPDATE outlive.tasks AS t SET due_at = clock_timestamp() + p_lease FROM held WHERE t.id = held.id RETURNING t.id
    )
    SELECT coalesce(array_agg(id), '{}') FROM renewed
$$;

-- Keeps how far the holder came, for whoever goes on, and renews the lease; returns until when.
CREATE FUNCTION outlive.save_task_progress(p_id bigint, p_token bigint, p_lease interval, p_progress text)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.tasks := outlive.hold_task(p_id, p_token);
BEGIN
    IF held.status <> 'running' THEN
        PERFORM outlive.refuse_second_end(held);
    END IF;
    UPDATE outlive.tasks SET progress = coalesce(p_progress::json, progress), due_at = clock_timestamp() + p_lease
    WHERE id = p_id RETURNING due_at INTO held.due_at;
    RETURN held.due_at;
END
$$;

-- Ends a task with its result.
CREATE FUNCTION outlive.finish_task(p_id bigint, p_token bigint, p_result text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.tasks := outlive.hold_task(p_id, p_token);
BEGIN
    IF held.status = 'running' THEN
        UPDATE outlive.tasks
        SET status = 'finished', result = p_result::json, error = NULL, due_at = NULL, lease_worker = NULL,
            ended_at = clock_timestamp()
        WHERE id = p_id;
    ELSIF held.status <> 'finished' OR held.result::text <> p_result THEN
        PERFORM outlive.refuse_second_end(held);
    END IF;
END
$$;

-- Ends an attempt with its error: the next one is due after a pause or, where that is null, the task is dead.
CREATE FUNCTION outlive.fail_task(p_id bigint, p_token bigint, p_error text, p_after interval) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.tasks := outlive.hold_task(p_id, p_token);
BEGIN
    IF held.status = 'running' THEN
        UPDATE outlive.tasks
        SET status = CASE WHEN p_after IS NULL THEN 'dead' ELSE 'queued' END, error = p_error,
            due_at = clock_timestamp() + p_after, lease_worker = NULL,
            ended_at = CASE WHEN p_after IS NULL THEN clock_timestamp() END
        WHERE id = p_id;
    ELSIF held.status NOT IN ('queued', 'dead') OR held.error IS DISTINCT FROM p_error THEN
        PERFORM outlive.refuse_second_end(held);
    END IF;
END
$$;

-- Gives a task back as if it had not been claimed: it is due at once, and the attempt does not count.
CREATE FUNCTION outlive.release_task(p_id bigint, p_token bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.tasks := outlive.hold_task(p_id, p_token);
BEGIN
    IF held.status = 'running' THEN
        UPDATE outlive.tasks
        SET status = 'queued', due_at = clock_timestamp(), lease_worker = NULL, attempts = attempts - 1
        WHERE id = p_id;
    END IF;
END
$$;

-- Ends a task that is not over, whoever holds it; returns its status after that.
CREATE FUNCTION outlive.cancel_task(p_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.tasks;
BEGIN
    SELECT * INTO held FROM outlive.tasks WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no task %', p_id USING ERRCODE = 'OL003';
    ELSIF held.due_at IS NULL THEN
        RETURN held.status;
    END IF;
    UPDATE outlive.tasks
    SET status = 'cancelled', lease_token = lease_token + 1, lease_worker = NULL, due_at = NULL,
        ended_at = clock_timestamp()
    WHERE id = p_id;
    RETURN 'cancelled';
END
$$;

-- Queues a dead or cancelled task again, with all of its attempts and the progress it had made.
CREATE FUNCTION outlive.requeue_task(p_id bigint, p_requeued uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.tasks;
BEGIN
    SELECT * INTO held FROM outlive.tasks WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no task %', p_id USING ERRCODE = 'OL003';
    ELSIF held.requeued = p_requeued THEN
        RETURN;
    ELSIF held.status NOT IN ('dead', 'cancelled') THEN
        RAISE EXCEPTION 'the task % is %, only a dead or cancelled one is queued again', p_id, held.status
            USING ERRCODE = 'OL004';
    END IF;
    UPDATE outlive.tasks
    SET status = 'queued', attempts = 0, due_at = clock_timestamp(), ended_at = NULL, requeued = p_requeued
    WHERE id = p_id;
END
$$;
