-- The audit log: streams of rows, each of which holds the hash of the one before and of its own content.
--
-- Rows are linked as they are appended, under the lock of their stream's head: what was acknowledged is chained, and
-- nobody has to seal it later. Writers of one stream wait for each other's commit, those of others don't.
--
-- Only `append_audit` writes here. It runs with its owner's rights, so that the application's role needs none on the
-- tables but SELECT, can't choose a row's moment or hash, and can't change what is there. The owner's own rights to
-- change rows are taken from it too: it could take them back, but does nothing by mistake.

CREATE TABLE outlive.audit (
    tenant   text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    stream   text NOT NULL CHECK (stream <> '' AND length(stream) <= 500),
    position bigint NOT NULL CHECK (position > 0),
    id       uuid NOT NULL,
    at       timestamptz NOT NULL,
    actor    text NOT NULL CHECK (actor <> '' AND length(actor) <= 500),
    action   text NOT NULL CHECK (action <> '' AND length(action) <= 500),
    subject  text NOT NULL CHECK (length(subject) <= 500),
    details  json NOT NULL,
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash     bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant, stream, position),
    UNIQUE (tenant, stream, id)
);

COMMENT ON COLUMN outlive.audit.previous IS 'The hash of the row before; zeros in the first row of a stream.';
COMMENT ON COLUMN outlive.audit.hash IS 'SHA-256 of the canonical form: see outlive.audit_hash.';

CREATE TABLE outlive.audit_heads (
    tenant   text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    stream   text NOT NULL,
    position bigint NOT NULL,
    hash     bytea NOT NULL,
    PRIMARY KEY (tenant, stream)
) WITH (fillfactor = 50); -- each append updates its stream's row

COMMENT ON TABLE outlive.audit_heads IS 'The last row of each stream: without it, a stream cut short would look whole.';

-- A text with its length in bytes before it, so that no two lists of texts look the same in a row.
CREATE FUNCTION outlive.netstring(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.octet_length(pg_catalog.convert_to(p_text, 'UTF8')) || ':' || p_text || ','
$$;

-- The hash of a row: of its fields as netstrings, the moment in microseconds since 1970, the previous hash in hex.
CREATE FUNCTION outlive.audit_hash(p_row outlive.audit) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.sha256(pg_catalog.convert_to(
        outlive.netstring('outlive audit 1') || outlive.netstring(p_row.tenant) || outlive.netstring(p_row.stream)
        || outlive.netstring(p_row.position::text) || outlive.netstring(p_row.id::text)
        || outlive.netstring((extract(epoch FROM p_row.at) * 1000000)::bigint::text)
        || outlive.netstring(p_row.actor) || outlive.netstring(p_row.action) || outlive.netstring(p_row.subject)
        || outlive.netstring(p_row.details::text) || outlive.netstring(pg_catalog.encode(p_row.previous, 'hex')),
        'UTF8'))
$$;

-- Appends a row to its stream; the same id with the same content again is the row that is there.
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
    VALUES (v_tenant, p_stream, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT (tenant, stream) DO NOTHING;
    SELECT * INTO STRICT head FROM outlive.audit_heads
    WHERE tenant = v_tenant AND stream = p_stream FOR NO KEY UPDATE;
    SELECT * INTO appended FROM outlive.audit WHERE tenant = v_tenant AND stream = p_stream AND id = p_id;
    IF FOUND THEN
        IF (appended.actor, appended.action, appended.subject, appended.details::text)
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
    appended.hash := outlive.audit_hash(appended);
    INSERT INTO outlive.audit (tenant, stream, position, id, at, actor, action, subject, details, previous, hash)
    SELECT appended.tenant, appended.stream, appended.position, appended.id, appended.at, appended.actor,
           appended.action, appended.subject, appended.details, appended.previous, appended.hash;
    UPDATE outlive.audit_heads SET position = appended.position, hash = appended.hash
    WHERE tenant = v_tenant AND stream = p_stream;
    RETURN appended;
END
$$;

REVOKE EXECUTE ON FUNCTION outlive.append_audit(text, uuid, text, text, text, text) FROM PUBLIC;
REVOKE UPDATE, DELETE, TRUNCATE ON outlive.audit FROM CURRENT_USER;
REVOKE DELETE, TRUNCATE ON outlive.audit_heads FROM CURRENT_USER;
