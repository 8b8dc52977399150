//! The part of Retell's REST API that a client of frontdesk needs (get-call, list-calls, update-live-call; definitions have their own file), and the admin API of the
//! stand-in below `/admin`. Errors as in reference/retell.md 6: an unknown id is a 422, not a 404.

use std::sync::{Arc, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::deliver::{AnswerEntry, Target, WebhookEntry};
use super::list;
use super::script::{Played, Script};
use super::{Inner, LiveUpdate};
use crate::stand_in::json_order::OrderedMap;

use crate::calcom_stand_in::WebhookFaults;

type Shared = State<Arc<Inner>>;

/// Load runs ask a lot; beyond this the oldest entries are forgotten.
const LISTED_MAX: usize = 100_000;

/// One request of the REST part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestEntry {
    pub at: DateTime<Utc>,
    /// `get-call`, `list-calls`, `update-live-call`.
    pub operation: String,
    pub call_id: Option<String>,
    /// Whether a fault answered.
    pub failed: bool,
}

/// An answer instead of the right one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RestFault {
    pub status: u16,
    /// The header of a 429.
    #[serde(default)]
    pub retry_after_seconds: Option<u32>,
}

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/admin/health", get(|| async { "ok" }))
        .route("/admin/calls", post(play))
        .route("/admin/target", post(target))
        .route("/admin/ledger", get(ledger))
        .route("/admin/live-updates", get(live_updates))
        .route("/admin/webhooks", get(webhooks))
        .route("/admin/webhook-faults", post(webhook_faults))
        .route("/admin/requests", get(requests))
        .route("/admin/request-faults", post(request_faults))
        .route("/v2/get-call/{call_id}", get(get_call))
        .route("/v3/list-calls", post(list_calls))
        .route("/v2/update-live-call/{call_id}", patch(update_live_call))
        .merge(super::definitions::router())
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "Not Found") })
        .with_state(inner)
}

async fn play(State(inner): Shared, Json(script): Json<Script>) -> Json<Played> {
    Json(inner.play(script).await)
}

async fn target(State(inner): Shared, Json(target): Json<Target>) -> StatusCode {
    inner.memory().aim(target);
    StatusCode::NO_CONTENT
}

async fn ledger(State(inner): Shared) -> Json<Vec<AnswerEntry>> {
    Json(inner.memory().ledger.clone())
}

async fn live_updates(State(inner): Shared) -> Json<Vec<LiveUpdate>> {
    Json(inner.memory().live_updates.clone())
}

async fn webhooks(State(inner): Shared) -> Json<Vec<WebhookEntry>> {
    Json(inner.memory().webhooks.clone())
}

async fn webhook_faults(State(inner): Shared, Json(faults): Json<WebhookFaults>) -> StatusCode {
    inner.memory().webhook_dice.set(faults);
    StatusCode::NO_CONTENT
}

async fn requests(State(inner): Shared) -> Json<Vec<RestEntry>> {
    Json(inner.memory().requests.clone())
}

async fn request_faults(State(inner): Shared, Json(faults): Json<Vec<RestFault>>) -> StatusCode {
    inner.memory().rest_faults.extend(faults);
    StatusCode::NO_CONTENT
}

async fn list_calls(State(inner): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Some(refused) = refused(&inner, &headers, "list-calls", None) {
        return refused;
    }
    let calls: Vec<_> = inner.memory().calls.values().cloned().collect();
    let calls = calls.iter().map(|call| call.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect();
    match list::page(calls, &body) {
        Ok(page) => Json(page).into_response(),
        Err(message) => failure(StatusCode::BAD_REQUEST, message),
    }
}

async fn get_call(State(inner): Shared, Path(call_id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = refused(&inner, &headers, "get-call", Some(&call_id)) {
        return refused;
    }
    let call = inner.memory().calls.get(&call_id).cloned();
    match call {
        Some(call) => Json(call.lock().unwrap_or_else(PoisonError::into_inner).clone()).into_response(),
        None => unknown(),
    }
}

async fn update_live_call(State(inner): Shared, Path(call_id): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Some(refused) = refused(&inner, &headers, "update-live-call", Some(&call_id)) {
        return refused;
    }
    let Some(call) = inner.memory().calls.get(&call_id).cloned() else {
        return unknown();
    };
    let map = |name: &str| {
        let found = body.get(name).cloned().unwrap_or_else(|| json!({}));
        serde_json::from_value::<OrderedMap>(found).ok()
    };
    let (Some(variables), Some(metadata)) = (map("override_dynamic_variables"), map("metadata")) else {
        return failure(StatusCode::BAD_REQUEST, "Invalid request format, please check API reference.");
    };
    {
        let mut call = call.lock().unwrap_or_else(PoisonError::into_inner);
        if call.call_status != "ongoing" {
            return failure(StatusCode::BAD_REQUEST, "Call is not ongoing.");
        }
        for (key, value) in variables.0 {
            call.retell_llm_dynamic_variables.insert(&key, value);
        }
        for (key, value) in metadata.0 {
            call.metadata.insert(&key, value);
        }
    }
    inner.memory().live_updates.push(LiveUpdate { at: inner.config.clock.now(), call_id, body });
    let call = call.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Json(call).into_response()
}

/// Without a key, or because a fault wants it so; noted either way.
pub(super) fn refused(inner: &Inner, headers: &HeaderMap, operation: &str, call_id: Option<&str>) -> Option<Response> {
    if let Some(refused) = unauthorized(inner, headers) {
        return Some(refused);
    }
    let at = inner.config.clock.now();
    let mut memory = inner.memory();
    let broken = call_id.and_then(|id| memory.broken_calls.get(id)).map(|status| RestFault { status: *status, retry_after_seconds: None });
    let fault = memory.rest_faults.pop_front().or(broken);
    if memory.requests.len() >= LISTED_MAX {
        memory.requests.drain(..LISTED_MAX / 10);
    }
    memory.requests.push(RestEntry { at, operation: operation.to_owned(), call_id: call_id.map(str::to_owned), failed: fault.is_some() });
    let fault = fault?;
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = failure(status, "Account rate limited, please throttle your requests.");
    if let Some(seconds) = fault.retry_after_seconds {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    Some(response)
}

fn unauthorized(inner: &Inner, headers: &HeaderMap) -> Option<Response> {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let key = header.and_then(|header| header.strip_prefix("Bearer "));
    let known = key.is_some_and(|key| inner.memory().keys.contains(key));
    (!known).then(|| failure(StatusCode::UNAUTHORIZED, "API key is missing or invalid."))
}

pub(super) fn unknown() -> Response {
    failure(StatusCode::UNPROCESSABLE_ENTITY, "Cannot find requested asset under given api key.")
}

pub(super) fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"status": "error", "message": message}))).into_response()
}
