//! What Postgres says about the story, read with SQL of its own: the verdict must not share the code that it judges; and the one thing that people of the salon set by hand in it.
//! Called by `story` and `demo`.
use std::str::FromStr;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, FromRow, PgConnection};
use uuid::Uuid;

use super::setup::Stage;

/// Everything that is shown and judged.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub appointments: Vec<Appointment>,
    pub modifications: Vec<Modification>,
    pub calls: Vec<Call>,
    pub callbacks: Vec<Callback>,
    /// The names of all customers, sorted.
    pub customers: Vec<String>,
    pub settled: Settled,
}

/// An appointment with its thirteen audit columns.
#[derive(Debug, Clone, FromRow)]
pub struct Appointment {
    pub number: i64,
    pub status: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub calcom_uid: Option<String>,
    pub event_type_id: Option<i64>,
    pub service: Option<String>,
    pub customer: Option<String>,
    /// As it was told for this appointment.
    pub name_given: Option<String>,
    pub call_number: Option<i64>,
    pub created_by: Option<String>,
    pub booking_source: Option<String>,
    pub booked_by_user_id: Option<Uuid>,
    pub rescheduled_at: Option<DateTime<Utc>>,
    pub rescheduled_by: Option<String>,
    pub rescheduled_by_user_id: Option<Uuid>,
    pub reschedule_source: Option<String>,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancelled_by: Option<String>,
    pub cancelled_by_user_id: Option<Uuid>,
    pub cancellation_source: Option<String>,
    pub cancellation_reason: Option<String>,
}

/// A row of appointment_modifications.
#[derive(Debug, Clone, FromRow)]
pub struct Modification {
    pub appointment_number: i64,
    pub kind: String,
    pub calcom_uid: Option<String>,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub new_starts_at: Option<DateTime<Utc>>,
    pub actor: String,
    pub source: String,
    pub call_number: Option<i64>,
    pub reason: Option<String>,
}

/// A call.
#[derive(Debug, Clone, FromRow)]
pub struct Call {
    pub number: i64,
    pub retell_call_id: String,
    pub status: String,
    pub started_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub disconnection_reason: Option<String>,
    pub customer: Option<String>,
    /// As it was told in the call.
    pub name_given: Option<String>,
    /// How that name agrees with the customer's.
    pub name_agreement: Option<String>,
}

/// A promise to call back.
#[derive(Debug, Clone, FromRow)]
pub struct Callback {
    pub call_number: Option<i64>,
    pub reason: String,
    pub priority: String,
    pub state: String,
    pub phone: Option<String>,
    pub due_at: DateTime<Utc>,
}

/// Counts that say how far the story is, and whether anything is left over.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct Settled {
    pub calls_analyzed: i64,
    pub appointments: i64,
    /// Appointments that stand or stood in Cal.com.
    pub booked: i64,
    pub moved: i64,
    pub cancelled: i64,
    pub intents: i64,
    pub intents_open: i64,
    pub intents_failed: i64,
    pub functions_running: i64,
    pub outbox: i64,
    pub dead_letters: i64,
    pub reviews: i64,
    pub callbacks: i64,
    /// Replies that nobody was given yet.
    pub waiters: i64,
    /// Messages of the providers that a role has handled.
    pub handled: i64,
    /// Deliveries that did not succeed at once.
    pub troubles: i64,
}

impl Settled {
    /// Nothing is under way any more, and that many messages of the providers are done.
    pub fn is_quiet_after(&self, messages: usize) -> bool {
        i64::try_from(messages) == Ok(self.handled) && self.intents_open == 0 && self.functions_running == 0 && self.outbox == 0
    }
}

/// A session that sees the demo company's rows, whether or not the administrator passes row-level security.
pub async fn connect(stage: &Stage) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(&stage.database_url)?.application_name("cargo dev up").options([("app.company_id", stage.company_id.to_string())]);
    PgConnection::connect_with(&options).await.context("the demo database cannot be reached")
}

/// The salon makes the customer of that number a gold one.
pub async fn make_gold(stage: &Stage, phone: &str) -> anyhow::Result<()> {
    let mut connection = connect(stage).await?;
    sqlx::query("UPDATE customers SET vip_tier = 'gold' WHERE phone = $1").bind(phone).execute(&mut connection).await.context("the tier cannot be set")?;
    Ok(())
}

