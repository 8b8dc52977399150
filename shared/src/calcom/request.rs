//! What we send to Cal.com, made so that it cannot be refused for its form.
//!
//! Metadata is strings within the limits, a phone number is valid E.164 or left out (incidents 18 and 19). Reference sections 3.3, 3.11, 1.4.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::telemetry::Masked;

const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
/// Cal.com's own upper bound of `take`.
pub(super) const TAKE_MAX: u32 = 250;
/// Reasons are shown to people in mails; a novel is cut.
const REASON_CHARS_MAX: usize = 500;

/// A booking to create.
#[derive(Clone)]
pub struct NewBooking {
    pub event_type_id: i64,
    pub start: DateTime<Utc>,
    pub attendee: NewAttendee,
    /// Only if the event type has several lengths; Cal.com refuses it otherwise.
    pub length_min: Option<u32>,
    /// The intent token and our other tags, most important first: of more than 50 the last are dropped.
    pub metadata: Vec<(String, Value)>,
    /// The booking form's field `notes`.
    pub notes: Option<Masked<String>>,
    /// Further fields of the booking form, by slug.
    pub booking_fields: Map<String, Value>,
    /// `{"type": …}` as the event type offers; `None` = its default.
    pub location: Option<Value>,
}

/// Who comes.
#[derive(Clone, Debug)]
pub struct NewAttendee {
    pub name: Masked<String>,
    pub email: Option<Masked<String>>,
    /// Sent only if it is valid E.164.
    pub phone: Option<Masked<String>>,
    /// IANA name.
    pub time_zone: String,
    /// Such as `de`.
    pub language: Option<String>,
}

impl fmt::Debug for NewBooking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NewBooking").field("event_type_id", &self.event_type_id).field("start", &self.start).finish_non_exhaustive()
    }
}

impl NewBooking {
    pub(super) fn to_json(&self) -> Value {
        let attendee = &self.attendee;
        let mut person = json!({ "name": attendee.name.as_str(), "timeZone": attendee.time_zone });
        let mut body = json!({ "eventTypeId": self.event_type_id, "start": utc_text(self.start), "metadata": metadata(&self.metadata) });
        let phone = attendee.phone.as_ref().map(Masked::as_str).filter(|phone| is_valid_e164(phone));
        set(&mut person, "email", attendee.email.as_ref().map(|email| json!(email.as_str())));
        set(&mut person, "phoneNumber", phone.map(|phone| json!(phone)));
        set(&mut person, "language", attendee.language.as_ref().map(|language| json!(language)));
        body["attendee"] = person;
        let mut answers = self.booking_fields.clone();
        if let Some(notes) = &self.notes {
            answers.insert("notes".to_owned(), json!(notes.as_str()));
        }
        set(&mut body, "bookingFieldsResponses", (!answers.is_empty()).then_some(Value::Object(answers)));
        set(&mut body, "lengthInMinutes", self.length_min.map(|minutes| json!(minutes)));
        set(&mut body, "location", self.location.clone());
        body
    }
}

/// Which bookings a list asks for. Absence in an answer is no proof: reads lag behind writes.
#[derive(Clone, Debug, Default)]
pub struct BookingFilter {
    /// Empty = all; `Cancelled` includes rejected.
    pub status: Vec<BookingStatus>,
    pub event_type_id: Option<i64>,
    pub attendee_email: Option<Masked<String>>,
    pub booking_uid: Option<Masked<String>>,
    pub after_start: Option<DateTime<Utc>>,
    pub before_end: Option<DateTime<Utc>>,
    pub after_created_at: Option<DateTime<Utc>>,
    pub before_created_at: Option<DateTime<Utc>>,
    pub after_updated_at: Option<DateTime<Utc>>,
    pub before_updated_at: Option<DateTime<Utc>>,
    pub sort: Option<Sort>,
    /// 1 to 250; 0 = Cal.com's default of 100.
    pub take: u32,
    pub skip: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookingStatus {
    Upcoming,
    Recurring,
    Past,
    Cancelled,
    Unconfirmed,
}

/// Ascending order; sweeps page by `UpdatedAt` with an overlapping window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Start,
    CreatedAt,
    UpdatedAt,
}

