//! Cal.com's webhooks: trigger and booking, whatever the shape.
//!
//! Shapes and traps: Cal.com reference section 2. No required field but the object itself: flat time-based events, `bookingUid` instead of `uid`, and
//! custom templates are all read. Bodies are at most 1 MiB and typically 3 KB, so a value tree is affordable and the most tolerant reader.

mod booking;

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use booking::{Attendee, CalcomBooking, Organizer};

use super::{WireError, lenient};

/// What happened. Open: hosted Cal.com adds names without notice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    BookingCreated,
    BookingRequested,
    BookingPaymentInitiated,
    BookingPaid,
    BookingRescheduled,
    BookingCancelled,
    BookingRejected,
    BookingNoShowUpdated,
    BookingReassigned,
    BookingLocationUpdated,
    MeetingStarted,
    MeetingEnded,
    Ping,
    /// A name we do not know, as it came.
    Other(String),
    /// No trigger at all: a webhook with a payload template of the owner's.
    Absent,
}

const TRIGGERS: [(Trigger, &str); 13] = [
    (Trigger::BookingCreated, "BOOKING_CREATED"),
    (Trigger::BookingRequested, "BOOKING_REQUESTED"),
    (Trigger::BookingPaymentInitiated, "BOOKING_PAYMENT_INITIATED"),
    (Trigger::BookingPaid, "BOOKING_PAID"),
    (Trigger::BookingRescheduled, "BOOKING_RESCHEDULED"),
    (Trigger::BookingCancelled, "BOOKING_CANCELLED"),
    (Trigger::BookingRejected, "BOOKING_REJECTED"),
    (Trigger::BookingNoShowUpdated, "BOOKING_NO_SHOW_UPDATED"),
    (Trigger::BookingReassigned, "BOOKING_REASSIGNED"),
    (Trigger::BookingLocationUpdated, "BOOKING_LOCATION_UPDATED"),
    (Trigger::MeetingStarted, "MEETING_STARTED"),
    (Trigger::MeetingEnded, "MEETING_ENDED"),
    (Trigger::Ping, "PING"),
];

impl Trigger {
    /// The trigger of that name; dots are tolerated for underscores, as in the former system's own documents.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let canonical = name.trim().replace('.', "_").to_ascii_uppercase();
        if canonical.is_empty() {
            return Self::Absent;
        }
        TRIGGERS.iter().find(|(_, known)| *known == canonical).map_or_else(|| Self::Other(name.trim().to_owned()), |(trigger, _)| trigger.clone())
    }

    /// The canonical name; a closed set for labels, `other` for the unknown.
    #[must_use]
    pub fn label(&self) -> &'static str {
        TRIGGERS.iter().find(|(trigger, _)| trigger == self).map_or("other", |(_, name)| name)
    }
}

/// One webhook.
pub struct CalcomEvent {
    pub trigger: Trigger,
    /// When Cal.com made the event: `now()` per subscriber, so neither a sequence number nor an identity. `None` for flat events, whose `createdAt` is
    /// the booking's.
    pub created_at: Option<DateTime<Utc>>,
    /// The booking's fields stood at the root: a snapshot of creation time, stale after edits.
    pub flat: bool,
    pub payload: CalcomBooking,
}

impl CalcomEvent {
    /// Reads a webhook body.
    ///
    /// # Errors
    /// Not JSON, or not an object.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let root: Value = serde_json::from_slice(body).map_err(|error| WireError::json(&error))?;
        if !root.is_object() {
            return Err(WireError::Field { field: "payload" });
        }
        let trigger = root.get("triggerEvent").and_then(Value::as_str).map_or(Trigger::Absent, Trigger::parse);
        let wrapped = root.get("payload").filter(|payload| payload.is_object());
        let created_at = wrapped.and_then(|_| root.get("createdAt")).and_then(lenient::instant_of);
        let payload = CalcomBooking::from_value(wrapped.unwrap_or(&root));
        Ok(Self { trigger, created_at, flat: wrapped.is_none(), payload })
    }

    /// The test button of the webhook page: its trigger may be any name, its payload names no booking.
    #[must_use]
    pub fn is_ping(&self) -> bool {
        self.trigger == Trigger::Ping || (self.payload.uid.is_none() && self.payload.title.as_ref().is_some_and(|title| title.as_str() == "Test trigger event"))
    }
}

