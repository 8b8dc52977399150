-- One budget per credential for all requests of all processes, an outage brake, companies in turn, and sync requests that coalesce without losing news
-- (architecture section 8, 6; faults C4, C5).
--
-- Never over the provider's window: Cal.com counts 120 requests in a window of 60 s that begins with the first one (calcom reference 3.14). A token is taken
-- before its request leaves and may arrive late, so a request that is under way occupies its place in the bucket until its result is recorded: whatever the
-- delays, at most burst + 60 s of refill arrive in any 60 s, 5 + 114 = 119; the one left is for a sweep's request, which is not counted as under way (one at a time).
-- refilled_at never goes back: a call that waited for the row began earlier than the one before it, and would mint that time's tokens twice.

ALTER TABLE credentials
    -- consecutive failures after which the brake holds
    ADD COLUMN outage_after integer NOT NULL DEFAULT 5 CHECK (outage_after BETWEEN 1 AND 1000),
    -- before the first probe, doubled for each that fails, and the longest pause
    ADD COLUMN probe_pause_ms integer NOT NULL DEFAULT 5000 CHECK (probe_pause_ms BETWEEN 1 AND 3600000),
    ADD COLUMN probe_pause_ms_max integer NOT NULL DEFAULT 60000 CHECK (probe_pause_ms_max BETWEEN 1 AND 3600000),
    -- not NULL: an outage; the next probe is not before it
    ADD COLUMN probe_at timestamptz,
    -- a probe is under way; if its process dies, probe_at is when the next may go
    ADD COLUMN probing boolean NOT NULL DEFAULT false,
    ADD COLUMN probes_failed integer NOT NULL DEFAULT 0,
    -- the company served last, per lane: the next in turn follows it
    ADD COLUMN turn_live uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN turn_bulk uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- all tokens ever taken, for the utilisation
    ADD COLUMN tokens_taken bigint NOT NULL DEFAULT 0;

-- News about a booking came while its look was under way: that look is made once more, at this uid.
ALTER TABLE intents ADD COLUMN again_uid text;

-- Whose turn it is, oldest first: one probe of this index per lease, however many rows are due.
CREATE INDEX intents_turn ON intents (credential_id, lane, company_id, created_at, id) WHERE state IN ('recorded', 'sent', 'unknown');
-- What is under way.
CREATE INDEX intents_leased ON intents (credential_id, lease_until) WHERE lease_holder IS NOT NULL AND state IN ('recorded', 'sent', 'unknown');

GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- The tokens that a credential has at that time with so many requests under way.
CREATE FUNCTION budget_tokens(k credentials, at_now timestamptz, under_way integer) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT least(greatest(k.burst - under_way, 0), k.tokens + greatest(0, extract(epoch FROM at_now - k.refilled_at)::double precision) * k.rate_per_minute / 60.0)
$$;

-- NULL: one token is taken. Else the milliseconds after which to ask again. `own`: leases that the asking job holds itself; the requests that they paid for are over.
-- As for the leases: the plan that a session keeps must be the one for 50,000 open intents, not for the empty table that it may have met first.
CREATE FUNCTION take_budget_token(credential uuid, live boolean, own integer) RETURNS bigint
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
            probing = k.probe_at IS NOT NULL, probe_at = CASE WHEN k.probe_at IS NOT NULL THEN at_now + interval '45 s' END
        WHERE c.id = credential;
    RETURN NULL;
END
$$;

