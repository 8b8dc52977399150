//! The admin API: everything that the handle can do, over HTTP and without a key, for the story, the CLI and processes
//! of other languages. Lies below `/admin`; every other path goes to the API.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::echo::EchoOrder;
use super::errors::ApiError;
use super::faults::FaultRule;
use super::model::{ApiKey, Booking, By, EventType, Host, Webhook};
use super::replica::ReplicaLag;
use super::visitor::{VisitorBooking, VisitorCancel, VisitorMove};
use super::webhook_faults::WebhookFaults;
use super::{Inner, api};

type Shared = State<Arc<Inner>>;

pub fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/admin/health", get(|| async { "ok" }))
        .route("/admin/hosts", post(add_host))
        .route("/admin/event-types", post(add_event_type))
        .route("/admin/api-keys", post(add_api_key))
        .route("/admin/webhooks", post(add_webhook))
        .route("/admin/webhooks/ping", post(ping))
        .route("/admin/reset", post(reset))
        .route("/admin/ledger", get(|State(inner): Shared| async move { Json(inner.state().ledger.changes.clone()) }))
        .route("/admin/requests", get(|State(inner): Shared| async move { Json(inner.state().ledger.requests.clone()) }))
        .route("/admin/deliveries", get(|State(inner): Shared| async move { Json(inner.state().ledger.deliveries.clone()) }))
        .route("/admin/bookings", get(bookings))
        .route("/admin/clock", post(clock))
        .route("/admin/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/admin/faults/fired", get(|State(inner): Shared| async move { Json(inner.state().faults_fired()) }))
        .route("/admin/webhook-faults", get(webhook_faults).post(set_webhook_faults).delete(clear_webhook_faults))
        .route("/admin/replica", post(set_replica_lag).delete(clear_replica_lag))
        .route("/admin/echo", post(echo))
        .route("/admin/echo/release", post(release))
        .route("/admin/visitor/book", post(visitor_book))
        .route("/admin/visitor/reschedule", post(visitor_reschedule))
        .route("/admin/visitor/cancel", post(visitor_cancel))
        .route("/admin/visitor/decide", post(host_decides))
        .fallback(|State(inner): Shared, request: Request| api::serve(inner, request))
        .with_state(inner)
}

async fn add_host(State(inner): Shared, Json(host): Json<Host>) -> StatusCode {
    inner.state().hosts.insert(host.id, host);
    StatusCode::NO_CONTENT
}

async fn add_event_type(State(inner): Shared, Json(event): Json<EventType>) -> StatusCode {
    inner.state().event_types.insert(event.id, event);
    StatusCode::NO_CONTENT
}

async fn add_api_key(State(inner): Shared, Json(key): Json<ApiKey>) -> StatusCode {
    let mut state = inner.state();
    state.keys.retain(|known| known.key != key.key);
    state.keys.push(key);
    StatusCode::NO_CONTENT
}

/// Answers the id, which may be left out of the request.
async fn add_webhook(State(inner): Shared, Json(hook): Json<Webhook>) -> Json<Value> {
    let mut state = inner.state();
    let id = hook.id.clone();
    state.webhooks.retain(|known| known.id != id);
    state.webhooks.push(hook);
    Json(json!({"id": id}))
}

async fn ping(State(inner): Shared) -> StatusCode {
    inner.ping().await;
    StatusCode::NO_CONTENT
}

async fn reset(State(inner): Shared) -> StatusCode {
    inner.state().reset_history(inner.config.seed);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    live: bool,
}

async fn bookings(State(inner): Shared, Query(which): Query<Which>) -> Json<Vec<Booking>> {
    let state = inner.state();
    let wanted = |booking: &&Booking| !which.live || booking.status.is_live();
    Json(state.bookings.values().filter(wanted).cloned().collect())
}

#[derive(Deserialize)]
struct Offset {
    offset_ms: i64,
}

async fn clock(State(inner): Shared, Json(offset): Json<Offset>) -> StatusCode {
    inner.clock.set_offset_ms(offset.offset_ms);
    StatusCode::NO_CONTENT
}

async fn faults(State(inner): Shared) -> Json<Vec<FaultRule>> {
    Json(inner.state().faults.rules().to_vec())
}

async fn add_faults(State(inner): Shared, Json(rules): Json<Vec<FaultRule>>) -> StatusCode {
    inner.state().faults.add(rules);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(inner): Shared) -> StatusCode {
    inner.state().faults.clear();
    StatusCode::NO_CONTENT
}

async fn webhook_faults(State(inner): Shared) -> Json<WebhookFaults> {
    Json(inner.state().webhook_dice.set.clone())
}

async fn set_webhook_faults(State(inner): Shared, Json(faults): Json<WebhookFaults>) -> StatusCode {
    inner.state().webhook_dice.set(faults);
    StatusCode::NO_CONTENT
}

async fn clear_webhook_faults(State(inner): Shared) -> StatusCode {
    inner.state().webhook_dice.set(WebhookFaults::default());
    StatusCode::NO_CONTENT
}

async fn set_replica_lag(State(inner): Shared, Json(lag): Json<ReplicaLag>) -> StatusCode {
    inner.state().replica.lag = Some(lag);
    StatusCode::NO_CONTENT
}

async fn clear_replica_lag(State(inner): Shared) -> StatusCode {
    inner.state().replica.lag = None;
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Barrier {
    order: EchoOrder,
}

async fn echo(State(inner): Shared, Json(barrier): Json<Barrier>) -> StatusCode {
    inner.state().echo.order = barrier.order;
    StatusCode::NO_CONTENT
}

async fn release(State(inner): Shared) -> Json<Value> {
    Json(json!({"released": inner.release().await}))
}

async fn visitor_book(State(inner): Shared, Json(wish): Json<VisitorBooking>) -> Response {
    shown(inner.visitor_book(wish).await, &inner)
}

async fn visitor_reschedule(State(inner): Shared, Json(wish): Json<VisitorMove>) -> Response {
    shown(inner.visitor_reschedule(wish).await, &inner)
}

async fn visitor_cancel(State(inner): Shared, Json(wish): Json<VisitorCancel>) -> Response {
    shown(inner.visitor_cancel(wish).await, &inner)
}

#[derive(Deserialize)]
struct Decision {
    uid: String,
    accept: bool,
    #[serde(default)]
    reason: Option<String>,
}

async fn host_decides(State(inner): Shared, Json(order): Json<Decision>) -> Response {
    let decided = inner.decide(&order.uid, order.accept, order.reason, By::Host, None).await;
    shown(decided.map(|(booking, _)| booking), &inner)
}

fn shown(result: Result<Booking, ApiError>, inner: &Inner) -> Response {
    match result {
        Ok(booking) => Json(booking).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Json(error.body("/admin", inner.clock.now()))).into_response()
        }
    }
}
