-- Histories of messages that frameworks keep as a tree: entries are written once and point at the one before them, a
-- history names the entry that it ends with. To rewrite or to fork a history is to move or add such a name.

CREATE TABLE outlive.history_entries (
    key        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text NOT NULL UNIQUE CHECK (id <> '' AND length(id) <= 500),
    parent     bigint REFERENCES outlive.history_entries (key),
    content    json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX history_entries_parent ON outlive.history_entries (parent);

CREATE TABLE outlive.histories (
    key        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text NOT NULL UNIQUE CHECK (id <> '' AND length(id) <= 500),
    revision   text NOT NULL CHECK (revision <> ''),
    scope      text,
    head       bigint REFERENCES outlive.history_entries (key),
    branches   bigint[] NOT NULL DEFAULT '{}',
    record     json NOT NULL,
    updated_at timestamptz NOT NULL
);

COMMENT ON COLUMN outlive.histories.revision IS 'Made by the writer, another one with each write: writes compare it.';
COMMENT ON COLUMN outlive.histories.branches IS 'The ends of paths that were left, and are kept.';

CREATE INDEX histories_head ON outlive.histories (head);
CREATE INDEX histories_branches ON outlive.histories USING gin (branches);
CREATE INDEX histories_updated_at ON outlive.histories (updated_at DESC);
CREATE INDEX histories_scope ON outlive.histories (scope, updated_at DESC) WHERE scope IS NOT NULL;

-- The key of an entry that may be pointed at; it can't be released before this transaction ends.
CREATE FUNCTION outlive.history_entry(p_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    found_key bigint;
BEGIN
    SELECT key INTO found_key FROM outlive.history_entries WHERE id = p_id FOR KEY SHARE;
    IF p_id IS NOT NULL AND found_key IS NULL THEN
        RAISE EXCEPTION 'there is no entry % any more', quote_literal(p_id) USING ERRCODE = 'OL004';
    END IF;
    RETURN found_key;
END
$$;

-- Keeps new entries, each after the one it points at; an entry that is there stays as it is.
CREATE FUNCTION outlive.add_history_entries(p_ids text[], p_parents text[], p_contents text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT * FROM unnest(p_ids, p_parents, p_contents) WITH ORDINALITY AS n (id, parent, content, place)
        ORDER BY place
    LOOP
        INSERT INTO outlive.history_entries (id, parent, content)
        VALUES (entry.id, outlive.history_entry(entry.parent), entry.content::json)
        ON CONFLICT ON CONSTRAINT history_entries_id_key DO NOTHING;
    END LOOP;
    PERFORM 1 FROM unnest(p_ids, p_contents) AS n (id, content)
    JOIN outlive.history_entries AS e ON e.id = n.id AND e.content::text <> n.content;
    IF FOUND THEN
        RAISE EXCEPTION 'an entry is there with other content' USING ERRCODE = 'OL002';
    END IF;
END
$$;

-- Replaces a history that has the expected revision, or makes it where none is expected. Said twice, it is done once:
-- the new revision is the writer's own.
CREATE FUNCTION outlive.write_history(
    p_id text, p_expected text, p_revision text, p_scope text, p_head text, p_branches text[], p_record text,
    p_updated_at timestamptz, p_entry_ids text[], p_parents text[], p_contents text[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    stored text;
BEGIN
    IF p_expected IS NULL THEN
        INSERT INTO outlive.histories (id, revision, record, updated_at)
        VALUES (p_id, p_revision, p_record::json, p_updated_at) ON CONFLICT ON CONSTRAINT histories_id_key DO NOTHING;
        p_expected := CASE WHEN FOUND THEN p_revision END;
    END IF;
    SELECT revision INTO stored FROM outlive.histories WHERE id = p_id FOR NO KEY UPDATE;
    IF stored = p_revision AND p_expected IS DISTINCT FROM p_revision THEN
        RETURN;
    ELSIF stored IS DISTINCT FROM p_expected THEN
        RAISE EXCEPTION 'the history % was saved or deleted by somebody else', quote_literal(p_id)
            USING ERRCODE = 'OL004';
    END IF;
    PERFORM outlive.add_history_entries(p_entry_ids, p_parents, p_contents);
    UPDATE outlive.histories
    SET revision = p_revision, scope = p_scope, head = outlive.history_entry(p_head),
        branches = ARRAY(
            SELECT outlive.history_entry(b.id) FROM unnest(p_branches) WITH ORDINALITY AS b (id, place) ORDER BY place
        ),
        record = p_record::json, updated_at = p_updated_at
    WHERE id = p_id;
END
$$;

-- Releases an entry and those before it, up to the first that something else still needs.
-- Whoever points at an entry holds a key share lock on it: the lock taken here waits for that, and the next statement,
-- with a snapshot of its own, sees what it waited for.
CREATE FUNCTION outlive.release_history_entries(p_tip bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    tip bigint := p_tip;
BEGIN
    WHILE tip IS NOT NULL LOOP
        PERFORM 1 FROM outlive.history_entries WHERE key = tip FOR UPDATE;
        EXIT WHEN EXISTS (SELECT FROM outlive.history_entries WHERE parent = tip)
            OR EXISTS (SELECT FROM outlive.histories WHERE head = tip)
            OR EXISTS (SELECT FROM outlive.histories WHERE branches @> ARRAY[tip]);
        DELETE FROM outlive.history_entries WHERE key = tip RETURNING parent INTO tip;
    END LOOP;
END
$$;

-- Deletes a history that has the expected revision, and the entries that no other one reaches.
CREATE FUNCTION outlive.delete_history(p_id text, p_expected text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    gone outlive.histories;
    tip bigint;
BEGIN
    DELETE FROM outlive.histories WHERE id = p_id AND revision = p_expected RETURNING * INTO gone;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the history % was saved or deleted by somebody else', quote_literal(p_id)
            USING ERRCODE = 'OL004';
    END IF;
    FOREACH tip IN ARRAY gone.head || gone.branches LOOP
        PERFORM outlive.release_history_entries(tip);
    END LOOP;
END
$$;
