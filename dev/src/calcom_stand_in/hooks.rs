//! /v2/webhooks: create, read, change, delete (1.4). Takes no version header and echoes the secret in clear.

use serde_json::{Value, json};

use super::api::{ApiResult, Call, Reply, not_here};
use super::errors::ApiError;
use super::model::{Webhook, webhook_id};
use super::output::{success, webhook_output};
use super::state::State;

/// The enum of March 2026 (1.5); documented examples outside it are refused, as in the original.
const TRIGGERS: [&str; 21] = [
    "BOOKING_CREATED",
    "BOOKING_PAYMENT_INITIATED",
    "BOOKING_PAID",
    "BOOKING_RESCHEDULED",
    "BOOKING_REQUESTED",
    "BOOKING_CANCELLED",
    "BOOKING_REJECTED",
    "BOOKING_NO_SHOW_UPDATED",
    "FORM_SUBMITTED",
    "MEETING_ENDED",
    "MEETING_STARTED",
    "RECORDING_READY",
    "INSTANT_MEETING",
    "RECORDING_TRANSCRIPTION_GENERATED",
    "OOO_CREATED",
    "AFTER_HOSTS_CAL_VIDEO_NO_SHOW",
    "AFTER_GUESTS_CAL_VIDEO_NO_SHOW",
    "FORM_SUBMITTED_NO_EVENT",
    "ROUTING_FORM_FALLBACK_HIT",
    "DELEGATION_CREDENTIAL_ERROR",
    "WRONG_ASSIGNMENT_REPORT",
];

pub fn operate(call: &Call<'_>) -> ApiResult {
    let mut state = call.inner.state();
    match (call.method, call.segments) {
        ("POST", ["webhooks"]) => create(call, &mut state),
        ("GET", ["webhooks"]) => {
            let mine: Vec<Value> = state.webhooks.iter().filter(|hook| is_mine(call, hook)).map(webhook_output).collect();
            Ok(Reply::ok(success(json!(mine))))
        }
        ("GET", ["webhooks", id]) => Ok(Reply::ok(success(webhook_output(find(call, &mut state, id)?)))),
        ("PATCH", ["webhooks", id]) => change(call, &mut state, id),
        ("DELETE", ["webhooks", id]) => {
            let gone = find(call, &mut state, id)?.clone();
            state.webhooks.retain(|hook| hook.id != gone.id);
            Ok(Reply::ok(success(webhook_output(&gone))))
        }
        _ => Err(not_here(call)),
    }
}

fn create(call: &Call<'_>, state: &mut State) -> ApiResult {
    let body = body(call)?;
    let url = body.get("subscriberUrl").and_then(Value::as_str);
    let url = url.ok_or_else(|| ApiError::validation("subscriberUrl", "isString", "subscriberUrl must be a string"))?;
    let active = body.get("active").and_then(Value::as_bool);
    let active = active.ok_or_else(|| ApiError::validation("active", "isBoolean", "active must be a boolean value"))?;
    let triggers = triggers(&body)?.ok_or_else(|| ApiError::validation("triggers", "isArray", "triggers must be an array"))?;
    let user_id = call.key.as_ref().and_then(|key| key.user_id);
    if state.webhooks.iter().any(|hook| hook.user_id == user_id && hook.subscriber_url == url) {
        let message = "Webhook with this subscriber url already exists for this user";
        return Err(ApiError::named(409, message));
    }
    let hook = Webhook {
        id: webhook_id(),
        user_id,
        event_type_id: None,
        subscriber_url: url.to_owned(),
        secret: body.get("secret").and_then(Value::as_str).map(str::to_owned),
        triggers,
        active,
    };
    let data = webhook_output(&hook);
    state.webhooks.push(hook);
    Ok(Reply { status: 201, body: success(data), later: Vec::new() })
}

fn change(call: &Call<'_>, state: &mut State, id: &str) -> ApiResult {
    let body = body(call)?;
    let triggers = triggers(&body)?;
    let hook = find(call, state, id)?;
    if let Some(triggers) = triggers {
        hook.triggers = triggers;
    }
    if let Some(url) = body.get("subscriberUrl").and_then(Value::as_str) {
        hook.subscriber_url = url.to_owned();
    }
    if let Some(secret) = body.get("secret") {
        hook.secret = secret.as_str().map(str::to_owned);
    }
    hook.active = body.get("active").and_then(Value::as_bool).unwrap_or(hook.active);
    Ok(Reply::ok(success(webhook_output(hook))))
}

fn is_mine(call: &Call<'_>, hook: &Webhook) -> bool {
    let user = call.key.as_ref().and_then(|key| key.user_id);
    user.is_none() || hook.user_id == user
}

fn find<'a>(call: &Call<'_>, state: &'a mut State, id: &str) -> Result<&'a mut Webhook, ApiError> {
    let mut mine = state.webhooks.iter_mut().filter(|hook| is_mine(call, hook));
    mine.find(|hook| hook.id == id).ok_or_else(|| ApiError::named(404, format!("Webhook ({id}) not found")))
}

fn triggers(body: &Value) -> Result<Option<Vec<String>>, ApiError> {
    let Some(list) = body.get("triggers") else {
        return Ok(None);
    };
    let names: Option<Vec<&str>> = list.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    match names {
        Some(names) if names.iter().all(|name| TRIGGERS.contains(name)) => Ok(Some(names.into_iter().map(str::to_owned).collect())),
        _ => Err(ApiError::validation("triggers", "isEnum", "each value in triggers must be one of the known triggers")),
    }
}

fn body(call: &Call<'_>) -> Result<Value, ApiError> {
    serde_json::from_slice(call.body).map_err(|_| ApiError::named(400, "Body is not valid JSON"))
}
