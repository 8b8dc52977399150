//! Promises to call back: at most one open per call. Deadlines: urgent 2 h, high 4 h, normal 24 h (domain reference 4.8).

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use crate::domain::policies::Urgency as Priority;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

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
    .bind(hours(priority))
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("promise a callback"))
}

/// Promises what an event demands, once per call and reason, whatever has become of it: events come doubled and late.
///
/// # Errors
/// When Postgres is away.
pub async fn promise_once(tx: &mut CompanyTx, call_id: Uuid, reason: &str, priority: Priority) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM callback_requests WHERE company_id = $1 AND call_id = $2 AND reason = $3)")
        .bind(company_id)
        .bind(call_id)
        .bind(reason)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("look for a promised callback"))?;
    if !known {
        promise(tx, Some(call_id), None, reason, priority).await?;
    }
    Ok(())
}

/// What a caller wishes who wants to be called back.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub call_id: Uuid,
    /// A number that was told, E.164; without one the number that the call comes from.
    pub phone: Option<&'a str>,
    pub reason: &'a str,
    pub priority: Priority,
    /// In the caller's words: when, about what.
    pub notes: Option<&'a str>,
}

/// A promise as it stands now.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Promised {
    pub due_at: DateTime<Utc>,
    pub priority: String,
    /// There was no open one of this call before.
    pub is_new: bool,
}

/// Promises a callback, or completes the one that the call has: a told number is taken, notes are added, the more urgent priority and the earlier deadline hold.
///
/// # Errors
/// When Postgres is away.
pub async fn request(tx: &mut CompanyTx, request: &Request<'_>) -> Result<Promised, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "INSERT INTO callback_requests AS r (id, company_id, branch_id, customer_id, call_id, phone, reason, priority, notes, due_at)
         SELECT $1, $2, c.branch_id, c.customer_id, c.id, coalesce($4, c.caller), $5, $6, $7, frontdesk_now() + make_interval(hours => $8)
         FROM calls c WHERE c.company_id = $2 AND c.id = $3
         ON CONFLICT (company_id, call_id) WHERE call_id IS NOT NULL AND state IN ('open', 'assigned') DO UPDATE SET
             phone = coalesce($4, r.phone), due_at = least(r.due_at, excluded.due_at),
             priority = CASE WHEN 'urgent' IN (r.priority, excluded.priority) THEN 'urgent' WHEN 'high' IN (r.priority, excluded.priority) THEN 'high' ELSE 'normal' END,
             notes = CASE WHEN r.notes IS NULL OR excluded.notes IS NULL THEN coalesce(r.notes, excluded.notes)
                          WHEN position(excluded.notes IN r.notes) > 0 THEN r.notes ELSE left(r.notes || E'\n' || excluded.notes, 4000) END
         RETURNING due_at, priority, xmax = 0 AS is_new",
    )
    .bind(Uuid::now_v7())
    .bind(company_id)
    .bind(request.call_id)
    .bind(request.phone)
    .bind(request.reason)
    .bind(request.priority.literal())
    .bind(request.notes)
    .bind(hours(request.priority))
    .fetch_one(tx.connection())
    .await
    .map_err(failed("promise a callback"))
}

fn hours(priority: Priority) -> i32 {
    i32::try_from(priority.hours()).unwrap_or(24)
}
