//! Moves bookings: a new uid, the old row cancelled and pointing to it, in one step (reference/calcom.md 3.7, 2.3).

use chrono::{DateTime, Utc};

use super::book::check_time;
use super::errors::ApiError;
use super::ledger::Op;
use super::model::{Booking, By, Status, new_uid, random_uuid};
use super::state::State;

pub struct Move {
    pub uid: String,
    pub start: DateTime<Utc>,
    pub reason: Option<String>,
    /// E-mail of whoever moves it.
    pub moved_by: Option<String>,
    pub by: By,
}

impl State {
    /// The uid of the new booking.
    pub fn reschedule(&mut self, order: &Move, request_id: Option<&str>, now: DateTime<Utc>) -> Result<String, ApiError> {
        let old = self.movable(&order.uid)?.clone();
        let event = self.event_types.get(&old.event_type_id).cloned().ok_or_else(|| ApiError::no_event_type(&old.event_type_id.to_string()))?;
        check_time(&event, order.start, now)?;
        let host_ids = match event.is_round_robin() && self.still_free(&old, order.start) {
            // The original keeps the host of a round robin when that host has time.
            true => old.host_ids.clone(),
            false => self.free_hosts(&event, order.start, old.minutes(), Some(&old.uid))?,
        };
        // The owner's key moves at once; anybody else asks again (#21169).
        let status = match event.requires_confirmation && order.by == By::Visitor {
            true => Status::Pending,
            false => old.status,
        };
        let new = Booking {
            id: self.next_booking_id(),
            uid: new_uid(),
            host_ids,
            status,
            start: order.start,
            end: order.start + (old.end - old.start),
            created_at: now,
            updated_at: now,
            rescheduled_from: Some(old.uid.clone()),
            rescheduled_by: order.moved_by.clone(),
            rescheduling_reason: order.reason.clone(),
            ical_sequence: old.ical_sequence + 1,
            one_time_password: random_uuid(),
            // The original's metadata rides along.
            ..old
        };
        let new_uid = new.uid.clone();
        if let Some(row) = self.booking_mut(&order.uid, now) {
            row.status = Status::Cancelled;
            row.rescheduled_to = Some(new_uid.clone());
            row.rescheduled_by = order.moved_by.clone();
            row.rescheduling_reason = order.reason.clone();
            row.updated_at = now;
        }
        self.ledger.change(Op::Reschedule, &new, order.by, request_id, now);
        self.insert(new);
        Ok(new_uid)
    }

    fn still_free(&self, old: &Booking, start: DateTime<Utc>) -> bool {
        let end = start + (old.end - old.start);
        old.host_ids.iter().all(|host| self.taken(*host, start, end, Some(&old.uid)).next().is_none())
    }

    fn movable(&self, uid: &str) -> Result<&Booking, ApiError> {
        // A plain error in the original, therefore a 500 and not a 404.
        let Some(booking) = self.booking(uid) else {
            return Err(ApiError::shape_b(500, "Internal server error"));
        };
        if booking.status.is_live() {
            return Ok(booking);
        }
        let message = match &booking.rescheduled_to {
            Some(to) => format!(
                "Can't reschedule booking with uid={uid} because it has been cancelled and rescheduled already to \
                 booking with uid={to}. You probably want to reschedule {to} instead by passing it within the request \
                 URL."
            ),
            None => format!(
                "Can't reschedule booking with uid={uid} because it has been cancelled. Please provide uid of a booking \
                 that is not cancelled."
            ),
        };
        Err(ApiError::named(400, message))
    }
}
