-- The state of an agent, in versions: kept, read and forgotten. It lies in the tables that the objects came with.

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
    ON CONFLICT ON CONSTRAINT agent_states_pkey DO NOTHING;
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
