//! The bodies of webhooks: structs whose fields stand in the order of Cal.com's keys (fixtures 01-12). What each trigger
//! leaves out is part of the contract: see reference/calcom.md 2.2-2.6, 2.10.

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Value, json};

use super::decide::Cancellation;
use super::model::{Attendee, Booking, By, EventType, Host, Status};
use super::payload_parts::{
    AppStatus, AttendeeOut, Calendar, Cancelled, CancelledAttendee, CancelledOrganizer, Created, CreatedOrganizer, Locale, Recurring, Responses, Video,
};
use super::state::State;
use crate::stand_in::json_order::OrderedMap;

/// Which of the events that share the long payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    Created,
    Rescheduled,
    Requested,
    /// BOOKING_CREATED by confirming: the caller's metadata is missing in it (#24134).
    Confirmed,
    Rejected,
}

impl Long {
    pub fn trigger(self) -> &'static str {
        match self {
            Self::Created | Self::Confirmed => "BOOKING_CREATED",
            Self::Rescheduled => "BOOKING_RESCHEDULED",
            Self::Requested => "BOOKING_REQUESTED",
            Self::Rejected => "BOOKING_REJECTED",
        }
    }
}

impl State {
    /// Payload of CREATED, RESCHEDULED, REQUESTED and REJECTED.
    pub fn long_payload(&self, booking: &Booking, kind: Long, seat_uid: Option<&str>) -> Option<String> {
        let event = self.event_types.get(&booking.event_type_id)?;
        let host = self.hosts.get(&booking.organizer_id()?)?;
        let first = booking.attendees.first()?;
        let old = booking.rescheduled_from.as_deref().and_then(|uid| self.booking(uid));
        // A late event names the old booking only while it is about the move itself.
        let old = old.filter(|_| matches!(kind, Long::Rescheduled | Long::Requested));
        let time = |instant: DateTime<Utc>| match kind {
            Long::Rejected => super::output::millis(instant),
            _ => seconds(instant),
        };
        let video = booking.metadata.get("videoCallUrl").is_some();
        let ui = video && booking.rescheduled_from.is_none();
        let description = if booking.notes.is_empty() { &event.description } else { &booking.notes };
        let title = self.title(booking);
        let location = if video { "integrations:daily".to_owned() } else { event.location.clone() };
        to_json(&Created {
            booker_url: "https://cal.com",
            title: &title,
            start_time: time(booking.start),
            end_time: time(booking.end),
            additional_notes: &booking.notes,
            slug: &event.slug,
            description,
            event_type_id: event.id,
            hide_calendar_notes: false,
            hide_calendar_event_details: false,
            hide_organizer_email: false,
            scheduling_type: event.scheduling_type.as_deref(),
            seats_per_time_slot: event.seats,
            seats_show_attendees: true,
            seats_show_availability_count: true,
            custom_reply_to_email: None,
            disable_rescheduling: false,
            disable_cancelling: event.disable_cancelling,
            organizer: organizer(host, booking.start),
            attendees: booking.attendees.iter().map(|one| attendee(one, booking.start)).collect(),
            custom_inputs: Value::Object(Default::default()),
            responses: Responses::of(booking, first),
            user_fields_responses: Value::Object(Default::default()),
            location: &location,
            destination_calendar: ui.then(|| [Calendar::of(host)]),
            ical_uid: &booking.ical_uid,
            ical_sequence: booking.ical_sequence,
            requires_confirmation: event.requires_confirmation,
            organization_id: None,
            hashed_link: None,
            uid: &booking.uid,
            one_time_password: (kind != Long::Rejected).then_some(&*booking.one_time_password),
            apps_status: if ui { vec![AppStatus::calendar()] } else { Vec::new() },
            video_call_data: video.then(|| Video::of(booking)),
            attendee_seat_id: seat_uid,
            event_title: &event.title,
            event_description: &event.description,
            price: 0,
            currency: "eur",
            length: booking.minutes(),
            booking_id: booking.id,
            reschedule_id: old.map(|old| old.id),
            reschedule_uid: old.map(|old| &*old.uid),
            reschedule_start_time: old.map(|old| seconds(old.start)),
            reschedule_end_time: old.map(|old| seconds(old.end)),
            recurring_event: booking.recurring_uid.is_some().then(|| Recurring::weekly(event)),
            metadata: metadata_in(booking, kind),
            status: status_in(booking, kind),
            rejection_reason: booking.rejection_reason.as_deref(),
            rescheduled_by: booking.rescheduled_by.as_deref().filter(|_| old.is_some()),
        })
    }

