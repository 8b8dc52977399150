//! The budget of a Cal.com credential: one for all processes, in one row, counted by the database's clock (architecture section 8, 6).
//!
//! Every request is paid for before it leaves: the first one of an intent by its lease (`intents::lease_due`), every other one by [`take`], and what became of
//! it is told with [`succeeded`], [`failed`], [`block`] or [`unused`] at once, outside any transaction: all processes see it with their next look. The arithmetic is in
//! migrations 20261120121000, 20261120130000 and 20261120141000. Not here: what an answer means (`calcom_sync::verdict`). Called by calcom-sync and its sweeps.

use std::time::Duration;

use chrono::{DateTime, Utc};
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
    take_beside(pool, credential_id, lane, None).await
}

/// Takes one token for a further request of the intent that `holder` leased (a search, the next uid of a chain), whose earlier request is over.
///
/// # Errors
/// When Postgres is away.
pub async fn take_further(pool: &PgPool, credential_id: Uuid, lane: Lane, holder: Uuid) -> Result<Taken, StoreError> {
    take_beside(pool, credential_id, lane, Some(holder)).await
}

async fn take_beside(pool: &PgPool, credential_id: Uuid, lane: Lane, holder: Option<Uuid>) -> Result<Taken, StoreError> {
    let wait_ms: Option<i64> = sqlx::query_scalar("SELECT take_budget_token($1, $2, $3, $4)")
        .bind(credential_id)
        .bind(lane == Lane::Live)
        // the lease that the asking job holds itself is not under way
        .bind(i32::from(holder.is_some()))
        .bind(holder)
        .fetch_one(pool)
        .await
        .map_err(failed_to("take a token of a credential's budget"))?;
    Ok(wait_ms.map_or(Taken::Token, |wait_ms| Taken::Wait(Duration::from_millis(wait_ms.max(1).unsigned_abs()))))
}

/// A token for one read that a caller waits for, and the place that it occupies while it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// When it was paid for, by the database's clock.
    pub asked_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
}

/// Takes a token for a read of at most `at_most`; live calls only, so it may take the live reserve. `Err`: ask again after that, as [`Taken::Wait`].
///
/// # Errors
/// When Postgres is away.
pub async fn take_read(pool: &PgPool, credential_id: Uuid, at_most: Duration) -> Result<Result<Read, Duration>, StoreError> {
    type Row = (Option<i64>, DateTime<Utc>, Option<DateTime<Utc>>);
    let (wait_ms, asked_at, ends_at): Row = sqlx::query_as("SELECT wait_ms, asked_at, ends_at FROM take_read_token($1, $2)")
        .bind(credential_id)
        .bind(i32::try_from(at_most.as_millis()).unwrap_or(i32::MAX))
        .fetch_one(pool)
        .await
        .map_err(failed_to("take a token for a read"))?;
    Ok(match (wait_ms, ends_at) {
        (None, Some(ends_at)) => Ok(Read { asked_at, ends_at }),
        (wait_ms, _) => Err(Duration::from_millis(wait_ms.unwrap_or_default().max(1).unsigned_abs())),
    })
}

/// The read is over, however: its place is free.
///
/// # Errors
/// When Postgres is away.
pub async fn end_read(pool: &PgPool, credential_id: Uuid, read: Read) -> Result<(), StoreError> {
    sqlx::query("SELECT end_budget_read($1, $2)").bind(credential_id).bind(read.ends_at).execute(pool).await.map_err(failed_to("end a read"))?;
    Ok(())
}

/// Gives back what `holder` was given and made no request with: so many tokens (0 if nobody knows whether one was taken), and the probe of an outage, if it has that.
///
/// # Errors
/// When Postgres is away.
pub async fn unused(pool: &PgPool, credential_id: Uuid, holder: Uuid, tokens: i32) -> Result<(), StoreError> {
    sqlx::query("SELECT budget_unused($1, $2, $3)")
        .bind(credential_id)
        .bind(holder)
        .bind(tokens)
        .execute(pool)
        .await
        .map_err(failed_to("give an unused token back"))?;
    Ok(())
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
