//! How many functions were answered in the last minute, for the limits of `domain::policies`. Counted in `function_calls`: one truth for all processes.

use uuid::Uuid;

use crate::domain::policies::{CallLimits, Counts, Limit, LimitClass};
use crate::functions::TABLE;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// The `reason` of the answer that a limit gives; such an answer counts for no limit.
pub const REASON: &str = "too_many_functions";

/// So near to the company's limit its functions are counted one after the other: those that are under way elsewhere are not seen by a count. Further away nobody waits for anybody.
const NEAR: i64 = 100;

#[derive(sqlx::FromRow)]
struct Row {
    functions_per_call_minute: i32,
    vip_functions_per_call_minute: i32,
    functions_per_minute: i32,
    of_call: i64,
    of_company: i64,
}

/// The limit that this function call, which is recorded already, exceeds.
///
/// # Errors
/// When Postgres is away.
pub async fn reached(tx: &mut CompanyTx, call_id: Uuid, function_call_id: Uuid, class: LimitClass) -> Result<Option<Limit>, StoreError> {
    let mut row = count(tx, call_id, function_call_id, class).await?;
    if row.of_company + NEAR >= i64::from(row.functions_per_minute) {
        lock_company(tx).await?;
        row = count(tx, call_id, function_call_id, class).await?;
    }
    let whole = |number: i32| u32::try_from(number).unwrap_or(0);
    let limits = CallLimits {
        call_functions_per_minute: whole(row.functions_per_call_minute),
        call_vip_functions_per_minute: whole(row.vip_functions_per_call_minute),
        company_functions_per_minute: whole(row.functions_per_minute),
    };
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(limits.reached(class, &Counts { of_call: count(row.of_call), of_company: count(row.of_company) }))
}

/// Held until the end of the transaction, after the locks of the call; nobody who holds it waits for another call's.
async fn lock_company(tx: &mut CompanyTx) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('function_limits/' || $1::text, 0))")
        .bind(company_id)
        .execute(tx.connection())
        .await
        .map_err(failed("lock the company's limit"))?;
    Ok(())
}

async fn count(tx: &mut CompanyTx, call_id: Uuid, function_call_id: Uuid, class: LimitClass) -> Result<Row, StoreError> {
    let company_id = tx.company_id();
    let vip: Vec<&str> = TABLE.iter().filter(|row| row.limit_class == LimitClass::Vip).map(|row| row.names[0]).collect();
    sqlx::query_as(
        "SELECT c.functions_per_call_minute, c.vip_functions_per_call_minute, c.functions_per_minute, f.of_call, f.of_company
         FROM companies c, LATERAL (
             SELECT count(*) AS of_company, count(*) FILTER (WHERE f.call_id = $2 AND (f.function = ANY($4)) = $5) AS of_call
             FROM function_calls f
             WHERE f.company_id = $1 AND f.created_at > frontdesk_now() - interval '60 seconds' AND f.id <> $3 AND f.result ->> 'reason' IS DISTINCT FROM $6
         ) f
         WHERE c.id = $1",
    )
    .bind(company_id)
    .bind(call_id)
    .bind(function_call_id)
    .bind(vip)
    .bind(class == LimitClass::Vip)
    .bind(REASON)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("count the functions of the last minute"))
}
