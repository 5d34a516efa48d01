-- name: add
-- Keeps documents of a source.
SELECT outlive.add_context($1, $2, $3, $4) AS keys

-- name: add_embedded
-- Keeps documents of a source with their embeddings.
SELECT outlive.embed_context(outlive.add_context($1, $2, $3, $4), $5) AS keys

-- name: get
-- Reads the documents of a source, the latest first.
SELECT d.source, c.hash, c.content, d.metadata::text AS metadata, d.retrieved_at
FROM outlive.context_documents AS d JOIN outlive.context_contents AS c ON c.key = d.content
WHERE d.source = $1 ORDER BY d.retrieved_at DESC, c.key DESC LIMIT $2

-- name: delete
-- Deletes the documents of a source.
SELECT outlive.delete_context($1) AS deleted

-- name: expire
-- Deletes documents that were retrieved too long ago.
SELECT outlive.expire_context(make_interval(secs => $1), $2) AS deleted

-- name: search
-- Finds the documents that are nearest to an embedding.
SELECT source, hash, content, metadata, retrieved_at, score
FROM outlive.search_context($1, $2, $3, $4::text::jsonb) ORDER BY score

-- name: search_text
-- Finds the documents that have the words, best first.
SELECT d.source, c.hash, c.content, d.metadata::text AS metadata, d.retrieved_at,
    ts_rank_cd(c.words, q.query)::double precision AS score
FROM websearch_to_tsquery('pg_catalog.simple'::regconfig, $1) AS q (query)
JOIN outlive.context_contents AS c ON c.words @@ q.query
JOIN outlive.context_documents AS d ON d.content = c.key
WHERE ($3::text IS NULL OR d.source = $3) AND d.metadata @> $4::text::jsonb
ORDER BY score DESC, c.key, d.source LIMIT $2
