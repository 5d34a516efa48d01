-- Conversations forked, and carried elsewhere and back.

CREATE TABLE outlive.forks (
    conversation bigint PRIMARY KEY REFERENCES outlive.conversations (key) ON DELETE CASCADE,
    source       bigint REFERENCES outlive.conversations (key) ON DELETE SET NULL,
    turn_count   bigint NOT NULL CHECK (turn_count >= 0)
);

CREATE INDEX forks_source ON outlive.forks (source);

COMMENT ON TABLE outlive.forks IS 'Which conversation holds turns of which other one: it is erased with that one.';

-- Begins a conversation with the turns of another one up to one of them, the state that was the newest then, and the
-- tool calls that had finished. Turns are copied: a shared one would have to be looked for in every reload, and could
-- not be erased with the conversation that it was said in. Said twice, it is done once.
CREATE FUNCTION outlive.fork_conversation(p_id text, p_turn text, p_new text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    source outlive.conversations;
    last_turn outlive.turns;
    made bigint;
    copied bigint;
BEGIN
    SELECT * INTO source FROM outlive.conversations WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no conversation %', quote_literal(p_id) USING ERRCODE = 'OL003';
    END IF;
    SELECT * INTO last_turn FROM outlive.turns
    WHERE conversation = source.key AND CASE WHEN p_turn IS NULL THEN position = source.turn_count - 1 ELSE id = p_turn END;
    IF NOT FOUND AND p_turn IS NOT NULL THEN
        RAISE EXCEPTION 'the conversation % has no turn %', quote_literal(p_id), quote_literal(p_turn)
            USING ERRCODE = 'OL003';
    END IF;
    copied := coalesce(last_turn.position + 1, 0);

    PERFORM outlive.refuse_erased(p_new);
    INSERT INTO outlive.conversations (id, metadata, turn_count) VALUES (p_new, source.metadata, copied)
    ON CONFLICT ON CONSTRAINT conversations_id_key DO NOTHING RETURNING key INTO made;
    IF made IS NULL THEN
        SELECT f.turn_count INTO made FROM outlive.forks AS f JOIN outlive.conversations AS c ON c.key = f.conversation
        WHERE c.id = p_new AND f.source = source.key AND f.turn_count = copied;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is a conversation % that is not this fork', quote_literal(p_new)
                USING ERRCODE = 'OL002';
        END IF;
        RETURN copied;
    END IF;
    INSERT INTO outlive.forks (conversation, source, turn_count) VALUES (made, source.key, copied);
    INSERT INTO outlive.turns (conversation, position, id, role, content, tokens, dollars, created_at)
    SELECT made, position, id, role, content, tokens, dollars, created_at
    FROM outlive.turns WHERE conversation = source.key AND position < copied ORDER BY position;
    WITH kept AS (
        INSERT INTO outlive.checkpoints (conversation, version, turn_count, state, created_at)
        SELECT made, version, turn_count, state, created_at FROM outlive.checkpoints
        WHERE conversation = source.key AND turn_count <= copied ORDER BY version DESC LIMIT 1
        RETURNING version
    )
    UPDATE outlive.conversations SET checkpoint_version = kept.version FROM kept WHERE key = made;
    INSERT INTO outlive.tool_calls (conversation, key, name, arguments, arguments_hash, status, attempt, attempts, result,
                                    error, tokens, dollars, started_at, finished_at)
    SELECT made, key, name, arguments, arguments_hash, status, attempt, attempts, result, error, tokens, dollars,
           started_at, finished_at
    FROM outlive.tool_calls
    WHERE conversation = source.key AND status = 'finished'
        AND (p_turn IS NULL OR finished_at <= last_turn.created_at);
    RETURN copied;
END
$$;

-- Everything of a conversation as one snapshot shows it, an object a row: itself, its turns, tool calls, checkpoints.
CREATE FUNCTION outlive.export_conversation(p_id text) RETURNS TABLE (kind text, body text)
LANGUAGE sql STABLE AS $$
    WITH chosen AS MATERIALIZED (SELECT * FROM outlive.conversations WHERE id = p_id)
    SELECT 'conversation', json_build_object(
        'id', c.id, 'status', c.status, 'metadata', c.metadata,
        'created_at_us', outlive.microseconds(c.created_at), 'updated_at_us', outlive.microseconds(c.updated_at))::text
    FROM chosen AS c
    UNION ALL
    SELECT 'turn', o.body FROM (
        SELECT json_build_object(
            'id', t.id, 'position', t.position, 'role', t.role, 'content', t.content, 'tokens', t.tokens,
            'dollars', t.dollars::text, 'created_at_us', outlive.microseconds(t.created_at))::text AS body
        FROM chosen AS c JOIN outlive.turns AS t ON t.conversation = c.key ORDER BY t.position) AS o
    UNION ALL
    SELECT 'tool_call', o.body FROM (
        SELECT json_build_object(
            'key', f.key, 'name', f.name, 'arguments', f.arguments, 'status', f.status, 'attempts', f.attempts,
            'result', f.result, 'error', f.error, 'tokens', f.tokens, 'dollars', f.dollars::text,
            'started_at_us', outlive.microseconds(f.started_at),
            'finished_at_us', outlive.microseconds(f.finished_at))::text AS body
        FROM chosen AS c JOIN outlive.tool_calls AS f ON f.conversation = c.key ORDER BY f.started_at, f.key) AS o
    UNION ALL
    SELECT 'checkpoint', o.body FROM (
        SELECT json_build_object(
            'version', k.version, 'turn_count', k.turn_count, 'state', k.state,
            'created_at_us', outlive.microseconds(k.created_at))::text AS body
        FROM chosen AS c JOIN outlive.checkpoints AS k ON k.conversation = c.key ORDER BY k.version) AS o
$$;

-- A moment from microseconds since 1970; null gives null.
CREATE FUNCTION outlive.moment(p_microseconds bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT timestamptz '1970-01-01 00:00:00+00' + p_microseconds * interval '1 microsecond'
$$;

-- What makes two conversations the same one, whenever it was said: everything but the moments.
CREATE FUNCTION outlive.likeness(p_key bigint) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(json_build_array(
        (SELECT json_build_array(c.status, c.metadata) FROM outlive.conversations AS c WHERE c.key = p_key),
        (SELECT json_agg(json_build_array(t.id, t.role, t.content, t.tokens, t.dollars) ORDER BY t.position)
         FROM outlive.turns AS t WHERE t.conversation = p_key),
        (SELECT json_agg(json_build_array(f.key, f.name, f.arguments, f.status, f.result, f.error, f.tokens, f.dollars)
                         ORDER BY f.key)
         FROM outlive.tool_calls AS f WHERE f.conversation = p_key),
        (SELECT json_agg(json_build_array(k.version, k.turn_count, k.state) ORDER BY k.version)
         FROM outlive.checkpoints AS k WHERE k.conversation = p_key)
    )::text, 'UTF8'))
$$;

-- Makes a conversation of what was packed for its export.
CREATE FUNCTION outlive.unpack_conversation(p_id text, p_document json, p_hashes bytea[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO outlive.conversations (id, status, metadata, turn_count, checkpoint_version, created_at, updated_at)
    SELECT p_id, h ->> 'status', (h -> 'metadata')::jsonb, json_array_length(p_document -> 'turns'),
           coalesce((SELECT max((k ->> 'version')::bigint) FROM json_array_elements(p_document -> 'checkpoints') AS k), 0),
           coalesce(outlive.moment((h ->> 'created_at_us')::bigint), clock_timestamp()),
           coalesce(outlive.moment((h ->> 'updated_at_us')::bigint), clock_timestamp())
    FROM (SELECT p_document -> 'conversation' AS h) AS n
    RETURNING key INTO made;
    INSERT INTO outlive.turns (conversation, position, id, role, content, tokens, dollars, created_at)
    SELECT made, n.place - 1, t ->> 'id', t ->> 'role', t -> 'content', (t ->> 'tokens')::bigint,
           (t ->> 'dollars')::numeric, coalesce(outlive.moment((t ->> 'created_at_us')::bigint), clock_timestamp())
    FROM json_array_elements(p_document -> 'turns') WITH ORDINALITY AS n (t, place) ORDER BY n.place;
    INSERT INTO outlive.tool_calls (conversation, key, name, arguments, arguments_hash, status, attempt, attempts, result,
                                    error, tokens, dollars, started_at, finished_at)
    SELECT made, f ->> 'key', f ->> 'name', f -> 'arguments', p_hashes[n.place], f ->> 'status', gen_random_uuid(),
           (f ->> 'attempts')::integer, CASE WHEN f ->> 'status' = 'finished' THEN f -> 'result' END, f ->> 'error',
           (f ->> 'tokens')::bigint, (f ->> 'dollars')::numeric, outlive.moment((f ->> 'started_at_us')::bigint),
           outlive.moment((f ->> 'finished_at_us')::bigint)
    FROM json_array_elements(p_document -> 'tool_calls') WITH ORDINALITY AS n (f, place) ORDER BY n.place;
    INSERT INTO outlive.checkpoints (conversation, version, turn_count, state, created_at)
    SELECT made, (k ->> 'version')::bigint, (k ->> 'turn_count')::bigint, k -> 'state',
           outlive.moment((k ->> 'created_at_us')::bigint)
    FROM json_array_elements(p_document -> 'checkpoints') AS k;
    RETURN made;
END
$$;

-- Keeps a conversation that was exported, with all that is in it; whether it is new. One that is there stays if it is
-- the same, and is refused if it is not: the new one is made beside it, compared, and undone.
CREATE FUNCTION outlive.import_conversation(p_id text, p_document text, p_hashes bytea[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    document CONSTANT json := p_document::json;
    held bigint;
    made bigint;
    likeness bytea;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('outlive.import', hashtextextended(p_id, 0)));
    SELECT key INTO held FROM outlive.conversations WHERE id = p_id;
    IF held IS NULL THEN
        PERFORM outlive.refuse_erased(p_id);
        made := outlive.unpack_conversation(p_id, document, p_hashes);
        RETURN true;
    END IF;
    BEGIN
        made := outlive.unpack_conversation('outlive import ' || gen_random_uuid(), document, p_hashes);
        likeness := outlive.likeness(made);
        RAISE EXCEPTION 'compared' USING ERRCODE = 'OL999';
    EXCEPTION WHEN SQLSTATE 'OL999' THEN
        IF likeness IS DISTINCT FROM outlive.likeness(held) THEN
            RAISE EXCEPTION 'the conversation % is there with other content', quote_literal(p_id)
                USING ERRCODE = 'OL002';
        END IF;
    END;
    RETURN false;
END
$$;
