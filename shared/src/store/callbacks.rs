//! Promises to call back: at most one open per call.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// How soon a human must call (domain reference 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Normal,
    High,
}

impl Priority {
    const fn literal(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    const fn hours(self) -> i32 {
        match self {
            Self::Normal => 24,
            Self::High => 4,
        }
    }
}

/// Promises a callback; a call that has an open one keeps that. The deadline.
///
/// # Errors
/// When Postgres is away.
pub async fn promise(
    tx: &mut CompanyTx,
    call_id: Option<Uuid>,
    appointment_id: Option<Uuid>,
    reason: &str,
    priority: Priority,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(
        "INSERT INTO callback_requests (id, company_id, branch_id, customer_id, call_id, appointment_id, phone, reason, priority, due_at)
         SELECT $1, $2, c.branch_id, c.customer_id, $3, $4, c.caller, $5, $6, frontdesk_now() + make_interval(hours => $7)
         FROM (SELECT 1) one LEFT JOIN calls c ON c.company_id = $2 AND c.id = $3
         ON CONFLICT (company_id, call_id) WHERE call_id IS NOT NULL AND state IN ('open', 'assigned') DO NOTHING
         RETURNING due_at",
    )
    .bind(Uuid::now_v7())
    .bind(company_id)
    .bind(call_id)
    .bind(appointment_id)
    .bind(reason)
    .bind(priority.literal())
    .bind(priority.hours())
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("promise a callback"))
}
