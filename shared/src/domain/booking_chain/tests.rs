//! The mapping table of calcom reference 2.13 as facts, one case each. `orders`: lives in every order of their facts.

mod orders;

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::domain::provenance::{Actor, Channel};

/// Minutes after noon of one day: tests read better in them.
fn at(minutes: i64) -> DateTime<Utc> {
    "2026-07-06T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + chrono::Duration::minutes(minutes)
}

fn fact(happening: Happening, uid: &str, starts: i64) -> Fact {
    Fact {
        uid: uid.to_owned(),
        happening,
        predecessor: None,
        sequence: 0,
        provider_updated_at: None,
        hash: format!("{happening:?}/{uid}/{starts}"),
        starts_at: at(starts),
        ends_at: at(starts + 30),
        event_type_id: Some(1321),
        booking_id: None,
        host_user_id: Some(4711),
        seats_per_slot: None,
        reason: None,
        told_at: at(starts),
    }
}

fn moved(uid: &str, starts: i64, from: &str, from_starts: i64) -> Fact {
    let predecessor = Predecessor { uid: from.to_owned(), starts_at: Some(at(from_starts)), ends_at: Some(at(from_starts + 30)) };
    Fact { predecessor: Some(predecessor), sequence: 1, ..fact(Happening::Accepted, uid, starts) }
}

fn cancelled(uid: &str, starts: i64, reason: Option<&str>) -> Fact {
    Fact { reason: reason.map(str::to_owned), ..fact(Happening::Cancelled, uid, starts) }
}

fn heard(actor: Actor, channel: Channel, minutes: i64) -> Provenance {
    Provenance { actor, channel, call_id: None, user_id: None, intent_id: None, message_id: Some(format!("message-{minutes}")), occurred_at: at(minutes) }
}

fn webhook(minutes: i64) -> Provenance {
    heard(Actor::Customer, Channel::CalcomWebhook, minutes)
}

fn phone(minutes: i64) -> Provenance {
    Provenance { call_id: Some(Uuid::from_u128(830)), intent_id: Some(Uuid::from_u128(1)), ..heard(Actor::Customer, Channel::RetellPhone, minutes) }
}

/// A chain, and all rows that it gave on the way.
#[derive(Default)]
struct Life {
    chain: Chain,
    rows: Vec<Modification>,
}

impl Life {
    fn of(facts: &[(Fact, Provenance)]) -> Self {
        let mut life = Self::default();
        for (fact, provenance) in facts {
            life.hear(fact, provenance);
        }
        life
    }

    fn hear(&mut self, fact: &Fact, provenance: &Provenance) -> Folded {
        let told = Fact { told_at: provenance.occurred_at, ..fact.clone() };
        let folded = self.chain.fold(&told, provenance);
        let history = self.chain.history();
        let same = |one: &Modification, other: &Modification| one.kind == other.kind && one.calcom_uid == other.calcom_uid;
        let kept = self.rows.iter().filter_map(|row| history.iter().find(|now| same(now, row)).cloned()).collect::<Vec<_>>();
        assert!(folded.rewritten || kept == self.rows, "a rewritten history says so");
        self.rows = kept.into_iter().chain(folded.modifications.iter().cloned()).collect();
        assert_eq!(self.rows.len(), history.len());
        folded
    }

    fn shown(&self) -> Projection {
        self.chain.projection().unwrap()
    }

    fn kinds(&self) -> Vec<(&'static str, &str)> {
        self.rows.iter().map(|row| (row.kind, row.calcom_uid.as_str())).collect()
    }

