//! The fold: facts about Cal.com bookings, in any order and any number, → the state of one appointment (architecture section 7, Convergence).
//!
//! A booking that is moved gets a new uid; the uids of one appointment form a chain. Each uid (`booking`) keeps what is known of it (`marks`); the appointment and its
//! `history` are projections of the chain. Not here: reading, writing, matching with our own intents' rows. Called by the roles that hear from Cal.com.

mod booking;
mod fact;
mod history;
mod marks;

use chrono::{DateTime, Utc};

pub use booking::{Booking, BookingState, Rank};
pub use fact::{Fact, Happening, Predecessor};
pub use history::Modification;
pub use marks::{Attendance, Hosting, Mark, Marks, Newness, Reason};

use super::provenance::{AuditGroup, Provenance, Stamp, cancellation_reason};

/// What the chain says about its appointment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    pub status: &'static str,
    pub head_uid: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    /// Whose it is in Cal.com: of the newest uid, then of the ones before it, for where a host is not among our staff.
    pub host_user_ids: Vec<i64>,
    pub rescheduled_count: i32,
    pub rescheduled: Option<Stamp>,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub cancelled: Option<Stamp>,
    pub cancellation_reason: Option<String>,
}

/// All uids of one appointment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub bookings: Vec<Booking>,
}

/// What a fact changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The uids whose rows changed.
    pub changed: Vec<String>,
    /// The rows that the history holds now and did not hold before.
    pub modifications: Vec<Modification>,
    /// A row that it held before changed or is gone: the chain learnt better.
    pub rewritten: bool,
}

impl Chain {
    /// The booking of that uid.
    #[must_use]
    pub fn booking(&self, uid: &str) -> Option<&Booking> {
        self.bookings.iter().find(|booking| booking.uid == uid)
    }

    fn position(&self, uid: &str) -> Option<usize> {
        self.bookings.iter().position(|booking| booking.uid == uid)
    }

    /// Takes one fact in. Idempotent, and commutative over the facts of one appointment.
    pub fn fold(&mut self, fact: &Fact, provenance: &Provenance) -> Folded {
        self.fold_by(BookingState::rank, fact, provenance)
    }

    /// The fold by another order of finality: how a test shows that the order matters.
    pub fn fold_by(&mut self, rank: Rank, fact: &Fact, provenance: &Provenance) -> Folded {
        let before = self.clone();
        let predecessor = fact.predecessor.as_ref().filter(|predecessor| predecessor.uid != fact.uid);
        if let Some(predecessor) = predecessor {
            self.supersede(rank, predecessor, fact);
        }
        let index = self.position(&fact.uid).unwrap_or_else(|| {
            self.bookings.push(Booking::first_seen(fact));
            self.bookings.len() - 1
        });
        let booking = &mut self.bookings[index];
        if let Some(predecessor) = predecessor {
            booking.replaces(&predecessor.uid);
        }
        booking.merge(rank, fact);
        booking.mark(fact, provenance);
        self.difference(&before)
    }

    /// What changed since `before`.
    #[must_use]
    pub fn difference(&self, before: &Self) -> Folded {
        let changed: Vec<String> = self.bookings.iter().filter(|now| before.booking(&now.uid) != Some(now)).map(|now| now.uid.clone()).collect();
        if changed.is_empty() {
            return Folded::default();
        }
        let (then, now) = (before.history(), self.history());
        let key = |row: &Modification| (row.calcom_uid.clone(), row.kind);
        let rewritten = then.iter().any(|row| !now.contains(row));
        let modifications = now.into_iter().filter(|row| !then.iter().any(|old| key(old) == key(row))).collect();
        Folded { changed, modifications, rewritten }
    }

    /// Two chains that turned out to be one. No uid stands in both.
    pub fn join(&mut self, other: Self) {
        self.bookings.extend(other.bookings);
    }

    /// The old uid of a move: superseded, whether we knew it or not (calcom reference 5, ordering rule).
    fn supersede(&mut self, rank: Rank, predecessor: &Predecessor, fact: &Fact) {
        match self.position(&predecessor.uid) {
            Some(index) => {
                let booking = &mut self.bookings[index];
                booking.state.raise(BookingState::Superseded, rank);
                // its own event tells its times better than the next one's
                if booking.placeholder
                    && let Some(starts_at) = predecessor.starts_at
                {
                    booking.starts_at = starts_at;
                    booking.ends_at = predecessor.ends_at.unwrap_or(starts_at + (fact.ends_at - fact.starts_at));
                    booking.event_type_id = booking.event_type_id.or(fact.event_type_id);
                }
            }
            None => self.bookings.push(Booking::placeholder(predecessor, fact)),
        }
    }

    /// The newest uid: the one that no other replaced; of several (a fork that should not be) the latest.
    #[must_use]
    pub fn head(&self) -> Option<&Booking> {
        self.bookings
            .iter()
            .filter(|booking| !self.bookings.iter().any(|other| other.predecessor_uid.as_deref() == Some(booking.uid.as_str())))
            .max_by_key(|booking| (booking.marks.opened.as_ref().map(|mark| mark.at), &booking.uid))
    }

    /// The appointment as the chain has it; `None` while nothing is known.
    #[must_use]
    pub fn projection(&self) -> Option<Projection> {
        let head = self.head()?;
        let status = match head.state {
            BookingState::Cancelled => "cancelled",
            BookingState::Rejected => "rejected",
            BookingState::RescheduleRequested => "reschedule_requested",
            BookingState::Pending => "pending",
            BookingState::Accepted | BookingState::Superseded if head.no_show => "no_show",
            BookingState::Accepted | BookingState::Superseded => "booked",
        };
        let before = self.before(head);
        let cancelled = (head.state == BookingState::Cancelled).then(|| head.marks.cancelled.clone().unwrap_or_else(|| head.unheard()));
        Some(Projection {
            status,
            head_uid: head.uid.clone(),
            starts_at: head.starts_at,
            ends_at: head.ends_at,
            host_user_ids: std::iter::once(head).chain(before.iter().copied()).filter_map(|booking| booking.host_user_id).collect(),
            rescheduled_count: i32::try_from(before.len()).unwrap_or(i32::MAX),
            rescheduled: before.first().and_then(|_| head.moved()).map(|mark| mark.stamp(AuditGroup::Reschedule)),
            previous_starts_at: before.first().map(|booking| booking.starts_at),
            cancellation_reason: cancelled.as_ref().map(|mark| cancellation_reason(mark.reason.as_ref().map(|reason| reason.text.as_str()))),
            cancelled: cancelled.map(|mark| mark.stamp(AuditGroup::Cancellation)),
        })
    }

    /// Who booked it and how, if the chain reaches back to the booking and somebody told of it.
    #[must_use]
    pub fn booked(&self) -> Option<Stamp> {
        let head = self.head()?;
        let root = self.before(head).last().copied().unwrap_or(head);
        root.opened().filter(|_| root.predecessor_uid.is_none())
    }

    /// The uids that led to this one, nearest first; bounded by their number, so a circle ends.
    fn before(&self, head: &Booking) -> Vec<&Booking> {
        let next = |booking: &Booking| booking.predecessor_uid.as_deref().and_then(|uid| self.booking(uid));
        std::iter::successors(next(head), |booking| next(booking)).take(self.bookings.len().saturating_sub(1)).collect()
    }
}

#[cfg(test)]
mod tests;
