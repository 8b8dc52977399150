//! The fold: facts about Cal.com bookings, in any order and any number, → the state of one appointment (architecture section 7, Convergence).
//!
//! A booking that is moved gets a new uid; the uids of one appointment form a chain. Each uid keeps what is known of it; the appointment is a
//! projection of the chain. Not here: reading, writing, matching with our own intents' rows. Called by the roles that hear from Cal.com.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::provenance::{Actor, AuditGroup, Channel, Provenance, Stamp, cancellation_reason};

/// What is known of a uid. The order of the variants is the order of finality: a later one is never undone by an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

impl BookingState {
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
    pub no_show: bool,
    pub requested_at: Option<DateTime<Utc>>,
    pub accepted_at: Option<DateTime<Utc>>,
    pub opened_at: Option<DateTime<Utc>>,
    pub opened_by: Option<String>,
    pub opened_source: Option<String>,
    pub opened_by_user_id: Option<Uuid>,
    pub opened_call_id: Option<Uuid>,
    pub closed_at: Option<DateTime<Utc>>,
    pub closed_by: Option<String>,
    pub closed_source: Option<String>,
    pub closed_by_user_id: Option<Uuid>,
    pub closed_call_id: Option<Uuid>,
    pub closed_reason: Option<String>,
}

/// What a fact says happened to its uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    Requested,
    Accepted,
    Cancelled,
    RescheduleRequested,
    Rejected,
    NoShow,
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
}

/// A row of `appointment_modifications`, less what the store adds (ids, appointment, customer).
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

