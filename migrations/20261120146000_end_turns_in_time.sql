-- What a reviewer of the sweeps of Retell's calls found: turns that end in time and go on within a list, accounts that were never swept, keys that are refused, what
-- was made up for by a sweep, and a backlog of our own queues judged by its age (issue 3, Sweeps; faults E2, E4).

-- Where a turn ended in the middle of a list: its span, the key of the page to read next, and how many of its pages were read. NULL: it ended with the list, or failed.
ALTER TABLE call_sweep_turns
    ADD COLUMN page_from timestamptz,
    ADD COLUMN page_until timestamptz,
    ADD COLUMN page_key text,
    ADD COLUMN pages integer NOT NULL DEFAULT 0 CHECK (pages >= 0);

-- The lifecycle events of a call that a sweep made up for and that no webhook has told since: the provenance `reconciled` of a call.
ALTER TABLE calls ADD COLUMN repaired text[] NOT NULL DEFAULT '{}';

COMMENT ON COLUMN hearing.nothing_waited_at IS 'what was received before was handled: no message waited then, or those handled since had come later';

GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- The companies behind an account's key: whose calls nobody hears of when it is refused.
CREATE FUNCTION companies_of_credential(credential uuid) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT c.id FROM credentials k JOIN phone_numbers p ON p.provider_account_id = k.provider_account_id
        JOIN companies c ON c.id = p.company_id AND c.disabled_at IS NULL WHERE k.id = credential ORDER BY 1 LIMIT 1000;
END
$$;

-- As before, and which of them are silent already: one that cannot be judged now stays what it was.
DROP FUNCTION silences_to_judge();
CREATE FUNCTION silences_to_judge() RETURNS TABLE (company_id uuid, provider text, silent boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT s.company_id, s.provider, s.silent_since IS NOT NULL FROM silences s JOIN companies c ON c.id = s.company_id AND c.disabled_at IS NULL
        WHERE cardinality(s.missed_at) > 0 OR s.silent_since IS NOT NULL ORDER BY 1, 2;
END
$$;

-- As before, but: an account that was never swept counts from when it could have been; a key that is refused is one, however many companies share it; and programs of before
-- progressed_at was there tell by a run's end that they come on (a roll-out takes longer than ten minutes).
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
            SELECT 'rejected_credentials', count(DISTINCT coalesce(r.details ->> 'credential_id', r.id::text)), min(r.created_at) FROM reviews r
            WHERE r.state = 'open' AND r.reason = 'credential_rejected'
            UNION ALL
            -- wanted, or meant to come every minute or two, and not a step further for ten: what no webhook tells stays unknown, and no silence is noticed
            SELECT 'stopped_sweeps', count(*), min(w.moved_at)
            FROM (SELECT greatest(s.progressed_at, s.last_finished_at) AS moved_at FROM sweeps s JOIN credentials k ON k.id = s.credential_id AND k.disabled_at IS NULL
                  WHERE s.wanted_at IS NOT NULL OR (s.kind = 'updates' AND s.cursor_at IS NOT NULL)
                  UNION ALL
                  SELECT coalesce(s.swept_at, greatest(k.created_at, e.created_at)) FROM credentials k
                  -- without an endpoint there is nothing to compare with
                  JOIN LATERAL (SELECT min(created_at) AS created_at FROM endpoints WHERE endpoints.provider_account_id = k.provider_account_id) e ON e.created_at IS NOT NULL
                  LEFT JOIN call_sweeps s ON s.credential_id = k.id
                  WHERE k.provider = 'retell' AND k.disabled_at IS NULL) w
            WHERE w.moved_at < at_now - interval '10 minutes'
        ) m;
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['companies_of_credential(uuid)', 'silences_to_judge()']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_resolver', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker, frontdesk_operator', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before sweep as before, without a page to go on from
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120146000, 20261120090000);
