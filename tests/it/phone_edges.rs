//! Phone calls where something around them goes wrong or has happened meanwhile: the caller hears the truth, and nobody else pays for it.

use std::collections::BTreeMap;

use chrono::Weekday;
use dev::calcom_stand_in::{EchoOrder, FaultKind, FaultOp, FaultRule};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::secret::generate_master_key;
use tests::world::ahead;
use tests::{World, WorldOptions, eventually};

fn beratung(date: &str, time: &str) -> Value {
    json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" })
}

/// The host moved the booking and its webhook was lost (Cal.com never repeats one): the old uid is "cancelled already", and that is not what the caller wanted.
#[tokio::test]
async fn a_cancellation_follows_a_move_that_nobody_told_us_of() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    assert_eq!(call.function("book_appointment", beratung(&date, "09:00")).await.body["booked"], true);
    world.settle_all().await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    let uid = world.calcom.live_bookings()[0].uid.clone();
    let eleven = ahead(3, Weekday::Thu, 11, 0).0;
    world.calcom.visitor_reschedule(serde_json::from_value(json!({ "uid": uid, "start": eleven, "as_host": true })).unwrap()).await.unwrap();

    let answer = call.function("cancel_appointment", json!({})).await.body;
    assert_eq!(answer["cancelled"], true, "{answer}");
    assert!(world.calcom.live_bookings().is_empty(), "what the caller wanted cancelled is cancelled, wherever it was");
    world.settle_all().await;
    let kinds: Vec<Value> = world.modifications().await.iter().map(|row| row["kind"].clone()).collect();
    assert!(kinds.contains(&json!("rescheduled")) && kinds.contains(&json!("cancelled")), "{kinds:?}");
    let appointment = &world.appointments().await[0];
    assert_eq!((&appointment["status"], &appointment["cancellation_source"]), (&json!("cancelled"), &json!("retell_api")));
    assert_eq!(appointment["cancellation_reason"], "not_given", "the record keeps what the caller said, not the text for Cal.com's mail");
    world.finish().await;
}

/// Incident 28 and its reverse: a stored answer holds while it is true, also where Retell names no tool call; an echo that comes meanwhile makes it no less true, and
/// the same words about a later appointment are a new wish.
#[tokio::test]
async fn an_answer_is_repeated_while_it_is_true_and_no_longer() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    call.start().await;
    let (book, cancel) = (("book_appointment", beratung(&date, "09:00")), ("cancel_appointment", json!({ "date": date, "time": "09:00" })));
    let (book_too, cancel_too) = (("book_appointment", beratung(&date, "11:00")), ("cancel_appointment", json!({ "date": date, "time": "11:00" })));
    // the last: another cancellation between makes the one that is repeated no less true
    let steps = [(&book, 1), (&book, 1), (&cancel, 0), (&cancel, 0), (&book, 1), (&book_too, 2), (&cancel, 1), (&cancel_too, 0), (&cancel, 0)];
    let mut answers: Vec<Value> = Vec::new();
    for (turn, ((name, arguments), live)) in steps.into_iter().enumerate() {
        let request = call.prepare_function(name, arguments.clone());
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        let told = body["call"].as_object_mut().unwrap();
        told.remove("transcript_with_tool_calls");
        told.insert("transcript".into(), json!(format!("turn {turn}")));
        let answer = world.send_retell(serde_json::to_vec(&body).unwrap()).await.json();
        assert_eq!(answer["success"], true, "turn {turn}, {name}: {answer}");
        assert_eq!(world.calcom.live_bookings().len(), live, "turn {turn}, after {name}: {answer}");
        let repeated = match turn {
            1 | 3 => Some(turn - 1),
            8 => Some(6),
            _ => None,
        };
        if let Some(first) = repeated.and_then(|turn: usize| answers.get(turn)) {
            assert_eq!(&answer, first, "turn {turn}");
        }
        // the echo is there before the next word
        world.settle_all().await;
        answers.push(answer);
    }
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'cancelled'").await, 3);
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 3);
    world.finish().await;
}

/// A 403 is about one booking; it says nothing about the key, and the next caller does not wait.
#[tokio::test]
async fn one_forbidden_booking_does_not_stop_the_account() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut first = world.retell.inbound("+4915112345678", "+493023125042");
    assert_eq!(first.function("book_appointment", beratung(&date, "09:00")).await.body["booked"], true);
    world.calcom.add_faults(vec![FaultRule { op: FaultOp::Cancel, kind: FaultKind::ErrorBefore { status: 403 }, times: None, probability: None }]);
    let refused = first.function("cancel_appointment", json!({})).await.body;
    assert_eq!((&refused["success"], &refused["reason"]), (&json!(false), &json!("callback_queued")), "{refused}");
    let mut second = world.retell.inbound("+4915112345699", "+493023125042");
    let booked = second.function("book_appointment", beratung(&date, "11:00")).await.body;
    assert_eq!(booked["booked"], true, "{booked}");
    assert_eq!(world.count("SELECT count(*) FROM credentials WHERE blocked_until IS NOT NULL").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM callback_requests").await, 1);
    world.finish().await;
}

