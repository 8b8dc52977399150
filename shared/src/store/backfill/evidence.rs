//! Reads what a chunk's rows say about themselves, in one statement per chunk, of one company only.
//!
//! Keys out of JSON are computed in a materialized step first: joined as they are they would not be leakproof, and Postgres would not use an index under row-level security.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::chunks::Range;
use crate::domain::backfill::{AppointmentEvidence, CallEvidence, ModificationRow};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// History of an appointment: the newest row of each kind. The calls of its customer: by the row, or by the number where the call names nobody, so that what a run links
/// changes no evidence; for the same reason a call that an appointment could name the customer of counts by its number only. Metadata that names two calls of Retell names none
/// (a shorter text is what a language model filled in: incident 37). A user may be named by our key, in `metadata`, or in the audit log under our key or the former one.
const APPOINTMENTS: &str = "
    WITH keyed AS MATERIALIZED (
        SELECT a.*, a.id::text AS id_text, coalesce(m.meta ->> 'calcom_booking_uid',
                substring(m.meta ->> 'metadata_text' FROM 'calcom_booking_uid[\\\\]*\"\\s*:\\s*[\\\\]*\"([A-Za-z0-9_-]+)')) AS meta_uid, array_remove(ARRAY[a.calcom_uid, m.meta ->> 'calcom_booking_uid', m.meta ->> 'previous_booking_id'], NULL) AS uids,
            array_remove(ARRAY[m.meta ->> 'retell_call_id', m.meta ->> 'call_id', m.meta #>> '{cal_com_data,metadata,call_id}', m.meta #>> '{cal_com_data,payload,metadata,call_id}',
                substring(m.meta ->> 'metadata_text' FROM 'retell_call_id[\\\\]*\"\\s*:\\s*[\\\\]*\"([A-Za-z0-9_-]+)')], NULL) AS retell_ids,
            CASE WHEN h.host ~ '^[0-9]{1,18}$' THEN h.host::bigint END AS host,
            CASE WHEN u.booking ~ u.form THEN u.booking::uuid END AS booking_user, CASE WHEN u.moving ~ u.form THEN u.moving::uuid END AS moving_user,
            CASE WHEN u.cancelling ~ u.form THEN u.cancelling::uuid END AS cancelling_user
        FROM appointments a
        CROSS JOIN LATERAL (SELECT coalesce(a.legacy_metadata, '{}') AS meta) m
        CROSS JOIN LATERAL (SELECT coalesce(m.meta ->> 'calcom_host_id', m.meta #>> '{cal_com_data,organizer,id}', m.meta #>> '{cal_com_data,payload,organizer,id}',
                                            m.meta #>> '{cal_com_data,hosts,0,id}', (SELECT b.host_user_id::text FROM calcom_bookings b WHERE b.company_id = $1 AND b.uid = a.calcom_uid)) AS host) h
        CROSS JOIN LATERAL (SELECT coalesce(m.meta ->> 'booked_by_user_id', m.meta ->> 'created_by_user_id') AS booking, m.meta ->> 'rescheduled_by_user_id' AS moving,
                                   m.meta ->> 'cancelled_by_user_id' AS cancelling, '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AS form) u
        WHERE a.company_id = $1 AND a.id > $2 AND a.id <= $3 AND a.import_run_id IS NOT NULL
    )
    SELECT jsonb_build_object('id', k.id, 'revision', k.revision, 'status', k.status, 'rescheduled_count', k.rescheduled_count, 'notes', k.notes,
        'legacy_metadata', k.legacy_metadata,
        'cells', jsonb_strip_nulls(jsonb_build_object('created_by', k.created_by, 'booking_source', k.booking_source, 'booked_by_user_id', k.booked_by_user_id,
            'rescheduled_at', k.rescheduled_at, 'rescheduled_by', k.rescheduled_by, 'rescheduled_by_user_id', k.rescheduled_by_user_id,
            'reschedule_source', k.reschedule_source, 'previous_starts_at', k.previous_starts_at, 'cancelled_at', k.cancelled_at, 'cancelled_by', k.cancelled_by,
            'cancelled_by_user_id', k.cancelled_by_user_id, 'cancellation_source', k.cancellation_source, 'cancellation_reason', k.cancellation_reason,
            'call_id', k.call_id, 'staff_id', k.staff_id)),
        'booked', h.history -> 'booked', 'moved', h.history -> 'rescheduled', 'cancelled', h.history -> 'cancelled',
        'named_calls', CASE WHEN k.retell_ids = '{}' OR (SELECT count(DISTINCT r) FROM unnest(k.retell_ids) r WHERE length(r) >= 20) > 1 THEN '[]' ELSE
            (SELECT coalesce(jsonb_agg(c.id ORDER BY c.id), '[]') FROM calls c WHERE c.company_id = $1 AND c.retell_call_id = ANY (k.retell_ids)) END,
        'converted_calls', (SELECT coalesce(jsonb_agg(c.id ORDER BY c.id), '[]') FROM calls c
            WHERE c.company_id = $1 AND c.converted_appointment IN (k.legacy_id, k.id_text)),
        'detailed_calls', (SELECT coalesce(jsonb_agg(c.id ORDER BY c.id), '[]') FROM calls c WHERE c.company_id = $1 AND c.booked_uid = k.calcom_uid),
        'shares_uid', k.meta_uid IS NOT NULL AND k.meta_uid IS DISTINCT FROM k.calcom_uid
            AND EXISTS (SELECT FROM appointments o WHERE o.company_id = $1 AND o.calcom_uid = k.meta_uid AND o.id <> k.id),
        'created_event', EXISTS (SELECT FROM events e, unnest(k.uids) u WHERE e.company_id = $1 AND e.received_at = k.created_at
            AND e.kind = 'calcom.booking_created' AND e.encoding = 'identity' AND position(convert_to(u, 'UTF8') IN e.body) > 0),
        'cancelling_calls', CASE WHEN k.status <> 'cancelled' OR h.history ? 'cancelled' THEN '[]' ELSE
            (SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'started_at', c.started_at, 'ended_at', c.ended_at) ORDER BY c.started_at, c.id), '[]')
             FROM (SELECT c.id, c.started_at, c.ended_at FROM calls c JOIN customers u ON u.company_id = $1 AND u.id = k.customer_id
                   WHERE c.company_id = $1 AND c.customer_id = k.customer_id AND (c.converted_appointment IS NULL OR c.import_run_id IS NULL OR c.caller = u.phone) AND c.outcome = 'appointment_cancelled'
                   UNION SELECT c.id, c.started_at, c.ended_at FROM customers u JOIN calls c ON c.company_id = $1 AND c.caller = u.phone
                   WHERE u.company_id = $1 AND u.id = k.customer_id AND c.outcome = 'appointment_cancelled' AND c.customer_id IS NULL
                   ORDER BY 2, 1 LIMIT 50) c) END,
        'host_staff', CASE WHEN k.host IS NULL OR k.staff_id IS NOT NULL THEN '[]' ELSE
            (SELECT coalesce(jsonb_agg(s.id ORDER BY s.id), '[]') FROM staff s WHERE s.company_id = $1 AND s.calcom_user_id = k.host) END,
        'booking_user', coalesce((SELECT u.id FROM users u WHERE u.company_id = $1 AND u.id = k.booking_user), l.booking),
        'moving_user', coalesce((SELECT u.id FROM users u WHERE u.company_id = $1 AND u.id = k.moving_user), l.moving),
        'cancelling_user', coalesce((SELECT u.id FROM users u WHERE u.company_id = $1 AND u.id = k.cancelling_user), l.cancelling))
    FROM keyed k
    CROSS JOIN LATERAL (
        SELECT coalesce(jsonb_object_agg(n.kind, n.row), '{}') AS history
        FROM (SELECT DISTINCT ON (m.kind) m.kind, jsonb_build_object('id', m.id, 'actor', m.actor, 'source', m.source, 'user_id', coalesce(m.user_id,
                      CASE WHEN m.legacy_metadata ->> 'modified_by_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
                          (SELECT u.id FROM users u WHERE u.company_id = $1 AND u.id = (m.legacy_metadata ->> 'modified_by_id')::uuid) END), 'call_id', m.call_id,
                  'occurred_at', m.occurred_at, 'previous_starts_at', m.previous_starts_at, 'reason', m.reason, 'legacy_metadata', m.legacy_metadata) AS row
              FROM appointment_modifications m
              WHERE m.company_id = $1 AND m.appointment_id = k.id AND m.kind IN ('booked', 'rescheduled', 'cancelled')
              ORDER BY m.kind, m.occurred_at DESC, m.id DESC) n) h
    CROSS JOIN LATERAL (
        SELECT (array_agg(g.user_id ORDER BY g.occurred_at DESC) FILTER (WHERE g.action IN ('created', 'booked')))[1] AS booking,
            (array_agg(g.user_id ORDER BY g.occurred_at DESC) FILTER (WHERE g.action = 'rescheduled'))[1] AS moving,
            (array_agg(g.user_id ORDER BY g.occurred_at DESC) FILTER (WHERE g.action = 'cancelled'))[1] AS cancelling
        FROM audit_log g WHERE g.company_id = $1 AND g.entity = 'appointment' AND g.entity_id IN (k.id_text, k.legacy_id) AND g.user_id IS NOT NULL) l
    ORDER BY k.id";

