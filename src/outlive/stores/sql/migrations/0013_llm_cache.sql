-- Answers of language models by the hash of the request. Of all processes that miss one, the first to make its row
-- computes it: the row is its flight, which the others wait for, and which is free again when its lease is over. An
-- answer may belong to somebody: it is erased with them.

CREATE TABLE outlive.llm_cache (
    key          bytea PRIMARY KEY CHECK (length(key) = 32),
    model        text NOT NULL,
    value        json,
    tokens       bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    dollars      numeric NOT NULL DEFAULT 0 CHECK (dollars >= 0),
    flight       uuid,
    flight_until timestamptz,
    expires_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    subject      text CHECK (subject <> '' AND length(subject) <= 500),
    CHECK ((value IS NULL) = (flight IS NOT NULL)),
    CHECK ((flight IS NULL) = (flight_until IS NULL))
);

COMMENT ON COLUMN outlive.llm_cache.flight IS 'Who computes the value now, made by the client; null once it is there.';
COMMENT ON COLUMN outlive.llm_cache.subject IS 'Whom the request was about, if its caller said so.';

CREATE INDEX llm_cache_expiry ON outlive.llm_cache (expires_at);

-- Takes the flight of a request that has neither a fresh value nor a live flight; says whether this one has it.
CREATE FUNCTION outlive.board_llm_flight(p_key bytea, p_model text, p_flight uuid, p_lease interval) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    WITH boarded AS (
        INSERT INTO outlive.llm_cache AS c (key, model, flight, flight_until, expires_at)
        VALUES (p_key, p_model, p_flight, clock_timestamp() + p_lease, clock_timestamp() + p_lease)
        ON CONFLICT ON CONSTRAINT llm_cache_pkey DO UPDATE
        SET value = NULL, flight = excluded.flight, flight_until = excluded.flight_until,
            expires_at = excluded.expires_at, created_at = excluded.created_at
        WHERE c.flight = p_flight OR c.flight_until <= clock_timestamp()
            OR (c.value IS NOT NULL AND c.expires_at <= clock_timestamp())
        RETURNING 1
    )
    SELECT count(*) > 0 FROM boarded
$$;
