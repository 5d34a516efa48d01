-- Tenants kept apart by row-level security: off until `separate_tenants` is called.
--
-- Each table of this schema then has a column `tenant`, filled from the setting `outlive.tenant`, and a policy that
-- shows rows of that tenant only. Without the setting nothing is visible and nothing can be written. What is unique
-- becomes unique for each tenant. The policies hold for the owner of the tables too (FORCE); superusers and roles with
-- BYPASSRLS are above them.
--
-- A table that is not to be separated has to be named here, with the reason.

CREATE TABLE outlive.tenant_exemptions (
    name   text PRIMARY KEY,
    reason text NOT NULL CHECK (reason <> '')
);

INSERT INTO outlive.tenant_exemptions (name, reason) VALUES
    ('migrations', 'It says what the schema is, and holds nothing of anybody.'),
    ('tenant_exemptions', 'It says what is not separated, and holds nothing of anybody.'),
    ('keys', 'A key is to be found whoever comes with it; that it is another tenant''s request shows in its hash.'),
    ('text_keys', 'As of keys: a key is to be found whoever comes with it.'),
    ('key_horizon', 'One row that says since when keys are kept.');

-- The tables to separate, the partitioned ones before their partitions; a partition is exempt with its table.
CREATE FUNCTION outlive.tenant_tables() RETURNS TABLE (id regclass, is_partition boolean)
LANGUAGE sql STABLE AS $$
    SELECT c.oid::regclass, c.relispartition
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_class AS root ON root.oid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)
    WHERE c.relnamespace = 'outlive'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT EXISTS (SELECT FROM outlive.tenant_exemptions AS e WHERE e.name = root.relname)
    ORDER BY c.relispartition, c.oid
$$;

-- Those that have no policy yet; a partition has its table's columns.
CREATE FUNCTION outlive.new_tenant_tables() RETURNS TABLE (id regclass)
LANGUAGE sql STABLE AS $$
    SELECT t.id FROM outlive.tenant_tables() AS t
    WHERE NOT t.is_partition
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = t.id AND p.polname = 'tenant')
$$;

CREATE FUNCTION outlive.tenants_are_separate() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
        WHERE c.relnamespace = 'outlive'::regnamespace AND p.polname = 'tenant'
    )
$$;

-- Gives a table the column, with what is there as rows of a tenant. The audit log is not altered for it: what was
-- logged before stays with no tenant.
CREATE FUNCTION outlive.add_tenant_column(p_table regclass, p_existing text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_strays boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = p_table AND attname = 'tenant') THEN
        PERFORM set_config('outlive.tenant', coalesce(p_existing, ''), true);
        EXECUTE format('ALTER TABLE %s ADD COLUMN tenant text NOT NULL '
                       'DEFAULT nullif(current_setting(''outlive.tenant'', true), '''')', p_table);
        PERFORM set_config('outlive.tenant', '', true);
        RETURN;
    END IF;
    IF p_table NOT IN ('outlive.audit'::regclass, 'outlive.audit_heads'::regclass) THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE tenant = '''')', p_table) INTO v_strays;
        IF v_strays AND p_existing IS NULL THEN
            RAISE EXCEPTION 'the table % holds rows of no tenant', p_table USING ERRCODE = 'not_null_violation';
        ELSIF v_strays THEN
            EXECUTE format('UPDATE %s SET tenant = %L WHERE tenant = ''''', p_table, p_existing);
        END IF;
    END IF;
    EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant '
                   'SET DEFAULT nullif(current_setting(''outlive.tenant'', true), '''')', p_table);
END
$$;

-- Makes a table's names unique for each tenant. Constraints keep their names, and functions that said which columns
-- may conflict say the constraint's name instead. That goes for names and digests: numbers, UUIDs and moments that the
-- database or the client makes stay unique by themselves.
CREATE FUNCTION outlive.make_unique_by_tenant(p_table regclass) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_unique record;
    v_foreign record;
    v_definition text;
    v_back text[]; -- what refers to the names, and refers to them with their tenant then
