//! Cal.com's idempotent replay: a create that makes nothing and answers 201 with a booking that was there before
//! (incidents 7 and 10; reference/calcom.md 3.4). Only a client that looks at token and creation time sees it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{ApiResult, Call, Reply};
use super::model::Booking;
use super::order::{self, Order};
use super::output::{millis, success};
use super::state::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// An older booking of the same attendee, at its own time.
    SameAttendee,
    /// An older booking of somebody else, at its own time.
    SomebodyElse,
    /// An older booking dressed up with the start that was wished for: only token and `createdAt` betray it.
    SameSlot,
}

/// Nothing when there is no such booking yet: the create is then done as usual.
pub fn replay(call: &Call<'_>, whose: Whose) -> Option<ApiResult> {
    let state = call.inner.state();
    // What validation refuses is refused as ever.
    let order = order::parse(&state, call.body).ok()?;
    let old = state.older(&order, whose)?;
    let mut data = state.booking_output(old);
    if whose == Whose::SameSlot {
        dress(&mut data, old, &order);
    }
    Some(Ok(Reply { status: 201, body: success(data), later: Vec::new() }))
}

impl State {
    /// The newest that fits. Its event type is the one asked for, because a replay comes from one calendar.
    fn older(&self, order: &Order, whose: Whose) -> Option<&Booking> {
        let same_person = |booking: &Booking| {
            let first = booking.attendees.first();
            first
                .is_some_and(|first| first.email == order.attendee.email || (first.phone_number.is_some() && first.phone_number == order.attendee.phone_number))
        };
        let mut newest_first = self.bookings.values().rev().filter(|booking| booking.event_type_id == order.event_type_id);
        match whose {
            Whose::SameAttendee => newest_first.find(|booking| same_person(booking)),
            Whose::SomebodyElse => newest_first.find(|booking| !same_person(booking)),
            Whose::SameSlot => newest_first.next(),
        }
    }
}

fn dress(data: &mut Value, old: &Booking, order: &Order) {
    data["start"] = json!(millis(order.start));
    data["end"] = json!(millis(order.start + (old.end - old.start)));
    data["status"] = json!("accepted");
    if let Some(fields) = data.as_object_mut() {
        fields.retain(|name, _| !name.starts_with("resched"));
    }
}