    /// Bookings by uid, the projection, and the rows as a set: what must not depend on order or number. Which delivery told us does.
    fn canonical(&self) -> (Vec<Booking>, Projection, BTreeSet<String>) {
        let mut bookings = self.chain.bookings.clone();
        bookings.sort_by(|a, b| a.uid.cmp(&b.uid));
        for mark in bookings.iter_mut().flat_map(|booking| [&mut booking.marks.opened, &mut booking.marks.accepted, &mut booking.marks.cancelled]).flatten() {
            mark.message_id = None;
        }
        let rows: BTreeSet<String> = self.rows.iter().map(|row| serde_json::to_string(&Modification { message_id: None, ..row.clone() }).unwrap()).collect();
        assert_eq!(rows.len(), self.rows.len(), "no row twice");
        (bookings, self.shown(), rows)
    }
}

#[test]
fn a_created_booking_is_booked_by_the_customer() {
    let life = Life::of(&[(fact(Happening::Accepted, "a", 60), webhook(1))]);
    let shown = life.shown();
    assert_eq!((shown.status, shown.head_uid.as_str(), shown.starts_at, shown.rescheduled_count), ("booked", "a", at(60), 0));
    assert_eq!((shown.rescheduled, shown.cancelled, shown.previous_starts_at, shown.cancellation_reason), (None, None, None, None));
    let row = &life.rows[0];
    assert_eq!(
        (row.kind, row.actor.as_str(), row.source.as_str(), row.new_starts_at, row.occurred_at),
        ("booked", "customer", "calcom_webhook", Some(at(60)), at(1))
    );
}

#[test]
fn a_requested_booking_is_pending_until_the_host_confirms() {
    let mut life = Life::of(&[(fact(Happening::Requested, "a", 60), phone(1))]);
    assert_eq!(life.shown().status, "pending");
    // the confirmation comes without our metadata (#24134, #7810), so by no intent of ours
    life.hear(&fact(Happening::Accepted, "a", 60), &webhook(5));
    assert_eq!(life.shown().status, "booked");
    assert_eq!(life.kinds(), [("booked", "a"), ("confirmed", "a")]);
    let (booked, confirmed) = (&life.rows[0], &life.rows[1]);
    assert_eq!((booked.source.as_str(), booked.call_id, booked.occurred_at), ("retell_phone", Some(Uuid::from_u128(830)), at(1)));
    assert_eq!((confirmed.actor.as_str(), confirmed.source.as_str(), confirmed.call_id, confirmed.occurred_at), ("staff", "calcom_webhook", None, at(5)));
    let opened = life.chain.booking("a").unwrap().opened().unwrap();
    assert_eq!((opened.source.as_str(), opened.at), ("retell_phone", at(1)), "who confirmed it did not book it");
}

#[test]
fn a_late_request_does_not_make_a_confirmed_booking_pending() {
    let facts = [(fact(Happening::Requested, "a", 60), webhook(1)), (fact(Happening::Accepted, "a", 60), webhook(5))];
    let (there, mut back) = (Life::of(&facts), facts.to_vec());
    back.reverse();
    let back = Life::of(&back);
    assert_eq!(back.shown().status, "booked");
    assert_eq!(there.canonical().0, back.canonical().0);
    assert_eq!(there.shown(), back.shown());
    assert_eq!(there.kinds(), back.kinds());
}

#[test]
fn a_move_supersedes_the_old_uid_and_names_both_times() {
    let life = Life::of(&[(fact(Happening::Accepted, "a", 60), phone(1)), (moved("b", 120, "a", 60), heard(Actor::Staff, Channel::CalcomWebhook, 2))]);
    let shown = life.shown();
    assert_eq!(
        (shown.status, shown.head_uid.as_str(), shown.starts_at, shown.rescheduled_count, shown.previous_starts_at),
        ("booked", "b", at(120), 1, Some(at(60)))
    );
    let stamp = shown.rescheduled.unwrap();
    assert_eq!((stamp.by.as_str(), stamp.source.as_str(), stamp.at), ("staff", "calcom_webhook", at(2)));
    assert_eq!(life.chain.booking("a").unwrap().state, BookingState::Superseded);
    assert_eq!(life.kinds(), [("booked", "a"), ("rescheduled", "b")]);
    assert_eq!((life.rows[1].previous_starts_at, life.rows[1].new_starts_at), (Some(at(60)), Some(at(120))));
}

