-- How a company is proven from signed content, and how queues that span companies are read: functions of a role that sees all companies and cannot log in.

GRANT SELECT ON companies, branches, services, staff, phone_numbers, agents, endpoints, credentials, calcom_bookings, appointments, calls TO frontdesk_resolver;
GRANT SELECT, UPDATE ON intents, credentials TO frontdesk_resolver;
GRANT SELECT ON clock_shift TO frontdesk_resolver;
-- CREATE only while ownership is handed over; taken back at the end of this file
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- Our number of a call, within the endpoint's account: exact E.164 or nothing (incident 42).
CREATE FUNCTION resolve_phone_number(endpoint uuid, number text)
    RETURNS TABLE (company_id uuid, branch_id uuid, phone_number_id uuid, time_zone text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    SELECT p.company_id, p.branch_id, p.id, b.time_zone
    FROM phone_numbers p
    JOIN endpoints e ON e.provider_account_id = p.provider_account_id
    JOIN companies c ON c.id = p.company_id AND c.disabled_at IS NULL
    JOIN branches b ON b.company_id = p.company_id AND b.id = p.branch_id
    WHERE e.id = endpoint AND p.e164 = number AND p.active
$$;

-- The companies that use this agent within the endpoint's account: a cross-check, never the proof.
CREATE FUNCTION resolve_agent(endpoint uuid, agent text) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    SELECT DISTINCT a.company_id FROM agents a JOIN endpoints e ON e.provider_account_id = a.provider_account_id
    WHERE e.id = endpoint AND a.retell_agent_id = agent
$$;

CREATE FUNCTION resolve_event_type(endpoint uuid, event_type bigint)
    RETURNS TABLE (company_id uuid, branch_id uuid, service_id uuid, provider_account_id uuid, time_zone text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    SELECT s.company_id, b.id, s.id, s.provider_account_id, b.time_zone
    FROM services s
    JOIN endpoints e ON e.provider_account_id = s.provider_account_id
    JOIN companies c ON c.id = s.company_id AND c.disabled_at IS NULL
    JOIN LATERAL (SELECT id, time_zone FROM branches WHERE branches.company_id = s.company_id AND (s.branch_id IS NULL OR branches.id = s.branch_id)
                  ORDER BY created_at, id LIMIT 1) b ON true
    WHERE e.id = endpoint AND s.calcom_event_type_id = event_type
$$;

-- A booking that we know, within the endpoint's account: for events that carry no event type.
CREATE FUNCTION resolve_booking(endpoint uuid, booking_uid text)
    RETURNS TABLE (company_id uuid, appointment_id uuid, event_type_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    SELECT k.company_id, k.appointment_id, k.event_type_id
    FROM calcom_bookings k JOIN endpoints e ON e.provider_account_id = k.provider_account_id
    WHERE e.id = endpoint AND k.uid = booking_uid
$$;

CREATE FUNCTION resolve_companies() RETURNS TABLE (company_id uuid, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT id, name FROM companies WHERE disabled_at IS NULL ORDER BY id $$;

-- Due intents, leased: per credential no more than its tokens and its in-flight cap allow; live first, companies in turn, oldest first.
-- One call leases at most `at_most`. A leased intent comes back after `lease_seconds` if its holder does not settle it (crash): its outcome is then unknown.
-- The caller learns only identities; it reads the rows under their company.
CREATE FUNCTION lease_due_intents(holder uuid, at_most integer, lease_seconds integer)
    RETURNS TABLE (intent_id uuid, company_id uuid, credential_id uuid)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    k record;
    at_now timestamptz := frontdesk_now();
    available double precision;
    in_flight integer;
    room integer;
    taken integer := 0;
    n integer;
BEGIN
    FOR k IN
        SELECT c.* FROM credentials c
        WHERE c.disabled_at IS NULL AND (c.blocked_until IS NULL OR c.blocked_until <= at_now)
          AND EXISTS (SELECT 1 FROM intents i WHERE i.credential_id = c.id AND i.state IN ('recorded', 'sent', 'unknown') AND i.due_at <= at_now
                      AND (i.lease_until IS NULL OR i.lease_until <= at_now))
        ORDER BY c.id
        FOR UPDATE OF c SKIP LOCKED
    LOOP
        EXIT WHEN taken >= at_most;
        available := least(k.burst, k.tokens + greatest(0, extract(epoch FROM at_now - k.refilled_at)) * k.rate_per_minute / 60.0);
        SELECT count(*) INTO in_flight FROM intents i
            WHERE i.credential_id = k.id AND i.state IN ('recorded', 'sent', 'unknown') AND i.lease_until > at_now;
        room := least(at_most - taken, k.in_flight_max - in_flight, floor(available)::integer);
        IF room > 0 THEN
            RETURN QUERY
                WITH ranked AS (
                    SELECT i.id, i.due_at, i.lane = 'live' AS live,
                           row_number() OVER (PARTITION BY i.company_id, i.lane ORDER BY i.due_at, i.id) AS turn
                    FROM (SELECT * FROM intents
                          WHERE credential_id = k.id AND state IN ('recorded', 'sent', 'unknown') AND due_at <= at_now
                            AND (lease_until IS NULL OR lease_until <= at_now)
                          ORDER BY lane DESC, due_at LIMIT 2000) i
                ), ordered AS (
                    SELECT id, live, row_number() OVER (ORDER BY live DESC, turn, due_at, id) AS place FROM ranked
                )
                UPDATE intents i SET lease_holder = holder, lease_until = at_now + make_interval(secs => lease_seconds)
                -- bulk leaves the reserve for the next caller
                FROM ordered o WHERE i.id = o.id AND o.place <= room AND (o.live OR o.place <= available - k.live_reserve)
                RETURNING i.id, i.company_id, i.credential_id;
            GET DIAGNOSTICS n = ROW_COUNT;
            UPDATE credentials c SET tokens = available - n, refilled_at = at_now WHERE c.id = k.id;
            taken := taken + n;
        END IF;
    END LOOP;
END
$$;

-- When the next intent is due, so that the dispatcher sleeps no longer than needed.
CREATE FUNCTION next_intent_due() RETURNS timestamptz
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    SELECT min(greatest(i.due_at, coalesce(i.lease_until, i.due_at), coalesce(c.blocked_until, i.due_at)))
    FROM intents i JOIN credentials c ON c.id = i.credential_id
    WHERE i.state IN ('recorded', 'sent', 'unknown') AND c.disabled_at IS NULL
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['resolve_phone_number(uuid, text)', 'resolve_agent(uuid, text)', 'resolve_event_type(uuid, bigint)',
        'resolve_booking(uuid, text)', 'resolve_companies()', 'lease_due_intents(uuid, integer, integer)', 'next_intent_due()']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_resolver', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker, frontdesk_backfill, frontdesk_operator', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;