BEGIN
    FOR v_unique IN
        SELECT c.conname AS name, c.conkey AS numbers, CASE c.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END AS kind, k.columns, t.relname
        FROM pg_catalog.pg_constraint AS c
        JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid
        CROSS JOIN LATERAL (
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY n.place) AS columns, bool_or(a.attname = 'tenant') AS separate
            FROM unnest(c.conkey) WITH ORDINALITY AS n (number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = n.number
        ) AS k
        JOIN pg_catalog.pg_attribute AS f ON f.attrelid = c.conrelid AND f.attnum = c.conkey[1]
        WHERE c.conrelid = p_table AND c.contype IN ('p', 'u') AND f.atttypid IN ('text'::regtype, 'bytea'::regtype) AND NOT k.separate
    LOOP
        v_back := '{}';
        FOR v_foreign IN
            SELECT f.conrelid::regclass AS id, f.conname AS name,
                regexp_replace(pg_get_constraintdef(f.oid), '^FOREIGN KEY \((.*?)\) REFERENCES (.*?)\(',
                               'FOREIGN KEY (tenant, \1) REFERENCES \2(tenant, ') AS definition
            FROM pg_catalog.pg_constraint AS f
            WHERE f.contype = 'f' AND f.confrelid = p_table AND f.confkey = v_unique.numbers AND f.conparentid = 0
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', v_foreign.id, v_foreign.name);
            v_back := v_back || format('ALTER TABLE %s ADD CONSTRAINT %I %s', v_foreign.id, v_foreign.name, v_foreign.definition);
        END LOOP;
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s (tenant, %s)',
                       p_table, v_unique.name, v_unique.name, v_unique.kind, v_unique.columns);
        FOR v_definition IN
            SELECT regexp_replace(
                d.definition,
                format('(INSERT INTO outlive\.%s\M[^;]*?ON CONFLICT) \(%s\)', v_unique.relname, v_unique.columns),
                format('\1 ON CONSTRAINT %I', v_unique.name), 'g')
            FROM pg_catalog.pg_proc AS p CROSS JOIN LATERAL pg_catalog.pg_get_functiondef(p.oid) AS d (definition)
            WHERE p.pronamespace = 'outlive'::regnamespace AND p.prokind = 'f'
                AND d.definition ~ format('INSERT INTO outlive\.%s\M[^;]*?ON CONFLICT \(%s\)', v_unique.relname, v_unique.columns)
        LOOP
            EXECUTE v_definition;
        END LOOP;
        FOREACH v_definition IN ARRAY v_back LOOP
            EXECUTE v_definition;
        END LOOP;
    END LOOP;
END
$$;

-- Shows a table's rows to their tenant alone, its owner not excepted.
CREATE FUNCTION outlive.show_to_tenant(p_table regclass) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', p_table);
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_policy WHERE polrelid = p_table AND polname = 'tenant') THEN
        EXECUTE format('CREATE POLICY tenant ON %s USING (tenant = nullif(current_setting(''outlive.tenant'', true), '''')) '
                       'WITH CHECK (tenant = nullif(current_setting(''outlive.tenant'', true), ''''))', p_table);
    END IF;
END
$$;

-- Separates the tenants in every table that is not exempt; what is there already belongs to p_existing. Said again,
-- it separates what has been made since. Returns how many tables are separated.
CREATE FUNCTION outlive.separate_tenants(p_existing text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_table record;
    v_count bigint := 0;
BEGIN
    FOR v_table IN SELECT * FROM outlive.new_tenant_tables() LOOP
        PERFORM outlive.add_tenant_column(v_table.id, p_existing);
    END LOOP;
    FOR v_table IN SELECT * FROM outlive.new_tenant_tables() LOOP
        PERFORM outlive.make_unique_by_tenant(v_table.id);
    END LOOP;
    FOR v_table IN SELECT * FROM outlive.tenant_tables() LOOP
        PERFORM outlive.show_to_tenant(v_table.id);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;

-- Lets the owner see the rows of all tenants until the transaction calls `separate_tenants` again: for migrations.
CREATE FUNCTION outlive.lift_tenants() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_table record;
BEGIN
    FOR v_table IN SELECT * FROM outlive.tenant_tables() LOOP
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', v_table.id);
    END LOOP;
END
$$;

-- As before, and with tenants kept apart: the owner, whose rights this has, sees the rows of all tenants while it
-- moves them, behind a lock that lets nobody else look.
CREATE OR REPLACE FUNCTION outlive.make_event_day(p_day date) RETURNS boolean
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

-- As before, and with tenants kept apart it deletes old events of all of them.
CREATE OR REPLACE FUNCTION outlive.maintain_events(
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
