//! A booking of a list → the facts that it tells and that we do not know yet. Pure.
//!
//! The list shows how a booking is now, not what happened to it: so what brought it into being and what ended it are two facts (a lost creation and a lost
//! cancellation of one booking are two repairs), and nothing is guessed that the row does not show. Called by `fold`.

use chrono::{DateTime, Utc};
use shared::calcom::Booking;
use shared::domain::booking_chain::{BookingState, Fact, Happening, Predecessor};
use shared::domain::provenance::Actor;
use shared::store::known_bookings::Known;

use crate::booking_facts::fact_hash;

/// A host who asks for another time cancels, with a reason that begins so (calcom reference 2.4).
const ANOTHER_TIME: &str = "Please reschedule. ";

/// A fact, and by whose hand it became true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub fact: Fact,
    pub actor: Actor,
}

/// Whether the booking tells anything that we do not know; the facts are only worth making then.
pub(super) fn is_news(booking: &Booking, known: Option<&Known>, asks_host: bool) -> bool {
    let Some(known) = known else { return true };
    let host = host_of(booking);
    known.placeholder
        || !known.opened
        || known.state != state_of(booking, known)
        || known.no_show != is_absent(booking)
        || (booking.rescheduled_from_uid.is_some() && known.predecessor_uid != booking.rescheduled_from_uid)
        || (!known.requested && was_requested(booking, None, asks_host, opener(booking)))
        || (host.is_some() && host != known.host_user_id && booking.updated_at >= known.host_as_of)
}

/// The facts, in the order in which they happened. `asks_host`: every booking of its event type that the host does not make awaits the host's word.
pub(super) fn facts_of(booking: &Booking, known: Option<&Known>, asks_host: bool, now: DateTime<Utc>) -> Vec<Told> {
    let opened_at = booking.created_at.or(booking.updated_at).unwrap_or(now);
    let changed_at = booking.updated_at.unwrap_or(opened_at).max(opened_at);
    let opener = opener(booking);
    let fact = |happening, told_at| fact(booking, happening, told_at);
    let opening = |happening, at| Told { fact: Fact { reason: None, ..fact(happening, at) }, actor: opener };
    let requested = was_requested(booking, known, asks_host, opener);
    let mut told = match booking.status.as_str() {
        "accepted" if requested => vec![opening(Happening::Requested, opened_at), opening(Happening::Accepted, changed_at)],
        "accepted" => vec![opening(Happening::Accepted, opened_at)],
        // only what was requested can be rejected
        "pending" | "rejected" => vec![opening(Happening::Requested, opened_at)],
        _ if requested => vec![opening(Happening::Requested, opened_at)],
        // whether it had been accepted before it ended, or before it was moved, nobody can tell any more
        _ => vec![opening(Happening::Existed, opened_at)],
    };
    match (booking.status.as_str(), ending_of(booking, known)) {
        ("rejected", _) => told.push(Told { fact: fact(Happening::Rejected, changed_at), actor: Actor::Staff }),
        ("cancelled", Some(Happening::RescheduleRequested)) => {
            told.push(Told { fact: fact(Happening::RescheduleRequested, changed_at), actor: Actor::Staff });
        }
        ("cancelled", Some(happening)) => {
            told.push(Told { fact: fact(happening, changed_at), actor: hand(booking, booking.cancelled_by_email.as_ref()) });
        }
        _ => {}
    }
    let absent = is_absent(booking);
    if absent != known.is_some_and(|known| known.no_show) {
        let happening = if absent { Happening::NoShow } else { Happening::NoShowWithdrawn };
        told.push(Told { fact: fact(happening, changed_at), actor: Actor::Staff });
    }
    told
}

/// Who booked it, or moved it here.
fn opener(booking: &Booking) -> Actor {
    if booking.rescheduled_from_uid.is_some() { hand(booking, booking.rescheduled_by_email.as_ref()) } else { Actor::Customer }
}

/// Whether it awaited the host's word at first: we know it, or its event type always asks and a customer made it (the host's own moves need no confirmation,
/// calcom reference 2.3, 3.7). An accepted one then was confirmed, and its row changed.
fn was_requested(booking: &Booking, known: Option<&Known>, asks_host: bool, opener: Actor) -> bool {
    let accepted_at_once = booking.status == "accepted" && booking.updated_at <= booking.created_at;
    known.is_some_and(|known| known.requested) || (asks_host && opener == Actor::Customer && !accepted_at_once)
}

/// What ended a cancelled booking; `None` for one that was moved: its successor tells that.
pub(in crate::calcom_sync) fn ending_of(booking: &Booking, known: Option<&Known>) -> Option<Happening> {
    let asked = booking.cancellation_reason.as_ref().is_some_and(|reason| reason.expose().starts_with(ANOTHER_TIME));
    match known.map(|known| known.state) {
        _ if !booking.is_cancelled() || booking.rescheduled_to_uid.is_some() => None,
        // the row of a series' member does not say that it was moved; its successor did
        Some(BookingState::Superseded) => None,
        // the list does not show that the host asks for another time; the event did
        Some(BookingState::RescheduleRequested) => Some(Happening::RescheduleRequested),
        _ if asked => Some(Happening::RescheduleRequested),
        _ => Some(Happening::Cancelled),
    }
}

