//! Calls of Retell's list that cannot be taken in, and calls that are nobody's: noted, so that each is told to a human once.
//!
//! Not how far an account was swept (`call_sweeps`). Called by the scheduler's jobs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// Those of the calls that were parked, because they could not be taken in; with the class of what went wrong.
///
/// # Errors
/// When Postgres is away.
pub async fn parked(tx: &mut CompanyTx, credential_id: Uuid, retell_call_ids: &[String]) -> Result<BTreeMap<String, String>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT retell_call_id, class FROM troubled_calls WHERE credential_id = $1 AND retell_call_id = ANY($2) AND parked")
            .bind(credential_id)
            .bind(retell_call_ids)
            .fetch_all(tx.connection())
            .await
            .map_err(failed("look for calls that were left out"))?;
    Ok(rows.into_iter().collect())
}

/// Notes that a call could not be taken in; whether it is to be left to a human from now on: after `failures_max` such failures.
///
/// # Errors
/// When Postgres is away.
pub async fn trouble(tx: &mut CompanyTx, credential_id: Uuid, retell_call_id: &str, class: &str, failures_max: i32) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "INSERT INTO troubled_calls AS t (credential_id, retell_call_id, class, parked, seen_at) VALUES ($1, $2, $3, $4 <= 1, frontdesk_now())
         ON CONFLICT (credential_id, retell_call_id) DO UPDATE SET class = excluded.class, failures = t.failures + 1, parked = t.parked OR t.failures + 1 >= $4,
            seen_at = excluded.seen_at
         RETURNING parked",
    )
    .bind(credential_id)
    .bind(retell_call_id)
    .bind(class)
    .bind(failures_max)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("note a call that cannot be taken in"))
}

/// Forgets the troubles of calls that no run has seen for so long.
///
/// # Errors
/// When Postgres is away.
pub async fn forget_troubles(tx: &mut CompanyTx, after: Duration) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM troubled_calls WHERE seen_at < frontdesk_now() - make_interval(secs => $1)")
        .bind(after.as_seconds_f64())
        .execute(tx.connection())
        .await
        .map_err(failed("forget old troubles"))?;
    Ok(())
}

/// Notes that a call was taken in after all.
///
/// # Errors
/// When Postgres is away.
pub async fn forget_trouble(tx: &mut CompanyTx, credential_id: Uuid, retell_call_id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM troubled_calls WHERE credential_id = $1 AND retell_call_id = $2")
        .bind(credential_id)
        .bind(retell_call_id)
        .execute(tx.connection())
        .await
        .map_err(failed("forget a call's trouble"))?;
    Ok(())
}

/// Notes a call that is nobody's; `true` the first time.
///
/// # Errors
/// When Postgres is away.
pub async fn note_unowned(tx: &mut CompanyTx, credential_id: Uuid, retell_call_id: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("INSERT INTO unowned_calls (credential_id, retell_call_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(credential_id)
        .bind(retell_call_id)
        .execute(tx.connection())
        .await
        .map_err(failed("note a call that is nobody's"))?;
    Ok(done.rows_affected() == 1)
}

/// The kinds of events of that call that were parked since `since`: they were received, and a human has them.
///
/// # Errors
/// When Postgres is away.
pub async fn parked_kinds(tx: &mut CompanyTx, endpoint_id: Uuid, retell_call_id: &str, since: DateTime<Utc>) -> Result<BTreeSet<String>, StoreError> {
    let kinds: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT kind FROM dead_letters WHERE endpoint_id = $1 AND created_at >= $3 AND kind LIKE 'retell.call\\_%' AND retell_call_ids @> ARRAY[$2]",
    )
    .bind(endpoint_id)
    .bind(retell_call_id)
    .bind(since)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("look for a parked call"))?;
    Ok(kinds.into_iter().collect())
}
