//! Many distinct bookings made on Cal.com's page, for load: each has a uid, a time and a visitor of its own.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::Value;

use crate::fixtures;

/// When the first of them begins: far from whatever a test books itself.
const FIRST: &str = "2028-01-03T00:00:00Z";
/// The length of `calcom/02-booking-created-ui.json`; the next begins when one ends.
const LENGTH_MIN: i64 = 30;

/// Made from `calcom/02-booking-created-ui.json`.
#[derive(Clone, Debug)]
pub struct WebBookings {
    template: Value,
    first: DateTime<Utc>,
}

impl Default for WebBookings {
    fn default() -> Self {
        Self { template: fixtures::json("calcom/02-booking-created-ui.json"), first: FIRST.parse().expect("a constant instant") }
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
}
