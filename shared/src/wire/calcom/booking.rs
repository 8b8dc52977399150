//! The booking inside a webhook, picked field by field: a field of another type is absent, never an error.
//!
//! Fields: Cal.com reference sections 2.1 to 2.11. A uid is a capability (section 3.2), so it does not print; `booking_id` does.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::telemetry::Masked;
use crate::wire::lenient;

/// A seated course has dozens; a body with thousands is not a booking.
const ATTENDEES_MAX: usize = 500;

/// Where a phone number may stand among the booking form's answers, most trusted first.
const PHONE_ANSWERS: [&str; 6] = ["attendeePhoneNumber", "phone", "telefon", "telefonnummer", "phoneNumber", "smsReminderNumber"];

/// A booking as an event tells it.
#[derive(Clone, Default)]
pub struct CalcomBooking {
    /// `uid`, or `bookingUid` in attendance events.
    pub uid: Option<String>,
    pub booking_id: Option<i64>,
    /// Lower case: accepted, pending, cancelled, rejected and whatever comes.
    pub status: Option<String>,
    pub event_type_id: Option<i64>,
    pub title: Option<Masked<String>>,
    /// The event type's own title, without people's names.
    pub event_title: Option<String>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub length_min: Option<i64>,
    pub organizer: Option<Organizer>,
    /// First the booker, then guests; of a cancelled seat only the leaver.
    pub attendees: Vec<Attendee>,
    /// Hosts of a team event.
    pub team_members: Vec<Attendee>,
    /// The old booking of a move.
    pub reschedule_uid: Option<String>,
    pub reschedule_id: Option<i64>,
    pub reschedule_starts_at: Option<DateTime<Utc>>,
    pub reschedule_ends_at: Option<DateTime<Utc>>,
    /// An e-mail address; absent when the API did it.
    pub rescheduled_by: Option<Masked<String>>,
    pub cancelled_by: Option<Masked<String>>,
    pub reschedule_reason: Option<Masked<String>>,
    pub cancellation_reason: Option<Masked<String>>,
    pub rejection_reason: Option<Masked<String>>,
    pub request_reschedule: bool,
    pub attendee_seat_id: Option<String>,
    pub seats_per_time_slot: Option<i64>,
    pub ical_uid: Option<String>,
    pub ical_sequence: Option<i64>,
    /// Ours and Cal.com's keys as texts. `None` when the event carries none: then what is stored stays.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The event carries a recurrence.
    pub recurring: bool,
    pub requires_confirmation: Option<bool>,
    pub location: Option<Masked<String>>,
    pub notes: Option<Masked<String>>,
    /// Minor units.
    pub price: Option<i64>,
    pub currency: Option<String>,
    pub payment_id: Option<i64>,
    /// Only in flat events: the row's own stamps.
    pub booked_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    answered_phone: Option<Masked<String>>,
}

/// The host.
#[derive(Clone, Debug, Default)]
pub struct Organizer {
    pub id: Option<i64>,
    pub name: Option<Masked<String>>,
    pub email: Option<Masked<String>>,
    pub username: Option<String>,
    pub time_zone: Option<String>,
}

/// A participant.
#[derive(Clone, Debug, Default)]
pub struct Attendee {
    pub name: Option<Masked<String>>,
    pub email: Option<Masked<String>>,
    pub phone: Option<Masked<String>>,
    pub time_zone: Option<String>,
    pub locale: Option<String>,
    pub no_show: Option<bool>,
}

/// Reads fields of one object.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(lenient::text_of)
    }

    fn masked(&self, name: &str) -> Option<Masked<String>> {
        self.text(name).map(Masked::new)
    }

    fn whole(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(lenient::whole_of)
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(lenient::bool_of)
    }

    fn instant(&self, name: &str) -> Option<DateTime<Utc>> {
        self.0.get(name).and_then(lenient::instant_of)
    }

    fn people(&self, name: &str) -> Vec<Attendee> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.map(|people| people.iter().take(ATTENDEES_MAX).map(Attendee::from_value).collect()).unwrap_or_default()
    }

    /// An answer of the booking form: plain, or `{label, value}`.
    fn answer(&self, name: &str) -> Option<Masked<String>> {
        ["responses", "userFieldsResponses", "customInputs"].iter().find_map(|group| {
            let answer = self.0.get(group)?.get(name)?;
            lenient::text_of(answer.get("value").unwrap_or(answer)).map(Masked::new)
        })
    }
}

