-- A graph's checkpoints and its tasks' writes, in one call each, in both directions. They lie in the tables that the
-- objects came with.
--
-- Reads are plain queries: a function in the language of SQL, without settings of its own, becomes a part of the
-- statement that calls it, and its rows go out while they are found. What a function of another language returns is
-- written down whole first, at each level of calls: of a thousand messages that took longer than to find them.

-- Keeps a checkpoint and the objects that it brings; one that is there is replaced.
CREATE FUNCTION outlive.put_checkpoint(
    p_thread text, p_ns text, p_id text, p_parent text, p_body text, p_metadata text, p_refs uuid[],
    p_digests uuid[], p_types text[], p_contents bytea[], p_bases uuid[], p_parts text[], p_believed uuid[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    thread_scope bigint := outlive.written_scope('graph', p_thread);
BEGIN
    PERFORM outlive.keep_objects(thread_scope, p_digests, p_types, p_contents, p_bases, p_parts, p_believed);
    INSERT INTO outlive.graph_checkpoints (scope, ns, id, parent, body, metadata, refs)
    VALUES (thread_scope, p_ns, p_id, p_parent, p_body::json, p_metadata::jsonb, p_refs)
    ON CONFLICT ON CONSTRAINT graph_checkpoints_pkey
    DO UPDATE SET body = excluded.body, metadata = excluded.metadata, refs = excluded.refs;
END
$$;

-- Keeps what a task wrote. A write that is there stays, or is replaced if that is what its kind asks for.
CREATE FUNCTION outlive.put_graph_writes(
    p_thread text, p_ns text, p_checkpoint text, p_task text, p_path text, p_replace boolean,
    p_places integer[], p_channels text[], p_values text[], p_refs text[],
    p_digests uuid[], p_types text[], p_contents bytea[], p_bases uuid[], p_parts text[], p_believed uuid[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    thread_scope bigint := outlive.written_scope('graph', p_thread);
BEGIN
    PERFORM outlive.keep_objects(thread_scope, p_digests, p_types, p_contents, p_bases, p_parts, p_believed);
    INSERT INTO outlive.graph_writes AS w (scope, ns, checkpoint, task, place, path, channel, value, refs)
    SELECT thread_scope, p_ns, p_checkpoint, p_task, n.place, p_path, n.channel, n.value::json, n.refs::uuid[]
    FROM unnest(p_places, p_channels, p_values, p_refs) AS n (place, channel, value, refs)
    ON CONFLICT ON CONSTRAINT graph_writes_pkey
    DO UPDATE SET channel = excluded.channel, value = excluded.value, refs = excluded.refs WHERE p_replace;
END
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

-- The line of a checkpoint's ancestors, back to where each of these channels has a value; with it itself if asked for.
CREATE FUNCTION outlive.graph_line(
    p_scope bigint, p_ns text, p_id text, p_channels text[], p_itself boolean
) RETURNS TABLE (id text, distance integer)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE line AS (
        SELECT c.id, c.parent, 0 AS distance, CASE WHEN p_itself THEN ARRAY(
            SELECT n FROM unnest(p_channels) AS n WHERE (c.body -> 'values' -> n) IS NULL
        ) ELSE p_channels END AS missing
        FROM outlive.graph_checkpoints AS c WHERE c.scope = p_scope AND c.ns = p_ns AND c.id = p_id
        UNION ALL
        SELECT c.id, c.parent, l.distance + 1, ARRAY(
            SELECT n FROM unnest(l.missing) AS n WHERE (c.body -> 'values' -> n) IS NULL
        )
        FROM line AS l JOIN outlive.graph_checkpoints AS c
            ON c.scope = p_scope AND c.ns = p_ns AND c.id = l.parent
        WHERE cardinality(l.missing) > 0
    )
    SELECT l.id, l.distance FROM line AS l WHERE p_itself OR l.distance > 0
$$;

-- What built up channels since each had a value: the ancestors, the nearest first, and their writes to the channels.
CREATE FUNCTION outlive.read_graph_line(p_thread text, p_ns text, p_id text, p_channels text[])
RETURNS TABLE (id text, body text, task text, channel text, value text, refs uuid[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    thread_scope bigint := (SELECT key FROM outlive.object_scopes AS s WHERE s.kind = 'graph' AND s.id = p_thread);
BEGIN
    RETURN QUERY
    SELECT l.id, c.body::text, w.task, w.channel, w.value::text, w.refs
    FROM outlive.graph_line(thread_scope, p_ns, p_id, p_channels, false) AS l
    JOIN outlive.graph_checkpoints AS c ON c.scope = thread_scope AND c.ns = p_ns AND c.id = l.id
    LEFT JOIN outlive.graph_writes AS w ON w.scope = thread_scope AND w.ns = p_ns AND w.checkpoint = l.id
        AND w.channel = ANY (p_channels)
    ORDER BY l.distance, w.path, w.task, w.place;
END
$$;

-- The objects of a thread that these consist of.
CREATE FUNCTION outlive.read_graph_objects(p_thread text, p_refs uuid[], p_held uuid[])
RETURNS TABLE (digest uuid, type text, content bytea, base uuid, parts uuid[])
LANGUAGE sql STABLE AS $$
    SELECT o.* FROM outlive.object_scopes AS s
    CROSS JOIN LATERAL outlive.read_objects(s.key, p_refs, p_held) AS o
    WHERE s.kind = 'graph' AND s.id = p_thread
$$;

-- The channels of a checkpoint that it says are built up from writes.
CREATE FUNCTION outlive.delta_channels(p_metadata jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT jsonb_object_keys(coalesce(p_metadata -> 'counters_since_delta_snapshot', '{}')))
$$;

CREATE FUNCTION outlive.delete_graph_thread(p_thread text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    thread_scope bigint := outlive.emptied_scope('graph', p_thread);
BEGIN
    DELETE FROM outlive.graph_writes WHERE scope = thread_scope;
    DELETE FROM outlive.graph_checkpoints WHERE scope = thread_scope;
    DELETE FROM outlive.objects WHERE scope = thread_scope;
    DELETE FROM outlive.object_scopes WHERE key = thread_scope;
END
$$;

-- Deletes checkpoints of a scope, what was written after them, and what only they reached. Its lock is held.
-- Writes go by the checkpoints that are deleted: those of a checkpoint that is yet to come stay.
CREATE FUNCTION outlive.delete_checkpoints(p_scope bigint, p_ns text[], p_ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    DELETE FROM outlive.graph_checkpoints AS c USING unnest(p_ns, p_ids) AS g (ns, id)
    WHERE c.scope = p_scope AND c.ns = g.ns AND c.id = g.id;
    DELETE FROM outlive.graph_writes AS w USING unnest(p_ns, p_ids) AS g (ns, id)
    WHERE w.scope = p_scope AND w.ns = g.ns AND w.checkpoint = g.id;
    UPDATE outlive.graph_checkpoints AS c SET parent = NULL FROM unnest(p_ns, p_ids) AS g (ns, id)
    WHERE c.scope = p_scope AND c.ns = g.ns AND c.parent = g.id;
    PERFORM outlive.sweep_objects(p_scope);
END
$$;

-- Keeps the latest checkpoint of each namespace, and those that its channels are built up from. The namespaces of
-- calls of a subgraph (they have a colon) go with the checkpoint of the root graph that the call began at.
CREATE FUNCTION outlive.prune_graph_thread(p_thread text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    thread_scope bigint := outlive.emptied_scope('graph', p_thread);
    gone_ns      text[];
    gone_ids     text[];
BEGIN
    WITH heads AS (
        SELECT DISTINCT ON (c.ns) c.ns, c.id, c.metadata, c.metadata -> 'parents' ->> '' AS root
        FROM outlive.graph_checkpoints AS c WHERE c.scope = thread_scope ORDER BY c.ns, c.id DESC
    ), live AS (
        SELECT h.* FROM heads AS h
        WHERE h.ns NOT LIKE '%:%' OR h.root IS NULL
            OR EXISTS (SELECT FROM heads AS r WHERE r.ns = '' AND r.id = h.root)
            OR NOT EXISTS (SELECT FROM outlive.graph_checkpoints AS r
                           WHERE r.scope = thread_scope AND r.ns = '' AND r.id = h.root)
    ), kept AS (
        SELECT h.ns, l.id FROM live AS h CROSS JOIN LATERAL
            outlive.graph_line(thread_scope, h.ns, h.id, outlive.delta_channels(h.metadata), true) AS l
    )
    SELECT array_agg(c.ns), array_agg(c.id) INTO gone_ns, gone_ids FROM outlive.graph_checkpoints AS c
    WHERE c.scope = thread_scope
        AND NOT EXISTS (SELECT FROM kept AS k WHERE k.ns = c.ns AND k.id = c.id);
    PERFORM outlive.delete_checkpoints(thread_scope, gone_ns, gone_ids);
END
$$;

-- Deletes the checkpoints of runs; refused where a checkpoint that stays is built up from one of them.
CREATE FUNCTION outlive.delete_graph_runs(p_runs text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    run_scope bigint;
    gone_ns   text[];
    gone_ids  text[];
BEGIN
    FOR run_scope IN
        SELECT DISTINCT c.scope FROM outlive.graph_checkpoints AS c
        WHERE c.metadata ? 'run_id' AND c.metadata ->> 'run_id' = ANY (p_runs) ORDER BY c.scope
    LOOP
        PERFORM pg_advisory_xact_lock(outlive.scope_lock(run_scope));
        SELECT array_agg(c.ns), array_agg(c.id) INTO gone_ns, gone_ids FROM outlive.graph_checkpoints AS c
        WHERE c.scope = run_scope AND c.metadata ? 'run_id' AND c.metadata ->> 'run_id' = ANY (p_runs);
        IF EXISTS (
            SELECT FROM outlive.graph_checkpoints AS c CROSS JOIN LATERAL
                outlive.graph_line(run_scope, c.ns, c.id, outlive.delta_channels(c.metadata), true) AS l
            JOIN unnest(gone_ns, gone_ids) AS g (ns, id) ON g.ns = c.ns AND g.id = l.id
            WHERE c.scope = run_scope AND c.metadata ? 'counters_since_delta_snapshot'
                AND NOT (c.metadata ? 'run_id' AND c.metadata ->> 'run_id' = ANY (p_runs))
        ) THEN
            RAISE EXCEPTION 'checkpoints that stay are built up from writes of these runs' USING ERRCODE = 'OL021';
        END IF;
        PERFORM outlive.delete_checkpoints(run_scope, gone_ns, gone_ids);
    END LOOP;
END
$$;

-- Copies all that a thread has to another one; what that one has stays.
CREATE FUNCTION outlive.copy_graph_thread(p_source text, p_target text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    source_scope bigint := (SELECT key FROM outlive.object_scopes WHERE kind = 'graph' AND id = p_source);
    target_scope bigint;
BEGIN
    IF source_scope IS NULL OR p_source = p_target THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(outlive.scope_lock(source_scope));
    target_scope := outlive.written_scope('graph', p_target);
    -- Versions first: what they name is not deleted while the lock is held, and what follows can only have more.
    INSERT INTO outlive.graph_checkpoints (scope, ns, id, parent, body, metadata, refs)
    SELECT target_scope, ns, id, parent, body, metadata, refs FROM outlive.graph_checkpoints WHERE scope = source_scope
    ON CONFLICT DO NOTHING;
    INSERT INTO outlive.graph_writes (scope, ns, checkpoint, task, place, path, channel, value, refs)
    SELECT target_scope, ns, checkpoint, task, place, path, channel, value, refs
    FROM outlive.graph_writes WHERE scope = source_scope
    ON CONFLICT DO NOTHING;
    INSERT INTO outlive.objects (scope, digest, type, content, base, parts)
    SELECT target_scope, digest, type, content, base, parts FROM outlive.objects WHERE scope = source_scope
    ON CONFLICT DO NOTHING;
END
$$;
