-- What is kept of a person can be erased everywhere, the audit log included, and the log can be cut at its old end.
--
-- A row of the log names its actor and its content (subject and details) by seals: hashes of them with a salt that lies
-- beside them. The row's own hash is made of the seals. So the texts can be erased with their salts, and the chain
-- still holds: what was there can't be guessed from a seal without its salt, and can't be altered, as it is gone.
-- Rows that were written before have no seals; once erased, only their place in the chain is proved.
--
-- The owner alone erases in the log and cuts it. It takes the right for the length of a transaction.

ALTER TABLE outlive.audit
    ADD COLUMN actor_salt   bytea,
    ADD COLUMN actor_seal   bytea,
    ADD COLUMN content_salt bytea,
    ADD COLUMN content_seal bytea,
    ADD COLUMN erased_at    timestamptz;

COMMENT ON COLUMN outlive.audit.content_seal IS 'Of subject and details, by their salt: see outlive.audit_seal.';
COMMENT ON COLUMN outlive.audit.erased_at IS 'When its content, or its actor too, was erased for a person.';

ALTER TABLE outlive.audit_heads
    ADD COLUMN begin_position bigint NOT NULL DEFAULT 0,
    ADD COLUMN begin_hash     bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    ADD COLUMN pruned_at      timestamptz,
    ADD COLUMN pruned_by      text;

COMMENT ON COLUMN outlive.audit_heads.begin_hash IS 'The hash of the last row that was removed for its age: what the first one now follows.';

CREATE FUNCTION outlive.audit_seal(p_salt bytea, VARIADIC p_texts text[]) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.sha256(pg_catalog.convert_to(
        outlive.netstring(pg_catalog.encode(p_salt, 'hex'))
        || (SELECT pg_catalog.string_agg(outlive.netstring(n.text), '' ORDER BY n.place)
            FROM pg_catalog.unnest(p_texts) WITH ORDINALITY AS n (text, place)),
        'UTF8'))
$$;

-- As before for a row without seals; else of its seals in place of what they seal.
CREATE OR REPLACE FUNCTION outlive.audit_hash(p_row outlive.audit) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.sha256(pg_catalog.convert_to(
        outlive.netstring(CASE WHEN p_row.content_seal IS NULL THEN 'outlive audit 1' ELSE 'outlive audit 2' END)
        || outlive.netstring(p_row.tenant) || outlive.netstring(p_row.stream)
        || outlive.netstring(p_row.position::text) || outlive.netstring(p_row.id::text)
        || outlive.netstring((extract(epoch FROM p_row.at) * 1000000)::bigint::text)
        || CASE WHEN p_row.content_seal IS NULL
            THEN outlive.netstring(p_row.actor) || outlive.netstring(p_row.action)
                || outlive.netstring(p_row.subject) || outlive.netstring(p_row.details::text)
            ELSE outlive.netstring(p_row.action) || outlive.netstring(pg_catalog.encode(p_row.actor_seal, 'hex'))
                || outlive.netstring(pg_catalog.encode(p_row.content_seal, 'hex')) END
        || outlive.netstring(pg_catalog.encode(p_row.previous, 'hex')),
        'UTF8'))
$$;

-- As before, and with seals; an entry that was erased meanwhile is returned as it is.
CREATE OR REPLACE FUNCTION outlive.append_audit(
    p_stream text, p_id uuid, p_actor text, p_action text, p_subject text, p_details text
) RETURNS outlive.audit
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_tenant CONSTANT text := coalesce(current_setting('outlive.tenant', true), '');
    head outlive.audit_heads;
    appended outlive.audit;
