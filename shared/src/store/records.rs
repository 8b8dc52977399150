//! What happened: one row per delivery to a role (`attempts`), one redacted row per outgoing call (`api_calls`), the raw events (`events`).
//!
//! "What happened on this call?" is answered from these. They hold ids, classes and durations; never a body of an answer, a name or a number.
//! Raw events are written by `inbox::claim`, in the statement that claims their message.

use sqlx::{PgPool, Postgres};
use uuid::Uuid;

use crate::envelope::{Envelope, Lane, Role};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What became of one delivery.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub role: Role,
    pub lane: Lane,
    pub message_id: String,
    pub kind: String,
    pub company_id: Option<Uuid>,
    pub attempt: u32,
    /// `done`, `duplicate`, `retry`, `wait`, `parked`, `expired`, …: a name from the runtime's closed list.
    pub outcome: &'static str,
    pub error_class: Option<String>,
    pub traceparent: Option<String>,
    /// From ingress to delivery.
    pub queued_ms: i64,
    /// From delivery to settlement.
    pub took_ms: i64,
}

impl Attempt {
    /// An attempt at that message.
    #[must_use]
    pub fn of(role: Role, lane: Lane, envelope: &Envelope, outcome: &'static str) -> Self {
        Self {
            role,
            lane,
            message_id: envelope.message_id.to_string(),
            kind: envelope.kind.name(),
            company_id: None,
            attempt: envelope.attempt,
            outcome,
            error_class: None,
            traceparent: envelope.traceparent.clone(),
            queued_ms: 0,
            took_ms: 0,
        }
    }
}

/// Records the attempts of a transaction that succeeds.
///
/// # Errors
/// When Postgres is away.
pub async fn insert_attempts(tx: &mut CompanyTx, attempts: &[Attempt]) -> Result<(), StoreError> {
    insert_on(tx.connection(), attempts).await
}

/// Records attempts whose own transaction was rolled back.
///
/// # Errors
/// When Postgres is away.
pub async fn insert_attempts_alone(pool: &PgPool, attempts: &[Attempt]) -> Result<(), StoreError> {
    insert_on(pool, attempts).await
}

async fn insert_on<'e>(executor: impl sqlx::Executor<'e, Database = Postgres>, attempts: &[Attempt]) -> Result<(), StoreError> {
    let whole = |number: i64| i32::try_from(number.max(0)).unwrap_or(i32::MAX);
    sqlx::query(
        "INSERT INTO attempts (role, lane, message_id, kind, company_id, attempt, outcome, error_class, traceparent, queued_ms, took_ms)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::text[], $8::text[], $9::text[], $10::int[], $11::int[])",
    )
    .bind(attempts.iter().map(|attempt| attempt.role.name()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.lane.name()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.message_id.as_str()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.kind.as_str()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.company_id).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| whole(attempt.attempt.into())).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.error_class.as_deref()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| attempt.traceparent.as_deref()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| whole(attempt.queued_ms)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|attempt| whole(attempt.took_ms)).collect::<Vec<_>>())
    .execute(executor)
    .await
    .map_err(failed("record attempts"))?;
    Ok(())
}

/// One outgoing call to a provider, redacted: the operation's name instead of its path, a class instead of the answer.
#[derive(Clone, Debug)]
pub struct ApiCall {
    pub intent_id: Option<Uuid>,
    pub credential_id: Uuid,
    /// `calcom` or `retell`.
    pub provider: &'static str,
    /// `create_booking`, `cancel_booking`, …
    pub operation: &'static str,
    pub lane: Lane,
    /// HTTP status of an error; `None` for a success (no `error_class`) and if no answer came.
    pub status: Option<u16>,
    pub error_class: Option<&'static str>,
    /// The provider's own request id, for their support.
    pub provider_request_id: Option<String>,
    pub took_ms: i64,
}

/// Records a call, in the transaction that records its result.
///
/// # Errors
/// When Postgres is away.
pub async fn insert_api_call(tx: &mut CompanyTx, call: &ApiCall) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "INSERT INTO api_calls (company_id, intent_id, credential_id, provider, operation, lane, status, error_class, provider_request_id, took_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(company_id)
    .bind(call.intent_id)
    .bind(call.credential_id)
    .bind(call.provider)
    .bind(call.operation)
    .bind(call.lane.name())
    .bind(call.status.map(i32::from))
    .bind(call.error_class)
    .bind(call.provider_request_id.as_deref())
    .bind(i32::try_from(call.took_ms.max(0)).unwrap_or(i32::MAX))
    .execute(tx.connection())
    .await
    .map_err(failed("record an outgoing call"))?;
    Ok(())
}

/// Records a call that is an account's and no company's: a page of a list. Not in a transaction of the caller: it was made, whatever becomes of its answer.
///
/// # Errors
/// When Postgres is away.
pub async fn insert_account_request(pool: &PgPool, call: &ApiCall) -> Result<(), StoreError> {
    sqlx::query("SELECT record_account_request($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(call.credential_id)
        .bind(call.provider)
        .bind(call.operation)
        .bind(call.lane.name())
        .bind(call.status.map(i32::from))
        .bind(call.error_class)
        .bind(call.provider_request_id.as_deref())
        .bind(i32::try_from(call.took_ms.max(0)).unwrap_or(i32::MAX))
        .execute(pool)
        .await
        .map_err(failed("record an account's request"))?;
    Ok(())
}
