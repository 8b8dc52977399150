-- What no request was made for costs nothing, and what can come to nothing ends. A lease that made no request gives its token back, and with it the probe of an outage: or
-- wishes that end without a request (a past time, a wish settled meanwhile) would be the probes, one in 45 s, and the outage would outlast its cause. A result that
-- cannot be recorded is counted. And a wish for a past time ends although its account has no key in use (incident 14).

-- whose lease or token the probe under way is; only its holder gives it back
ALTER TABLE credentials ADD COLUMN probe_holder uuid;
-- how often in a row the result of an intent could not be recorded, for another reason than that Postgres was away
ALTER TABLE intents ADD COLUMN unrecorded_count integer NOT NULL DEFAULT 0 CHECK (unrecorded_count >= 0);

-- CREATE only while ownership is handed over; taken back at the end of this file
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- The token or the lease of `holder` was used for no request. The arithmetic of the window holds: what never left, never arrives. During a block nothing is given back,
-- since a block begins with an empty bucket.
CREATE FUNCTION budget_unused(credential uuid, holder uuid, unused integer) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    UPDATE credentials c SET tokens = CASE WHEN c.blocked_until > at_now THEN c.tokens ELSE least(c.burst, c.tokens + unused) END,
            tokens_taken = greatest(0, c.tokens_taken - unused),
            probe_at = CASE WHEN c.probing AND c.probe_holder = holder THEN at_now ELSE c.probe_at END,
            probing = c.probing AND c.probe_holder IS DISTINCT FROM holder
        WHERE c.id = credential;
END
$$;

-- As before, and it notes whose probe it is.
CREATE FUNCTION take_budget_token(credential uuid, live boolean, own integer, holder uuid) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
    AS $$
DECLARE
    k credentials;
    at_now timestamptz := frontdesk_now();
    under_way integer;
    available double precision;
    needed double precision;
BEGIN
    SELECT c.* INTO k FROM credentials c WHERE c.id = credential AND c.disabled_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 60000;
    END IF;
    IF k.blocked_until > at_now THEN
        RETURN ceil(extract(epoch FROM k.blocked_until - at_now) * 1000)::bigint;
    END IF;
    IF k.probe_at > at_now THEN
        RETURN ceil(extract(epoch FROM k.probe_at - at_now) * 1000)::bigint;
    END IF;
    SELECT count(*) INTO under_way FROM intents i
        WHERE i.credential_id = credential AND i.lease_holder IS NOT NULL AND i.state IN ('recorded', 'sent', 'unknown') AND i.lease_until > at_now;
    available := budget_tokens(k, at_now, greatest(under_way - own, 0));
    needed := 1 + CASE WHEN live THEN 0 ELSE k.live_reserve END;
    IF available < needed THEN
        -- what is under way may free a place sooner than the refill does: look again within a second
        RETURN least(1000, greatest(1, ceil((needed - available) * 60000.0 / k.rate_per_minute)))::bigint;
    END IF;
    UPDATE credentials c SET tokens = available - 1, refilled_at = greatest(at_now, k.refilled_at), tokens_taken = c.tokens_taken + 1,
            probing = k.probe_at IS NOT NULL, probe_at = CASE WHEN k.probe_at IS NOT NULL THEN at_now + interval '45 s' END,
            probe_holder = CASE WHEN k.probe_at IS NOT NULL THEN holder END
        WHERE c.id = credential;
    RETURN NULL;
END
$$;