/// After 10:00 → 11:00 → 14:00 the previous start is 11:00 (domain reference 1.3).
#[test]
fn the_reschedule_group_holds_the_latest_move_only() {
    let life = Life::of(&[(fact(Happening::Accepted, "a", 60), phone(1)), (moved("b", 120, "a", 60), phone(2)), (moved("c", 300, "b", 120), phone(3))]);
    let shown = life.shown();
    assert_eq!((shown.previous_starts_at, shown.rescheduled_count, shown.rescheduled.unwrap().at), (Some(at(120)), 2, at(3)));
}

/// Calcom reference 5: the placeholder keeps the late CREATED from reviving the old booking.
#[test]
fn a_move_of_an_unknown_booking_is_not_undone_by_its_late_creation() {
    let mut life = Life::of(&[(moved("b", 120, "a", 60), webhook(2))]);
    let placeholder = life.chain.booking("a").unwrap();
    assert!(placeholder.placeholder && placeholder.state == BookingState::Superseded && placeholder.starts_at == at(60));
    assert_eq!(life.kinds(), [("rescheduled", "b")]);
    assert_eq!((life.shown().previous_starts_at, life.shown().rescheduled_count), (Some(at(60)), 1));
    life.hear(&fact(Happening::Accepted, "a", 60), &webhook(1));
    assert_eq!((life.shown().status, life.shown().head_uid.as_str()), ("booked", "b"));
    assert_eq!(life.chain.booking("a").unwrap().state, BookingState::Superseded);
    assert!(!life.chain.booking("a").unwrap().placeholder);
    assert_eq!(life.kinds(), [("rescheduled", "b"), ("booked", "a")]);
}

#[test]
fn a_booking_cancelled_before_it_was_created_stays_cancelled() {
    let facts = [(fact(Happening::Accepted, "a", 60), webhook(1)), (cancelled("a", 60, Some("krank")), webhook(2))];
    let mut back = facts.to_vec();
    back.reverse();
    let life = Life::of(&back);
    let shown = life.shown();
    assert_eq!((shown.status, shown.cancellation_reason.as_deref(), shown.cancelled.unwrap().at), ("cancelled", Some("krank"), at(2)));
    assert_eq!(life.canonical(), Life::of(&facts).canonical());
}

#[test]
fn a_cancellation_without_a_reason_says_so() {
    let life = Life::of(&[(fact(Happening::Accepted, "a", 60), webhook(1)), (cancelled("a", 60, None), webhook(2))]);
    assert_eq!(life.shown().cancellation_reason.as_deref(), Some("not_given"));
    let row = &life.rows[1];
    assert_eq!((row.kind, row.previous_starts_at, row.new_starts_at, row.reason.as_deref()), ("cancelled", Some(at(60)), None, Some("not_given")));
}

/// Calcom reference 2.4 (#28543): it looks like a cancellation and is none.
#[test]
fn a_request_to_reschedule_is_not_a_cancellation() {
    let mut life = Life::of(&[
        (fact(Happening::Accepted, "a", 60), webhook(1)),
        (fact(Happening::RescheduleRequested, "a", 60), heard(Actor::Staff, Channel::CalcomWebhook, 2)),
    ]);
    assert_eq!((life.shown().status, life.shown().cancelled, life.shown().cancellation_reason), ("reschedule_requested", None, None));
    assert_eq!(life.kinds(), [("booked", "a"), ("reschedule_requested", "a")]);
    life.hear(&moved("b", 120, "a", 60), &webhook(3));
    assert_eq!((life.shown().status, life.shown().rescheduled_count), ("booked", 1));
    assert_eq!(life.kinds(), [("booked", "a"), ("reschedule_requested", "a"), ("rescheduled", "b")]);
}