impl BookingFilter {
    pub(super) fn to_query(&self) -> Vec<(&'static str, String)> {
        let status: Vec<_> = self.status.iter().map(|status| status.name()).collect();
        let sort = |wanted: Sort| (self.sort == Some(wanted)).then(|| "asc".to_owned());
        let pairs = [
            ("status", (!status.is_empty()).then(|| status.join(","))),
            ("eventTypeId", self.event_type_id.map(|id| id.to_string())),
            ("attendeeEmail", self.attendee_email.as_ref().map(|email| email.as_str().to_owned())),
            ("bookingUid", self.booking_uid.as_ref().map(|uid| uid.as_str().to_owned())),
            ("afterStart", self.after_start.map(utc_text)),
            ("beforeEnd", self.before_end.map(utc_text)),
            ("afterCreatedAt", self.after_created_at.map(utc_text)),
            ("beforeCreatedAt", self.before_created_at.map(utc_text)),
            ("afterUpdatedAt", self.after_updated_at.map(utc_text)),
            ("beforeUpdatedAt", self.before_updated_at.map(utc_text)),
            ("sortStart", sort(Sort::Start)),
            ("sortCreated", sort(Sort::CreatedAt)),
            ("sortUpdatedAt", sort(Sort::UpdatedAt)),
            ("take", (self.take > 0).then(|| self.take.min(TAKE_MAX).to_string())),
            ("skip", (self.skip > 0).then(|| self.skip.to_string())),
        ];
        pairs.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
    }
}

