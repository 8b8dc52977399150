-- What happened: the story of a call, an appointment, a customer, as views that the operator's command and the portal read (issue 5; domain reference 5, History views).
-- `security_invoker`: who reads them is bound by row-level security of every table beneath, as if the view were not there (incident 97).

-- Customers have a short number for people, as calls and appointments have: an anonymous caller has neither phone nor e-mail to be called by.
CREATE OR REPLACE FUNCTION create_number_sequences() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
    AS $$
DECLARE
    noun text;
BEGIN
    FOREACH noun IN ARRAY ARRAY['call', 'appointment', 'customer']
    LOOP
        EXECUTE format('CREATE SEQUENCE numbers.%I', noun || '_' || replace(NEW.id::text, '-', ''));
    END LOOP;
    RETURN NULL;
END
$$;

-- NULL only for a row that never came to stand by itself (see the function below)
ALTER TABLE customers ADD COLUMN number bigint CHECK (number > 0);
WITH numbered AS (SELECT id, row_number() OVER (PARTITION BY company_id ORDER BY created_at, id) AS number FROM customers)
    UPDATE customers c SET number = n.number FROM numbered n WHERE n.id = c.id;
ALTER TABLE customers ADD CONSTRAINT customers_number UNIQUE (company_id, number);
DO $$
DECLARE
    k record;
BEGIN
    FOR k IN SELECT c.id, (SELECT coalesce(max(number), 0) + 1 FROM customers WHERE company_id = c.id) AS next FROM companies c
    LOOP
        EXECUTE format('CREATE SEQUENCE numbers.%I START %s', 'customer_' || replace(k.id::text, '-', ''), k.next);
    END LOOP;
END
$$;

-- Whoever inserts a customer need not know of the number. A known customer is "inserted" at every call and meets the row that is there (ON CONFLICT): that takes no number.
CREATE FUNCTION number_customer() RETURNS trigger LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.customers c WHERE c.company_id = NEW.company_id AND c.phone = NEW.phone)
        AND NOT (NEW.phone IS NULL AND EXISTS (
            SELECT FROM public.customers c WHERE c.company_id = NEW.company_id AND c.email_key = lower(NEW.email) AND c.phone IS NULL AND c.email IS NOT NULL))
    THEN
        NEW.number := public.next_number('customer', NEW.company_id);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER customers_number BEFORE INSERT ON customers FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION number_customer();

-- the look-ups of the stories; none of these tables is written often, but calls and appointments: one index each
CREATE INDEX calls_caller ON calls (company_id, caller, started_at) WHERE caller IS NOT NULL;
CREATE INDEX appointments_call ON appointments (company_id, call_id) WHERE call_id IS NOT NULL;
CREATE INDEX policy_violations_customer ON policy_violations (company_id, customer_id);
CREATE INDEX policy_violations_call ON policy_violations (company_id, call_id) WHERE call_id IS NOT NULL;
CREATE INDEX callback_requests_customer ON callback_requests (company_id, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX callback_requests_call ON callback_requests (company_id, call_id) WHERE call_id IS NOT NULL;
CREATE INDEX callback_requests_appointment ON callback_requests (company_id, appointment_id) WHERE appointment_id IS NOT NULL;

-- A customer, with what there is of him.
CREATE VIEW customer_stories WITH (security_invoker = true) AS
SELECT k.company_id, k.id AS customer_id, k.number, k.name, k.phone, k.email, k.anonymous, k.vip_tier, k.created_at, o.name AS company, o.time_zone,
    (SELECT count(*) FROM calls c WHERE c.company_id = k.company_id AND c.customer_id = k.id) AS calls,
    -- the same number called, and nobody has said yet that it was this customer
    (SELECT count(*) FROM calls c WHERE c.company_id = k.company_id AND c.caller = k.phone AND c.customer_id IS NULL) AS unlinked_calls,
    a.total AS appointments, a.upcoming
FROM customers k
JOIN companies o ON o.id = k.company_id
CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE a.starts_at > frontdesk_now() AND a.status IN ('requested', 'pending', 'booked', 'reschedule_requested')) AS upcoming
    FROM appointments a WHERE a.company_id = k.company_id AND a.customer_id = k.id) a;

