//! One row per wish that a caller uttered through a function: its result, and what the caller was told. A repeated wish gets the stored answer (incident 28).

use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::envelope::ReplyTo;
use crate::store::appointments::Appointment;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A wish as it arrives.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    pub call_id: Uuid,
    pub function: &'a str,
    /// The tool call's id, or the hash of the arguments where Retell names none.
    pub dedup_key: &'a str,
    /// Hash of function and normalised arguments.
    pub wish_hash: &'a [u8],
    pub message_id: &'a str,
    /// The caller has heard the fallback sentence already: the result will be owed.
    pub caller_gone: bool,
    /// It changes something. A question is asked anew, unless it is the same tool call.
    pub write: bool,
}

/// A stored wish.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct FunctionCall {
    pub id: Uuid,
    pub call_id: Uuid,
    pub state: String,
    pub success: Option<bool>,
    pub result: Option<Value>,
    pub appointment_id: Option<Uuid>,
    pub told: Option<String>,
}

/// What became of a wish.
#[derive(Clone, Debug)]
pub enum Claim {
    /// It is new: carry it out.
    New(Uuid),
    /// Its answer is stored and still true: say it again.
    Answered(Value),
    /// It is being carried out: wait for its result.
    Running(Uuid),
}

/// Claims a wish, or finds what is stored of it. A stored success holds while the appointment has the status and the time that it names; a failure is said again to the same tool
/// call, and to a repeated wish within 15 s; of a question only the same tool call is answered from the store.
/// Of a change the answer holds only until the call made another appointment: the same words may mean that one.
/// A bare yes names nothing, so the next one is a wish of its own, which may be about another time (architecture section 6, Answers).
/// An answer that a program of the version before stored names no status: it holds by its revision.
///
/// # Errors
/// When Postgres is away.
pub async fn claim(tx: &mut CompanyTx, wish: &Wish<'_>) -> Result<Claim, StoreError> {
    let company_id = tx.company_id();
    let known: Option<(Uuid, String, Option<Value>)> = sqlx::query_as(
        "SELECT f.id, f.state, f.result FROM function_calls f
         LEFT JOIN appointments a ON a.company_id = f.company_id AND a.id = f.appointment_id
         WHERE f.company_id = $1 AND f.call_id = $2
           AND (f.dedup_key = $3 OR ($5 AND f.wish_hash = $4 AND (f.state = 'running'
                OR (f.success AND f.function <> 'confirm_booking' AND f.appointment_revision > 0
                    AND CASE WHEN f.appointment_status IS NULL THEN a.revision = f.appointment_revision
                             ELSE a.starts_at = f.appointment_starts_at AND (a.status = f.appointment_status OR (f.appointment_status = 'pending' AND a.status = 'booked')) END
                    AND (f.function IN ('book_appointment', 'collect_appointment_data') OR NOT EXISTS (
                         SELECT FROM function_calls l WHERE l.company_id = f.company_id AND l.call_id = f.call_id AND l.success AND l.finished_at > f.finished_at
                            AND l.appointment_id <> f.appointment_id AND l.function IN ('book_appointment', 'collect_appointment_data', 'confirm_booking'))))
                OR (NOT f.success AND f.function <> 'confirm_booking' AND f.finished_at > frontdesk_now() - interval '15 seconds'))))
         ORDER BY f.dedup_key = $3 DESC, f.created_at DESC LIMIT 1",
    )
    .bind(company_id)
    .bind(wish.call_id)
    .bind(wish.dedup_key)
    .bind(wish.wish_hash)
    .bind(wish.write)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("find a function call"))?;
    match known {
        Some((_, _, Some(result))) => return Ok(Claim::Answered(result)),
        Some((id, ..)) => return Ok(Claim::Running(id)),
        None => {}
    }
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO function_calls (id, company_id, call_id, function, dedup_key, wish_hash, message_id, told, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $8 THEN 'missed' END, frontdesk_now())")
        .bind(id)
        .bind(company_id)
        .bind(wish.call_id)
        .bind(wish.function)
        .bind(wish.dedup_key)
        .bind(wish.wish_hash)
        .bind(wish.message_id)
        .bind(wish.caller_gone)
        .execute(tx.connection())
        .await
        .map_err(failed("record a function call"))?;
    Ok(Claim::New(id))
}

