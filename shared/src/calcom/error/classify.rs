//! From status, message and headers to a class: the table of reference section 3.13. Tested with the fixtures in `error`.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::Class;
use crate::calcom::transport::header_number;
use crate::telemetry::Masked;

/// The longest wait that a Reset header may ask for; Cal.com blocks for 60 s.
const RESET_MAX: Duration = Duration::from_secs(15 * 60);
/// Cal.com's block when the header is missing.
const RESET_DEFAULT: Duration = Duration::from_secs(60);

pub(super) fn classify(status: u16, message: &str, headers: &HeaderMap) -> Class {
    match status {
        400 => classify_bad_request(message),
        401 => Class::CredentialRejected,
        // of this one request: a booking that the key may not touch says nothing about the key
        403 => Class::Refused,
        404 => Class::NotFound,
        409 if message.contains("no more seats") => Class::SlotTaken,
        409 => Class::Conflict,
        422 if message.contains("reserved") || message.contains("already booked") || message.contains("seats left") => Class::SlotTaken,
        422 => Class::InvalidRequest,
        429 => Class::Throttled { reset_after: reset_after(headers) },
        // 408 and 499 come from the edge while the application may still be at work.
        408 | 499 | 500..=599 => Class::UnknownOutcome,
        300..=399 => Class::UnexpectedAnswer,
        _ => Class::Refused,
    }
}

/// Lower-cased substrings, most telling first: "cancelled and rescheduled already" also contains the words of "cancelled".
fn classify_bad_request(message: &str) -> Class {
    let has = |part: &str| message.contains(part);
    if has("rescheduled already to booking") {
        return Class::AlreadyRescheduled { to_uid: successor_of(message) };
    }
    if has("can't reschedule booking") && has("cancelled") {
        return Class::Gone;
    }
    if has("can't cancel booking") && has("cancelled already") {
        return Class::AlreadyCancelled;
    }
    if has("already has booking at this time") || has("is not available") || has("no more seats") {
        return Class::SlotTaken;
    }
    if has("can't be booked at the \"start\" time") || has("in the past") {
        return Class::OutOfBounds;
    }
    if has("maximum number of active bookings") {
        return Class::LimitReached;
    }
    let our_bug = ["validation failed", "invalid_number", "cancellation reason is required", "must be", "should not", "missing", "invalid", "is required"];
    if our_bug.iter().any(|part| has(part)) { Class::InvalidRequest } else { Class::Refused }
}

/// The uid after "already to booking with uid=". Uids tell upper from lower case, so the message keeps its case behind the marker.
fn successor_of(message: &str) -> Option<Masked<String>> {
    let (_, rest) = message.split_once("already to booking with uid=")?;
    let uid: String = rest.chars().take_while(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_')).take(64).collect();
    (!uid.is_empty()).then(|| Masked::new(uid))
}

fn reset_after(headers: &HeaderMap) -> Duration {
    let names = ["x-ratelimit-reset-default", "x-ratelimit-reset", "retry-after"];
    let seconds = names.iter().find_map(|name| header_number(headers, name));
    // Seconds until the block ends, not an epoch (reference section 3.14).
    seconds.map_or(RESET_DEFAULT, |seconds| Duration::from_secs(seconds.max(1)).min(RESET_MAX))
}

/// The error message of shape A or B, lower-cased but for what follows the uid marker; empty for HTML and the like.
pub(super) fn message_of(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return String::new();
    };
    let error = answer.get("error");
    let details = error.and_then(|error| error.get("details")).and_then(|details| details.get("message"));
    let texts = [error.and_then(|error| error.get("message")), details, answer.get("message")];
    let message: Vec<String> = texts.into_iter().flatten().map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_owned)).collect();
    let message = message.join(" | ");
    // Lower-casing ASCII keeps byte positions, so the marker found in the copy splits the original.
    let lower = message.to_ascii_lowercase();
    let marker = "already to booking with uid=";
    match lower.find(marker) {
        Some(position) => format!("{}{}", &lower[..position + marker.len()], &message[position + marker.len()..]),
        None => lower,
    }
}
