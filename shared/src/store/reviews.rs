//! What a human must look at. The same finding is one review.

use serde_json::Value;
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A finding.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    pub subject: &'a str,
    pub reason: &'a str,
    pub appointment_id: Option<Uuid>,
    pub call_id: Option<Uuid>,
    pub intent_id: Option<Uuid>,
    /// Identities only, no personal data.
    pub details: Value,
    pub dedup_key: String,
}

/// Opens a review of something that happened, unless the same finding has one: once settled, it is settled. What may come back is for [`open_anew`].
///
/// # Errors
/// When Postgres is away.
pub async fn open(tx: &mut CompanyTx, finding: &Finding<'_>) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "INSERT INTO reviews (id, company_id, subject, reason, appointment_id, call_id, intent_id, details, dedup_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (company_id, dedup_key) DO NOTHING",
    )
    .bind(Uuid::now_v7())
    .bind(company_id)
    .bind(finding.subject)
    .bind(finding.reason)
    .bind(finding.appointment_id)
    .bind(finding.call_id)
    .bind(finding.intent_id)
    .bind(&finding.details)
    .bind(&finding.dedup_key)
    .execute(tx.connection())
    .await
    .map_err(failed("open a review"))?;
    Ok(())
}

/// Opens a review of a condition: as [`open`], but one that was resolved opens again, since the condition is there again. What a human dismissed stays so. `true` if it
/// is news, and not an open review already.
///
/// # Errors
/// When Postgres is away.
pub async fn open_anew(tx: &mut CompanyTx, finding: &Finding<'_>) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let done = sqlx::query(
        "INSERT INTO reviews AS r (id, company_id, subject, reason, appointment_id, call_id, intent_id, details, dedup_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (company_id, dedup_key) DO UPDATE SET state = 'open', created_at = now(), resolved_at = NULL, details = excluded.details,
            appointment_id = excluded.appointment_id, call_id = excluded.call_id, intent_id = excluded.intent_id
         WHERE r.state = 'resolved'",
    )
    .bind(Uuid::now_v7())
    .bind(company_id)
    .bind(finding.subject)
    .bind(finding.reason)
    .bind(finding.appointment_id)
    .bind(finding.call_id)
    .bind(finding.intent_id)
    .bind(&finding.details)
    .bind(&finding.dedup_key)
    .execute(tx.connection())
    .await
    .map_err(failed("open a review of a condition"))?;
    Ok(done.rows_affected() == 1)
}

/// Whether a human knows of the condition: its review is open, or was dismissed.
///
/// # Errors
/// When Postgres is away.
pub async fn is_known(tx: &mut CompanyTx, dedup_key: &str) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM reviews WHERE company_id = $1 AND dedup_key = $2 AND state <> 'resolved')")
        .bind(company_id)
        .bind(dedup_key)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("look for a review"))
}
