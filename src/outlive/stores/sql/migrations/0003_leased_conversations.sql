-- Conversations that one worker at a time writes, by its lease: their writes and their reload, one call each.
--
-- Every function is VOLATILE PL/pgSQL on purpose. Under READ COMMITTED each statement inside takes a snapshot of its
-- own, so what is read after the row lock was granted is at least as new as the lock. One statement that locks and
-- reads (a CTE, a STABLE function) would read with the snapshot from before it waited, and miss the turns that the
-- former holder committed meanwhile.
--
-- Refusals are raised, so that the transaction around them applies nothing: OL001 the lease is not yours, OL002 the id
-- or key came with other content, OL003 no such thing, OL004 somebody changed it first, OL005 an interrupted call.
--
-- A picture goes out as a row of a set, not as a composite value: that would be copied whole three times on its way.
-- Moments go as microseconds since 1970 and dollars as text, as the driver takes longer over its own forms of them.

CREATE TYPE outlive.picture AS (
    id                    text,
    status                text,
    metadata              text,
    lease_token           bigint,
    lease_until           timestamptz,
    turn_positions        bigint[],
    turn_ids              text[],
    turn_roles            text[],
    turn_contents         text[],
    turn_tokens           bigint[],
    turn_dollars          text[],
    turn_created_at_us    bigint[],
    checkpoint_version    bigint,
    checkpoint_turn_count bigint,
    checkpoint_state      text,
    checkpoint_created_at timestamptz,
    call_keys             text[],
    call_names            text[],
    call_arguments        text[],
    call_hashes           bytea[],
    call_statuses         text[],
    call_attempts         integer[],
    call_results          text[],
    call_errors           text[],
    call_tokens           bigint[],
    call_dollars          text[]
);

COMMENT ON TYPE outlive.picture IS
    'All of a conversation in one row. Turns and calls are parallel arrays: the driver reads those natively.';

