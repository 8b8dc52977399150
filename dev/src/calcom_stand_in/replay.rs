//! Cal.com's idempotent replay: a create or a move that does nothing and answers 201 with a booking that was there before
//! (incidents 7, 10 and 12; reference/calcom.md 3.4). Only a client that looks at token and creation time (create) or at
//! whose successor it is (move) sees it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{ApiResult, Call, Reply};
use super::model::Booking;
use super::order;
use super::output::{millis, success};
use super::state::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// An older booking of the same attendee, at its own time; for a move this may be the very booking that was to be moved.
    SameAttendee,
    /// An older booking of somebody else, at its own time.
    SomebodyElse,
    /// An older booking dressed up with the start that was wished for: only token and `createdAt` betray it.
    SameSlot,
}

/// What of a request an old booking is chosen and dressed up by.
struct Wanted {
    event_type_id: i64,
    start: DateTime<Utc>,
    email: String,
    phone_number: Option<String>,
}

/// Nothing when there is no such booking yet, or when the request would be refused anyway: it is then done as usual.
pub fn replay(call: &Call<'_>, whose: Whose) -> Option<ApiResult> {
    let state = call.inner.state();
    let wanted = match call.segments {
        ["bookings"] => state.wanted_by_create(call.body)?,
        ["bookings", uid, "reschedule"] => state.wanted_by_move(uid, call.body)?,
        _ => return None,
    };
    let old = state.older(&wanted, whose)?;
    let mut data = state.booking_output(old);
    if whose == Whose::SameSlot {
        dress(&mut data, old, &wanted);
    }
    Some(Ok(Reply { status: 201, body: success(data), later: Vec::new() }))
}

impl State {
    fn wanted_by_create(&self, body: &[u8]) -> Option<Wanted> {
        let order = order::parse(self, body).ok()?;
        Some(Wanted { event_type_id: order.event_type_id, start: order.start, email: order.attendee.email, phone_number: order.attendee.phone_number })
    }

    fn wanted_by_move(&self, uid: &str, body: &[u8]) -> Option<Wanted> {
        let start = order::start_of(&serde_json::from_slice(body).ok()?).ok()?;
        let booking = self.booking(uid).filter(|booking| booking.status.is_live())?;
        let first = booking.attendees.first()?;
        Some(Wanted { event_type_id: booking.event_type_id, start, email: first.email.clone(), phone_number: first.phone_number.clone() })
    }

    /// The newest that fits. Its event type is the one asked for, because a replay comes from one calendar.
    fn older(&self, wanted: &Wanted, whose: Whose) -> Option<&Booking> {
        let same_person = |booking: &Booking| {
            let first = booking.attendees.first();
            first.is_some_and(|first| first.email == wanted.email || (first.phone_number.is_some() && first.phone_number == wanted.phone_number))
        };
        let mut newest_first = self.bookings.values().rev().filter(|booking| booking.event_type_id == wanted.event_type_id);
        match whose {
            Whose::SameAttendee => newest_first.find(|booking| same_person(booking)),
            Whose::SomebodyElse => newest_first.find(|booking| !same_person(booking)),
            Whose::SameSlot => newest_first.next(),
        }
    }
}

fn dress(data: &mut Value, old: &Booking, wanted: &Wanted) {
    data["start"] = json!(millis(wanted.start));
    data["end"] = json!(millis(wanted.start + (old.end - old.start)));
    data["status"] = json!("accepted");
    if let Some(fields) = data.as_object_mut() {
        fields.retain(|name, _| !name.starts_with("resched"));
    }
}
