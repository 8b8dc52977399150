-- One call that cannot be fetched or stored stops nobody else's: it is left out and told to a human, once; accounts take turns (issue 3, Sweeps; faults A6, E4).

-- When each Retell account had its last turn, and how far a nightly run that was interrupted came (NULL: it ended).
CREATE TABLE call_sweep_turns (
    credential_id uuid NOT NULL REFERENCES credentials,
    kind text NOT NULL CHECK (kind IN ('delta', 'nightly')),
    begun_at timestamptz NOT NULL,
    reached timestamptz,
    PRIMARY KEY (credential_id, kind)
);
GRANT SELECT, INSERT, UPDATE ON call_sweep_turns TO frontdesk_worker;
GRANT SELECT ON call_sweep_turns TO frontdesk_operator;

-- Calls of Retell's list that could not be taken in. Once parked, only the nightly run tries them again; rows older than its reach are removed by it.
CREATE TABLE troubled_calls (
    credential_id uuid NOT NULL REFERENCES credentials,
    retell_call_id text NOT NULL,
    class text NOT NULL,
    failures integer NOT NULL DEFAULT 1,
    parked boolean NOT NULL DEFAULT false,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (credential_id, retell_call_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON troubled_calls TO frontdesk_worker;
GRANT SELECT ON troubled_calls TO frontdesk_operator;

-- how often in a row Retell could not be asked about this call
ALTER TABLE calls ADD COLUMN look_failures integer NOT NULL DEFAULT 0;

-- As before, but accounts in turn, at most twenty calls of each, and none of an account that rests: those would stand before all the others.
CREATE OR REPLACE FUNCTION calls_to_look_at(at_most integer)
    RETURNS TABLE (company_id uuid, retell_call_id text, credential_id uuid, endpoint_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    RETURN QUERY
        SELECT d.company_id, d.retell_call_id, d.credential_id, d.endpoint_id
        FROM (
            SELECT c.company_id, c.retell_call_id, k.id AS credential_id, e.id AS endpoint_id, c.look_due_at,
                   row_number() OVER (PARTITION BY k.id ORDER BY c.look_due_at, c.id) AS turn
            FROM calls c
            JOIN phone_numbers p ON p.company_id = c.company_id AND p.id = c.phone_number_id
            JOIN credentials k ON k.provider_account_id = p.provider_account_id AND k.disabled_at IS NULL AND k.provider = 'retell'
                AND (k.blocked_until IS NULL OR k.blocked_until <= at_now) AND (k.probe_at IS NULL OR k.probe_at <= at_now)
            JOIN LATERAL (SELECT id FROM endpoints WHERE endpoints.provider_account_id = p.provider_account_id ORDER BY disabled_at DESC NULLS FIRST, created_at, id LIMIT 1) e ON true
            WHERE c.look_due_at <= at_now
        ) d
        WHERE d.turn <= 20 ORDER BY d.turn, d.look_due_at LIMIT at_most;
END
$$;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120131100, 20261120090000);
