-- Versioned state with structural sharing. A version names the objects that it consists of; an object is named by its
-- content, is written once and is never changed. What two versions have in common is stored once.
--
-- An object is a value as the writer serialized it, or a piece of a list: some elements, and the name of the piece
-- before it. So a list that grew by one element is one new piece.

CREATE TABLE outlive.object_scopes (
    key  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    id   text NOT NULL,
    UNIQUE (kind, id)
);

COMMENT ON TABLE outlive.object_scopes IS
    'Within what objects are shared, and with what they are erased: a thread of a graph, the state of an agent.';

-- No foreign keys here: writers hold the lock of their scope, and whoever deletes holds it alone.
CREATE TABLE outlive.objects (
    scope   bigint NOT NULL,
    digest  uuid NOT NULL,
    type    text COLLATE "C",
    content bytea,
    base    uuid,
    parts   uuid[],
    PRIMARY KEY (scope, digest)
);

COMMENT ON COLUMN outlive.objects.type IS 'How the content is serialized; null for a piece of a list.';
COMMENT ON COLUMN outlive.objects.content IS 'The value; of a piece of a list, how its elements lie if not all are parts.';
COMMENT ON COLUMN outlive.objects.base IS 'The piece of the list that this one follows.';
COMMENT ON COLUMN outlive.objects.parts IS 'The objects among the elements of a piece of a list.';

CREATE TABLE outlive.graph_checkpoints (
    scope    bigint NOT NULL,
    ns       text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    parent   text COLLATE "C",
    body     json NOT NULL,
    metadata jsonb NOT NULL,
    refs     uuid[] NOT NULL,
    PRIMARY KEY (scope, ns, id)
);

CREATE INDEX graph_checkpoints_run ON outlive.graph_checkpoints ((metadata ->> 'run_id')) WHERE metadata ? 'run_id';

CREATE TABLE outlive.graph_writes (
    scope      bigint NOT NULL,
    ns         text COLLATE "C" NOT NULL,
    checkpoint text COLLATE "C" NOT NULL,
    task       text COLLATE "C" NOT NULL,
    place      integer NOT NULL,
    path       text COLLATE "C" NOT NULL,
    channel    text COLLATE "C" NOT NULL,
    value      json NOT NULL,
    refs       uuid[] NOT NULL,
    PRIMARY KEY (scope, ns, checkpoint, task, place)
);

COMMENT ON TABLE outlive.graph_writes IS 'What tasks wrote after a checkpoint; it may be stored before that one is.';

CREATE TABLE outlive.agent_states (
    scope    bigint NOT NULL,
    version  bigint NOT NULL CHECK (version > 0),
    attempt  uuid NOT NULL,
    body     json NOT NULL,
    refs     uuid[] NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, version)
);

COMMENT ON COLUMN outlive.agent_states.attempt IS 'Tells a save that is said again from another one.';

-- What the versions of a scope name.
CREATE FUNCTION outlive.scope_roots(p_scope bigint) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    SELECT r.digest FROM outlive.graph_checkpoints AS c CROSS JOIN LATERAL unnest(c.refs) AS r (digest)
    WHERE c.scope = p_scope
    UNION ALL
    SELECT r.digest FROM outlive.graph_writes AS w CROSS JOIN LATERAL unnest(w.refs) AS r (digest)
    WHERE w.scope = p_scope
    UNION ALL
    SELECT r.digest FROM outlive.agent_states AS a CROSS JOIN LATERAL unnest(a.refs) AS r (digest)
    WHERE a.scope = p_scope
$$;

