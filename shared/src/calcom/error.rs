//! What a refused or failed Cal.com request means for us.
//!
//! The message text is the only discriminator of the 400 family (reference section 3.13), so it is matched and then forgotten: Display and Debug carry
//! operation, class, status and request id, never a message, a uid or a URL.

mod classify;

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;

use classify::{classify, message_of};

use crate::telemetry::Masked;

/// What to do next. A closed set; names are metric labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The time is not free. Offer another one.
    SlotTaken,
    /// 409 for exactly this start: taken, **or our own first try succeeded**. Search before telling anybody "taken".
    Conflict,
    /// Outside the event type's notice or window, or in the past.
    OutOfBounds,
    /// The attendee has the maximum number of active bookings.
    LimitReached,
    /// A cancelled booking was cancelled again: success.
    AlreadyCancelled,
    /// The booking was moved before: follow the chain.
    AlreadyRescheduled { to_uid: Option<Masked<String>> },
    /// The booking is cancelled and cannot be moved.
    Gone,
    /// Our request is wrong: a bug or a bad number, never cured by repeating.
    InvalidRequest,
    /// The key is wrong or expired: pause the credential.
    CredentialRejected,
    /// No such booking or event type.
    NotFound,
    /// Over the limit; nothing of this key passes before `reset_after`.
    Throttled { reset_after: Duration },
    /// A fake success for a blocked booker (`id: 0`): nothing is booked.
    Decoy,
    /// Any other 4xx: permanent for the queue, counted for alerting.
    Refused,
    /// The request may have been carried out: search before repeating. For a read: no answer.
    UnknownOutcome,
    /// No connection: certainly not sent.
    NotSent,
    /// A success or redirect that cannot be one, to a request without effect.
    UnexpectedAnswer,
    /// Our own budget of the credential had no token for it: certainly not sent. Ask again after `wait`.
    Withheld { wait: Duration },
}

impl Class {
    /// Every name, for metrics that start at zero.
    pub const NAMES: [&'static str; 17] = [
        "slot_taken",
        "conflict",
        "out_of_bounds",
        "limit_reached",
        "already_cancelled",
        "already_rescheduled",
        "gone",
        "invalid_request",
        "credential_rejected",
        "not_found",
        "throttled",
        "decoy",
        "refused",
        "unknown_outcome",
        "not_sent",
        "unexpected_answer",
        "withheld",
    ];

    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SlotTaken => "slot_taken",
            Self::Conflict => "conflict",
            Self::OutOfBounds => "out_of_bounds",
            Self::LimitReached => "limit_reached",
            Self::AlreadyCancelled => "already_cancelled",
            Self::AlreadyRescheduled { .. } => "already_rescheduled",
            Self::Gone => "gone",
            Self::InvalidRequest => "invalid_request",
            Self::CredentialRejected => "credential_rejected",
            Self::NotFound => "not_found",
            Self::Throttled { .. } => "throttled",
            Self::Decoy => "decoy",
            Self::Refused => "refused",
            Self::UnknownOutcome => "unknown_outcome",
            Self::NotSent => "not_sent",
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::Withheld { .. } => "withheld",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Cal.com's own id of a request, for its support; `-` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(Option<String>);

impl RequestId {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let id = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let plain =
            |id: &&str| !id.is_empty() && id.len() <= 80 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.'));
        Self(id.filter(plain).map(str::to_owned))
    }

    #[must_use]
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_deref().unwrap_or("-"))
    }
}

