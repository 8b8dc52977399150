//! What our tables say, read with SQL of the auditor's own and past row-level security. Plain data; the judgement stands in the invariants' files.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::calls::CallRow;

/// Everything about bookings.
pub struct Rows {
    pub appointments: Vec<AppointmentRow>,
    pub uids: Vec<UidRow>,
    pub modifications: Vec<ModificationRow>,
    pub intents: Vec<IntentRow>,
    pub functions: Vec<FunctionRow>,
    pub calls: Vec<CallRow>,
    /// Call and event of what lies before a human.
    pub parked_calls: HashSet<(String, String)>,
}

#[derive(Debug, Clone, FromRow)]
pub struct AppointmentRow {
    pub id: Uuid,
    pub company_id: Uuid,
    pub number: i64,
    pub status: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub calcom_uid: Option<String>,
    pub rescheduled_count: i32,
    pub previous_starts_at: Option<DateTime<Utc>>,
}

/// A Cal.com booking as `calcom_bookings` knows it.
#[derive(Debug, Clone, FromRow)]
pub struct UidRow {
    pub company_id: Uuid,
    pub uid: String,
    pub appointment_id: Uuid,
    pub predecessor_uid: Option<String>,
    pub state: String,
    pub placeholder: bool,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

#[derive(Debug, Clone, FromRow)]
pub struct ModificationRow {
    pub company_id: Uuid,
    pub kind: String,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub new_starts_at: Option<DateTime<Utc>>,
    pub actor: String,
    pub source: String,
    pub call_id: Option<Uuid>,
    /// Retell's id of the call that it names.
    pub retell_call_id: Option<String>,
    pub intent_id: Option<Uuid>,
    pub calcom_uid: Option<String>,
}

#[derive(Debug, Clone, FromRow)]
pub struct IntentRow {
    pub id: Uuid,
    pub company_id: Uuid,
    pub credential_id: Uuid,
    pub appointment_id: Uuid,
    pub op: String,
    pub state: String,
    pub lane: String,
    pub sent_count: i32,
    pub sent_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub token: Uuid,
    pub uid: Option<String>,
    pub event_type_id: Option<i64>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub error_class: Option<String>,
}

/// A wish that was uttered through a function.
#[derive(Debug, Clone, FromRow)]
pub struct FunctionRow {
    pub message_id: String,
    pub success: Option<bool>,
    /// Why not, as our rows name it.
    pub reason: Option<String>,
    /// What our rows say that the caller heard.
    pub told: Option<String>,
    /// What it led to; a refusal leads to none.
    pub intent_id: Option<Uuid>,
    /// Somebody promised to call back, whatever became of that.
    pub called_back: bool,
    /// The times that the caller was offered instead, which were held for him: `[{date, time, …}]` by the company's clock.
    pub offered: Value,
}

impl Rows {
    pub async fn read(database: &PgPool) -> sqlx::Result<Self> {
        Ok(Self {
            appointments: sqlx::query_as(
                "SELECT id, company_id, number, status, starts_at, ends_at, calcom_uid, rescheduled_count, previous_starts_at FROM appointments",
            )
            .fetch_all(database)
            .await?,
            uids: sqlx::query_as("SELECT company_id, uid, appointment_id, predecessor_uid, state, placeholder, starts_at, ends_at FROM calcom_bookings")
                .fetch_all(database)
                .await?,
            modifications: sqlx::query_as(
                "SELECT m.company_id, m.kind, m.previous_starts_at, m.new_starts_at, m.actor, m.source, m.call_id, c.retell_call_id, m.intent_id, m.calcom_uid
                 FROM appointment_modifications m LEFT JOIN calls c ON c.company_id = m.company_id AND c.id = m.call_id",
            )
            .fetch_all(database)
            .await?,
            intents: sqlx::query_as(
                "SELECT id, company_id, credential_id, appointment_id, op, state, lane, sent_count, sent_at, created_at, settled_at, token, uid, event_type_id,
                        starts_at, ends_at, error_class FROM intents",
            )
            .fetch_all(database)
            .await?,
            functions: sqlx::query_as(
                "SELECT f.message_id, f.success, f.result ->> 'reason' AS reason, f.told, i.id AS intent_id,
                        EXISTS (SELECT FROM callback_requests b WHERE b.company_id = f.company_id AND b.call_id = f.call_id) AS called_back,
                        COALESCE(f.result -> 'alternatives', '[]') AS offered
                 FROM function_calls f LEFT JOIN intents i ON i.company_id = f.company_id AND i.function_call_id = f.id",
            )
            .fetch_all(database)
            .await?,
            calls: sqlx::query_as("SELECT retell_call_id, status, ended_at, duration_ms, repaired FROM calls").fetch_all(database).await?,
            parked_calls: sqlx::query_as::<_, (String, String)>(
                "SELECT DISTINCT unnest(retell_call_ids), substr(kind, length('retell.') + 1) FROM dead_letters WHERE kind LIKE 'retell.call\\_%'",
            )
            .fetch_all(database)
            .await?
            .into_iter()
            .collect(),
        })
    }
}