-- A moment as microseconds since 1970.
CREATE FUNCTION outlive.microseconds(p_moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT (extract(epoch FROM p_moment) * 1000000)::bigint
$$;

-- All of one conversation, as one snapshot shows it.
CREATE FUNCTION outlive.picture_of(p_key bigint) RETURNS SETOF outlive.picture
LANGUAGE sql STABLE AS $$
    SELECT c.id, c.status, c.metadata::text, c.lease_token, c.lease_until,
           t.positions, t.ids, t.roles, t.contents, t.tokens, t.dollars, t.created_at,
           k.version, k.turn_count, k.state::text, k.created_at,
           f.keys, f.names, f.arguments, f.hashes, f.statuses, f.attempts, f.results, f.errors, f.tokens, f.dollars
    FROM outlive.conversations AS c
    CROSS JOIN LATERAL (
        SELECT array_agg(o.position) AS positions, array_agg(o.id) AS ids, array_agg(o.role) AS roles,
               array_agg(o.content::text) AS contents, array_agg(o.tokens) AS tokens,
               array_agg(o.dollars::text) AS dollars, array_agg(outlive.microseconds(o.created_at)) AS created_at
        FROM (SELECT * FROM outlive.turns WHERE conversation = c.key ORDER BY position) AS o
    ) AS t
    CROSS JOIN LATERAL (
        SELECT array_agg(o.key) AS keys, array_agg(o.name) AS names, array_agg(o.arguments::text) AS arguments,
               array_agg(o.arguments_hash) AS hashes, array_agg(o.status) AS statuses,
               array_agg(o.attempts) AS attempts, array_agg(o.result::text) AS results, array_agg(o.error) AS errors,
               array_agg(o.tokens) AS tokens, array_agg(o.dollars::text) AS dollars
        FROM (SELECT * FROM outlive.tool_calls WHERE conversation = c.key ORDER BY started_at, key) AS o
    ) AS f
    LEFT JOIN outlive.checkpoints AS k ON k.conversation = c.key AND k.version = c.checkpoint_version
    WHERE c.key = p_key
$$;

-- Gives the lease of a locked row to a worker.
CREATE FUNCTION outlive.take_lease(p_key bigint, p_worker text, p_lease interval) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE outlive.conversations
    SET lease_token = lease_token + 1, lease_worker = p_worker, lease_until = clock_timestamp() + p_lease,
        updated_at = clock_timestamp()
    WHERE key = p_key
$$;

-- Creates the conversation if there is none, takes its lease and returns all of it.
-- The worker that holds it already gets a new token at once: a restarted worker need not wait for itself.
CREATE FUNCTION outlive.open_conversation(p_id text, p_worker text, p_lease interval, p_metadata jsonb)
RETURNS SETOF outlive.picture
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.conversations := outlive.make_conversation(p_id, p_metadata);
BEGIN
    IF held.lease_worker <> p_worker AND held.lease_until > clock_timestamp() THEN
        RAISE EXCEPTION 'the conversation % is held by %', quote_literal(p_id), quote_literal(held.lease_worker)
            USING ERRCODE = 'OL001',
            DETAIL = format('for another %s s', round(extract(epoch FROM held.lease_until - clock_timestamp()), 1));
    END IF;
    PERFORM outlive.take_lease(held.key, p_worker, p_lease);
    RETURN QUERY SELECT * FROM outlive.picture_of(held.key);
END
$$;

-- Takes the lease of the first open conversation among these that nobody holds, and returns all of it, if there is one.
CREATE FUNCTION outlive.claim_conversation(p_among text[], p_worker text, p_lease interval)
RETURNS SETOF outlive.picture
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    claimed bigint;
BEGIN
    SELECT key INTO claimed FROM outlive.conversations AS c
    WHERE c.id = ANY (p_among) AND c.status = 'open'
        AND (c.lease_until IS NULL OR c.lease_until <= clock_timestamp())
    ORDER BY key LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED;
    IF claimed IS NOT NULL THEN
        PERFORM outlive.take_lease(claimed, p_worker, p_lease);
        RETURN QUERY SELECT * FROM outlive.picture_of(claimed);
    END IF;
END
$$;

-- Locks a conversation for the holder of this token until the transaction ends, and renews its lease.
-- An expired lease that nobody took since is still good: what fences a worker off is the next lease, not the clock.
CREATE FUNCTION outlive.hold(p_id text, p_token bigint, p_lease interval) RETURNS outlive.conversations
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.conversations;
BEGIN
    UPDATE outlive.conversations
    SET lease_until = clock_timestamp() + p_lease
    WHERE id = p_id AND lease_token = p_token AND lease_worker IS NOT NULL
    RETURNING * INTO held;
    IF FOUND THEN
        RETURN held;
    END IF;
    SELECT * INTO held FROM outlive.conversations WHERE id = p_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no conversation %', quote_literal(p_id) USING ERRCODE = 'OL003';
    END IF;
    RAISE EXCEPTION 'the lease % of the conversation % is over', p_token, quote_literal(p_id)
        USING ERRCODE = 'OL001', DETAIL = coalesce('its holder is ' || quote_literal(held.lease_worker), 'it was released');
END
$$;

-- Appends to several conversations at once, for the holder of each one's lease, which this renews.
--
-- A turn names its append by its place among them. Rows are locked by key, in this one order everywhere, so that two
-- calls never wait for each other; what follows sees what was committed before the locks were granted. An append whose
-- lease is over, or one of whose ids is there with other content, is refused alone, as a value: the others stand.
--
-- Rows are looked up one by one (OFFSET 0 keeps the planner from joining otherwise) and updated by their place, which
-- can't change under the lock: the plan is made while the tables are small and has to be right when they have grown.
CREATE FUNCTION outlive.append_turns(
    p_conversations text[], p_lease_tokens bigint[], p_leases_s double precision[], p_places integer[],
    p_ids text[], p_roles text[], p_contents text[], p_tokens bigint[], p_dollars numeric[]
) RETURNS TABLE (positions bigint[], created_at timestamptz[], refused text, refusal text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM outlive.conversations AS c WHERE c.id = ANY (p_conversations) ORDER BY c.key FOR NO KEY UPDATE;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT n.place, n.id, n.token, n.lease_s, c.ctid AS location, c.key, c.turn_count, c.lease_worker,
               c.lease_token = n.token AND c.lease_worker IS NOT NULL AS holds
        FROM unnest(p_conversations, p_lease_tokens, p_leases_s) WITH ORDINALITY AS n (id, token, lease_s, place)
        LEFT JOIN LATERAL (SELECT o.ctid, o.* FROM outlive.conversations AS o WHERE o.id = n.id OFFSET 0) AS c ON true
    ), given AS MATERIALIZED (
        SELECT n.*, a.key, t.position, t.created_at, t.role <> n.role OR t.content::text <> n.content AS differs
        FROM unnest(p_places, p_ids, p_roles, p_contents, p_tokens, p_dollars) WITH ORDINALITY
            AS n (place, id, role, content, tokens, dollars, nth)
        JOIN asked AS a ON a.place = n.place AND a.holds
        LEFT JOIN LATERAL (
            SELECT * FROM outlive.turns AS o WHERE o.conversation = a.key AND o.id = n.id OFFSET 0
        ) AS t ON true
    ), reused AS (
        SELECT g.place, min(g.id) AS id FROM given AS g WHERE g.differs GROUP BY g.place
    ), accepted AS MATERIALIZED (
        SELECT a.place, a.location, a.key, a.turn_count, a.lease_s FROM asked AS a
        WHERE a.holds AND NOT EXISTS (SELECT FROM reused AS r WHERE r.place = a.place)
    ), added AS (
        INSERT INTO outlive.turns AS t (conversation, position, id, role, content, tokens, dollars)
        SELECT a.key, a.turn_count - 1 + row_number() OVER (PARTITION BY g.place ORDER BY g.nth), g.id, g.role,
               g.content::json, g.tokens, g.dollars
        FROM given AS g JOIN accepted AS a ON a.place = g.place
        WHERE g.position IS NULL
        RETURNING t.conversation, t.id, t.position, t.created_at
    ), renewed AS (
        UPDATE outlive.conversations AS c
        SET lease_until = clock_timestamp() + make_interval(secs => a.lease_s),
            turn_count = c.turn_count + coalesce(n.added, 0),
            status = CASE WHEN n.added > 0 THEN 'open' ELSE c.status END,
            updated_at = CASE WHEN n.added > 0 THEN clock_timestamp() ELSE c.updated_at END
        FROM accepted AS a
        LEFT JOIN (SELECT conversation, count(*) AS added FROM added GROUP BY conversation) AS n
            ON n.conversation = a.key
        WHERE c.ctid = a.location
    )
    SELECT k.positions, k.created_at,
           CASE WHEN a.key IS NULL THEN 'OL003' WHEN NOT a.holds THEN 'OL001' WHEN r.id IS NOT NULL THEN 'OL002' END,
           CASE
               WHEN a.key IS NULL THEN format('there is no conversation %L', a.id)
               WHEN NOT a.holds THEN format('the lease %s of the conversation %L is over (%s)', a.token, a.id,
                   coalesce('its holder is ' || quote_literal(a.lease_worker), 'it was released'))
               WHEN r.id IS NOT NULL
                   THEN format('the turn %L of the conversation %L is there with other content', r.id, a.id)
           END
    FROM asked AS a
    LEFT JOIN reused AS r ON r.place = a.place
    LEFT JOIN (
        SELECT g.place, array_agg(coalesce(g.position, d.position) ORDER BY g.nth) AS positions,
               array_agg(coalesce(g.created_at, d.created_at) ORDER BY g.nth) AS created_at
        FROM given AS g LEFT JOIN added AS d ON d.conversation = g.key AND d.id = g.id
        GROUP BY g.place
    ) AS k ON k.place = a.place
    ORDER BY a.place;
END
$$;

-- Keeps a state as the version after the last; the same state under the last version is the same checkpoint.
CREATE FUNCTION outlive.save_checkpoint(
    p_id text, p_token bigint, p_lease interval, p_version bigint, p_state text
) RETURNS TABLE (turn_count bigint, created_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    held outlive.conversations := outlive.hold(p_id, p_token, p_lease);
    saved outlive.checkpoints;
BEGIN
    IF held.checkpoint_version = p_version THEN
        SELECT * INTO saved FROM outlive.checkpoints
        WHERE conversation = held.key AND version = p_version AND state::text = p_state;
    ELSIF held.checkpoint_version = p_version - 1 THEN
        INSERT INTO outlive.checkpoints AS k (conversation, version, turn_count, state)
        VALUES (held.key, p_version, held.turn_count, p_state::json)
        RETURNING k.* INTO saved;
        UPDATE outlive.conversations
        SET checkpoint_version = p_version, updated_at = clock_timestamp() WHERE key = held.key;
    END IF;
    IF saved.version IS NULL THEN
        RAISE EXCEPTION 'the conversation % is at checkpoint %, so % can''t be written',
            quote_literal(p_id), held.checkpoint_version, p_version USING ERRCODE = 'OL004';
    END IF;
    RETURN QUERY SELECT saved.turn_count, saved.created_at;
END
$$;

-- Ends a lease, and with it the conversation if it is complete; the same token may say so twice.
CREATE FUNCTION outlive.end_lease(p_id text, p_token bigint, p_complete boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE outlive.conversations
    SET status = CASE WHEN p_complete THEN 'complete' ELSE status END,
        lease_worker = NULL, lease_until = NULL, updated_at = clock_timestamp()
    WHERE id = p_id AND lease_token = p_token AND lease_worker IS NOT NULL;
    IF FOUND THEN
        RETURN;
    END IF;
    PERFORM 1 FROM outlive.conversations
    WHERE id = p_id AND lease_token = p_token AND (status = 'complete' OR NOT p_complete);
    IF NOT FOUND THEN
        PERFORM outlive.hold(p_id, p_token, interval '0'); -- refuses, with the reason
    END IF;
END
$$;