#[test]
fn a_rejected_request_is_rejected_with_the_hosts_reason() {
    let rejected = Fact { reason: Some("Praxis geschlossen".to_owned()), ..fact(Happening::Rejected, "a", 60) };
    let life = Life::of(&[(fact(Happening::Requested, "a", 60), webhook(1)), (rejected, heard(Actor::Staff, Channel::CalcomWebhook, 2))]);
    assert_eq!((life.shown().status, life.shown().cancelled), ("rejected", None));
    let row = &life.rows[1];
    assert_eq!((row.kind, row.actor.as_str(), row.reason.as_deref()), ("rejected", "staff", Some("Praxis geschlossen")));
}

#[test]
fn a_no_show_changes_nothing_but_the_attendance() {
    let mut life = Life::of(&[(fact(Happening::Accepted, "a", 60), webhook(1))]);
    let before = life.shown();
    life.hear(&Fact { starts_at: DateTime::UNIX_EPOCH, ends_at: DateTime::UNIX_EPOCH, ..fact(Happening::NoShow, "a", 0) }, &webhook(90));
    assert_eq!(life.shown(), Projection { status: "no_show", ..before });
    assert_eq!(life.kinds(), [("booked", "a"), ("no_show", "a")]);
}

#[test]
fn a_link_to_itself_is_no_move() {
    let life = Life::of(&[(moved("a", 60, "a", 60), webhook(1))]);
    assert_eq!((life.chain.bookings.len(), life.shown().rescheduled_count), (1, 0));
    assert_eq!(life.kinds(), [("booked", "a")]);
}

#[test]
fn a_duplicate_of_anything_changes_nothing() {
    let start = [(fact(Happening::Accepted, "a", 60), webhook(1))];
    let second = [
        fact(Happening::Accepted, "a", 60),
        fact(Happening::Requested, "a", 60),
        moved("b", 120, "a", 60),
        cancelled("a", 60, Some("krank")),
        fact(Happening::RescheduleRequested, "a", 60),
        fact(Happening::Rejected, "a", 60),
        fact(Happening::NoShow, "a", 60),
    ];
    for fact in second {
        let mut life = Life::of(&start);
        life.hear(&fact, &webhook(2));
        let (once, rows) = (life.canonical(), life.rows.clone());
        // Cal.com stamps each copy with its own time (calcom reference 2.1)
        for minutes in [2, 3] {
            let folded = life.hear(&fact, &webhook(minutes));
            assert!(!folded.rewritten && folded.modifications.is_empty(), "{:?} again", fact.happening);
            // when attendance was last said is remembered, so that the last word wins
            assert!(folded.changed.is_empty() || fact.happening.is_attendance(), "{:?} again", fact.happening);
        }
        assert_eq!((life.shown(), &life.rows), (once.1, &rows));
    }
}

/// Incident 7: echo and answer carry the wish's provenance, whichever is first; the second is a no-op.
#[test]
fn echo_and_answer_of_our_own_change_write_it_once_in_either_order() {
    let changes = [
        vec![fact(Happening::Accepted, "a", 60)],
        vec![fact(Happening::Accepted, "a", 60), moved("b", 120, "a", 60)],
        vec![fact(Happening::Accepted, "a", 60), cancelled("a", 60, Some("krank"))],
    ];
    for change in changes {
        let (last, before) = change.split_last().unwrap();
        let before: Vec<_> = before.iter().map(|fact| (fact.clone(), phone(1))).collect();
        // the answer's content differs in what an API call tells (sequence, host), not in what happened
        let answer = Fact { sequence: 0, host_user_id: None, hash: "answer".to_owned(), booking_id: Some(90_210), ..last.clone() };
        let (echo, answered) = ((last.clone(), phone(2)), (answer, Provenance { message_id: None, ..phone(2) }));
        let ends: Vec<_> = [[echo.clone(), answered.clone()], [answered, echo]]
            .into_iter()
            .map(|two| {
                let mut life = Life::of(&before);
                life.hear(&two[0].0, &two[0].1);
                let second = life.hear(&two[1].0, &two[1].1);
                assert!(second.modifications.is_empty(), "the second of {:?} writes no row", last.happening);
                assert!(life.rows.iter().all(|row| row.call_id == Some(Uuid::from_u128(830))));
                let (bookings, shown, _) = life.canonical();
                (bookings, shown)
            })
            .collect();
        assert_eq!(ends[0], ends[1]);
    }
}

