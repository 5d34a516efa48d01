-- Tenants kept apart by row-level security: off until `separate_tenants` is called.
--
-- Each table of this schema then has a column `tenant`, filled from the setting `outlive.tenant`, and a policy that
-- shows rows of that tenant only. Without the setting nothing is visible and nothing can be written. What is unique
-- becomes unique for each tenant. The policies hold for the owner of the tables too (FORCE); superusers and roles with
-- BYPASSRLS are above them.
--
-- A table that is not to be separated has to be named here, with the reason. And a function says by the constraint's
-- name what may conflict, never by the columns: there is one more of them once tenants are separated.

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

-- Whether tenants are kept apart.
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

-- Makes a table's names unique for each tenant; constraints keep their names. That goes for names and digests: numbers,
-- UUIDs and moments that the database or the client makes stay unique by themselves.
CREATE FUNCTION outlive.make_unique_by_tenant(p_table regclass) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_unique record;
    v_foreign record;
    v_statement text;
    v_back text[]; -- what refers to the names, and refers to them with their tenant then
BEGIN
    FOR v_unique IN
        SELECT c.conname AS name, c.conkey AS numbers, k.columns,
            CASE c.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END AS kind
        FROM pg_catalog.pg_constraint AS c
        CROSS JOIN LATERAL (
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY n.place) AS columns,
                bool_or(a.attname = 'tenant') AS separate
            FROM unnest(c.conkey) WITH ORDINALITY AS n (number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = n.number
        ) AS k
        JOIN pg_catalog.pg_attribute AS f ON f.attrelid = c.conrelid AND f.attnum = c.conkey[1]
        WHERE c.conrelid = p_table AND c.contype IN ('p', 'u') AND NOT k.separate
            AND f.atttypid IN ('text'::regtype, 'bytea'::regtype)
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
            v_back := v_back || format(
                'ALTER TABLE %s ADD CONSTRAINT %I %s', v_foreign.id, v_foreign.name, v_foreign.definition
            );
        END LOOP;
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s (tenant, %s)',
                       p_table, v_unique.name, v_unique.name, v_unique.kind, v_unique.columns);
        FOREACH v_statement IN ARRAY v_back LOOP
            EXECUTE v_statement;
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
-- it separates what has been made since: tables, and names in tables that are separated already. Returns how many
-- tables are separated.
CREATE FUNCTION outlive.separate_tenants(p_existing text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_table record;
    v_count bigint := 0;
BEGIN
    FOR v_table IN SELECT * FROM outlive.new_tenant_tables() LOOP
        PERFORM outlive.add_tenant_column(v_table.id, p_existing);
    END LOOP;
    FOR v_table IN SELECT * FROM outlive.tenant_tables() WHERE NOT is_partition LOOP
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
