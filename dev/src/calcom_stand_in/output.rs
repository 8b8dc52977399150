//! The JSON of API answers: bookings in the 2024-08-13 shape and in the visibly different old one that a missing version
//! header gets, event types, me, webhooks (reference/calcom.md 3.1, 3.10; fixtures `api-*`).

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::model::{Attendee, Booking, EventType, Host, Webhook};
use super::state::State;

pub fn millis(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub fn success(data: Value) -> Value {
    json!({"status": "success", "data": data})
}

impl State {
    pub fn booking_output(&self, booking: &Booking) -> Value {
        let event = self.event_types.get(&booking.event_type_id);
        // One value that is no string and the output parser gives up on the whole object and on the location (3.3).
        let parsed = booking.metadata.0.iter().all(|(_, value)| value.is_string());
        let location = if parsed { self.location_of(booking) } else { String::new() };
        let mut out = json!({
            "id": booking.id, "uid": booking.uid,
            "title": self.title(booking),
            "description": booking.notes,
            "hosts": booking.host_ids.iter().map(|id| self.host_output(*id)).collect::<Vec<_>>(),
            "status": booking.status,
            "cancellationReason": booking.cancellation_reason,
            "cancelledByEmail": booking.cancelled_by,
            "start": millis(booking.start), "end": millis(booking.end), "duration": booking.minutes(),
            "eventTypeId": booking.event_type_id,
            "eventType": event.map(|event| json!({"id": event.id, "slug": event.slug})),
            "meetingUrl": location, "location": location,
            "absentHost": booking.absent_host,
            "createdAt": millis(booking.created_at), "updatedAt": millis(booking.updated_at),
            "metadata": if parsed { strings(booking) } else { json!({}) },
            "rating": null, "icsUid": booking.ical_uid,
            "attendees": booking.attendees.iter().map(attendee_output).collect::<Vec<_>>(),
            "guests": booking.guests,
            "bookingFieldsResponses": field_responses(booking),
        });
        let mut extra = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                out[name] = json!(value);
            }
        };
        extra("rescheduledFromUid", &booking.rescheduled_from);
        extra("rescheduledByEmail", &booking.rescheduled_by);
        extra("reschedulingReason", &booking.rescheduling_reason);
        extra("recurringBookingUid", &booking.recurring_uid);
        if booking.recurring_uid.is_none() {
            extra("rescheduledToUid", &booking.rescheduled_to);
        }
        out
    }

    /// What a client gets that forgot the version header: other names, upper-case status, no metadata.
    pub fn booking_old_shape(&self, booking: &Booking) -> Value {
        let organizer = booking.organizer_id().and_then(|id| self.hosts.get(&id));
        json!({
            "id": booking.id, "uid": booking.uid, "title": self.title(booking), "description": booking.notes,
            "startTime": millis(booking.start), "endTime": millis(booking.end),
            "status": booking.status.upper(),
            "userPrimaryEmail": organizer.map(|host| &host.email),
            "user": organizer.map(|host| json!({"id": host.id, "name": host.name, "email": host.email})),
            "eventType": {"id": booking.event_type_id},
            "attendees": booking.attendees.iter()
                .map(|attendee| json!({"name": attendee.name, "email": attendee.email, "locale": attendee.language,
                    "timeZone": attendee.time_zone.name()}))
                .collect::<Vec<_>>(),
        })
    }

    pub fn title(&self, booking: &Booking) -> String {
        let event = self.event_types.get(&booking.event_type_id).map_or("", |event| event.title.as_str());
        let host = booking.organizer_id().and_then(|id| self.hosts.get(&id)).map_or("", |host| host.name.as_str());
        let guest = booking.attendees.last().map_or("", |attendee| attendee.name.as_str());
        format!("{event} between {host} and {guest}")
    }

    pub fn location_of(&self, booking: &Booking) -> String {
        if booking.metadata.get("videoCallUrl").is_some() {
            return booking.video_url();
        }
        self.event_types.get(&booking.event_type_id).map(|event| event.location.clone()).unwrap_or_default()
    }

    fn host_output(&self, id: i64) -> Value {
        match self.hosts.get(&id) {
            Some(host) => {
                json!({"id": host.id, "name": host.name, "email": host.email, "displayEmail": host.email,
                "username": host.username, "timeZone": host.time_zone.name()})
            }
            None => {
                json!({"id": "unknown", "name": "unknown", "email": "unknown", "displayEmail": "unknown",
                "username": "unknown", "timeZone": "unknown"})
            }
        }
    }

    pub fn event_type_output(&self, event: &EventType) -> Value {
        let hosts = event.hosts.iter().map(|id| {
            let name = self.hosts.get(id).map(|host| host.name.as_str());
            json!({"userId": id, "name": name})
        });
        let lengths = (!event.length_options.is_empty()).then_some(&event.length_options);
        json!({
            "id": event.id, "ownerId": event.owner(), "slug": event.slug, "title": event.title,
            "description": event.description,
            "lengthInMinutes": event.length, "lengthInMinutesOptions": lengths,
            "locations": [{"type": "address", "address": event.location, "public": true}],
            "bookingFields": [
                {"isDefault": true, "type": "name", "slug": "name", "required": true},
                {"isDefault": true, "type": "email", "slug": "email", "required": event.email_required},
                {"isDefault": true, "type": "phone", "slug": "attendeePhoneNumber", "required": !event.email_required},
                {"isDefault": true, "type": "textarea", "slug": "notes", "required": false},
            ],
            "recurrence": event.recurrence.map(|most| json!({"interval": 1, "occurrences": most, "frequency": "weekly"})),
            "confirmationPolicy": event.requires_confirmation.then(|| json!({"type": "always",
                "blockUnconfirmedBookingsInBooker": false})),
            "seats": event.seats.map(|seats| json!({"seatsPerTimeSlot": seats, "showAttendeeInfo": true,
                "showAvailabilityCount": true})),
            "schedulingType": event.scheduling_type, "hosts": hosts.collect::<Vec<_>>(),
            "minimumBookingNotice": event.minimum_notice_minutes,
            "price": 0, "currency": "eur", "hidden": false, "metadata": {},
        })
    }
}

