//! Cal.com's webhooks and answers as the former system kept them in metadata and in its event table (calcom reference, chapter 2), cut down to what is told of here.
//! Called by `evidence`.
use serde_json::{Map, Value, json};

use super::copy::instant_of_calcom;
use super::life::Deed;

/// Who is in a booking.
#[derive(Debug, Clone)]
pub struct Booking<'a> {
    pub uid: &'a str,
    pub id: i64,
    pub event_type: i64,
    pub minutes: i64,
    pub host: i64,
    /// E-mail addresses of the host and of who booked.
    pub organizer: &'a str,
    pub attendee: &'a str,
    pub attendee_name: &'a str,
}

impl Booking<'_> {
    fn payload(&self, start: i64) -> Map<String, Value> {
        let mut payload = Map::new();
        payload.insert("uid".into(), json!(self.uid));
        payload.insert("bookingId".into(), json!(self.id));
        payload.insert("eventTypeId".into(), json!(self.event_type));
        payload.insert("startTime".into(), json!(instant_of_calcom(start)));
        payload.insert("endTime".into(), json!(instant_of_calcom(start + self.minutes * 60)));
        payload.insert("organizer".into(), json!({ "id": self.host, "email": self.organizer }));
        payload.insert("attendees".into(), json!([{ "name": self.attendee_name, "email": self.attendee }]));
        payload
    }

    fn of_actor(&self, deed: &Deed) -> &str {
        if deed.actor == "staff" { self.organizer } else { self.attendee }
    }

    pub fn created(&self, deed: &Deed) -> Value {
        let mut payload = self.payload(deed.to);
        payload.insert("status".into(), json!("ACCEPTED"));
        webhook("BOOKING_CREATED", deed, payload)
    }

    /// A move; `old_uid` is what the booking was called before.
    pub fn rescheduled(&self, deed: &Deed, old_uid: &str) -> Value {
        let mut payload = self.payload(deed.to);
        let from = deed.from.unwrap_or(deed.to);
        payload.insert("rescheduleUid".into(), json!(old_uid));
        payload.insert("rescheduleStartTime".into(), json!(instant_of_calcom(from)));
        payload.insert("rescheduleEndTime".into(), json!(instant_of_calcom(from + self.minutes * 60)));
        payload.insert("rescheduledBy".into(), json!(self.of_actor(deed)));
        webhook("BOOKING_RESCHEDULED", deed, payload)
    }

    /// The same as old archives have it (domain reference 2.3): other keys, and a word instead of an address.
    pub fn rescheduled_in_archive(&self, deed: &Deed) -> Value {
        let mut payload = self.payload(deed.to);
        let from = deed.from.unwrap_or(deed.to);
        payload.insert("previousStartTime".into(), json!(instant_of_calcom(from)));
        payload.insert("previousEndTime".into(), json!(instant_of_calcom(from + self.minutes * 60)));
        payload.insert("rescheduledBy".into(), json!(if deed.actor == "staff" { "organizer" } else { "attendee" }));
        webhook("BOOKING.RESCHEDULED", deed, payload)
    }

    pub fn cancelled(&self, deed: &Deed, named: bool) -> Value {
        let mut payload = self.payload(deed.to);
        payload.insert("status".into(), json!("CANCELLED"));
        if let Some(reason) = deed.reason {
            payload.insert("cancellationReason".into(), json!(reason));
        }
        if named {
            payload.insert("cancelledBy".into(), json!(self.of_actor(deed)));
        }
        webhook("BOOKING_CANCELLED", deed, payload)
    }

    /// The API's answer to a booking.
    pub fn answer(&self, start: i64, created_at: i64, call_id: Option<&str>) -> Value {
        json!({
            "id": self.id, "uid": self.uid, "status": "accepted", "eventTypeId": self.event_type, "start": instant_of_calcom(start),
            "end": instant_of_calcom(start + self.minutes * 60), "createdAt": instant_of_calcom(created_at), "hosts": [{ "id": self.host, "email": self.organizer }],
            "metadata": call_id.map_or_else(|| json!({}), |id| json!({ "call_id": id })),
        })
    }
}

fn webhook(trigger: &str, deed: &Deed, payload: Map<String, Value>) -> Value {
    json!({ "triggerEvent": trigger, "createdAt": instant_of_calcom(deed.at), "payload": payload })
}
