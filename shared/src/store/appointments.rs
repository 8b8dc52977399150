//! The one write path of appointments: the only statements that write `appointments`, `calcom_bookings` and `appointment_modifications`.
//!
//! A wish is `book` (a row in state `requested`, with its intent and slot claim elsewhere); everything that Cal.com holds is written by `adopt` and
//! `apply` from a folded chain. The thirteen audit columns come from `Provenance` and nowhere else.

pub mod fill_nulls;
mod row;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::domain::booking_chain::{Chain, Folded};
use crate::domain::provenance::{AuditGroup, Channel, Provenance};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};
pub use row::{Appointment, NewAppointment};
use row::{booking_rows, modification_rows, project};

/// Records a wish to book: the row that exists before Cal.com is asked (incident 1).
///
/// # Errors
/// When Postgres is away or a CHECK refuses the row.
pub async fn book(tx: &mut CompanyTx, new: NewAppointment, provenance: &Provenance) -> Result<Appointment, StoreError> {
    let stamp = provenance.stamp(AuditGroup::Booking);
    let mut appointment = new.into_row(tx.company_id(), provenance, &stamp);
    write(tx, INSERT, &mut appointment, None, &[], &[]).await?;
    Ok(appointment)
}

/// Keeps beside the name that was told for the appointment how it agrees with the customer's own (`domain::person_names::Agreement::literal`). No change of the
/// appointment: its revision stays.
///
/// # Errors
/// When Postgres is away.
pub async fn note_name(tx: &mut CompanyTx, id: Uuid, agreement: &str) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("UPDATE appointments SET name_agreement = $3 WHERE company_id = $1 AND id = $2")
        .bind(company_id)
        .bind(id)
        .bind(agreement)
        .execute(tx.connection())
        .await
        .map_err(failed("note how an appointment's name agrees"))?;
    Ok(())
}

/// Takes over a booking that was made in Cal.com.
///
/// # Errors
/// When Postgres is away or a CHECK refuses the row.
pub async fn adopt(
    tx: &mut CompanyTx,
    new: NewAppointment,
    chain: &Chain,
    folded: &Folded,
    provider_account_id: Uuid,
    provenance: &Provenance,
) -> Result<Appointment, StoreError> {
    let stamp = provenance.stamp(AuditGroup::Booking);
    let mut appointment = new.into_row(tx.company_id(), provenance, &stamp);
    if let Some(projection) = chain.projection() {
        project(&mut appointment, &projection);
    }
    let bookings = booking_rows(chain, folded, &appointment, provider_account_id);
    let modifications = modification_rows(&folded.modifications, &appointment);
    write(tx, INSERT, &mut appointment, None, &bookings, &modifications).await?;
    Ok(appointment)
}

/// One of several bookings to take over.
#[derive(Clone, Debug)]
pub struct Adoption<'a> {
    pub new: NewAppointment,
    pub chain: &'a Chain,
    pub folded: &'a Folded,
    pub provider_account_id: Uuid,
    pub provenance: &'a Provenance,
}

/// Takes over several bookings that have nothing to do with each other, in one statement: the same rows as [`adopt`] one by one. At most
/// [`ADOPTIONS_MAX`]; none may overlap another in a person's time, since the overlap check does not see the rows of its own statement.
///
/// # Errors
/// When Postgres is away or a CHECK refuses a row.
pub async fn adopt_all(tx: &mut CompanyTx, adoptions: Vec<Adoption<'_>>) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    let (mut appointments, mut bookings, mut modifications) = (Vec::with_capacity(adoptions.len()), Vec::new(), Vec::new());
    for Adoption { new, chain, folded, provider_account_id, provenance } in adoptions {
        let mut appointment = new.into_row(company_id, provenance, &provenance.stamp(AuditGroup::Booking));
        if let Some(projection) = chain.projection() {
            project(&mut appointment, &projection);
        }
        bookings.extend(booking_rows(chain, folded, &appointment, provider_account_id));
        modifications.extend(modification_rows(&folded.modifications, &appointment));
        appointments.push(appointment);
    }
    let written = sqlx::query(INSERT_ALL)
        .bind(sqlx::types::Json(&appointments))
        .bind(None::<i32>)
        .bind(sqlx::types::Json(&bookings))
        .bind(sqlx::types::Json(&modifications))
        .fetch_all(tx.connection())
        .await
        .map_err(failed("write appointments"))?;
    // more than fit into one statement, which none of its callers has
    if written.len() == appointments.len() { Ok(()) } else { Err(StoreError::Changed { table: "appointments" }) }
}

