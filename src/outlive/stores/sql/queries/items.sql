-- name: put
-- Puts and deletes items.
SELECT outlive.put_items($1, $2, $3, $4)

-- name: get
-- Reads items by their names.
SELECT n.place, i.ns, i.key, i.value::text AS value, i.created_at, i.updated_at, i.lives IS NOT NULL AS expires,
    NULL::float8 AS score
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (ns, key, place)
JOIN outlive.items AS i ON i.tenant = outlive.items_tenant() AND i.ns = n.ns::text[] AND i.key = n.key
WHERE coalesce(i.expires_at > clock_timestamp(), true)

-- name: search
-- Reads the items under a path that match, those that were changed last first.
SELECT i.ns, i.key, i.value::text AS value, i.created_at, i.updated_at, i.lives IS NOT NULL AS expires,
    NULL::float8 AS score
FROM outlive.items AS i
WHERE i.tenant = outlive.items_tenant() AND i.ns >= $1::text[] AND coalesce(i.ns < outlive.items_end($1::text[]), true)
    AND outlive.item_matches(i.value, $2::text::jsonb) AND coalesce(i.expires_at > clock_timestamp(), true)
ORDER BY i.updated_at DESC, i.ns, i.key OFFSET $3::bigint LIMIT $4::bigint

-- name: namespaces
-- Reads the namespaces, cut to a depth, in order. A star in a path stands for any label.
SELECT DISTINCT i.ns[: coalesce($3::integer, cardinality(i.ns))] AS ns FROM outlive.items AS i
WHERE i.tenant = outlive.items_tenant() AND coalesce(i.expires_at > clock_timestamp(), true)
    AND NOT EXISTS (
        SELECT FROM unnest($1::text[], $2::boolean[]) AS c (path, is_suffix)
        WHERE cardinality(i.ns) < cardinality(c.path::text[]) OR EXISTS (
            SELECT FROM unnest(c.path::text[]) WITH ORDINALITY AS p (label, place)
            WHERE p.label <> '*' AND p.label <> i.ns[
                p.place + CASE WHEN c.is_suffix THEN cardinality(i.ns) - cardinality(c.path::text[]) ELSE 0 END
            ]
        )
    )
ORDER BY ns OFFSET $4::bigint LIMIT $5::bigint

-- name: refresh
-- Lets items live on that were read.
SELECT outlive.refresh_items($1, $2)

-- name: sweep
-- Deletes a batch of what has expired; how many there were.
WITH gone AS (
    DELETE FROM outlive.items WHERE (tenant, ns, key) IN (
        SELECT tenant, ns, key FROM outlive.items WHERE expires_at <= clock_timestamp() LIMIT 1000 FOR UPDATE SKIP LOCKED
    ) RETURNING 1
) SELECT count(*) AS gone FROM gone

-- name: embed
-- Keeps the embeddings of items in place of those that they had.
SELECT outlive.embed_items($1, $2, $3, $4, $5, $6)

-- name: nearest
-- Reads the items under a path that match, the nearest first.
SELECT * FROM outlive.search_items($1, $2::text::jsonb, $3, $4, $5)
