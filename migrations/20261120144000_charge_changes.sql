-- What a change costs stands in its row, what was denied is recorded with its numbers, and an appointment whose time is over ends (domain reference 4.1).

-- by whom how often in the last thirty days: counted live, in the transaction that decides (incident 76)
CREATE INDEX appointment_modifications_customer ON appointment_modifications (company_id, customer_id, kind, occurred_at);

-- A change that a policy forbade, with all numbers that a person needs to decide otherwise.
CREATE TABLE policy_violations (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    appointment_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    call_id uuid,
    policy_type text NOT NULL CHECK (policy_type IN ('cancellation', 'reschedule')),
    -- whose rule it was; NULL: nobody's, the appointment had begun
    level text CHECK (level IN ('staff', 'service', 'branch', 'company')),
    reason text NOT NULL CHECK (reason IN ('already_started', 'deadline_missed', 'quota_exceeded', 'max_reschedules_reached')),
    hours_notice bigint NOT NULL,
    required_hours integer,
    fee_if_forced_minor bigint NOT NULL CHECK (fee_if_forced_minor >= 0),
    quota_used integer,
    quota_max integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id) ON DELETE CASCADE,
    FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id)
);
CREATE INDEX policy_violations_appointment ON policy_violations (company_id, appointment_id);
ALTER TABLE policy_violations ENABLE ROW LEVEL SECURITY;
ALTER TABLE policy_violations FORCE ROW LEVEL SECURITY;
CREATE POLICY of_the_company ON policy_violations USING (company_id = current_company()) WITH CHECK (company_id = current_company());
GRANT SELECT ON policy_violations TO frontdesk_worker, frontdesk_backfill, frontdesk_portal, frontdesk_operator;
-- append-only
GRANT INSERT ON policy_violations TO frontdesk_worker;

-- As before, and what a change of ours costs comes from its intent, where the wish left it.
CREATE OR REPLACE FUNCTION project_modifications(company uuid, appointment uuid, wanted jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    IF EXISTS (SELECT FROM jsonb_populate_recordset(NULL::appointment_modifications, wanted) w
               WHERE NOT EXISTS (SELECT FROM calcom_bookings k WHERE k.company_id = company AND k.uid = w.calcom_uid AND k.appointment_id = appointment)) THEN
        RAISE EXCEPTION 'a row of history names a booking of another appointment';
    END IF;
    DELETE FROM appointment_modifications m
        WHERE m.company_id = company AND m.appointment_id = appointment AND m.calcom_uid IS NOT NULL AND m.import_run_id IS NULL
          AND NOT EXISTS (SELECT FROM jsonb_populate_recordset(NULL::appointment_modifications, wanted) w WHERE w.calcom_uid = m.calcom_uid AND w.kind = m.kind);
    UPDATE appointment_modifications m SET previous_starts_at = w.previous_starts_at, new_starts_at = w.new_starts_at, actor = w.actor, source = w.source,
            user_id = w.user_id, call_id = coalesce(w.call_id, m.call_id), intent_id = w.intent_id, message_id = w.message_id, reason = w.reason,
            occurred_at = w.occurred_at, within_policy = coalesce((i.request ->> 'within_policy')::boolean, true), fee_minor = coalesce((i.request ->> 'fee_minor')::bigint, 0)
        FROM jsonb_populate_recordset(NULL::appointment_modifications, wanted) w LEFT JOIN intents i ON i.company_id = company AND i.id = w.intent_id
        WHERE m.company_id = company AND m.appointment_id = appointment AND m.calcom_uid = w.calcom_uid AND m.kind = w.kind AND m.import_run_id IS NULL
          AND (m.previous_starts_at, m.new_starts_at, m.actor, m.source, m.user_id, m.call_id, m.intent_id, m.message_id, m.reason, m.occurred_at)
              IS DISTINCT FROM
              (w.previous_starts_at, w.new_starts_at, w.actor, w.source, w.user_id, coalesce(w.call_id, m.call_id), w.intent_id, w.message_id, w.reason, w.occurred_at);
    INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, previous_starts_at, new_starts_at, actor, source, user_id, call_id,
            intent_id, message_id, calcom_uid, within_policy, fee_minor, reason, occurred_at)
        SELECT w.id, company, appointment, w.customer_id, w.kind, w.previous_starts_at, w.new_starts_at, w.actor, w.source, w.user_id, w.call_id,
            w.intent_id, w.message_id, w.calcom_uid, coalesce((i.request ->> 'within_policy')::boolean, true), coalesce((i.request ->> 'fee_minor')::bigint, 0), w.reason,
            w.occurred_at
        FROM jsonb_populate_recordset(NULL::appointment_modifications, wanted) w LEFT JOIN intents i ON i.company_id = company AND i.id = w.intent_id
        ON CONFLICT (company_id, calcom_uid, kind) WHERE calcom_uid IS NOT NULL DO NOTHING;
END
$$;

-- Appointments that took place. What was never confirmed, or has another end, is none of them.
CREATE INDEX appointments_over ON appointments (ends_at) WHERE status = 'booked';
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;
CREATE FUNCTION resolve_appointments_over(at_most integer) RETURNS TABLE (company_id uuid, appointment_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    RETURN QUERY SELECT a.company_id, a.id FROM appointments a WHERE a.status = 'booked' AND a.ends_at <= at_now ORDER BY a.ends_at LIMIT at_most;
END
$$;
ALTER FUNCTION resolve_appointments_over(integer) OWNER TO frontdesk_resolver;
REVOKE ALL ON FUNCTION resolve_appointments_over(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_appointments_over(integer) TO frontdesk_worker;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged: they charge nothing
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120144000, 20261120090000);
