//! Each change that we want in Cal.com, and with it the queue of calcom-sync: recorded → sent(n) → confirmed | failed | unknown.
//!
//! At most one open intent per appointment; later ones wait and are released by the one before, in its transaction (architecture section 8). Who works on one, and
//! how it is given back, is in `leases`.

mod leases;

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

pub use crate::domain::intent_state::IntentState;
use crate::envelope::Lane;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};
pub use leases::{CredentialRow, Lease, Leased, Room, Unrecorded, fail_leased, lease_due, leased, let_go, next_due, put_back, put_back_unsent, unrecorded};

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Create,
    Reschedule,
    Cancel,
    /// No change: read the booking and fold what Cal.com says.
    Look,
}

impl Op {
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Reschedule => "reschedule",
            Self::Cancel => "cancel",
            Self::Look => "look",
        }
    }
}

/// A row of `intents`.
#[derive(Clone, Debug, Deserialize)]
pub struct Intent {
    pub id: Uuid,
    pub company_id: Uuid,
    pub credential_id: Uuid,
    pub appointment_id: Uuid,
    pub op: Op,
    pub state: IntentState,
    pub lane: String,
    pub sent_count: i32,
    pub looked_count: i32,
    pub sent_at: Option<DateTime<Utc>>,
    pub lease_holder: Option<Uuid>,
    pub token: Uuid,
    pub uid: Option<String>,
    pub event_type_id: Option<i64>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub actor: String,
    pub channel: String,
    pub call_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub reason: Option<String>,
    pub function_call_id: Option<Uuid>,
    pub request: Value,
    pub error_class: Option<String>,
    pub traceparent: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// Errors after which the change may have been carried out all the same: nobody said no.
const NOBODY_SAID_NO: [&str; 7] = ["unknown_outcome", "unexpected_answer", "conflict", "not_ours", "sent_too_often", "in_the_past", NOT_RECORDED];
/// Why a wish fails whose result could not be recorded.
pub const NOT_RECORDED: &str = "result_not_recorded";

impl Intent {
    /// Whether something that happened in Cal.com may be this change: it was sent, and not refused.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self.state {
            IntentState::Waiting | IntentState::Recorded => false,
            IntentState::Sent | IntentState::Unknown | IntentState::Confirmed => true,
            // a no to the repeat is no word about the first try
            IntentState::Failed if self.sent_count > 1 => true,
            IntentState::Failed => self.sent_count > 0 && self.error_class.as_deref().is_none_or(|class| NOBODY_SAID_NO.contains(&class)),
        }
    }
}

/// An intent to record.
#[derive(Clone, Debug)]
pub struct NewIntent<'a> {
    pub appointment_id: Uuid,
    pub op: Op,
    pub lane: Lane,
    pub credential_id: Uuid,
    pub token: Uuid,
    pub uid: Option<&'a str>,
    pub event_type_id: Option<i64>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub actor: &'a str,
    pub channel: &'a str,
    pub call_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub reason: Option<&'a str>,
    pub function_call_id: Option<Uuid>,
    pub request: &'a Value,
    pub traceparent: Option<&'a str>,
}

/// Records an intent; it waits if an earlier one of the appointment is open. The caller holds the appointment's row lock, so two cannot both find none.
/// An open `look` is one run: recording another changes nothing, unless that one is under way (what it reads may be older than the news) or is about another uid;
/// then it is made once more.
///
/// # Errors
/// When Postgres is away.
pub async fn record(tx: &mut CompanyTx, intent: &NewIntent<'_>) -> Result<Uuid, StoreError> {
    let company_id = tx.company_id();
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO intents (id, company_id, credential_id, appointment_id, op, lane, due_at, token, uid, event_type_id, starts_at, ends_at, actor, channel, call_id, user_id,
            reason, function_call_id, request, traceparent, state)
         SELECT $1, $2, $3, $4, $5, $6, frontdesk_now(), $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            CASE WHEN $5 <> 'look' AND EXISTS (SELECT 1 FROM intents WHERE company_id = $2 AND appointment_id = $4 AND op <> 'look'
                                                AND state IN ('waiting', 'recorded', 'sent', 'unknown')) THEN 'waiting' ELSE 'recorded' END
         ON CONFLICT (company_id, appointment_id) WHERE state IN ('recorded', 'sent', 'unknown') AND op = 'look'
            DO UPDATE SET again_uid = coalesce(EXCLUDED.uid, intents.uid, '') WHERE intents.lease_holder IS NOT NULL OR intents.uid IS DISTINCT FROM EXCLUDED.uid",
    )
    .bind(id)
    .bind(company_id)
    .bind(intent.credential_id)
    .bind(intent.appointment_id)
    .bind(intent.op.literal())
    .bind(intent.lane.name())
    .bind(intent.token)
    .bind(intent.uid)
    .bind(intent.event_type_id)
    .bind(intent.starts_at)
    .bind(intent.ends_at)
    .bind(intent.actor)
    .bind(intent.channel)
    .bind(intent.call_id)
    .bind(intent.user_id)
    .bind(intent.reason)
    .bind(intent.function_call_id)
    .bind(intent.request)
    .bind(intent.traceparent)
    .execute(tx.connection())
    .await
    .map_err(failed("record an intent"))?;
    Ok(id)
}

