-- Conversations, their turns, checkpoints and tool calls.
--
-- A conversation's id is the caller's text; inside, rows refer to it by a number, so that a long id is stored once
-- and the indexes stay narrow. Contents are `json`, not `jsonb`: it gives back the very text that was stored (order
-- of keys, spelling of numbers), where jsonb would rearrange it, and still lets SQL look inside with -> and ->>.

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
