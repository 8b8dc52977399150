//! What happened: the stories of a customer, a call and an appointment, read from the views of the same names. Only reading.
//!
//! Not how it is shown (the operator's command and the portal do that, in the words of `domain::timeline`). The rows hold names and numbers: for a screen, never for a
//! log, hence no `Debug`. Every list is bounded by its caller and says whether there was more.

mod search;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::timeline::EntryKind;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};
pub use search::{HITS_MAX, Key, find_appointments, find_calls, find_customers, upcoming};

/// Part of a list, and whether it goes on.
#[derive(Clone, Serialize)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub more: bool,
}

impl<T> Page<T> {
    /// Of rows that were asked for with one more than `limit`.
    fn of(mut rows: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { rows, more }
    }

    /// The other way round.
    fn reversed(mut self) -> Self {
        self.rows.reverse();
        self
    }
}

/// Whose timeline it is.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    Customer(Uuid),
    Call(Uuid),
    Appointment(Uuid),
}

/// A customer, with what there is of him.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct CustomerHead {
    pub company_id: Uuid,
    pub company: String,
    pub time_zone: String,
    pub customer_id: Uuid,
    pub number: Option<i64>,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
    pub anonymous: bool,
    pub vip_tier: String,
    pub created_at: DateTime<Utc>,
    pub calls: i64,
    /// From the customer's number, and linked to nobody.
    pub unlinked_calls: i64,
    pub appointments: i64,
    pub upcoming: i64,
}

/// A call, with what came of it.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct CallHead {
    pub company_id: Uuid,
    pub company: String,
    pub branch: String,
    pub time_zone: String,
    pub call_id: Uuid,
    pub number: i64,
    pub retell_call_id: String,
    /// Its start, or when it was first heard of.
    pub at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub status: String,
    pub direction: String,
    pub connected: Option<bool>,
    pub caller: Option<String>,
    pub caller_raw: Option<String>,
    pub our_number: Option<String>,
    pub disconnection_reason: Option<String>,
    pub transfer_state: Option<String>,
    pub transfer_destination: Option<String>,
    pub in_voicemail: Option<bool>,
    pub summary: Option<String>,
    pub sentiment: Option<String>,
    pub cost_cents: Option<f64>,
    pub name_given: Option<String>,
    pub name_agreement: Option<String>,
    pub customer_id: Option<Uuid>,
    pub customer_number: Option<i64>,
    pub customer_name: Option<String>,
    pub booked: i64,
    pub moved: i64,
    pub cancelled: i64,
    pub denied: i64,
    pub callbacks: i64,
    /// Wishes to book that Cal.com has not answered, or has refused.
    pub unfinished: i64,
}

/// An appointment as it stands.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct AppointmentHead {
    pub company_id: Uuid,
    pub company: String,
    pub branch: String,
    pub time_zone: String,
    pub appointment_id: Uuid,
    pub number: i64,
    pub status: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub service: Option<String>,
    pub staff: Option<String>,
    pub calcom_uid: Option<String>,
    pub name_given: Option<String>,
    pub name_agreement: Option<String>,
    pub notes: Option<String>,
    pub rescheduled_count: i32,
    /// Taken over from history.
    pub imported: bool,
    pub created_at: DateTime<Utc>,
    pub customer_id: Uuid,
    pub customer_number: Option<i64>,
    pub customer_name: Option<String>,
    pub customer_phone: Option<String>,
    /// The call that booked it.
    pub call_id: Option<Uuid>,
    pub call_number: Option<i64>,
}

/// What one kind of entry tells beyond the others.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// Of a call or a callback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booked: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<i64>,
    /// `cancellation` or `reschedule`, of a denied change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours_notice: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required_hours: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_used: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_max: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
}

/// One thing that happened.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct Entry {
    #[sqlx(try_from = "String")]
    pub kind: EntryKind,
    pub at: DateTime<Utc>,
    /// A row of history says so; else the appointment's own columns are all there is.
    pub recorded: bool,
    /// Of the branch where it happened.
    pub time_zone: String,
    pub customer_id: Option<Uuid>,
    pub customer_number: Option<i64>,
    pub customer_name: Option<String>,
    /// The call that it is, or that caused it.
    pub call_id: Option<Uuid>,
    pub call_number: Option<i64>,
    pub appointment_id: Option<Uuid>,
    pub appointment_number: Option<i64>,
    pub appointment_status: Option<String>,
    pub service: Option<String>,
    pub staff: Option<String>,
    pub branch: Option<String>,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub new_starts_at: Option<DateTime<Utc>>,
    pub actor: Option<String>,
    pub source: Option<String>,
    pub user_name: Option<String>,
    /// What it cost; of a denied change, what it would have cost.
    pub fee_minor: Option<i64>,
    pub currency: String,
    pub within_policy: Option<bool>,
    pub reason: Option<String>,
    #[sqlx(json)]
    pub details: Details,
}

