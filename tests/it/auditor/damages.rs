//! Damages by SQL, each with the invariant that must name it and a part of the sentence.

use dev::chaos::auditor::Invariant;

/// What the statements call their rows.
pub const NAMES: [(&str, &str); 4] = [
    ("THE_OTHER", "(SELECT id FROM companies WHERE name LIKE 'Praxis Nummer%')"),
    ("THE_FIRST", "booking_source = 'retell_phone' AND rescheduled_count = 1"),
    ("THE_SECOND", "booking_source = 'retell_phone' AND rescheduled_count = 0"),
    ("THE_VISITORS", "booking_source = 'calcom_webhook' AND company_id <> (SELECT id FROM companies WHERE name LIKE 'Praxis Nummer%')"),
];

pub struct Damage {
    pub invariant: Invariant,
    pub sentence: &'static str,
    pub statements: &'static [&'static str],
}

const fn damage(invariant: Invariant, sentence: &'static str, statements: &'static [&'static str]) -> Damage {
    Damage { invariant, sentence, statements }
}

/// Of the scene: a caller's first appointment (booked, moved) and THE_SECOND (booked, cancelled), a caller who was refused, THE_VISITORS (booked, moved, cancelled), and one that a visitor has with
/// THE_OTHER company.
pub const IN_ROWS: &[Damage] = &[
    damage(
        Invariant::Liveness,
        "1 claims on times at which no appointment stands",
        &["UPDATE slot_claims SET during = tstzrange(lower(during) + interval '9 days', upper(during) + interval '9 days') WHERE appointment_id = (SELECT id FROM appointments WHERE status = 'booked' AND THE_FIRST)"],
    ),
    damage(Invariant::NoLoss, "has a result that says it is done", &["UPDATE intents SET uid = 'nobodys' WHERE op = 'reschedule'"]),
    damage(Invariant::NoLoss, "and no row knows of it", &["DELETE FROM function_calls WHERE function = 'reschedule_appointment'"]),
    damage(Invariant::Tenancy, "were not bound by row-level security", &["UPDATE auditor_sessions SET bound = false WHERE at = (SELECT max(at) FROM auditor_sessions)"]),
    damage(
        Invariant::Bounded,
        "while it had to rest",
        &["INSERT INTO auditor_blocks (credential_id, until, disobeyed) SELECT id, now() + interval '1 min', true FROM credentials WHERE provider = 'calcom' LIMIT 1"],
    ),
    damage(
        Invariant::Liveness,
        "was given up: poison",
        &["INSERT INTO dead_letters (id, message_id, kind, queue, reason, body) VALUES (gen_random_uuid(), 'p', 'retell.call_ended', 'frontdesk.calls', 'poison', '{}')"],
    ),
    damage(Invariant::NoLoss, "call_ended of the call", &["UPDATE calls SET repaired = '{call_ended}' WHERE number = 1"]),
    damage(
        Invariant::NoLoss,
        "is lost",
        &["DELETE FROM inbox WHERE message_id = (SELECT message_id FROM events WHERE kind = 'retell.call_started' ORDER BY message_id LIMIT 1)"],
    ),
    damage(
        Invariant::NoLoss,
        "no attempt says that it was done",
        &["DELETE FROM attempts WHERE message_id = (SELECT message_id FROM events WHERE kind = 'calcom.booking_cancelled' ORDER BY message_id LIMIT 1)"],
    ),
    damage(
        Invariant::NoDoubleEffect,
        "handled the retell.function.book_appointment",
        &["INSERT INTO attempts SELECT a.* FROM attempts a WHERE outcome = 'done' AND kind = 'retell.function.book_appointment' LIMIT 1"],
    ),
    damage(
        Invariant::NoDoubleEffect,
        "the history says 2 times",
        &[
            "DROP INDEX appointment_modifications_once",
            "INSERT INTO appointment_modifications SELECT (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid(), 'intent_id', NULL))).*
             FROM appointment_modifications m WHERE kind = 'booked' AND source = 'calcom_webhook' ORDER BY id LIMIT 1",
        ],
    ),
    damage(
        Invariant::NoDoubleEffect,
        "had something booked 2 times",
        &["UPDATE appointment_modifications SET intent_id = (SELECT min(intent_id::text)::uuid FROM appointment_modifications WHERE kind = 'booked')
           WHERE kind = 'booked' AND intent_id IS NOT NULL"],
    ),
    damage(
        Invariant::NoDoubleEffect,
        "is shared by the appointments",
        &["UPDATE appointments SET calcom_uid = (SELECT calcom_uid FROM appointments WHERE THE_SECOND)
           WHERE company_id = THE_OTHER"],
    ),
    damage(Invariant::NoOrphan, "but Cal.com has", &["UPDATE appointments SET starts_at = starts_at + interval '5 min' WHERE THE_VISITORS"]),
    damage(
        Invariant::NoOrphan,
        "is booked, but Cal.com says Cancelled",
        &["UPDATE appointments SET status = 'booked', cancelled_at = NULL, cancelled_by = NULL, cancellation_source = NULL, cancellation_reason = NULL WHERE THE_VISITORS"],
    ),
    damage(
        Invariant::NoOrphan,
        "is no_show, but Cal.com holds no such booking",
        &["UPDATE appointments SET status = 'no_show', cancelled_at = NULL, cancelled_by = NULL, cancellation_source = NULL, cancellation_reason = NULL WHERE THE_SECOND"],
    ),
    damage(
        Invariant::NoOrphan,
        "which Cal.com never had",
        &["INSERT INTO calcom_bookings (company_id, uid, appointment_id, provider_account_id, state, starts_at, ends_at)
           SELECT company_id, 'nobodys-booking', appointment_id, provider_account_id, state, starts_at, ends_at FROM calcom_bookings LIMIT 1"],
    ),
    damage(
        Invariant::NoOrphan,
        "does not carry its token",
        &["UPDATE intents SET token = gen_random_uuid() WHERE op = 'create' AND id = (SELECT min(id::text)::uuid FROM intents WHERE op = 'create')"],
    ),
    damage(
        Invariant::AuditComplete,
        "created_by",
        &["ALTER TABLE appointments DROP CONSTRAINT appointments_booking_audit", "UPDATE appointments SET created_by = NULL WHERE THE_SECOND"],
    ),
    damage(
        Invariant::AuditComplete,
        "cancellation_reason",
        &["ALTER TABLE appointments DROP CONSTRAINT appointments_cancellation_audit", "UPDATE appointments SET status = 'cancelled', cancelled_at = now(), cancelled_by = 'customer', cancellation_source = 'retell_api' WHERE THE_SECOND"],
    ),
    damage(
        Invariant::AuditComplete,
        "in another call",
        &["UPDATE appointment_modifications SET call_id = (SELECT id FROM calls ORDER BY number DESC LIMIT 1) WHERE kind = 'rescheduled' AND call_id IS NOT NULL"],
    ),
    damage(
        Invariant::AuditComplete,
        "its history names no call",
        &[
            "ALTER TABLE appointment_modifications DROP CONSTRAINT appointment_modifications_call",
            "UPDATE appointment_modifications SET call_id = NULL WHERE kind = 'cancelled' AND call_id IS NOT NULL",
        ],
    ),
    damage(
        Invariant::AuditComplete,
        "by Visitor, and its history names a call",
        &["UPDATE appointment_modifications SET call_id = (SELECT min(id::text)::uuid FROM calls) WHERE kind = 'cancelled' AND source = 'calcom_webhook'"],
    ),
    damage(
        Invariant::AuditComplete,
        "by Visitor, and its history says system",
        &["UPDATE appointment_modifications SET actor = 'system' WHERE kind = 'rescheduled' AND source = 'calcom_webhook'"],
    ),
    damage(
        Invariant::AuditComplete,
        "by Api, and its history says customer by calcom_webhook",
        &["UPDATE appointment_modifications SET actor = 'customer', source = 'calcom_webhook' WHERE kind = 'rescheduled' AND source LIKE 'retell_%'"],
    ),
    damage(Invariant::Convergence, "is superseded in Cal.com and accepted", &["UPDATE calcom_bookings SET state = 'accepted' WHERE state = 'superseded'"]),
    damage(
        Invariant::Convergence,
        "and our rows say None",
        &["UPDATE calcom_bookings SET predecessor_uid = NULL WHERE predecessor_uid IS NOT NULL"],
    ),
    damage(Invariant::Convergence, "never more than heard of", &["UPDATE calcom_bookings SET placeholder = true WHERE state = 'cancelled'"]),
    damage(
        Invariant::Convergence,
        "was moved 1 times",
        &[
            "ALTER TABLE appointments DROP CONSTRAINT appointments_reschedule_audit",
            "UPDATE appointments SET rescheduled_count = 2 WHERE rescheduled_count = 1",
        ],
    ),
    damage(
        Invariant::Convergence,
        "and the history does not say so",
        &["DELETE FROM appointment_modifications WHERE kind = 'rescheduled' AND source = 'calcom_webhook'"],
    ),
    damage(
        Invariant::Convergence,
        "which Cal.com never did",
        &["UPDATE appointment_modifications SET kind = 'rejected' WHERE kind = 'cancelled' AND source = 'calcom_webhook'"],
    ),
    damage(
        Invariant::Convergence,
        "although an event of stage 2 took effect",
        &["UPDATE calls SET status = 'ongoing' WHERE status = 'ended' AND number = (SELECT max(number) FROM calls WHERE status = 'ended')"],
    ),
    damage(
        Invariant::NoOverlap,
        "two promises overlap",
        &[
            "ALTER TABLE slot_claims DROP CONSTRAINT slot_claims_no_overlap",
            "INSERT INTO slot_claims (id, company_id, resource, during, kind, holder)
             SELECT gen_random_uuid(), company_id, 'event_type/1', tstzrange(starts_at, ends_at + interval '1 min'), 'promise', id FROM appointments WHERE booking_source = 'retell_phone'",
            "UPDATE slot_claims SET during = (SELECT during FROM slot_claims WHERE resource = 'event_type/1' ORDER BY holder LIMIT 1) WHERE resource = 'event_type/1'",
        ],
    ),
    damage(
        Invariant::NoOverlap,
        "was promised to two callers",
        &[
            "UPDATE intents SET starts_at = r.starts_at, ends_at = r.ends_at FROM intents r WHERE r.op = 'reschedule' AND intents.op = 'create'",
            "DELETE FROM intents WHERE op = 'reschedule'",
            "UPDATE intents SET sent_at = now() + interval '1 hour', settled_at = now() + interval '2 hours' WHERE op = 'create' AND appointment_id = (SELECT id FROM appointments WHERE THE_SECOND)",
        ],
    ),
    damage(
        Invariant::NoOverlap,
        "were under way at once",
        &["UPDATE intents SET starts_at = now() + interval '2 days', ends_at = now() + interval '2 days 30 min', sent_at = now(), settled_at = now() + interval '2 s'
           WHERE op = 'create'"],
    ),
    damage(
        Invariant::Tenancy,
        "something of another company's customers",
        &["UPDATE customers SET name = 'Zoë Amselwald' WHERE company_id = THE_OTHER"],
    ),
    damage(Invariant::Tenancy, "frontdesk_worker as nobody sees", &["ALTER TABLE customers DISABLE ROW LEVEL SECURITY"]),
    damage(
        Invariant::Tenancy,
        "stands among the rows of",
        &[
            "ALTER TABLE calcom_bookings DROP CONSTRAINT calcom_bookings_company_id_appointment_id_fkey",
            "UPDATE calcom_bookings SET company_id = THE_OTHER WHERE uid = (SELECT calcom_uid FROM appointments WHERE THE_VISITORS)",
        ],
    ),
    damage(Invariant::Bounded, "is at attempt 9", &["UPDATE attempts SET attempt = 9 WHERE message_id = (SELECT min(message_id) FROM attempts)"]),
    damage(
        Invariant::Bounded,
        "13 times in vain",
        &["INSERT INTO attempts SELECT (jsonb_populate_record(a, jsonb_build_object('outcome', 'retry'))).* FROM attempts a, generate_series(1, 13)
           WHERE outcome = 'done' AND message_id = (SELECT min(message_id) FROM attempts WHERE outcome = 'done')"],
    ),
    damage(Invariant::Liveness, "neither confirmed nor failed", &["UPDATE intents SET state = 'unknown', settled_at = NULL WHERE op = 'cancel'"]),
    damage(
        Invariant::Liveness,
        "messages in the outbox",
        &["INSERT INTO outbox (id, queue, message_id, kind, received_at, body) VALUES (gen_random_uuid(), 'frontdesk.calls', 'left', 'intent.due', now(), '')"],
    ),
    damage(Invariant::Liveness, "function calls without a result", &["UPDATE function_calls SET state = 'running', result = NULL WHERE function = 'cancel_appointment'"]),
    damage(
        Invariant::Liveness,
        "was given up: attempts_exhausted",
        &["INSERT INTO dead_letters (id, message_id, kind, queue, reason, body) VALUES (gen_random_uuid(), 'm', 'calcom.booking_created', 'frontdesk.booking', 'attempts_exhausted', '{}')"],
    ),
    damage(Invariant::Convergence, "ms at Retell and", &["UPDATE calls SET duration_ms = duration_ms + 1 WHERE number = 2"]),
    damage(Invariant::Convergence, "is in Retell's list and not in ours", &["UPDATE calls SET retell_call_id = 'another' WHERE number = 3"]),
    damage(Invariant::NoLoss, "and only a sweep took it in", &["UPDATE appointment_modifications SET source = 'reconciled' WHERE kind = 'booked' AND source = 'calcom_webhook'"]),
    damage(Invariant::Privacy, "dead_letters holds a canary", &["UPDATE dead_letters SET detail = 'no such name: Jürgen Amselwald'"]),
];

/// Thirty wishes of an hour ago that waited 100 ms; thirty of the other company, while one is throttled for a minute, that wait for all of it.
pub const UNFAIR: &[&str] = &[
    "INSERT INTO intents SELECT (jsonb_populate_record(i, jsonb_build_object('id', gen_random_uuid(), 'token', gen_random_uuid(), 'state', 'failed', 'error_class', 'refused', 'sent_count', 1, 'lane', 'live',
        'created_at', now() - interval '1 hour', 'sent_at', now() - interval '1 hour' + interval '100 ms'))).*
     FROM intents i, generate_series(1, 30) WHERE i.id = (SELECT min(id::text)::uuid FROM intents WHERE op = 'create')",
    "INSERT INTO intents SELECT (jsonb_populate_record(i, jsonb_build_object('id', gen_random_uuid(), 'token', gen_random_uuid(), 'state', 'failed', 'error_class', 'refused', 'sent_count', 1, 'lane', 'live',
        'created_at', now() - interval '30 s', 'sent_at', now() + interval '2 min'))).*
     FROM intents i, generate_series(1, 30) WHERE i.id = (SELECT min(id::text)::uuid FROM intents WHERE op = 'create')",
];

/// What leaves nothing to be read: last. With the invariants that nobody can judge then.
pub const AFTERWARDS: &[(&[Invariant], &str)] =
    &[(&[Invariant::Privacy], "DROP TABLE reviews CASCADE"), (&Invariant::ALL, "DROP TABLE appointment_modifications CASCADE")];
