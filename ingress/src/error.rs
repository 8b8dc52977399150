//! The status table: what a sender sees when, and nothing about why (architecture section 5).
//!
//! Each row is here once; no other file builds a status. The cause goes to metrics and logs, never into an answer.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// How long a sender should wait after 429 and 503, in seconds. Retell retries within about 40 s in all, so the wait is short.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// A row of the table that is not a 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Signature missing, wrong, stale, or `no-secret-provided`.
    Unauthorized,
    /// No such endpoint for this provider; the body is not read.
    UnknownEndpoint,
    /// The body is over the route's limit.
    TooLarge,
    /// The body did not arrive within its time.
    TooSlow,
    /// The connection broke inside the body, or its framing is wrong.
    Incomplete,
    /// Abusive load.
    TooMany,
    /// Neither broker nor spool took it.
    NotStored,
    /// The secrets are not known yet, or do not open, or there is no room for the body now.
    NotReady,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, r#"{"error":"the signature was not accepted"}"#),
            Self::UnknownEndpoint => (StatusCode::NOT_FOUND, r#"{"error":"no such endpoint"}"#),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"the body is too large"}"#),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, r#"{"error":"the body came too slowly"}"#),
            Self::Incomplete => (StatusCode::BAD_REQUEST, r#"{"error":"the body is incomplete"}"#),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, r#"{"error":"too many requests, try again later"}"#),
            Self::NotStored | Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"not available now, try again later"}"#),
        };
        let mut response = (status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        let headers = response.headers_mut();
        if matches!(self, Self::TooMany | Self::NotStored | Self::NotReady) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if matches!(self, Self::TooLarge | Self::TooSlow | Self::Incomplete | Self::UnknownEndpoint) {
            // The rest of the body is not worth reading to save a connection.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The content type of every body here.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a request ended, for the metrics: each row of the table, and the three kinds of 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed by the broker, or on the disk.
    Accepted,
    /// Accepted, but a human must look at it.
    Parked,
    /// A ping.
    Ignored,
    Answered,
    /// A true sentence instead of the worker's answer.
    Fallback,
    Unauthorized,
    UnknownEndpoint,
    TooLarge,
    TooSlow,
    Incomplete,
    TooMany,
    NotStored,
    NotReady,
}

impl Outcome {
    /// Every outcome, in the order of the discriminants.
    pub const ALL: [Self; 13] = [
        Self::Accepted,
        Self::Parked,
        Self::Ignored,
        Self::Answered,
        Self::Fallback,
        Self::Unauthorized,
        Self::UnknownEndpoint,
        Self::TooLarge,
        Self::TooSlow,
        Self::Incomplete,
        Self::TooMany,
        Self::NotStored,
        Self::NotReady,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Parked => "parked",
            Self::Ignored => "ignored",
            Self::Answered => "answered",
            Self::Fallback => "fallback",
            Self::Unauthorized => "unauthorized",
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Incomplete => "incomplete",
            Self::TooMany => "too_many",
            Self::NotStored => "not_stored",
            Self::NotReady => "not_ready",
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized => Self::Unauthorized,
            Refusal::UnknownEndpoint => Self::UnknownEndpoint,
            Refusal::TooLarge => Self::TooLarge,
            Refusal::TooSlow => Self::TooSlow,
            Refusal::Incomplete => Self::Incomplete,
            Refusal::TooMany => Self::TooMany,
            Refusal::NotStored => Self::NotStored,
            Refusal::NotReady => Self::NotReady,
        }
    }
}