impl CalcomBooking {
    pub(super) fn from_value(value: &Value) -> Self {
        let fields = Fields(value);
        let mut booking = Self {
            uid: fields.text("uid").or_else(|| fields.text("bookingUid")),
            // A flat row calls it `id`.
            booking_id: fields.whole("bookingId").or_else(|| fields.whole("id")),
            status: fields.text("status").map(|status| status.to_ascii_lowercase()),
            event_type_id: fields.whole("eventTypeId"),
            title: fields.masked("title"),
            event_title: fields.text("eventTitle"),
            starts_at: fields.instant("startTime"),
            ends_at: fields.instant("endTime"),
            length_min: fields.whole("length"),
            organizer: value.get("organizer").filter(|organizer| organizer.is_object()).map(Organizer::from_value),
            attendees: fields.people("attendees"),
            team_members: value.get("team").map(|team| Fields(team).people("members")).unwrap_or_default(),
            attendee_seat_id: fields.text("attendeeSeatId"),
            seats_per_time_slot: fields.whole("seatsPerTimeSlot"),
            ical_uid: fields.text("iCalUID"),
            ical_sequence: fields.whole("iCalSequence"),
            metadata: value.get("metadata").and_then(lenient::texts_of),
            recurring: value.get("recurringEvent").is_some_and(Value::is_object) || fields.text("recurringEventId").is_some(),
            requires_confirmation: fields.flag("requiresConfirmation"),
            location: fields.masked("location"),
            notes: fields.masked("additionalNotes"),
            price: fields.whole("price"),
            currency: fields.text("currency"),
            payment_id: fields.whole("paymentId"),
            booked_at: fields.instant("createdAt"),
            updated_at: fields.instant("updatedAt"),
            answered_phone: PHONE_ANSWERS.iter().find_map(|name| fields.answer(name)).or_else(|| fields.masked("smsReminderNumber")),
            ..Self::default()
        };
        booking.read_change(&fields);
        booking
    }

    fn read_change(&mut self, fields: &Fields<'_>) {
        self.reschedule_uid = fields.text("rescheduleUid").or_else(|| fields.text("fromReschedule"));
        self.reschedule_id = fields.whole("rescheduleId");
        self.reschedule_starts_at = fields.instant("rescheduleStartTime");
        self.reschedule_ends_at = fields.instant("rescheduleEndTime");
        self.rescheduled_by = fields.masked("rescheduledBy");
        self.cancelled_by = fields.masked("cancelledBy");
        // The API writes `rescheduledReason`, the UI `rescheduleReason`: either is taken (reference section 2.3).
        self.reschedule_reason = fields.answer("rescheduledReason").or_else(|| fields.answer("rescheduleReason"));
        self.cancellation_reason = fields.masked("cancellationReason");
        self.rejection_reason = fields.masked("rejectionReason");
        self.request_reschedule = fields.flag("requestReschedule").unwrap_or(false);
    }

    /// A metadata value.
    #[must_use]
    pub fn metadata_text(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.get(key).map(String::as_str)
    }

    /// The booker's phone number: the attendee's own, else the booking form's.
    #[must_use]
    pub fn attendee_phone(&self) -> Option<&Masked<String>> {
        self.attendees.first().and_then(|attendee| attendee.phone.as_ref()).or(self.answered_phone.as_ref())
    }

    /// The host asks the customer to pick another time: not a cancellation by the customer. The flag exists since 2026, the prefix before.
    #[must_use]
    pub fn is_reschedule_request(&self) -> bool {
        self.request_reschedule || self.cancellation_reason.as_ref().is_some_and(|reason| reason.as_str().starts_with("Please reschedule. "))
    }

    /// Several participants share this booking: an event may speak of one seat only.
    #[must_use]
    pub const fn is_seated(&self) -> bool {
        self.seats_per_time_slot.is_some()
    }
}

impl fmt::Debug for CalcomBooking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CalcomBooking")
            .field("booking_id", &self.booking_id)
            .field("event_type_id", &self.event_type_id)
            .field("status", &self.status)
            .field("starts_at", &self.starts_at)
            .field("ical_sequence", &self.ical_sequence)
            .field("attendees", &self.attendees.len())
            .finish_non_exhaustive()
    }
}

impl Organizer {
    fn from_value(value: &Value) -> Self {
        let fields = Fields(value);
        Self {
            id: fields.whole("id"),
            name: fields.masked("name"),
            email: fields.masked("email"),
            username: fields.text("username"),
            time_zone: fields.text("timeZone"),
        }
    }
}

impl Attendee {
    fn from_value(value: &Value) -> Self {
        let fields = Fields(value);
        let language = value.get("language").and_then(|language| language.get("locale")).and_then(lenient::text_of);
        Self {
            name: fields.masked("name"),
            email: fields.masked("email"),
            phone: fields.masked("phoneNumber").or_else(|| fields.masked("phone")),
            time_zone: fields.text("timeZone"),
            locale: language.or_else(|| fields.text("locale")),
            no_show: fields.flag("noShow"),
        }
    }
}
