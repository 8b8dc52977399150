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

/// Opens a review, unless the same finding has one.
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
