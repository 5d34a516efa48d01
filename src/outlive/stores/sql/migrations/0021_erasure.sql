-- What is erased for a person, in every store, and conversations forgotten by age.

CREATE TABLE outlive.erasure_reports (
    attempt   uuid PRIMARY KEY,
    rows      json NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE outlive.erasure_reports IS
    'How many rows of each table an erasure took, so that a retry after a lost answer can say so; nothing of what was in them.';

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

-- Deletes what other stores keep of a person in their own words: tasks whose payload, and retrieved documents whose
-- metadata, name them as the subject, or that have their name for a source; items with their name in the namespace.
CREATE FUNCTION outlive.delete_personal(p_subject text) RETURNS TABLE (name text, rows bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    contents bigint[];
    gone bigint;
BEGIN
    DELETE FROM outlive.tasks WHERE payload ->> 'subject' = p_subject;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN QUERY SELECT 'tasks', gone;
    DELETE FROM outlive.items WHERE ns && (ARRAY[p_subject] COLLATE "C");
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN QUERY SELECT 'items', gone;
    WITH away AS (
        DELETE FROM outlive.context_documents
        WHERE source = p_subject OR metadata @> jsonb_build_object('subject', p_subject) RETURNING content
    )
    SELECT coalesce(array_agg(content), '{}') INTO contents FROM away;
    RETURN QUERY SELECT 'context_documents', cardinality(contents)::bigint;
    PERFORM outlive.forget_contents(contents);
    RETURN QUERY SELECT 'context_contents', count(*)
    FROM (SELECT DISTINCT u.key FROM unnest(contents) AS u (key)) AS c
    WHERE NOT EXISTS (SELECT FROM outlive.context_contents AS k WHERE k.key = c.key);
END
$$;

-- Erases conversations by their ids and by the subject that their metadata names, their forks, graphs' threads whose
-- metadata names the subject, all that is kept elsewhere under these names, and the content of the audit log; and
-- leaves tombstones, so that a write that comes late brings none of them back. Returns the number of rows of each
-- table; what remains in the audit log, for want of the right to it, with `remains`. The same attempt, said twice, is
-- done once and gives the same answer.
CREATE FUNCTION outlive.erase(p_attempt uuid, p_ids text[], p_subject text, p_refuse interval)
RETURNS TABLE (name text, rows bigint, remains boolean)
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
        ON CONFLICT ON CONSTRAINT erasures_pkey DO UPDATE SET refused_until = excluded.refused_until;
        WITH RECURSIVE found AS (
            SELECT key FROM outlive.conversations
            WHERE id = ANY (p_ids)
                OR p_subject IS NOT NULL AND metadata @> jsonb_build_object('subject', p_subject)
            UNION
            SELECT f.conversation FROM found JOIN outlive.forks AS f ON f.source = found.key
        )
        SELECT coalesce(array_agg(c.key), '{}'), coalesce(array_agg(c.id), '{}') || p_ids INTO keys, ids
        FROM outlive.conversations AS c WHERE c.key IN (SELECT found.key FROM found);
        IF p_subject IS NOT NULL THEN
            SELECT coalesce(array_agg(s.id), '{}') || ids INTO ids FROM outlive.object_scopes AS s
            WHERE s.key IN (SELECT g.scope FROM outlive.graph_checkpoints AS g
                            WHERE g.metadata @> jsonb_build_object('subject', p_subject)
                                OR g.metadata @> jsonb_build_object('user_id', p_subject));
        END IF;
        INSERT INTO outlive.erasures (name_hash, refused_until)
        SELECT DISTINCT sha256(convert_to(n.id, 'UTF8')), clock_timestamp() + p_refuse FROM unnest(ids) AS n (id)
        ON CONFLICT ON CONSTRAINT erasures_pkey DO NOTHING;
        SELECT json_agg(json_build_array(e.name, e.rows, e.remains)) INTO report FROM (
            SELECT g.name, sum(g.rows) AS rows, g.remains FROM (
                SELECT d.name, d.rows, false AS remains FROM outlive.delete_conversations(keys) AS d
                UNION ALL SELECT d.name, d.rows, false FROM outlive.delete_framework_state(ids, p_subject) AS d
                UNION ALL SELECT d.name, d.rows, false
                    FROM outlive.delete_subjects(array_remove(ids || p_subject, NULL)) AS d
                UNION ALL SELECT d.name, d.rows, false FROM outlive.delete_personal(p_subject) AS d
                UNION ALL SELECT 'audit', v.rows, v.remains
                    FROM outlive.erase_audit(array_remove(ids || p_subject, NULL), p_subject) AS a
                    CROSS JOIN LATERAL (VALUES (a.erased, false), (a.remaining, true)) AS v (rows, remains)
            ) AS g GROUP BY g.name, g.remains ORDER BY g.name
        ) AS e WHERE e.rows > 0;
        INSERT INTO outlive.erasure_reports (attempt, rows) VALUES (p_attempt, coalesce(report, '[]'));
    END IF;
    RETURN QUERY SELECT e.value ->> 0, (e.value ->> 1)::bigint, (e.value ->> 2)::boolean
    FROM json_array_elements(report) AS e (value);
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
