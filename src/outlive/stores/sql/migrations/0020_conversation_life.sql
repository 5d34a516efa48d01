-- The life of conversations: forked, carried elsewhere and back, erased for a person, forgotten by age.

CREATE TABLE outlive.forks (
    conversation bigint PRIMARY KEY REFERENCES outlive.conversations (key) ON DELETE CASCADE,
    source       bigint REFERENCES outlive.conversations (key) ON DELETE SET NULL,
    turn_count   bigint NOT NULL CHECK (turn_count >= 0)
);

CREATE INDEX forks_source ON outlive.forks (source);

COMMENT ON TABLE outlive.forks IS 'Which conversation holds turns of which other one: it is erased with that one.';

CREATE TABLE outlive.erasure_reports (
    attempt   uuid PRIMARY KEY,
    rows      json NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE outlive.erasure_reports IS
    'How many rows of each table an erasure took, so that a retry after a lost answer can say so; nothing of what was in them.';

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
    ON CONFLICT (id) DO NOTHING RETURNING key INTO made;
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

-- Deletes conversations with everything that refers to them, and counts the rows of each table. Which tables those are
-- is asked of the catalog: one that is made later is not forgotten.
CREATE FUNCTION outlive.delete_conversations(p_keys bigint[]) RETURNS TABLE (name text, rows bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    referring record;
    gone bigint;
BEGIN
    PERFORM 1 FROM outlive.conversations WHERE key = ANY (p_keys) ORDER BY key FOR UPDATE;
    FOR referring IN
        SELECT r.relname, a.attname
        FROM pg_catalog.pg_constraint AS c
        JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.confrelid = 'outlive.conversations'::regclass AND c.contype = 'f' AND c.confdeltype = 'c'
            AND c.conparentid = 0
        ORDER BY r.relname
    LOOP
        EXECUTE format('DELETE FROM outlive.%I WHERE %I = ANY ($1)', referring.relname, referring.attname) USING p_keys;
        GET DIAGNOSTICS gone = ROW_COUNT;
        RETURN QUERY SELECT referring.relname::text, gone;
    END LOOP;
    DELETE FROM outlive.conversations WHERE key = ANY (p_keys);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN QUERY SELECT 'conversations', gone;
END
$$;

-- Deletes what tables keep by `subject`: all that have such a column, but the audit log, which is append-only.
CREATE FUNCTION outlive.delete_subjects(p_subjects text[]) RETURNS TABLE (name text, rows bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    keeping name;
    gone bigint;
BEGIN
    FOR keeping IN
        SELECT r.relname FROM pg_catalog.pg_class AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
        WHERE r.relnamespace = 'outlive'::regnamespace AND r.relkind IN ('r', 'p') AND NOT r.relispartition
            AND a.attname = 'subject' AND NOT a.attisdropped AND r.relname <> 'audit'
        ORDER BY r.relname -- a table of versions comes before the one that they refer to
    LOOP
        EXECUTE format('DELETE FROM outlive.%I WHERE subject = ANY ($1)', keeping) USING p_subjects;
        GET DIAGNOSTICS gone = ROW_COUNT;
        RETURN QUERY SELECT keeping::text, gone;
    END LOOP;
END
$$;

-- Deletes what frameworks keep under these names, or for this subject, and counts the rows of each table.
CREATE FUNCTION outlive.delete_framework_state(p_ids text[], p_subject text) RETURNS TABLE (name text, rows bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    history record;
    entries bigint[];
    scopes bigint[];
    sessions bigint[];
    gone bigint := 0;
BEGIN
    SELECT array_agg(r.key) INTO entries FROM (
        WITH RECURSIVE reached AS (
            SELECT e.key FROM outlive.histories AS h CROSS JOIN LATERAL unnest(h.head || h.branches) AS e (key)
            WHERE h.id = ANY (p_ids) OR h.scope = p_subject
            UNION
            SELECT e.parent FROM reached JOIN outlive.history_entries AS e ON e.key = reached.key
        )
        SELECT reached.key FROM reached WHERE reached.key IS NOT NULL
    ) AS r;
    FOR history IN
        SELECT h.id, h.revision FROM outlive.histories AS h WHERE h.id = ANY (p_ids) OR h.scope = p_subject
        ORDER BY h.key FOR UPDATE
    LOOP
        PERFORM outlive.delete_history(history.id, history.revision);
        gone := gone + 1;
    END LOOP;
    RETURN QUERY SELECT 'histories', gone;
    RETURN QUERY SELECT 'history_entries', coalesce(cardinality(entries), 0)
        - (SELECT count(*) FROM outlive.history_entries AS e WHERE e.key = ANY (entries));

    SELECT coalesce(array_agg(s.key), '{}') INTO sessions FROM (
        SELECT key FROM outlive.app_sessions WHERE id = ANY (p_ids) OR user_id = p_subject ORDER BY key FOR UPDATE
    ) AS s;
    DELETE FROM outlive.app_session_events WHERE session = ANY (sessions);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN QUERY SELECT 'app_session_events', gone;
    DELETE FROM outlive.app_sessions WHERE key = ANY (sessions);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN QUERY SELECT 'app_sessions', gone;
    DELETE FROM outlive.app_states WHERE user_id = p_subject;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN QUERY SELECT 'app_states', gone;

    SELECT coalesce(array_agg(outlive.emptied_scope(s.kind, s.id)), '{}') INTO scopes FROM (
        SELECT kind, id FROM outlive.object_scopes WHERE id = ANY (p_ids || p_subject) ORDER BY key
    ) AS s;
    FOREACH name IN ARRAY ARRAY['agent_states', 'graph_checkpoints', 'graph_writes', 'objects'] LOOP
        EXECUTE format('DELETE FROM outlive.%I WHERE scope = ANY ($1)', name) USING scopes;
        GET DIAGNOSTICS gone = ROW_COUNT;
        RETURN QUERY SELECT name, gone;
    END LOOP;
    DELETE FROM outlive.object_scopes WHERE key = ANY (scopes);
END
$$;

-- Erases conversations by their ids and by the subject that their metadata names, their forks, and all that is kept
-- elsewhere under these names; and leaves tombstones, so that a write that comes late brings none of them back.
-- Returns the number of rows of each table. The same attempt, said twice, is done once and gives the same answer.
CREATE FUNCTION outlive.erase(p_attempt uuid, p_ids text[], p_subject text, p_refuse interval)
RETURNS TABLE (name text, rows bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    report json;
    keys bigint[];
    ids text[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('outlive.erase ' || p_attempt, 0));
    SELECT r.rows INTO report FROM outlive.erasure_reports AS r WHERE r.attempt = p_attempt;
    IF report IS NULL THEN
        INSERT INTO outlive.erasures (name_hash, refused_until)
        SELECT DISTINCT sha256(convert_to(n.id, 'UTF8')), clock_timestamp() + p_refuse FROM unnest(p_ids) AS n (id)
        ON CONFLICT (name_hash) DO UPDATE SET refused_until = excluded.refused_until;
        WITH RECURSIVE found AS (
            SELECT key FROM outlive.conversations
            WHERE id = ANY (p_ids) OR metadata @> jsonb_build_object('subject', p_subject)
            UNION
            SELECT f.conversation FROM found JOIN outlive.forks AS f ON f.source = found.key
        )
        SELECT coalesce(array_agg(c.key), '{}'), coalesce(array_agg(c.id), '{}') || p_ids INTO keys, ids
        FROM outlive.conversations AS c WHERE c.key IN (SELECT found.key FROM found);
        INSERT INTO outlive.erasures (name_hash, refused_until)
        SELECT DISTINCT sha256(convert_to(n.id, 'UTF8')), clock_timestamp() + p_refuse FROM unnest(ids) AS n (id)
        ON CONFLICT (name_hash) DO NOTHING;
        SELECT json_object_agg(e.name, e.rows) INTO report FROM (
            SELECT d.name, d.rows FROM outlive.delete_conversations(keys) AS d
            UNION ALL SELECT d.name, d.rows FROM outlive.delete_framework_state(ids, p_subject) AS d
            UNION ALL SELECT d.name, d.rows FROM outlive.delete_subjects(array_remove(ids || p_subject, NULL)) AS d
        ) AS e WHERE e.rows > 0;
        INSERT INTO outlive.erasure_reports (attempt, rows) VALUES (p_attempt, coalesce(report, '{}'));
    END IF;
    RETURN QUERY SELECT e.key, e.value::bigint FROM json_each_text(report) AS e (key, value) ORDER BY e.key;
END
$$;

-- Forgets conversations that were last changed before a moment and that nobody holds: looks at no more than p_window,
-- from a key on, and deletes no more than p_batch. Returns how many, with how many turns, and the key to go on from,
-- null at the end. One that somebody is writing to right now is left alone.
CREATE FUNCTION outlive.forget_conversations(
    p_before timestamptz, p_after bigint, p_batch integer, p_window integer, p_dry boolean
) RETURNS TABLE (conversations bigint, turns bigint, next bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    old bigint[];
    looked_at bigint;
    seen bigint;
BEGIN
    SELECT max(w.key), count(*) INTO looked_at, seen FROM (
        SELECT key FROM outlive.conversations WHERE key > p_after ORDER BY key LIMIT p_window
    ) AS w;
    SELECT coalesce(array_agg(o.key), '{}'), coalesce(sum(o.turn_count), 0) INTO old, turns FROM (
        SELECT c.key, c.turn_count FROM outlive.conversations AS c
        WHERE c.key > p_after AND c.key <= looked_at AND c.updated_at < p_before
            AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
        ORDER BY c.key LIMIT p_batch FOR UPDATE SKIP LOCKED
    ) AS o;
    conversations := cardinality(old);
    next := CASE WHEN conversations = p_batch THEN old[p_batch] WHEN seen = p_window THEN looked_at END;
    IF NOT p_dry THEN
        PERFORM outlive.delete_conversations(old);
        IF next IS NULL THEN
            DELETE FROM outlive.erasures WHERE refused_until < clock_timestamp();
            DELETE FROM outlive.erasure_reports WHERE erased_at < clock_timestamp() - interval '30 days';
        END IF;
    END IF;
    RETURN NEXT;
END
$$;
