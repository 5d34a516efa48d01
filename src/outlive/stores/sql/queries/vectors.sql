-- name: facts
-- Says what there is of pgvector: whether the server has it, its schema if the database has, and the dimensions kept.
SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'vector') AS available,
    (SELECT extnamespace::regnamespace::text FROM pg_catalog.pg_extension WHERE extname = 'vector') AS schema,
    (SELECT atttypmod FROM pg_catalog.pg_attribute
     WHERE attrelid = to_regclass('outlive.context_embeddings') AND attname = 'embedding') AS dimensions

-- name: create_extension
-- Brings pgvector into the database.
CREATE EXTENSION vector SCHEMA public

-- name: make
-- Makes the table of embeddings and what works on it.
CREATE TABLE IF NOT EXISTS outlive.context_embeddings (
    content   bigint PRIMARY KEY REFERENCES outlive.context_contents (key) ON DELETE CASCADE,
    tenant    text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    embedding {schema}.vector({dimensions}) NOT NULL
);

CREATE OR REPLACE FUNCTION outlive.embed_context(p_contents bigint[], p_embeddings text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO outlive.context_embeddings (content, embedding)
    SELECT DISTINCT ON (n.content) n.content, n.embedding::{schema}.vector({dimensions})
    FROM unnest(p_contents, p_embeddings) WITH ORDINALITY AS n (content, embedding, place)
    WHERE n.embedding IS NOT NULL
    ORDER BY n.content, n.place DESC
    ON CONFLICT ON CONSTRAINT context_embeddings_pkey DO UPDATE SET embedding = excluded.embedding;
    RETURN p_contents;
END
$$;

-- The nearest documents by cosine distance. Filtered, an index scan goes on until there are enough of them.
CREATE OR REPLACE FUNCTION outlive.search_context(p_embedding text, p_k bigint, p_source text, p_metadata jsonb)
RETURNS TABLE (source text, hash bytea, content text, metadata text, retrieved_at timestamptz, score double precision)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    sought CONSTANT {schema}.vector({dimensions}) := p_embedding::{schema}.vector({dimensions});
BEGIN
    PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    RETURN QUERY
        SELECT d.source, c.hash, c.content, d.metadata::text, d.retrieved_at, e.embedding OPERATOR({schema}.<=>) sought
        FROM outlive.context_embeddings AS e
        JOIN outlive.context_documents AS d ON d.content = e.content
        JOIN outlive.context_contents AS c ON c.key = e.content
        WHERE (p_source IS NULL OR d.source = p_source) AND d.metadata @> p_metadata
        ORDER BY e.embedding OPERATOR({schema}.<=>) sought LIMIT p_k;
END
$$

-- name: make_index
-- Makes the index that finds near embeddings without looking at all of them.
CREATE INDEX IF NOT EXISTS context_embeddings_near
ON outlive.context_embeddings USING hnsw (embedding {schema}.vector_cosine_ops)
