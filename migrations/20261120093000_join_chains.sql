-- Two appointments that turn out to be one booking's life are joined, and the history of an appointment is a projection of its chain: neither may depend on the
-- order in which facts came (architecture section 7, Convergence; faults E1).

-- what was heard of a uid, per kind of happening: who, when, through which channel, why. The columns opened_* and closed_* stay for programs of the version before.
ALTER TABLE calcom_bookings ADD COLUMN marks jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(marks) = 'object');

ALTER TABLE appointment_modifications DROP CONSTRAINT appointment_modifications_kind_check;
ALTER TABLE appointment_modifications ADD CONSTRAINT appointment_modifications_kind_check CHECK (kind IN
    ('booked', 'rescheduled', 'cancelled', 'confirmed', 'rejected', 'no_show', 'no_show_withdrawn', 'reschedule_requested'));

-- A cancellation of a uid that we do not know yet may be of a booking that we are just making: then it waits for the answer.
CREATE INDEX intents_open_creates ON intents (company_id, event_type_id, starts_at) WHERE op = 'create' AND state IN ('sent', 'unknown');

-- Owner of the two functions below: nobody can log in as it, nobody is a member of it, and row-level security binds it to the company of the transaction.
DO $$
BEGIN
    CREATE ROLE frontdesk_chronicler NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
GRANT USAGE, CREATE ON SCHEMA public TO frontdesk_chronicler;
GRANT SELECT, INSERT, UPDATE, DELETE ON appointment_modifications TO frontdesk_chronicler;
GRANT SELECT, DELETE, UPDATE (updated_at) ON appointments TO frontdesk_chronicler;
GRANT SELECT, UPDATE (appointment_id) ON calcom_bookings TO frontdesk_chronicler;
GRANT SELECT, UPDATE (appointment_id, state, error_class, settled_at) ON intents TO frontdesk_chronicler;
GRANT SELECT, UPDATE (appointment_id, appointment_revision) ON function_calls TO frontdesk_chronicler;
GRANT SELECT, UPDATE (appointment_id) ON callback_requests TO frontdesk_chronicler;
GRANT SELECT, UPDATE (appointment_id, details, state, resolved_at) ON reviews TO frontdesk_chronicler;
GRANT SELECT, DELETE, UPDATE (appointment_id, holder) ON slot_claims TO frontdesk_chronicler;
GRANT INSERT ON audit_log TO frontdesk_chronicler;
GRANT SELECT ON clock_shift TO frontdesk_chronicler;

