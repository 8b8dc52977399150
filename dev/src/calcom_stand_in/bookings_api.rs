//! The bookings family of API v2: create, get, reschedule, cancel, confirm, decline, mark absent (3.3, 3.7 to 3.9); the
//! list has its own file. Any version header but the known ones falls to the old shapes without a word (3.1).

use serde_json::{Value, json};

use super::api::{ApiResult, Call, Reply, not_here};
use super::book::Booked;
use super::decide::Cancellation;
use super::errors::ApiError;
use super::model::{Booking, By};
use super::order;
use super::output::success;
use super::payload::no_show_payload;
use super::reschedule::Move;
use super::state::State;

const VERSIONS: [&str; 2] = ["2024-08-13", "2026-02-25"];

pub async fn operate(call: &Call<'_>) -> ApiResult {
    let current = call.version.is_some_and(|version| VERSIONS.contains(&version));
    match (call.method, call.segments) {
        ("GET", ["bookings"]) if current => super::list::list(call),
        ("GET", ["bookings"]) => super::list::list_old_shape(call),
        ("GET", ["bookings", uid]) => get(call, uid, current),
        ("POST", ["bookings"]) if current => create(call).await,
        // The old create wants `responses` and would refuse the new body.
        ("POST", ["bookings"]) => Err(ApiError::validation("responses", "isObject", "responses must be an object")),
        ("POST", ["bookings", uid, "reschedule"]) if current => reschedule(call, uid).await,
        ("POST", ["bookings", uid, "cancel"]) if current => cancel(call, uid).await,
        ("POST", ["bookings", uid, "confirm"]) if current => decide(call, uid, true).await,
        ("POST", ["bookings", uid, "decline"]) if current => decide(call, uid, false).await,
        ("POST", ["bookings", uid, "mark-absent"]) if current => mark_absent(call, uid).await,
        _ => Err(not_here(call)),
    }
}

async fn create(call: &Call<'_>) -> ApiResult {
    let (data, echo) = {
        let now = call.inner.clock.now();
        let mut state = call.inner.state();
        let order = order::parse(&state, call.body)?;
        match state.book(&order, Some(call.request_id), now)? {
            Booked::New(uid) => (output(&state, &uid)?, state.made_echo(&uid, None, now)),
            Booked::Existing(uid) => (output(&state, &uid)?, None),
            Booked::Seat { uid, seat_uid } => {
                let mut data = output(&state, &uid)?;
                data["seatUid"] = json!(seat_uid);
                (data, state.made_echo(&uid, Some(&seat_uid), now))
            }
            // One webhook for the whole series, naming the first (#18072).
            Booked::Series(uids) => {
                let all: Result<Vec<Value>, ApiError> = uids.iter().map(|uid| output(&state, uid)).collect();
                let echo = uids.first().and_then(|uid| state.made_echo(uid, None, now));
                (Value::Array(all?), echo)
            }
        }
    };
    let later = call.inner.announce(echo).await;
    Ok(Reply { status: 201, body: success(data), later })
}

fn get(call: &Call<'_>, uid: &str, current: bool) -> ApiResult {
    let moment = call.moment();
    let state = call.inner.state();
    let view = state.view(moment);
    let shape = |booking: &Booking| match current {
        true => state.booking_output(booking),
        false => state.booking_old_shape(booking),
    };
    let series = view.series(uid);
    if moment.is_some() {
        let truth = state.view(None);
        state.compare_read(series.iter().copied().chain(view.booking(uid)), truth.series(uid).into_iter().chain(truth.booking(uid)));
    }
    if !series.is_empty() {
        return Ok(Reply::ok(success(series.into_iter().map(shape).collect())));
    }
    let booking = view.booking(uid).ok_or_else(|| ApiError::no_booking(uid))?;
    Ok(Reply::ok(success(shape(booking))))
}

