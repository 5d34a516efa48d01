-- A migration that comes after tenants were separated may add a name to a table that is separated already, and a
-- function that says by columns what may conflict. Both are brought in line at its end.

-- Has functions that say which columns may conflict say the constraint instead, wherever it has the tenant in it now.
CREATE FUNCTION outlive.name_tenant_constraints() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_unique record;
    v_definition text;
BEGIN
    FOR v_unique IN
        SELECT c.conname AS name, t.relname, string_agg(quote_ident(a.attname), ', ' ORDER BY n.place) AS columns
        FROM outlive.tenant_tables() AS s
        JOIN pg_catalog.pg_class AS t ON t.oid = s.id
        JOIN pg_catalog.pg_constraint AS c ON c.conrelid = t.oid AND c.contype IN ('p', 'u')
        CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS n (number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = n.number
        WHERE NOT s.is_partition AND a.attname <> 'tenant' AND EXISTS (
            SELECT FROM pg_catalog.pg_attribute AS f
            WHERE f.attrelid = c.conrelid AND f.attnum = c.conkey[1] AND f.attname = 'tenant'
        )
        GROUP BY c.oid, c.conname, t.relname
    LOOP
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
    END LOOP;
END
$$;

-- As before, and it looks at the names of every table, not only of new ones.
CREATE OR REPLACE FUNCTION outlive.separate_tenants(p_existing text DEFAULT NULL) RETURNS bigint
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
    PERFORM outlive.name_tenant_constraints();
    FOR v_table IN SELECT * FROM outlive.tenant_tables() LOOP
        PERFORM outlive.show_to_tenant(v_table.id);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;
