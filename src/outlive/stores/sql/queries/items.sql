-- name: put
-- Puts and deletes items.
SELECT outlive.put_items($1, $2, $3, $4)

-- name: get
-- Reads items by their names.
SELECT n.place, i.ns, i.key, i.value::text AS value, i.created_at, i.updated_at, i.lives IS NOT NULL AS expires,
    NULL::float8 AS score
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (ns, key, place)
JOIN outlive.items AS i ON i.ns = n.ns::text[] AND i.key = n.key
WHERE coalesce(i.expires_at > clock_timestamp(), true)

-- name: search
-- Reads the items under a path that match, those that were changed last first.
SELECT i.ns, i.key, i.value::text AS value, i.created_at, i.updated_at, i.lives IS NOT NULL AS expires,
    NULL::float8 AS score
FROM outlive.items AS i
WHERE i.ns >= $1::text[] AND coalesce(i.ns < outlive.items_end($1::text[]), true)
    AND outlive.item_matches(i.value, $2::text::jsonb) AND coalesce(i.expires_at > clock_timestamp(), true)
ORDER BY i.updated_at DESC, i.ns, i.key OFFSET $3::bigint LIMIT $4::bigint

-- name: namespaces
-- Reads the namespaces, cut to a depth, in order. A star in a path stands for any label.
SELECT DISTINCT i.ns[: coalesce($3::integer, cardinality(i.ns))] AS ns FROM outlive.items AS i
WHERE coalesce(i.expires_at > clock_timestamp(), true)
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
    DELETE FROM outlive.items WHERE (ns, key) IN (
        SELECT ns, key FROM outlive.items WHERE expires_at <= clock_timestamp() LIMIT 1000 FOR UPDATE SKIP LOCKED
    ) RETURNING 1
) SELECT count(*) AS gone FROM gone

-- name: vector_facts
-- Says what there is of pgvector: whether the server has it, its schema if the database has, and the dimensions kept.
SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'vector') AS available,
    (SELECT extnamespace::regnamespace::text FROM pg_catalog.pg_extension WHERE extname = 'vector') AS schema,
    (SELECT atttypmod FROM pg_catalog.pg_attribute
     WHERE attrelid = to_regclass('outlive.item_embeddings') AND attname = 'embedding') AS dimensions

-- name: make_vectors
-- Makes the table of the items' embeddings, one a text that an item is found by, and what works on it.
CREATE TABLE IF NOT EXISTS outlive.item_embeddings (
    ns        text[] COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    place     integer NOT NULL,
    embedding {schema}.vector({dimensions}) NOT NULL,
    PRIMARY KEY (ns, key, place),
    FOREIGN KEY (ns, key) REFERENCES outlive.items (ns, key) ON DELETE CASCADE
);

CREATE OR REPLACE FUNCTION outlive.embed_items(
    p_all_ns text[], p_all_keys text[], p_ns text[], p_keys text[], p_places integer[], p_embeddings text[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    DELETE FROM outlive.item_embeddings AS e USING unnest(p_all_ns, p_all_keys) AS n (ns, key)
    WHERE e.ns = n.ns::text[] AND e.key = n.key;
    INSERT INTO outlive.item_embeddings (ns, key, place, embedding)
    SELECT n.ns::text[], n.key, n.place, n.embedding::{schema}.vector({dimensions})
    FROM unnest(p_ns, p_keys, p_places, p_embeddings) AS n (ns, key, place, embedding);
END
$$;

-- The items under a path that match, the nearest first by cosine; those without an embedding come last.
CREATE OR REPLACE FUNCTION outlive.search_items(
    p_prefix text[], p_filter jsonb, p_offset bigint, p_limit bigint, p_embedding text
) RETURNS TABLE (ns text[], key text, value text, created_at timestamptz, updated_at timestamptz, expires boolean,
                 score double precision)
LANGUAGE sql STABLE AS $$
    SELECT i.ns, i.key, i.value::text, i.created_at, i.updated_at, i.lives IS NOT NULL, s.score
    FROM outlive.items AS i CROSS JOIN LATERAL (
        SELECT 1 - min(e.embedding OPERATOR({schema}.<=>) p_embedding::{schema}.vector({dimensions})) AS score
        FROM outlive.item_embeddings AS e WHERE e.ns = i.ns AND e.key = i.key
    ) AS s
    WHERE i.ns >= p_prefix AND coalesce(i.ns < outlive.items_end(p_prefix), true)
        AND outlive.item_matches(i.value, p_filter) AND coalesce(i.expires_at > clock_timestamp(), true)
    ORDER BY s.score DESC NULLS LAST, i.updated_at DESC OFFSET p_offset LIMIT p_limit
$$

-- name: embed
-- Keeps the embeddings of items in place of those that they had.
SELECT outlive.embed_items($1, $2, $3, $4, $5, $6)

-- name: nearest
-- Reads the items under a path that match, the nearest first.
SELECT * FROM outlive.search_items($1, $2::text::jsonb, $3, $4, $5)