async fn reschedule(call: &Call<'_>, uid: &str) -> ApiResult {
    let body = body(call)?;
    if body.get("seatUid").is_some() {
        return Err(ApiError::bare(400, "this stand-in does not move single seats"));
    }
    let start = order::start_of(&body)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let (data, echo) = {
        let now = call.inner.clock.now();
        let mut state = call.inner.state();
        let order = Move {
            uid: uid.to_owned(),
            start,
            reason: text("reschedulingReason"),
            moved_by: text("rescheduledBy").or_else(|| key_email(&state, call, uid)),
            // Without a key it is whoever holds the uid: the visitor.
            by: if call.key.is_some() { By::Api } else { By::Visitor },
        };
        let new = state.reschedule(&order, Some(call.request_id), now)?;
        (output(&state, &new)?, state.moved_echo(&new, now))
    };
    let later = call.inner.announce(echo).await;
    Ok(Reply { status: 201, body: success(data), later })
}

async fn cancel(call: &Call<'_>, uid: &str) -> ApiResult {
    let body = body(call)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let order = Cancellation {
        uid: uid.to_owned(),
        seat_uid: text("seatUid"),
        reason: text("cancellationReason"),
        cancelled_by: key_email(&call.inner.state(), call, uid).unwrap_or_default(),
        by: By::Api,
        host_key: call.key.is_some(),
    };
    let (uids, later) = call.inner.cancel(&order, Some(call.request_id)).await?;
    let state = call.inner.state();
    let data = match uids.as_slice() {
        [only] if only == uid => output(&state, only)?,
        all => Value::Array(all.iter().map(|uid| output(&state, uid)).collect::<Result<_, _>>()?),
    };
    Ok(Reply { status: 200, body: success(data), later })
}

async fn decide(call: &Call<'_>, uid: &str, accept: bool) -> ApiResult {
    let body = body(call)?;
    let reason = body.get("reason").and_then(Value::as_str).map(str::to_owned);
    let (_, later) = call.inner.decide(uid, accept, reason, By::Api, Some(call.request_id)).await?;
    let data = output(&call.inner.state(), uid)?;
    Ok(Reply { status: 200, body: success(data), later })
}

async fn mark_absent(call: &Call<'_>, uid: &str) -> ApiResult {
    let body = body(call)?;
    let marks = body.get("attendees").and_then(Value::as_array).into_iter().flatten();
    let attendees: Vec<(String, bool)> = marks.filter_map(|mark| Some((mark.get("email")?.as_str()?.to_owned(), mark.get("absent")?.as_bool()?))).collect();
    let (data, echo) = {
        let now = call.inner.clock.now();
        let mut state = call.inner.state();
        let host = body.get("host").and_then(Value::as_bool);
        let booking = state.mark_absent(uid, host, &attendees, now)?;
        // A host's absence sends nothing (2.10).
        let payload = if attendees.is_empty() { None } else { no_show_payload(&booking, &attendees) };
        (state.booking_output(&booking), state.echo_of("BOOKING_NO_SHOW_UPDATED", uid, payload, now))
    };
    let later = call.inner.announce(echo).await;
    Ok(Reply { status: 200, body: success(data), later })
}

fn output(state: &State, uid: &str) -> Result<Value, ApiError> {
    let booking = state.booking(uid).ok_or_else(|| ApiError::no_booking(uid))?;
    Ok(state.booking_output(booking))
}

/// The e-mail of the key's user; a key of nobody acts for the organizer.
fn key_email(state: &State, call: &Call<'_>, uid: &str) -> Option<String> {
    let key = call.key.as_ref()?;
    let user = key.user_id.or_else(|| state.booking(uid)?.organizer_id())?;
    state.hosts.get(&user).map(|host| host.email.clone())
}

/// An empty body is an empty object: confirm and decline are sent without one.
fn body(call: &Call<'_>) -> Result<Value, ApiError> {
    if call.body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(call.body).map_err(|_| ApiError::named(400, "Body is not valid JSON"))
}
