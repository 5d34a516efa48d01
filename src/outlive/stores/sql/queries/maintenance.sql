-- name: due
-- Counts what is old enough to go, of the stores that keep it by age; nothing is where no age is given.
SELECT
    (SELECT count(*) FROM outlive.llm_cache WHERE expires_at <= clock_timestamp()) AS llm_cache,
    (SELECT count(*) FROM outlive.items WHERE expires_at <= clock_timestamp()) AS items,
    (SELECT count(*) FROM outlive.tasks
     WHERE status IN ('finished', 'cancelled') AND ended_at < clock_timestamp() - make_interval(secs => $1)) AS tasks,
    (SELECT count(*) FROM outlive.context_documents
     WHERE retrieved_at < clock_timestamp() - make_interval(secs => $2)) AS context,
    (SELECT count(*) FROM outlive.events WHERE at < clock_timestamp() - make_interval(secs => $3)) AS events,
    (SELECT count(*) FROM outlive.text_keys
     WHERE made_at < clock_timestamp() - make_interval(secs => $4)) AS keys
