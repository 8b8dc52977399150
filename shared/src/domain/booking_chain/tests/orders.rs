//! Small lives in every order of their facts: what was heard first, or twice, makes no difference (architecture section 7, Convergence). The large proof with a model of
//! its own is `tests/it/convergence`.

use super::*;

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    (0..count)
        .flat_map(|place| {
            shorter.iter().map(move |order| {
                let mut order = order.clone();
                order.insert(place.min(order.len()), count - 1);
                order
            })
        })
        .collect()
}

/// Architecture section 7: any permutation with any duplication of the same facts ends in the same state.
#[test]
fn one_life_ends_the_same_in_every_order_and_with_duplicates() {
    let facts = [
        (fact(Happening::Accepted, "a", 60), phone(1)),
        (moved("b", 120, "a", 60), heard(Actor::Staff, Channel::CalcomWebhook, 2)),
        (moved("c", 300, "b", 120), phone(3)),
        (cancelled("c", 300, Some("krank")), webhook(4)),
    ];
    let straight = Life::of(&facts).canonical();
    assert_eq!((straight.1.status, straight.1.rescheduled_count, straight.1.previous_starts_at), ("cancelled", 2, Some(at(120))));
    assert_eq!(straight.2.len(), 4);
    let orders = permutations(4);
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), 24);
    for order in orders {
        let told: Vec<_> = order.iter().map(|index| facts[*index].clone()).collect();
        assert_eq!(Life::of(&told).canonical(), straight, "order {order:?}");
        let stuttered: Vec<_> = told.iter().flat_map(|fact| [fact.clone(), fact.clone()]).collect();
        assert_eq!(Life::of(&stuttered).canonical(), straight, "order {order:?}, each twice");
        let again: Vec<_> = told.iter().chain(told.iter().rev()).cloned().collect();
        assert_eq!(Life::of(&again).canonical(), straight, "order {order:?}, and back again");
    }
}

/// The same for a life in which the host must confirm each step and the customer does not come.
#[test]
fn a_confirmed_life_ends_the_same_in_every_order() {
    let requested_move = Fact { happening: Happening::Requested, sequence: 0, ..moved("b", 120, "a", 60) };
    let facts = [
        (fact(Happening::Requested, "a", 60), webhook(1)),
        (requested_move, webhook(2)),
        (Fact { sequence: 1, ..fact(Happening::Accepted, "b", 120) }, webhook(3)),
        (fact(Happening::NoShow, "b", 120), webhook(4)),
    ];
    let straight = Life::of(&facts);
    assert_eq!(straight.shown().status, "no_show");
    for order in permutations(4) {
        let told: Vec<_> = order.iter().map(|index| facts[*index].clone()).collect();
        let life = Life::of(&told);
        assert_eq!(life.canonical().0, straight.canonical().0, "order {order:?}");
        assert_eq!(life.shown(), straight.shown(), "order {order:?}");
    }
}

/// The confirmation overtook the request: who asked first booked it, whichever is heard first.
#[test]
fn a_confirmation_that_overtook_its_request_does_not_stay_the_booking() {
    let facts = [(fact(Happening::Requested, "a", 60), phone(1)), (fact(Happening::Accepted, "a", 60), webhook(5))];
    let (there, back) = (Life::of(&facts), Life::of(&[facts[1].clone(), facts[0].clone()]));
    assert_eq!(there.canonical(), back.canonical());
    assert_eq!((back.rows[0].source.as_str(), back.rows[0].occurred_at), ("retell_phone", at(1)));
}

/// Fixtures 06 and 04 about one uid: the host asks for another time, then somebody cancels. Both happened, in either order of telling.
#[test]
fn a_request_to_reschedule_stays_in_the_history_of_a_cancelled_booking() {
    let facts = [
        (fact(Happening::Accepted, "a", 60), webhook(1)),
        (
            Fact { reason: Some("Please reschedule. ".to_owned()), ..fact(Happening::RescheduleRequested, "a", 60) },
            heard(Actor::Staff, Channel::CalcomWebhook, 2),
        ),
        (cancelled("a", 60, Some("krank")), webhook(3)),
    ];
    let straight = Life::of(&facts);
    assert_eq!(straight.kinds(), [("booked", "a"), ("reschedule_requested", "a"), ("cancelled", "a")]);
    for order in permutations(3) {
        let life = Life::of(&order.iter().map(|index| facts[*index].clone()).collect::<Vec<_>>());
        assert_eq!(life.canonical(), straight.canonical(), "order {order:?}");
    }
}

