//! The fold: facts about Cal.com bookings, in any order and any number, → the state of one appointment (architecture section 7, Convergence).
//!
//! A booking that is moved gets a new uid; the uids of one appointment form a chain. Each uid keeps what is known of it (`marks`); the appointment and its
//! `history` are projections of the chain. Not here: reading, writing, matching with our own intents' rows. Called by the roles that hear from Cal.com.

mod history;
mod marks;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use history::Modification;
pub use marks::{Attendance, Hosting, Mark, Marks, Newness, Reason};

use super::provenance::{Actor, AuditGroup, Channel, Provenance, Stamp, cancellation_reason};

/// What is known of a uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookingState {
    /// The host must confirm.
    Pending,
    Accepted,
    /// The host asked the customer for another time; nothing is cancelled by the customer (calcom reference 2.4).
    RescheduleRequested,
    /// Replaced by the next uid of the chain.
    Superseded,
    Rejected,
    Cancelled,
}

/// The order of finality: a state of a higher rank is never undone by one of a lower.
pub type Rank = fn(BookingState) -> u8;

impl BookingState {
    /// The rule (calcom reference 5, Ordering rule).
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Accepted => 1,
            Self::RescheduleRequested => 2,
            Self::Superseded => 3,
            Self::Rejected => 4,
            Self::Cancelled => 5,
        }
    }

    /// The literal in `calcom_bookings.state`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::RescheduleRequested => "reschedule_requested",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Accepted, Self::RescheduleRequested, Self::Superseded, Self::Rejected, Self::Cancelled];
        all.into_iter().find(|state| state.literal() == literal)
    }

    fn raise(&mut self, to: Self, rank: Rank) {
        if rank(to) > rank(*self) {
            *self = to;
        }
    }
}

/// One uid of the chain; a row of `calcom_bookings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    pub uid: String,
    pub predecessor_uid: Option<String>,
    pub state: BookingState,
    /// Heard of as a predecessor only; its own event has not come yet.
    pub placeholder: bool,
    pub sequence: i32,
    pub provider_updated_at: Option<DateTime<Utc>>,
    pub fact_hash: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub event_type_id: Option<i64>,
    pub booking_id: Option<i64>,
    pub host_user_id: Option<i64>,
    pub seats_per_slot: Option<i32>,
    /// As last said.
    pub no_show: bool,
    pub requested_at: Option<DateTime<Utc>>,
    pub accepted_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub marks: Marks,
}

/// What a fact says happened to its uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    Requested,
    Accepted,
    /// It was there, and is over: a sweep finds it ended and cannot tell whether it had been accepted. What ended it is a fact of its own.
    Existed,
    Cancelled,
    RescheduleRequested,
    Rejected,
    NoShow,
    /// The mark of an absence is taken back (calcom reference 2.10).
    NoShowWithdrawn,
}

impl Happening {
    /// It says that the booking exists; everything else is said of one that does.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(self, Self::Requested | Self::Accepted | Self::Existed)
    }

    /// It says nothing of times.
    #[must_use]
    pub const fn is_attendance(self) -> bool {
        matches!(self, Self::NoShow | Self::NoShowWithdrawn)
    }

    const fn state(self) -> Option<BookingState> {
        match self {
            // the least that can be said of one that was there
            Self::Requested | Self::Existed => Some(BookingState::Pending),
            Self::Accepted => Some(BookingState::Accepted),
            Self::Cancelled => Some(BookingState::Cancelled),
            Self::RescheduleRequested => Some(BookingState::RescheduleRequested),
            Self::Rejected => Some(BookingState::Rejected),
            Self::NoShow | Self::NoShowWithdrawn => None,
        }
    }
}

/// The booking that a fact's uid replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    pub uid: String,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
}

/// One thing heard from Cal.com: by webhook, as the answer to our own call, or by looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub uid: String,
    pub happening: Happening,
    pub predecessor: Option<Predecessor>,
    pub sequence: i32,
    pub provider_updated_at: Option<DateTime<Utc>>,
    /// Hash of the fact's content: the last tie-break, so that any order of arrival gives the same row.
    pub hash: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub event_type_id: Option<i64>,
    pub booking_id: Option<i64>,
    pub host_user_id: Option<i64>,
    pub seats_per_slot: Option<i32>,
    pub reason: Option<String>,
    /// The provider's time of telling, also where the provenance is that of our own wish: when a host confirmed is not when the caller wished.
    pub told_at: DateTime<Utc>,
}

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

impl Booking {
    fn empty(uid: &str, starts_at: DateTime<Utc>, ends_at: DateTime<Utc>) -> Self {
        Self {
            uid: uid.to_owned(),
            predecessor_uid: None,
            state: BookingState::Pending,
            placeholder: true,
            sequence: -1,
            provider_updated_at: None,
            fact_hash: String::new(),
            starts_at,
            ends_at,
            event_type_id: None,
            booking_id: None,
            host_user_id: None,
            seats_per_slot: None,
            no_show: false,
            requested_at: None,
            accepted_at: None,
            marks: Marks::default(),
        }
    }

    fn first_seen(fact: &Fact) -> Self {
        Self::empty(&fact.uid, fact.starts_at, fact.ends_at)
    }