/// What the chain says about its appointment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    pub status: &'static str,
    pub head_uid: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub host_user_id: Option<i64>,
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
    pub modifications: Vec<Modification>,
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
        let before = self.bookings.clone();
        let predecessor = fact.predecessor.as_ref().filter(|predecessor| predecessor.uid != fact.uid);
        if let Some(predecessor) = predecessor {
            self.supersede(predecessor, fact);
        }
        let index = self.position(&fact.uid).unwrap_or_else(|| {
            self.bookings.push(Booking::first_seen(fact));
            self.bookings.len() - 1
        });
        let booking = &mut self.bookings[index];
        if let Some(predecessor) = predecessor {
            booking.replaces(&predecessor.uid);
        }
        booking.merge(fact);
        booking.stamp(fact, provenance);
        let changed: Vec<String> =
            self.bookings.iter().filter(|now| before.iter().find(|then| then.uid == now.uid) != Some(now)).map(|now| now.uid.clone()).collect();
        let modifications = if changed.is_empty() { Vec::new() } else { self.modifications(&before, provenance) };
        Folded { changed, modifications }
    }

    /// The old uid of a move: superseded, whether we knew it or not (calcom reference 5, ordering rule).
    fn supersede(&mut self, predecessor: &Predecessor, fact: &Fact) {
        match self.position(&predecessor.uid) {
            Some(index) => {
                let booking = &mut self.bookings[index];
                booking.state = booking.state.max(BookingState::Superseded);
                // a later cancellation would have named the new uid
                if booking.placeholder
                    && let Some(starts_at) = predecessor.starts_at
                {
                    booking.starts_at = starts_at;
                    booking.ends_at = predecessor.ends_at.unwrap_or(starts_at + (fact.ends_at - fact.starts_at));
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
            .max_by(|a, b| (a.opened_at, &a.uid).cmp(&(b.opened_at, &b.uid)))
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
        let predecessor = head.predecessor_uid.as_deref().and_then(|uid| self.booking(uid));
        let count = self.moves_behind(head);
        Some(Projection {
            status,
            head_uid: head.uid.clone(),
            starts_at: head.starts_at,
            ends_at: head.ends_at,
            host_user_id: head.host_user_id,
            rescheduled_count: count,
            rescheduled: predecessor.and_then(|_| head.opened()),
            previous_starts_at: predecessor.map(|booking| booking.starts_at),
            cancelled: if head.state == BookingState::Cancelled { head.closed() } else { None },
            cancellation_reason: (head.state == BookingState::Cancelled).then(|| cancellation_reason(head.closed_reason.as_deref())),
        })
    }

    /// How many moves led to this uid; bounded by the number of uids, so a circle ends.
    fn moves_behind(&self, head: &Booking) -> i32 {
        let mut count = 0;
        let mut current = head;
        while let Some(predecessor) = current.predecessor_uid.as_deref().and_then(|uid| self.booking(uid)) {
            count += 1;
            if usize::try_from(count).is_ok_and(|count| count >= self.bookings.len()) {
                break;
            }
            current = predecessor;
        }
        count
    }

    /// The modification rows that the chain holds now and did not hold before.
    fn modifications(&self, before: &[Booking], provenance: &Provenance) -> Vec<Modification> {
        let old = Self { bookings: before.to_vec() };
        let mut rows = Vec::new();
        for booking in &self.bookings {
            let known: Vec<&'static str> =
                old.booking(&booking.uid).map(|then| old.rows_of(then, provenance).iter().map(|row| row.kind).collect()).unwrap_or_default();
            rows.extend(self.rows_of(booking, provenance).into_iter().filter(|row| !known.contains(&row.kind)));
        }
        rows
    }

    /// Every modification row that a uid stands for.
    fn rows_of(&self, booking: &Booking, provenance: &Provenance) -> Vec<Modification> {
        let mut rows = Vec::new();
        let row = |kind, stamp: &Stamp| Modification {
            kind,
            calcom_uid: booking.uid.clone(),
            previous_starts_at: None,
            new_starts_at: Some(booking.starts_at),
            actor: stamp.by.clone(),
            source: stamp.source.clone(),
            user_id: stamp.by_user_id,
            call_id: stamp.call_id,
            intent_id: provenance.intent_id,
            message_id: provenance.message_id.clone(),
            reason: None,
            occurred_at: stamp.at,
        };
        if let Some(opened) = booking.opened().filter(|_| !booking.placeholder) {
            match &booking.predecessor_uid {
                None => rows.push(row("booked", &opened)),
                Some(predecessor) => {
                    rows.push(Modification { previous_starts_at: self.booking(predecessor).map(|old| old.starts_at), ..row("rescheduled", &opened) })
                }
            }
            if let (Some(_), Some(accepted_at)) = (booking.requested_at, booking.accepted_at) {
                // the host's word, heard through Cal.com
                let confirmed = Stamp { at: accepted_at, by: "staff".to_owned(), source: "calcom_webhook".to_owned(), by_user_id: None, call_id: None };
                rows.push(row("confirmed", &confirmed));
            }
        }
        if let Some(closed) = booking.closed() {
            let kind = match booking.state {
                BookingState::Rejected => Some("rejected"),
                BookingState::RescheduleRequested | BookingState::Superseded => Some("reschedule_requested"),
                BookingState::Cancelled => Some("cancelled"),
                BookingState::Pending | BookingState::Accepted => None,
            };
            if let Some(kind) = kind {
                rows.push(Modification {
                    previous_starts_at: Some(booking.starts_at),
                    new_starts_at: None,
                    reason: Some(cancellation_reason(booking.closed_reason.as_deref())),
                    ..row(kind, &closed)
                });
            }
        }
        if booking.no_show {
            let stamp = Stamp { at: provenance.occurred_at, by: "staff".to_owned(), source: "calcom_webhook".to_owned(), by_user_id: None, call_id: None };
            rows.push(row("no_show", &stamp));
        }
        rows
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
            opened_at: None,
            opened_by: None,
            opened_source: None,
            opened_by_user_id: None,
            opened_call_id: None,
            closed_at: None,
            closed_by: None,
            closed_source: None,
            closed_by_user_id: None,
            closed_call_id: None,
            closed_reason: None,
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

    /// It came from a move; a stamp that was taken for a booking's is worded as a move's (the CHECKs hold a vocabulary per group).
    fn replaces(&mut self, predecessor_uid: &str) {
        self.predecessor_uid.get_or_insert_with(|| predecessor_uid.to_owned());
        if let Some(channel) = self.opened_source.as_deref().and_then(Channel::parse) {
            self.opened_source = Some(channel.change_source().to_owned());
        }
    }

    /// Content follows the greatest (sequence, updated at, hash); the state only moves towards its end.
    fn merge(&mut self, fact: &Fact) {
        let state = match fact.happening {
            Happening::Requested => BookingState::Pending,
            Happening::Accepted => BookingState::Accepted,
            Happening::Cancelled => BookingState::Cancelled,
            Happening::RescheduleRequested => BookingState::RescheduleRequested,
            Happening::Rejected => BookingState::Rejected,
            Happening::NoShow => self.state,
        };
        self.state = self.state.max(state);
        if fact.happening == Happening::NoShow {
            self.no_show = true;
            return;
        }
        self.placeholder = false;
        let newer = (fact.sequence, fact.provider_updated_at, fact.hash.as_str()) > (self.sequence, self.provider_updated_at, self.fact_hash.as_str());
        if newer {
            self.sequence = fact.sequence;
            self.provider_updated_at = fact.provider_updated_at;
            self.fact_hash.clone_from(&fact.hash);
            self.starts_at = fact.starts_at;
            self.ends_at = fact.ends_at;
        }
        // never overwrite what is stored with what is absent
        for (kept, told) in
            [(&mut self.event_type_id, fact.event_type_id), (&mut self.booking_id, fact.booking_id), (&mut self.host_user_id, fact.host_user_id)]
        {
            if told.is_some() && (newer || kept.is_none()) {
                *kept = told;
            }
        }
        self.seats_per_slot = self.seats_per_slot.or(fact.seats_per_slot);
    }

    /// Who opened or closed it. Of several facts that say the same the earliest counts, and what was only found by looking counts least, so that order does not.
    fn stamp(&mut self, fact: &Fact, provenance: &Provenance) {
        let at = provenance.occurred_at;
        let found = provenance.channel == Channel::Reconciled;
        let earlier = |known: Option<DateTime<Utc>>| Some(known.map_or(at, |known| known.min(at)));
        match fact.happening {
            Happening::Requested => self.requested_at = earlier(self.requested_at),
            Happening::Accepted => self.accepted_at = earlier(self.accepted_at),
            Happening::NoShow => return,
            Happening::Cancelled | Happening::RescheduleRequested | Happening::Rejected => {
                if prevails(found, at, self.closed_source.as_deref(), self.closed_at) {
                    let stamp = provenance.stamp(AuditGroup::Cancellation);
                    self.closed_at = Some(stamp.at);
                    self.closed_by = Some(stamp.by);
                    self.closed_source = Some(stamp.source);
                    self.closed_by_user_id = stamp.by_user_id;
                    self.closed_call_id = stamp.call_id;
                    self.closed_reason = fact.reason.clone().or(self.closed_reason.take());
                } else if self.closed_reason.is_none() {
                    self.closed_reason.clone_from(&fact.reason);
                }
                self.opened_unheard(at);
                return;
            }
        }
        if prevails(found, at, self.opened_source.as_deref(), self.opened_at) {
            let group = if self.predecessor_uid.is_some() { AuditGroup::Reschedule } else { AuditGroup::Booking };
            let stamp = provenance.stamp(group);
            self.opened_at = Some(stamp.at);
            self.opened_by = Some(stamp.by);
            self.opened_source = Some(stamp.source);
            self.opened_by_user_id = stamp.by_user_id;
            self.opened_call_id = stamp.call_id;
        }
    }

    /// A uid that ends before its move was heard of (a look after lost webhooks) has a move in its history all the same, found and of unknown hand;
    /// the move's own event replaces this stamp.
    fn opened_unheard(&mut self, at: DateTime<Utc>) {
        if self.predecessor_uid.is_some() && self.opened_at.is_none() {
            self.opened_at = Some(at);
            self.opened_by = Some(Actor::Unknown.literal().to_owned());
            self.opened_source = Some(Channel::Reconciled.change_source().to_owned());
        }
    }

    /// The stamp of the change that brought this uid into being.
    #[must_use]
    pub fn opened(&self) -> Option<Stamp> {
        Some(Stamp {
            at: self.opened_at?,
            by: self.opened_by.clone()?,
            source: self.opened_source.clone()?,
            by_user_id: self.opened_by_user_id,
            call_id: self.opened_call_id,
        })
    }

    /// The stamp of the change that ended it.
    #[must_use]
    pub fn closed(&self) -> Option<Stamp> {
        Some(Stamp {
            at: self.closed_at?,
            by: self.closed_by.clone()?,
            source: self.closed_source.clone()?,
            by_user_id: self.closed_by_user_id,
            call_id: self.closed_call_id,
        })
    }
}

/// Whether a new stamp replaces the known one.
fn prevails(found: bool, at: DateTime<Utc>, known_source: Option<&str>, known_at: Option<DateTime<Utc>>) -> bool {
    let known_found = known_source == Some(Channel::Reconciled.change_source());
    match known_at {
        None => true,
        Some(_) if found != known_found => !found,
        Some(known_at) => at < known_at,
    }
}

#[cfg(test)]
mod tests;