/// Calcom reference 2.10: the mark is taken back with `noShow: false`; the last word by Cal.com's time holds.
#[test]
fn an_absence_that_was_taken_back_is_none_in_any_order() {
    let facts = [
        (fact(Happening::Accepted, "a", 60), webhook(1)),
        (fact(Happening::NoShow, "a", 60), webhook(90)),
        (fact(Happening::NoShowWithdrawn, "a", 60), webhook(95)),
    ];
    for order in permutations(3) {
        let life = Life::of(&order.iter().map(|index| facts[*index].clone()).collect::<Vec<_>>());
        assert_eq!(life.shown().status, "booked", "order {order:?}");
        assert_eq!(life.rows.iter().map(|row| row.kind).collect::<BTreeSet<_>>(), BTreeSet::from(["booked", "no_show", "no_show_withdrawn"]));
    }
}

/// A fact without a host between two with one: three facts are needed to see it.
#[test]
fn the_newest_fact_that_names_a_host_names_the_host() {
    let named = |sequence, host_user_id| Fact { sequence, host_user_id, ..fact(Happening::Accepted, "a", 60) };
    let facts = [named(1, Some(4711)), named(3, None), named(2, Some(4712))];
    for order in permutations(3) {
        let life = Life::of(&order.iter().map(|index| (facts[*index].clone(), webhook(1))).collect::<Vec<_>>());
        assert_eq!(life.shown().host_user_ids, [4712], "order {order:?}");
    }
}

/// A host who was replaced without a word (calcom reference 2.12): a look sees the new one, and has no sequence; older events that come late say the old one.
#[test]
fn the_host_is_whoever_held_it_last_whatever_told_it() {
    let row = |host, updated| Fact { host_user_id: Some(host), provider_updated_at: Some(at(updated)), ..fact(Happening::Accepted, "b", 120) };
    let reconciled = || heard(Actor::Unknown, Channel::Reconciled, 9);
    let moved_by_visitor = moved("b", 120, "a", 60);
    let facts = [(moved_by_visitor.clone(), webhook(2)), (row(4712, 5), reconciled()), (moved_by_visitor, webhook(3))];
    for order in permutations(facts.len()) {
        let life = Life::of(&order.iter().map(|index| facts[*index].clone()).collect::<Vec<_>>());
        assert_eq!(life.shown().host_user_ids, [4712], "{order:?}");
    }
    // as the store reads it: a row of columns with the marks among them
    #[derive(serde::Deserialize)]
    struct Row {
        #[serde(flatten)]
        booking: Booking,
        appointment_id: Option<Uuid>,
    }
    let known = Life::of(&facts).chain.bookings.remove(0);
    let read: Row = serde_json::from_value(serde_json::to_value(&known).unwrap()).unwrap();
    assert_eq!((read.booking, read.appointment_id), (known, None));
    // a lagging replica shows what was before the last event
    let mut life = Life::of(&[(row(4712, 5), reconciled())]);
    life.hear(&Fact { host_user_id: Some(4713), sequence: 1, ..cancelled("b", 120, None) }, &webhook(7));
    life.hear(&row(4712, 5), &reconciled());
    assert_eq!(life.chain.booking("b").unwrap().host_user_id, Some(4713));
}

/// A sweep finds a booking that is over and cannot tell whether it had been accepted: nothing of that is made up, and what is told later fits in.
#[test]
fn a_booking_that_is_found_ended_was_booked_and_its_late_events_improve_what_we_know() {
    let reconciled = |minutes| heard(Actor::Customer, Channel::Reconciled, minutes);
    let found = [(fact(Happening::Existed, "a", 60), reconciled(1)), (cancelled("a", 60, Some("krank")), reconciled(5))];
    let life = Life::of(&found);
    assert_eq!(life.kinds(), [("booked", "a"), ("cancelled", "a")]);
    assert_eq!(life.shown().status, "cancelled");
    assert_eq!(life.chain.booked().unwrap().source, "reconciled");
    let late = [(fact(Happening::Requested, "a", 60), webhook(1)), (cancelled("a", 60, Some("krank")), webhook(5))];
    let all: Vec<_> = found.iter().chain(&late).cloned().collect();
    let mut seen = None;
    for order in permutations(all.len()) {
        let life = Life::of(&order.iter().map(|index| all[*index].clone()).collect::<Vec<_>>());
        assert_eq!(life.rows.iter().filter(|row| row.kind == "confirmed").count(), 0, "nobody confirmed it");
        assert_eq!(life.chain.booked().unwrap().source, "calcom_webhook");
        let rows = life.canonical().2;
        assert_eq!(*seen.get_or_insert(rows.clone()), rows, "{order:?}");
    }
}
