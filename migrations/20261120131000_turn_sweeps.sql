-- Sweeps take turns, failing ones rest without standing in anybody's way, and one that stopped is seen (issue 3, Sweeps; faults E4).

ALTER TABLE sweeps
    -- when it had its last turn: whoever waits longest for one is next
    ADD COLUMN leased_at timestamptz,
    -- after a failure: no turn before; apart from the lease, which the other sweeps of the credential would wait for
    ADD COLUMN not_before timestamptz,
    -- in a row
    ADD COLUMN failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    -- when it was wanted, came to another moment of its list, or ended: long ago and still wanted means that it stopped
    ADD COLUMN progressed_at timestamptz NOT NULL DEFAULT frontdesk_now();

-- Leases the sweep whose turn it is, one per credential at a time, since they share its budget. Two processes that find two sweeps of one credential in the same
-- moment are told apart by an advisory lock that is held until the transaction ends; the UPDATE looks again, so it sees who had the lock before. Not the
-- credential's row: every request of every process locks that one.
CREATE FUNCTION lease_sweep(holder uuid, seconds integer) RETURNS SETOF sweeps
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
REVOKE ALL ON FUNCTION lease_sweep(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lease_sweep(uuid, integer) TO frontdesk_worker;

-- Every two minutes instead of three, where nobody changed it: the silence of a company is told within five (workers::scheduler::jobs)
UPDATE jobs SET cron = '*/2 * * * *' WHERE name = 'calcom_updates' AND cron = '*/3 * * * *';

-- Until when everything that a provider sent was heard: the last time at which none of its messages waited in our own queues. What came since may wait for a
-- worker; it is not lost, and no sweep may count it as lost.
CREATE TABLE hearing (
    provider text PRIMARY KEY CHECK (provider IN ('retell', 'calcom')),
    nothing_waited_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON hearing TO frontdesk_worker;
GRANT SELECT ON hearing TO frontdesk_operator;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120131000, 20261120090000);
