-- Calls that end without a webhook: what was heard of each call, when Retell must be asked about it, how far each account's calls are compared with Retell's
-- own list, and what a company's webhooks failed to tell (reference/retell.md 2.3, 6.6; faults E2, E4).

-- which kind of event each value came from, so that any order of events ends in the same row (domain::call)
ALTER TABLE calls ADD COLUMN marks jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(marks) = 'object');
-- the lifecycle events that were heard, or that a sweep has made up for: call_started, call_ended, call_analyzed
ALTER TABLE calls ADD COLUMN heard text[] NOT NULL DEFAULT '{}';
-- when Retell is asked about this call; NULL = nothing to ask. While it is not over: after its maximum duration
ALTER TABLE calls ADD COLUMN look_due_at timestamptz;
ALTER TABLE calls ADD COLUMN look_count integer NOT NULL DEFAULT 0;
CREATE INDEX calls_look_due ON calls (look_due_at) WHERE look_due_at IS NOT NULL;

-- what is there was heard by whoever wrote it; a call that is not over gets its look
UPDATE calls SET heard = CASE status WHEN 'analyzed' THEN '{call_started,call_ended,call_analyzed}'::text[] WHEN 'ended' THEN '{call_started,call_ended}'::text[] ELSE '{}'::text[] END,
    look_due_at = CASE WHEN status IN ('registered', 'ongoing') THEN coalesce(started_at, created_at) + interval '65 minutes' END;

-- How far the calls of a Retell account are compared with Retell's list: every call that ended before this instant was looked at.
CREATE TABLE call_sweeps (
    credential_id uuid PRIMARY KEY REFERENCES credentials,
    swept_until timestamptz NOT NULL,
    swept_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON call_sweeps TO frontdesk_worker;
GRANT SELECT ON call_sweeps TO frontdesk_operator;

-- Calls that Retell holds and that are nobody's: noted once, so that each is parked once.
CREATE TABLE unowned_calls (
    credential_id uuid NOT NULL REFERENCES credentials,
    retell_call_id text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (credential_id, retell_call_id)
);
GRANT SELECT, INSERT, DELETE ON unowned_calls TO frontdesk_worker;
GRANT SELECT ON unowned_calls TO frontdesk_operator;

-- What a sweep found at a provider and no webhook had told, per company: two such facts after the last webhook, and the company is silent.
CREATE TABLE silences (
    company_id uuid NOT NULL REFERENCES companies,
    provider text NOT NULL CHECK (provider IN ('retell', 'calcom')),
    -- when the newest of them happened at the provider; the oldest fall out
    missed_at timestamptz[] NOT NULL DEFAULT '{}' CHECK (cardinality(missed_at) <= 16),
    missed_total bigint NOT NULL DEFAULT 0,
    -- the alarm: since when nothing is heard; NULL = it hears
    silent_since timestamptz,
    PRIMARY KEY (company_id, provider)
);
ALTER TABLE silences ENABLE ROW LEVEL SECURITY;
ALTER TABLE silences FORCE ROW LEVEL SECURITY;
CREATE POLICY of_the_company ON silences USING (company_id = current_company()) WITH CHECK (company_id = current_company());
GRANT SELECT, INSERT, UPDATE ON silences TO frontdesk_worker;
GRANT SELECT ON silences TO frontdesk_backfill, frontdesk_portal, frontdesk_operator, frontdesk_resolver;

GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- Calls about which Retell is to be asked, the longest due first; with the live key and an endpoint of the account that their number belongs to.
CREATE FUNCTION calls_to_look_at(at_most integer)
    RETURNS TABLE (company_id uuid, retell_call_id text, credential_id uuid, endpoint_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT c.company_id, c.retell_call_id, k.id, e.id
        FROM calls c
        JOIN phone_numbers p ON p.company_id = c.company_id AND p.id = c.phone_number_id
        JOIN credentials k ON k.provider_account_id = p.provider_account_id AND k.disabled_at IS NULL AND k.provider = 'retell'
        JOIN LATERAL (SELECT id FROM endpoints WHERE endpoints.provider_account_id = p.provider_account_id ORDER BY disabled_at DESC NULLS FIRST, created_at, id LIMIT 1) e ON true
        WHERE c.look_due_at <= frontdesk_now()
        ORDER BY c.look_due_at LIMIT at_most;
END
$$;

-- Companies whose silence must be judged: something was missed, or the alarm is on.
CREATE FUNCTION silences_to_judge() RETURNS TABLE (company_id uuid, provider text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT s.company_id, s.provider FROM silences s JOIN companies c ON c.id = s.company_id AND c.disabled_at IS NULL
        WHERE cardinality(s.missed_at) > 0 OR s.silent_since IS NOT NULL ORDER BY 1, 2;
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['calls_to_look_at(integer)', 'silences_to_judge()']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_resolver', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker, frontdesk_operator', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before write calls as before, without marks
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120123000, 20261120090000);
