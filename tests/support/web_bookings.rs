//! Many distinct bookings made on Cal.com's page, for load: each has a uid, a time and a visitor of its own.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::Value;

use crate::fixtures;

/// When the first of them begins: far from whatever a test books itself.
const FIRST: &str = "2028-01-03T00:00:00Z";
/// The length of `calcom/02-booking-created-ui.json`; the next begins when one ends.
const LENGTH_MIN: i64 = 30;

/// Places by which a move goes ahead: more than any load has bookings.
const MOVED_BY: usize = 200_000;
/// After the fixture's `createdAt`: what happens to a booking comes after it was made.
const LATER: &str = "2026-06-30T12:20:00.000Z";

/// Made from `calcom/02-booking-created-ui.json`.
#[derive(Clone, Debug)]
pub struct WebBookings {
    template: Value,
    cancellation: Value,
    first: DateTime<Utc>,
}

impl Default for WebBookings {
    fn default() -> Self {
        Self {
            template: fixtures::json("calcom/02-booking-created-ui.json"),
            cancellation: fixtures::json("calcom/04-booking-cancelled.json"),
            first: FIRST.parse().expect("a constant instant"),
        }
    }
}

impl WebBookings {
    /// The uid of the n-th.
    #[must_use]
    pub fn uid(n: usize) -> String {
        format!("web{n:019}")
    }

    /// The body of the n-th.
    #[must_use]
    pub fn body(&self, n: usize) -> Vec<u8> {
        let mut event = self.template.clone();
        let starts_at = self.first + Duration::minutes(LENGTH_MIN * i64::try_from(n).unwrap_or(0));
        let text = |at: DateTime<Utc>| Value::from(at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let booking = &mut event["payload"];
        booking["uid"] = Self::uid(n).into();
        booking["bookingId"] = (1_000_000 + n).into();
        booking["startTime"] = text(starts_at);
        booking["endTime"] = text(starts_at + Duration::minutes(LENGTH_MIN));
        booking["attendees"][0]["email"] = format!("web{n}@example.org").into();
        booking["responses"]["email"]["value"] = format!("web{n}@example.org").into();
        event.to_string().into_bytes()
    }

    /// The uid that the n-th has after its move.
    #[must_use]
    pub fn moved_uid(n: usize) -> String {
        format!("mov{n:019}")
    }

    /// The visitor moves the n-th, far behind the time of every other one.
    ///
    /// # Panics
    /// Never in practice: the fixture is an object.
    #[must_use]
    pub fn moved(&self, n: usize) -> Vec<u8> {
        let booked: Value = serde_json::from_slice(&self.body(n)).expect("our own JSON");
        let mut moved: Value = serde_json::from_slice(&self.body(n + MOVED_BY)).expect("our own JSON");
        moved["triggerEvent"] = "BOOKING_RESCHEDULED".into();
        moved["createdAt"] = LATER.into();
        let (was, is) = (&booked["payload"], &mut moved["payload"]);
        is["uid"] = Self::moved_uid(n).into();
        is["attendees"] = was["attendees"].clone();
        is["responses"] = was["responses"].clone();
        for (target, source) in
            [("rescheduleId", "bookingId"), ("rescheduleUid", "uid"), ("rescheduleStartTime", "startTime"), ("rescheduleEndTime", "endTime")]
        {
            is[target] = was[source].clone();
        }
        is["rescheduledBy"] = was["attendees"][0]["email"].clone();
        moved.to_string().into_bytes()
    }

    /// The visitor cancels the n-th. Made from `calcom/04-booking-cancelled.json`.
    ///
    /// # Panics
    /// Never in practice: the fixture is an object.
    #[must_use]
    pub fn cancelled(&self, n: usize) -> Vec<u8> {
        let booked: Value = serde_json::from_slice(&self.body(n)).expect("our own JSON");
        let mut cancelled = self.cancellation.clone();
        cancelled["createdAt"] = LATER.into();
        for field in ["uid", "bookingId", "startTime", "endTime", "eventTypeId", "organizer", "attendees", "responses", "title", "type"] {
            cancelled["payload"][field] = booked["payload"][field].clone();
        }
        cancelled.to_string().into_bytes()
    }
}
