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
            INSERT INTO outlive.object_scopes (kind, id) VALUES (p_kind, p_id)
            ON CONFLICT ON CONSTRAINT object_scopes_kind_id_key DO NOTHING;
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
        ON CONFLICT ON CONSTRAINT objects_pkey DO NOTHING;
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
-- All are looked for in one walk through the index: one lookup each took twice as long.
CREATE FUNCTION outlive.read_objects(p_scope bigint, p_refs uuid[], p_held uuid[])
RETURNS TABLE (digest uuid, type text, content bytea, base uuid, parts uuid[])
LANGUAGE sql STABLE AS $$
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
    )
    SELECT o.digest, o.type, o.content, o.base, o.parts FROM outlive.objects AS o
    WHERE o.scope = p_scope AND o.digest = ANY (ARRAY(
        SELECT r.digest FROM roots AS r
        UNION ALL SELECT p.digest FROM pieces AS p
        UNION ALL SELECT e.digest FROM pieces AS p CROSS JOIN LATERAL unnest(p.parts) AS e (digest)
        WHERE e.digest <> ALL (p_held)
    ))
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