-- The lock of a scope: shared by those who write into it, taken alone by those who delete from it.
CREATE FUNCTION outlive.scope_lock(p_scope bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtextextended('outlive.object_scopes', p_scope) $$;

-- The scope, made if it isn't there, locked for writing.
CREATE FUNCTION outlive.written_scope(p_kind text, p_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    found_key bigint;
BEGIN
    FOR attempt IN 1 .. 100 LOOP
        SELECT key INTO found_key FROM outlive.object_scopes WHERE kind = p_kind AND id = p_id;
        IF found_key IS NULL THEN
            INSERT INTO outlive.object_scopes (kind, id) VALUES (p_kind, p_id) ON CONFLICT (kind, id) DO NOTHING;
        ELSE
            PERFORM pg_advisory_xact_lock_shared(outlive.scope_lock(found_key));
            -- A new snapshot: whoever had the lock may have deleted it.
            IF EXISTS (SELECT FROM outlive.object_scopes WHERE key = found_key) THEN
                RETURN found_key;
            END IF;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the state of % is deleted again and again', quote_literal(p_id) USING ERRCODE = 'OL004';
END
$$;

-- The scope, locked for deleting; null if it isn't there.
CREATE FUNCTION outlive.emptied_scope(p_kind text, p_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    found_key bigint;
BEGIN
    SELECT key INTO found_key FROM outlive.object_scopes WHERE kind = p_kind AND id = p_id;
    IF found_key IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(outlive.scope_lock(found_key));
    END IF;
    RETURN (SELECT key FROM outlive.object_scopes WHERE key = found_key);
END
$$;

-- Keeps objects, and makes sure that those which the writer believes to be here are here.
CREATE FUNCTION outlive.keep_objects(
    p_scope bigint, p_digests uuid[], p_types text[], p_contents bytea[], p_bases uuid[], p_parts text[],
    p_believed uuid[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF cardinality(p_digests) > 0 THEN
        INSERT INTO outlive.objects (scope, digest, type, content, base, parts)
        SELECT p_scope, n.digest, n.type, n.content, n.base, n.parts::uuid[]
        FROM unnest(p_digests, p_types, p_contents, p_bases, p_parts) AS n (digest, type, content, base, parts)
        ON CONFLICT (scope, digest) DO NOTHING;
    END IF;
    IF EXISTS (
        SELECT FROM unnest(p_believed) AS b (digest)
        WHERE NOT EXISTS (SELECT FROM outlive.objects AS o WHERE o.scope = p_scope AND o.digest = b.digest)
    ) THEN
        RAISE EXCEPTION 'an object that was stored before is there no more' USING ERRCODE = 'OL020';
    END IF;
END
$$;

-- The objects that these consist of, without those that the reader has. Pieces come without their elements' content.
CREATE FUNCTION outlive.read_objects(p_scope bigint, p_refs uuid[], p_held uuid[])
RETURNS TABLE (digest uuid, type text, content bytea, base uuid, parts uuid[])
LANGUAGE sql STABLE SET jit = off AS $$
    WITH RECURSIVE roots AS (
        SELECT DISTINCT r.digest FROM unnest(p_refs) AS r (digest) WHERE r.digest <> ALL (p_held)
    ), pieces AS (
        SELECT o.digest, o.base, o.parts FROM roots AS r CROSS JOIN LATERAL (
            SELECT * FROM outlive.objects AS o WHERE o.scope = p_scope AND o.digest = r.digest LIMIT 1
        ) AS o WHERE o.type IS NULL
        UNION
        SELECT o.digest, o.base, o.parts FROM pieces AS p CROSS JOIN LATERAL (
            SELECT * FROM outlive.objects AS o WHERE o.scope = p_scope AND o.digest = p.base LIMIT 1
        ) AS o WHERE p.base <> ALL (p_held)
    ), wanted AS (
        SELECT r.digest FROM roots AS r
        UNION SELECT p.digest FROM pieces AS p
        UNION SELECT e.digest FROM pieces AS p CROSS JOIN LATERAL unnest(p.parts) AS e (digest)
              WHERE e.digest <> ALL (p_held)
    )
    SELECT o.digest, o.type, o.content, o.base, o.parts FROM wanted AS w CROSS JOIN LATERAL (
        SELECT * FROM outlive.objects AS o WHERE o.scope = p_scope AND o.digest = w.digest LIMIT 1
    ) AS o
$$;

-- Deletes the objects of a scope that nothing reaches any more; its lock is held.
CREATE FUNCTION outlive.sweep_objects(p_scope bigint) RETURNS void
LANGUAGE sql VOLATILE SET jit = off AS $$
    WITH RECURSIVE reached AS (
        SELECT r.digest FROM outlive.scope_roots(p_scope) AS r (digest)
        UNION
        SELECT n.digest FROM reached AS r CROSS JOIN LATERAL (
            SELECT * FROM outlive.objects AS o WHERE o.scope = p_scope AND o.digest = r.digest LIMIT 1
        ) AS o CROSS JOIN LATERAL unnest(o.base || o.parts) AS n (digest)
        WHERE n.digest IS NOT NULL
    )
    DELETE FROM outlive.objects AS o
    WHERE o.scope = p_scope AND NOT EXISTS (SELECT FROM reached AS r WHERE r.digest = o.digest)
$$;

-- Keeps a version of an agent's state if the one before it is the latest. Said twice, it is done once.
CREATE FUNCTION outlive.save_agent_state(
    p_agent text, p_expected bigint, p_attempt uuid, p_body text, p_refs uuid[], p_digests uuid[], p_types text[],
    p_contents bytea[], p_bases uuid[], p_parts text[], p_believed uuid[]
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    state_scope bigint := outlive.written_scope('agent', p_agent);
    latest      outlive.agent_states;
BEGIN
    INSERT INTO outlive.agent_states (scope, version, attempt, body, refs)
    SELECT state_scope, p_expected + 1, p_attempt, p_body::json, p_refs
    WHERE p_expected = coalesce(
        (SELECT a.version FROM outlive.agent_states AS a WHERE a.scope = state_scope ORDER BY a.version DESC LIMIT 1), 0
    )
    ON CONFLICT (scope, version) DO NOTHING;
    IF NOT FOUND THEN
        SELECT * INTO latest FROM outlive.agent_states AS a
        WHERE a.scope = state_scope ORDER BY a.version DESC LIMIT 1;
        IF EXISTS (SELECT FROM outlive.agent_states AS a
                   WHERE a.scope = state_scope AND a.version = p_expected + 1 AND a.attempt = p_attempt) THEN
            RETURN p_expected + 1;
        END IF;
        RAISE EXCEPTION 'the state of % is at version %, not %', quote_literal(p_agent),
            coalesce(latest.version, 0), p_expected USING ERRCODE = 'OL004';
    END IF;
    PERFORM outlive.keep_objects(state_scope, p_digests, p_types, p_contents, p_bases, p_parts, p_believed);
    RETURN p_expected + 1;
END
$$;

-- A version of an agent's state, or the latest one, with its objects.
CREATE FUNCTION outlive.read_agent_state(p_agent text, p_version bigint, p_held uuid[])
RETURNS TABLE (
    version bigint, saved_at timestamptz, body text,
    digest uuid, type text, content bytea, base uuid, parts uuid[]
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_state outlive.agent_states;
BEGIN
    SELECT a.* INTO found_state FROM outlive.object_scopes AS s JOIN outlive.agent_states AS a ON a.scope = s.key
    WHERE s.kind = 'agent' AND s.id = p_agent AND a.version = coalesce(p_version, a.version)
    ORDER BY a.version DESC LIMIT 1;
    IF found_state.version IS NOT NULL THEN
        RETURN QUERY SELECT found_state.version, found_state.saved_at, found_state.body::text,
            NULL::uuid, NULL::text, NULL::bytea, NULL::uuid, NULL::uuid[];
        RETURN QUERY SELECT NULL::bigint, NULL::timestamptz, NULL::text, o.*
        FROM outlive.read_objects(found_state.scope, found_state.refs, p_held) AS o;
    END IF;
END
$$;

-- Forgets the versions of an agent's state but the latest ones, all of them if none is kept; how many there were.
CREATE FUNCTION outlive.prune_agent_state(p_agent text, p_keep integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    state_scope bigint := outlive.emptied_scope('agent', p_agent);
    gone        bigint;
BEGIN
    DELETE FROM outlive.agent_states AS a WHERE a.scope = state_scope AND a.version NOT IN (
        SELECT k.version FROM outlive.agent_states AS k WHERE k.scope = state_scope ORDER BY k.version DESC LIMIT p_keep
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM outlive.sweep_objects(state_scope);
    IF p_keep = 0 THEN
        DELETE FROM outlive.object_scopes WHERE key = state_scope;
    END IF;
    RETURN gone;
END
$$;
