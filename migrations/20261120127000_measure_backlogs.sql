-- What waits for somebody, over all companies: counts and ages without an identity, for metrics, alerts and `frontdesk backlog`.
-- A row stays at zero when nothing waits, so that an alert sees the end as well as the beginning.
GRANT SELECT ON dead_letters, outbox, callback_requests, reviews TO frontdesk_resolver;

CREATE INDEX reviews_open ON reviews (created_at) WHERE state = 'open';

-- CREATE only while ownership is handed over; taken back at the end of this file
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

CREATE FUNCTION measure_backlogs() RETURNS TABLE (name text, waiting bigint, oldest_seconds double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    RETURN QUERY
        SELECT m.name, m.waiting, greatest(0, coalesce(extract(epoch FROM at_now - m.oldest), 0))::double precision
        FROM (
            SELECT 'dead_letters' AS name, count(*) AS waiting, min(d.created_at) AS oldest FROM dead_letters d WHERE d.state = 'open'
            UNION ALL
            SELECT 'outbox', count(*), min(o.created_at) FROM outbox o
            UNION ALL
            -- by their wish, not by due_at: a wait for Cal.com moves that
            SELECT 'intents', count(*), min(i.created_at) FROM intents i WHERE i.state IN ('recorded', 'sent', 'unknown') AND i.op <> 'look'
            UNION ALL
            SELECT 'overdue_callbacks', count(*), min(c.due_at) FROM callback_requests c WHERE c.state IN ('open', 'assigned') AND c.due_at <= at_now
            UNION ALL
            SELECT 'reviews', count(*), min(r.created_at) FROM reviews r WHERE r.state = 'open'
            UNION ALL
            SELECT 'overlaps', count(*), min(r.created_at) FROM reviews r WHERE r.state = 'open' AND r.reason = 'overlap'
            UNION ALL
            SELECT 'rejected_credentials', count(*), min(r.created_at) FROM reviews r WHERE r.state = 'open' AND r.reason = 'credential_rejected'
        ) m;
END
$$;
ALTER FUNCTION measure_backlogs() OWNER TO frontdesk_resolver;
REVOKE ALL ON FUNCTION measure_backlogs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION measure_backlogs() TO frontdesk_worker, frontdesk_operator;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120127000, 20261120090000);
