-- Tool calls of a conversation: each is noted before it runs and once it has ended, so that none is made twice.

-- Says what to do with a tool call: 'run' it (and it is noted as started), or 'replay' the result that is there.
CREATE FUNCTION outlive.start_tool_call(
    p_id text, p_token bigint, p_lease interval,
    p_key text, p_name text, p_arguments text, p_hash bytea, p_attempt uuid, p_rerun boolean
) RETURNS TABLE (decision text, result text, attempts integer, tokens bigint, dollars numeric)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    held outlive.conversations := outlive.hold(p_id, p_token, p_lease);
    noted outlive.tool_calls;
BEGIN
    INSERT INTO outlive.tool_calls AS c (conversation, key, name, arguments, arguments_hash, status, attempt)
    VALUES (held.key, p_key, p_name, p_arguments::json, p_hash, 'started', p_attempt)
    ON CONFLICT ON CONSTRAINT tool_calls_pkey DO NOTHING
    RETURNING c.* INTO noted;
    IF FOUND THEN
        RETURN QUERY SELECT 'run', NULL::text, 1, 0::bigint, 0::numeric;
        RETURN;
    END IF;

    SELECT * INTO STRICT noted FROM outlive.tool_calls WHERE conversation = held.key AND key = p_key;
    IF noted.arguments_hash <> p_hash THEN
        RAISE EXCEPTION 'the tool call % of the conversation % is there with another tool or other arguments',
            quote_literal(p_key), quote_literal(p_id) USING ERRCODE = 'OL002';
    ELSIF noted.status = 'finished' THEN
        RETURN QUERY SELECT 'replay', noted.result::text, noted.attempts, noted.tokens, noted.dollars;
        RETURN;
    ELSIF noted.status = 'started' AND noted.attempt <> p_attempt AND NOT p_rerun THEN
        RAISE EXCEPTION 'the tool call % of the conversation % was started and its end is not known',
            quote_literal(p_key), quote_literal(p_id) USING ERRCODE = 'OL005';
    ELSIF noted.attempt <> p_attempt THEN
        UPDATE outlive.tool_calls AS c
        SET status = 'started', attempt = p_attempt, attempts = c.attempts + 1, error = NULL,
            started_at = clock_timestamp(), finished_at = NULL
        WHERE conversation = held.key AND key = p_key
        RETURNING c.* INTO noted;
    END IF;
    RETURN QUERY SELECT 'run', NULL::text, noted.attempts, 0::bigint, 0::numeric;
END
$$;

-- Notes how a started call ended: its result, or its error. Without an attempt: whichever attempt was the last.
CREATE FUNCTION outlive.end_tool_call(
    p_id text, p_token bigint, p_lease interval,
    p_key text, p_attempt uuid, p_result text, p_error text, p_tokens bigint, p_dollars numeric
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.conversations := outlive.hold(p_id, p_token, p_lease);
    noted outlive.tool_calls;
BEGIN
    UPDATE outlive.tool_calls
    SET status = CASE WHEN p_error IS NULL THEN 'finished' ELSE 'failed' END,
        result = p_result::json, error = p_error, tokens = p_tokens, dollars = p_dollars,
        finished_at = clock_timestamp()
    WHERE conversation = held.key AND key = p_key AND status = 'started' AND attempt = coalesce(p_attempt, attempt);
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO noted FROM outlive.tool_calls WHERE conversation = held.key AND key = p_key;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the conversation % has no tool call %', quote_literal(p_id), quote_literal(p_key)
            USING ERRCODE = 'OL003';
    ELSIF noted.result::text IS DISTINCT FROM p_result OR noted.error IS DISTINCT FROM p_error THEN
        RAISE EXCEPTION 'the tool call % of the conversation % is another attempt''s, or has ended otherwise',
            quote_literal(p_key), quote_literal(p_id) USING ERRCODE = 'OL004';
    END IF;
END
$$;
