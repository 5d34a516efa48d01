-- Conversations found again: newest first, by status, by what is said of them.
--
-- Pages go by the key, which is the order in which conversations were made: it never changes, so a page skips nothing
-- and shows nothing twice. There is no index on `updated_at` on purpose: each append would have to move an entry in it
-- and could no longer stay off the indexes.

CREATE INDEX conversations_status ON outlive.conversations (status, key);
CREATE INDEX conversations_metadata ON outlive.conversations USING gin (metadata jsonb_path_ops);

-- Changes what is said of a conversation: p_changes over what is there, without p_removed; the whole, if asked to.
CREATE FUNCTION outlive.change_metadata(p_id text, p_changes jsonb, p_removed text[], p_whole boolean) RETURNS jsonb
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    changed jsonb;
BEGIN
    UPDATE outlive.conversations
    SET metadata = CASE WHEN p_whole THEN p_changes ELSE (metadata || p_changes) - p_removed END
    WHERE id = p_id
    RETURNING metadata INTO changed;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no conversation %', quote_literal(p_id) USING ERRCODE = 'OL003';
    END IF;
    RETURN changed;
END
$$;
