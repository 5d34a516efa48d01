-- name: facts
-- Says who asks, what that role may do, and what there is.
WITH users AS (
    SELECT r.oid, r.rolname::text AS name, r.rolsuper OR EXISTS (
        SELECT FROM pg_catalog.pg_roles AS o WHERE o.rolname = 'outlive_owner' AND pg_has_role(r.oid, o.oid, 'MEMBER')
    ) AS is_member
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = current_user
        OR r.oid = (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'outlive')
)
SELECT r.rolsuper OR r.rolcreaterole AS may_create_roles,
    pg_has_role('pg_monitor', 'MEMBER WITH ADMIN OPTION') AS may_grant_monitor,
    ARRAY(SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY ($1)) AS known,
    ARRAY(SELECT name FROM users) AS users,
    ARRAY(SELECT name FROM users WHERE is_member) AS members,
    ARRAY(SELECT rolname::text FROM pg_catalog.pg_roles
          WHERE rolname = ANY ($1) AND pg_has_role(oid, 'pg_monitor', 'MEMBER')) AS watching
FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user

-- name: owner
-- Says which other role owns the schema, if this one may act as it.
SELECT o.rolname::text AS name
FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS o ON o.oid = n.nspowner
WHERE n.nspname = 'outlive' AND o.rolname <> current_user AND pg_has_role(o.oid, 'MEMBER')

-- name: in_force
-- Says whether the schema belongs to the role that is made for it.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS o ON o.oid = n.nspowner
    WHERE n.nspname = 'outlive' AND o.rolname = 'outlive_owner'
)

-- name: own
-- Hands the schema and all that is in it to the owner's role; what belongs to it already is not locked.
DO $$
DECLARE
    v_owner CONSTANT oid := 'outlive_owner'::regrole;
    v_command text;
BEGIN
    IF (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'outlive') <> v_owner THEN
        ALTER SCHEMA outlive OWNER TO outlive_owner;
    END IF;
    FOR v_command IN
        SELECT format('ALTER %s %s OWNER TO outlive_owner',
                      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                           WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, c.oid::regclass)
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'outlive'::regnamespace AND c.relowner <> v_owner AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'c')
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d -- a column's sequence goes with its table
                            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('i', 'a')
                                AND c.relkind = 'S')
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO outlive_owner', p.oid::regprocedure)
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'outlive'::regnamespace AND p.proowner <> v_owner
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO outlive_owner', t.oid::regtype)
        FROM pg_catalog.pg_type AS t
        WHERE t.typnamespace = 'outlive'::regnamespace AND t.typowner <> v_owner AND t.typtype IN ('e', 'd')
    LOOP
        EXECUTE v_command;
    END LOOP;
END
$$

-- name: grant
-- Gives each role its rights on what is there and on what the owner makes later.
GRANT USAGE ON SCHEMA outlive TO outlive_app, outlive_reader, outlive_monitor;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA outlive TO outlive_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA outlive TO outlive_app;
GRANT SELECT ON ALL TABLES IN SCHEMA outlive TO outlive_reader;
GRANT SELECT ON outlive.statistics, outlive.migrations TO outlive_monitor;
REVOKE INSERT, UPDATE, DELETE ON outlive.audit, outlive.audit_heads, outlive.migrations, outlive.tenant_exemptions
    FROM outlive_app;
ALTER DEFAULT PRIVILEGES FOR ROLE outlive_owner IN SCHEMA outlive
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO outlive_app;
ALTER DEFAULT PRIVILEGES FOR ROLE outlive_owner IN SCHEMA outlive GRANT USAGE, SELECT ON SEQUENCES TO outlive_app;
ALTER DEFAULT PRIVILEGES FOR ROLE outlive_owner IN SCHEMA outlive GRANT SELECT ON TABLES TO outlive_reader;
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'outlive'::regnamespace AND p.prosecdef
    LOOP -- these run with the owner's rights
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outlive_app', v_function);
    END LOOP;
END
$$
