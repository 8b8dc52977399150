//! What a company's set-up says beyond its things: its policies, and which contact its Cal.com accounts demand. For `frontdesk company show`.
//!
//! Not how policies are applied (`store::policies`). Read under the company's row-level security.

use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// See the module.
#[derive(Clone, Serialize)]
pub struct SetRules {
    pub policies: Vec<SetPolicy>,
    pub calcom_accounts: Vec<SetCalcomAccount>,
}

/// A row of `policies`, with the name of the one it belongs to.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct SetPolicy {
    pub id: Uuid,
    pub policy_type: String,
    pub branch: Option<String>,
    pub service: Option<String>,
    pub staff: Option<String>,
    pub rules: serde_json::Value,
}

/// A Cal.com account that carries event types of the company.
#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct SetCalcomAccount {
    pub label: String,
    /// `email_required`, `phone_required` or `either` (`domain::person_names::ContactRule`).
    pub contact_rule: String,
}

/// Policies of the nearest level last, as they are looked up from the end; accounts by label.
///
/// # Errors
/// When Postgres is away.
pub async fn load_rules(pool: &PgPool, company_id: Uuid) -> Result<SetRules, StoreError> {
    let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
    let policies = sqlx::query_as(
        "SELECT p.id, p.policy_type, b.name AS branch, s.name AS service, t.name AS staff, p.rules
         FROM policies p LEFT JOIN branches b ON b.company_id = p.company_id AND b.id = p.branch_id
             LEFT JOIN services s ON s.company_id = p.company_id AND s.id = p.service_id LEFT JOIN staff t ON t.company_id = p.company_id AND t.id = p.staff_id
         WHERE p.company_id = $1 ORDER BY p.policy_type, p.staff_id IS NOT NULL, p.service_id IS NOT NULL, p.branch_id IS NOT NULL, p.created_at, p.id",
    )
    .bind(company_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read the policies"))?;
    let calcom_accounts = sqlx::query_as(
        "SELECT a.label, a.contact_rule FROM provider_accounts a
         WHERE a.provider = 'calcom' AND a.id IN (SELECT s.provider_account_id FROM services s WHERE s.company_id = $1) ORDER BY a.label",
    )
    .bind(company_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read the accounts' contact rules"))?;
    tx.commit().await?;
    Ok(SetRules { policies, calcom_accounts })
}
