//! First go-live: a Cal.com account with a history becomes ours (issue 3, Sweeps; incidents 2 and 44).

use std::collections::BTreeMap;

use dev::calcom_stand_in::{EchoOrder, EventType, FaultKind, FaultOp, FaultRule, VisitorBooking, VisitorCancel, VisitorMove};
use serde_json::{Value, json};
use tests::{World, WorldOptions, eventually, schedule};

/// More than two pages of a hundred.
const BOOKINGS: i64 = 230;
/// A tenth is cancelled, a tenth is moved.
const TENTH: i64 = BOOKINGS / 10;
const PEOPLE: i64 = 40;
const A_DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Of the account, and of no service.
const FOREIGN: i64 = 9999;

/// Three weeks back and some ahead, eight a day.
fn visitor(event_type_id: i64, n: i64) -> VisitorBooking {
    let first = (tests::world::now() - chrono::Duration::days(20)).date_naive().and_hms_opt(6, 0, 0).unwrap().and_utc();
    let person = n % PEOPLE;
    VisitorBooking {
        event_type_id,
        start: first + chrono::Duration::days(n / 8) + chrono::Duration::hours(n % 8),
        name: format!("Besucherin {person}"),
        email: format!("besucherin{person}@example.org"),
        phone: (person % 3 == 0).then(|| format!("+491511234{person:04}")),
        notes: String::new(),
    }
}

/// What happened in Cal.com before anybody heard of frontdesk.
async fn history(world: &World) {
    world.calcom.set_echo_order(EchoOrder::Lose);
    world.calcom.set_clock_offset_ms(-21 * A_DAY_MS);
    let foreign = json!({ "id": FOREIGN, "slug": "privat", "title": "Privat", "length": 30, "hosts": [4711], "seats": null });
    world.calcom.add_event_type(serde_json::from_value::<EventType>(foreign).unwrap());
    for n in 0..BOOKINGS {
        let booking = world.calcom.visitor_book(visitor(1320, n)).await.unwrap();
        let (uid, as_host) = (booking.uid, n % 20 < 10);
        match n % 10 {
            3 => drop(world.calcom.visitor_cancel(VisitorCancel { uid, reason: Some("krank".into()), as_host }).await.unwrap()),
            5 => {
                let start = booking.start + chrono::Duration::minutes(30);
                drop(world.calcom.visitor_reschedule(VisitorMove { uid, start, as_host }).await.unwrap());
            }
            _ => {}
        }
    }
    for n in [-5, 400] {
        world.calcom.visitor_book(VisitorBooking { email: "privat@example.org".into(), phone: None, ..visitor(FOREIGN, n) }).await.unwrap();
    }
    world.calcom.set_clock_offset_ms(0);
    world.calcom.set_echo_order(EchoOrder::Before);
}

async fn counted(world: &World, statement: &'static str) -> BTreeMap<String, i64> {
    world.rows(statement).await.iter().map(|row| (row[0].as_str().unwrap().to_owned(), row[1].as_i64().unwrap())).collect()
}