-- As programs of the version before call it, and sweeps.
CREATE OR REPLACE FUNCTION take_budget_token(credential uuid, live boolean, own integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    RETURN take_budget_token(credential, live, own, NULL::uuid);
END
$$;

-- As before, and it notes whose probe it is.
CREATE OR REPLACE FUNCTION lease_due_intents(holder uuid, at_most integer, at_most_bulk integer, lease_seconds integer, after_credential uuid)
    RETURNS TABLE (intent_id uuid, company_id uuid, credential_id uuid, live boolean)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off SET jit = off
    AS $$
#variable_conflict use_column
DECLARE
    nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    at_now timestamptz := frontdesk_now();
    k credentials;
    reached uuid := after_credential;
    wrapped boolean := after_credential = nobody;
    under_way integer;
    available double precision;
    taken integer := 0;
    taken_bulk integer := 0;
    before integer;
    of_lane text;
    turn uuid;
    found_id uuid;
    found_company uuid;
BEGIN
    <<credentials_in_turn>>
    LOOP
        EXIT WHEN taken >= at_most;
        SELECT i.credential_id INTO reached FROM intents i WHERE i.state IN ('recorded', 'sent', 'unknown') AND i.credential_id > reached
            ORDER BY i.credential_id LIMIT 1;
        IF NOT FOUND THEN
            EXIT WHEN wrapped;
            wrapped := true;
            reached := nobody;
            CONTINUE;
        END IF;
        EXIT WHEN wrapped AND after_credential <> nobody AND reached > after_credential;
        SELECT c.* INTO k FROM credentials c
            WHERE c.id = reached AND c.disabled_at IS NULL AND (c.blocked_until IS NULL OR c.blocked_until <= at_now) AND (c.probe_at IS NULL OR c.probe_at <= at_now)
            FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        SELECT count(*) INTO under_way FROM intents i
            WHERE i.credential_id = reached AND i.lease_holder IS NOT NULL AND i.state IN ('recorded', 'sent', 'unknown') AND i.lease_until > at_now;
        available := budget_tokens(k, at_now, under_way);
        before := taken;
        FOREACH of_lane IN ARRAY ARRAY['live', 'bulk']
        LOOP
            turn := CASE of_lane WHEN 'live' THEN k.turn_live ELSE k.turn_bulk END;
            WHILE taken < at_most AND under_way < k.in_flight_max AND available >= 1
                -- an outage: one probe at a time
                AND (k.probe_at IS NULL OR taken = before)
                AND (of_lane = 'live' OR (taken_bulk < at_most_bulk AND available >= 1 + k.live_reserve AND under_way < greatest(k.in_flight_max - 1, 1)))
            LOOP
                SELECT i.id, i.company_id INTO found_id, found_company FROM intents i
                    WHERE i.credential_id = reached AND i.lane = of_lane AND i.state IN ('recorded', 'sent', 'unknown') AND i.due_at <= at_now
                      AND (i.lease_until IS NULL OR i.lease_until <= at_now) AND i.company_id > turn
                    ORDER BY i.company_id, i.created_at, i.id LIMIT 1 FOR UPDATE SKIP LOCKED;
                IF NOT FOUND THEN
                    EXIT WHEN turn = nobody;
                    turn := nobody;
                    CONTINUE;
                END IF;
                turn := found_company;
                UPDATE intents i SET lease_holder = holder, lease_until = at_now + make_interval(secs => lease_seconds) WHERE i.id = found_id;
                available := available - 1;
                under_way := under_way + 1;
                taken := taken + 1;
                taken_bulk := taken_bulk + CASE of_lane WHEN 'bulk' THEN 1 ELSE 0 END;
                intent_id := found_id;
                company_id := found_company;
                credential_id := reached;
                live := of_lane = 'live';
                RETURN NEXT;
            END LOOP;
            IF of_lane = 'live' THEN k.turn_live := turn; ELSE k.turn_bulk := turn; END IF;
        END LOOP;
        IF taken > before THEN
            UPDATE credentials c SET tokens = available, refilled_at = greatest(at_now, k.refilled_at), tokens_taken = c.tokens_taken + taken - before,
                    turn_live = k.turn_live, turn_bulk = k.turn_bulk, probing = k.probe_at IS NOT NULL,
                    probe_at = CASE WHEN k.probe_at IS NOT NULL THEN at_now + make_interval(secs => lease_seconds) END,
                    probe_holder = CASE WHEN k.probe_at IS NOT NULL THEN holder END
                WHERE c.id = reached;
        END IF;
    END LOOP;
END
$$;

-- As before, and `hopeless`: its time is over, and its account has no key in use. Programs of the version before take it for overdue.
CREATE OR REPLACE FUNCTION resolve_stuck_intents(overdue interval, at_most integer) RETURNS TABLE (intent_id uuid, company_id uuid, appointment_id uuid, why text)
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
                           WHEN c.disabled_at IS NOT NULL AND (i.lease_until IS NULL OR i.lease_until <= at_now)
                                AND CASE WHEN i.op IN ('create', 'reschedule') THEN coalesce(i.starts_at, a.starts_at) ELSE a.starts_at END <= at_now
                               THEN 'hopeless'
                           WHEN i.due_at > at_now + interval '6 hours' OR i.lease_until > at_now + interval '6 hours' THEN 'put_off'
                           ELSE 'overdue' END AS why
               FROM intents i JOIN credentials c ON c.id = i.credential_id JOIN appointments a ON a.company_id = i.company_id AND a.id = i.appointment_id
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
    FOREACH signature IN ARRAY ARRAY['budget_unused(uuid, uuid, integer)', 'take_budget_token(uuid, boolean, integer, uuid)']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_resolver', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120130000, 20261120090000);