impl fmt::Debug for CalcomEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CalcomEvent")
            .field("trigger", &self.trigger.label())
            .field("flat", &self.flat)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str) -> CalcomEvent {
        let body = std::fs::read(format!("{}/../tests/fixtures/calcom/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        CalcomEvent::parse(&body).unwrap()
    }

    fn at(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_created_booking_is_read_with_our_tags() {
        let event = event("01-booking-created-api-echo.json");
        assert_eq!(event.trigger, Trigger::BookingCreated);
        assert_eq!(event.created_at, at("2026-06-30T12:00:01.201Z"));
        let booking = event.payload;
        assert_eq!(booking.uid.as_deref(), Some("2NtaeaVcKfpmSZ4CthFdfk"));
        assert_eq!((booking.booking_id, booking.event_type_id, booking.length_min), (Some(90_210), Some(1320), Some(30)));
        assert_eq!((booking.starts_at, booking.ends_at), (at("2026-07-06T08:00:00Z"), at("2026-07-06T08:30:00Z")));
        assert_eq!(booking.status.as_deref(), Some("accepted"));
        assert_eq!(booking.metadata_text("appointment_id"), Some("018f6f2e-7c3a-7bbb-8a11-2f6b6d1c0a01"));
        assert_eq!(booking.organizer.as_ref().unwrap().id, Some(4711));
        assert_eq!(booking.attendees[0].name.as_ref().unwrap().as_str(), "Jörg Müller");
        assert_eq!(booking.attendee_phone().unwrap().as_str(), "+4915112345678");
        assert_eq!(booking.notes.unwrap().as_str(), "Bitte Maschine 6 mm");
        assert_eq!(booking.ical_sequence, Some(0));
    }

    #[test]
    fn a_move_names_the_old_booking_and_who_moved_it() {
        let booking = event("03-booking-rescheduled.json").payload;
        assert_eq!(booking.uid.as_deref(), Some("kRsb9ejo1HVZ9XxVPqMxDe"));
        assert_eq!(booking.reschedule_uid.as_deref(), Some("2NtaeaVcKfpmSZ4CthFdfk"));
        assert_eq!(booking.reschedule_starts_at, at("2026-07-06T08:00:00Z"));
        assert_eq!(booking.rescheduled_by.unwrap().as_str(), "rieke@praxis-muster.example");
        assert_eq!((booking.reschedule_id, booking.ical_sequence), (Some(90_210), Some(1)));
    }

    #[test]
    fn a_cancellation_without_metadata_says_so_and_does_not_say_empty() {
        let plain = event("04-booking-cancelled.json").payload;
        assert_eq!(plain.metadata, None, "absent must not overwrite what is stored");
        assert_eq!(plain.starts_at, at("2026-07-07T12:00:00Z"));
        assert!(!plain.is_reschedule_request());
        assert_eq!(plain.cancellation_reason.unwrap().as_str(), "Kunde hat telefonisch abgesagt");
        let asked = event("06-booking-cancelled-request-reschedule.json").payload;
        assert!(asked.is_reschedule_request() && asked.metadata.is_some());
        assert_eq!(asked.cancelled_by.unwrap().as_str(), "rieke@praxis-muster.example");
    }

    #[test]
    fn every_other_shape_is_read() {
        let pending = event("07-booking-requested.json");
        assert_eq!((pending.trigger, pending.payload.status.as_deref()), (Trigger::BookingRequested, Some("pending")));
        let rejected = event("10-booking-rejected.json").payload;
        assert_eq!(rejected.rejection_reason.unwrap().as_str(), "Praxis geschlossen");
        let absent = event("12-booking-no-show-updated.json").payload;
        assert_eq!(absent.uid.as_deref(), Some("2NtaeaVcKfpmSZ4CthFdfk"), "bookingUid");
        assert_eq!(absent.attendees[0].no_show, Some(true));
        let seat = event("15-booking-created-second-seat.json").payload;
        assert!(seat.is_seated() && seat.attendee_seat_id.is_some() && seat.attendees.len() == 2);
        let moved_host = event("21-booking-reassigned-hosted-2026.json");
        assert_eq!((moved_host.trigger, moved_host.payload.organizer.unwrap().id), (Trigger::BookingReassigned, Some(4712)));
        let bare = event("19-no-secret.json").payload;
        assert_eq!((bare.booking_id, bare.starts_at), (Some(90_210), None));
    }

    #[test]
    fn flat_and_foreign_shapes_are_read() {
        let flat = event("13-meeting-ended-flat.json");
        assert!(flat.flat && flat.created_at.is_none());
        assert_eq!(flat.trigger, Trigger::MeetingEnded);
        assert_eq!(flat.payload.uid.as_deref(), Some("sm6bhSFd8qhjn4ZbxYe3gU"));
        assert_eq!(flat.payload.booking_id, Some(90_233));
        assert_eq!(flat.payload.updated_at, at("2026-06-30T12:04:43.800Z"));
        assert!(event("14-ping-test.json").is_ping());
        let template = event("17-custom-template.json");
        assert_eq!(template.trigger, Trigger::Absent);
        assert_eq!(template.payload.uid.as_deref(), Some("2NtaeaVcKfpmSZ4CthFdfk"));
        for body in [&b"false"[..], b"[]", b"", b"\"x\""] {
            assert!(CalcomEvent::parse(body).is_err());
        }
    }

    #[test]
    fn trigger_names_are_an_open_set() {
        assert_eq!(Trigger::parse("BOOKING.CREATED"), Trigger::BookingCreated);
        assert_eq!(Trigger::parse("BOOKING_TELEPORTED"), Trigger::Other("BOOKING_TELEPORTED".to_owned()));
        assert_eq!(Trigger::parse("BOOKING_TELEPORTED").label(), "other");
        for (trigger, name) in TRIGGERS {
            assert_eq!(Trigger::parse(name), trigger);
        }
    }

    #[test]
    fn nothing_of_a_person_and_no_capability_is_printed() {
        let files = std::fs::read_dir(format!("{}/../tests/fixtures/calcom", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut seen = 0;
        for file in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let Ok(event) = CalcomEvent::parse(&std::fs::read(&file).unwrap()) else {
                continue;
            };
            let printed = format!("{event:?}");
            for word in ["Jörg", "Müller", "Erika", "4915112345678", "@", "2NtaeaVcKfpmSZ4CthFdfk", "Maschine", "Hauptstraße"] {
                assert!(!printed.contains(word), "{word} of {} in {printed}", file.display());
            }
            seen += 1;
        }
        assert!(seen > 12);
    }
}
