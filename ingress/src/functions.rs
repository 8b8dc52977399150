//! Requests with an answer: phone functions and call_inbound. Published to the live lane; the worker's answer comes back over the reply queue.
//!
//! A caller always hears something true, and a wish is never lost: whatever the worker does or does not, a write is durable before a 200, or the
//! answer says that it is not. A read ends with its caller. Not decoding and no business rule. Called by `webhooks`.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use shared::broker::topology;
use shared::envelope::{Envelope, Kind, Lane, MessageId, SCHEMA_VERSION};
use shared::functions::{Function, UNKNOWN_FUNCTION_SENTENCE};
use tokio::time::Instant;

use crate::error::{JSON, Outcome, Refusal};
use crate::reply::Waiter;
use crate::state::State;
use crate::verify::{Retell, Verified};

/// Nothing about this caller is known: the agent goes on without our variables (retell.md 3).
const CALL_INBOUND_UNKNOWN: &str = r#"{"call_inbound":{}}"#;
/// The wish is kept, but that its caller did not hear the result is not: so nobody will call, and none is promised.
const ASK_AGAIN: &str = "Ich trage das gerade ein, kann es aber noch nicht bestätigen. Bitte rufen Sie uns in ein paar Minuten noch einmal an.";
/// What publishing the note about a missed answer may add to the deadline: together they stay well under Retell's tool timeout of 10 s.
const NOTE_DEADLINE: Duration = Duration::from_secs(2);

/// The fallback, in the form of every answer that workers give.
#[derive(Serialize)]
struct Fallback {
    success: bool,
    pending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    message: &'static str,
}

/// The body of `function.answer_missed`: what the caller was told, and about which request.
#[derive(Serialize)]
struct AnswerMissed<'a> {
    message_id: &'a str,
    function: &'a str,
    sentence: &'a str,
    endpoint: Option<uuid::Uuid>,
    answered_at: chrono::DateTime<chrono::Utc>,
}

/// How the wait for an answer ended.
enum Exchange {
    Heard(Bytes),
    /// The deadline passed.
    Missed {
        confirmed: bool,
    },
    /// The broker did not take it into the live lane, or nobody knows.
    Refused,
}

/// Answers a function; `None` is one that the table does not know, and counts as a read.
pub async fn answer_function(state: &State, request: &Verified<Retell>, function: Option<Function>, headers: &HeaderMap) -> (Outcome, Response) {
    let kind = function.map_or(Kind::RetellFunctionUnknown, Kind::RetellFunction);
    let sentence = function.map_or(UNKNOWN_FUNCTION_SENTENCE, |function| function.row().fallback_sentence);
    let limit = state.deadlines.function;
    let mut envelope = with_deadline(state.envelope(kind, request.endpoint(), request.body(), headers), limit);
    if !function.is_some_and(|function| function.row().write) {
        return answer_read(state, &mut envelope, sentence, limit).await;
    }
    // No waiter: no answer could arrive, nobody waits for one.
    let mut durable = false;
    if let Some(waiter) = begin_waiting(state).await {
        match exchange(state, &mut envelope, waiter, limit).await {
            Exchange::Heard(answer) => return (Outcome::Answered, json(StatusCode::OK, answer)),
            Exchange::Missed { confirmed } => durable = confirmed,
            Exchange::Refused => {}
        }
    }
    if !durable && let Err(refusal) = carry_out_later(state, &mut envelope).await {
        return (refusal.into(), not_stored(refusal));
    }
    // Also when this copy says itself that its caller is gone: the one that is worked on may be another, of before Retell's retry, and does not know what the caller heard.
    if note_missed_answer(state, &envelope, sentence).await {
        fallback(state, Fallback { success: false, pending: true, reason: None, message: sentence })
    } else {
        fallback(state, Fallback { success: false, pending: true, reason: Some("ask_again"), message: ASK_AGAIN })
    }
}

/// Answers a read, or a function that nobody knows: it leaves no result that could come late. So a missed answer is not noted and nothing is kept for later,
/// which would only wait for a result that nobody records and end as a dead letter.
async fn answer_read(state: &State, envelope: &mut Envelope, sentence: &'static str, limit: Duration) -> (Outcome, Response) {
    if let Some(waiter) = begin_waiting(state).await
        && let Exchange::Heard(answer) = exchange(state, envelope, waiter, limit).await
    {
        return (Outcome::Answered, json(StatusCode::OK, answer));
    }
    fallback(state, Fallback { success: false, pending: false, reason: None, message: sentence })
}

/// Answers call_inbound. It fails open: the phone rings while we think, and an agent without our variables is better than none.
pub async fn answer_call_inbound(state: &State, request: &Verified<Retell>, headers: &HeaderMap) -> (Outcome, Response) {
    let limit = state.deadlines.call_inbound;
    let mut envelope = with_deadline(state.envelope(Kind::RetellCallInbound, request.endpoint(), request.body(), headers), limit);
    let attempt = async {
        let waiter = begin_waiting(state).await?;
        match exchange(state, &mut envelope, waiter, limit).await {
            Exchange::Heard(answer) => Some(answer),
            Exchange::Missed { .. } | Exchange::Refused => None,
        }
    };
    // Nothing is kept for later: once the phone is picked up, this question has no meaning any more.
    match tokio::time::timeout(limit, attempt).await {
        Ok(Some(answer)) => (Outcome::Answered, json(StatusCode::OK, answer)),
        Ok(None) | Err(_) => {
            state.metrics.answers_missed.inc();
            (Outcome::Fallback, json(StatusCode::OK, CALL_INBOUND_UNKNOWN))
        }
    }
}