/// Brings an appointment to what its chain says after a fact was folded in.
///
/// # Errors
/// When Postgres is away, or the row changed since it was loaded (`StoreError::is_contention`).
pub async fn apply(
    tx: &mut CompanyTx,
    current: &Appointment,
    staff_id: Option<Uuid>,
    chain: &Chain,
    folded: &Folded,
    provider_account_id: Uuid,
) -> Result<Appointment, StoreError> {
    let mut appointment = current.clone();
    if let Some(projection) = chain.projection() {
        project(&mut appointment, &projection);
    }
    // a sweep found it, and now its late webhook tells how it was booked
    if appointment.booking_source.as_deref() == Some(Channel::Reconciled.booking_source())
        && let Some(stamp) = chain.booked().filter(|stamp| stamp.source != Channel::Reconciled.booking_source())
    {
        appointment.created_by = Some(stamp.by);
        appointment.booking_source = Some(stamp.source);
    }
    appointment.staff_id = staff_id.or(appointment.staff_id);
    appointment.revision = current.revision + 1;
    let bookings = booking_rows(chain, folded, &appointment, provider_account_id);
    if folded.rewritten {
        write(tx, UPDATE, &mut appointment, Some(current.revision), &bookings, &[]).await?;
        rewrite_history(tx, chain, &appointment).await?;
    } else {
        let modifications = modification_rows(&folded.modifications, &appointment);
        write(tx, UPDATE, &mut appointment, Some(current.revision), &bookings, &modifications).await?;
    }
    Ok(appointment)
}

/// The history follows a chain that learnt better. Workers may only append to it; the database's own function may correct it, within the chain's uids.
async fn rewrite_history(tx: &mut CompanyTx, chain: &Chain, appointment: &Appointment) -> Result<(), StoreError> {
    sqlx::query("SELECT project_modifications($1, $2, $3)")
        .bind(appointment.company_id)
        .bind(appointment.id)
        .bind(sqlx::types::Json(modification_rows(&chain.history(), appointment)))
        .execute(tx.connection())
        .await
        .map_err(failed("rewrite an appointment's history"))?;
    Ok(())
}

/// Ends a wish that Cal.com refused: the row stays, in state `failed`, and its claims are freed.
///
/// # Errors
/// When Postgres is away, or the row changed since it was loaded.
pub async fn fail(tx: &mut CompanyTx, current: &Appointment) -> Result<Appointment, StoreError> {
    let mut appointment = current.clone();
    "failed".clone_into(&mut appointment.status);
    appointment.revision = current.revision + 1;
    write(tx, UPDATE, &mut appointment, Some(current.revision), &[], &[]).await?;
    Ok(appointment)
}

/// Ends appointments of the company that took place: they stand, and their time is over by the database's clock. How many did; a late word from Cal.com (nobody came, the host had
/// moved it) changes them all the same.
///
/// # Errors
/// When Postgres is away.
pub async fn complete(tx: &mut CompanyTx, ids: &[Uuid]) -> Result<u64, StoreError> {
    let company_id = tx.company_id();
    let done = sqlx::query(
        "WITH over AS (SELECT id FROM appointments WHERE company_id = $1 AND id = ANY ($2) AND status = 'booked' AND ends_at <= frontdesk_now() ORDER BY id FOR UPDATE),
         freed AS (DELETE FROM slot_claims c USING over o WHERE c.company_id = $1 AND c.appointment_id = o.id)
         UPDATE appointments a SET status = 'completed', revision = a.revision + 1, updated_at = now() FROM over o WHERE a.company_id = $1 AND a.id = o.id",
    )
    .bind(company_id)
    .bind(ids)
    .execute(tx.connection())
    .await
    .map_err(failed("complete appointments"))?;
    Ok(done.rows_affected())
}

