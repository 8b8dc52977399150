-- Consistency is proven daily: the rows of a run belong together, a check that did not end in time is none that found nothing, and the newest run of every company can be added up.
ALTER TABLE check_runs
    ADD COLUMN run_id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- check: a query over rows of the company · schema: the same, over what all companies share · column: filled cells of an audit column · score: see shared::domain::consistency
    ADD COLUMN kind text NOT NULL DEFAULT 'check' CHECK (kind IN ('check', 'schema', 'column', 'score')),
    ADD COLUMN asked_by text NOT NULL DEFAULT 'schedule' CHECK (asked_by IN ('schedule', 'operator')),
    -- NULL: not ended in time
    ALTER COLUMN violations DROP NOT NULL;
CREATE INDEX check_runs_newest ON check_runs (company_id, ran_at);

-- old runs go (shared::store::consistency), and the operator's command may keep a run of its own
GRANT DELETE ON check_runs TO frontdesk_worker;
GRANT INSERT ON check_runs TO frontdesk_operator;
GRANT SELECT ON check_runs TO frontdesk_resolver;

-- CREATE only while ownership is handed over; taken back at the end of this file
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- The newest run of every company, added up: for metrics, so no identity.
CREATE FUNCTION resolve_check_figures() RETURNS TABLE (kind text, check_name text, violations bigint, examined bigint, unfinished bigint, ran_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT r.kind, r.check_name,
            coalesce(CASE WHEN r.kind = 'schema' THEN max(r.violations) ELSE sum(r.violations)::bigint END, 0),
            CASE WHEN r.kind = 'schema' THEN max(r.examined) ELSE sum(r.examined)::bigint END,
            count(*) FILTER (WHERE r.violations IS NULL),
            min(r.ran_at)
        FROM companies c
        JOIN LATERAL (SELECT n.run_id, n.ran_at FROM check_runs n WHERE n.company_id = c.id ORDER BY n.ran_at DESC LIMIT 1) newest ON true
        JOIN check_runs r ON r.company_id = c.id AND r.ran_at = newest.ran_at AND r.run_id = newest.run_id
        WHERE c.disabled_at IS NULL
        GROUP BY r.kind, r.check_name;
END
$$;
ALTER FUNCTION resolve_check_figures() OWNER TO frontdesk_resolver;
REVOKE ALL ON FUNCTION resolve_check_figures() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_check_figures() TO frontdesk_worker, frontdesk_operator, frontdesk_portal;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged: they write no checks
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120150000, 20261120090000);
