//! API keys, sealed, one live key per account; and the budget that hangs on each.
//!
//! Not the budget's arithmetic (that is `lease_due_intents` in the migrations). Written by the CLI, opened by calcom-sync.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::secret::{Keyring, Sealed};
use crate::store::accounts::{LIST_MAX, Provider};
use crate::store::{StoreError, failed};

/// A key to store.
#[derive(Debug)]
pub struct NewCredential<'a> {
    pub account_id: Uuid,
    pub label: &'a str,
    /// With path prefix, without a trailing slash.
    pub base_url: &'a str,
    pub api_key: &'a SecretString,
    /// `None`: the schema's default, just under Cal.com's 120.
    pub rate_per_minute: Option<i32>,
}

/// A key as people see it: everything but the key.
#[derive(Clone, Debug, Serialize)]
pub struct CredentialSummary {
    pub id: Uuid,
    pub account_id: Uuid,
    pub provider: Provider,
    pub account_label: String,
    pub label: String,
    pub base_url: String,
    pub rate_per_minute: i32,
    /// The master key that seals it: an old one means that a rotation of master keys is not finished.
    pub master_key_id: String,
    pub blocked_until: Option<DateTime<Utc>>,
    pub disabled_at: Option<DateTime<Utc>>,
}

/// A key ready for use.
#[derive(Clone, Debug)]
pub struct OpenCredential {
    pub id: Uuid,
    pub provider: Provider,
    pub base_url: String,
    pub api_key: SecretString,
}

/// What a sealed key is bound to: a ciphertext copied to another row does not open there.
fn row_text(id: Uuid) -> String {
    format!("credentials/{id}")
}

/// Seals and stores a key. The account's provider becomes the credential's.
///
/// # Errors
/// The account has a live key already (constraint `credentials_one_live`), the account is unknown (not-null violation of `provider`), or Postgres is away.
pub async fn add(pool: &PgPool, keyring: &Keyring, new: &NewCredential<'_>) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    let sealed = keyring.seal(&row_text(id), new.api_key).map_err(StoreError::Secret)?;
    sqlx::query(
        "INSERT INTO credentials (id, provider_account_id, provider, label, base_url, key_id, nonce, ciphertext, rate_per_minute)
         VALUES ($1, $2, (SELECT provider FROM provider_accounts WHERE id = $2), $3, $4, $5, $6, $7, coalesce($8, 114))",
    )
    .bind(id)
    .bind(new.account_id)
    .bind(new.label)
    .bind(new.base_url)
    .bind(&sealed.key_id)
    .bind(&sealed.nonce)
    .bind(&sealed.ciphertext)
    .bind(new.rate_per_minute)
    .execute(pool)
    .await
    .map_err(failed("add a credential"))?;
    Ok(id)
}

/// Puts a new key into the same row, so that open intents use it with their next call; clears a block that the old key earned.
/// `false`: no live credential has this id.
///
/// # Errors
/// When Postgres is away.
pub async fn rotate(pool: &PgPool, keyring: &Keyring, id: Uuid, api_key: &SecretString) -> Result<bool, StoreError> {
    let sealed = keyring.seal(&row_text(id), api_key).map_err(StoreError::Secret)?;
    let done = sqlx::query(
        "UPDATE credentials SET key_id = $2, nonce = $3, ciphertext = $4, blocked_until = NULL, failures_in_a_row = 0, probe_at = NULL, probing = false, probes_failed = 0 WHERE id = $1 AND disabled_at IS NULL",
    )
    .bind(id)
    .bind(&sealed.key_id)
    .bind(&sealed.nonce)
    .bind(&sealed.ciphertext)
    .execute(pool)
    .await
    .map_err(failed("rotate a credential"))?;
    Ok(done.rows_affected() == 1)
}

/// Takes a key out of use; its intents wait. `false`: no live credential has this id.
///
/// # Errors
/// When Postgres is away.
pub async fn disable(pool: &PgPool, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE credentials SET disabled_at = frontdesk_now() WHERE id = $1 AND disabled_at IS NULL")
        .bind(id)
        .execute(pool)
        .await
        .map_err(failed("disable a credential"))?;
    Ok(done.rows_affected() == 1)
}

/// Reads and opens a key, live or not. `None`: there is no such credential.
///
/// # Errors
/// The key does not open with this ring, or Postgres is away.
pub async fn open(pool: &PgPool, keyring: &Keyring, id: Uuid) -> Result<Option<OpenCredential>, StoreError> {
    type Row = (String, String, String, Vec<u8>, Vec<u8>);
    let row: Option<Row> = sqlx::query_as("SELECT provider, base_url, key_id, nonce, ciphertext FROM credentials WHERE id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await
        .map_err(failed("read a credential"))?;
    let Some((provider, base_url, key_id, nonce, ciphertext)) = row else { return Ok(None) };
    let api_key = keyring.open(&row_text(id), &Sealed { key_id, nonce, ciphertext }).map_err(StoreError::Secret)?;
    Ok(Some(OpenCredential { id, provider: Provider::of_column("credentials", &provider)?, base_url, api_key }))
}

/// All credentials, live ones first.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool) -> Result<Vec<CredentialSummary>, StoreError> {
    type Row = (Uuid, Uuid, String, String, String, String, i32, String, Option<DateTime<Utc>>, Option<DateTime<Utc>>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT c.id, a.id, a.provider, a.label, c.label, c.base_url, c.rate_per_minute, c.key_id, c.blocked_until, c.disabled_at
         FROM credentials c JOIN provider_accounts a ON a.id = c.provider_account_id
         ORDER BY c.disabled_at IS NOT NULL, a.provider, a.label, c.id LIMIT $1",
    )
    .bind(LIST_MAX)
    .fetch_all(pool)
    .await
    .map_err(failed("list the credentials"))?;
    rows.into_iter()
        .map(|(id, account_id, provider, account_label, label, base_url, rate_per_minute, master_key_id, blocked_until, disabled_at)| {
            let provider = Provider::of_column("credentials", &provider)?;
            Ok(CredentialSummary { id, account_id, provider, account_label, label, base_url, rate_per_minute, master_key_id, blocked_until, disabled_at })
        })
        .collect()
}
