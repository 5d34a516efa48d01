-- name: facts
-- Says what there is of pgvector: whether the server has it, its schema if the database has, and the dimensions kept.
SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'vector') AS available,
    (SELECT extnamespace::regnamespace::text FROM pg_catalog.pg_extension WHERE extname = 'vector') AS schema,
    (SELECT atttypmod FROM pg_catalog.pg_attribute
     WHERE attrelid = to_regclass('outlive.item_embeddings') AND attname = 'embedding') AS dimensions

-- name: make
-- Makes the table of the items' embeddings, one a text that an item is found by, and what works on it.
CREATE TABLE IF NOT EXISTS outlive.item_embeddings (
    tenant    text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    ns        text[] COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    place     integer NOT NULL,
    embedding {schema}.vector({dimensions}) NOT NULL,
    PRIMARY KEY (tenant, ns, key, place),
    FOREIGN KEY (tenant, ns, key) REFERENCES outlive.items (tenant, ns, key) ON DELETE CASCADE
);

CREATE OR REPLACE FUNCTION outlive.embed_items(
    p_all_ns text[], p_all_keys text[], p_ns text[], p_keys text[], p_places integer[], p_embeddings text[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    DELETE FROM outlive.item_embeddings AS e USING unnest(p_all_ns, p_all_keys) AS n (ns, key)
    WHERE e.tenant = outlive.items_tenant() AND e.ns = n.ns::text[] AND e.key = n.key;
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
        FROM outlive.item_embeddings AS e WHERE e.tenant = i.tenant AND e.ns = i.ns AND e.key = i.key
    ) AS s
    WHERE i.tenant = outlive.items_tenant() AND i.ns >= p_prefix AND coalesce(i.ns < outlive.items_end(p_prefix), true)
        AND outlive.item_matches(i.value, p_filter) AND coalesce(i.expires_at > clock_timestamp(), true)
    ORDER BY s.score DESC NULLS LAST, i.updated_at DESC OFFSET p_offset LIMIT p_limit
$$
