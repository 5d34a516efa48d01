-- Analytics events, in a partition for each day (UTC), so that retention drops whole days instead of deleting rows.
--
-- A day's partition is made ahead by maintenance, or by the first event of the day. What is far from today, and what
-- comes while a partition can't be made, lies in the default partition: an event is never refused for its moment.

CREATE TABLE outlive.events (
    tenant     text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    at         timestamptz NOT NULL,
    id         uuid NOT NULL,
    kind       text NOT NULL CHECK (kind <> '' AND length(kind) <= 500),
    subject    text CHECK (subject <> '' AND length(subject) <= 500),
    attributes json NOT NULL,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);

CREATE INDEX events_by_kind ON outlive.events (kind, at);

COMMENT ON COLUMN outlive.events.id IS 'Made by the client: a batch that is sent again after a lost answer is kept once.';
COMMENT ON COLUMN outlive.events.subject IS 'What it is about, such as a conversation''s id.';

CREATE TABLE outlive.events_default PARTITION OF outlive.events DEFAULT;

-- Make the partition of a day, unless it is there. Its maker may own nothing here: the days are bounded. Events of the
-- day that lie in the default partition move over. With tenants kept apart the owner, whose rights this has, sees the
-- rows of all of them while it moves them, behind a lock that lets nobody else look. Who is in the way for long
-- (lock_timeout) puts it off.
CREATE FUNCTION outlive.make_event_day(p_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC' AS $$
DECLARE
    v_name text := 'events_' || to_char(p_day, 'YYYYMMDD');
    v_today date := clock_timestamp()::date;
    v_separate boolean;
BEGIN
    IF to_regclass('outlive.' || v_name) IS NOT NULL THEN
        RETURN true;
    ELSIF p_day < v_today - 7 OR p_day > v_today + 14 THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('outlive.events', 0));
    IF to_regclass('outlive.' || v_name) IS NOT NULL THEN
        RETURN true;
    END IF;
    LOCK TABLE outlive.events_default IN ACCESS EXCLUSIVE MODE;
    SELECT relforcerowsecurity INTO v_separate FROM pg_class WHERE oid = 'outlive.events_default'::regclass;
    IF v_separate THEN
        ALTER TABLE outlive.events_default NO FORCE ROW LEVEL SECURITY;
    END IF;
    EXECUTE format('CREATE TABLE outlive.%I (LIKE outlive.events INCLUDING ALL)', v_name);
    EXECUTE format('WITH moved AS (DELETE FROM outlive.events_default WHERE at >= %1$L AND at < %2$L RETURNING *)
                    INSERT INTO outlive.%3$I SELECT * FROM moved', p_day::timestamptz, (p_day + 1)::timestamptz, v_name);
    EXECUTE format('ALTER TABLE outlive.events ATTACH PARTITION outlive.%I FOR VALUES FROM (%L) TO (%L)',
                   v_name, p_day::timestamptz, (p_day + 1)::timestamptz);
    IF v_separate THEN
        PERFORM outlive.show_to_tenant('outlive.events_default');
        PERFORM outlive.show_to_tenant(format('outlive.%I', v_name)::regclass);
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
REVOKE EXECUTE ON FUNCTION outlive.make_event_day(date) FROM PUBLIC;

-- Keep events, those that are there already not again; returns how many are new.
CREATE FUNCTION outlive.append_events(
    p_ids uuid[], p_at timestamptz[], p_kinds text[], p_subjects text[], p_attributes text[]
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    added bigint;
BEGIN
    PERFORM outlive.make_event_day(d.day)
    FROM (SELECT DISTINCT (a.at AT TIME ZONE 'UTC')::date AS day FROM unnest(p_at) AS a (at)) AS d
    ORDER BY d.day;
    INSERT INTO outlive.events (id, at, kind, subject, attributes)
    SELECT n.id, n.at, n.kind, n.subject, n.attributes::json
    FROM unnest(p_ids, p_at, p_kinds, p_subjects, p_attributes) AS n (id, at, kind, subject, attributes)
    ON CONFLICT ON CONSTRAINT events_pkey DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

-- Make the partitions of the days to come, and drop the days whose last moment is older than p_keep; what is that old
-- in the default partition is deleted, with tenants kept apart the events of all of them. A writer that is slow to end
-- fails this call (lock_timeout), not the others.
CREATE FUNCTION outlive.maintain_events(
    p_keep interval, OUT made integer, OUT dropped integer, OUT deleted bigint
)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' SET timezone = 'UTC' AS $$
DECLARE
    v_horizon CONSTANT timestamptz := clock_timestamp() - p_keep;
    v_name text;
BEGIN
    SELECT count(*) FILTER (WHERE to_regclass('outlive.events_' || to_char(d.day, 'YYYYMMDD')) IS NULL
                            AND outlive.make_event_day(d.day))
    INTO made
    FROM (SELECT clock_timestamp()::date + ahead AS day FROM generate_series(0, 7) AS ahead) AS d;
    dropped := 0;
    FOR v_name IN
        SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'outlive.events'::regclass
            AND c.relname ~ '^events_\d{8}$' AND c.relname < 'events_' || to_char(v_horizon, 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE outlive.%I', v_name);
        dropped := dropped + 1;
    END LOOP;
    IF outlive.tenants_are_separate() THEN
        ALTER TABLE outlive.events_default NO FORCE ROW LEVEL SECURITY;
        EXECUTE 'DELETE FROM outlive.events_default WHERE at < $1' USING v_horizon;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        PERFORM outlive.show_to_tenant('outlive.events_default');
    ELSE
        DELETE FROM outlive.events_default WHERE at < v_horizon;
        GET DIAGNOSTICS deleted = ROW_COUNT;
    END IF;
END
$$;