/// Lets a request wait for the result; `Some` is the result if it became final meanwhile.
///
/// The share lock is what makes that true: a result that becomes final at this very moment either sees this waiter, or is seen here.
///
/// # Errors
/// When Postgres is away.
pub async fn wait_for(tx: &mut CompanyTx, function_call_id: Uuid, to: &ReplyTo) -> Result<Option<Value>, StoreError> {
    let company_id = tx.company_id();
    let known: Option<Option<Value>> = sqlx::query_scalar(
        "WITH wish AS (
             SELECT id, result FROM function_calls WHERE company_id = $2 AND id = $3 FOR SHARE
         ), waiter AS (
             INSERT INTO reply_waiters (id, company_id, function_call_id, reply_queue, correlation_id, expires_at)
             SELECT $1, $2, id, $4, $5, frontdesk_now() + interval '1 minute' FROM wish WHERE result IS NULL
         )
         SELECT result FROM wish",
    )
    .bind(Uuid::now_v7())
    .bind(company_id)
    .bind(function_call_id)
    .bind(&to.queue)
    .bind(to.correlation_id)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("record a waiting request"))?;
    Ok(known.flatten())
}

/// Makes a result final and replies to everybody who waits for it after the commit. `appointment`: what it is true of. `None`: it was final already.
///
/// # Errors
/// When Postgres is away.
pub async fn finish(
    tx: &mut CompanyTx,
    function_call_id: Uuid,
    success: bool,
    result: &Value,
    appointment: Option<&Appointment>,
) -> Result<Option<FunctionCall>, StoreError> {
    let company_id = tx.company_id();
    let finished: Option<FunctionCall> = sqlx::query_as(
        "UPDATE function_calls SET state = 'final', success = $3, result = $4, appointment_id = $5, appointment_revision = $6, appointment_status = $7,
                appointment_starts_at = $8, finished_at = frontdesk_now()
         WHERE company_id = $1 AND id = $2 AND state = 'running' RETURNING id, call_id, state, success, result, appointment_id, told",
    )
    .bind(company_id)
    .bind(function_call_id)
    .bind(success)
    .bind(result)
    .bind(appointment.map(|appointment| appointment.id))
    .bind(appointment.map(|appointment| appointment.revision))
    .bind(appointment.map(|appointment| appointment.status.as_str()))
    .bind(appointment.map(|appointment| appointment.starts_at))
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("finish a function call"))?;
    if finished.is_some() {
        let waiters: Vec<(String, Uuid)> =
            sqlx::query_as("DELETE FROM reply_waiters WHERE company_id = $1 AND function_call_id = $2 RETURNING reply_queue, correlation_id")
                .bind(company_id)
                .bind(function_call_id)
                .fetch_all(tx.connection())
                .await
                .map_err(failed("take the waiting requests"))?;
        let body = result.to_string().into_bytes();
        for (queue, correlation_id) in waiters {
            tx.reply(ReplyTo { queue, correlation_id }, body.clone());
        }
    }
    Ok(finished)
}

/// Notes that the caller heard the fallback sentence instead of the result. The wish, if it is known yet.
///
/// # Errors
/// When Postgres is away.
pub async fn missed(tx: &mut CompanyTx, message_id: &str, sentence: &str) -> Result<Option<FunctionCall>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "UPDATE function_calls SET told = 'missed', told_sentence = $3 WHERE company_id = $1 AND message_id = $2
         RETURNING id, call_id, state, success, result, appointment_id, told",
    )
    .bind(company_id)
    .bind(message_id)
    .bind(sentence)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("note a missed answer"))
}

/// What was answered to the newest booking of a call, while it is true.
///
/// # Errors
/// When Postgres is away.
pub async fn booked_in(tx: &mut CompanyTx, call_id: Uuid) -> Result<Option<Value>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(
        "SELECT f.result FROM function_calls f
         JOIN appointments a ON a.company_id = f.company_id AND a.id = f.appointment_id AND a.status = f.appointment_status AND a.starts_at = f.appointment_starts_at
         WHERE f.appointment_revision > 0 AND f.company_id = $1 AND f.call_id = $2 AND f.success AND f.function IN ('book_appointment', 'collect_appointment_data', 'confirm_booking')
         ORDER BY f.finished_at DESC LIMIT 1",
    )
    .bind(company_id)
    .bind(call_id)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("read a call's booking"))
}

/// The company of a wish that arrived with that message, from the stored events; `None` until a role has begun with it.
///
/// # Errors
/// When Postgres is away.
pub async fn company_of_message(pool: &PgPool, message_id: &str) -> Result<Option<Uuid>, StoreError> {
    sqlx::query_scalar("SELECT company_id FROM events WHERE message_id = $1 AND company_id IS NOT NULL LIMIT 1")
        .bind(message_id)
        .fetch_optional(pool)
        .await
        .map_err(failed("find a function call's company"))
}
