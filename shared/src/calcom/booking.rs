//! What Cal.com answers, read tolerantly: only uid and start must be there.
//!
//! Reference sections 3.3, 3.10, 3.11. Empty strings are absent values; host ids may be the text "unknown"; a uid is a capability and does not print.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;

use crate::telemetry::Masked;
use crate::wire::lenient;

/// Fields of booking forms that hold a phone number, as in the webhooks (`wire::calcom`).
const PHONE_ANSWERS: [&str; 6] = ["attendeePhoneNumber", "phone", "telefon", "telefonnummer", "phoneNumber", "smsReminderNumber"];

/// A booking as Cal.com holds it.
#[derive(Clone)]
pub struct Booking {
    /// 0 in the fake success for a blocked booker.
    pub id: Option<i64>,
    pub uid: String,
    /// accepted, pending, cancelled, rejected and whatever comes; lower case.
    pub status: String,
    pub title: Option<Masked<String>>,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// Compare it after a move: some editions reset it to the event type's length.
    pub duration_min: Option<i64>,
    pub event_type_id: Option<i64>,
    /// May be missing in create answers of some editions: then fetch by GET (incident 20).
    pub hosts: Vec<Host>,
    pub attendees: Vec<BookingAttendee>,
    /// From the booking form, where the attendee has none.
    pub answered_phone: Option<Masked<String>>,
    pub metadata: BTreeMap<String, String>,
    pub location: Option<Masked<String>>,
    pub cancellation_reason: Option<Masked<String>>,
    pub cancelled_by_email: Option<Masked<String>>,
    pub rescheduling_reason: Option<Masked<String>>,
    pub rescheduled_by_email: Option<Masked<String>>,
    pub rescheduled_from_uid: Option<String>,
    pub rescheduled_to_uid: Option<String>,
    pub recurring_booking_uid: Option<String>,
    pub seat_uid: Option<String>,
    pub ics_uid: Option<String>,
    pub absent_host: bool,
    pub created_at: Option<DateTime<Utc>>,
    /// Null for old, untouched rows.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Who holds the appointment.
#[derive(Clone, Debug)]
pub struct Host {
    /// As text; "unknown" when the user is gone.
    pub id: Option<String>,
    pub name: Option<Masked<String>>,
    pub email: Option<Masked<String>>,
    pub username: Option<String>,
    pub time_zone: Option<String>,
}

/// Who comes.
#[derive(Clone, Debug)]
pub struct BookingAttendee {
    pub name: Option<Masked<String>>,
    pub email: Option<Masked<String>>,
    pub phone: Option<Masked<String>>,
    pub time_zone: Option<String>,
    pub language: Option<String>,
    pub absent: bool,
    pub seat_uid: Option<String>,
}

/// One page of a list. Page until it is short or empty: the totals ignore some filters.
#[derive(Clone, Debug)]
pub struct BookingPage {
    pub bookings: Vec<Booking>,
    /// Entries that are no bookings: counted, so that a changed shape is noticed.
    pub unreadable: usize,
    /// Entries of the answer, readable or not: what paging compares with `take`.
    pub returned: usize,
    /// Present in the answers of the version that we ask for: its absence means that Cal.com fell back to another one.
    pub total_items: Option<i64>,
}

/// The key's owner.
#[derive(Clone, Debug)]
pub struct Me {
    pub id: Option<i64>,
    pub username: Option<String>,
    pub email: Option<Masked<String>>,
    pub time_zone: Option<String>,
}

/// A bookable service.
#[derive(Clone, Debug)]
pub struct EventType {
    pub id: i64,
    pub title: Option<String>,
    pub slug: Option<String>,
    pub length_min: Option<i64>,
    /// Lengths to choose from, if there are several.
    pub length_options_min: Vec<i64>,
    pub scheduling_type: Option<String>,
    pub seats_per_time_slot: Option<i64>,
    /// Every booking that the host does not make awaits the host's word (policy `always`; the policy by notice time does not say it of all).
    pub always_asks_host: bool,
    /// Required fields of the booking form, by slug.
    pub required_fields: Vec<String>,
}

/// A webhook subscription. The answer echoes its secret, which is not kept.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: String,
    pub subscriber_url: Option<String>,
    pub triggers: Vec<String>,
    pub active: bool,
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(lenient::text_of)
}

fn masked(value: &Value, name: &str) -> Option<Masked<String>> {
    text(value, name).map(Masked::new)
}

fn whole(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(lenient::whole_of)
}

fn instant(value: &Value, name: &str) -> Option<DateTime<Utc>> {
    value.get(name).and_then(lenient::instant_of)
}

fn list<T>(value: &Value, name: &str, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.get(name).and_then(Value::as_array).map(|list| list.iter().map(read).collect()).unwrap_or_default()
}

