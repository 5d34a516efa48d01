-- The writes and the reload of a conversation, one call each.
--
-- Every function is VOLATILE PL/pgSQL on purpose. Under READ COMMITTED each statement inside takes a snapshot of its
-- own, so what is read after the row lock was granted is at least as new as the lock. One statement that locks and
-- reads (a CTE, a STABLE function) would read with the snapshot from before it waited, and miss the turns that the
-- former holder committed meanwhile.
--
-- Refusals are raised, so that the transaction around them applies nothing: OL001 the lease is not yours, OL002 the id
-- or key came with other content, OL003 no such thing, OL004 somebody changed it first, OL005 an interrupted call.

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
    turn_dollars          numeric[],
    turn_created_at       timestamptz[],
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
    call_dollars          numeric[]
);

COMMENT ON TYPE outlive.picture IS
    'All of a conversation in one row. Turns and calls are parallel arrays: the driver reads those natively.';

-- All of one conversation, as one snapshot shows it.
CREATE FUNCTION outlive.picture_of(p_key bigint) RETURNS outlive.picture
LANGUAGE sql STABLE AS $$
    SELECT (c.id, c.status, c.metadata::text, c.lease_token, c.lease_until,
            t.positions, t.ids, t.roles, t.contents, t.tokens, t.dollars, t.created_at,
            k.version, k.turn_count, k.state::text, k.created_at,
            f.keys, f.names, f.arguments, f.hashes, f.statuses, f.attempts, f.results, f.errors, f.tokens, f.dollars
           )::outlive.picture
    FROM outlive.conversations AS c
    CROSS JOIN LATERAL (
        SELECT array_agg(o.position) AS positions, array_agg(o.id) AS ids, array_agg(o.role) AS roles,
               array_agg(o.content::text) AS contents, array_agg(o.tokens) AS tokens, array_agg(o.dollars) AS dollars,
               array_agg(o.created_at) AS created_at
        FROM (SELECT * FROM outlive.turns WHERE conversation = c.key ORDER BY position) AS o
    ) AS t
    CROSS JOIN LATERAL (
        SELECT array_agg(o.key) AS keys, array_agg(o.name) AS names, array_agg(o.arguments::text) AS arguments,
               array_agg(o.arguments_hash) AS hashes, array_agg(o.status) AS statuses,
               array_agg(o.attempts) AS attempts, array_agg(o.result::text) AS results, array_agg(o.error) AS errors,
               array_agg(o.tokens) AS tokens, array_agg(o.dollars) AS dollars
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
RETURNS outlive.picture
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.conversations;
BEGIN
    SELECT * INTO held FROM outlive.conversations WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO outlive.conversations (id, metadata) VALUES (p_id, p_metadata) ON CONFLICT (id) DO NOTHING;
        SELECT * INTO STRICT held FROM outlive.conversations WHERE id = p_id FOR NO KEY UPDATE;
    END IF;
    IF held.lease_worker <> p_worker AND held.lease_until > clock_timestamp() THEN
        RAISE EXCEPTION 'the conversation % is held by %', quote_literal(p_id), quote_literal(held.lease_worker)
            USING ERRCODE = 'OL001',
            DETAIL = format('for another %s s', round(extract(epoch FROM held.lease_until - clock_timestamp()), 1));
    END IF;
    PERFORM outlive.take_lease(held.key, p_worker, p_lease);
    RETURN outlive.picture_of(held.key);
END
$$;

-- Takes the lease of the first open conversation among these that nobody holds, and returns all of it; null if none.
CREATE FUNCTION outlive.claim_conversation(p_among text[], p_worker text, p_lease interval) RETURNS outlive.picture
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    claimed bigint;
BEGIN
    SELECT key INTO claimed FROM outlive.conversations
    WHERE id = ANY (p_among) AND status = 'open'
        AND (lease_until IS NULL OR lease_until <= clock_timestamp())
    ORDER BY key LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED;
    IF claimed IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM outlive.take_lease(claimed, p_worker, p_lease);
    RETURN outlive.picture_of(claimed);
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

-- Appends the turns that are not there yet, in the order given; returns where each is and since when.
CREATE FUNCTION outlive.append_turns(
    p_id text, p_token bigint, p_lease interval,
    p_ids text[], p_roles text[], p_contents text[], p_tokens bigint[], p_dollars numeric[]
) RETURNS TABLE (positions bigint[], created_at timestamptz[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    held outlive.conversations := outlive.hold(p_id, p_token, p_lease);
    known text[];
    reused text;
    added integer;
BEGIN
    SELECT array_agg(t.id), min(t.id) FILTER (WHERE t.role <> n.role OR t.content::text <> n.content)
    INTO known, reused
    FROM unnest(p_ids, p_roles, p_contents) AS n (id, role, content)
    JOIN outlive.turns AS t ON t.conversation = held.key AND t.id = n.id;
    IF reused IS NOT NULL THEN
        RAISE EXCEPTION 'the turn % of the conversation % is there with other content',
            quote_literal(reused), quote_literal(p_id) USING ERRCODE = 'OL002';
    END IF;

    INSERT INTO outlive.turns (conversation, position, id, role, content, tokens, dollars)
    SELECT held.key, held.turn_count - 1 + row_number() OVER (ORDER BY n.place), n.id, n.role, n.content::json,
           n.tokens, n.dollars
    FROM unnest(p_ids, p_roles, p_contents, p_tokens, p_dollars) WITH ORDINALITY
        AS n (id, role, content, tokens, dollars, place)
    WHERE known IS NULL OR n.id <> ALL (known);
    GET DIAGNOSTICS added = ROW_COUNT;

    IF added > 0 THEN
        UPDATE outlive.conversations
        SET turn_count = turn_count + added, status = 'open', updated_at = clock_timestamp()
        WHERE key = held.key;
    END IF;
    RETURN QUERY
        SELECT array_agg(t.position ORDER BY n.place), array_agg(t.created_at ORDER BY n.place)
        FROM unnest(p_ids) WITH ORDINALITY AS n (id, place)
        JOIN outlive.turns AS t ON t.conversation = held.key AND t.id = n.id;
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

-- Says what to do with a tool call: 'run' it (and it is noted as started), or 'replay' the result that is there.
CREATE FUNCTION outlive.start_tool_call(
    p_id text, p_token bigint, p_lease interval,
    p_key text, p_name text, p_arguments text, p_hash bytea, p_attempt uuid, p_rerun boolean
) RETURNS TABLE (decision text, result text, attempts integer, tokens bigint, dollars numeric)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    held outlive.conversations := outlive.hold(p_id, p_token, p_lease);
    noted outlive.tool_calls;
BEGIN
    INSERT INTO outlive.tool_calls AS c (conversation, key, name, arguments, arguments_hash, status, attempt)
    VALUES (held.key, p_key, p_name, p_arguments::json, p_hash, 'started', p_attempt)
    ON CONFLICT (conversation, key) DO NOTHING
    RETURNING c.* INTO noted;
    IF FOUND THEN
        RETURN QUERY SELECT 'run', NULL::text, 1, 0::bigint, 0::numeric;
        RETURN;
    END IF;

    SELECT * INTO STRICT noted FROM outlive.tool_calls WHERE conversation = held.key AND key = p_key;
    IF noted.arguments_hash <> p_hash THEN
        RAISE EXCEPTION 'the tool call % of the conversation % is there with another tool or other arguments',
            quote_literal(p_key), quote_literal(p_id) USING ERRCODE = 'OL002';
    ELSIF noted.status = 'finished' THEN
        RETURN QUERY SELECT 'replay', noted.result::text, noted.attempts, noted.tokens, noted.dollars;
        RETURN;
    ELSIF noted.status = 'started' AND noted.attempt <> p_attempt AND NOT p_rerun THEN
        RAISE EXCEPTION 'the tool call % of the conversation % was started and its end is not known',
            quote_literal(p_key), quote_literal(p_id) USING ERRCODE = 'OL005';
    ELSIF noted.attempt <> p_attempt THEN
        UPDATE outlive.tool_calls AS c
        SET status = 'started', attempt = p_attempt, attempts = c.attempts + 1, error = NULL,
            started_at = clock_timestamp(), finished_at = NULL
        WHERE conversation = held.key AND key = p_key
        RETURNING c.* INTO noted;
    END IF;
    RETURN QUERY SELECT 'run', NULL::text, noted.attempts, 0::bigint, 0::numeric;
END
$$;

-- Notes how a started call ended: its result, or its error. Without an attempt: whichever attempt was the last.
CREATE FUNCTION outlive.end_tool_call(
    p_id text, p_token bigint, p_lease interval,
    p_key text, p_attempt uuid, p_result text, p_error text, p_tokens bigint, p_dollars numeric
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.conversations := outlive.hold(p_id, p_token, p_lease);
    noted outlive.tool_calls;
BEGIN
    UPDATE outlive.tool_calls
    SET status = CASE WHEN p_error IS NULL THEN 'finished' ELSE 'failed' END,
        result = p_result::json, error = p_error, tokens = p_tokens, dollars = p_dollars,
        finished_at = clock_timestamp()
    WHERE conversation = held.key AND key = p_key AND status = 'started' AND attempt = coalesce(p_attempt, attempt);
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO noted FROM outlive.tool_calls WHERE conversation = held.key AND key = p_key;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the conversation % has no tool call %', quote_literal(p_id), quote_literal(p_key)
            USING ERRCODE = 'OL003';
    ELSIF noted.result::text IS DISTINCT FROM p_result OR noted.error IS DISTINCT FROM p_error THEN
        RAISE EXCEPTION 'the tool call % of the conversation % is another attempt''s, or has ended otherwise',
            quote_literal(p_key), quote_literal(p_id) USING ERRCODE = 'OL004';
    END IF;
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
