//! Each change that we want in Cal.com, and with it the queue of calcom-sync: recorded → sent(n) → confirmed | failed | unknown.
//!
//! At most one open intent per appointment; later ones wait and are released by the one before, in its transaction (architecture section 8).

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::envelope::Lane;
use crate::secret::Sealed;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

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

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// An earlier intent of the appointment is open.
    Waiting,
    Recorded,
    Sent,
    /// Sent, outcome not known: search before repeat.
    Unknown,
    Confirmed,
    Failed,
}

impl IntentState {
    /// Still to be settled.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Recorded | Self::Sent | Self::Unknown)
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
const NOBODY_SAID_NO: [&str; 5] = ["unknown_outcome", "unexpected_answer", "conflict", "sent_too_often", "in_the_past"];

impl Intent {
    /// Whether something that happened in Cal.com may be this change: it was sent, and not refused.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self.state {
            IntentState::Waiting | IntentState::Recorded => false,
            IntentState::Sent | IntentState::Unknown | IntentState::Confirmed => true,
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
/// An open `look` is one: recording another is a no-op.
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
         ON CONFLICT (company_id, appointment_id) WHERE state IN ('recorded', 'sent', 'unknown') AND op = 'look' DO NOTHING",
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

/// Settles an open intent. `false`: it was settled already (echo and answer race; whoever is second does nothing).
///
/// # Errors
/// When Postgres is away.
pub async fn settle(tx: &mut CompanyTx, id: Uuid, confirmed: bool, uid: Option<&str>, error_class: Option<&str>) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let done = sqlx::query(
        "UPDATE intents SET state = $3, settled_at = frontdesk_now(), lease_holder = NULL, lease_until = NULL, uid = coalesce($4, uid), error_class = $5
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

/// An intent that this process may work on now.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Lease {
    pub intent_id: Uuid,
    pub company_id: Uuid,
    pub credential_id: Uuid,
}

/// Leases due intents: live first, companies in turn, as the credentials' budgets allow. Each lease has taken one token.
///
/// # Errors
/// When Postgres is away.
pub async fn lease_due(pool: &PgPool, holder: Uuid, at_most: i32, lease_seconds: i32) -> Result<Vec<Lease>, StoreError> {
    sqlx::query_as("SELECT * FROM lease_due_intents($1, $2, $3)")
        .bind(holder)
        .bind(at_most)
        .bind(lease_seconds)
        .fetch_all(pool)
        .await
        .map_err(failed("lease due intents"))
}

/// A leased intent with what its call needs.
#[derive(Clone, Debug)]
pub struct Leased {
    pub intent: Intent,
    pub appointment: crate::store::appointments::Appointment,
    pub credential: CredentialRow,
}

/// The key and address of a Cal.com account, sealed.
#[derive(Clone, Debug, Deserialize)]
pub struct CredentialRow {
    pub id: Uuid,
    pub provider_account_id: Uuid,
    pub base_url: String,
    pub key_id: String,
    pub nonce: String,
    pub ciphertext: String,
}

impl CredentialRow {
    /// The sealed key, for the keyring.
    ///
    /// # Errors
    /// When the row's bytes are damaged.
    pub fn sealed(&self) -> Result<Sealed, StoreError> {
        let bytes = |text: &str, column| hex::decode(text).map_err(|_| StoreError::BadRow { table: "credentials", column });
        Ok(Sealed { key_id: self.key_id.clone(), nonce: bytes(&self.nonce, "nonce")?, ciphertext: bytes(&self.ciphertext, "ciphertext")? })
    }
}

/// Transaction 1 of the two-phase work: reads what the holder leased, and if it is to be sent marks it `sent` with one more attempt. `None`: the lease is lost or the intent
/// was settled by an echo meanwhile.
///
/// # Errors
/// When Postgres is away.
pub async fn leased(tx: &mut CompanyTx, id: Uuid, holder: Uuid) -> Result<Option<Leased>, StoreError> {
    let company_id = tx.company_id();
    let row: Option<(Value, Value, Value)> = sqlx::query_as(
        "SELECT to_jsonb(i), to_jsonb(a), jsonb_build_object('id', c.id, 'provider_account_id', c.provider_account_id, 'base_url', c.base_url, 'key_id', c.key_id,
                'nonce', encode(c.nonce, 'hex'), 'ciphertext', encode(c.ciphertext, 'hex'))
         FROM intents i JOIN appointments a ON a.company_id = i.company_id AND a.id = i.appointment_id JOIN credentials c ON c.id = i.credential_id
         WHERE i.company_id = $1 AND i.id = $2 AND i.lease_holder = $3 AND i.lease_until > frontdesk_now() AND i.state IN ('recorded', 'sent', 'unknown')
         FOR UPDATE OF i",
    )
    .bind(company_id)
    .bind(id)
    .bind(holder)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("read a leased intent"))?;
    let Some((intent, appointment, credential)) = row else { return Ok(None) };
    let intent = parse(intent)?;
    let credential = serde_json::from_value(credential).map_err(|_| StoreError::BadRow { table: "credentials", column: "row" })?;
    Ok(Some(Leased { intent, appointment: crate::store::appointments::parse(appointment)?, credential }))
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

/// Gives a leased intent back, to be taken up again after `delay_ms`; only its holder can. `looked`: the outcome was looked for and not found.
///
/// # Errors
/// When Postgres is away.
pub async fn put_back(
    tx: &mut CompanyTx,
    id: Uuid,
    holder: Uuid,
    state: &'static str,
    delay_ms: i64,
    looked: bool,
    error_class: &str,
) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        // 'recorded' again: it certainly did not reach Cal.com, so it was not sent
        "UPDATE intents SET state = $3, due_at = frontdesk_now() + make_interval(secs => $4::double precision / 1000), lease_holder = NULL, lease_until = NULL,
            looked_count = looked_count + $5, error_class = $6, sent_count = greatest(0, sent_count - CASE WHEN $3 = 'recorded' AND state = 'sent' THEN 1 ELSE 0 END)
         WHERE company_id = $1 AND id = $2 AND lease_holder = $7 AND state IN ('recorded', 'sent', 'unknown')",
    )
    .bind(company_id)
    .bind(id)
    .bind(state)
    .bind(delay_ms)
    .bind(i32::from(looked))
    .bind(error_class)
    .bind(holder)
    .execute(tx.connection())
    .await
    .map_err(failed("put an intent back"))?;
    Ok(())
}