-- A call, and what came of it: counted from rows, never from Retell's flag (incident 82).
CREATE VIEW call_stories WITH (security_invoker = true) AS
SELECT c.company_id, c.id AS call_id, c.number, c.retell_call_id, coalesce(c.started_at, c.created_at) AS at, c.started_at, c.ended_at,
    coalesce(c.duration_ms, (extract(epoch FROM c.ended_at - c.started_at) * 1000)::bigint) AS duration_ms,
    c.status, c.direction, c.connected, c.caller, c.caller_raw, c.our_number, c.disconnection_reason, c.transfer_state, c.transfer_destination, c.in_voicemail,
    c.summary, c.sentiment, c.cost_cents, c.name_given, c.name_agreement, o.name AS company, b.name AS branch, b.time_zone,
    c.customer_id, k.number AS customer_number, k.name AS customer_name, m.booked, m.moved, m.cancelled,
    (SELECT count(*) FROM policy_violations v WHERE v.company_id = c.company_id AND v.call_id = c.id) AS denied,
    (SELECT count(*) FROM callback_requests r WHERE r.company_id = c.company_id AND r.call_id = c.id) AS callbacks,
    (SELECT count(*) FROM appointments a WHERE a.company_id = c.company_id AND a.call_id = c.id AND a.status IN ('requested', 'failed')) AS unfinished
FROM calls c
JOIN companies o ON o.id = c.company_id
JOIN branches b ON b.company_id = c.company_id AND b.id = c.branch_id
LEFT JOIN customers k ON k.company_id = c.company_id AND k.id = c.customer_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE m.kind = 'booked') AS booked, count(*) FILTER (WHERE m.kind = 'rescheduled') AS moved, count(*) FILTER (WHERE m.kind = 'cancelled') AS cancelled
    FROM appointment_modifications m WHERE m.company_id = c.company_id AND m.call_id = c.id) m;

-- An appointment as it stands.
CREATE VIEW appointment_stories WITH (security_invoker = true) AS
SELECT a.company_id, a.id AS appointment_id, a.number, a.status, a.starts_at, a.ends_at, a.time_zone, a.calcom_uid, a.name_given, a.name_agreement, a.notes, a.rescheduled_count,
    a.import_run_id IS NOT NULL AS imported, a.created_at, o.name AS company, b.name AS branch, s.name AS service, t.name AS staff,
    a.customer_id, k.number AS customer_number, k.name AS customer_name, k.phone AS customer_phone, a.call_id, c.number AS call_number
FROM appointments a
JOIN companies o ON o.id = a.company_id
JOIN branches b ON b.company_id = a.company_id AND b.id = a.branch_id
JOIN customers k ON k.company_id = a.company_id AND k.id = a.customer_id
LEFT JOIN services s ON s.company_id = a.company_id AND s.id = a.service_id
LEFT JOIN staff t ON t.company_id = a.company_id AND t.id = a.staff_id
LEFT JOIN calls c ON c.company_id = a.company_id AND c.id = a.call_id;

-- Everything that happened, one row each: of a customer, of a call or of an appointment, by its id. `recorded` is false where no row of history says it and the
-- appointment's own columns are all there is (a wish that Cal.com has not answered or has refused, or history taken over without its rows).
-- `place` orders what happened at the same instant.
CREATE VIEW timeline_entries WITH (security_invoker = true) AS
SELECT e.company_id, e.kind, e.at, e.place, e.id, e.recorded, e.customer_id, k.number AS customer_number, k.name AS customer_name, e.call_id, c.number AS call_number,
    e.appointment_id, a.number AS appointment_number, a.status AS appointment_status, s.name AS service, t.name AS staff, b.name AS branch,
    coalesce(a.time_zone, b.time_zone, o.time_zone) AS time_zone, e.previous_starts_at, e.new_starts_at, e.actor, e.source, u.display_name AS user_name,
    e.fee_minor, coalesce(s.currency, 'EUR') AS currency, e.within_policy, e.reason, e.details
