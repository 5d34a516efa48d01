-- Items by namespace and key: what agents remember beyond one thread. A namespace is a path of labels.

CREATE TABLE outlive.items (
    tenant      text NOT NULL DEFAULT coalesce(current_setting('outlive.tenant', true), ''),
    ns          text[] COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    value       jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    lives       interval,
    expires_at  timestamptz,
    PRIMARY KEY (tenant, ns, key)
);

COMMENT ON COLUMN outlive.items.lives IS 'How long it lives after it was put or, if its reader asks for that, read.';

CREATE INDEX items_expires_at ON outlive.items (expires_at) WHERE expires_at IS NOT NULL;

-- Whether a value is what a filter asks for: equal, or as its operators say. Numbers are compared with numbers only.
CREATE FUNCTION outlive.item_matches(p_value jsonb, p_asked jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    asked record;
    same  boolean;
BEGIN
    IF jsonb_typeof(p_asked) IS DISTINCT FROM 'object' THEN
        RETURN p_value IS NOT DISTINCT FROM p_asked OR (p_value IS NULL AND p_asked = 'null');
    END IF;
    FOR asked IN SELECT e.key, e.value FROM jsonb_each(p_asked) AS e LOOP
        same := coalesce(jsonb_typeof(p_value), 'null') = jsonb_typeof(asked.value);
        same := CASE asked.key
            WHEN '$eq' THEN coalesce(p_value, 'null') = asked.value
            WHEN '$ne' THEN coalesce(p_value, 'null') <> asked.value
            WHEN '$gt' THEN same AND p_value > asked.value
            WHEN '$gte' THEN same AND p_value >= asked.value
            WHEN '$lt' THEN same AND p_value < asked.value
            WHEN '$lte' THEN same AND p_value <= asked.value
            ELSE outlive.item_matches(p_value -> asked.key, asked.value)
        END;
        IF NOT same THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;

-- The namespaces that begin with a path lie between it and this; null for the empty path.
CREATE FUNCTION outlive.items_end(p_prefix text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN cardinality(p_prefix) > 0
        THEN p_prefix[: cardinality(p_prefix) - 1] || (p_prefix[cardinality(p_prefix)] || chr(1)) END
$$;

-- The tenant whose items are meant.
CREATE FUNCTION outlive.items_tenant() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT coalesce(current_setting('outlive.tenant', true), '') $$;

-- Puts and deletes (where the value is null) items, the last one of a name counts. Said twice, it is done once.
CREATE FUNCTION outlive.put_items(p_ns text[], p_keys text[], p_values text[], p_minutes double precision[])
RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM outlive.items AS i JOIN unnest(p_ns, p_keys) AS n (ns, key) ON i.ns = n.ns::text[] AND i.key = n.key
    WHERE i.tenant = outlive.items_tenant() ORDER BY i.ns, i.key FOR UPDATE OF i;
    DELETE FROM outlive.items AS i USING unnest(p_ns, p_keys, p_values) AS n (ns, key, value)
    WHERE i.tenant = outlive.items_tenant() AND i.ns = n.ns::text[] AND i.key = n.key AND n.value IS NULL;
    INSERT INTO outlive.items AS i (ns, key, value, lives, expires_at)
    SELECT n.ns::text[], n.key, n.value::jsonb, make_interval(secs => n.minutes * 60),
        clock_timestamp() + make_interval(secs => n.minutes * 60)
    FROM unnest(p_ns, p_keys, p_values, p_minutes) AS n (ns, key, value, minutes)
    WHERE n.value IS NOT NULL ORDER BY 1, 2
    ON CONFLICT ON CONSTRAINT items_pkey DO UPDATE SET value = excluded.value, updated_at = clock_timestamp(),
        lives = excluded.lives, expires_at = excluded.expires_at;
END
$$;

-- Lets items live on that were read.
CREATE FUNCTION outlive.refresh_items(p_ns text[], p_keys text[]) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE outlive.items AS i SET expires_at = clock_timestamp() + i.lives
    FROM unnest(p_ns, p_keys) AS n (ns, key)
    WHERE i.tenant = outlive.items_tenant() AND i.ns = n.ns::text[] AND i.key = n.key AND i.lives IS NOT NULL
$$;
