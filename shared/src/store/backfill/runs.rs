//! The rows of runs: begun, paused, resumed, cancelled, taken back; and how far they have come.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::chunks;
use crate::domain::backfill::Subject;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A company's part of a run.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Progress {
    pub company_id: Uuid,
    pub run_id: Uuid,
    pub state: String,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// full, gently, stopped; and why.
    pub pace: String,
    pub pace_reason: String,
    /// How often it was not full, and why the last time.
    pub throttled_count: i64,
    pub throttled_reason: String,
    pub chunks: i64,
    pub chunks_done: i64,
    pub chunks_in_flight: i64,
    pub rows_all: i64,
    pub rows_done: i64,
    /// Of the last ten seconds.
    pub rows_recent: i64,
}

/// The parts of that run; of all open runs without one.
///
/// # Errors
/// When Postgres is away.
pub async fn progress(pool: &PgPool, run_id: Option<Uuid>) -> Result<Vec<Progress>, StoreError> {
    sqlx::query_as("SELECT * FROM resolve_backfill_progress($1)").bind(run_id).fetch_all(pool).await.map_err(failed("read how far a backfill has come"))
}

/// The newest run.
///
/// # Errors
/// When Postgres is away.
pub async fn newest(pool: &PgPool) -> Result<Option<Uuid>, StoreError> {
    sqlx::query_scalar("SELECT resolve_newest_backfill()").fetch_one(pool).await.map_err(failed("look for the newest backfill"))
}

/// Begins the company's part: its row and its chunks. `None`: the company has an open run already. How many rows will be looked at.
///
/// # Errors
/// When Postgres is away.
pub async fn begin(tx: &mut CompanyTx, run_id: Uuid, chunk_rows: i32) -> Result<Option<i64>, StoreError> {
    let company_id = tx.company_id();
    let made = sqlx::query(
        "INSERT INTO backfill_runs (id, company_id, state) VALUES ($1, $2, 'running')
         ON CONFLICT (company_id) WHERE state IN ('running', 'paused', 'undoing') DO NOTHING",
    )
    .bind(run_id)
    .bind(company_id)
    .execute(tx.connection())
    .await
    .map_err(failed("begin a backfill"))?;
    if made.rows_affected() == 0 {
        return Ok(None);
    }
    let mut rows = 0;
    for subject in Subject::ALL {
        rows += chunks::cut(tx, run_id, subject, chunk_rows).await?;
    }
    Ok(Some(rows))
}

/// Brings the company's part from one of these states to another; false if it is in none of them. What a pause finds under way goes back to waiting.
///
/// # Errors
/// When Postgres is away.
pub async fn change_state(tx: &mut CompanyTx, run_id: Uuid, from: &[&str], to: &str) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let done = sqlx::query(
        "UPDATE backfill_runs SET state = $4, finished_at = CASE WHEN $4 IN ('finished', 'cancelled', 'undone') THEN frontdesk_now() END
         WHERE company_id = $1 AND id = $2 AND state = ANY ($3)",
    )
    .bind(company_id)
    .bind(run_id)
    .bind(from)
    .bind(to)
    .execute(tx.connection())
    .await
    .map_err(failed("change the state of a backfill"))?;
    Ok(done.rows_affected() == 1)
}

/// Begins to take back what the company's part filled; false if it still runs, or was taken back already.
///
/// # Errors
/// When Postgres is away, or the company has another open run (`StoreError::constraint`).
pub async fn begin_undo(tx: &mut CompanyTx, run_id: Uuid) -> Result<bool, StoreError> {
    if !change_state(tx, run_id, &["paused", "finished", "cancelled"], "undoing").await? {
        return Ok(false);
    }
    let company_id = tx.company_id();
    sqlx::query("UPDATE backfill_chunks SET state = 'waiting', published_at = NULL, done_at = NULL WHERE company_id = $1 AND run_id = $2")
        .bind(company_id)
        .bind(run_id)
        .execute(tx.connection())
        .await
        .map_err(failed("begin to take a backfill back"))?;
    Ok(true)
}

/// Ends the company's part if all of its chunks are done; true if this ended it.
///
/// # Errors
/// When Postgres is away.
pub async fn end_if_done(tx: &mut CompanyTx, run_id: Uuid) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let done = sqlx::query(
        "UPDATE backfill_runs SET state = CASE state WHEN 'undoing' THEN 'undone' ELSE 'finished' END, finished_at = frontdesk_now()
         WHERE company_id = $1 AND id = $2 AND state IN ('running', 'undoing')
           AND NOT EXISTS (SELECT FROM backfill_chunks c WHERE c.company_id = $1 AND c.run_id = $2 AND c.state <> 'done')",
    )
    .bind(company_id)
    .bind(run_id)
    .execute(tx.connection())
    .await
    .map_err(failed("end a backfill"))?;
    Ok(done.rows_affected() == 1)
}

/// Notes the pace, and why, where it changed.
///
/// # Errors
/// When Postgres is away.
pub async fn note_pace(tx: &mut CompanyTx, run_id: Uuid, pace: &str, reason: &str) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "UPDATE backfill_runs SET pace = $3, pace_reason = $4, paced_at = frontdesk_now(), throttled_count = throttled_count + CASE WHEN $3 = 'full' THEN 0 ELSE 1 END,
            throttled_reason = CASE WHEN $3 = 'full' THEN throttled_reason ELSE $4 END
         WHERE company_id = $1 AND id = $2 AND (pace, pace_reason) IS DISTINCT FROM ($3, $4)",
    )
    .bind(company_id)
    .bind(run_id)
    .bind(pace)
    .bind(reason)
    .execute(tx.connection())
    .await
    .map_err(failed("note the pace of a backfill"))?;
    Ok(())
}

/// Whether history was taken over since the company's last run. The first one is a human's to plan and begin, and so is the next after one that was cancelled or undone.
///
/// # Errors
/// When Postgres is away.
pub async fn is_wanted(tx: &mut CompanyTx) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(
        "SELECT coalesce((SELECT r.state = 'finished' AND EXISTS (SELECT FROM import_runs i WHERE i.company_id = $1 AND i.started_at > r.created_at)
                          FROM backfill_runs r WHERE r.company_id = $1 ORDER BY r.created_at DESC LIMIT 1), false)",
    )
    .bind(company_id)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("look for history to fill"))
}