impl BookingStatus {
    const fn name(self) -> &'static str {
        match self {
            Self::Upcoming => "upcoming",
            Self::Recurring => "recurring",
            Self::Past => "past",
            Self::Cancelled => "cancelled",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// A webhook subscription to create.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    pub subscriber_url: String,
    pub triggers: Vec<String>,
    pub secret: SecretString,
}

impl NewWebhook {
    /// Without a payload template: its print would not be our form (reference section 1.2).
    pub(super) fn to_json(&self) -> Value {
        json!({ "active": true, "subscriberUrl": self.subscriber_url, "triggers": self.triggers, "secret": self.secret.expose_secret() })
    }
}

/// A reason that is always there: Cal.com refuses a host's cancellation without one.
pub(super) fn reason_text(reason: &str) -> String {
    let reason = cut(reason.trim(), REASON_CHARS_MAX);
    if reason.is_empty() { "not_given".to_owned() } else { reason }
}

pub(super) fn utc_text(instant: DateTime<Utc>) -> String {
    // Cal.com's documented form for `start`; fractions would be refused by some editions. Filters keep milliseconds for the sweep's cursor.
    let format = if instant.timestamp_subsec_millis() == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    instant.to_rfc3339_opts(format, true)
}

/// Strings only: one other value makes Cal.com's whole metadata `{}` (reference section 3.3).
fn metadata(entries: &[(String, Value)]) -> Map<String, Value> {
    let mut sent = Map::new();
    for (key, value) in entries {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if sent.len() == METADATA_KEYS_MAX {
            break;
        }
        sent.insert(cut(key, METADATA_KEY_CHARS_MAX), Value::String(cut(&text, METADATA_VALUE_CHARS_MAX)));
    }
    sent
}

/// Cuts at a character boundary, counting as JavaScript does (UTF-16 units).
fn cut(text: &str, units_max: usize) -> String {
    let mut units = 0;
    text.chars()
        .take_while(|character| {
            units += character.len_utf16();
            units <= units_max
        })
        .collect()
}

fn is_valid_e164(phone: &str) -> bool {
    let digits = phone.strip_prefix('+').unwrap_or_default();
    let form_ok = (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    form_ok && phonelib::is_valid_phone_number(phone)
}

fn set(object: &mut Value, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object[key] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn booking() -> NewBooking {
        NewBooking {
            event_type_id: 1320,
            start: "2026-07-06T10:00:00+02:00".parse::<DateTime<chrono::FixedOffset>>().unwrap().to_utc(),
            attendee: NewAttendee {
                name: Masked::new("Jörg Müller".to_owned()),
                email: None,
                phone: Some(Masked::new("+4915112345678".to_owned())),
                time_zone: "Europe/Berlin".to_owned(),
                language: Some("de".to_owned()),
            },
            length_min: None,
            metadata: vec![("intent".to_owned(), json!("token"))],
            notes: None,
            booking_fields: Map::new(),
            location: None,
        }
    }

    #[test]
    fn a_booking_holds_exactly_what_the_contract_knows() {
        let expected = json!({
            "eventTypeId": 1320, "start": "2026-07-06T08:00:00Z", "metadata": {"intent": "token"},
            "attendee": {"name": "Jörg Müller", "timeZone": "Europe/Berlin", "phoneNumber": "+4915112345678", "language": "de"}
        });
        assert_eq!(booking().to_json(), expected);
        assert!(!format!("{:?}", booking()).contains("Jörg"));
    }

    /// Incident 18: metadata not strings, forbidden root fields.
    #[test]
    fn metadata_is_strings_within_the_limits() {
        let mut new = booking();
        new.metadata = vec![
            ("intent".to_owned(), json!("token")),
            ("call".to_owned(), json!(830)),
            ("vip".to_owned(), json!(true)),
            ("nested".to_owned(), json!({"a": [1]})),
            ("nothing".to_owned(), json!(null)),
            ("k".repeat(60), json!("😀".repeat(400))),
        ];
        new.metadata.extend((0..60).map(|number| (format!("n{number:02}"), json!("x"))));
        let body = new.to_json();
        let sent = body["metadata"].as_object().unwrap();
        assert_eq!(sent.len(), 50);
        assert!(sent.values().all(Value::is_string));
        assert_eq!((sent["intent"].as_str(), sent["call"].as_str(), sent["vip"].as_str()), (Some("token"), Some("830"), Some("true")));
        assert_eq!(sent["nested"], "{\"a\":[1]}");
        assert!(!sent.contains_key("nothing"));
        assert_eq!(sent[&"k".repeat(40)].as_str().unwrap().encode_utf16().count(), 500);
    }

    /// Incident 19: `anonymous_…` was sent as a phone number.
    #[test]
    fn a_phone_number_is_valid_e164_or_not_sent() {
        for wrong in ["anonymous", "anonymous_1700000000", "015112345678", "+49", "+4915112345678x", "+0015112345678", ""] {
            let mut new = booking();
            new.attendee.phone = Some(Masked::new(wrong.to_owned()));
            assert_eq!(new.to_json()["attendee"].get("phoneNumber"), None, "{wrong}");
        }
        for right in ["+4915112345678", "+493023125042", "+491713920042", "+43664123456789", "+41791234567"] {
            assert!(is_valid_e164(right), "{right}");
        }
    }

    #[test]
    fn a_reason_is_never_empty_and_never_endless() {
        assert_eq!(reason_text("  "), "not_given");
        assert_eq!(reason_text(&"ä".repeat(900)).chars().count(), 500);
    }

    #[test]
    fn a_filter_is_only_what_was_asked() {
        assert!(BookingFilter::default().to_query().is_empty());
        let filter = BookingFilter {
            status: vec![BookingStatus::Upcoming, BookingStatus::Unconfirmed],
            after_updated_at: Some("2026-07-06T08:00:00.123Z".parse().unwrap()),
            sort: Some(Sort::UpdatedAt),
            take: 9_999,
            ..BookingFilter::default()
        };
        let expected = [("status", "upcoming,unconfirmed"), ("afterUpdatedAt", "2026-07-06T08:00:00.123Z"), ("sortUpdatedAt", "asc"), ("take", "250")];
        let query = filter.to_query();
        assert_eq!(query.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(), expected);
    }
}
