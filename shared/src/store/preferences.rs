//! What customers like, one row per type and key: the oftener it is said, the surer it is (domain reference 1.11, 4.3).

use serde_json::Value;
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A preference.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Preference {
    pub preference_type: String,
    pub key: String,
    pub value: Value,
    pub usage_count: i32,
    /// 0 to 1.
    pub confidence: f32,
}

/// More than this is no memory of a person any more; a model that invents keys stops here.
pub const PREFERENCES_MAX: i64 = 100;

/// Notes what the customer said. The same value in another call makes it surer, another value begins anew; in the same call it is a model that repeats itself. `None`: the customer has [`PREFERENCES_MAX`] others already.
///
/// # Errors
/// When Postgres is away.
pub async fn save(
    tx: &mut CompanyTx,
    customer_id: Uuid,
    call_id: Uuid,
    preference_type: &str,
    key: &str,
    value: &Value,
) -> Result<Option<Preference>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "INSERT INTO customer_preferences AS p (company_id, customer_id, preference_type, key, value, confidence, call_id, last_used_at)
         SELECT $1, $2, $3, $4, $5, 0.5, $6, frontdesk_now()
         WHERE EXISTS (SELECT 1 FROM customer_preferences k WHERE k.company_id = $1 AND k.customer_id = $2 AND k.preference_type = $3 AND k.key = $4)
            OR (SELECT count(*) FROM customer_preferences k WHERE k.company_id = $1 AND k.customer_id = $2) < $7
         ON CONFLICT (company_id, customer_id, preference_type, key) DO UPDATE SET
             usage_count = CASE WHEN p.value = excluded.value AND p.call_id = excluded.call_id THEN p.usage_count WHEN p.value = excluded.value THEN p.usage_count + 1 ELSE 1 END,
             confidence = CASE WHEN p.value = excluded.value AND p.call_id = excluded.call_id THEN p.confidence WHEN p.value = excluded.value THEN least(0.95, 0.4 + 0.1 * (p.usage_count + 1)) ELSE 0.5 END,
             value = excluded.value, call_id = excluded.call_id, last_used_at = excluded.last_used_at
         RETURNING preference_type, key, value, usage_count, confidence",
    )
    .bind(company_id)
    .bind(customer_id)
    .bind(preference_type)
    .bind(key)
    .bind(value)
    .bind(call_id)
    .bind(PREFERENCES_MAX)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("save a preference"))
}

/// The ten surest of a customer: more does not help an agent.
///
/// # Errors
/// When Postgres is away.
pub async fn surest(tx: &mut CompanyTx, customer_id: Uuid) -> Result<Vec<Preference>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT preference_type, key, value, usage_count, confidence FROM customer_preferences WHERE company_id = $1 AND customer_id = $2
         ORDER BY confidence DESC, last_used_at DESC, preference_type, key LIMIT 10",
    )
    .bind(company_id)
    .bind(customer_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read a customer's preferences"))
}