impl Booking {
    /// Reads a booking; `None` without uid or start.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let start = instant(value, "start").or_else(|| instant(value, "startTime"))?;
        let duration_min = whole(value, "duration");
        let end = instant(value, "end").or_else(|| instant(value, "endTime"));
        let minutes = duration_min.filter(|minutes| (0..=100_000).contains(minutes)).unwrap_or(0);
        Some(Self {
            id: whole(value, "id"),
            uid: text(value, "uid")?,
            status: text(value, "status").unwrap_or_default().to_ascii_lowercase(),
            title: masked(value, "title"),
            start,
            end: end.unwrap_or_else(|| start + Duration::minutes(minutes)),
            duration_min,
            event_type_id: whole(value, "eventTypeId").or_else(|| value.get("eventType").and_then(|event_type| whole(event_type, "id"))),
            hosts: list(value, "hosts", Host::from_value),
            attendees: list(value, "attendees", BookingAttendee::from_value),
            answered_phone: value.get("bookingFieldsResponses").and_then(|answers| PHONE_ANSWERS.iter().find_map(|name| masked(answers, name))),
            metadata: value.get("metadata").and_then(lenient::texts_of).unwrap_or_default(),
            location: masked(value, "location"),
            cancellation_reason: masked(value, "cancellationReason"),
            cancelled_by_email: masked(value, "cancelledByEmail"),
            rescheduling_reason: masked(value, "reschedulingReason"),
            rescheduled_by_email: masked(value, "rescheduledByEmail"),
            rescheduled_from_uid: text(value, "rescheduledFromUid"),
            rescheduled_to_uid: text(value, "rescheduledToUid"),
            recurring_booking_uid: text(value, "recurringBookingUid"),
            seat_uid: text(value, "seatUid"),
            ics_uid: text(value, "icsUid"),
            absent_host: value.get("absentHost").and_then(lenient::bool_of).unwrap_or(false),
            created_at: instant(value, "createdAt"),
            updated_at: instant(value, "updatedAt"),
        })
    }

    /// One booking, or the bookings of a series: decided by the JSON type. `None` if any of them is unreadable, or there is none.
    pub(super) fn one_or_many(data: &Value) -> Option<Vec<Self>> {
        let bookings = match data {
            Value::Array(list) => list.iter().map(Self::from_value).collect::<Option<Vec<_>>>()?,
            single => vec![Self::from_value(single)?],
        };
        (!bookings.is_empty()).then_some(bookings)
    }

    /// A booking of which no more is known than this: what an error told of it.
    #[must_use]
    pub fn told(uid: String, status: &str, start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self {
            id: None,
            uid,
            status: status.to_owned(),
            title: None,
            start,
            end,
            duration_min: None,
            event_type_id: None,
            hosts: Vec::new(),
            attendees: Vec::new(),
            answered_phone: None,
            metadata: BTreeMap::new(),
            location: None,
            cancellation_reason: None,
            cancelled_by_email: None,
            rescheduling_reason: None,
            rescheduled_by_email: None,
            rescheduled_from_uid: None,
            rescheduled_to_uid: None,
            recurring_booking_uid: None,
            seat_uid: None,
            ics_uid: None,
            absent_host: false,
            created_at: None,
            updated_at: None,
        }
    }

    /// A fake success for a blocked booker: nothing is booked.
    #[must_use]
    pub fn is_decoy(&self) -> bool {
        self.id == Some(0)
    }

    /// Cancelled, or replaced by a later booking.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.status == "cancelled"
    }
}

impl fmt::Debug for Booking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Booking")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("event_type_id", &self.event_type_id)
            .field("start", &self.start)
            .field("moved", &self.rescheduled_to_uid.is_some())
            .finish_non_exhaustive()
    }
}

impl Host {
    fn from_value(value: &Value) -> Self {
        Self {
            id: text(value, "id"),
            name: masked(value, "name"),
            email: masked(value, "email"),
            username: text(value, "username"),
            time_zone: text(value, "timeZone"),
        }
    }
}

impl BookingAttendee {
    fn from_value(value: &Value) -> Self {
        Self {
            name: masked(value, "name"),
            email: masked(value, "email"),
            phone: masked(value, "phoneNumber"),
            time_zone: text(value, "timeZone"),
            language: text(value, "language"),
            absent: value.get("absent").and_then(lenient::bool_of).unwrap_or(false),
            seat_uid: text(value, "seatUid"),
        }
    }
}

impl BookingPage {
    pub(super) fn from_answer(answer: &Value) -> Option<Self> {
        // An older version nests the list: that shape is a fallback we must not read by accident.
        let entries = answer.get("data")?.as_array()?;
        let bookings: Vec<_> = entries.iter().filter_map(Booking::from_value).collect();
        let unreadable = entries.len() - bookings.len();
        let total_items = answer.get("pagination").and_then(|pagination| whole(pagination, "totalItems"));
        Some(Self { bookings, unreadable, returned: entries.len(), total_items })
    }
}