-- The loser's uids, history, wishes and whatever else names it become the winner's, and the loser vanishes; the audit log keeps its number. The caller then
-- projects the joined chain. False, and nothing has happened: both have a request on its way to Cal.com; the fact that ends one of them finds the two again.
CREATE FUNCTION merge_appointments(company uuid, loser uuid, winner uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
DECLARE
    pair uuid[] := ARRAY[loser, winner];
    found_rows integer;
BEGIN
    PERFORM FROM appointments a WHERE a.company_id = company AND a.id = ANY (pair) ORDER BY a.id FOR UPDATE;
    GET DIAGNOSTICS found_rows = ROW_COUNT;
    IF found_rows <> 2 THEN
        -- another transaction joined them first: load again
        RAISE EXCEPTION 'the appointments to be joined changed meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    IF (SELECT count(*) FROM intents i WHERE i.company_id = company AND i.appointment_id = ANY (pair) AND i.op <> 'look' AND i.state IN ('sent', 'unknown')) > 1 THEN
        RETURN false;
    END IF;
    -- one open change per appointment: of two, the later one that was not sent waits behind the other
    UPDATE intents i SET state = 'waiting' WHERE i.company_id = company AND i.id = (
        SELECT o.id FROM intents o WHERE o.company_id = company AND o.appointment_id = ANY (pair) AND o.op <> 'look' AND o.state = 'recorded'
          AND (SELECT count(*) FROM intents n WHERE n.company_id = company AND n.appointment_id = ANY (pair) AND n.op <> 'look' AND n.state IN ('recorded', 'sent', 'unknown')) > 1
        ORDER BY o.created_at DESC, o.id DESC LIMIT 1);
    -- a look that the winner has open answers for both
    UPDATE intents i SET state = 'failed', error_class = 'joined', settled_at = frontdesk_now()
        WHERE i.company_id = company AND i.appointment_id = loser AND i.op = 'look' AND i.state IN ('recorded', 'sent', 'unknown')
          AND EXISTS (SELECT FROM intents n WHERE n.company_id = company AND n.appointment_id = winner AND n.op = 'look' AND n.state IN ('recorded', 'sent', 'unknown'));
    UPDATE intents i SET appointment_id = winner WHERE i.company_id = company AND i.appointment_id = loser;
    UPDATE calcom_bookings k SET appointment_id = winner WHERE k.company_id = company AND k.appointment_id = loser;
    UPDATE appointment_modifications m SET appointment_id = winner, customer_id = a.customer_id
        FROM appointments a WHERE a.company_id = company AND a.id = winner AND m.company_id = company AND m.appointment_id = loser;
    -- no revision of the winner is the one that a stored answer about the loser was true for
    UPDATE function_calls f SET appointment_id = winner, appointment_revision = 0 WHERE f.company_id = company AND f.appointment_id = loser;
    UPDATE callback_requests c SET appointment_id = winner WHERE c.company_id = company AND c.appointment_id = loser;
    UPDATE reviews r SET state = 'resolved', resolved_at = frontdesk_now()
        WHERE r.company_id = company AND r.reason = 'overlap' AND r.state = 'open' AND r.appointment_id = ANY (pair)
          AND r.details ->> 'other_appointment_id' IN (loser::text, winner::text);
    UPDATE reviews r SET details = r.details || jsonb_build_object('other_appointment_id', winner)
        WHERE r.company_id = company AND r.reason = 'overlap' AND r.details ->> 'other_appointment_id' = loser::text;
    UPDATE reviews r SET appointment_id = winner WHERE r.company_id = company AND r.appointment_id = loser;
    -- a promise is kept for the move that it was made for; what Cal.com holds is claimed anew from the joined chain
    UPDATE slot_claims c SET appointment_id = winner, holder = winner WHERE c.company_id = company AND c.appointment_id = loser AND c.kind = 'promise';
    DELETE FROM slot_claims c WHERE c.company_id = company AND c.appointment_id = loser;
    INSERT INTO audit_log (id, company_id, actor, action, entity, entity_id, details)
        SELECT gen_random_uuid(), company, 'system', 'joined', 'appointment', winner::text, jsonb_build_object('vanished_id', a.id, 'vanished_number', a.number)
        FROM appointments a WHERE a.company_id = company AND a.id = loser;
    DELETE FROM appointments a WHERE a.company_id = company AND a.id = loser;
    RETURN true;
END
$$;

-- Makes the history that Cal.com told equal to `wanted`: every row that the uids of the appointment's chain stand for. A row that does not change keeps its id
-- and its created_at; what was imported, or has no uid, is not touched; a call that the backfill linked stays linked.
CREATE FUNCTION project_modifications(company uuid, appointment uuid, wanted jsonb) RETURNS void
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
            occurred_at = w.occurred_at
        FROM jsonb_populate_recordset(NULL::appointment_modifications, wanted) w
        WHERE m.company_id = company AND m.appointment_id = appointment AND m.calcom_uid = w.calcom_uid AND m.kind = w.kind AND m.import_run_id IS NULL
          AND (m.previous_starts_at, m.new_starts_at, m.actor, m.source, m.user_id, m.call_id, m.intent_id, m.message_id, m.reason, m.occurred_at)
              IS DISTINCT FROM
              (w.previous_starts_at, w.new_starts_at, w.actor, w.source, w.user_id, coalesce(w.call_id, m.call_id), w.intent_id, w.message_id, w.reason, w.occurred_at);
    INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, previous_starts_at, new_starts_at, actor, source, user_id, call_id,
            intent_id, message_id, calcom_uid, reason, occurred_at)
        SELECT w.id, company, appointment, w.customer_id, w.kind, w.previous_starts_at, w.new_starts_at, w.actor, w.source, w.user_id, w.call_id,
            w.intent_id, w.message_id, w.calcom_uid, w.reason, w.occurred_at
        FROM jsonb_populate_recordset(NULL::appointment_modifications, wanted) w
        ON CONFLICT (company_id, calcom_uid, kind) WHERE calcom_uid IS NOT NULL DO NOTHING;
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['merge_appointments(uuid, uuid, uuid)', 'project_modifications(uuid, uuid, jsonb)']
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO frontdesk_chronicler', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO frontdesk_worker', signature);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM frontdesk_chronicler;

-- programs of the version before work unchanged: they read and write the columns that stay
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120093000, 20261120090000);
