-- A sweep that stopped is seen: counted with its age beside everything else that waits.
GRANT SELECT ON sweeps, call_sweeps TO frontdesk_resolver;

CREATE OR REPLACE FUNCTION measure_backlogs() RETURNS TABLE (name text, waiting bigint, oldest_seconds double precision)
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
            UNION ALL
            -- wanted, or meant to come every two minutes, and not a step further for ten: what no webhook tells stays unknown, and no silence is noticed
            SELECT 'stopped_sweeps', count(*), min(w.moved_at)
            FROM (SELECT s.progressed_at AS moved_at FROM sweeps s JOIN credentials k ON k.id = s.credential_id AND k.disabled_at IS NULL
                  WHERE s.wanted_at IS NOT NULL OR (s.kind = 'updates' AND s.cursor_at IS NOT NULL)
                  UNION ALL
                  SELECT s.swept_at FROM call_sweeps s JOIN credentials k ON k.id = s.credential_id AND k.disabled_at IS NULL) w
            WHERE w.moved_at < at_now - interval '10 minutes'
        ) m;
END
$$;

-- programs of the version before show the rows that they know
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120131300, 20261120090000);
