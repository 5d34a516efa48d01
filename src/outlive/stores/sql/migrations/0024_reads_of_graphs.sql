-- Reads of graphs as plain queries: a function in the language of SQL, without settings of its own, becomes a part of
-- the statement that calls it, and its rows go out while they are found. What a function of another language returns is
-- written down whole first, at each level of calls: of a thousand messages that took longer than to find them.

DROP FUNCTION outlive.list_checkpoints(text, text, text, text, text, text, text, bigint, integer);
DROP FUNCTION outlive.read_checkpoint(text, text, text, uuid[]);
DROP FUNCTION outlive.graph_rows(outlive.graph_checkpoints[], uuid[]);
DROP TYPE outlive.graph_row;

-- The objects that these consist of, without those that the reader has. Pieces come without their elements' content.
-- All are looked for in one walk through the index: one lookup each took twice as long.
CREATE OR REPLACE FUNCTION outlive.read_objects(p_scope bigint, p_refs uuid[], p_held uuid[])
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

-- What was written after a checkpoint, in order, and the objects that it names.
CREATE FUNCTION outlive.graph_writes_after(p_scope bigint, p_ns text, p_id text)
RETURNS TABLE (writes json, refs uuid[])
LANGUAGE sql STABLE AS $$
    SELECT json_agg(json_build_array(w.task, w.channel, w.value) ORDER BY w.path, w.task, w.place),
        ARRAY(
            SELECT d.digest FROM outlive.graph_writes AS n CROSS JOIN LATERAL unnest(n.refs) AS d (digest)
            WHERE n.scope = p_scope AND n.ns = p_ns AND n.checkpoint = p_id
        )
    FROM outlive.graph_writes AS w WHERE w.scope = p_scope AND w.ns = p_ns AND w.checkpoint = p_id
$$;

-- A checkpoint, or the latest of a namespace: a row of its own, as JSON, and one of each object that the reader has not.
CREATE FUNCTION outlive.read_checkpoint(p_thread text, p_ns text, p_id text, p_held uuid[])
RETURNS TABLE (checkpoint text, digest uuid, type text, content bytea, base uuid, parts uuid[])
LANGUAGE sql STABLE AS $$
    WITH found AS (
        SELECT c.scope, c.id, c.parent, c.body, c.metadata, w.writes, c.refs || w.refs AS refs
        FROM outlive.object_scopes AS s
        JOIN outlive.graph_checkpoints AS c ON c.scope = s.key AND c.ns = p_ns AND c.id = coalesce(p_id, (
            SELECT l.id FROM outlive.graph_checkpoints AS l
            WHERE l.scope = s.key AND l.ns = p_ns ORDER BY l.id DESC LIMIT 1
        ))
        CROSS JOIN LATERAL outlive.graph_writes_after(c.scope, c.ns, c.id) AS w
        WHERE s.kind = 'graph' AND s.id = p_thread
    )
    SELECT json_build_array(f.scope, p_thread, p_ns, f.id, f.parent, f.body, f.metadata, f.writes)::text,
        NULL::uuid, NULL::text, NULL::bytea, NULL::uuid, NULL::uuid[] FROM found AS f
    UNION ALL
    SELECT NULL::text, o.* FROM found AS f CROSS JOIN LATERAL outlive.read_objects(f.scope, f.refs, p_held) AS o
$$;

-- A page of checkpoints, the newest first, in rows like those of one; what is null is not asked for. It goes on after
-- (p_id, p_after_ns, p_after_scope).
CREATE FUNCTION outlive.list_checkpoints(
    p_thread text, p_ns text, p_only text, p_before text, p_filter text,
    p_id text, p_after_ns text, p_after_scope bigint, p_limit integer
) RETURNS TABLE (checkpoint text, digest uuid, type text, content bytea, base uuid, parts uuid[])
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
    thread_scope bigint := (SELECT key FROM outlive.object_scopes AS s WHERE s.kind = 'graph' AND s.id = p_thread);
BEGIN
    IF p_thread IS NOT NULL AND thread_scope IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH page AS (
        SELECT c.* FROM outlive.graph_checkpoints AS c
        WHERE (thread_scope IS NULL OR c.scope = thread_scope)
            AND (p_ns IS NULL OR c.ns = p_ns)
            AND (p_only IS NULL OR c.id = p_only)
            AND (p_before IS NULL OR c.id < p_before)
            AND (p_filter IS NULL OR c.metadata @> p_filter::jsonb)
            AND (p_id IS NULL OR (c.id, c.ns, c.scope) < (p_id, p_after_ns, p_after_scope))
        ORDER BY c.id DESC, c.ns DESC, c.scope DESC LIMIT p_limit
    ), found AS (
        SELECT c.scope, s.id AS thread, c.ns, c.id, c.parent, c.body, c.metadata, w.writes, c.refs || w.refs AS refs
        FROM page AS c JOIN outlive.object_scopes AS s ON s.key = c.scope
        CROSS JOIN LATERAL outlive.graph_writes_after(c.scope, c.ns, c.id) AS w
    ), named AS (
        SELECT f.scope, array_agg(DISTINCT r.digest) AS refs
        FROM found AS f CROSS JOIN LATERAL unnest(f.refs) AS r (digest) GROUP BY f.scope
    )
    SELECT json_build_array(f.scope, f.thread, f.ns, f.id, f.parent, f.body, f.metadata, f.writes)::text,
        NULL::uuid, NULL::text, NULL::bytea, NULL::uuid, NULL::uuid[] FROM found AS f
    UNION ALL
    SELECT NULL::text, o.* FROM named AS n CROSS JOIN LATERAL outlive.read_objects(n.scope, n.refs, '{}') AS o;
END
$$;
