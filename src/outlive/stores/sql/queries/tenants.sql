-- name: are_separate
-- Says whether tenants are kept apart, in a schema that can.
SELECT to_regclass('outlive.tenant_exemptions') IS NOT NULL AND EXISTS (
    SELECT FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
    WHERE c.relnamespace = 'outlive'::regnamespace AND p.polname = 'tenant'
)

-- name: must_be_named
-- Says whether this role sees a tenant's rows only.
SELECT coalesce(row_security_active(to_regclass('outlive.conversations')), false)

-- name: separate
-- Keeps tenants apart in every table, what is there being a tenant's.
SELECT outlive.separate_tenants($1)

-- name: lift
-- Lets the owner see all tenants' rows until they are kept apart again.
SELECT outlive.lift_tenants()