/// Appointments of all companies that stand although their time is over, as (company, appointment), longest over first.
///
/// # Errors
/// When Postgres is away.
pub async fn over(pool: &PgPool, at_most: i32) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    sqlx::query_as("SELECT * FROM resolve_appointments_over($1)").bind(at_most).fetch_all(pool).await.map_err(failed("list appointments that are over"))
}

/// What follows the appointment's own row, in the same statement: its uids, its modifications, and its claim on time.
/// $1 appointment (or several), $2 expected revision, $3 bookings, $4 modifications.
macro_rules! with_details {
    ($input:literal, $appointment:expr) => {
        concat!(
            "WITH input AS (",
            $input,
            "), written AS (",
            $appointment,
            " RETURNING a.id, a.company_id, a.number, a.customer_id, a.staff_id, a.service_id, a.starts_at, a.ends_at, a.status,
                'staff/' || a.staff_id AS person, a.starts_at - interval '1 day' AS day_before),
            bookings AS (
                INSERT INTO calcom_bookings AS k (company_id, uid, appointment_id, provider_account_id, predecessor_uid, state, placeholder, sequence, provider_updated_at,
                    fact_hash, starts_at, ends_at, event_type_id, booking_id, host_user_id, seats_per_slot, no_show, requested_at, accepted_at, opened_at, opened_by,
                    opened_source, opened_by_user_id, opened_call_id, closed_at, closed_by, closed_source, closed_by_user_id, closed_call_id, closed_reason, marks)
                SELECT b.company_id, b.uid, b.appointment_id, b.provider_account_id, b.predecessor_uid, b.state, b.placeholder, b.sequence, b.provider_updated_at,
                    b.fact_hash, b.starts_at, b.ends_at, b.event_type_id, b.booking_id, b.host_user_id, b.seats_per_slot, b.no_show, b.requested_at, b.accepted_at,
                    b.opened_at, b.opened_by, b.opened_source, b.opened_by_user_id, b.opened_call_id, b.closed_at, b.closed_by, b.closed_source, b.closed_by_user_id,
                    b.closed_call_id, b.closed_reason, b.marks
                FROM jsonb_populate_recordset(NULL::calcom_bookings, $3) b JOIN written w ON w.id = b.appointment_id
                ON CONFLICT (company_id, uid) DO UPDATE SET predecessor_uid = excluded.predecessor_uid, state = excluded.state, placeholder = excluded.placeholder,
                    sequence = excluded.sequence, provider_updated_at = excluded.provider_updated_at, fact_hash = excluded.fact_hash, starts_at = excluded.starts_at,
                    ends_at = excluded.ends_at, event_type_id = excluded.event_type_id, booking_id = excluded.booking_id, host_user_id = excluded.host_user_id,
                    seats_per_slot = excluded.seats_per_slot, no_show = excluded.no_show, requested_at = excluded.requested_at, accepted_at = excluded.accepted_at,
                    opened_at = excluded.opened_at, opened_by = excluded.opened_by, opened_source = excluded.opened_source,
                    opened_by_user_id = excluded.opened_by_user_id, opened_call_id = excluded.opened_call_id, closed_at = excluded.closed_at,
                    closed_by = excluded.closed_by, closed_source = excluded.closed_source, closed_by_user_id = excluded.closed_by_user_id,
                    closed_call_id = excluded.closed_call_id, closed_reason = excluded.closed_reason, marks = excluded.marks
                -- two chains that cannot be joined yet (a review says so): the other appointment's row is not overwritten by our placeholder of it
                WHERE k.appointment_id = excluded.appointment_id
            ),
            modifications AS (
                INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, previous_starts_at, new_starts_at, actor, source, user_id,
                    call_id, intent_id, message_id, calcom_uid, within_policy, fee_minor, reason, occurred_at)
                SELECT m.id, m.company_id, m.appointment_id, m.customer_id, m.kind, m.previous_starts_at, m.new_starts_at, m.actor, m.source, m.user_id, m.call_id,
                    m.intent_id, m.message_id, m.calcom_uid, coalesce((i.request ->> 'within_policy')::boolean, true), coalesce((i.request ->> 'fee_minor')::bigint, 0),
                    m.reason, m.occurred_at
                FROM jsonb_populate_recordset(NULL::appointment_modifications, $4) m JOIN written w ON w.id = m.appointment_id
                -- what a change of ours costs, where its wish left it; a change of anybody else's costs nothing
                LEFT JOIN LATERAL (SELECT n.request FROM intents n WHERE n.company_id = m.company_id AND n.id = m.intent_id OFFSET 0) i ON true
                ON CONFLICT (company_id, calcom_uid, kind) WHERE calcom_uid IS NOT NULL DO NOTHING
            ),
            freed AS (
                DELETE FROM slot_claims c USING written w
                WHERE c.company_id = w.company_id AND c.appointment_id = w.id AND w.status <> 'requested'
                  AND (w.status NOT IN ('pending', 'booked') OR (c.kind = 'external' AND c.resource <> w.person) OR (c.during <> tstzrange(w.starts_at, w.ends_at)
                       AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.company_id = w.company_id AND i.appointment_id = w.id AND i.op = 'reschedule'
                                       AND i.state IN ('waiting', 'recorded', 'sent', 'unknown') AND i.starts_at = c.starts_at)))
            ),
            claimed AS (
                INSERT INTO slot_claims (id, company_id, resource, during, kind, holder, appointment_id)
                SELECT gen_random_uuid(), w.company_id,
                       coalesce(w.person, 'event_type/' || (SELECT s.calcom_event_type_id FROM services s WHERE s.company_id = w.company_id AND s.id = w.service_id)),
                       tstzrange(w.starts_at, w.ends_at), 'external', w.id, w.id
                FROM written w
                WHERE w.status IN ('pending', 'booked') AND (w.staff_id IS NOT NULL OR w.service_id IS NOT NULL)
                  AND NOT EXISTS (SELECT 1 FROM slot_claims c WHERE c.company_id = w.company_id AND c.appointment_id = w.id AND c.during = tstzrange(w.starts_at, w.ends_at)
                                  AND (c.kind = 'promise' OR w.person IS NULL OR c.resource = w.person))
            ),
            reviewed AS (
                INSERT INTO reviews (id, company_id, subject, reason, appointment_id, details, dedup_key)
                SELECT gen_random_uuid(), w.company_id, 'appointment', 'overlap', w.id, jsonb_build_object('other_appointment_id', c.appointment_id),
                       'overlap/' || least(w.id::text, c.appointment_id::text) || '/' || greatest(w.id::text, c.appointment_id::text)
                FROM written w
                -- plain columns on both sides: under row-level security an expression that is not leakproof finds no index
                JOIN slot_claims c ON c.company_id = w.company_id AND c.resource = w.person AND c.appointment_id <> w.id
                    AND c.starts_at < w.ends_at AND c.starts_at > w.day_before AND upper(c.during) > w.starts_at
                WHERE w.status IN ('pending', 'booked')
                ON CONFLICT (company_id, dedup_key) DO NOTHING
            )
            SELECT number FROM written"
        )
    };
}

