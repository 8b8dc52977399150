//! Wishes that nothing brings on, found across companies and mended one by one, each under its company (incident 13).
//!
//! Not the states of an intent (`intents`): what is mended here is who carries it and when. Called by the scheduler's job `stuck_intents`.

use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::intents::{Intent, settle};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What holds a wish up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It waits behind nothing.
    Waits,
    /// Its key is out of use, and the account has another.
    Misplaced,
    /// It is due, or leased, later than anything ever is: a clock jumped.
    PutOff,
    /// Its time is over, and its account has no key in use: nobody can carry it out nor look for it.
    Hopeless,
    /// It is only due since long: calcom-sync takes it up as soon as it can.
    Overdue,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Stuck {
    pub intent_id: Uuid,
    pub company_id: Uuid,
    pub appointment_id: Uuid,
    pub why: Why,
}

/// Those that are due, or wait, for longer than `overdue_seconds`: the oldest, at most `at_most` of those that wait and of the others.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool, overdue_seconds: i32, at_most: i32) -> Result<Vec<Stuck>, StoreError> {
    let rows: Vec<(Uuid, Uuid, Uuid, String)> = sqlx::query_as("SELECT * FROM resolve_stuck_intents(make_interval(secs => $1), $2)")
        .bind(overdue_seconds)
        .bind(at_most)
        .fetch_all(pool)
        .await
        .map_err(failed("look for stuck intents"))?;
    let why = |text: &str| match text {
        "waits" => Why::Waits,
        "misplaced" => Why::Misplaced,
        "put_off" => Why::PutOff,
        "hopeless" => Why::Hopeless,
        _ => Why::Overdue,
    };
    Ok(rows.into_iter().map(|(intent_id, company_id, appointment_id, text)| Stuck { intent_id, company_id, appointment_id, why: why(&text) }).collect())
}

/// Gives an open intent the account's live key, and makes it due now. `false`: it is settled, leased or in order meanwhile.
///
/// # Errors
/// When Postgres is away.
pub async fn mend(tx: &mut CompanyTx, intent_id: Uuid) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let done = sqlx::query(
        "UPDATE intents i SET due_at = frontdesk_now(), lease_holder = NULL, lease_until = NULL, credential_id = coalesce(
            (SELECT n.id FROM credentials c JOIN credentials n ON n.provider_account_id = c.provider_account_id AND n.disabled_at IS NULL
             WHERE c.id = i.credential_id AND c.disabled_at IS NOT NULL LIMIT 1), i.credential_id)
         WHERE i.company_id = $1 AND i.id = $2 AND i.state IN ('recorded', 'sent', 'unknown')
           AND (i.lease_until IS NULL OR i.lease_until <= frontdesk_now() OR i.lease_until > frontdesk_now() + interval '6 hours')",
    )
    .bind(company_id)
    .bind(intent_id)
    .execute(tx.connection())
    .await
    .map_err(failed("mend a stuck intent"))?;
    Ok(done.rows_affected() == 1)
}

/// Ends a wish as failed whose time is over and whose account has no key in use. `None`: it is settled or leased, or the account has a key again.
///
/// # Errors
/// When Postgres is away.
pub async fn end(tx: &mut CompanyTx, intent_id: Uuid, error_class: &str) -> Result<Option<Intent>, StoreError> {
    let company_id = tx.company_id();
    let row: Option<Value> = sqlx::query_scalar(
        "SELECT to_jsonb(i) FROM intents i JOIN credentials c ON c.id = i.credential_id AND c.disabled_at IS NOT NULL
         WHERE i.company_id = $1 AND i.id = $2 AND i.state IN ('recorded', 'sent', 'unknown') AND (i.lease_until IS NULL OR i.lease_until <= frontdesk_now())
           AND NOT EXISTS (SELECT FROM credentials n WHERE n.provider_account_id = c.provider_account_id AND n.disabled_at IS NULL)
         FOR UPDATE OF i",
    )
    .bind(company_id)
    .bind(intent_id)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("read a hopeless intent"))?;
    let Some(row) = row else { return Ok(None) };
    let intent: Intent = serde_json::from_value(row).map_err(|_| StoreError::BadRow { table: "intents", column: "row" })?;
    Ok(settle(tx, intent_id, false, None, Some(error_class)).await?.then_some(intent))
}
