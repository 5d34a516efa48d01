-- How much is kept, without what: for whoever watches the database and has no business with its content.

CREATE VIEW outlive.statistics AS
SELECT c.relname::text AS name,
       greatest(c.reltuples, s.n_live_tup, 0)::bigint AS rows_estimated,
       pg_catalog.pg_total_relation_size(c.oid) AS bytes,
       coalesce(s.n_dead_tup, 0) AS dead_rows_estimated,
       greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_stat_all_tables AS s ON s.relid = c.oid
WHERE c.relnamespace = 'outlive'::regnamespace AND c.relkind = 'r';

COMMENT ON VIEW outlive.statistics IS 'Sizes and estimates of every table, partitions by themselves.';
