//! Who works on an intent: leased for a while, and given back in the state that it is in then. Every statement here names the lease by its holder, so whoever lost it
//! changes nothing.
//!
//! Not what happens to an intent in between (`intents`), not the arithmetic of whose turn it is (`lease_due_intents` in the migrations). Called by calcom-sync.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Intent, IntentState, parse, settle};
use crate::secret::Sealed;
use crate::store::appointments::{self, Appointment};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// An intent that this process may work on now.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub intent_id: Uuid,
    pub company_id: Uuid,
    pub credential_id: Uuid,
    pub live: bool,
    /// Made for the one look that leased it: who gets the intent after this lease is another holder, also in the same process.
    pub holder: Uuid,
    /// When it was asked for; it holds at least so long from then.
    pub asked_at: Instant,
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
pub async fn lease_due(pool: &PgPool, room: Room, lease: std::time::Duration, after: Uuid) -> Result<Vec<Lease>, StoreError> {
    let (holder, asked_at) = (Uuid::now_v7(), Instant::now());
    let rows: Vec<(Uuid, Uuid, Uuid, bool)> = sqlx::query_as("SELECT intent_id, company_id, credential_id, live FROM lease_due_intents($1, $2, $3, $4, $5)")
        .bind(holder)
        .bind(room.at_most)
        .bind(room.at_most_bulk)
        .bind(i32::try_from(lease.as_secs()).unwrap_or(i32::MAX))
        .bind(after)
        .fetch_all(pool)
        .await
        .map_err(failed("lease due intents"))?;
    Ok(rows.into_iter().map(|(intent_id, company_id, credential_id, live)| Lease { intent_id, company_id, credential_id, live, holder, asked_at }).collect())
}

/// A leased intent with what its call needs.
#[derive(Clone, Debug)]
pub struct Leased {
    pub intent: Intent,
    pub appointment: Appointment,
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
    Ok(Some(Leased { intent, appointment: appointments::parse(appointment)?, credential }))
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
        "UPDATE intents SET state = $3, due_at = frontdesk_now() + make_interval(secs => $4::double precision / 1000), lease_holder = NULL, lease_until = NULL, unrecorded_count = 0,
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
        "UPDATE intents SET state = $3, due_at = frontdesk_now() + make_interval(secs => $4::double precision / 1000), lease_holder = NULL, lease_until = NULL, unrecorded_count = 0,
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

/// A leased intent whose result could not be recorded, as far as is needed to say so.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Unrecorded {
    /// How often in a row before.
    pub unrecorded_count: i32,
    pub appointment_id: Uuid,
    pub call_id: Option<Uuid>,
    /// It only reads: no wish ends with it.
    pub look: bool,
}

/// Reads a leased intent as far as nothing of it can be unreadable. `None`: the lease is lost, or the intent is settled.
///
/// # Errors
/// When Postgres is away.
pub async fn unrecorded(tx: &mut CompanyTx, id: Uuid, holder: Uuid) -> Result<Option<Unrecorded>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT unrecorded_count, appointment_id, call_id, op = 'look' AS look FROM intents
         WHERE company_id = $1 AND id = $2 AND lease_holder = $3 AND state IN ('recorded', 'sent', 'unknown')",
    )
    .bind(company_id)
    .bind(id)
    .bind(holder)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("read an intent whose result could not be recorded"))
}

/// Gives back a lease whose work could not be recorded: what is known of the intent stays as it is. Only its holder can. `counted`: for a reason that may repeat.
///
/// # Errors
/// When Postgres is away.
pub async fn let_go(tx: &mut CompanyTx, id: Uuid, holder: Uuid, delay_ms: i64, counted: bool) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "UPDATE intents SET lease_holder = NULL, lease_until = NULL, unrecorded_count = unrecorded_count + $5,
            due_at = frontdesk_now() + make_interval(secs => $4::double precision / 1000)
         WHERE company_id = $1 AND id = $2 AND lease_holder = $3 AND state IN ('recorded', 'sent', 'unknown')",
    )
    .bind(company_id)
    .bind(id)
    .bind(holder)
    .bind(delay_ms)
    .bind(i32::from(counted))
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
