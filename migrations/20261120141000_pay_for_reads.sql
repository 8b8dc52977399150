-- A live call's own requests to Cal.com (free slots) are paid from the credential's budget like everything else, and while they are under way they occupy a place in it: a
-- request that was paid for may arrive late, and the window must hold whatever the delays (migration 20261120121000).
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- when each read that is under way is over at the latest: its process may die
ALTER TABLE credentials ADD COLUMN reads timestamptz[] NOT NULL DEFAULT '{}';

CREATE OR REPLACE FUNCTION budget_tokens(k credentials, at_now timestamptz, under_way integer) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT least(greatest(k.burst - under_way - (SELECT count(*) FROM unnest(k.reads) AS ends(at) WHERE ends.at > at_now), 0),
                 k.tokens + greatest(0, extract(epoch FROM at_now - k.refilled_at)::double precision) * k.rate_per_minute / 60.0)
$$;

-- wait_ms NULL: one token is taken, the read is under way until `ends_at` or `end_budget_read`. Else as take_budget_token. `asked_at` is the database's clock.
CREATE FUNCTION take_read_token(credential uuid, read_ms integer, OUT wait_ms bigint, OUT asked_at timestamptz, OUT ends_at timestamptz)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    -- holds the credential's row from here on
    wait_ms := take_budget_token(credential, true, 0, NULL::uuid);
    asked_at := frontdesk_now();
    IF wait_ms IS NULL THEN
        -- one microsecond apart: the end of a read removes itself only
        SELECT greatest(asked_at + read_ms * interval '1 ms', max(ends.at) + interval '1 us') INTO ends_at FROM credentials c, unnest(c.reads) AS ends(at) WHERE c.id = credential;
        ends_at := coalesce(ends_at, asked_at + read_ms * interval '1 ms');
        UPDATE credentials c SET reads = ARRAY(SELECT ends.at FROM unnest(c.reads) AS ends(at) WHERE ends.at > asked_at) || ends_at WHERE c.id = credential;
    END IF;
END
$$;

CREATE FUNCTION end_budget_read(credential uuid, ends_at timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    UPDATE credentials c SET reads = array_remove(c.reads, end_budget_read.ends_at) WHERE c.id = credential;
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['take_read_token(uuid, integer)', 'end_budget_read(uuid, timestamptz)']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_resolver', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before make no reads of their own
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120141000, 20261120090000);