/// The process that adopts is killed half-way; another one goes on where it stopped.
#[tokio::test]
async fn the_bookings_of_a_new_account_are_all_taken_over_and_nothing_is_changed_in_cal_com() {
    let roles = vec!["booking", "reschedule", "cancellation", "desk", "calls"];
    let mut world = World::with(WorldOptions { roles, ..WorldOptions::default() }).await;
    world.expect_dead_letters();
    history(&world).await;
    let ledger = world.calcom.ledger().len();
    schedule::start(&mut world).await;
    world.calcom.add_faults(vec![FaultRule { times: None, ..FaultRule::once(FaultOp::List, FaultKind::Slow { ms: 500 }) }]);
    let first = world.start_workers(&["calcom-sync"], &BTreeMap::new()).await;
    schedule::run(&world, "calcom_updates").await;
    eventually("a page is folded", || async { (world.count("SELECT count(*) FROM sweeps WHERE pages > 0").await > 0).then_some(()) }).await;
    world.workers[first].kill();
    world.worker_urls.remove(first);
    assert!(world.count("SELECT count(*) FROM appointments").await < BOOKINGS, "it was half-way");

    world.calcom.clear_faults();
    world.start_workers(&["calcom-sync"], &BTreeMap::new()).await;
    // the dead one's lease runs out
    schedule::let_time_pass(&world, 3).await;
    let ended = "SELECT count(*) FROM sweeps WHERE kind = 'adoption' AND cursor_at IS NOT NULL AND wanted_at IS NULL";
    eventually("the adoption has ended", || async { (world.count(ended).await == 1).then_some(()) }).await;
    world.settle_all().await;
    let first_pages = world.calcom.requests().iter().filter(|request| request.query.contains("afterCreatedAt=1970")).count();
    assert_eq!(first_pages, 1, "it went on where the dead one had stopped");

    let states = counted(&world, "SELECT jsonb_build_array(status, count(*)) FROM appointments GROUP BY status").await;
    assert_eq!(states, BTreeMap::from([("booked".to_owned(), BOOKINGS - TENTH), ("cancelled".to_owned(), TENTH)]), "a move is no second appointment");
    let history = counted(&world, "SELECT jsonb_build_array(kind, count(*)) FROM appointment_modifications GROUP BY kind").await;
    let expected = [("booked", BOOKINGS), ("cancelled", TENTH), ("rescheduled", TENTH)];
    assert_eq!(history, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    let hands = "SELECT jsonb_build_array(kind || ' by ' || actor, count(*)) FROM appointment_modifications WHERE kind <> 'booked' GROUP BY kind, actor";
    let hands = counted(&world, hands).await;
    assert_eq!(hands.len(), 4, "visitors and hosts, both kinds: {hands:?}");
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE created_by = 'customer' AND booking_source = 'reconciled'").await, BOOKINGS);
    assert!(world.count("SELECT count(*) FROM appointments WHERE ends_at < now()").await > 100, "past ones, too");
    assert!(world.count("SELECT count(*) FROM appointments WHERE starts_at > now()").await > 50);
    assert_eq!(world.count("SELECT count(*) FROM customers").await, PEOPLE, "known from the bookings, each once");
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE phone IS NOT NULL").await, (PEOPLE + 2) / 3);

    assert_eq!(world.calcom.ledger().len(), ledger, "nothing was changed in Cal.com");
    assert!(world.calcom.requests().iter().all(|request| request.method == "GET"), "only GETs");
    assert_eq!(world.count("SELECT count(*) FROM intents").await, 0);
    assert!(schedule::metric(&world, "frontdesk_reconcile_repaired_total").await < 0.5, "what is taken over was never lost");
    foreign_bookings(&world).await;
    world.finish().await;
}

/// Bookings of an event type that is no service's are told once and never guessed; once it is a service's, they are taken over.
async fn foreign_bookings(world: &World) {
    let letters = async || world.rows("SELECT jsonb_build_array(reason, role, company_id) FROM dead_letters").await;
    let told = [json!(["unknown_event_type", "calcom-sync", Value::Null])];
    assert_eq!(letters().await, told);
    schedule::sweep(world, "calcom_updates").await;
    schedule::sweep(world, "calcom_window").await;
    assert_eq!(letters().await, told, "once");

    sqlx::query("UPDATE services SET calcom_event_type_id = $1 WHERE calcom_event_type_id = 1321").bind(FOREIGN).execute(&world.db).await.unwrap();
    schedule::sweep(world, "calcom_updates").await;
    let adopted = "SELECT count(*) FROM appointments a JOIN services s ON s.id = a.service_id WHERE s.calcom_event_type_id = 9999";
    assert_eq!(world.count(adopted).await, 2);
    let requests = world.calcom.requests().len();
    schedule::sweep(world, "calcom_updates").await;
    assert!(world.calcom.requests().len() - requests < 3, "not everything again and again");
}
