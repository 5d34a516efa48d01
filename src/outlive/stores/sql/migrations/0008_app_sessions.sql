-- Sessions of an app's users, each with its events, and state of three scopes: the session's, the user's, the app's.
-- An event and what it changes of the state are one transaction.

CREATE TABLE outlive.app_sessions (
    key        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app        text NOT NULL CHECK (app <> '' AND length(app) <= 500),
    user_id    text NOT NULL CHECK (user_id <> '' AND length(user_id) <= 500),
    id         text NOT NULL CHECK (id <> '' AND length(id) <= 500),
    attempt    uuid NOT NULL,
    revision   bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    state      jsonb NOT NULL CHECK (jsonb_typeof(state) = 'object'),
    updated_at timestamptz NOT NULL,
    UNIQUE (app, user_id, id)
) WITH (fillfactor = 70); -- each event updates this row: room on its page keeps the update off the indexes

COMMENT ON COLUMN outlive.app_sessions.attempt IS 'Made by the client: tells its own retry of a creation from another one.';
COMMENT ON COLUMN outlive.app_sessions.revision IS 'Events there are, and so the position of the next one.';

CREATE TABLE outlive.app_session_events (
    session  bigint NOT NULL REFERENCES outlive.app_sessions (key) ON DELETE CASCADE,
    position bigint NOT NULL CHECK (position >= 0),
    id       text NOT NULL CHECK (id <> '' AND length(id) <= 500),
    at       timestamptz NOT NULL,
    content  json NOT NULL,
    PRIMARY KEY (session, position),
    UNIQUE (session, id)
);

CREATE TABLE outlive.app_states (
    app     text NOT NULL CHECK (app <> '' AND length(app) <= 500),
    user_id text NOT NULL CHECK (length(user_id) <= 500),
    state   jsonb NOT NULL CHECK (jsonb_typeof(state) = 'object'),
    PRIMARY KEY (app, user_id)
);

COMMENT ON COLUMN outlive.app_states.user_id IS 'Empty for the state that all users of the app share.';

-- Merges a change into the state of an app or a user; the same order of locks everywhere: session, app, user.
CREATE FUNCTION outlive.merge_app_state(p_app text, p_user text, p_delta jsonb) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO outlive.app_states AS s (app, user_id, state)
    SELECT p_app, p_user, p_delta WHERE p_delta <> '{}'
    ON CONFLICT ON CONSTRAINT app_states_pkey DO UPDATE SET state = s.state || excluded.state
$$;

-- Makes a session. Said twice by the same attempt, it is made once.
CREATE FUNCTION outlive.create_app_session(
    p_app text, p_user text, p_id text, p_attempt uuid, p_at timestamptz, p_app_delta jsonb, p_user_delta jsonb,
    p_state jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO outlive.app_sessions (app, user_id, id, attempt, state, updated_at)
    VALUES (p_app, p_user, p_id, p_attempt, p_state, p_at)
    ON CONFLICT ON CONSTRAINT app_sessions_app_user_id_id_key DO NOTHING;
    IF FOUND THEN
        PERFORM outlive.merge_app_state(p_app, '', p_app_delta);
        PERFORM outlive.merge_app_state(p_app, p_user, p_user_delta);
        RETURN;
    END IF;
    PERFORM 1 FROM outlive.app_sessions WHERE app = p_app AND user_id = p_user AND id = p_id AND attempt = p_attempt;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is a session % already', quote_literal(p_id) USING ERRCODE = 'OL004';
    END IF;
END
$$;

-- Appends an event with its changes of the state; an event that is there is left, and changes nothing again.
-- Returns the session's revision after it, or the later one that the caller knows.
CREATE FUNCTION outlive.append_app_event(
    p_app text, p_user text, p_id text, p_expected bigint, p_event text, p_at timestamptz, p_content text,
    p_app_delta jsonb, p_user_delta jsonb, p_delta jsonb
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.app_sessions;
    known outlive.app_session_events;
BEGIN
    SELECT * INTO held FROM outlive.app_sessions
    WHERE app = p_app AND user_id = p_user AND id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no session %', quote_literal(p_id) USING ERRCODE = 'OL003';
    END IF;
    SELECT * INTO known FROM outlive.app_session_events WHERE session = held.key AND id = p_event;
    IF FOUND AND known.content::text = p_content THEN
        RETURN greatest(known.position + 1, p_expected);
    ELSIF FOUND THEN
        RAISE EXCEPTION 'the event % is there with other content', quote_literal(p_event) USING ERRCODE = 'OL002';
    ELSIF held.revision <> p_expected THEN
        RAISE EXCEPTION 'the session % has gone on to revision %, this is %', quote_literal(p_id), held.revision, p_expected
            USING ERRCODE = 'OL004';
    END IF;
    INSERT INTO outlive.app_session_events (session, position, id, at, content)
    VALUES (held.key, held.revision, p_event, p_at, p_content::json);
    UPDATE outlive.app_sessions
    SET revision = revision + 1, state = state || p_delta, updated_at = p_at WHERE key = held.key;
    PERFORM outlive.merge_app_state(p_app, '', p_app_delta);
    PERFORM outlive.merge_app_state(p_app, p_user, p_user_delta);
    RETURN held.revision + 1;
END
$$;