    /// Payload of CANCELLED as the inline path sends it: `+00:00` times, no metadata, sequence + 1, and the row is
    /// still live while it travels.
    pub fn cancelled_payload(&self, booking: &Booking, order: &Cancellation, whole_series: bool) -> Option<String> {
        let event = self.event_types.get(&booking.event_type_id)?;
        let host = self.hosts.get(&booking.organizer_id()?)?;
        // One seat cancelled: the leaver only (2.4).
        let leavers = booking.attendees.iter().filter(|one| match &order.seat_uid {
            Some(seat) => one.seat_uid.as_ref() == Some(seat),
            None => true,
        });
        let leavers: Vec<&Attendee> = leavers.collect();
        let video = booking.metadata.get("videoCallUrl").is_some();
        let location = if video { "integrations:daily" } else { event.location.as_str() };
        let title = self.title(booking);
        to_json(&Cancelled {
            booker_url: "https://cal.com",
            title: &title,
            length: booking.minutes(),
            slug: &event.slug,
            additional_notes: &booking.notes,
            description: &event.description,
            custom_inputs: Value::Object(Default::default()),
            event_type_id: event.id,
            responses: Responses::of(booking, leavers.first()?),
            user_fields_responses: Value::Object(Default::default()),
            start_time: with_offset(booking.start),
            end_time: with_offset(booking.end),
            organizer: CancelledOrganizer {
                id: host.id,
                username: &host.username,
                email: &host.email,
                name: &host.name,
                time_zone: host.time_zone.name(),
                time_format: "HH:mm",
                language: Locale { locale: "de" },
                utc_offset: utc_offset(host.time_zone, booking.start),
            },
            attendees: leavers.iter().map(|one| cancelled_attendee(one, booking.start)).collect(),
            uid: &booking.uid,
            booking_id: booking.id,
            recurring_event: whole_series.then(|| Recurring::weekly(event)),
            location,
            destination_calendar: [],
            cancellation_reason: order.reason.as_deref(),
            seats_per_time_slot: event.seats,
            seats_show_attendees: true,
            ical_uid: &booking.ical_uid,
            ical_sequence: booking.ical_sequence + 1,
            hide_organizer_email: false,
            custom_reply_to_email: None,
            organization_id: None,
            event_title: &event.title,
            event_description: &event.description,
            requires_confirmation: event.requires_confirmation.then_some(true),
            price: None,
            currency: "eur",
            status: "CANCELLED",
            cancelled_by: (order.by != By::Api).then_some(&*order.cancelled_by),
        })
    }
}

/// The key is `bookingUid` here and not `uid`.
pub fn no_show_payload(booking: &Booking, changed: &[(String, bool)]) -> Option<String> {
    #[derive(Serialize)]
    struct Mark<'a> {
        email: &'a str,
        #[serde(rename = "noShow")]
        no_show: bool,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct NoShow<'a> {
        message: String,
        attendees: Vec<Mark<'a>>,
        booking_uid: &'a str,
        booking_id: i64,
    }
    let emails: Vec<&str> = changed.iter().map(|(email, _)| email.as_str()).collect();
    let word = if changed.iter().all(|(_, absent)| *absent) { "marked" } else { "unmarked" };
    to_json(&NoShow {
        message: format!("{} {word} as no-show", emails.join(", ")),
        attendees: changed.iter().map(|(email, no_show)| Mark { email, no_show: *no_show }).collect(),
        booking_uid: &booking.uid,
        booking_id: booking.id,
    })
}

/// The "Ping test" button: the payload of fixture 14 at the given instant.
pub fn ping_payload(now: DateTime<Utc>) -> String {
    let at = super::output::millis(now);
    let london = r#""timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":60"#;
    format!(
        r#"{{"type":"Test","title":"Test trigger event","description":"","startTime":"{at}","endTime":"{at}","attendees":[{{"email":"jdoe@example.com","name":"John Doe",{london}}}],"organizer":{{"name":"Cal","email":"no-reply@cal.com",{london}}}}}"#
    )
}

fn metadata_in(booking: &Booking, kind: Long) -> Option<OrderedMap> {
    let video = booking.metadata.get("videoCallUrl").is_some();
    let link = || OrderedMap(vec![("videoCallUrl".to_owned(), json!(booking.video_url()))]);
    match kind {
        Long::Rejected => None,
        Long::Confirmed => video.then(link),
        _ => {
            let mut metadata = booking.metadata.clone();
            if video {
                metadata.insert("videoCallUrl", json!(booking.video_url()));
            }
            Some(metadata)
        }
    }
}

fn status_in(booking: &Booking, kind: Long) -> &'static str {
    match kind {
        Long::Requested => Status::Pending.upper(),
        Long::Rejected => Status::Rejected.upper(),
        Long::Confirmed => Status::Accepted.upper(),
        Long::Created | Long::Rescheduled => booking.status.upper(),
    }
}

fn organizer(host: &Host, start: DateTime<Utc>) -> CreatedOrganizer<'_> {
    CreatedOrganizer {
        id: host.id,
        name: &host.name,
        email: &host.email,
        username: &host.username,
        time_zone: host.time_zone.name(),
        language: Locale { locale: "de" },
        time_format: "HH:mm",
        utc_offset: utc_offset(host.time_zone, start),
    }
}

fn attendee(one: &Attendee, start: DateTime<Utc>) -> AttendeeOut<'_> {
    let (first_name, last_name) = one.name.split_once(' ').unwrap_or((&one.name, ""));
    AttendeeOut {
        email: &one.email,
        name: &one.name,
        phone_number: one.phone_number.as_deref(),
        first_name,
        last_name,
        time_zone: one.time_zone.name(),
        language: Locale { locale: &one.language },
        utc_offset: utc_offset(one.time_zone, start),
    }
}

fn cancelled_attendee(one: &Attendee, start: DateTime<Utc>) -> CancelledAttendee<'_> {
    CancelledAttendee {
        name: &one.name,
        email: &one.email,
        time_zone: one.time_zone.name(),
        phone_number: one.phone_number.as_deref(),
        language: Locale { locale: &one.language },
        utc_offset: utc_offset(one.time_zone, start),
    }
}

/// Minutes east of UTC at that instant.
fn utc_offset(zone: Tz, at: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc() / 60
}

fn seconds(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn with_offset(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

fn to_json(payload: &impl Serialize) -> Option<String> {
    serde_json::to_string(payload).ok()
}

impl Recurring {
    fn weekly(event: &EventType) -> Self {
        Self { freq: 2, count: event.recurrence.unwrap_or(1), interval: 1 }
    }
}