const MODIFICATIONS: &str = "
    WITH keyed AS MATERIALIZED (
        SELECT m.id, m.source, m.occurred_at, m.customer_id, m.legacy_metadata ->> 'call_id' AS retell_id FROM appointment_modifications m
        WHERE m.company_id = $1 AND m.id > $2 AND m.id <= $3 AND m.import_run_id IS NOT NULL AND m.call_id IS NULL
    )
    SELECT jsonb_build_object('id', k.id, 'source', k.source, 'occurred_at', k.occurred_at,
        'named_call', (SELECT c.id FROM calls c WHERE c.company_id = $1 AND c.retell_call_id = k.retell_id),
        'calls_around', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'started_at', c.started_at, 'ended_at', c.ended_at) ORDER BY c.started_at, c.id), '[]')
             FROM (SELECT c.id, c.started_at, c.ended_at FROM calls c JOIN customers u ON u.company_id = $1 AND u.id = k.customer_id
                   WHERE c.company_id = $1 AND c.customer_id = k.customer_id AND (c.converted_appointment IS NULL OR c.import_run_id IS NULL OR c.caller = u.phone) AND c.started_at BETWEEN k.occurred_at - interval '4 hours' AND k.occurred_at
                   UNION SELECT c.id, c.started_at, c.ended_at FROM customers u JOIN calls c ON c.company_id = $1 AND c.caller = u.phone
                   WHERE u.company_id = $1 AND u.id = k.customer_id AND c.customer_id IS NULL
                     AND c.started_at BETWEEN k.occurred_at - interval '4 hours' AND k.occurred_at
                   ORDER BY 2, 1 LIMIT 50) c))
    FROM keyed k ORDER BY k.id";

