-- What Cal.com tells by webhook gets lost (calcom reference 1.7): sweeps read its lists and fold them in. One row per credential and kind of sweep: the wish
-- for a run, how far it came, who works on it; and what a company is proven by when no endpoint signed for it.

-- a run that somebody asked for, paused or not
ALTER TABLE jobs ADD COLUMN run_asked_at timestamptz;

CREATE TABLE sweeps (
    credential_id uuid NOT NULL REFERENCES credentials,
    -- adoption: everything there is, once, by when it was made · updates: what changed since · window: what starts in the near past and future
    kind text NOT NULL CHECK (kind IN ('adoption', 'updates', 'window')),
    -- a run is wanted; NULL again when it ended
    wanted_at timestamptz,
    -- what changed before this is in our rows (updates), or the list was read to its end (adoption)
    cursor_at timestamptz,
    -- the run in progress, for whoever goes on with it: its bounds, its next page
    run_started_at timestamptz,
    run_from timestamptz,
    run_until timestamptz,
    page_from timestamptz,
    page_skip integer NOT NULL DEFAULT 0 CHECK (page_skip >= 0),
    pages integer NOT NULL DEFAULT 0,
    found bigint NOT NULL DEFAULT 0,
    repaired bigint NOT NULL DEFAULT 0,
    last_finished_at timestamptz,
    last_found bigint,
    last_repaired bigint,
    last_error text,
    -- of no service of ours: told once each, and read again when they have one (in the adoption's row, for all sweeps of the credential)
    unknown_event_types bigint[] NOT NULL DEFAULT '{}',
    lease_holder uuid,
    epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    PRIMARY KEY (credential_id, kind)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON sweeps TO frontdesk_worker;
GRANT SELECT, INSERT, UPDATE ON sweeps TO frontdesk_operator;
GRANT SELECT ON sweeps TO frontdesk_portal;

-- CREATE only while ownership is handed over; taken back at the end of this file
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- Whose event types these are, within an account: as resolve_event_type, for a list that we read with the account's own key.
CREATE FUNCTION resolve_event_types_of_account(account uuid, event_types bigint[])
    RETURNS TABLE (event_type_id bigint, company_id uuid, branch_id uuid, service_id uuid, provider_account_id uuid, time_zone text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT s.calcom_event_type_id, s.company_id, b.id, s.id, s.provider_account_id, b.time_zone
        FROM services s
        JOIN companies c ON c.id = s.company_id AND c.disabled_at IS NULL
        JOIN LATERAL (SELECT o.id, o.time_zone FROM branches o WHERE o.company_id = s.company_id AND (s.branch_id IS NULL OR o.id = s.branch_id)
                      ORDER BY o.created_at, o.id LIMIT 1) b ON true
        WHERE s.provider_account_id = account AND s.calcom_event_type_id = ANY (event_types);
END
$$;

-- Bookings that we know, within an account: for those whose event type is gone.
CREATE FUNCTION resolve_bookings_of_account(account uuid, uids text[]) RETURNS TABLE (uid text, company_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT k.uid, k.company_id FROM calcom_bookings k WHERE k.provider_account_id = account AND k.uid = ANY (uids);
END
$$;

-- Wishes that nothing brings on: `waits` behind nothing (incident 13), `misplaced` at a key that is out of use while the account has another, `put_off` for longer
-- than anything ever is (a clock that jumped; the longest pause of calcom-sync is an hour and a half). And those that are merely `overdue`: for the gauge, since
-- calcom-sync takes them up as soon as it can.
CREATE INDEX intents_waiting ON intents (created_at) WHERE state = 'waiting';
CREATE FUNCTION resolve_stuck_intents(overdue interval, at_most integer) RETURNS TABLE (intent_id uuid, company_id uuid, appointment_id uuid, why text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    RETURN QUERY
        (SELECT i.id, i.company_id, i.appointment_id, 'waits'
         FROM intents i
         WHERE i.state = 'waiting' AND i.created_at < at_now - overdue
           AND NOT EXISTS (SELECT FROM intents o WHERE o.company_id = i.company_id AND o.appointment_id = i.appointment_id AND o.op <> 'look'
                           AND (o.state IN ('recorded', 'sent', 'unknown') OR (o.state = 'waiting' AND (o.created_at, o.id) < (i.created_at, i.id))))
         ORDER BY i.created_at LIMIT at_most)
        UNION ALL
        -- what only has to wait comes last: it must not hide the others
        (SELECT s.id, s.company_id, s.appointment_id, s.why
         FROM (SELECT i.id, i.company_id, i.appointment_id, i.due_at,
                      CASE WHEN c.disabled_at IS NOT NULL AND EXISTS (SELECT FROM credentials n WHERE n.provider_account_id = c.provider_account_id AND n.disabled_at IS NULL)
                               THEN 'misplaced'
                           WHEN i.due_at > at_now + interval '6 hours' OR i.lease_until > at_now + interval '6 hours' THEN 'put_off'
                           ELSE 'overdue' END AS why
               FROM intents i JOIN credentials c ON c.id = i.credential_id
               WHERE i.state IN ('recorded', 'sent', 'unknown')
                 AND (c.disabled_at IS NOT NULL OR i.due_at > at_now + interval '6 hours' OR i.lease_until > at_now + interval '6 hours'
                      OR greatest(i.due_at, i.lease_until) < at_now - overdue)) s
         ORDER BY s.why = 'overdue', s.due_at LIMIT at_most);
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['resolve_event_types_of_account(uuid, bigint[])', 'resolve_bookings_of_account(uuid, text[])',
        'resolve_stuck_intents(interval, integer)']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_resolver', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker, frontdesk_operator', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120122000, 20261120090000);
