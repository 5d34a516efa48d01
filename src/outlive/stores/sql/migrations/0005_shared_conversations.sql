-- Conversations without a lease: several programs append, each write is ordered by the lock of the conversation's row.
-- While a worker holds the lease of a conversation, it alone writes: every function here refuses then.

CREATE TABLE outlive.taken_turns (
    conversation bigint NOT NULL REFERENCES outlive.conversations (key) ON DELETE CASCADE,
    attempt      uuid NOT NULL,
    turns        json NOT NULL,
    taken_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (conversation, attempt)
);

COMMENT ON TABLE outlive.taken_turns IS
    'What was taken back lately, so that a retry after a lost answer gets the same turns, and takes no others.';

-- Locks a conversation that nobody holds the lease of, and makes it if there is none.
CREATE FUNCTION outlive.share(p_id text) RETURNS outlive.conversations
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    shared outlive.conversations := outlive.make_conversation(p_id, '{}');
BEGIN
    IF shared.lease_until > clock_timestamp() THEN
        RAISE EXCEPTION 'the conversation % is held by %', quote_literal(p_id), quote_literal(shared.lease_worker)
            USING ERRCODE = 'OL001',
            DETAIL = format('for another %s s', round(extract(epoch FROM shared.lease_until - clock_timestamp()), 1));
    END IF;
    RETURN shared;
END
$$;

-- Adds turns after the last one of a locked conversation; those that are there stay where they are.
CREATE FUNCTION outlive.add_turns(p_key bigint, p_ids text[], p_roles text[], p_contents text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    reused text;
    added integer;
BEGIN
    SELECT min(t.id) INTO reused
    FROM unnest(p_ids, p_roles, p_contents) AS n (id, role, content)
    JOIN outlive.turns AS t ON t.conversation = p_key AND t.id = n.id
    WHERE t.role <> n.role OR t.content::text <> n.content;
    IF reused IS NOT NULL THEN
        RAISE EXCEPTION 'the turn % is there with other content', quote_literal(reused) USING ERRCODE = 'OL002';
    END IF;
    INSERT INTO outlive.turns (conversation, position, id, role, content)
    SELECT p_key, c.turn_count - 1 + row_number() OVER (ORDER BY n.place), n.id, n.role, n.content::json
    FROM outlive.conversations AS c,
        unnest(p_ids, p_roles, p_contents) WITH ORDINALITY AS n (id, role, content, place)
    WHERE c.key = p_key
        AND NOT EXISTS (SELECT FROM outlive.turns AS t WHERE t.conversation = p_key AND t.id = n.id);
    GET DIAGNOSTICS added = ROW_COUNT;
    UPDATE outlive.conversations
    SET turn_count = turn_count + added, status = 'open', updated_at = clock_timestamp()
    WHERE key = p_key AND added > 0;
END
$$;

-- Appends turns to a shared conversation.
CREATE FUNCTION outlive.append_shared(p_id text, p_ids text[], p_roles text[], p_contents text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM outlive.add_turns((outlive.share(p_id)).key, p_ids, p_roles, p_contents);
END
$$;

-- Takes turns out of a locked conversation, closes the gap, and returns them as JSON.
CREATE FUNCTION outlive.take_turns(p_key bigint, p_first bigint, p_count bigint) RETURNS json
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    aside CONSTANT bigint := 1::bigint << 60; -- out of the way, so that no two turns have one position meanwhile
    taken json;
    gone bigint;
BEGIN
    WITH removed AS (
        DELETE FROM outlive.turns
        WHERE conversation = p_key AND position >= p_first AND position < p_first + p_count
        RETURNING *
    )
    SELECT count(*), coalesce(json_agg(content ORDER BY position), '[]') INTO gone, taken FROM removed;
    UPDATE outlive.turns SET position = position + aside WHERE conversation = p_key AND position >= p_first + p_count;
    UPDATE outlive.turns SET position = position - aside - gone WHERE conversation = p_key AND position >= aside;
    UPDATE outlive.conversations SET turn_count = turn_count - gone, updated_at = clock_timestamp()
    WHERE key = p_key AND gone > 0;
    RETURN taken;
END
$$;

-- Takes turns back from a shared conversation, and adds others in their stead, at the end. A negative first place
-- counts from the end. The same attempt, said twice, is done once and gives the same answer.
CREATE FUNCTION outlive.take_back(
    p_id text, p_attempt uuid, p_first bigint, p_count bigint, p_ids text[], p_roles text[], p_contents text[]
) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    shared outlive.conversations := outlive.share(p_id);
    taken json;
BEGIN
    SELECT turns INTO taken FROM outlive.taken_turns WHERE conversation = shared.key AND attempt = p_attempt;
    IF FOUND THEN
        RETURN taken::text;
    END IF;
    p_first := CASE WHEN p_first < 0 THEN greatest(shared.turn_count + p_first, 0) ELSE p_first END;
    taken := outlive.take_turns(shared.key, p_first, p_count);
    PERFORM outlive.add_turns(shared.key, p_ids, p_roles, p_contents);
    DELETE FROM outlive.taken_turns
    WHERE conversation = shared.key AND taken_at < clock_timestamp() - interval '1 hour';
    INSERT INTO outlive.taken_turns (conversation, attempt, turns)
    VALUES (shared.key, p_attempt, taken);
    RETURN taken::text;
END
$$;