/// When the next intent is due, by the database's clock, and that clock's now.
///
/// # Errors
/// When Postgres is away.
pub async fn next_due(pool: &PgPool) -> Result<(Option<DateTime<Utc>>, DateTime<Utc>), StoreError> {
    sqlx::query_as("SELECT next_intent_due(), frontdesk_now()").fetch_one(pool).await.map_err(failed("read the next due intent"))
}

/// Blocks a credential for everybody: a 429, or an outage. Never shortens a block.
///
/// # Errors
/// When Postgres is away.
pub async fn block_credential(tx: &mut CompanyTx, credential_id: Uuid, block_ms: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE credentials SET blocked_until = greatest(blocked_until, frontdesk_now() + make_interval(secs => $2::double precision / 1000)), tokens = 0, refilled_at = frontdesk_now() WHERE id = $1")
        .bind(credential_id)
        .bind(block_ms)
        .execute(tx.connection())
        .await
        .map_err(failed("block a credential"))?;
    Ok(())
}

/// Takes further tokens of a credential's budget for requests that were made beyond the leased one; the bucket may go below zero, and the next ones wait longer.
///
/// # Errors
/// When Postgres is away.
pub async fn spend_tokens(tx: &mut CompanyTx, credential_id: Uuid, requests: usize) -> Result<(), StoreError> {
    if requests == 0 {
        return Ok(());
    }
    sqlx::query("UPDATE credentials SET tokens = tokens - $2 WHERE id = $1")
        .bind(credential_id)
        .bind(i32::try_from(requests).unwrap_or(i32::MAX))
        .execute(tx.connection())
        .await
        .map_err(failed("spend a credential's tokens"))?;
    Ok(())
}

/// Counts a call that failed for everybody (5xx, no connection), or resets the count after one that did not. The new count.
///
/// # Errors
/// When Postgres is away.
pub async fn count_failure(tx: &mut CompanyTx, credential_id: Uuid, failed_call: bool) -> Result<i32, StoreError> {
    sqlx::query_scalar(
        "UPDATE credentials SET failures_in_a_row = CASE WHEN $2 THEN failures_in_a_row + 1 ELSE 0 END WHERE id = $1 AND ($2 OR failures_in_a_row > 0) RETURNING failures_in_a_row",
    )
    .bind(credential_id)
    .bind(failed_call)
    .fetch_optional(tx.connection())
    .await
    .map(|count| count.unwrap_or(0))
    .map_err(failed("count a credential's failures"))
}

fn parse(row: Value) -> Result<Intent, StoreError> {
    serde_json::from_value(row).map_err(|_| StoreError::BadRow { table: "intents", column: "row" })
}
