-- Keys of requests that are applied once: a row is written in the transaction that it stands for.
--
-- A UUIDv7 begins with the moment it was made, so its table is partitioned by ranges of the key itself: each day is
-- unique within its own partition and is forgotten by dropping it. There is no default partition on purpose: a key
-- whose day was forgotten finds no place and is refused, instead of being taken for a new one.

CREATE TABLE outlive.keys (
    key     uuid PRIMARY KEY,
    request bytea NOT NULL,
    result  json,
    made_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (key);

COMMENT ON COLUMN outlive.keys.request IS 'What tells this request from another one with the same key; empty if nothing does.';
COMMENT ON COLUMN outlive.keys.result IS 'What is given to whoever comes with the key again; null stands for None.';

CREATE TABLE outlive.text_keys (
    key     text COLLATE "C" PRIMARY KEY CHECK (key <> '' AND length(key) <= 500),
    request bytea NOT NULL,
    result  json,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outlive.key_horizon (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    day    date NOT NULL
);

COMMENT ON TABLE outlive.key_horizon IS
    'Keys made before this day (UTC) are forgotten. It never goes back: no partition is made below it.';

INSERT INTO outlive.key_horizon (day) VALUES ((clock_timestamp() AT TIME ZONE 'UTC')::date - 1);

-- The least UUIDv7 of a day.
CREATE FUNCTION outlive.key_bound(p_day date) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM p_day::timestamp) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- The day that a UUIDv7 was made on.
CREATE FUNCTION outlive.key_day(p_key uuid) RETURNS date
LANGUAGE sql IMMUTABLE AS $$
    SELECT date '1970-01-01'
         + (('x0000' || left(replace(p_key::text, '-', ''), 12))::bit(64)::bigint / 86400000)::integer
$$;

-- Make the partition of a day, unless it is there. Its maker may own nothing here: the days it can be asked for are
-- bounded, and not everybody who may use the schema may ask. It is attached, not created in place, as that lets
-- writers go on meanwhile.
CREATE FUNCTION outlive.make_key_day(p_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_name text := 'keys_' || to_char(p_day, 'YYYYMMDD');
BEGIN
    LOCK TABLE outlive.key_horizon IN SHARE ROW EXCLUSIVE MODE;
    IF p_day < (SELECT day FROM outlive.key_horizon)
       OR p_day > (clock_timestamp() AT TIME ZONE 'UTC')::date + 14 THEN
        RAISE EXCEPTION 'no keys are kept of %', p_day USING ERRCODE = 'OL006';
    END IF;
    IF to_regclass('outlive.' || v_name) IS NULL THEN
        EXECUTE format('CREATE TABLE outlive.%I (LIKE outlive.keys INCLUDING ALL)', v_name);
        EXECUTE format('ALTER TABLE outlive.keys ATTACH PARTITION outlive.%I FOR VALUES FROM (%L) TO (%L)',
                       v_name, outlive.key_bound(p_day), outlive.key_bound(p_day + 1));
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION outlive.make_key_day(date) FROM PUBLIC;

-- Make the partitions of the days to come.
CREATE FUNCTION outlive.prepare_keys(p_days integer DEFAULT 7) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    FOR v_ahead IN -1 .. least(p_days, 14) LOOP
        IF v_today + v_ahead >= (SELECT day FROM outlive.key_horizon) THEN
            PERFORM outlive.make_key_day(v_today + v_ahead);
        END IF;
    END LOOP;
END
$$;

-- Make room for a key that found none: 'ready', or why it can have none: 'expired', 'future'.
CREATE FUNCTION outlive.admit_key(p_key uuid) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_day date := outlive.key_day(p_key);
BEGIN
    IF v_day < (SELECT day FROM outlive.key_horizon) THEN
        RETURN 'expired';
    ELSIF v_day > (clock_timestamp() AT TIME ZONE 'UTC')::date + 1 THEN
        RETURN 'future';
    END IF;
    PERFORM outlive.make_key_day(v_day);
    RETURN 'ready';
END
$$;

-- Forget keys that are older than p_keep, and make the partitions of the days to come. Days are dropped whole, once
-- their last moment is that old. A writer that is slow to end fails this call (lock_timeout), not the other writers.
CREATE FUNCTION outlive.expire_keys(p_keep interval DEFAULT '24 hours', OUT days integer, OUT text_keys bigint)
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_day  date := ((clock_timestamp() - p_keep) AT TIME ZONE 'UTC')::date;
    v_name text;
BEGIN
    IF p_keep < interval '1 hour' THEN
        RAISE EXCEPTION 'keys are kept for an hour at least, not for %', p_keep USING ERRCODE = '22023';
    END IF;
    UPDATE outlive.key_horizon SET day = greatest(day, v_day) RETURNING day INTO v_day;
    days := 0;
    FOR v_name IN
        SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'outlive.keys'::regclass AND c.relname < 'keys_' || to_char(v_day, 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE outlive.%I', v_name);
        days := days + 1;
    END LOOP;
    DELETE FROM outlive.text_keys WHERE made_at < clock_timestamp() - p_keep;
    GET DIAGNOSTICS text_keys = ROW_COUNT;
    PERFORM outlive.prepare_keys();
END
$$;

SELECT outlive.prepare_keys();
