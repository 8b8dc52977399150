//! The budget of a Cal.com credential: one for all processes, in one row, counted by the database's clock (architecture section 8, 6).
//!
//! Every request is paid for before it leaves: the first one of an intent by its lease (`intents::lease_due`), every other one by [`take`], and what became of
//! it is told with [`succeeded`], [`failed`] or [`block`] at once, outside any transaction: all processes see it with their next look. The arithmetic is in
//! migration 20261120121000. Not here: what an answer means (`calcom_sync::verdict`). Called by calcom-sync and its sweeps.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use crate::envelope::Lane;
use crate::store::{StoreError, failed as failed_to};

/// What became of the wish to make one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Make it now, and tell what became of it.
    Token,
    /// Not now: ask again after this. Blocked by a 429, out of tokens, only the reserve of the live lane is left, or an outage with a probe under way.
    Wait(Duration),
}

/// Takes one token for a request that no lease of an intent pays for (a sweep's: one at a time per credential). Bulk never takes the live reserve.
/// During an outage the one token that there is is the next probe's.
///
/// # Errors
/// When Postgres is away.
pub async fn take(pool: &PgPool, credential_id: Uuid, lane: Lane) -> Result<Taken, StoreError> {
    take_beside(pool, credential_id, lane, 0).await
}

/// Takes one token for a further request of a leased intent (a search, the next uid of a chain), whose earlier request is over.
///
/// # Errors
/// When Postgres is away.
pub async fn take_further(pool: &PgPool, credential_id: Uuid, lane: Lane) -> Result<Taken, StoreError> {
    take_beside(pool, credential_id, lane, 1).await
}

async fn take_beside(pool: &PgPool, credential_id: Uuid, lane: Lane, own_leases: i32) -> Result<Taken, StoreError> {
    let wait_ms: Option<i64> = sqlx::query_scalar("SELECT take_budget_token($1, $2, $3)")
        .bind(credential_id)
        .bind(lane == Lane::Live)
        .bind(own_leases)
        .fetch_one(pool)
        .await
        .map_err(failed_to("take a token of a credential's budget"))?;
    Ok(wait_ms.map_or(Taken::Token, |wait_ms| Taken::Wait(Duration::from_millis(wait_ms.max(1).unsigned_abs()))))
}

/// Cal.com said 429, or the key is no good: nobody sends anything for `pause`. A credential that is blocked already stays so for as long as it was: requests
/// that were under way when the first 429 came know nothing newer.
///
/// # Errors
/// When Postgres is away.
pub async fn block(pool: &PgPool, credential_id: Uuid, pause: Duration) -> Result<(), StoreError> {
    sqlx::query("SELECT block_budget($1, $2)")
        .bind(credential_id)
        .bind(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
        .execute(pool)
        .await
        .map_err(failed_to("block a credential"))?;
    Ok(())
}

/// Cal.com answered, whatever it said: an outage is over.
///
/// # Errors
/// When Postgres is away.
pub async fn succeeded(pool: &PgPool, credential_id: Uuid) -> Result<(), StoreError> {
    sqlx::query("SELECT budget_succeeded($1)").bind(credential_id).execute(pool).await.map_err(failed_to("end a credential's outage"))?;
    Ok(())
}

/// Cal.com failed as it fails for everybody: 5xx, a timeout, no connection. After some of them in a row the brake holds, one probe at a time: then how long until
/// the next probe.
///
/// # Errors
/// When Postgres is away.
pub async fn failed(pool: &PgPool, credential_id: Uuid) -> Result<Option<Duration>, StoreError> {
    let probe_ms: Option<i64> =
        sqlx::query_scalar("SELECT budget_failed($1)").bind(credential_id).fetch_one(pool).await.map_err(failed_to("count a credential's failure"))?;
    Ok(probe_ms.map(|probe_ms| Duration::from_millis(probe_ms.max(1).unsigned_abs())))
}

/// How one credential's budget stands.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct BudgetState {
    pub credential_id: Uuid,
    pub blocked: bool,
    pub outage: bool,
    /// Since the credential was made, by all processes.
    pub tokens_taken: i64,
    pub rate_per_minute: i32,
}

/// The credentials that were used last, at most 500: for metrics.
///
/// # Errors
/// When Postgres is away.
pub async fn states(pool: &PgPool) -> Result<Vec<BudgetState>, StoreError> {
    sqlx::query_as("SELECT * FROM budget_states()").fetch_all(pool).await.map_err(failed_to("read how the budgets stand"))
}
