//! One uid of a chain: how its state moves towards its end, which content counts, and what is remembered of who did what. Not its place among the others: that is the
//! chain. Called by the chain.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fact::{Fact, Happening, Predecessor};
use super::marks::{self, Attendance, Mark, Marks, Newness};
use crate::domain::provenance::{Actor, AuditGroup, Channel, Provenance, Stamp};

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

    pub(super) fn raise(&mut self, to: Self, rank: Rank) {
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

    pub(super) fn first_seen(fact: &Fact) -> Self {
        Self::empty(&fact.uid, fact.starts_at, fact.ends_at)
    }

    pub(super) fn placeholder(predecessor: &Predecessor, fact: &Fact) -> Self {
        let starts_at = predecessor.starts_at.unwrap_or(fact.starts_at);
        let ends_at = predecessor.ends_at.unwrap_or(starts_at + (fact.ends_at - fact.starts_at));
        Self { state: BookingState::Superseded, event_type_id: fact.event_type_id, ..Self::empty(&predecessor.uid, starts_at, ends_at) }
    }

    /// It came from a move. Cal.com never names two; if it did, the same one counts in any order.
    pub(super) fn replaces(&mut self, predecessor_uid: &str) {
        if self.predecessor_uid.as_deref().is_none_or(|known| predecessor_uid < known) {
            self.predecessor_uid = Some(predecessor_uid.to_owned());
        }
    }

    /// Content follows the greatest (sequence, updated at, hash); the state only moves towards its end.
    pub(super) fn merge(&mut self, rank: Rank, fact: &Fact) {
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

    pub(super) fn mark(&mut self, fact: &Fact, provenance: &Provenance) {
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
    pub(super) fn moved(&self) -> Option<Mark> {
        self.predecessor_uid.as_ref()?;
        Some(self.marks.opened.clone().unwrap_or_else(|| self.unheard()))
    }

    pub(super) fn unheard(&self) -> Mark {
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
