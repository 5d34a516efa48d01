-- Conversations, their turns, checkpoints and tool calls: the tables, and how a conversation is made and described.
--
-- A conversation's id is the caller's text; inside, rows refer to it by a number, so that a long id is stored once
-- and the indexes stay narrow. Contents are `json`, not `jsonb`: it gives back the very text that was stored (order
-- of keys, spelling of numbers), where jsonb would rearrange it, and still lets SQL look inside with -> and ->>.
--
-- Pages of conversations go by the key, which is the order in which they were made: it never changes, so a page
-- skips nothing and shows nothing twice. There is no index on `updated_at` on purpose: each append would have to move
-- an entry in it and could no longer stay off the indexes.

CREATE TABLE outlive.conversations (
    key                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                 text NOT NULL UNIQUE CHECK (id <> '' AND length(id) <= 500),
    status             text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'complete')),
    metadata           jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    turn_count         bigint NOT NULL DEFAULT 0 CHECK (turn_count >= 0),
    checkpoint_version bigint NOT NULL DEFAULT 0 CHECK (checkpoint_version >= 0),
    lease_token        bigint NOT NULL DEFAULT 0 CHECK (lease_token >= 0),
    lease_worker       text,
    lease_until        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((lease_worker IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 70); -- each write of a turn updates this row: room on its page keeps the update off the indexes

COMMENT ON COLUMN outlive.conversations.lease_token IS
    'The fencing token: grows by one with each lease, never shrinks; a write with another one is refused.';
COMMENT ON COLUMN outlive.conversations.lease_worker IS 'Who holds it; null once it was released.';
COMMENT ON COLUMN outlive.conversations.turn_count IS 'Turns there are, and so the position of the next one.';

CREATE INDEX conversations_status ON outlive.conversations (status, key);
CREATE INDEX conversations_metadata ON outlive.conversations USING gin (metadata jsonb_path_ops);

CREATE TABLE outlive.turns (
    conversation bigint NOT NULL REFERENCES outlive.conversations (key) ON DELETE CASCADE,
    position     bigint NOT NULL CHECK (position >= 0),
    id           text NOT NULL CHECK (id <> '' AND length(id) <= 500),
    role         text NOT NULL CHECK (role <> ''),
    content      json NOT NULL,
    tokens       bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    dollars      numeric NOT NULL DEFAULT 0 CHECK (dollars >= 0),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (conversation, position),
    UNIQUE (conversation, id)
);

CREATE TABLE outlive.checkpoints (
    conversation bigint NOT NULL REFERENCES outlive.conversations (key) ON DELETE CASCADE,
    version      bigint NOT NULL CHECK (version > 0),
    turn_count   bigint NOT NULL CHECK (turn_count >= 0),
    state        json NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (conversation, version)
);

COMMENT ON COLUMN outlive.checkpoints.turn_count IS 'How many turns there were when it was taken.';

CREATE TABLE outlive.tool_calls (
    conversation   bigint NOT NULL REFERENCES outlive.conversations (key) ON DELETE CASCADE,
    key            text NOT NULL CHECK (key <> '' AND length(key) <= 500),
    name           text NOT NULL,
    arguments      json NOT NULL,
    arguments_hash bytea NOT NULL,
    status         text NOT NULL CHECK (status IN ('started', 'finished', 'failed')),
    attempt        uuid NOT NULL,
    attempts       integer NOT NULL DEFAULT 1 CHECK (attempts > 0),
    result         json,
    error          text,
    tokens         bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    dollars        numeric NOT NULL DEFAULT 0 CHECK (dollars >= 0),
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at    timestamptz,
    PRIMARY KEY (conversation, key),
    CHECK ((status = 'finished') = (result IS NOT NULL)),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status = 'started') = (finished_at IS NULL))
);

COMMENT ON COLUMN outlive.tool_calls.attempt IS
    'Made by the client for each attempt: tells its own retry of a lost answer from an attempt of somebody else.';

CREATE TABLE outlive.erasures (
    name_hash     bytea PRIMARY KEY,
    refused_until timestamptz NOT NULL
);

COMMENT ON TABLE outlive.erasures IS
    'Conversations that were erased: a write that comes late must not bring one back. Only a digest of the id is kept.';

-- Refuses to make a conversation that was erased a short while ago.
CREATE FUNCTION outlive.refuse_erased(p_id text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM outlive.erasures
    WHERE name_hash = sha256(convert_to(p_id, 'UTF8')) AND refused_until > clock_timestamp();
    IF FOUND THEN
        RAISE EXCEPTION 'the conversation % was erased', quote_literal(p_id) USING ERRCODE = 'OL003';
    END IF;
END
$$;

-- Makes a conversation unless it is there, and locks it.
CREATE FUNCTION outlive.make_conversation(p_id text, p_metadata jsonb) RETURNS outlive.conversations
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made outlive.conversations;
BEGIN
    SELECT * INTO made FROM outlive.conversations WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM outlive.refuse_erased(p_id);
        INSERT INTO outlive.conversations (id, metadata) VALUES (p_id, p_metadata)
        ON CONFLICT ON CONSTRAINT conversations_id_key DO NOTHING;
        SELECT * INTO STRICT made FROM outlive.conversations WHERE id = p_id FOR NO KEY UPDATE;
    END IF;
    RETURN made;
END
$$;

-- Makes those conversations that are not there yet, in this order; returns how many are new.
CREATE FUNCTION outlive.create_conversations(p_ids text[], p_metadata jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM outlive.refuse_erased(n.id) FROM unnest(p_ids) AS n (id);
    INSERT INTO outlive.conversations (id, metadata)
    SELECT n.id, p_metadata FROM unnest(p_ids) WITH ORDINALITY AS n (id, place) ORDER BY n.place
    ON CONFLICT ON CONSTRAINT conversations_id_key DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;

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