#[test]
fn what_a_look_finds_does_not_overwrite_who_did_it() {
    let look = |minutes| heard(Actor::Unknown, Channel::Reconciled, minutes);
    let cases = [
        (vec![(fact(Happening::Accepted, "a", 60), webhook(5))], fact(Happening::Accepted, "a", 60)),
        (vec![(fact(Happening::Accepted, "a", 60), webhook(1)), (moved("b", 120, "a", 60), webhook(5))], moved("b", 120, "a", 60)),
        (vec![(fact(Happening::Accepted, "a", 60), webhook(1)), (cancelled("a", 60, Some("krank")), webhook(5))], cancelled("a", 60, None)),
    ];
    for (facts, found) in cases {
        let told = Life::of(&facts);
        // a look may give an earlier time than the event did
        for minutes in [3, 9] {
            let mut after = Life::of(&facts);
            after.hear(&found, &look(minutes));
            assert_eq!(after.shown(), told.shown());
            assert_eq!(after.rows, told.rows);
            let mut before = Life::of(&facts[..facts.len() - 1]);
            before.hear(&found, &look(minutes));
            assert!(before.rows.iter().any(|row| row.source == "reconciled"));
            before.hear(&facts[facts.len() - 1].0, &facts[facts.len() - 1].1);
            assert_eq!(before.shown(), told.shown(), "the event that came late names who did it");
            assert_eq!(before.canonical().0, after.canonical().0);
            assert_eq!(before.kinds(), told.kinds());
        }
    }
}

/// Both webhooks of a moved and then cancelled booking were lost; a look at the old uid follows the chain.
#[test]
fn a_cancelled_successor_found_by_a_look_has_a_complete_reschedule_group() {
    let gone = Fact { happening: Happening::Cancelled, ..moved("b", 120, "a", 60) };
    let mut life = Life::of(&[(fact(Happening::Accepted, "a", 60), webhook(1)), (gone, heard(Actor::Unknown, Channel::Reconciled, 9))]);
    let shown = life.shown();
    assert_eq!((shown.status, shown.rescheduled_count, shown.previous_starts_at), ("cancelled", 1, Some(at(60))));
    let stamp = shown.rescheduled.unwrap();
    assert_eq!((stamp.by.as_str(), stamp.source.as_str()), ("unknown", "reconciled"));
    assert_eq!(life.kinds(), [("booked", "a"), ("rescheduled", "b"), ("cancelled", "b")]);
    life.hear(&moved("b", 120, "a", 60), &webhook(2));
    assert_eq!(life.shown().rescheduled.unwrap().source, "calcom_webhook");
    assert_eq!(life.rows.len(), 3);
}

/// The booking group's word for a call differs from the change groups' (domain reference 1.2).
#[test]
fn a_uid_that_turns_out_to_be_a_move_speaks_the_language_of_moves() {
    let mut life = Life::of(&[(fact(Happening::Accepted, "b", 120), phone(2))]);
    assert_eq!((life.rows[0].kind, life.rows[0].source.as_str()), ("booked", "retell_phone"));
    let folded = life.hear(&moved("b", 120, "a", 60), &phone(2));
    assert_eq!(life.shown().rescheduled.unwrap().source, "retell_api");
    assert_eq!((life.rows[0].kind, life.rows[0].source.as_str(), life.rows.len()), ("rescheduled", "retell_api", 1));
    assert!(folded.rewritten, "the row of a booking that never was is gone");
}
