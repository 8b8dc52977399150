//! What the stand-in knows: hosts, event types, keys, webhooks, bookings. Plain data; the rules stand in `book`,
//! `reschedule` and `decide`, the JSON shapes in `output` and `payload`. The serde names are those of the admin API.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::stand_in::json_order::OrderedMap;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    pub id: i64,
    pub name: String,
    pub email: String,
    #[serde(default)]
    pub username: String,
    #[serde(default = "berlin", with = "zone")]
    pub time_zone: Tz,
}

fn berlin() -> Tz {
    Tz::Europe__Berlin
}

/// Zones by their IANA names; chrono-tz brings its own serde only with a feature that nobody else here needs.
mod zone {
    use chrono_tz::Tz;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventType {
    pub id: i64,
    pub slug: String,
    pub title: String,
    /// Minutes.
    pub length: i64,
    /// Ids of hosts; the first one is the owner unless `owner_id` says otherwise.
    pub hosts: Vec<i64>,
    #[serde(default)]
    pub owner_id: Option<i64>,
    #[serde(default)]
    pub requires_confirmation: bool,
    /// `ROUND_ROBIN`, `COLLECTIVE` or nothing for one person.
    #[serde(default)]
    pub scheduling_type: Option<String>,
    #[serde(default)]
    pub seats: Option<usize>,
    /// Most occurrences of one recurring booking; nothing = not recurring (weekly is the only frequency here).
    #[serde(default)]
    pub recurrence: Option<usize>,
    /// Other lengths in minutes that a booker may ask for.
    #[serde(default)]
    pub length_options: Vec<i64>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub location: String,
    /// Phone-only bookings are refused then (reference/calcom.md 3.3).
    #[serde(default)]
    pub email_required: bool,
    #[serde(default)]
    pub minimum_notice_minutes: i64,
    #[serde(default)]
    pub disable_cancelling: bool,
}

impl EventType {
    pub fn owner(&self) -> Option<i64> {
        self.owner_id.or_else(|| self.hosts.first().copied())
    }

    pub fn is_round_robin(&self) -> bool {
        self.scheduling_type.as_deref() == Some("ROUND_ROBIN")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    pub key: String,
    /// Shown in the request list instead of the key.
    #[serde(default)]
    pub name: String,
    /// The host whose key it is; nothing = sees every booking.
    #[serde(default)]
    pub user_id: Option<i64>,
    /// Requests per limiter window; nothing = the configured default.
    #[serde(default)]
    pub rate_per_window: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Webhook {
    #[serde(default = "webhook_id")]
    pub id: String,
    /// Receives the events of this organizer or owner; nothing = of everybody (a platform webhook).
    #[serde(default)]
    pub user_id: Option<i64>,
    #[serde(default)]
    pub event_type_id: Option<i64>,
    pub subscriber_url: String,
    #[serde(default)]
    pub secret: Option<String>,
    /// Empty = all.
    #[serde(default)]
    pub triggers: Vec<String>,
    #[serde(default = "yes")]
    pub active: bool,
}

pub fn webhook_id() -> String {
    random_uuid()
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Accepted,
    Cancelled,
    Rejected,
}

impl Status {
    pub fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Accepted)
    }

    /// As in webhooks and in the old answer shape.
    pub fn upper(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Accepted => "ACCEPTED",
            Self::Cancelled => "CANCELLED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// Who made a change: decides the content of the webhook and stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Api,
    Visitor,
    Host,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attendee {
    pub name: String,
    pub email: String,
    pub phone_number: Option<String>,
    #[serde(with = "zone")]
    pub time_zone: Tz,
    pub language: String,
    #[serde(default)]
    pub absent: bool,
    #[serde(default)]
    pub seat_uid: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Booking {
    pub id: i64,
    pub uid: String,
    pub event_type_id: i64,
    /// The organizer first.
    pub host_ids: Vec<i64>,
    pub status: Status,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub attendees: Vec<Attendee>,
    pub guests: Vec<String>,
    /// As the caller sent it, non-strings included; `output` applies the trap of 3.3.
    pub metadata: OrderedMap,
    pub notes: String,
    /// Booking fields beside name, e-mail, phone and notes.
    pub fields: OrderedMap,
    pub made_by: By,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub cancellation_reason: String,
    pub cancelled_by: String,
    pub rescheduling_reason: Option<String>,
    pub rescheduled_by: Option<String>,
    pub rescheduled_from: Option<String>,
    pub rescheduled_to: Option<String>,
    pub rejection_reason: Option<String>,
    pub ical_uid: String,
    pub ical_sequence: i64,
    pub recurring_uid: Option<String>,
    pub one_time_password: String,
    pub absent_host: bool,
}

impl Booking {
    pub fn minutes(&self) -> i64 {
        (self.end - self.start).num_minutes()
    }

    pub fn video_url(&self) -> String {
        format!("https://app.cal.com/video/{}", self.uid)
    }

    pub fn organizer_id(&self) -> Option<i64> {
        self.host_ids.first().copied()
    }
}

/// A short-uuid as Cal.com makes them: 22 characters, base 58. Random and unseeded: two stand-ins that write into one
/// database must not give the same uid to different bookings.
pub fn new_uid() -> String {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    (0..22).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect()
}

/// Ids of webhooks, seats and requests, and one-time passwords: version 4, as Cal.com makes them.
#[expect(clippy::disallowed_methods, reason = "these play the provider's ids, not keys of ours; they never reach our tables as keys")]
pub fn random_uuid() -> String {
    Uuid::new_v4().to_string()
}