/// How far it is.
pub async fn settled(connection: &mut PgConnection) -> anyhow::Result<Settled> {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM calls WHERE status = 'analyzed') AS calls_analyzed,
                (SELECT count(*) FROM appointments) AS appointments,
                (SELECT count(*) FROM appointments WHERE calcom_uid IS NOT NULL) AS booked,
                (SELECT count(*) FROM appointments WHERE rescheduled_count > 0) AS moved,
                (SELECT count(*) FROM appointments WHERE status = 'cancelled') AS cancelled,
                (SELECT count(*) FROM intents) AS intents,
                (SELECT count(*) FROM intents WHERE state NOT IN ('confirmed', 'failed')) AS intents_open,
                (SELECT count(*) FROM intents WHERE state = 'failed') AS intents_failed,
                (SELECT count(*) FROM function_calls WHERE state <> 'final') AS functions_running,
                (SELECT count(*) FROM outbox) AS outbox,
                (SELECT count(*) FROM dead_letters) AS dead_letters,
                (SELECT count(*) FROM reviews) AS reviews,
                (SELECT count(*) FROM callback_requests) AS callbacks,
                (SELECT count(*) FROM reply_waiters) AS waiters,
                (SELECT count(DISTINCT message_id) FROM attempts WHERE kind <> 'intent.due' AND outcome = 'done') AS handled,
                (SELECT count(*) FROM attempts WHERE outcome <> 'done') AS troubles",
    )
    .fetch_one(connection)
    .await
    .context("the state of the story cannot be read")
}

/// Everything, in the order in which it happened.
pub async fn read(stage: &Stage) -> anyhow::Result<Seen> {
    let mut connection = connect(stage).await?;
    let appointments = sqlx::query_as(
        "SELECT a.number, a.status, a.starts_at, a.ends_at, a.created_at, a.calcom_uid, s.calcom_event_type_id AS event_type_id, s.name AS service,
                c.name AS customer, a.name_given, k.number AS call_number, a.created_by, a.booking_source, a.booked_by_user_id, a.rescheduled_at, a.rescheduled_by,
                a.rescheduled_by_user_id, a.reschedule_source, a.previous_starts_at, a.cancelled_at, a.cancelled_by, a.cancelled_by_user_id,
                a.cancellation_source, a.cancellation_reason
         FROM appointments a LEFT JOIN services s ON s.id = a.service_id LEFT JOIN customers c ON c.id = a.customer_id LEFT JOIN calls k ON k.id = a.call_id
         ORDER BY a.number",
    )
    .fetch_all(&mut connection)
    .await
    .context("the appointments cannot be read")?;
    let modifications = sqlx::query_as(
        "SELECT a.number AS appointment_number, m.kind, m.calcom_uid, m.previous_starts_at, m.new_starts_at, m.actor, m.source, k.number AS call_number, m.reason
         FROM appointment_modifications m JOIN appointments a ON a.id = m.appointment_id LEFT JOIN calls k ON k.id = m.call_id
         ORDER BY a.number, m.occurred_at, m.id",
    )
    .fetch_all(&mut connection)
    .await
    .context("the modifications cannot be read")?;
    let calls = sqlx::query_as(
        "SELECT k.number, k.retell_call_id, k.status, k.started_at, k.duration_ms, k.disconnection_reason, c.name AS customer, k.name_given, k.name_agreement
         FROM calls k LEFT JOIN customers c ON c.id = k.customer_id ORDER BY k.number",
    )
    .fetch_all(&mut connection)
    .await
    .context("the calls cannot be read")?;
    let callbacks = sqlx::query_as(
        "SELECT k.number AS call_number, r.reason, r.priority, r.state, r.phone, r.due_at
         FROM callback_requests r LEFT JOIN calls k ON k.id = r.call_id ORDER BY k.number, r.created_at",
    )
    .fetch_all(&mut connection)
    .await
    .context("the callbacks cannot be read")?;
    let customers =
        sqlx::query_scalar("SELECT coalesce(name, '') FROM customers ORDER BY 1").fetch_all(&mut connection).await.context("the customers cannot be read")?;
    Ok(Seen { appointments, modifications, calls, callbacks, customers, settled: settled(&mut connection).await? })
}