/// `None` if no answer could arrive. While the broker is away the caller hears the fallback at once instead of after a wait.
async fn begin_waiting(state: &State) -> Option<Waiter> {
    if state.intake.broker_is_ready() { state.waiters.begin().await } else { None }
}

fn with_deadline(mut envelope: Envelope, limit: Duration) -> Envelope {
    envelope.deadline = chrono::Duration::from_std(limit).ok().and_then(|limit| envelope.received_at.checked_add_signed(limit));
    envelope
}

/// Publishes to the live lane and waits; the answer may overtake the broker's confirm.
async fn exchange(state: &State, envelope: &mut Envelope, mut waiter: Waiter, limit: Duration) -> Exchange {
    envelope.reply_to = Some(waiter.reply_to());
    let deadline = Instant::now() + limit;
    let queue = topology::queue(envelope.kind.role(), Lane::Live);
    let mut publish = std::pin::pin!(state.intake.publish(&queue, envelope));
    let mut confirmed = false;
    loop {
        tokio::select! {
            biased;
            answer = waiter.answer() => return Exchange::Heard(answer),
            result = &mut publish, if !confirmed => match result {
                Ok(()) => confirmed = true,
                Err(_) => return Exchange::Refused,
            },
            () = tokio::time::sleep_until(deadline) => return Exchange::Missed { confirmed },
        }
    }
}

/// The wish goes to the bulk lane: the caller hears the fallback now, and the work is done all the same.
async fn carry_out_later(state: &State, envelope: &mut Envelope) -> Result<(), Refusal> {
    envelope.caller_gone = true;
    envelope.reply_to = None;
    let queue = topology::queue(envelope.kind.role(), Lane::Bulk);
    state.intake.accept(&queue, envelope).await
}

/// Tells the workers what the caller heard instead of the answer: whichever of result and note comes second calls back (architecture section 6).
/// `false`: neither broker nor spool took it in time, nobody will call.
async fn note_missed_answer(state: &State, about: &Envelope, sentence: &str) -> bool {
    let function = about.kind.name();
    let body = AnswerMissed {
        message_id: about.message_id.as_str(),
        function: function.rsplit('.').next().unwrap_or(&function),
        sentence,
        endpoint: about.endpoint,
        answered_at: state.clock.now(),
    };
    // A struct of texts and an instant always has a JSON form; an empty note would be a dead letter, which is loud enough.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    // A retry of the same request may be missed as well: that is another note.
    let key = about.reply_to.as_ref().map_or(uuid::Uuid::nil(), |to| to.correlation_id);
    let note = Envelope {
        message_id: MessageId::of_own("function.answer_missed", &[about.message_id.as_str().as_bytes(), key.as_bytes()].concat()),
        kind: Kind::FunctionAnswerMissed,
        schema_version: SCHEMA_VERSION,
        endpoint: about.endpoint,
        received_at: state.clock.now(),
        attempt: 1,
        deadline: None,
        reply_to: None,
        traceparent: about.traceparent.clone(),
        caller_gone: false,
        body: body.into(),
    };
    let queue = topology::queue(note.kind.role(), Lane::Bulk);
    // A refusal is logged and counted in there. The wish itself is safe.
    match tokio::time::timeout(NOTE_DEADLINE, state.intake.accept(&queue, &note)).await {
        Ok(stored) => stored.is_ok(),
        Err(_) => {
            tracing::error!(message.id = %about.message_id, "the note about a missed answer was not stored in time");
            false
        }
    }
}

/// `pending`: the wish is kept and will be carried out.
fn fallback(state: &State, fallback: Fallback) -> (Outcome, Response) {
    state.metrics.answers_missed.inc();
    (Outcome::Fallback, spoken(StatusCode::OK, fallback))
}

/// Nothing is promised, because nothing was stored.
fn not_stored(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    let sentence = spoken(response.status(), Fallback { success: false, pending: false, reason: None, message: UNKNOWN_FUNCTION_SENTENCE });
    *response.body_mut() = sentence.into_body();
    response
}

/// A function whose tool sends its arguments only. It is parked; the caller hears that it did not work, the operator reads why.
#[must_use]
pub fn refuse_args_at_root() -> Response {
    let body = serde_json::json!({
        "success": false,
        "message": UNKNOWN_FUNCTION_SENTENCE,
        "error": "this tool sends its arguments only: turn off \"payload: args only\" (args_at_root), so that the call is part of the signed body",
    });
    json(StatusCode::OK, body.to_string())
}

fn spoken(status: StatusCode, fallback: Fallback) -> Response {
    json(status, serde_json::to_vec(&fallback).unwrap_or_default())
}

fn json(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body.into()).into_response()
}