/// A refused cancellation is not behind the host's own one, later.
#[tokio::test]
async fn a_hosts_cancellation_after_our_refused_one_is_the_hosts() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    assert_eq!(call.function("book_appointment", beratung(&date, "09:00")).await.body["booked"], true);
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Cancel, FaultKind::ErrorBefore { status: 403 })]);
    assert_eq!(call.function("cancel_appointment", json!({})).await.body["success"], false);
    let uid = world.calcom.live_bookings()[0].uid.clone();
    world.calcom.visitor_cancel(serde_json::from_value(json!({ "uid": uid, "as_host": true, "reason": "Betrieb geschlossen" })).unwrap()).await.unwrap();
    eventually("the host's cancellation is recorded", || async { (world.appointments().await[0]["status"] == "cancelled").then_some(()) }).await;
    world.settle_all().await;
    let appointment = &world.appointments().await[0];
    assert_eq!((&appointment["cancelled_by"], &appointment["cancellation_source"]), (&json!("staff"), &json!("calcom_webhook")));
    let cancelled = world.modifications().await.pop().unwrap();
    assert_eq!((&cancelled["kind"], &cancelled["call_id"]), (&json!("cancelled"), &Value::Null));
    world.finish().await;
}

/// Architecture section 6: until it is confirmed, the caller hears "angefragt"; that goes for moves, too.
#[tokio::test]
async fn a_move_that_the_host_must_confirm_is_not_called_done() {
    let world = World::with(WorldOptions { confirm_event_types: vec![1321], ..WorldOptions::default() }).await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    assert_eq!(call.function("book_appointment", beratung(&date, "09:00")).await.body["status"], "pending");
    let moved = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "14:00", "bestaetigung": true })).await.body;
    assert_eq!((&moved["success"], &moved["rescheduled"], &moved["status"]), (&json!(true), &json!(false), &json!("pending")), "{moved}");
    assert!(moved["message"].as_str().unwrap().contains("angefragt"));
    world.settle_all().await;
    world.finish().await;
}

/// Incident 52: anonymous callers were merged; here by an address that a language model filled in.
#[tokio::test]
async fn an_anonymous_caller_with_somebodys_address_is_somebody_new() {
    let world = World::new().await;
    let (nine, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let visitor = json!({ "event_type_id": 1321, "start": nine, "name": "Erika Musterfrau", "email": "erika@example.org" });
    world.calcom.visitor_book(serde_json::from_value(visitor).unwrap()).await.unwrap();
    eventually("the visitor is known", || async { (world.count("SELECT count(*) FROM appointments").await == 1).then_some(()) }).await;
    let mut call = world.retell.inbound("anonymous", "+493023125042");
    let arguments = json!({ "date": date, "time": "11:00", "service_name": "Beratung", "customer_name": "Otto Fremd", "customer_email": "erika@example.org" });
    let booked = call.function("book_appointment", arguments).await.body;
    assert_eq!(booked["booked"], true, "{booked}");
    let customers = world.rows("SELECT jsonb_build_object('anonymous', anonymous, 'name', name) FROM customers ORDER BY created_at").await;
    assert_eq!(customers, [json!({ "anonymous": false, "name": "Erika Musterfrau" }), json!({ "anonymous": true, "name": "Otto Fremd" })]);
    assert_eq!(world.count("SELECT count(*) FROM (SELECT customer_id FROM appointments GROUP BY 1 HAVING count(*) > 1) twice").await, 0);
    world.finish().await;
}

/// Everybody in a course has a place of their own, before and after a move: our own claims stand in nobody's way. (What Cal.com makes of the second move is its
/// own matter; the stand-in moves no single seats.)
#[tokio::test]
async fn two_participants_of_a_course_may_ask_for_the_same_time() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    for phone in ["+4915112345601", "+4915112345602"] {
        let mut call = world.retell.inbound(phone, "+493023125043");
        let arguments = json!({ "date": date, "time": "10:00", "service_name": "Yoga", "customer_name": "Erika Musterfrau" });
        let booked = call.function("book_appointment", arguments).await.body;
        assert_eq!(booked["booked"], true, "{booked}");
        call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "12:00", "bestaetigung": true })).await;
    }
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE op = 'reschedule'").await, 2, "both wishes went to Cal.com");
    world.finish().await;
}

/// A worker with the wrong master keys sends nothing, loses nothing and says so; with the right ones the wish is carried out.
#[tokio::test]
async fn a_wish_survives_a_worker_that_cannot_open_the_key() {
    let wrong = BTreeMap::from([("MASTER_KEYS".to_owned(), generate_master_key("test").expose_secret().to_owned())]);
    let mut world = World::with(WorldOptions { worker_environment: wrong, ..WorldOptions::default() }).await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let answer = call.function("book_appointment", beratung(&date, "09:00")).await.body;
    assert_eq!(answer["pending"], true, "{answer}");
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE state = 'recorded'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM reviews WHERE reason = 'credential_rejected'").await, 1);
    world.workers.clear();
    sqlx::query("UPDATE clock_shift SET shift = '120 s'").execute(&world.db).await.unwrap();
    world.start_workers(&["all"], &BTreeMap::new()).await;
    eventually("the wish is carried out", || async { (world.calcom.live_bookings().len() == 1).then_some(()) }).await;
    world.settle_all().await;
    assert_eq!(world.appointments().await[0]["status"], "booked");
    world.finish().await;
}
