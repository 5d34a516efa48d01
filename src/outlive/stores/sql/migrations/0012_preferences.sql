-- What is kept of somebody by key: each change is a version, and a deletion is one too, so that no number comes twice.

CREATE TABLE outlive.preferences (
    subject    text NOT NULL CHECK (subject <> '' AND length(subject) <= 500),
    key        text NOT NULL CHECK (key <> '' AND length(key) <= 500),
    version    bigint NOT NULL CHECK (version > 0),
    value      json,
    attempt    uuid NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subject, key)
);

CREATE TABLE outlive.preference_versions (
    subject    text NOT NULL,
    key        text NOT NULL,
    version    bigint NOT NULL CHECK (version > 0),
    value      json,
    attempt    uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (subject, key, version),
    FOREIGN KEY (subject, key) REFERENCES outlive.preferences (subject, key) ON DELETE CASCADE
);

COMMENT ON COLUMN outlive.preferences.value IS 'Null where it was deleted; the value null of JSON is another thing.';
COMMENT ON COLUMN outlive.preferences.attempt IS
    'Made by the client for each change, so that its retry after a lost answer makes no second version.';
COMMENT ON TABLE outlive.preference_versions IS 'The versions that were replaced; the latest is in preferences alone.';

-- Sets a preference, or deletes it where the value is null; returns the version after that. The version expected is 0
-- for one that was never set, null for whichever it is.
CREATE FUNCTION outlive.change_preference(
    p_subject text, p_key text, p_value text, p_expected bigint, p_attempt uuid
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held outlive.preferences;
    earlier bigint;
BEGIN
    SELECT * INTO held FROM outlive.preferences WHERE subject = p_subject AND key = p_key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        IF p_value IS NULL AND coalesce(p_expected, 0) = 0 THEN
            RETURN 0; -- there is nothing to delete
        ELSIF coalesce(p_expected, 0) = 0 THEN
            INSERT INTO outlive.preferences (subject, key, version, value, attempt)
            VALUES (p_subject, p_key, 1, p_value::json, p_attempt)
            ON CONFLICT ON CONSTRAINT preferences_pkey DO NOTHING;
            IF FOUND THEN
                RETURN 1;
            END IF;
        END IF;
        SELECT * INTO held FROM outlive.preferences WHERE subject = p_subject AND key = p_key FOR NO KEY UPDATE;
        IF NOT FOUND AND coalesce(p_expected, 0) = 0 THEN
            RAISE EXCEPTION 'the preference % of % was set and erased in this very moment',
                quote_literal(p_key), quote_literal(p_subject) USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    IF held.attempt = p_attempt THEN
        RETURN held.version;
    END IF;
    SELECT version INTO earlier FROM outlive.preference_versions
    WHERE subject = p_subject AND key = p_key AND attempt = p_attempt;
    IF FOUND THEN
        RETURN earlier;
    ELSIF coalesce(held.version, 0) <> p_expected THEN
        RAISE EXCEPTION 'the preference % of % has version %, not %',
            quote_literal(p_key), quote_literal(p_subject), coalesce(held.version, 0), p_expected
            USING ERRCODE = 'OL004';
    ELSIF held.value IS NULL AND p_value IS NULL THEN
        RETURN held.version;
    END IF;
    INSERT INTO outlive.preference_versions (subject, key, version, value, attempt, changed_at)
    VALUES (held.subject, held.key, held.version, held.value, held.attempt, held.changed_at);
    UPDATE outlive.preferences
    SET version = version + 1, value = p_value::json, attempt = p_attempt, changed_at = clock_timestamp()
    WHERE subject = p_subject AND key = p_key;
    RETURN held.version + 1;
END
$$;