/// A Cal.com request that brought no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CalcomError {
    #[error("Cal.com refused {operation}: {class} (status {status}, request {request_id})")]
    Refused { operation: &'static str, class: Class, status: u16, request_id: RequestId },
    #[error("the outcome of {operation} at Cal.com is unknown (status {}, request {request_id})", status.map_or_else(|| "none".to_owned(), |status| status.to_string()))]
    UnknownOutcome {
        operation: &'static str,
        status: Option<u16>,
        request_id: RequestId,
        #[source]
        source: Option<reqwest::Error>,
    },
    #[error("{operation} was not sent to Cal.com: no connection")]
    NotSent {
        operation: &'static str,
        #[source]
        source: reqwest::Error,
    },
    #[error("{operation} was not sent to Cal.com: {what}")]
    Unsendable { operation: &'static str, what: &'static str },
    #[error("Cal.com answered {operation} with something else than expected: {what} (status {status}, request {request_id})")]
    UnexpectedAnswer { operation: &'static str, what: &'static str, status: u16, request_id: RequestId },
    #[error("a request was not sent to Cal.com: the credential's budget is spent")]
    Withheld { wait: Duration },
    #[error("the HTTP client for Cal.com cannot be built")]
    Client(#[source] reqwest::Error),
}

impl CalcomError {
    /// What to do next.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { class, .. } => class.clone(),
            Self::UnknownOutcome { .. } => Class::UnknownOutcome,
            Self::NotSent { .. } | Self::Client(_) => Class::NotSent,
            Self::Unsendable { .. } => Class::InvalidRequest,
            Self::UnexpectedAnswer { .. } => Class::UnexpectedAnswer,
            Self::Withheld { wait } => Class::Withheld { wait: *wait },
        }
    }

    /// The HTTP status, if there was an answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::UnexpectedAnswer { status, .. } => Some(*status),
            Self::UnknownOutcome { status, .. } => *status,
            _ => None,
        }
    }

    /// Cal.com's request id, if there was one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused { request_id, .. } | Self::UnknownOutcome { request_id, .. } | Self::UnexpectedAnswer { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }

    /// A request that got no answer at all.
    pub(super) fn of_transport(operation: &'static str, error: reqwest::Error) -> Self {
        // reqwest prints the URL, and the URL holds the uid.
        let source = error.without_url();
        if source.is_builder() {
            return Self::Unsendable { operation, what: "the request cannot be built (API key or URL with forbidden characters)" };
        }
        if source.is_connect() {
            return Self::NotSent { operation, source };
        }
        Self::UnknownOutcome { operation, status: None, request_id: RequestId::default(), source: Some(source) }
    }

    /// An answer whose status is not 2xx.
    pub(super) fn of_answer(operation: &'static str, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let request_id = RequestId::of(headers);
        match classify(status, &message_of(body), headers) {
            Class::UnknownOutcome => Self::UnknownOutcome { operation, status: Some(status), request_id, source: None },
            Class::UnexpectedAnswer => Self::UnexpectedAnswer { operation, what: "a redirect", status, request_id },
            class => Self::Refused { operation, class, status, request_id },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../tests/fixtures/calcom/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn every_error_fixture_has_its_class() {
        let moved = Class::AlreadyRescheduled { to_uid: Some(Masked::new("kRsb9ejo1HVZ9XxVPqMxDe".to_owned())) };
        let table = [
            ("api-400-already-cancelled.json", 400, Class::AlreadyCancelled),
            ("api-400-already-rescheduled.json", 400, moved),
            ("api-400-out-of-bounds.json", 400, Class::OutOfBounds),
            ("api-400-slot-taken.json", 400, Class::SlotTaken),
            ("api-400-validation.json", 400, Class::InvalidRequest),
            ("api-401.json", 401, Class::CredentialRejected),
            ("api-404-booking.json", 404, Class::NotFound),
            ("api-409-booking-conflict-shape-b.json", 409, Class::Conflict),
            ("api-422-slot-reserved.json", 422, Class::SlotTaken),
            ("api-429.json", 429, Class::Throttled { reset_after: Duration::from_secs(60) }),
            ("api-500-shape-b.json", 500, Class::UnknownOutcome),
        ];
        for (name, status, expected) in table {
            let error = CalcomError::of_answer("create a booking", status, &headers(&[]), &fixture(name));
            assert_eq!(error.class(), expected, "{name}");
            let printed = format!("{error} {error:?}");
            for word in ["kRsb9ejo1HVZ9XxVPqMxDe", "2NtaeaVcKfpmSZ4CthFdfk", "already has booking", "nope"] {
                assert!(!printed.contains(word), "{word} in {printed}");
            }
        }
    }

    #[test]
    fn messages_known_from_the_reference_have_their_class() {
        let table = [
            (400, "One of the hosts either already has booking at this time or is not available", Class::SlotTaken),
            (400, "Attempting to book a meeting in the past.", Class::OutOfBounds),
            (400, "Attendee with this email can't book because the maximum number of active bookings has been reached.", Class::LimitReached),
            (400, "Can't reschedule booking with uid=abc because it has been cancelled. Please provide uid of a booking that is not cancelled.", Class::Gone),
            (400, "Cancellation reason is required when you are the host", Class::InvalidRequest),
            (400, "error_required_field, invalid_number", Class::InvalidRequest),
            (400, "Something new of next year", Class::Refused),
            (409, "No more seats left at this seated booking.", Class::SlotTaken),
            (403, "Forbidden", Class::Refused),
            (422, "This time slot is already reserved by another user. Please choose a different time.", Class::SlotTaken),
            (302, "", Class::UnexpectedAnswer),
            (408, "", Class::UnknownOutcome),
            (524, "", Class::UnknownOutcome),
            (418, "", Class::Refused),
        ];
        for (status, message, expected) in table {
            let body = serde_json::json!({"status":"error","error":{"code":"X","message":message,"details":{}}}).to_string();
            assert_eq!(CalcomError::of_answer("x", status, &headers(&[]), body.as_bytes()).class(), expected, "{message}");
        }
        for body in [&b"<html>524</html>"[..], b"", b"{\"message\":7}"] {
            assert_eq!(CalcomError::of_answer("x", 502, &headers(&[]), body).class(), Class::UnknownOutcome);
        }
    }

    #[test]
    fn the_reset_header_is_seconds_and_bounded() {
        let throttled = |pairs: &[(&'static str, &'static str)]| match CalcomError::of_answer("x", 429, &headers(pairs), b"").class() {
            Class::Throttled { reset_after } => reset_after.as_secs(),
            other => panic!("{other}"),
        };
        assert_eq!(throttled(&[("x-ratelimit-reset-default", "42")]), 42);
        assert_eq!(throttled(&[("x-ratelimit-reset-default", "0")]), 1);
        assert_eq!(throttled(&[("x-ratelimit-reset-default", "1760716800")]), 900);
        assert_eq!(throttled(&[("x-ratelimit-reset-default", "soon")]), 60);
    }

    #[test]
    fn the_request_id_is_shown_if_it_is_plain() {
        let error = CalcomError::of_answer("move a booking", 500, &headers(&[("x-request-id", "req-1")]), b"");
        assert_eq!(error.to_string(), "the outcome of move a booking at Cal.com is unknown (status 500, request req-1)");
        assert_eq!(error.request_id(), Some("req-1"));
        let hostile = CalcomError::of_answer("move a booking", 404, &headers(&[("x-request-id", "a b")]), b"");
        assert_eq!(hostile.request_id(), None);
        assert!(Class::NAMES.contains(&hostile.class().name()));
    }
}