/// One of the thirteen audit columns, with the event that set it.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct AuditValue {
    pub column_name: String,
    /// Of a column that is text.
    pub value: Option<String>,
    /// Of a column that is a time.
    pub at: Option<DateTime<Utc>>,
    /// Of a column that is a user.
    pub user_name: Option<String>,
    pub event_kind: Option<String>,
    pub event_at: Option<DateTime<Utc>>,
    pub event_call_id: Option<Uuid>,
    pub event_call_number: Option<i64>,
    pub message_id: Option<String>,
    /// Filled by that run of the backfill, by its rule, so surely.
    pub backfill_run_id: Option<Uuid>,
    pub backfill_method: Option<String>,
    pub backfill_confidence: Option<f32>,
}

/// A wish that the caller uttered through a function.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct FunctionTold {
    pub at: DateTime<Utc>,
    pub function: String,
    pub state: String,
    pub success: Option<bool>,
    /// The result's sentence.
    pub sentence: Option<String>,
    /// `missed`: the caller heard `told_sentence` instead.
    pub told: Option<String>,
    pub told_sentence: Option<String>,
    pub appointment_number: Option<i64>,
    pub message_id: String,
}

/// A wish of ours at Cal.com and one request for it, if one was sent and is kept.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct Request {
    pub appointment_number: i64,
    pub op: String,
    pub state: String,
    pub wished_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub sent_count: i32,
    pub intent_error_class: Option<String>,
    pub operation: Option<String>,
    pub status: Option<i32>,
    pub error_class: Option<String>,
    pub provider_request_id: Option<String>,
    pub took_ms: Option<i32>,
    pub at: Option<DateTime<Utc>>,
}

/// One delivery of a message to a role.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct Delivery {
    pub at: DateTime<Utc>,
    pub message_id: String,
    pub kind: String,
    pub role: String,
    pub lane: String,
    pub attempt: i32,
    pub outcome: String,
    pub error_class: Option<String>,
    pub queued_ms: Option<i32>,
    pub took_ms: Option<i32>,
}

macro_rules! entries_where {
    ($whose:literal) => {
        concat!(
            "SELECT kind, at, recorded, time_zone, customer_id, customer_number, customer_name, call_id, call_number, appointment_id, appointment_number, appointment_status,
                    service, staff, branch, previous_starts_at, new_starts_at, actor, source, user_name, fee_minor, currency, within_policy, reason, details
             FROM timeline_entries WHERE company_id = $1 AND ",
            $whose,
            " = $2 ORDER BY at DESC, place DESC, id DESC LIMIT $3"
        )
    };
}

/// The newest `limit` entries, newest first.
///
/// # Errors
/// When Postgres is away, or a row is of a newer schema.
pub async fn newest_first(tx: &mut CompanyTx, subject: Subject, limit: u32) -> Result<Page<Entry>, StoreError> {
    let company_id = tx.company_id();
    let (statement, id) = match subject {
        Subject::Customer(id) => (entries_where!("customer_id"), id),
        Subject::Call(id) => (entries_where!("call_id"), id),
        Subject::Appointment(id) => (entries_where!("appointment_id"), id),
    };
    let rows = sqlx::query_as(statement).bind(company_id).bind(id).bind(i64::from(limit) + 1).fetch_all(tx.connection()).await;
    Ok(Page::of(rows.map_err(failed("read a timeline"))?, limit))
}

/// The newest `limit` entries in the order in which they happened.
///
/// # Errors
/// As [`newest_first`].
pub async fn as_it_happened(tx: &mut CompanyTx, subject: Subject, limit: u32) -> Result<Page<Entry>, StoreError> {
    newest_first(tx, subject, limit).await.map(Page::reversed)
}

/// The thirteen audit columns in their order.
///
/// # Errors
/// When Postgres is away.
pub async fn audit_values(tx: &mut CompanyTx, appointment_id: Uuid) -> Result<Vec<AuditValue>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT v.column_name, v.value, v.at, v.user_name, v.event_kind, v.event_at, v.event_call_id, v.event_call_number, v.message_id,
                b.run_id AS backfill_run_id, b.method AS backfill_method, b.confidence AS backfill_confidence
         FROM appointment_audit_values v
         LEFT JOIN LATERAL (SELECT b.run_id, b.method, b.confidence FROM backfill_values b
             WHERE b.company_id = $1 AND b.table_name = 'appointments' AND b.row_id = $2 AND b.column_name = v.column_name ORDER BY b.changed_at DESC LIMIT 1) b ON true
         WHERE v.company_id = $1 AND v.appointment_id = $2 ORDER BY v.place",
    )
    .bind(company_id)
    .bind(appointment_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read an appointment's audit columns"))
}

