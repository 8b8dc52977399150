//! What the reconciling of calls remembers: how far each Retell account was compared with Retell's list, and which calls Retell is to be asked about.
//!
//! Not the calls themselves (`calls`), nor those of them that cannot be taken in (`troubled_calls`). Called by the scheduler's jobs.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::domain::call::Lifecycle;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// Accounts of one run; more workspaces than this is another product.
const ACCOUNTS_MAX: i64 = 1_000;

/// A Retell account that can be asked: it has a live key, and an endpoint whose webhooks are compared.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SweptAccount {
    pub credential_id: Uuid,
    pub endpoint_id: Uuid,
    /// Every call that ended before was looked at; `None`: no sweep yet.
    pub swept_until: Option<DateTime<Utc>>,
    /// An interrupted nightly run came so far.
    pub reached: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    /// The last turn's time was up in the middle of a list: where.
    page_from: Option<DateTime<Utc>>,
    page_until: Option<DateTime<Utc>>,
    page_key: Option<String>,
    pages: i32,
}

/// Where a list is to be read on: its span, the page's key, and how many of its pages were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenList {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub key: Option<String>,
    pub pages: usize,
}

impl SweptAccount {
    /// The list in whose middle the last turn ended.
    #[must_use]
    pub fn open_list(&self) -> Option<OpenList> {
        let (from, until) = self.page_from.zip(self.page_until)?;
        Some(OpenList { from, until, key: self.page_key.clone(), pages: usize::try_from(self.pages).unwrap_or_default() })
    }
}

/// Which sweep of an account's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSweep {
    /// What ended since the last one.
    Delta,
    /// What began in the last days.
    Nightly,
}

impl CallSweep {
    /// The literal in `call_sweep_turns.kind`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Nightly => "nightly",
        }
    }
}

/// The companies whose calls that key asks for, at most a thousand.
///
/// # Errors
/// When Postgres is away.
pub async fn companies(pool: &PgPool, credential_id: Uuid) -> Result<Vec<Uuid>, StoreError> {
    sqlx::query_scalar("SELECT companies_of_credential($1)").bind(credential_id).fetch_all(pool).await.map_err(failed("list the companies of a key"))
}

/// A call about which Retell is to be asked.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct DueCall {
    pub company_id: Uuid,
    pub retell_call_id: String,
    pub credential_id: Uuid,
    pub endpoint_id: Uuid,
}

/// What we know of a call that Retell lists.
#[derive(Clone, Debug, Default)]
pub struct KnownCall {
    pub heard: BTreeSet<Lifecycle>,
    pub has_transcript: bool,
}

/// Every account that can be asked, who had no turn for longest first: whatever ends a run early, the next one begins with those that it did not reach.
///
/// # Errors
/// When Postgres is away.
pub async fn accounts(pool: &PgPool, sweep: CallSweep) -> Result<Vec<SweptAccount>, StoreError> {
    sqlx::query_as(
        "SELECT k.id AS credential_id, e.id AS endpoint_id, s.swept_until, t.reached, k.created_at, t.page_from, t.page_until, t.page_key, coalesce(t.pages, 0) AS pages
         FROM credentials k
         JOIN LATERAL (SELECT id FROM endpoints WHERE endpoints.provider_account_id = k.provider_account_id ORDER BY disabled_at DESC NULLS FIRST, created_at, id LIMIT 1) e
             ON true
         LEFT JOIN call_sweeps s ON s.credential_id = k.id
         LEFT JOIN call_sweep_turns t ON t.credential_id = k.id AND t.kind = $2
         WHERE k.provider = 'retell' AND k.disabled_at IS NULL ORDER BY t.begun_at NULLS FIRST, k.id LIMIT $1",
    )
    .bind(ACCOUNTS_MAX)
    .bind(sweep.literal())
    .fetch_all(pool)
    .await
    .map_err(failed("list the Retell accounts"))
}

/// Notes that it is the account's turn. Where its last one ended is forgotten: what cannot be read on begins anew the next time.
///
/// # Errors
/// When Postgres is away.
pub async fn begin_turn(tx: &mut CompanyTx, credential_id: Uuid, sweep: CallSweep) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO call_sweep_turns (credential_id, kind, begun_at) VALUES ($1, $2, frontdesk_now())
         ON CONFLICT (credential_id, kind) DO UPDATE SET begun_at = excluded.begun_at, page_from = NULL, page_until = NULL, page_key = NULL, pages = 0",
    )
    .bind(credential_id)
    .bind(sweep.literal())
    .execute(tx.connection())
    .await
    .map_err(failed("begin an account's turn"))?;
    Ok(())
}

/// Notes where the account's turn is in its list, so that the next one goes on there.
///
/// # Errors
/// When Postgres is away.
pub async fn turn_page(tx: &mut CompanyTx, credential_id: Uuid, sweep: CallSweep, list: Option<&OpenList>) -> Result<(), StoreError> {
    sqlx::query("UPDATE call_sweep_turns SET page_from = $3, page_until = $4, page_key = $5, pages = $6 WHERE credential_id = $1 AND kind = $2")
        .bind(credential_id)
        .bind(sweep.literal())
        .bind(list.map(|list| list.from))
        .bind(list.map(|list| list.until))
        .bind(list.and_then(|list| list.key.as_deref()))
        .bind(list.map_or(0, |list| i32::try_from(list.pages).unwrap_or(i32::MAX)))
        .execute(tx.connection())
        .await
        .map_err(failed("note where a list is to be read on"))?;
    Ok(())
}