macro_rules! insert {
    () => {
        "INSERT INTO appointments AS a (id, company_id, number, branch_id, customer_id, service_id, staff_id, call_id, status, starts_at, ends_at, time_zone, name_given, notes,
                calcom_uid, revision, rescheduled_count, created_by, booking_source, booked_by_user_id, rescheduled_at, rescheduled_by, rescheduled_by_user_id,
                reschedule_source, previous_starts_at, cancelled_at, cancelled_by, cancelled_by_user_id, cancellation_source, cancellation_reason)
            SELECT id, company_id, next_number('appointment', company_id), branch_id, customer_id, service_id, staff_id, call_id, status, starts_at, ends_at, time_zone, name_given,
                notes, calcom_uid, revision, rescheduled_count, created_by, booking_source, booked_by_user_id, rescheduled_at, rescheduled_by, rescheduled_by_user_id,
                reschedule_source, previous_starts_at, cancelled_at, cancelled_by, cancelled_by_user_id, cancellation_source, cancellation_reason
            FROM input WHERE $2::integer IS NULL"
    };
}

/// How many bookings one statement takes over: a group of the bulk lanes. The bound also tells the planner that there are few.
pub const ADOPTIONS_MAX: usize = 16;

const INSERT: &str = with_details!("SELECT * FROM jsonb_populate_record(NULL::appointments, $1)", insert!());

