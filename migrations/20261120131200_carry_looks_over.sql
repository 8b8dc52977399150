-- When two appointments are joined, the question to Cal.com that the loser has open is not lost: the winner's answers it, or is asked once more (faults E1).
GRANT UPDATE (again_uid, due_at) ON intents TO frontdesk_chronicler;

CREATE OR REPLACE FUNCTION merge_appointments(company uuid, loser uuid, winner uuid) RETURNS boolean
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
    -- A look that the winner has open answers for both, if it is not under way (what it reads may be older than the loser's news) and asks about the same uid; else it is made
    -- once more, at the loser's. It is due when the first of the two was.
    UPDATE intents n SET due_at = least(n.due_at, l.due_at),
            again_uid = CASE WHEN n.lease_holder IS NOT NULL OR l.again_uid IS NOT NULL OR n.uid IS DISTINCT FROM l.uid THEN coalesce(l.again_uid, l.uid, '') ELSE n.again_uid END
        FROM intents l
        WHERE n.company_id = company AND n.appointment_id = winner AND n.op = 'look' AND n.state IN ('recorded', 'sent', 'unknown')
          AND l.company_id = company AND l.appointment_id = loser AND l.op = 'look' AND l.state IN ('recorded', 'sent', 'unknown');
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

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120131200, 20261120090000);