-- A block that holds is not moved: requests that were under way when it began know nothing newer.
CREATE FUNCTION block_budget(credential uuid, pause_ms bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    UPDATE credentials c SET blocked_until = at_now + make_interval(secs => pause_ms::double precision / 1000), tokens = 0, refilled_at = greatest(at_now, c.refilled_at)
        WHERE c.id = credential AND (c.blocked_until IS NULL OR c.blocked_until <= at_now);
    -- a probe that was answered 429 told nothing: the next one goes when the block ends
    UPDATE credentials c SET probing = false, probe_at = at_now WHERE c.id = credential AND c.probing;
END
$$;

-- Cal.com answered. After an outage the bucket begins nearly empty: no herd; and what was put off because of it is due again, oldest first.
CREATE FUNCTION budget_succeeded(credential uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
    AS $$
DECLARE
    k credentials;
    at_now timestamptz := frontdesk_now();
    soon timestamptz;
BEGIN
    SELECT c.* INTO k FROM credentials c WHERE c.id = credential AND (c.failures_in_a_row > 0 OR c.probe_at IS NOT NULL) FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF k.probe_at IS NULL THEN
        UPDATE credentials c SET failures_in_a_row = 0 WHERE c.id = credential;
        RETURN;
    END IF;
    UPDATE credentials c SET failures_in_a_row = 0, probing = false, probe_at = NULL, probes_failed = 0,
            tokens = least(c.live_reserve + 1, budget_tokens(c, at_now, 0)), refilled_at = greatest(at_now, c.refilled_at)
        WHERE c.id = credential;
    soon := at_now + make_interval(secs => k.probe_pause_ms::double precision / 1000);
    UPDATE intents i SET due_at = soon WHERE i.id IN (
        SELECT o.id FROM intents o WHERE o.credential_id = credential AND o.lane IN ('live', 'bulk') AND o.state IN ('recorded', 'sent', 'unknown') AND o.due_at > soon
        ORDER BY o.due_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
END
$$;

-- Cal.com failed as it fails for everybody. NULL, or if the brake holds the milliseconds until the next probe. Only a probe's failure makes the pause longer, not
-- that of a request which was sent before.
CREATE FUNCTION budget_failed(credential uuid) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
DECLARE
    k credentials;
    at_now timestamptz := frontdesk_now();
    failed_probes integer;
    pause_ms double precision;
BEGIN
    SELECT c.* INTO k FROM credentials c WHERE c.id = credential FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF k.failures_in_a_row + 1 < k.outage_after OR (k.probe_at IS NOT NULL AND NOT k.probing) THEN
        UPDATE credentials c SET failures_in_a_row = least(c.failures_in_a_row + 1, 1000000) WHERE c.id = credential;
        RETURN ceil(extract(epoch FROM k.probe_at - at_now) * 1000)::bigint;
    END IF;
    failed_probes := CASE WHEN k.probe_at IS NULL THEN 0 ELSE least(k.probes_failed + 1, 30) END;
    -- a quarter up or down: the credentials of one Cal.com do not probe in step
    pause_ms := least(k.probe_pause_ms_max, k.probe_pause_ms * power(2, failed_probes)) * (0.75 + random() / 2);
    UPDATE credentials c SET failures_in_a_row = least(c.failures_in_a_row + 1, 1000000), probing = false, probes_failed = failed_probes,
            probe_at = at_now + make_interval(secs => pause_ms / 1000)
        WHERE c.id = credential;
    RETURN ceil(pause_ms)::bigint;
END
$$;

-- Due intents, leased; each has taken one token. Live first, companies in turn, oldest first. Credentials in turn as well, beginning after `after_credential`. At most
-- `at_most` altogether and `at_most_bulk` of the bulk lane, which also leaves the live reserve and one place under way.
-- The planner's switches (and no JIT, which the switches' costs would call for): a plan that a session made while the table was nearly empty is kept, and must be the one that is right for 50,000 rows.
CREATE FUNCTION lease_due_intents(holder uuid, at_most integer, at_most_bulk integer, lease_seconds integer, after_credential uuid)
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
                    probe_at = CASE WHEN k.probe_at IS NOT NULL THEN at_now + make_interval(secs => lease_seconds) END
                WHERE c.id = reached;
        END IF;
    END LOOP;
END
$$;

-- As programs of the version before call it.
CREATE OR REPLACE FUNCTION lease_due_intents(holder uuid, at_most integer, lease_seconds integer)
    RETURNS TABLE (intent_id uuid, company_id uuid, credential_id uuid)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    RETURN QUERY SELECT l.intent_id, l.company_id, l.credential_id FROM lease_due_intents(holder, at_most, at_most, lease_seconds, '00000000-0000-0000-0000-000000000000') l;
END
$$;

-- When something can be leased next, so that the dispatcher sleeps no longer than needed; NULL: nothing is open. What is at its in-flight cap is asked for again in a while.
CREATE OR REPLACE FUNCTION next_intent_due() RETURNS timestamptz
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off SET jit = off
    AS $$
DECLARE
    at_now timestamptz := frontdesk_now();
    k credentials;
    reached uuid := '00000000-0000-0000-0000-000000000000';
    of_lane text;
    due timestamptz;
    needed integer;
    under_way integer;
    soonest timestamptz;
BEGIN
    LOOP
        SELECT i.credential_id INTO reached FROM intents i WHERE i.state IN ('recorded', 'sent', 'unknown') AND i.credential_id > reached
            ORDER BY i.credential_id LIMIT 1;
        EXIT WHEN NOT FOUND;
        SELECT c.* INTO k FROM credentials c WHERE c.id = reached AND c.disabled_at IS NULL;
        CONTINUE WHEN NOT FOUND;
        SELECT count(*) INTO under_way FROM intents i
            WHERE i.credential_id = reached AND i.lease_holder IS NOT NULL AND i.state IN ('recorded', 'sent', 'unknown') AND i.lease_until > at_now;
        FOREACH of_lane IN ARRAY ARRAY['live', 'bulk']
        LOOP
            SELECT greatest(i.due_at, i.lease_until) INTO due FROM intents i
                WHERE i.credential_id = reached AND i.lane = of_lane AND i.state IN ('recorded', 'sent', 'unknown') AND (i.lease_until IS NULL OR i.lease_until <= at_now)
                ORDER BY i.due_at LIMIT 1;
            IF NOT FOUND THEN
                -- all of the lane is under way: it comes back when a lease ends, at the latest
                SELECT min(i.lease_until) INTO due FROM intents i
                    WHERE i.credential_id = reached AND i.lease_holder IS NOT NULL AND i.state IN ('recorded', 'sent', 'unknown') AND i.lane = of_lane;
            END IF;
            CONTINUE WHEN due IS NULL;
            needed := 1 + CASE of_lane WHEN 'live' THEN 0 ELSE k.live_reserve END;
            due := greatest(due, k.blocked_until, k.probe_at,
                            k.refilled_at + make_interval(secs => greatest(0, needed - k.tokens) * 60.0 / k.rate_per_minute));
            -- at the cap it is not due "now", or a dispatcher asks fifty times a second as long as Cal.com is slow; what ends in its own process wakes it at once
            IF k.burst - under_way < needed OR under_way >= k.in_flight_max - (CASE WHEN of_lane = 'bulk' AND k.in_flight_max > 1 THEN 1 ELSE 0 END) THEN
                due := greatest(due, at_now + interval '50 ms');
            END IF;
            CONTINUE WHEN due >= soonest;
            soonest := due;
        END LOOP;
    END LOOP;
    RETURN soonest;
END
$$;

-- How the budgets stand, for the metrics of each process.
CREATE FUNCTION budget_states() RETURNS TABLE (credential_id uuid, blocked boolean, outage boolean, tokens_taken bigint, rate_per_minute integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    -- those that work or rest now; a bound on the series that one process shows
    RETURN QUERY SELECT c.id, coalesce(c.blocked_until > at_now, false), c.probe_at IS NOT NULL, c.tokens_taken, c.rate_per_minute
        FROM credentials c WHERE c.disabled_at IS NULL AND c.provider = 'calcom' AND c.tokens_taken > 0 ORDER BY c.refilled_at DESC LIMIT 500;
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['budget_tokens(credentials, timestamptz, integer)', 'take_budget_token(uuid, boolean, integer)', 'block_budget(uuid, bigint)',
        'budget_succeeded(uuid)', 'budget_failed(uuid)', 'budget_states()', 'lease_due_intents(uuid, integer, integer, integer, uuid)']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_resolver', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120121000, 20261120090000);
