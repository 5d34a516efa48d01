-- Context: what was retrieved for agents, by its source. The same content is stored once, whoever retrieved it.
--
-- Embeddings lie in a table of their own, which `enable_vectors` makes where the server has pgvector.

CREATE TABLE outlive.context_contents (
    key     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant  text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    hash    bytea NOT NULL CHECK (octet_length(hash) = 32),
    content text NOT NULL,
    words   tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('pg_catalog.simple'::regconfig, left(content, 200000))) STORED,
    UNIQUE (tenant, hash)
);

CREATE INDEX context_contents_words ON outlive.context_contents USING gin (words);

COMMENT ON COLUMN outlive.context_contents.words IS
    'For full-text search, in no particular language; of a very long content only its beginning.';

CREATE TABLE outlive.context_documents (
    tenant       text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    source       text NOT NULL CHECK (source <> '' AND length(source) <= 500),
    content      bigint NOT NULL REFERENCES outlive.context_contents (key),
    metadata     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    retrieved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, source, content)
);

CREATE INDEX context_documents_by_content ON outlive.context_documents (content);
CREATE INDEX context_documents_by_age ON outlive.context_documents (retrieved_at);

-- Keeps documents of a source; returns the keys of their contents, in the order given. A document that is there gets
-- the new metadata. Contents are locked in the order of their hashes, so that two writers can't wait for each other.
CREATE FUNCTION outlive.add_context(p_source text, p_hashes bytea[], p_contents text[], p_metadata text[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_tenant CONSTANT text := coalesce(current_setting('outlive.tenant', true), '');
    keys bigint[];
BEGIN
    INSERT INTO outlive.context_contents AS c (tenant, hash, content)
    SELECT v_tenant, n.hash, min(n.content) FROM unnest(p_hashes, p_contents) AS n (hash, content)
    GROUP BY n.hash ORDER BY n.hash
    ON CONFLICT ON CONSTRAINT context_contents_tenant_hash_key
        DO UPDATE SET tenant = c.tenant; -- locked, so that nobody deletes it meanwhile
    SELECT array_agg(c.key ORDER BY n.place) INTO keys
    FROM unnest(p_hashes) WITH ORDINALITY AS n (hash, place)
    JOIN outlive.context_contents AS c ON c.tenant = v_tenant AND c.hash = n.hash;
    INSERT INTO outlive.context_documents AS d (tenant, source, content, metadata)
    SELECT DISTINCT ON (n.key) v_tenant, p_source, n.key, n.metadata::jsonb
    FROM unnest(keys, p_metadata) WITH ORDINALITY AS n (key, metadata, place)
    ORDER BY n.key, n.place DESC
    ON CONFLICT ON CONSTRAINT context_documents_pkey
        DO UPDATE SET metadata = excluded.metadata, retrieved_at = clock_timestamp();
    RETURN keys;
END
$$;

-- Deletes those of these contents that no document refers to any more.
CREATE FUNCTION outlive.forget_contents(p_keys bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- Who adds a document of them meanwhile waits; the next statement sees whoever came before.
    PERFORM FROM outlive.context_contents WHERE key = ANY (p_keys) ORDER BY hash FOR UPDATE;
    DELETE FROM outlive.context_contents AS c
    WHERE c.key = ANY (p_keys) AND NOT EXISTS (SELECT FROM outlive.context_documents AS d WHERE d.content = c.key);
END
$$;

-- Deletes the documents of a source; returns how many there were.
CREATE FUNCTION outlive.delete_context(p_source text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    keys bigint[];
BEGIN
    WITH gone AS (DELETE FROM outlive.context_documents WHERE source = p_source RETURNING content)
    SELECT array_agg(content) INTO keys FROM gone;
    PERFORM outlive.forget_contents(keys);
    RETURN coalesce(cardinality(keys), 0);
END
$$;

-- Deletes the oldest documents that were retrieved longer ago than p_keep, so many at most; returns how many.
CREATE FUNCTION outlive.expire_context(p_keep interval, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    keys bigint[];
BEGIN
    WITH old AS (
        SELECT ctid FROM outlive.context_documents WHERE retrieved_at < clock_timestamp() - p_keep
        ORDER BY retrieved_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM outlive.context_documents AS d USING old WHERE d.ctid = old.ctid RETURNING d.content
    )
    SELECT array_agg(content) INTO keys FROM gone;
    PERFORM outlive.forget_contents(keys);
    RETURN coalesce(cardinality(keys), 0);
END
$$;
