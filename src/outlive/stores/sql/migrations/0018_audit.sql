-- The audit log: streams of rows, each of which holds the hash of the one before and of its own content.
--
-- Rows are linked as they are appended, under the lock of their stream's head: what was acknowledged is chained, and
-- nobody has to seal it later. Writers of one stream wait for each other's commit, those of others don't.
--
-- Only `append_audit` adds rows. It runs with its owner's rights, so that the application's role needs none on the
-- tables but SELECT, can't choose a row's moment or hash, and can't change what is there. The owner's own rights to
-- change rows are taken from it too, so that it does nothing by mistake. It alone erases in the log for a person, and
-- cuts it at its old end: it takes the right for the length of a transaction.
--
-- A row names its actor and its content (subject and details) by seals: hashes of them with a salt that lies beside
-- them. The row's own hash is made of the seals. So the texts can be erased with their salts, and the chain still
-- holds: what was there can't be guessed from a seal without its salt, and can't be altered, as it is gone.

CREATE TABLE outlive.audit (
    tenant       text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    stream       text NOT NULL CHECK (stream <> '' AND length(stream) <= 500),
    position     bigint NOT NULL CHECK (position > 0),
    id           uuid NOT NULL,
    at           timestamptz NOT NULL,
    actor        text NOT NULL CHECK (actor <> '' AND length(actor) <= 500),
    action       text NOT NULL CHECK (action <> '' AND length(action) <= 500),
    subject      text NOT NULL CHECK (length(subject) <= 500),
    details      json NOT NULL,
    previous     bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash         bytea NOT NULL CHECK (octet_length(hash) = 32),
    actor_salt   bytea,
    actor_seal   bytea NOT NULL CHECK (octet_length(actor_seal) = 32),
    content_salt bytea,
    content_seal bytea NOT NULL CHECK (octet_length(content_seal) = 32),
    erased_at    timestamptz,
    PRIMARY KEY (tenant, stream, position),
    UNIQUE (tenant, stream, id)
);

COMMENT ON COLUMN outlive.audit.previous IS 'The hash of the row before; zeros in the first row of a stream.';
COMMENT ON COLUMN outlive.audit.hash IS 'SHA-256 of the canonical form: see outlive.audit_hash.';
COMMENT ON COLUMN outlive.audit.content_seal IS 'Of subject and details, by their salt: see outlive.audit_seal.';
COMMENT ON COLUMN outlive.audit.erased_at IS 'When its content, or its actor too, was erased for a person.';

CREATE TABLE outlive.audit_heads (
    tenant         text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    stream         text NOT NULL,
    position       bigint NOT NULL,
    hash           bytea NOT NULL,
    begin_position bigint NOT NULL DEFAULT 0,
    begin_hash     bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    pruned_at      timestamptz,
    pruned_by      text,
    PRIMARY KEY (tenant, stream)
) WITH (fillfactor = 50); -- each append updates its stream's row

COMMENT ON TABLE outlive.audit_heads IS 'The last row of each stream: without it, a stream cut short would look whole.';
COMMENT ON COLUMN outlive.audit_heads.begin_hash IS
    'The hash of the last row that was removed for its age: what the first one now follows.';

REVOKE UPDATE, DELETE, TRUNCATE ON outlive.audit FROM CURRENT_USER;
REVOKE DELETE, TRUNCATE ON outlive.audit_heads FROM CURRENT_USER;

-- A text with its length in bytes before it, so that no two lists of texts look the same in a row.
CREATE FUNCTION outlive.netstring(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.octet_length(pg_catalog.convert_to(p_text, 'UTF8')) || ':' || p_text || ','
$$;

-- What stands for texts in the hash of a row: nobody who has not the salt can try guesses at it.
CREATE FUNCTION outlive.audit_seal(p_salt bytea, VARIADIC p_texts text[]) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.sha256(pg_catalog.convert_to(
        outlive.netstring(pg_catalog.encode(p_salt, 'hex'))
        || (SELECT pg_catalog.string_agg(outlive.netstring(n.text), '' ORDER BY n.place)
            FROM pg_catalog.unnest(p_texts) WITH ORDINALITY AS n (text, place)),
        'UTF8'))
$$;

-- The hash of a row: of its fields as netstrings, the moment in microseconds since 1970, hashes in hex. The seals stand
-- in place of what they seal.
CREATE FUNCTION outlive.audit_hash(p_row outlive.audit) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.sha256(pg_catalog.convert_to(
        outlive.netstring('outlive audit 2') || outlive.netstring(p_row.tenant) || outlive.netstring(p_row.stream)
        || outlive.netstring(p_row.position::text) || outlive.netstring(p_row.id::text)
        || outlive.netstring((extract(epoch FROM p_row.at) * 1000000)::bigint::text)
        || outlive.netstring(p_row.action) || outlive.netstring(pg_catalog.encode(p_row.actor_seal, 'hex'))
        || outlive.netstring(pg_catalog.encode(p_row.content_seal, 'hex'))
        || outlive.netstring(pg_catalog.encode(p_row.previous, 'hex')),
        'UTF8'))
$$;

-- Appends a row to its stream; the same id with the same content again is the row that is there. One that was erased
-- meanwhile is returned as it is.
CREATE FUNCTION outlive.append_audit(
    p_stream text, p_id uuid, p_actor text, p_action text, p_subject text, p_details text
) RETURNS outlive.audit
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_tenant CONSTANT text := coalesce(current_setting('outlive.tenant', true), '');
    head outlive.audit_heads;
    appended outlive.audit;
BEGIN
    INSERT INTO outlive.audit_heads (tenant, stream, position, hash)
    VALUES (v_tenant, p_stream, 0, decode(repeat('00', 32), 'hex'))
    ON CONFLICT ON CONSTRAINT audit_heads_pkey DO NOTHING;
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
REVOKE EXECUTE ON FUNCTION outlive.append_audit(text, uuid, text, text, text, text) FROM PUBLIC;

-- The owner of the log, where the caller may act as it; null where not.
CREATE FUNCTION outlive.audit_owner() RETURNS name
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class AS c
    WHERE c.oid = 'outlive.audit'::regclass AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
$$;

-- Takes a right on the log; whoever wants one meanwhile waits until this transaction ends.
CREATE FUNCTION outlive.take_audit_right(p_right text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('outlive.audit rights', 0));
    EXECUTE format('GRANT %s ON outlive.audit TO %I', p_right, outlive.audit_owner());
END
$$;

-- Gives a right on the log back.
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
