//! The path of one API request: list it, know the key, count it, meet a fault, do it, answer. The operations themselves
//! stand in `bookings_api`, `list`, `slots` and `hooks`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::Inner;
use super::echo::Echo;
use super::errors::ApiError;
use super::faults::{FaultKind, FaultOp};
use super::ledger::RequestEntry;
use super::limiter::Verdict;
use super::model::{ApiKey, random_uuid};
use super::replay::replay;
use crate::stand_in::server::{DropConnection, OnAnswered};

/// Pieces of an answer that drips.
const DRIPS: usize = 10;

/// A request with what its operation needs.
pub struct Call<'a> {
    pub inner: &'a Inner,
    pub method: &'a str,
    /// Below `/v2`.
    pub segments: &'a [&'a str],
    pub query: Vec<(String, String)>,
    pub body: &'a [u8],
    pub key: Option<ApiKey>,
    /// Of `cal-api-version`.
    pub version: Option<&'a str>,
    pub request_id: &'a str,
}

impl Call<'_> {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Which moment this read shows; nothing = now.
    pub fn moment(&self) -> Option<DateTime<Utc>> {
        self.inner.state().replica.moment(self.inner.clock.now())
    }

    /// Whether this request has changed a booking: a fault "after commit" is none without a commit.
    fn has_committed(&self) -> bool {
        self.inner.state().ledger.was_changed_by(self.request_id)
    }

    fn feel(&self, fault: FaultKind, felt: bool) {
        if felt {
            self.inner.state().faults.feel(fault);
        }
    }
}

/// An answer, and the webhooks that may only follow it.
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub later: Vec<Echo>,
}

impl Reply {
    pub fn ok(body: Value) -> Self {
        Self { status: 200, body, later: Vec::new() }
    }
}

pub type ApiResult = Result<Reply, ApiError>;

/// How the request ends on the wire.
enum End {
    Answer(ApiResult),
    Drop(Vec<Echo>),
    Drip(ApiResult, Duration),
}

/// What the list of requests says of one beside its answer.
#[derive(Default)]
struct Noted {
    key_name: Option<String>,
    fault: Option<FaultKind>,
}

pub async fn serve(inner: Arc<Inner>, request: Request<Body>) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    // The server has already read and bounded it.
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let request_id = random_uuid();
    let (seq, at) = (inner.state().ledger.next_seq(), inner.clock.now());
    let path = parts.uri.path().to_owned();
    let mut noted = Noted::default();
    let (end, verdict) = judge(&inner, &parts, &body, &request_id, &mut noted).await;
    let encoded = |result: ApiResult| match result {
        Ok(reply) => (encode(reply.status, &reply.body), reply.later),
        Err(error) => (encode(error.status, &error.body(&path, at)), Vec::new()),
    };
    let (mut response, later) = match end {
        End::Answer(result) => encoded(result),
        End::Drip(result, over) => {
            let (response, later) = encoded(result);
            (drip(response, over).await, later)
        }
        End::Drop(later) => {
            let mut response = StatusCode::BAD_GATEWAY.into_response();
            response.extensions_mut().insert(DropConnection);
            (response, later)
        }
    };
    add_headers(response.headers_mut(), verdict, &request_id);
    let dropped = response.extensions().get::<DropConnection>().is_some();
    {
        let mut state = inner.state();
        let answered_seq = state.ledger.next_seq();
        state.ledger.request(RequestEntry {
            seq,
            answered_seq,
            at,
            took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_id,
            method: parts.method.to_string(),
            path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            status: if dropped { 0 } else { response.status().as_u16() },
            key_name: noted.key_name,
            fault: noted.fault,
        });
    }
    if !later.is_empty() {
        send_after(inner, later, &mut response);
    }
    response
}

/// Key, limiter, fault, operation: in the order in which Cal.com looks at them.
async fn judge(inner: &Inner, parts: &Parts, body: &Bytes, request_id: &str, noted: &mut Noted) -> (End, Option<Verdict>) {
    let segments = segments(&parts.uri);
    let Some(segments) = segments.as_deref() else {
        let message = format!("Cannot {} {}", parts.method, parts.uri.path());
        return (End::Answer(Err(ApiError::named(404, message))), None);
    };
    let key = match authenticate(inner, parts, segments) {
        Ok(key) => key,
        Err(error) => return (End::Answer(Err(error)), None),
    };
    noted.key_name = key.as_ref().map(|key| key.name.clone());
    let verdict = count(inner, key.as_ref());
    if !verdict.allowed {
        return (End::Answer(Err(ApiError::throttled())), Some(verdict));
    }
    let Query(query) = Query::try_from_uri(&parts.uri).unwrap_or_default();
    let call = Call {
        inner,
        method: parts.method.as_str(),
        segments,
        query,
        body,
        key,
        version: parts.headers.get("cal-api-version").and_then(|value| value.to_str().ok()),
        request_id,
    };
    let fault = inner.state().faults.next(FaultOp::of(&parts.method, segments));
    noted.fault = fault;
    match fault {
        Some(fault @ FaultKind::Throttle429 { reset_seconds }) => {
            call.feel(fault, true);
            let verdict = Verdict { allowed: false, remaining: 0, reset_seconds, ..verdict };
            (End::Answer(Err(ApiError::throttled())), Some(verdict))
        }
        Some(fault) => (with_fault(&call, fault).await, Some(verdict)),
        None => (End::Answer(operate(&call).await), Some(verdict)),
    }
}