/// The state that the row stands for.
fn state_of(booking: &Booking, known: &Known) -> BookingState {
    match booking.status.as_str() {
        "accepted" => BookingState::Accepted,
        "pending" => BookingState::Pending,
        "rejected" => BookingState::Rejected,
        "cancelled" => match ending_of(booking, Some(known)) {
            None => BookingState::Superseded,
            Some(Happening::RescheduleRequested) => BookingState::RescheduleRequested,
            Some(_) => BookingState::Cancelled,
        },
        // a status that this version does not know says no more than that it exists
        _ => known.state,
    }
}

/// By whose address it was done; without one it was the customer, as in the events.
fn hand(booking: &Booking, email: Option<&shared::telemetry::Masked<String>>) -> Actor {
    let Some(by) = email else { return Actor::Customer };
    let is = |other: Option<&shared::telemetry::Masked<String>>| other.is_some_and(|other| other.expose().eq_ignore_ascii_case(by.expose()));
    if booking.hosts.iter().any(|host| is(host.email.as_ref())) {
        Actor::Staff
    } else if booking.attendees.iter().any(|attendee| is(attendee.email.as_ref())) {
        Actor::Customer
    } else {
        Actor::Unknown
    }
}

fn is_absent(booking: &Booking) -> bool {
    booking.attendees.iter().any(|attendee| attendee.absent)
}

fn host_of(booking: &Booking) -> Option<i64> {
    booking.hosts.first().and_then(|host| host.id.as_ref()).and_then(|id| id.parse().ok())
}