/// Settles an open intent. `false`: it was settled already (echo and answer race; whoever is second does nothing). A `look` that news came for while it was under
/// way stays open, for one more run.
///
/// # Errors
/// When Postgres is away.
pub async fn settle(tx: &mut CompanyTx, id: Uuid, confirmed: bool, uid: Option<&str>, error_class: Option<&str>) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let done = sqlx::query(
        "UPDATE intents SET state = CASE WHEN again_uid IS NULL THEN $3 ELSE state END, settled_at = CASE WHEN again_uid IS NULL THEN frontdesk_now() END,
            lease_holder = NULL, lease_until = NULL, uid = coalesce($4, nullif(again_uid, ''), uid), error_class = $5,
            due_at = CASE WHEN again_uid IS NULL THEN due_at ELSE frontdesk_now() END, looked_count = CASE WHEN again_uid IS NULL THEN looked_count ELSE 0 END,
            unrecorded_count = CASE WHEN again_uid IS NULL THEN unrecorded_count ELSE 0 END, again_uid = NULL
         WHERE company_id = $1 AND id = $2 AND (state IN ('waiting', 'recorded', 'sent', 'unknown') OR (state = 'failed' AND $3 = 'confirmed'))",
    )
    .bind(company_id)
    .bind(id)
    .bind(if confirmed { "confirmed" } else { "failed" })
    .bind(uid)
    .bind(error_class)
    .execute(tx.connection())
    .await
    .map_err(failed("settle an intent"))?;
    Ok(done.rows_affected() == 1)
}

/// Makes the next waiting intent of the appointment due. Its id, if there was one.
///
/// # Errors
/// When Postgres is away.
pub async fn release_next(tx: &mut CompanyTx, appointment_id: Uuid) -> Result<Option<Uuid>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(
        "UPDATE intents SET state = 'recorded', due_at = frontdesk_now()
         WHERE company_id = $1 AND id = (SELECT id FROM intents WHERE company_id = $1 AND appointment_id = $2 AND state = 'waiting' ORDER BY created_at, id LIMIT 1)
           AND NOT EXISTS (SELECT 1 FROM intents WHERE company_id = $1 AND appointment_id = $2 AND op <> 'look' AND state IN ('recorded', 'sent', 'unknown'))
         RETURNING id",
    )
    .bind(company_id)
    .bind(appointment_id)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("release the next intent"))
}

/// The intents of an appointment that wait behind `id`: none of them makes sense any more when a create failed.
///
/// # Errors
/// When Postgres is away.
pub async fn waiting_of(tx: &mut CompanyTx, appointment_id: Uuid) -> Result<Vec<Intent>, StoreError> {
    let company_id = tx.company_id();
    let rows: Vec<Value> = sqlx::query_scalar(
        "SELECT to_jsonb(i) FROM intents i WHERE company_id = $1 AND appointment_id = $2 AND state = 'waiting' ORDER BY created_at, id LIMIT 20",
    )
    .bind(company_id)
    .bind(appointment_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list waiting intents"))?;
    rows.into_iter().map(parse).collect()
}

/// Marks a leased intent as sent: from here on its outcome is unknown until an answer or an echo says it.
///
/// # Errors
/// When Postgres is away.
pub async fn mark_sent(tx: &mut CompanyTx, id: Uuid, uid: Option<&str>) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "UPDATE intents SET state = 'sent', sent_count = sent_count + 1, looked_count = 0, sent_at = frontdesk_now(), uid = coalesce($3, uid)
         WHERE company_id = $1 AND id = $2",
    )
    .bind(company_id)
    .bind(id)
    .bind(uid)
    .execute(tx.connection())
    .await
    .map_err(failed("mark an intent as sent"))?;
    Ok(())
}

/// Whether a booking of that event type and start is being made by us now and its uid is not known: somebody else's news about an unknown uid may be about it.
/// Only for `patience` after the news came.
///
/// # Errors
/// When Postgres is away.
pub async fn is_being_made(
    tx: &mut CompanyTx,
    event_type_id: Option<i64>,
    starts_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    patience: Duration,
) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(
        "SELECT $4 > frontdesk_now() AND EXISTS (SELECT FROM intents WHERE company_id = $1 AND event_type_id = $2 AND starts_at = $3 AND op = 'create'
                                                 AND state IN ('sent', 'unknown'))",
    )
    .bind(company_id)
    .bind(event_type_id)
    .bind(starts_at)
    .bind(received_at + patience)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("look for a booking in the making"))
}

fn parse(row: Value) -> Result<Intent, StoreError> {
    serde_json::from_value(row).map_err(|_| StoreError::BadRow { table: "intents", column: "row" })
}
