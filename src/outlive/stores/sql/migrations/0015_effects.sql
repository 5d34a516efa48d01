-- What is to be done outside the database is a task that is recorded with the turn or the result that asks for it.

-- Appends turns as `append_turns` does and, if any of them is new, adds tasks that belong to the conversation.
CREATE FUNCTION outlive.append_turns_with_effects(
    p_id text, p_token bigint, p_lease interval,
    p_ids text[], p_roles text[], p_contents text[], p_tokens bigint[], p_dollars numeric[],
    p_queues text[], p_keys text[], p_payloads text[], p_priorities integer[], p_run_at timestamptz[],
    p_delays_s double precision[], p_max_attempts integer[]
) RETURNS TABLE (positions bigint[], created_at timestamptz[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    before bigint;
    appended record;
BEGIN
    SELECT turn_count INTO before FROM outlive.conversations WHERE id = p_id FOR NO KEY UPDATE;
    SELECT * INTO appended FROM outlive.append_turns(
        ARRAY[p_id], ARRAY[p_token], ARRAY[extract(epoch FROM p_lease)::double precision],
        array_fill(1, ARRAY[cardinality(p_ids)]), p_ids, p_roles, p_contents, p_tokens, p_dollars
    );
    IF appended.refused IS NOT NULL THEN
        RAISE EXCEPTION '%', appended.refusal USING ERRCODE = appended.refused;
    END IF;
    -- Turns that were there before have brought their effects then, even if nothing of those is kept any more.
    IF EXISTS (SELECT FROM outlive.conversations WHERE id = p_id AND turn_count > before) THEN
        PERFORM outlive.enqueue_tasks(
            p_queues, p_keys, p_payloads, p_priorities, p_run_at, p_delays_s, p_max_attempts, p_id
        );
    END IF;
    RETURN QUERY SELECT appended.positions, appended.created_at;
END
$$;

-- Notes a tool call's result as `end_tool_call` does, and adds tasks that belong to the conversation.
CREATE FUNCTION outlive.finish_tool_call_with_effects(
    p_id text, p_token bigint, p_lease interval,
    p_key text, p_attempt uuid, p_result text, p_tokens bigint, p_dollars numeric,
    p_queues text[], p_keys text[], p_payloads text[], p_priorities integer[], p_run_at timestamptz[],
    p_delays_s double precision[], p_max_attempts integer[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM outlive.end_tool_call(p_id, p_token, p_lease, p_key, p_attempt, p_result, NULL, p_tokens, p_dollars);
    PERFORM outlive.enqueue_tasks(
        p_queues, p_keys, p_payloads, p_priorities, p_run_at, p_delays_s, p_max_attempts, p_id
    );
END
$$;
