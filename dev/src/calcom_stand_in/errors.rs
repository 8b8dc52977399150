//! The two error shapes of Cal.com (reference/calcom.md 3.13) and its exact messages, which are the only thing that
//! tells the errors of the 400 family apart.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    pub status: u16,
    pub message: String,
    /// Shape A carries the exception's name and details; shape B (nothing here) only status and message.
    pub framework: Option<(&'static str, Value)>,
}

impl ApiError {
    /// A framework exception without details.
    pub fn bare(status: u16, message: impl Into<String>) -> Self {
        Self::shape_a(status, message, json!({}))
    }

    /// A framework exception with the usual `error` and `statusCode` in its details.
    pub fn named(status: u16, message: impl Into<String>) -> Self {
        Self::shape_a(status, message, json!({"error": reason(status), "statusCode": status}))
    }

    pub fn shape_a(status: u16, message: impl Into<String>, details: Value) -> Self {
        Self { status, message: message.into(), framework: Some((exception(status), details)) }
    }

    pub fn shape_b(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), framework: None }
    }

    pub fn validation(property: &str, constraint: &str, message: &str) -> Self {
        let details = json!({"message": "Validation failed",
            "errors": [{"property": property, "constraints": {constraint: message}}]});
        Self::shape_a(400, message, details)
    }

    pub fn unauthorized() -> Self {
        Self::bare(401, "ApiAuthStrategy - api key - Your api key is not valid")
    }

    pub fn throttled() -> Self {
        Self::bare(429, "CustomThrottlerGuard - Too many requests. Please try again later.")
    }

    pub fn no_booking(uid: &str) -> Self {
        Self::named(404, format!("Booking with uid={uid} was not found in the database"))
    }

    pub fn no_event_type(id: &str) -> Self {
        Self::named(404, format!("Event type with id={id} not found"))
    }

    pub fn slot_taken(team: bool) -> Self {
        let who = if team { "One of the hosts" } else { "User" };
        let message = format!("{who} either already has booking at this time or is not available");
        let details = json!({"message": message, "error": "Bad Request", "statusCode": 400});
        Self::shape_a(400, message, details)
    }

    pub fn in_the_past() -> Self {
        Self::named(400, "Attempting to book a meeting in the past.")
    }

    pub fn out_of_bounds() -> Self {
        Self::named(
            400,
            "The event type can't be booked at the \"start\" time provided. This could be because it's too soon \
             (violating the minimum booking notice) or too far in the future (outside the event's scheduling window). \
             Try fetching available slots first using the GET /v2/slots endpoint and then make a booking with \"start\" \
             time equal to one of the available slots: \"https://cal.com/docs/api-reference/v2/slots\"",
        )
    }

    /// The unique key over start, end and host of accepted bookings.
    pub fn conflict() -> Self {
        Self::shape_b(409, "booking_conflict_error")
    }

    pub fn body(&self, path: &str, now: DateTime<Utc>) -> Value {
        match &self.framework {
            Some((code, details)) => json!({
                "status": "error",
                "timestamp": now.to_rfc3339_opts(SecondsFormat::Millis, true),
                "path": path,
                "error": {"code": code, "message": self.message, "details": details},
            }),
            None => json!({"statusCode": self.status, "message": self.message}),
        }
    }
}

fn exception(status: u16) -> &'static str {
    match status {
        401 => "UnauthorizedException",
        403 => "ForbiddenException",
        404 => "NotFoundException",
        409 => "ConflictException",
        422 => "UnprocessableEntityException",
        429 => "ThrottlerException",
        500.. => "InternalServerErrorException",
        _ => "BadRequestException",
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        404 => "Not Found",
        409 => "Conflict",
        422 => "Unprocessable Entity",
        _ => "Bad Request",
    }
}