/// Notes how far the nightly run of an account came; `None`: to its end.
///
/// # Errors
/// When Postgres is away.
pub async fn reach(tx: &mut CompanyTx, credential_id: Uuid, reached: Option<DateTime<Utc>>) -> Result<(), StoreError> {
    sqlx::query("UPDATE call_sweep_turns SET reached = $2 WHERE credential_id = $1 AND kind = 'nightly'")
        .bind(credential_id)
        .bind(reached)
        .execute(tx.connection())
        .await
        .map_err(failed("note how far a nightly run came"))?;
    Ok(())
}

/// Notes that the account was swept now, though there was nothing to move on to.
///
/// # Errors
/// When Postgres is away.
pub async fn swept_now(tx: &mut CompanyTx, credential_id: Uuid) -> Result<(), StoreError> {
    sqlx::query("UPDATE call_sweeps SET swept_at = frontdesk_now() WHERE credential_id = $1")
        .bind(credential_id)
        .execute(tx.connection())
        .await
        .map_err(failed("note that calls were swept"))?;
    Ok(())
}

/// Notes that every call which ended before `until` was looked at; never back.
///
/// # Errors
/// When Postgres is away.
pub async fn swept(tx: &mut CompanyTx, credential_id: Uuid, until: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO call_sweeps AS s (credential_id, swept_until, swept_at) VALUES ($1, $2, frontdesk_now())
         ON CONFLICT (credential_id) DO UPDATE SET swept_until = greatest(s.swept_until, excluded.swept_until), swept_at = excluded.swept_at",
    )
    .bind(credential_id)
    .bind(until)
    .execute(tx.connection())
    .await
    .map_err(failed("note how far calls were swept"))?;
    Ok(())
}

/// What we know of these calls of the company; a call that is missing here is not known at all.
///
/// # Errors
/// When Postgres is away.
pub async fn known(tx: &mut CompanyTx, retell_call_ids: &[String]) -> Result<HashMap<String, KnownCall>, StoreError> {
    let company_id = tx.company_id();
    let rows: Vec<(String, Vec<String>, bool)> =
        sqlx::query_as("SELECT retell_call_id, heard, transcript IS NOT NULL FROM calls WHERE company_id = $1 AND retell_call_id = ANY($2)")
            .bind(company_id)
            .bind(retell_call_ids)
            .fetch_all(tx.connection())
            .await
            .map_err(failed("look calls up"))?;
    Ok(rows
        .into_iter()
        .map(|(id, heard, has_transcript)| (id, KnownCall { heard: heard.iter().filter_map(|name| Lifecycle::parse(name)).collect(), has_transcript }))
        .collect())
}

/// Calls about which Retell is to be asked, the longest due first.
///
/// # Errors
/// When Postgres is away.
pub async fn due(pool: &PgPool, at_most: i32) -> Result<Vec<DueCall>, StoreError> {
    sqlx::query_as("SELECT * FROM calls_to_look_at($1)").bind(at_most).fetch_all(pool).await.map_err(failed("list calls to look at"))
}

/// The look that was due when Retell was asked (`asked_at`, by the database's clock) is done; another one comes after `again`. How many there were so far.
///
/// # Errors
/// When Postgres is away.
pub async fn looked(tx: &mut CompanyTx, retell_call_id: &str, asked_at: DateTime<Utc>, again: Option<Duration>) -> Result<i32, StoreError> {
    let company_id = tx.company_id();
    // a dispute that came up meanwhile keeps its own look
    let count: Option<i32> = sqlx::query_scalar(
        "UPDATE calls SET look_due_at = CASE WHEN look_due_at > $3 THEN look_due_at ELSE $3 + make_interval(secs => $4) END, look_count = look_count + 1, look_failures = 0
         WHERE company_id = $1 AND retell_call_id = $2 RETURNING look_count",
    )
    .bind(company_id)
    .bind(retell_call_id)
    .bind(asked_at)
    .bind(again.map(|again| again.as_seconds_f64()))
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("note a look at a call"))?;
    Ok(count.unwrap_or_default())
}

/// The look that was due could not be made. `counts`: it may be this call's fault, so the next one comes after ten minutes, then twenty, and so on up to six hours;
/// else it is the account's, and the next one comes after ten minutes. How many failures count so far.
///
/// # Errors
/// When Postgres is away.
pub async fn put_off(tx: &mut CompanyTx, retell_call_id: &str, counts: bool) -> Result<i32, StoreError> {
    let company_id = tx.company_id();
    let failures: Option<i32> = sqlx::query_scalar(
        "UPDATE calls SET look_failures = look_failures + CASE WHEN $3 THEN 1 ELSE 0 END,
            look_due_at = frontdesk_now() + CASE WHEN $3 THEN least(interval '10 minutes' * power(2, least(look_failures, 10)), interval '6 hours') ELSE interval '10 minutes' END
         WHERE company_id = $1 AND retell_call_id = $2 AND look_due_at IS NOT NULL RETURNING look_failures",
    )
    .bind(company_id)
    .bind(retell_call_id)
    .bind(counts)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("put a look at a call off"))?;
    Ok(failures.unwrap_or_default())
}