impl Me {
    pub(super) fn from_value(value: &Value) -> Self {
        Self { id: whole(value, "id"), username: text(value, "username"), email: masked(value, "email"), time_zone: text(value, "timeZone") }
    }
}

impl EventType {
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let required = |field: &Value| {
            let is_required = field.get("required").and_then(lenient::bool_of).unwrap_or(false);
            is_required.then(|| text(field, "slug").or_else(|| text(field, "type"))).flatten()
        };
        Some(Self {
            id: whole(value, "id")?,
            title: text(value, "title"),
            slug: text(value, "slug"),
            length_min: whole(value, "lengthInMinutes"),
            length_options_min: list(value, "lengthInMinutesOptions", lenient::whole_of).into_iter().flatten().collect(),
            scheduling_type: text(value, "schedulingType"),
            seats_per_time_slot: value.get("seats").and_then(|seats| whole(seats, "seatsPerTimeSlot")).or_else(|| whole(value, "seatsPerTimeSlot")),
            always_asks_host: value.get("confirmationPolicy").and_then(|policy| text(policy, "type")).as_deref() == Some("always"),
            required_fields: list(value, "bookingFields", required).into_iter().flatten().collect(),
        })
    }
}

impl Webhook {
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "id")?,
            subscriber_url: text(value, "subscriberUrl"),
            triggers: list(value, "triggers", lenient::text_of).into_iter().flatten().collect(),
            active: value.get("active").and_then(lenient::bool_of).unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(name: &str) -> Value {
        let body = std::fs::read(format!("{}/../tests/fixtures/calcom/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()
    }

    #[test]
    fn answers_of_the_fixtures_are_read() {
        let made = Booking::one_or_many(&data("api-201-booking-create.json")["data"]).unwrap().remove(0);
        assert_eq!((made.id, made.uid.as_str(), made.status.as_str()), (Some(90_210), "2NtaeaVcKfpmSZ4CthFdfk", "accepted"));
        assert_eq!(made.hosts[0].id.as_deref(), Some("4711"));
        assert_eq!(made.metadata["appointment_id"], "018f6f2e-7c3a-7bbb-8a11-2f6b6d1c0a01");
        assert!(made.cancellation_reason.is_none(), "an empty string is no reason");
        assert_eq!(made.attendees[0].phone.as_ref().unwrap().as_str(), "+4915112345678");
        let moved = Booking::one_or_many(&data("api-201-booking-reschedule.json")["data"]).unwrap().remove(0);
        assert_eq!(moved.rescheduled_from_uid.as_deref(), Some("2NtaeaVcKfpmSZ4CthFdfk"));
        let old = Booking::one_or_many(&data("api-200-booking-get-old-after-reschedule.json")["data"]).unwrap().remove(0);
        assert!(old.is_cancelled() && old.rescheduled_to_uid.as_deref() == Some("kRsb9ejo1HVZ9XxVPqMxDe"));
        let series = Booking::one_or_many(&data("api-201-booking-create-recurring.json")["data"]).unwrap();
        assert!(series.len() > 1 && series[0].recurring_booking_uid.is_some());
        let page = BookingPage::from_answer(&data("api-200-booking-list.json")).unwrap();
        assert_eq!((page.bookings.len(), page.unreadable, page.total_items), (1, 0, Some(1)));
        let hook = Webhook::from_value(&data("api-201-webhook-create.json")["data"]).unwrap();
        assert!(hook.active && hook.triggers.len() == 3 && !format!("{hook:?}").contains("whsec_"));
        let printed = format!("{made:?} {:?}", made.attendees);
        assert!(!printed.contains("Jörg") && !printed.contains("2Ntaea"), "{printed}");
    }

    #[test]
    fn odd_answers_are_read_as_far_as_they_go() {
        let odd = json!({"id":"7","uid":"u","start":"2026-07-06T10:00:00+02:00","duration":30,"hosts":[{"id":"unknown"}],"metadata":{"n":1},"attendees":null});
        let booking = Booking::from_value(&odd).unwrap();
        assert_eq!((booking.id, booking.hosts[0].id.as_deref(), booking.metadata["n"].as_str()), (Some(7), Some("unknown"), "1"));
        assert_eq!(booking.end.to_rfc3339(), "2026-07-06T08:30:00+00:00");
        assert!(Booking::from_value(&json!({"id":1,"uid":"u"})).is_none());
        assert!(Booking::one_or_many(&json!([])).is_none());
        assert!(Booking::from_value(&json!({"id":0,"uid":"u","start":"2026-07-06T08:00:00Z"})).unwrap().is_decoy());
        let fallback = json!({"status":"success","data":{"bookings":[]}});
        assert!(BookingPage::from_answer(&fallback).is_none(), "another version's shape is not an empty page");
        let event_type = json!({"id":1320,"lengthInMinutes":30,"bookingFields":[{"type":"email","required":true},{"slug":"x","required":false}]});
        assert_eq!(EventType::from_value(&event_type).unwrap().required_fields, ["email"]);
    }
}