fn strings(booking: &Booking) -> Value {
    let shown = booking.metadata.0.iter().filter(|(key, _)| key != "videoCallUrl");
    Value::Object(shown.cloned().collect::<Map<_, _>>())
}

fn attendee_output(attendee: &Attendee) -> Value {
    let mut out = json!({"name": attendee.name, "email": attendee.email, "displayEmail": attendee.email,
        "timeZone": attendee.time_zone.name(), "language": attendee.language, "absent": attendee.absent});
    if let Some(phone) = &attendee.phone_number {
        out["phoneNumber"] = json!(phone);
    }
    if let Some(seat) = &attendee.seat_uid {
        out["seatUid"] = json!(seat);
        out["bookingFieldsResponses"] = json!({"name": attendee.name, "email": attendee.email});
        out["metadata"] = json!({});
    }
    out
}

fn field_responses(booking: &Booking) -> Value {
    let mut fields = Map::new();
    if let Some(first) = booking.attendees.first() {
        fields.insert("name".to_owned(), json!(first.name));
        fields.insert("email".to_owned(), json!(first.email));
        if let Some(phone) = &first.phone_number {
            fields.insert("attendeePhoneNumber".to_owned(), json!(phone));
        }
    }
    if !booking.notes.is_empty() {
        fields.insert("notes".to_owned(), json!(booking.notes));
    }
    // API reschedules write the reason here (the quirk of 2.3).
    if let Some(reason) = &booking.rescheduling_reason {
        fields.insert("rescheduledReason".to_owned(), json!(reason));
    }
    fields.extend(booking.fields.0.iter().cloned());
    Value::Object(fields)
}

pub fn me_output(host: &Host) -> Value {
    json!({"id": host.id, "username": host.username, "email": host.email, "name": host.name, "avatarUrl": null,
        "bio": null, "timeFormat": 24, "defaultScheduleId": 1, "weekStart": "Monday",
        "timeZone": host.time_zone.name(), "organizationId": null})
}

/// Echoes the secret in clear, as the original does.
pub fn webhook_output(webhook: &Webhook) -> Value {
    json!({"id": webhook.id, "userId": webhook.user_id, "payloadTemplate": null, "triggers": webhook.triggers,
        "subscriberUrl": webhook.subscriber_url, "active": webhook.active, "secret": webhook.secret,
        "version": "2021-10-20"})
}