FROM (
    SELECT c.company_id, 'call' AS kind, coalesce(c.started_at, c.created_at) AS at, 0 AS place, c.id, true AS recorded, c.customer_id, c.id AS call_id, NULL::uuid AS appointment_id,
        c.branch_id, NULL::timestamptz AS previous_starts_at, NULL::timestamptz AS new_starts_at, NULL::text AS actor, NULL::text AS source, NULL::uuid AS user_id,
        NULL::bigint AS fee_minor, NULL::boolean AS within_policy, c.disconnection_reason AS reason,
        jsonb_build_object('duration_ms', coalesce(c.duration_ms, (extract(epoch FROM c.ended_at - c.started_at) * 1000)::bigint), 'status', c.status, 'direction', c.direction,
            'connected', c.connected, 'caller', coalesce(c.caller, c.caller_raw), 'booked', n.booked, 'moved', n.moved, 'cancelled', n.cancelled) AS details
    FROM calls c
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE m.kind = 'booked') AS booked, count(*) FILTER (WHERE m.kind = 'rescheduled') AS moved, count(*) FILTER (WHERE m.kind = 'cancelled') AS cancelled
        FROM appointment_modifications m WHERE m.company_id = c.company_id AND m.call_id = c.id) n
    UNION ALL
    SELECT m.company_id, m.kind, m.occurred_at, 2, m.id, true, m.customer_id, m.call_id, m.appointment_id, NULL, m.previous_starts_at, m.new_starts_at, m.actor, m.source, m.user_id,
        m.fee_minor, m.within_policy, m.reason, '{}'
    FROM appointment_modifications m
    UNION ALL
    SELECT a.company_id, CASE a.status WHEN 'requested' THEN 'requested' WHEN 'pending' THEN 'requested' WHEN 'failed' THEN 'failed' ELSE 'booked' END, a.created_at, 1, a.id, false,
        a.customer_id, a.call_id, a.id, NULL, NULL, coalesce(CASE WHEN a.rescheduled_count <= 1 THEN a.previous_starts_at END, a.starts_at), a.created_by, a.booking_source,
        a.booked_by_user_id, NULL, NULL, NULL, '{}'
    FROM appointments a
    WHERE NOT EXISTS (SELECT FROM appointment_modifications m WHERE m.company_id = a.company_id AND m.appointment_id = a.id AND m.kind = 'booked')
    UNION ALL
    SELECT a.company_id, 'rescheduled', a.rescheduled_at, 2, a.id, false, a.customer_id, NULL, a.id, NULL, a.previous_starts_at, a.starts_at, a.rescheduled_by, a.reschedule_source,
        a.rescheduled_by_user_id, NULL, NULL, NULL, '{}'
    FROM appointments a
    WHERE a.rescheduled_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM appointment_modifications m WHERE m.company_id = a.company_id AND m.appointment_id = a.id AND m.kind = 'rescheduled')
    UNION ALL
    SELECT a.company_id, 'cancelled', a.cancelled_at, 2, a.id, false, a.customer_id, NULL, a.id, NULL, a.starts_at, NULL, a.cancelled_by, a.cancellation_source,
        a.cancelled_by_user_id, NULL, NULL, a.cancellation_reason, '{}'
    FROM appointments a
    WHERE a.cancelled_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM appointment_modifications m WHERE m.company_id = a.company_id AND m.appointment_id = a.id AND m.kind = 'cancelled')
    UNION ALL
    SELECT v.company_id, 'denied', v.created_at, 2, v.id, true, v.customer_id, v.call_id, v.appointment_id, NULL, NULL, NULL, 'customer',
        CASE WHEN v.call_id IS NOT NULL THEN 'retell_api' ELSE 'unknown' END, NULL, v.fee_if_forced_minor, false, v.reason,
        jsonb_build_object('change', v.policy_type, 'hours_notice', v.hours_notice, 'required_hours', v.required_hours, 'quota_used', v.quota_used, 'quota_max', v.quota_max)
    FROM policy_violations v
    UNION ALL
    SELECT r.company_id, 'callback', r.created_at, 3, r.id, true, r.customer_id, r.call_id, r.appointment_id, r.branch_id, NULL, NULL, NULL,
        CASE WHEN r.call_id IS NOT NULL THEN 'retell_api' END, NULL, NULL, NULL, r.reason,
        jsonb_build_object('status', r.state, 'priority', r.priority, 'due_at', r.due_at)
    FROM callback_requests r
) e
JOIN companies o ON o.id = e.company_id
LEFT JOIN customers k ON k.company_id = e.company_id AND k.id = e.customer_id
LEFT JOIN calls c ON c.company_id = e.company_id AND c.id = e.call_id
LEFT JOIN appointments a ON a.company_id = e.company_id AND a.id = e.appointment_id
LEFT JOIN services s ON s.company_id = e.company_id AND s.id = a.service_id
LEFT JOIN staff t ON t.company_id = e.company_id AND t.id = a.staff_id
LEFT JOIN branches b ON b.company_id = e.company_id AND b.id = coalesce(e.branch_id, a.branch_id)
LEFT JOIN users u ON u.company_id = e.company_id AND u.id = e.user_id;

-- The thirteen audit columns of an appointment (domain reference 1.1), each with the event that set it: the booking, the latest move, the cancellation.
CREATE VIEW appointment_audit_values WITH (security_invoker = true) AS
SELECT a.company_id, a.id AS appointment_id, v.place, v.column_name, v.value, v.at, u.display_name AS user_name, m.kind AS event_kind, m.occurred_at AS event_at,
    m.call_id AS event_call_id, c.number AS event_call_number, m.message_id
FROM appointments a
LEFT JOIN LATERAL (
    SELECT m.id FROM appointment_modifications m WHERE m.company_id = a.company_id AND m.appointment_id = a.id AND m.kind = 'booked' ORDER BY m.occurred_at, m.id LIMIT 1) booked ON true
