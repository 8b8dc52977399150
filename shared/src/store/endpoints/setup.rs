//! Endpoints as the operator makes them: add, rotate, disable, list.
//!
//! Not how ingress reads them (that is the file above). Called by the CLI, `cargo dev` and tests; ingress honours a change within two seconds,
//! because every write here rings `endpoints_changed`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::secret::Keyring;
use crate::store::accounts::{LIST_MAX, Provider};
use crate::store::{StoreError, failed};

/// An endpoint as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointSummary {
    pub id: Uuid,
    pub account_id: Uuid,
    pub provider: Provider,
    pub account_label: String,
    pub label: String,
    /// Secrets honoured now; 0 means that every request gets 401.
    pub live_secrets: i64,
    /// Of these, the ones that end by themselves (rotated away).
    pub ending_secrets: i64,
    pub disabled_at: Option<DateTime<Utc>>,
}

/// What a sealed secret is bound to: a ciphertext copied to another row does not open there.
fn row_text(secret_id: Uuid) -> String {
    format!("endpoint_secrets/{secret_id}")
}

/// Makes an endpoint of the account with its first secret, in one transaction; the account's provider becomes the endpoint's.
///
/// # Errors
/// The account is unknown (not-null violation of `provider`), or Postgres is away.
pub async fn add(pool: &PgPool, keyring: &Keyring, account_id: Uuid, label: &str, secret: &SecretString) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    let mut transaction = pool.begin().await.map_err(failed("begin a transaction"))?;
    sqlx::query("INSERT INTO endpoints (id, provider_account_id, provider, label) VALUES ($1, $2, (SELECT provider FROM provider_accounts WHERE id = $2), $3)")
        .bind(id)
        .bind(account_id)
        .bind(label)
        .execute(&mut *transaction)
        .await
        .map_err(failed("add an endpoint"))?;
    insert_secret(&mut transaction, keyring, id, secret).await?;
    transaction.commit().await.map_err(failed("commit"))?;
    Ok(id)
}

/// Adds a secret that counts at once; every older one ends after `overlap`, or earlier if that was its fate already.
/// `false`: no live endpoint has this id.
///
/// # Errors
/// When Postgres is away.
pub async fn rotate_secret(pool: &PgPool, keyring: &Keyring, id: Uuid, secret: &SecretString, overlap: Duration) -> Result<bool, StoreError> {
    let mut transaction = pool.begin().await.map_err(failed("begin a transaction"))?;
    // two rotations at once take turns on the endpoint's row
    let found: Option<Uuid> = sqlx::query_scalar("SELECT id FROM endpoints WHERE id = $1 AND disabled_at IS NULL FOR UPDATE")
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed("find an endpoint"))?;
    if found.is_none() {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE endpoint_secrets SET not_after = frontdesk_now() + make_interval(secs => $2)
         WHERE endpoint_id = $1 AND (not_after IS NULL OR not_after > frontdesk_now() + make_interval(secs => $2))",
    )
    .bind(id)
    .bind(overlap.as_secs_f64())
    .execute(&mut *transaction)
    .await
    .map_err(failed("let the older secrets end"))?;
    insert_secret(&mut transaction, keyring, id, secret).await?;
    transaction.commit().await.map_err(failed("commit"))?;
    Ok(true)
}

async fn insert_secret(connection: &mut PgConnection, keyring: &Keyring, endpoint_id: Uuid, secret: &SecretString) -> Result<(), StoreError> {
    let id = Uuid::now_v7();
    let sealed = keyring.seal(&row_text(id), secret).map_err(StoreError::Secret)?;
    sqlx::query("INSERT INTO endpoint_secrets (id, endpoint_id, key_id, nonce, ciphertext) VALUES ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(endpoint_id)
        .bind(&sealed.key_id)
        .bind(&sealed.nonce)
        .bind(&sealed.ciphertext)
        .execute(connection)
        .await
        .map_err(failed("add an endpoint's secret"))?;
    Ok(())
}

/// Takes an endpoint out of use: its URL answers 404 from then on. `false`: no live endpoint has this id.
///
/// # Errors
/// When Postgres is away.
pub async fn disable(pool: &PgPool, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE endpoints SET disabled_at = frontdesk_now() WHERE id = $1 AND disabled_at IS NULL")
        .bind(id)
        .execute(pool)
        .await
        .map_err(failed("disable an endpoint"))?;
    Ok(done.rows_affected() == 1)
}

/// All endpoints, live ones first.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool) -> Result<Vec<EndpointSummary>, StoreError> {
    type Row = (Uuid, Uuid, String, String, String, i64, i64, Option<DateTime<Utc>>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT e.id, a.id, a.provider, a.label, e.label,
                count(s.id) FILTER (WHERE s.not_after IS NULL OR s.not_after > frontdesk_now()),
                count(s.id) FILTER (WHERE s.not_after > frontdesk_now()), e.disabled_at
         FROM endpoints e JOIN provider_accounts a ON a.id = e.provider_account_id LEFT JOIN endpoint_secrets s ON s.endpoint_id = e.id
         GROUP BY e.id, a.id ORDER BY e.disabled_at IS NOT NULL, a.provider, a.label, e.id LIMIT $1",
    )
    .bind(LIST_MAX)
    .fetch_all(pool)
    .await
    .map_err(failed("list the endpoints"))?;
    rows.into_iter()
        .map(|(id, account_id, provider, account_label, label, live_secrets, ending_secrets, disabled_at)| {
            let provider = Provider::of_column("endpoints", &provider)?;
            Ok(EndpointSummary { id, account_id, provider, account_label, label, live_secrets, ending_secrets, disabled_at })
        })
        .collect()
}