/// Counts it as felt where it makes a difference, and before any waiting: the client may be gone by then.
async fn with_fault(call: &Call<'_>, fault: FaultKind) -> End {
    let broken = |status| ApiError::shape_b(status, "Internal server error");
    match fault {
        FaultKind::ErrorBefore { status } => {
            call.feel(fault, true);
            End::Answer(Err(broken(status)))
        }
        FaultKind::ErrorAfter { status } => {
            let later = operate(call).await.map(|reply| reply.later).unwrap_or_default();
            call.feel(fault, call.has_committed());
            let body = broken(status).body("", call.inner.clock.now());
            End::Answer(Ok(Reply { status, body, later }))
        }
        FaultKind::HangBefore { ms } => {
            call.feel(fault, true);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            End::Answer(Err(ApiError::shape_b(504, "Gateway Timeout")))
        }
        FaultKind::HangAfter { ms } => {
            let result = operate(call).await;
            call.feel(fault, call.has_committed());
            tokio::time::sleep(Duration::from_millis(ms)).await;
            End::Answer(result)
        }
        FaultKind::Slow { ms } => {
            call.feel(fault, true);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            End::Answer(operate(call).await)
        }
        FaultKind::DropConnectionAfter => {
            let later = operate(call).await.map(|reply| reply.later).unwrap_or_default();
            call.feel(fault, call.has_committed());
            End::Drop(later)
        }
        FaultKind::Throttle429 { .. } => End::Answer(Err(ApiError::throttled())),
        FaultKind::ReplayOld { whose } => match replay(call, whose) {
            Some(answer) => {
                call.feel(fault, true);
                End::Answer(answer)
            }
            None => End::Answer(operate(call).await),
        },
        // Valid JSON in Cal.com's frame, but nothing in it is where it should be.
        FaultKind::WrongSchema => {
            let result = operate(call).await;
            call.feel(fault, result.is_ok());
            End::Answer(result.map(|reply| Reply { body: json!({"status": "success", "data": {"booking": null}}), ..reply }))
        }
        FaultKind::SlowDrip { ms } => {
            call.feel(fault, true);
            End::Drip(operate(call).await, Duration::from_millis(ms))
        }
    }
}

async fn operate(call: &Call<'_>) -> ApiResult {
    match call.segments {
        ["bookings", ..] => super::bookings_api::operate(call).await,
        ["event-types", ..] | ["me"] => super::slots::event_types(call),
        ["slots"] => super::slots::slots(call),
        ["webhooks", ..] => super::hooks::operate(call),
        _ => Err(not_here(call)),
    }
}

pub fn not_here(call: &Call<'_>) -> ApiError {
    ApiError::named(404, format!("Cannot {} /v2/{}", call.method, call.segments.join("/")))
}

/// What follows `/v2/`, whatever stands before it: self-hosted installations have a path prefix (section 6).
fn segments(uri: &Uri) -> Option<Vec<&str>> {
    let (_, below) = uri.path().split_once("/v2/")?;
    Some(below.split('/').filter(|segment| !segment.is_empty()).collect())
}

/// Knowing a uid is enough to read, move or cancel that booking (3.2); everything else needs a key.
fn authenticate(inner: &Inner, parts: &Parts, segments: &[&str]) -> Result<Option<ApiKey>, ApiError> {
    let header = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let Some(header) = header else {
        let by_uid = match segments {
            ["bookings", _] => parts.method == Method::GET,
            ["bookings", _, "reschedule" | "cancel"] => parts.method == Method::POST,
            _ => false,
        };
        return if by_uid { Ok(None) } else { Err(ApiError::unauthorized()) };
    };
    let text = header.strip_prefix("Bearer ").ok_or_else(ApiError::unauthorized)?;
    let state = inner.state();
    let key = state.keys.iter().find(|key| key.key == text).cloned();
    key.map(Some).ok_or_else(ApiError::unauthorized)
}

fn count(inner: &Inner, key: Option<&ApiKey>) -> Verdict {
    let now_ms = inner.clock.now_ms();
    let name = key.map_or("without a key", |key| key.key.as_str());
    let own = key.and_then(|key| key.rate_per_window);
    inner.state().limiter.take(name, inner.config.limits, own, now_ms)
}

/// Waits until the answer has left (or its connection is gone), then sends.
fn send_after(inner: Arc<Inner>, later: Vec<Echo>, response: &mut Response) {
    let (on_answered, answered) = OnAnswered::new();
    response.extensions_mut().insert(on_answered);
    tokio::spawn(async move {
        // An error means that the response was dropped unsent: there is no answer to wait for any more.
        let _ = answered.await;
        tokio::time::sleep(inner.config.echo_after_grace).await;
        for echo in &later {
            inner.deliver(echo).await;
        }
    });
}

/// The same answer in ten pieces with pauses between them.
async fn drip(response: Response, over: Duration) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let size = bytes.len().div_ceil(DRIPS).max(1);
    let pieces: Vec<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    let stream = futures_util::stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(over / DRIPS as u32).await;
        Ok::<_, std::io::Error>(piece)
    });
    Response::from_parts(parts, Body::from_stream(stream))
}

fn encode(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(body)).into_response()
}

fn add_headers(headers: &mut HeaderMap, verdict: Option<Verdict>, request_id: &str) {
    if let Some(verdict) = verdict {
        headers.insert("x-ratelimit-limit-default", verdict.limit.into());
        headers.insert("x-ratelimit-remaining-default", verdict.remaining.into());
        headers.insert("x-ratelimit-reset-default", verdict.reset_seconds.into());
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", value);
    }
}
