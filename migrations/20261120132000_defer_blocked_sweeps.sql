-- A sweep whose key may ask nothing now (it is blocked, or an outage's next probe is not due) has no turn: it would hold one of a process' few places and only wait.

CREATE OR REPLACE FUNCTION lease_sweep(holder uuid, seconds integer) RETURNS SETOF sweeps
    LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp
    AS $$
DECLARE
    at_now timestamptz := frontdesk_now();
    candidate record;
    leased sweeps;
BEGIN
    FOR candidate IN
        SELECT s.credential_id, s.kind FROM sweeps s JOIN credentials c ON c.id = s.credential_id
        WHERE s.wanted_at <= at_now AND c.disabled_at IS NULL AND (s.not_before IS NULL OR s.not_before <= at_now)
          AND (c.blocked_until IS NULL OR c.blocked_until <= at_now) AND (c.probe_at IS NULL OR c.probe_at <= at_now)
          AND NOT EXISTS (SELECT FROM sweeps o WHERE o.credential_id = s.credential_id AND o.lease_until > at_now)
        ORDER BY greatest(s.leased_at, s.not_before) NULLS FIRST, s.wanted_at, s.kind LIMIT 100
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtextextended('sweeps of ' || candidate.credential_id, 0));
        UPDATE sweeps t SET lease_holder = holder, epoch = t.epoch + 1, leased_at = at_now, lease_until = at_now + make_interval(secs => seconds)
            WHERE t.credential_id = candidate.credential_id AND t.kind = candidate.kind AND t.wanted_at <= at_now
              AND NOT EXISTS (SELECT FROM sweeps o WHERE o.credential_id = t.credential_id AND o.lease_until > at_now)
            RETURNING t.* INTO leased;
        IF FOUND THEN
            RETURN NEXT leased;
            RETURN;
        END IF;
    END LOOP;
END
$$;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120132000, 20261120090000);
