//! Ends and decides bookings: cancel, confirm, decline, mark absent (reference/calcom.md 3.8, 3.9). Cancelling comes in
//! two steps, because Cal.com sends the webhook before it changes the row.

use chrono::{DateTime, Utc};

use super::errors::ApiError;
use super::ledger::Op;
use super::model::{Booking, By, Status};
use super::state::State;

pub struct Cancellation {
    /// Of one booking, or of a recurring series.
    pub uid: String,
    pub seat_uid: Option<String>,
    pub reason: Option<String>,
    /// E-mail of whoever cancels.
    pub cancelled_by: String,
    pub by: By,
    /// With a host's key a reason is required.
    pub host_key: bool,
}

impl State {
    /// Step one: may it be cancelled, and which bookings does it touch? Changes nothing.
    pub fn cancellable(&self, order: &Cancellation, now: DateTime<Utc>) -> Result<Vec<String>, ApiError> {
        if order.host_key && order.reason.as_deref().unwrap_or_default().trim().is_empty() {
            return Err(ApiError::bare(400, "Cancellation reason is required when you are the host"));
        }
        let series = self.series(&order.uid);
        if !series.is_empty() {
            let left = series.iter().filter(|booking| booking.status.is_live() && booking.end > now);
            let left: Vec<String> = left.map(|booking| booking.uid.clone()).collect();
            return if left.is_empty() { Err(already_cancelled(&order.uid)) } else { Ok(left) };
        }
        let booking = self.booking(&order.uid).ok_or_else(|| ApiError::no_booking(&order.uid))?;
        if !booking.status.is_live() {
            return Err(already_cancelled(&order.uid));
        }
        if booking.end <= now {
            return Err(ApiError::bare(400, "Cannot cancel a booking that has already ended"));
        }
        let event = self.event_types.get(&booking.event_type_id);
        if event.is_some_and(|event| event.disable_cancelling) {
            return Err(ApiError::bare(400, "This event type does not allow cancellations"));
        }
        if let Some(seat) = &order.seat_uid
            && !booking.attendees.iter().any(|attendee| attendee.seat_uid.as_ref() == Some(seat))
        {
            return Err(ApiError::named(404, format!("Seat with uid={seat} was not found")));
        }
        Ok(vec![booking.uid.clone()])
    }

    /// Step two. Fails if somebody else was faster while the webhook was on its way.
    pub fn cancel(&mut self, uid: &str, order: &Cancellation, request_id: Option<&str>, now: DateTime<Utc>) -> Result<(), ApiError> {
        let row = self.booking_mut(uid, now).ok_or_else(|| ApiError::no_booking(uid))?;
        if !row.status.is_live() {
            return Err(already_cancelled(uid));
        }
        row.updated_at = now;
        if let Some(seat) = &order.seat_uid {
            row.attendees.retain(|attendee| attendee.seat_uid.as_ref() != Some(seat));
            if !row.attendees.is_empty() {
                return Ok(());
            }
        }
        row.status = Status::Cancelled;
        row.cancellation_reason = order.reason.clone().unwrap_or_default();
        row.cancelled_by = order.cancelled_by.clone();
        row.ical_sequence += 1;
        let booking = row.clone();
        self.ledger.change(Op::Cancel, &booking, order.by, request_id, now);
        Ok(())
    }

    /// Confirms a pending booking; the webhook for it is BOOKING_CREATED.
    pub fn confirm(&mut self, uid: &str, by: By, request_id: Option<&str>, now: DateTime<Utc>) -> Result<Booking, ApiError> {
        let pending = self.pending(uid)?.clone();
        if let Some(host) = pending.organizer_id()
            && self.taken(host, pending.start, pending.end, Some(uid)).next().is_some()
        {
            return Err(ApiError::slot_taken(false));
        }
        self.settle(uid, Status::Accepted, Op::Confirm, None, (by, request_id, now))
    }

    pub fn reject(&mut self, uid: &str, reason: Option<String>, by: By, request_id: Option<&str>, now: DateTime<Utc>) -> Result<Booking, ApiError> {
        self.pending(uid)?;
        self.settle(uid, Status::Rejected, Op::Reject, reason, (by, request_id, now))
    }

    /// The booking after it, and the attendees whose mark changed.
    pub fn mark_absent(&mut self, uid: &str, host: Option<bool>, attendees: &[(String, bool)], now: DateTime<Utc>) -> Result<Booking, ApiError> {
        let row = self.booking_mut(uid, now).ok_or_else(|| ApiError::no_booking(uid))?;
        if now < row.start {
            return Err(ApiError::bare(400, "Bookings can only be marked absent after their scheduled start time."));
        }
        for (email, absent) in attendees {
            let found = row.attendees.iter_mut().find(|attendee| &attendee.email == email);
            let message = format!("Attendee with email {email} not found");
            found.ok_or_else(|| ApiError::named(404, message))?.absent = *absent;
        }
        row.absent_host = host.unwrap_or(row.absent_host);
        row.updated_at = now;
        Ok(row.clone())
    }

    fn pending(&self, uid: &str) -> Result<&Booking, ApiError> {
        let booking = self.booking(uid).ok_or_else(|| ApiError::no_booking(uid))?;
        match booking.status {
            Status::Pending => Ok(booking),
            Status::Accepted => Err(ApiError::bare(400, "Booking already confirmed")),
            Status::Cancelled | Status::Rejected => Err(ApiError::bare(400, "Booking is not pending and can not be confirmed or declined")),
        }
    }

    fn settle(
        &mut self,
        uid: &str,
        status: Status,
        op: Op,
        rejection_reason: Option<String>,
        (by, request_id, now): (By, Option<&str>, DateTime<Utc>),
    ) -> Result<Booking, ApiError> {
        let row = self.booking_mut(uid, now).ok_or_else(|| ApiError::no_booking(uid))?;
        row.status = status;
        row.rejection_reason = rejection_reason;
        row.updated_at = now;
        row.ical_sequence += i64::from(status == Status::Rejected);
        let booking = row.clone();
        self.ledger.change(op, &booking, by, request_id, now);
        Ok(booking)
    }
}

fn already_cancelled(uid: &str) -> ApiError {
    ApiError::bare(
        400,
        format!(
            "Can't cancel booking with uid={uid} because it has been cancelled already. Please provide uid of a booking \
             that is not cancelled."
        ),
    )
}