fn fact(booking: &Booking, happening: Happening, told_at: DateTime<Utc>) -> Fact {
    let attendance = happening.is_attendance();
    Fact {
        uid: booking.uid.clone(),
        happening,
        predecessor: booking.rescheduled_from_uid.clone().map(|uid| Predecessor { uid, starts_at: None, ends_at: None }).filter(|_| !attendance),
        // the API tells no sequence: what an event says of the times prevails, and of the host what was true last
        sequence: 0,
        provider_updated_at: booking.updated_at.or(booking.created_at),
        hash: fact_hash(happening, &booking.uid, booking.start, booking.end, 0),
        starts_at: booking.start,
        ends_at: booking.end,
        event_type_id: booking.event_type_id,
        booking_id: booking.id,
        host_user_id: host_of(booking),
        seats_per_slot: None,
        reason: booking.cancellation_reason.as_ref().map(|reason| reason.expose().clone()),
        told_at,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000 + minute * 60, 0).unwrap()
    }

    fn booking(status: &str, further: Value) -> Booking {
        let mut row = json!({
            "id": 7, "uid": "b", "status": status, "start": at(900), "end": at(930), "eventTypeId": 1321, "createdAt": at(0), "updatedAt": at(0),
            "hosts": [{"id": 4711, "email": "rieke@example.org"}], "attendees": [{"name": "Jo", "email": "jo@example.org", "absent": false}],
        });
        row.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        Booking::from_value(&row).unwrap()
    }

    fn known(state: BookingState) -> Known {
        Known {
            uid: "b".into(),
            state,
            placeholder: false,
            predecessor_uid: None,
            opened: true,
            requested: false,
            no_show: false,
            host_user_id: Some(4711),
            host_as_of: Some(at(0)),
        }
    }

    fn told(booking: &Booking, known: Option<&Known>, asks_host: bool) -> Vec<(Happening, Actor, i64)> {
        let minute = |at_: DateTime<Utc>| (at_ - at(0)).num_minutes();
        facts_of(booking, known, asks_host, at(999)).into_iter().map(|told| (told.fact.happening, told.actor, minute(told.fact.told_at))).collect()
    }

    #[test]
    fn what_made_a_booking_and_what_ended_it_are_two_facts() {
        use Actor::{Customer, Staff, Unknown};
        use Happening::{Accepted, Cancelled, Existed, NoShow, Rejected, Requested, RescheduleRequested};
        let by = |email: &str| json!({ "updatedAt": at(5), "cancelledByEmail": email, "cancellationReason": "krank" });
        for (status, further, expected) in [
            ("accepted", json!({}), vec![(Accepted, Customer, 0)]),
            ("pending", json!({}), vec![(Requested, Customer, 0)]),
            ("rejected", json!({ "updatedAt": at(5) }), vec![(Requested, Customer, 0), (Rejected, Staff, 5)]),
            ("cancelled", by("jo@example.org"), vec![(Existed, Customer, 0), (Cancelled, Customer, 5)]),
            ("cancelled", by("Rieke@Example.org"), vec![(Existed, Customer, 0), (Cancelled, Staff, 5)]),
            ("cancelled", by("x@example.org"), vec![(Existed, Customer, 0), (Cancelled, Unknown, 5)]),
            ("cancelled", by(""), vec![(Existed, Customer, 0), (Cancelled, Customer, 5)]),
            ("cancelled", json!({ "updatedAt": at(5), "rescheduledToUid": "c" }), vec![(Existed, Customer, 0)]),
            (
                "cancelled",
                json!({ "updatedAt": at(5), "cancellationReason": "Please reschedule. Fortbildung" }),
                vec![(Existed, Customer, 0), (RescheduleRequested, Staff, 5)],
            ),
            ("accepted", json!({ "rescheduledFromUid": "a", "rescheduledByEmail": "rieke@example.org" }), vec![(Accepted, Staff, 0)]),
            ("accepted", json!({ "updatedAt": at(5), "attendees": [{"absent": true}] }), vec![(Accepted, Customer, 0), (NoShow, Staff, 5)]),
            ("awaiting_host", json!({}), vec![(Existed, Customer, 0)]),
        ] {
            assert_eq!(told(&booking(status, further.clone()), None, false), expected, "{status} {further}");
        }
    }

    #[test]
    fn a_confirmation_is_told_where_the_request_is_known_or_certain() {
        use Happening::{Accepted, Requested};
        let later = booking("accepted", json!({ "updatedAt": at(5) }));
        let both = vec![(Requested, Actor::Customer, 0), (Accepted, Actor::Customer, 5)];
        assert_eq!(told(&later, None, false), [(Accepted, Actor::Customer, 0)], "its event type asks nobody");
        assert_eq!(told(&later, None, true), both);
        assert_eq!(told(&later, Some(&Known { requested: true, ..known(BookingState::Pending) }), false), both);
        assert_eq!(told(&booking("accepted", json!({})), None, true), [(Accepted, Actor::Customer, 0)], "nobody touched it since");
        let own = booking("accepted", json!({ "updatedAt": at(5), "rescheduledFromUid": "a", "rescheduledByEmail": "rieke@example.org" }));
        assert_eq!(told(&own, None, true), [(Accepted, Actor::Staff, 0)], "the host asks nobody");
        let ended = booking("cancelled", json!({ "updatedAt": at(5), "rescheduledToUid": "c" }));
        assert_eq!(told(&ended, None, true), [(Requested, Actor::Customer, 0)], "whether it was confirmed before nobody can tell");
        assert!(is_news(&ended, Some(&known(BookingState::Superseded)), true));
        assert!(!is_news(&ended, Some(&Known { requested: true, ..known(BookingState::Superseded) }), true));
    }

    #[test]
    fn what_we_know_is_no_news() {
        let accepted = booking("accepted", json!({}));
        let cancelled = booking("cancelled", json!({ "updatedAt": at(5) }));
        assert!(!is_news(&accepted, Some(&known(BookingState::Accepted)), false));
        assert!(!is_news(&cancelled, Some(&known(BookingState::Cancelled)), false));
        assert!(!is_news(&cancelled, Some(&known(BookingState::RescheduleRequested)), false), "the list does not show what the event told");
        assert!(!is_news(&booking("cancelled", json!({ "rescheduledToUid": "c" })), Some(&known(BookingState::Superseded)), false));
        assert!(!is_news(&cancelled, Some(&known(BookingState::Superseded)), false), "a member of a series that was moved");
        assert!(!is_news(&booking("awaiting_host", json!({})), Some(&known(BookingState::Accepted)), false));
        assert!(is_news(&accepted, None, false));
        assert!(is_news(&cancelled, Some(&known(BookingState::Accepted)), false));
        assert!(is_news(&accepted, Some(&Known { placeholder: true, ..known(BookingState::Accepted) }), false));
        assert!(is_news(&accepted, Some(&Known { opened: false, ..known(BookingState::Accepted) }), false));
        assert!(is_news(&accepted, Some(&Known { no_show: true, ..known(BookingState::Accepted) }), false));
        assert!(is_news(&booking("accepted", json!({ "rescheduledFromUid": "a" })), Some(&known(BookingState::Accepted)), false));
    }

    /// Calcom reference 2.12: a round robin is handed to somebody else, and nothing is sent.
    #[test]
    fn another_host_is_news_unless_we_heard_something_newer() {
        let handed_on = |minute| booking("accepted", json!({ "hosts": [{"id": 4712}], "updatedAt": at(minute) }));
        let heard = |minute| Known { host_as_of: Some(at(minute)), ..known(BookingState::Accepted) };
        assert!(is_news(&handed_on(5), Some(&heard(0)), false));
        assert!(!is_news(&handed_on(5), Some(&heard(6)), false), "a lagging replica");
    }
}