BEGIN
    INSERT INTO outlive.audit_heads (tenant, stream, position, hash)
    VALUES (v_tenant, p_stream, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT (tenant, stream) DO NOTHING;
    SELECT * INTO STRICT head FROM outlive.audit_heads
    WHERE tenant = v_tenant AND stream = p_stream FOR NO KEY UPDATE;
    SELECT * INTO appended FROM outlive.audit WHERE tenant = v_tenant AND stream = p_stream AND id = p_id;
    IF FOUND THEN
        IF appended.erased_at IS NULL AND (appended.actor, appended.action, appended.subject, appended.details::text)
            IS DISTINCT FROM (p_actor, p_action, p_subject, p_details) THEN
            RAISE EXCEPTION 'the audit entry % is there with other content', p_id USING ERRCODE = 'OL002';
        END IF;
        RETURN appended;
    END IF;
    appended.tenant := v_tenant;
    appended.stream := p_stream;
    appended.position := head.position + 1;
    appended.id := p_id;
    appended.at := clock_timestamp();
    appended.actor := p_actor;
    appended.action := p_action;
    appended.subject := p_subject;
    appended.details := p_details::json;
    appended.previous := head.hash;
    appended.actor_salt := uuid_send(gen_random_uuid());
    appended.actor_seal := outlive.audit_seal(appended.actor_salt, p_actor);
    appended.content_salt := uuid_send(gen_random_uuid());
    appended.content_seal := outlive.audit_seal(appended.content_salt, p_subject, appended.details::text);
    appended.hash := outlive.audit_hash(appended);
    INSERT INTO outlive.audit (tenant, stream, position, id, at, actor, action, subject, details, previous, hash,
                               actor_salt, actor_seal, content_salt, content_seal)
    SELECT appended.tenant, appended.stream, appended.position, appended.id, appended.at, appended.actor,
           appended.action, appended.subject, appended.details, appended.previous, appended.hash,
           appended.actor_salt, appended.actor_seal, appended.content_salt, appended.content_seal;
    UPDATE outlive.audit_heads SET position = appended.position, hash = appended.hash
    WHERE tenant = v_tenant AND stream = p_stream;
    RETURN appended;
END
$$;

-- The owner of the log, where the caller may act as it; null where not.
CREATE FUNCTION outlive.audit_owner() RETURNS name
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class AS c
    WHERE c.oid = 'outlive.audit'::regclass AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
$$;

-- Takes a right on the log, or gives it back; whoever wants to do so meanwhile waits until this transaction ends.
CREATE FUNCTION outlive.take_audit_right(p_right text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('outlive.audit rights', 0));
    EXECUTE format('GRANT %s ON outlive.audit TO %I', p_right, outlive.audit_owner());
END
$$;

CREATE FUNCTION outlive.give_audit_right_back(p_right text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    EXECUTE format('REVOKE %s ON outlive.audit FROM %I', p_right, outlive.audit_owner());
END
$$;

-- Erases what the log's entries about these subjects say, and those that the actor made, with the actor's name; each
-- stream that this changes gets an entry that says so. Returns how many it erased and how many remain: all of them, if
-- the caller may not act as the log's owner.
CREATE FUNCTION outlive.erase_audit(p_subjects text[], p_actor text, OUT erased bigint, OUT remaining bigint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    touched record;
BEGIN
    SELECT count(*) INTO remaining FROM outlive.audit AS a WHERE a.subject = ANY (p_subjects) OR a.actor = p_actor;
    erased := 0;
    IF remaining = 0 OR outlive.audit_owner() IS NULL THEN
        RETURN;
    END IF;
    PERFORM outlive.take_audit_right('UPDATE');
    FOR touched IN
        WITH gone AS (
            UPDATE outlive.audit AS a SET subject = '', details = 'null', content_salt = NULL,
                actor = CASE WHEN a.actor = p_actor THEN 'erased' ELSE a.actor END,
                actor_salt = CASE WHEN a.actor = p_actor THEN NULL ELSE a.actor_salt END,
                erased_at = clock_timestamp()
            WHERE a.subject = ANY (p_subjects) OR a.actor = p_actor
            RETURNING a.tenant, a.stream
        )
        SELECT g.tenant, g.stream, count(*) AS entries FROM gone AS g GROUP BY g.tenant, g.stream ORDER BY 1, 2
    LOOP
        erased := erased + touched.entries;
        IF touched.tenant = coalesce(current_setting('outlive.tenant', true), '') THEN
            PERFORM outlive.append_audit(touched.stream, gen_random_uuid(), current_user::text, 'audit.erased', '',
                                         json_build_object('entries', touched.entries)::text);
        END IF;
    END LOOP;
    PERFORM outlive.give_audit_right_back('UPDATE');
    remaining := 0;
END
$$;

-- Removes the rows of a stream up to one of them, which is told by its hash, and remembers that hash as what the next
-- row follows. Said twice, it is done once. Returns how many rows there were.
CREATE FUNCTION outlive.prune_audit(p_tenant text, p_stream text, p_position bigint, p_hash bytea) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head outlive.audit_heads;
    gone bigint;
BEGIN
    IF outlive.audit_owner() IS NULL THEN
        RAISE EXCEPTION 'only the owner of the audit log may remove entries of it' USING ERRCODE = 'OL021';
    END IF;
    SELECT * INTO STRICT head FROM outlive.audit_heads
    WHERE tenant = p_tenant AND stream = p_stream FOR NO KEY UPDATE;
    IF head.begin_position >= p_position THEN
        RETURN 0;
    ELSIF NOT EXISTS (SELECT FROM outlive.audit
                      WHERE tenant = p_tenant AND stream = p_stream AND position = p_position AND hash = p_hash) THEN
        RAISE EXCEPTION 'row % of the stream % is not the one that was verified', p_position, quote_literal(p_stream)
            USING ERRCODE = 'OL004';
    END IF;
    PERFORM outlive.take_audit_right('DELETE');
    DELETE FROM outlive.audit WHERE tenant = p_tenant AND stream = p_stream AND position <= p_position;
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM outlive.give_audit_right_back('DELETE');
    UPDATE outlive.audit_heads
    SET begin_position = p_position, begin_hash = p_hash, pruned_at = clock_timestamp(), pruned_by = current_user
    WHERE tenant = p_tenant AND stream = p_stream;
    RETURN gone;
END
$$;

-- A cached answer may belong to somebody: it is erased with them.
ALTER TABLE outlive.llm_cache ADD COLUMN subject text CHECK (subject <> '' AND length(subject) <= 500);

COMMENT ON COLUMN outlive.llm_cache.subject IS 'Whom the request was about, if its caller said so.';

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

-- As before, and: threads of graphs whose metadata names the subject, what `delete_personal` finds, and the content of
-- the audit log. What remains there, for want of the right to it, is returned with `remains`.
DROP FUNCTION outlive.erase(uuid, text[], text, interval);
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
        ON CONFLICT (name_hash) DO UPDATE SET refused_until = excluded.refused_until;
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
        ON CONFLICT (name_hash) DO NOTHING;
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
    IF json_typeof(report) = 'object' THEN -- as it was written before this migration
        RETURN QUERY SELECT e.key, e.value::bigint, false FROM json_each_text(report) AS e (key, value);
    ELSE
        RETURN QUERY SELECT e.value ->> 0, (e.value ->> 1)::bigint, (e.value ->> 2)::boolean
        FROM json_array_elements(report) AS e (value);
    END IF;
END
$$;