/// The first `limit` functions of a call, in order.
///
/// # Errors
/// When Postgres is away.
pub async fn functions(tx: &mut CompanyTx, call_id: Uuid, limit: u32) -> Result<Page<FunctionTold>, StoreError> {
    let company_id = tx.company_id();
    let rows = sqlx::query_as(
        "SELECT at, function, state, success, sentence, told, told_sentence, appointment_number, message_id
         FROM call_functions WHERE company_id = $1 AND call_id = $2 ORDER BY at, function_call_id LIMIT $3",
    )
    .bind(company_id)
    .bind(call_id)
    .bind(i64::from(limit) + 1)
    .fetch_all(tx.connection())
    .await;
    Ok(Page::of(rows.map_err(failed("read a call's functions"))?, limit))
}

macro_rules! requests_where {
    ($condition:literal) => {
        concat!(
            "SELECT appointment_number, op, state, wished_at, settled_at, sent_count, intent_error_class, operation, status, error_class, provider_request_id, took_ms, at
             FROM appointment_requests WHERE company_id = $1 AND ",
            $condition,
            " ORDER BY wished_at, intent_id, at LIMIT $3"
        )
    };
}

/// The first `limit` wishes of ours at Cal.com with their requests, in order; none of a customer's. A call's are those of appointments that it booked or changed: `intents` has no index by
/// call, and is too hot for one.
///
/// # Errors
/// When Postgres is away.
pub async fn requests(tx: &mut CompanyTx, subject: Subject, limit: u32) -> Result<Page<Request>, StoreError> {
    let company_id = tx.company_id();
    let (statement, id) = match subject {
        Subject::Customer(_) => return Ok(Page { rows: Vec::new(), more: false }),
        Subject::Appointment(id) => (requests_where!("appointment_id = $2"), id),
        Subject::Call(id) => (
            requests_where!(
                "call_id = $2 AND appointment_id IN (
                     SELECT a.id FROM appointments a WHERE a.company_id = $1 AND a.call_id = $2
                     UNION SELECT m.appointment_id FROM appointment_modifications m WHERE m.company_id = $1 AND m.call_id = $2)"
            ),
            id,
        ),
    };
    let rows = sqlx::query_as(statement).bind(company_id).bind(id).bind(i64::from(limit) + 1).fetch_all(tx.connection()).await;
    Ok(Page::of(rows.map_err(failed("read requests at Cal.com"))?, limit))
}

/// The first `limit` deliveries of the messages behind a call or an appointment, in order; none of a customer's.
///
/// # Errors
/// When Postgres is away, or for a role that may not read `attempts`.
pub async fn deliveries(tx: &mut CompanyTx, subject: Subject, limit: u32) -> Result<Page<Delivery>, StoreError> {
    let company_id = tx.company_id();
    let (appointment_id, calls) = match subject {
        Subject::Customer(_) => return Ok(Page { rows: Vec::new(), more: false }),
        Subject::Call(id) => (None, vec![id]),
        Subject::Appointment(id) => (Some(id), calls_of(tx, id).await?),
    };
    // the functions of an appointment are found through its calls: they have no index by appointment
    let rows = sqlx::query_as(
        "SELECT DISTINCT at, message_id, kind, role, lane, attempt, outcome, error_class, queued_ms, took_ms FROM message_deliveries
         WHERE company_id = $1 AND ($2::uuid IS NULL OR appointment_id = $2) AND (call_id = ANY ($3) OR ($2 IS NOT NULL AND call_id IS NULL))
         ORDER BY at, message_id, role, attempt LIMIT $4",
    )
    .bind(company_id)
    .bind(appointment_id)
    .bind(calls)
    .bind(i64::from(limit) + 1)
    .fetch_all(tx.connection())
    .await;
    Ok(Page::of(rows.map_err(failed("read deliveries"))?, limit))
}

/// The calls that booked or changed an appointment.
async fn calls_of(tx: &mut CompanyTx, appointment_id: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(
        "SELECT call_id FROM appointment_modifications WHERE company_id = $1 AND appointment_id = $2 AND call_id IS NOT NULL
         UNION SELECT call_id FROM appointments WHERE company_id = $1 AND id = $2 AND call_id IS NOT NULL",
    )
    .bind(company_id)
    .bind(appointment_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list an appointment's calls"))
}
