//! The history of an appointment as its chain has it: which rows of `appointment_modifications` each uid stands for. A function of the chain and of nothing
//! else, so that rows change when the chain learns better. Not the appointment's own columns: that is the projection.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::marks::Mark;
use super::{Booking, BookingState, Chain};
use crate::domain::provenance::{AuditGroup, cancellation_reason};

/// A row of `appointment_modifications`, less what the store adds (ids, appointment, customer). One per uid and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Modification {
    pub kind: &'static str,
    pub calcom_uid: String,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub new_starts_at: Option<DateTime<Utc>>,
    pub actor: String,
    pub source: String,
    pub user_id: Option<Uuid>,
    pub call_id: Option<Uuid>,
    pub intent_id: Option<Uuid>,
    pub message_id: Option<String>,
    pub reason: Option<String>,
    pub occurred_at: DateTime<Utc>,
}

impl Chain {
    /// Every modification row that the chain stands for.
    #[must_use]
    pub fn history(&self) -> Vec<Modification> {
        self.bookings.iter().flat_map(|booking| self.rows_of(booking)).collect()
    }

    fn rows_of(&self, booking: &Booking) -> Vec<Modification> {
        let marks = &booking.marks;
        let mut rows = Vec::new();
        match &booking.predecessor_uid {
            _ if booking.placeholder => {}
            None => rows.extend(marks.opened.as_ref().map(|mark| row("booked", booking, mark, AuditGroup::Booking))),
            Some(predecessor) => {
                let previous_starts_at = Some(self.booking(predecessor).map_or(booking.starts_at, |old| old.starts_at));
                rows.extend(booking.moved().map(|mark| Modification { previous_starts_at, ..row("rescheduled", booking, &mark, AuditGroup::Reschedule) }));
            }
        }
        if let (Some(_), Some(accepted)) = (booking.requested_at, &marks.accepted) {
            rows.push(row("confirmed", booking, accepted, AuditGroup::Reschedule));
        }
        let endings = [
            ("reschedule_requested", BookingState::RescheduleRequested, &marks.reschedule_requested),
            ("rejected", BookingState::Rejected, &marks.rejected),
            ("cancelled", BookingState::Cancelled, &marks.cancelled),
        ];
        for (kind, state, mark) in endings {
            let mark = mark.clone().or_else(|| (booking.state == state).then(|| booking.unheard()));
            rows.extend(mark.map(|mark| Modification {
                previous_starts_at: Some(booking.starts_at),
                new_starts_at: None,
                reason: Some(cancellation_reason(mark.reason.as_ref().map(|reason| reason.text.as_str()))),
                ..row(kind, booking, &mark, AuditGroup::Cancellation)
            }));
        }
        for (kind, mark) in [("no_show", &marks.no_show), ("no_show_withdrawn", &marks.no_show_withdrawn)] {
            rows.extend(mark.as_ref().map(|mark| row(kind, booking, mark, AuditGroup::Reschedule)));
        }
        rows
    }
}

fn row(kind: &'static str, booking: &Booking, mark: &Mark, group: AuditGroup) -> Modification {
    let stamp = mark.stamp(group);
    Modification {
        kind,
        calcom_uid: booking.uid.clone(),
        previous_starts_at: None,
        new_starts_at: Some(booking.starts_at),
        actor: stamp.by,
        source: stamp.source,
        user_id: stamp.by_user_id,
        call_id: stamp.call_id,
        intent_id: mark.intent_id,
        message_id: mark.message_id.clone(),
        reason: None,
        occurred_at: stamp.at,
    }
}