    fn placeholder(predecessor: &Predecessor, fact: &Fact) -> Self {
        let starts_at = predecessor.starts_at.unwrap_or(fact.starts_at);
        let ends_at = predecessor.ends_at.unwrap_or(starts_at + (fact.ends_at - fact.starts_at));
        Self { state: BookingState::Superseded, event_type_id: fact.event_type_id, ..Self::empty(&predecessor.uid, starts_at, ends_at) }
    }

    /// It came from a move. Cal.com never names two; if it did, the same one counts in any order.
    fn replaces(&mut self, predecessor_uid: &str) {
        if self.predecessor_uid.as_deref().is_none_or(|known| predecessor_uid < known) {
            self.predecessor_uid = Some(predecessor_uid.to_owned());
        }
    }

    /// Content follows the greatest (sequence, updated at, hash); the state only moves towards its end.
    fn merge(&mut self, rank: Rank, fact: &Fact) {
        let Some(state) = fact.happening.state() else { return };
        self.state.raise(state, rank);
        self.placeholder = false;
        let told = Newness { sequence: fact.sequence, updated_at: fact.provider_updated_at, hash: fact.hash.clone() };
        let known = Newness { sequence: self.sequence, updated_at: self.provider_updated_at, hash: self.fact_hash.clone() };
        if told > known {
            self.starts_at = fact.starts_at;
            self.ends_at = fact.ends_at;
            self.sequence = told.sequence;
            self.provider_updated_at = told.updated_at;
            self.fact_hash.clone_from(&told.hash);
        }
        // The host changes without the times, and no event tells of it in public editions (calcom reference 2.12): only a look sees it, which knows when the row
        // last changed, and no sequence. So here the moment decides that a fact is about, which both kinds of facts have; what is absent overwrites nothing.
        if let Some(host) = fact.host_user_id {
            self.host_user_id = self.marks.hear_host(host, fact.told_at, fact.provider_updated_at);
        }
        // of a uid these never change; whichever is told first is the same
        self.event_type_id = fact.event_type_id.or(self.event_type_id);
        self.booking_id = self.booking_id.or(fact.booking_id);
        self.seats_per_slot = self.seats_per_slot.or(fact.seats_per_slot);
    }

    fn mark(&mut self, fact: &Fact, provenance: &Provenance) {
        let earlier = |known: Option<DateTime<Utc>>| Some(known.map_or(fact.told_at, |known| known.min(fact.told_at)));
        let marks = &mut self.marks;
        let told = Mark::of(provenance, fact.reason.as_deref());
        match fact.happening {
            Happening::Requested | Happening::Accepted | Happening::Existed => {
                // why it was moved is not kept: Cal.com tells it in two places, by halves (calcom reference 2.3)
                marks::hear(&mut marks.opened, Mark { reason: None, ..told });
                match fact.happening {
                    Happening::Requested => self.requested_at = earlier(self.requested_at),
                    Happening::Accepted => {
                        self.accepted_at = earlier(self.accepted_at);
                        marks::hear(&mut marks.accepted, host_accepted(fact, provenance));
                    }
                    _ => {}
                }
            }
            Happening::Cancelled => marks::hear(&mut marks.cancelled, told),
            Happening::RescheduleRequested => marks::hear(&mut marks.reschedule_requested, told),
            Happening::Rejected => marks::hear(&mut marks.rejected, told),
            Happening::NoShow | Happening::NoShowWithdrawn => {
                let absent = fact.happening == Happening::NoShow;
                marks::hear(if absent { &mut marks.no_show } else { &mut marks.no_show_withdrawn }, told);
                marks.attendance = marks.attendance.max(Some(Attendance { at: fact.told_at, absent }));
                self.no_show = marks.attendance.is_some_and(|attendance| attendance.absent);
            }
        }
    }

    /// Who moved to this uid: as heard, or at least that somebody did (a look after lost webhooks finds the move without its hand).
    fn moved(&self) -> Option<Mark> {
        self.predecessor_uid.as_ref()?;
        Some(self.marks.opened.clone().unwrap_or_else(|| self.unheard()))
    }

    fn unheard(&self) -> Mark {
        Mark::unheard(self.marks.earliest().unwrap_or(self.starts_at))
    }

    /// The stamp of the change that brought this uid into being.
    #[must_use]
    pub fn opened(&self) -> Option<Stamp> {
        let group = if self.predecessor_uid.is_some() { AuditGroup::Reschedule } else { AuditGroup::Booking };
        self.marks.opened.as_ref().map(|mark| mark.stamp(group))
    }

    /// The change that ended it, as far as its state says that it ended.
    #[must_use]
    pub fn closed(&self) -> Option<&Mark> {
        match self.state {
            BookingState::Cancelled => self.marks.cancelled.as_ref(),
            BookingState::Rejected => self.marks.rejected.as_ref(),
            BookingState::RescheduleRequested | BookingState::Superseded => self.marks.reschedule_requested.as_ref(),
            BookingState::Pending | BookingState::Accepted => None,
        }
    }
}

/// If it was requested before, the host accepted it: at the time that Cal.com gives, whoever wished for it.
fn host_accepted(fact: &Fact, provenance: &Provenance) -> Mark {
    let found = provenance.channel == Channel::Reconciled;
    Mark {
        at: fact.told_at,
        actor: Actor::Staff.literal().to_owned(),
        channel: if found { Channel::Reconciled } else { Channel::CalcomWebhook }.booking_source().to_owned(),
        user_id: None,
        call_id: None,
        intent_id: None,
        message_id: provenance.message_id.clone(),
        reason: None,
    }
}

#[cfg(test)]
mod tests;