const CALLS: &str = "
    SELECT jsonb_build_object('id', c.id, 'customer_of_number', u.id, 'customer_of_appointment', a.customer_id) FROM calls c
    LEFT JOIN customers u ON u.company_id = $1 AND u.phone = c.caller
    LEFT JOIN appointments a ON a.company_id = $1 AND a.legacy_id = c.converted_appointment AND c.import_run_id IS NOT NULL
    WHERE c.company_id = $1 AND c.id > $2 AND c.id <= $3 AND c.customer_id IS NULL AND (u.id IS NOT NULL OR a.id IS NOT NULL) ORDER BY c.id";

/// The rows of appointments that were taken over.
///
/// # Errors
/// When Postgres is away.
pub async fn appointments(tx: &mut CompanyTx, range: Range) -> Result<Vec<AppointmentEvidence>, StoreError> {
    let rows: Vec<AppointmentEvidence> = read(tx, APPOINTMENTS, range, "appointments").await?;
    Ok(rows.into_iter().map(AppointmentEvidence::unpacked).collect())
}

/// Changes without a call.
///
/// # Errors
/// When Postgres is away.
pub async fn modifications(tx: &mut CompanyTx, range: Range) -> Result<Vec<ModificationRow>, StoreError> {
    read(tx, MODIFICATIONS, range, "appointment_modifications").await
}

/// Calls without a customer.
///
/// # Errors
/// When Postgres is away.
pub async fn calls(tx: &mut CompanyTx, range: Range) -> Result<Vec<CallEvidence>, StoreError> {
    read(tx, CALLS, range, "calls").await
}

async fn read<T: DeserializeOwned>(tx: &mut CompanyTx, statement: &'static str, range: Range, table: &'static str) -> Result<Vec<T>, StoreError> {
    let company_id = tx.company_id();
    let rows: Vec<Value> = sqlx::query_scalar(statement)
        .bind(company_id)
        .bind(range.after_id)
        .bind(range.until_id)
        .fetch_all(tx.connection())
        .await
        .map_err(failed("read the evidence of a chunk"))?;
    rows.into_iter().map(|row| serde_json::from_value(row).map_err(|_| StoreError::BadRow { table, column: "evidence" })).collect()
}