LEFT JOIN LATERAL (
    SELECT m.id FROM appointment_modifications m WHERE m.company_id = a.company_id AND m.appointment_id = a.id AND m.kind = 'rescheduled' AND a.rescheduled_at IS NOT NULL
    ORDER BY m.occurred_at = a.rescheduled_at DESC, m.occurred_at DESC, m.id DESC LIMIT 1) moved ON true
LEFT JOIN LATERAL (
    SELECT m.id FROM appointment_modifications m WHERE m.company_id = a.company_id AND m.appointment_id = a.id AND m.kind = 'cancelled' AND a.cancelled_at IS NOT NULL
    ORDER BY m.occurred_at = a.cancelled_at DESC, m.occurred_at DESC, m.id DESC LIMIT 1) cancelled ON true
CROSS JOIN LATERAL (VALUES
    (1, 'created_by', a.created_by, NULL::timestamptz, NULL::uuid, booked.id),
    (2, 'booking_source', a.booking_source, NULL, NULL, booked.id),
    (3, 'booked_by_user_id', NULL, NULL, a.booked_by_user_id, booked.id),
    (4, 'rescheduled_at', NULL, a.rescheduled_at, NULL, moved.id),
    (5, 'rescheduled_by', a.rescheduled_by, NULL, NULL, moved.id),
    (6, 'rescheduled_by_user_id', NULL, NULL, a.rescheduled_by_user_id, moved.id),
    (7, 'reschedule_source', a.reschedule_source, NULL, NULL, moved.id),
    (8, 'previous_starts_at', NULL, a.previous_starts_at, NULL, moved.id),
    (9, 'cancelled_at', NULL, a.cancelled_at, NULL, cancelled.id),
    (10, 'cancelled_by', a.cancelled_by, NULL, NULL, cancelled.id),
    (11, 'cancelled_by_user_id', NULL, NULL, a.cancelled_by_user_id, cancelled.id),
    (12, 'cancellation_source', a.cancellation_source, NULL, NULL, cancelled.id),
    (13, 'cancellation_reason', a.cancellation_reason, NULL, NULL, cancelled.id)
) v (place, column_name, value, at, user_id, modification_id)
LEFT JOIN users u ON u.company_id = a.company_id AND u.id = v.user_id
LEFT JOIN appointment_modifications m ON m.company_id = a.company_id AND m.id = v.modification_id
LEFT JOIN calls c ON c.company_id = a.company_id AND c.id = m.call_id;

-- What the caller wished through functions, and what was answered.
CREATE VIEW call_functions WITH (security_invoker = true) AS
SELECT f.company_id, f.call_id, f.id AS function_call_id, f.function, f.state, f.success, f.result ->> 'message' AS sentence, f.told, f.told_sentence,
    f.appointment_id, a.number AS appointment_number, f.message_id, f.created_at AS at, f.finished_at
FROM function_calls f LEFT JOIN appointments a ON a.company_id = f.company_id AND a.id = f.appointment_id;

-- Our requests at Cal.com for an appointment, as far as kept (day partitions); an intent without one has none yet, or lost them to retention.
CREATE VIEW appointment_requests WITH (security_invoker = true) AS
SELECT i.company_id, i.appointment_id, a.number AS appointment_number, i.call_id, i.id AS intent_id, i.op, i.state, i.error_class AS intent_error_class, i.created_at AS wished_at, i.settled_at, i.sent_count,
    q.operation, q.status, q.error_class, q.provider_request_id, q.took_ms, q.at
FROM intents i JOIN appointments a ON a.company_id = i.company_id AND a.id = i.appointment_id LEFT JOIN api_calls q ON q.company_id = i.company_id AND q.intent_id = i.id;

-- How the messages behind a call's functions and an appointment's history were delivered, as far as kept. For the operator: `attempts` knows no company's policy, so what is
-- read of it is what a row of the company names.
CREATE VIEW message_deliveries WITH (security_invoker = true) AS
SELECT n.company_id, n.call_id, n.appointment_id, n.message_id, t.kind, t.role, t.lane, t.attempt, t.outcome, t.error_class, t.queued_ms, t.took_ms, t.at
FROM (
    SELECT f.company_id, f.call_id, f.appointment_id, f.message_id FROM function_calls f
    UNION
    SELECT m.company_id, m.call_id, m.appointment_id, m.message_id FROM appointment_modifications m WHERE m.message_id IS NOT NULL
) n
JOIN attempts t ON t.message_id = n.message_id;

GRANT SELECT ON customer_stories, call_stories, appointment_stories, timeline_entries, appointment_audit_values, call_functions, appointment_requests
    TO frontdesk_operator, frontdesk_portal;
GRANT SELECT ON message_deliveries TO frontdesk_operator;

-- programs of the version before work unchanged: a customer of theirs gets its number from the trigger
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120151000, 20261120090000);
