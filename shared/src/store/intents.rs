//! Each change that we want in Cal.com, and with it the queue of calcom-sync: recorded → sent(n) → confirmed | failed | unknown.
//!
//! At most one open intent per appointment; later ones wait and are released by the one before, in its transaction (architecture section 8).

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

pub use crate::domain::intent_state::IntentState;
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
const NOBODY_SAID_NO: [&str; 6] = ["unknown_outcome", "unexpected_answer", "conflict", "not_ours", "sent_too_often", "in_the_past"];

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
            due_at = CASE WHEN again_uid IS NULL THEN due_at ELSE frontdesk_now() END, looked_count = CASE WHEN again_uid IS NULL THEN looked_count ELSE 0 END, again_uid = NULL
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

/// Ends a leased intent without success; only its holder can. `false`: the lease is lost, or the intent was settled meanwhile.
///
/// # Errors
/// When Postgres is away.
pub async fn fail_leased(tx: &mut CompanyTx, id: Uuid, holder: Uuid, error_class: &str) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let held: Option<i32> = sqlx::query_scalar("SELECT 1 FROM intents WHERE company_id = $1 AND id = $2 AND lease_holder = $3 FOR UPDATE")
        .bind(company_id)
        .bind(id)
        .bind(holder)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("look for a lease"))?;
    if held.is_none() {
        return Ok(false);
    }
    settle(tx, id, false, None, Some(error_class)).await
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
    pub live: bool,
}

/// How much a process can carry out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub at_most: i32,
    /// Of these on the bulk lane.
    pub at_most_bulk: i32,
}

/// Leases due intents: live first, companies in turn, oldest first, as the credentials' budgets allow. Each lease has taken one token. Credentials take turns too:
/// the first one looked at is the one after `after`.
///
/// # Errors
/// When Postgres is away.
pub async fn lease_due(pool: &PgPool, holder: Uuid, room: Room, lease: std::time::Duration, after: Uuid) -> Result<Vec<Lease>, StoreError> {
    sqlx::query_as("SELECT * FROM lease_due_intents($1, $2, $3, $4, $5)")
        .bind(holder)
        .bind(room.at_most)
        .bind(room.at_most_bulk)
        .bind(i32::try_from(lease.as_secs()).unwrap_or(i32::MAX))
        .bind(after)
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

/// Gives a leased intent back whose request certainly did not reach Cal.com: it is as it was when it was read, so a wait burns no attempt. Only its holder can.
///
/// # Errors
/// When Postgres is away.
pub async fn put_back_unsent(tx: &mut CompanyTx, read: &Intent, holder: Uuid, delay_ms: i64, error_class: &str) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    let may_be_done = matches!(read.state, IntentState::Sent | IntentState::Unknown);
    sqlx::query(
        "UPDATE intents SET state = $3, due_at = frontdesk_now() + make_interval(secs => $4::double precision / 1000), lease_holder = NULL, lease_until = NULL,
            sent_count = $5, looked_count = $6, error_class = CASE WHEN error_class = 'conflict' THEN error_class ELSE $7 END
         WHERE company_id = $1 AND id = $2 AND lease_holder = $8 AND state IN ('recorded', 'sent', 'unknown')",
    )
    .bind(company_id)
    .bind(read.id)
    .bind(if may_be_done { "unknown" } else { "recorded" })
    .bind(delay_ms)
    .bind(read.sent_count)
    .bind(read.looked_count)
    .bind(error_class)
    .bind(holder)
    .execute(tx.connection())
    .await
    .map_err(failed("put an unsent intent back"))?;
    Ok(())
}

/// Gives back a lease whose work could not be recorded: what is known of the intent stays as it is. Only its holder can.
///
/// # Errors
/// When Postgres is away.
pub async fn let_go(tx: &mut CompanyTx, id: Uuid, holder: Uuid, delay_ms: i64) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "UPDATE intents SET lease_holder = NULL, lease_until = NULL, due_at = frontdesk_now() + make_interval(secs => $4::double precision / 1000)
         WHERE company_id = $1 AND id = $2 AND lease_holder = $3 AND state IN ('recorded', 'sent', 'unknown')",
    )
    .bind(company_id)
    .bind(id)
    .bind(holder)
    .bind(delay_ms)
    .execute(tx.connection())
    .await
    .map_err(failed("give a lease back"))?;
    Ok(())
}

/// When the next intent is due, by the database's clock, and that clock's now.
///
/// # Errors
/// When Postgres is away.
pub async fn next_due(pool: &PgPool) -> Result<(Option<DateTime<Utc>>, DateTime<Utc>), StoreError> {
    sqlx::query_as("SELECT next_intent_due(), frontdesk_now()").fetch_one(pool).await.map_err(failed("read the next due intent"))
}

fn parse(row: Value) -> Result<Intent, StoreError> {
    serde_json::from_value(row).map_err(|_| StoreError::BadRow { table: "intents", column: "row" })
}