const INSERT_ALL: &str = with_details!("SELECT * FROM jsonb_populate_recordset(NULL::appointments, $1) LIMIT 16", insert!());

const UPDATE: &str = with_details!(
    "SELECT * FROM jsonb_populate_record(NULL::appointments, $1)",
    "UPDATE appointments a SET customer_id = n.customer_id, service_id = n.service_id, staff_id = n.staff_id, status = n.status, starts_at = n.starts_at,
        ends_at = n.ends_at, calcom_uid = n.calcom_uid, revision = n.revision, rescheduled_count = n.rescheduled_count, rescheduled_at = n.rescheduled_at,
        rescheduled_by = n.rescheduled_by, rescheduled_by_user_id = n.rescheduled_by_user_id, reschedule_source = n.reschedule_source,
        previous_starts_at = n.previous_starts_at, cancelled_at = n.cancelled_at, cancelled_by = n.cancelled_by, cancelled_by_user_id = n.cancelled_by_user_id,
        cancellation_source = n.cancellation_source, cancellation_reason = n.cancellation_reason, created_by = n.created_by, booking_source = n.booking_source,
        updated_at = now()
    FROM (SELECT * FROM input) n WHERE a.company_id = n.company_id AND a.id = n.id AND a.revision = $2"
);

async fn write(
    tx: &mut CompanyTx,
    statement: &'static str,
    appointment: &mut Appointment,
    expected_revision: Option<i32>,
    bookings: &[Value],
    modifications: &[Value],
) -> Result<(), StoreError> {
    let row = sqlx::query(statement)
        .bind(sqlx::types::Json(&*appointment))
        .bind(expected_revision)
        .bind(sqlx::types::Json(bookings))
        .bind(sqlx::types::Json(modifications))
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("write an appointment"))?
        .ok_or(StoreError::Changed { table: "appointments" })?;
    appointment.number = row.try_get("number").map_err(failed("read an appointment's number"))?;
    Ok(())
}

/// An appointment by its key, locked until the transaction ends.
///
/// # Errors
/// When Postgres is away.
pub async fn locked(tx: &mut CompanyTx, id: Uuid) -> Result<Option<Appointment>, StoreError> {
    let company_id = tx.company_id();
    let row: Option<Value> = sqlx::query_scalar("SELECT to_jsonb(a) FROM appointments a WHERE company_id = $1 AND id = $2 FOR UPDATE")
        .bind(company_id)
        .bind(id)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("lock an appointment"))?;
    row.map(parse).transpose()
}

/// A customer's appointments that lie ahead and can still be changed, soonest first (at most 20: more is not said on the phone).
///
/// # Errors
/// When Postgres is away.
pub async fn upcoming_of(tx: &mut CompanyTx, customer_id: Uuid, now: DateTime<Utc>) -> Result<Vec<Appointment>, StoreError> {
    let company_id = tx.company_id();
    let rows: Vec<Value> = sqlx::query_scalar(
        "SELECT to_jsonb(a) FROM appointments a
         WHERE company_id = $1 AND customer_id = $2 AND starts_at > $3 AND status IN ('requested', 'pending', 'booked', 'reschedule_requested')
         ORDER BY starts_at, id LIMIT 20",
    )
    .bind(company_id)
    .bind(customer_id)
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list a customer's appointments"))?;
    rows.into_iter().map(parse).collect()
}

pub(crate) fn parse(row: Value) -> Result<Appointment, StoreError> {
    serde_json::from_value(row).map_err(|_| StoreError::BadRow { table: "appointments", column: "row" })
}
