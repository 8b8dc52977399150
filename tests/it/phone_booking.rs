//! The main job: a caller books, moves and cancels; Cal.com holds exactly one live booking at every step; every change is recorded with its call.

use chrono::Weekday;
use serde_json::{Value, json};
use tests::world::ahead;
use tests::{World, WorldOptions, eventually};

/// Incidents 3 and 8: the uid of a moved booking was lost, and bookings were not linked to their call.
#[tokio::test]
async fn a_caller_books_moves_three_times_and_cancels() {
    let world = World::new().await;
    let (nine, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let ring = call.ring().await;
    assert_eq!(ring.status, 200);
    assert_eq!(ring.body["call_inbound"]["metadata"]["company_id"], json!(world.company.company_id));
    assert!(call.start().await.status / 100 == 2);

    let booked = call.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    assert_eq!((booked.status, &booked.body["booked"]), (200, &json!(true)), "{:?}", booked.body);
    assert_eq!(world.calcom.live_bookings().len(), 1);
    let mut starts = vec![nine];
    for hour in [10, 11, 14] {
        let time = format!("{hour}:00");
        let moved = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": time, "bestaetigung": true })).await;
        assert_eq!((moved.status, &moved.body["rescheduled"]), (200, &json!(true)), "{:?}", moved.body);
        let live = world.calcom.live_bookings();
        assert_eq!(live.len(), 1, "exactly one live booking at every step");
        starts.push(ahead(3, Weekday::Thu, hour, 0).0);
        assert_eq!(live[0].start, *starts.last().unwrap());
    }
    let cancelled = call.function("cancel_appointment", json!({ "reason": "Termin passt nicht mehr" })).await;
    assert_eq!((cancelled.status, &cancelled.body["cancelled"]), (200, &json!(true)), "{:?}", cancelled.body);
    assert!(world.calcom.live_bookings().is_empty());
    world.settle_all().await;

    let modifications = world.modifications().await;
    let kinds: Vec<&str> = modifications.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["booked", "rescheduled", "rescheduled", "rescheduled", "cancelled"]);
    let call_id = world.rows("SELECT to_jsonb(id) FROM calls").await;
    assert_eq!(call_id.len(), 1);
    for row in &modifications {
        assert_eq!(row["call_id"], call_id[0], "every change of this call names it");
    }
    for (index, row) in modifications[1..4].iter().enumerate() {
        assert_eq!(instant(&row["previous_starts_at"]), starts[index]);
        assert_eq!(instant(&row["new_starts_at"]), starts[index + 1]);
    }
    let appointments = world.appointments().await;
    assert_eq!(appointments.len(), 1);
    let appointment = &appointments[0];
    assert_eq!(appointment["status"], "cancelled");
    assert_eq!(appointment["call_id"], call_id[0]);
    assert_eq!(instant(&appointment["previous_starts_at"]), starts[2], "the start before the last move");
    for (column, value) in [
        ("created_by", "customer"),
        ("booking_source", "retell_phone"),
        ("rescheduled_by", "customer"),
        ("reschedule_source", "retell_api"),
        ("cancelled_by", "customer"),
        ("cancellation_source", "retell_api"),
        ("cancellation_reason", "Termin passt nicht mehr"),
    ] {
        assert_eq!(appointment[column], value, "{column}");
    }
    assert_eq!(world.count("SELECT count(*) FROM slot_claims").await, 0, "a cancelled appointment claims no time");
    world.finish().await;
}

/// The same with the middle move made in Cal.com by the host.
#[tokio::test]
async fn a_move_made_in_calcom_between_two_by_phone_keeps_one_chain() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let booked = call.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    assert_eq!(booked.body["booked"], true, "{:?}", booked.body);
    assert_eq!(call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "10:00", "bestaetigung": true })).await.body["rescheduled"], true);

    let eleven = ahead(3, Weekday::Thu, 11, 0).0;
    let uid = world.calcom.live_bookings()[0].uid.clone();
    let moved = serde_json::from_value(json!({ "uid": uid, "start": eleven, "as_host": true })).unwrap();
    world.calcom.visitor_reschedule(moved).await.unwrap();
    eventually("the host's move is recorded", || async { (instant(&world.appointments().await[0]["starts_at"]) == eleven).then_some(()) }).await;
    assert_eq!(world.calcom.live_bookings().len(), 1);

    assert_eq!(call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "14:00", "bestaetigung": true })).await.body["rescheduled"], true);
    assert_eq!(world.calcom.live_bookings().len(), 1);
    assert_eq!(call.function("cancel_appointment", json!({})).await.body["cancelled"], true);
    assert!(world.calcom.live_bookings().is_empty());
    world.settle_all().await;

    let modifications = world.modifications().await;
    let seen: Vec<(&str, &str, bool)> =
        modifications.iter().map(|row| (row["kind"].as_str().unwrap(), row["source"].as_str().unwrap(), !row["call_id"].is_null())).collect();
    assert_eq!(
        seen,
        [
            ("booked", "retell_phone", true),
            ("rescheduled", "retell_api", true),
            ("rescheduled", "calcom_webhook", false),
            ("rescheduled", "retell_api", true),
            ("cancelled", "retell_api", true),
        ]
    );
    let appointment = &world.appointments().await[0];
    assert_eq!(instant(&appointment["previous_starts_at"]), eleven);
    assert_eq!(appointment["cancellation_reason"], "not_given");
    world.finish().await;
}

/// Architecture section 6: until Cal.com has confirmed, the caller hears "angefragt", not "gebucht".
#[tokio::test]
async fn a_booking_that_the_host_must_confirm_is_not_called_booked() {
    let world = World::with(WorldOptions { confirm_event_types: vec![1321], ..WorldOptions::default() }).await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let asked = call.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    assert_eq!((&asked.body["success"], &asked.body["booked"], &asked.body["status"]), (&json!(true), &json!(false), &json!("pending")));
    assert!(asked.body["message"].as_str().unwrap().contains("angefragt"));
    let uid = world.calcom.bookings()[0].uid.clone();
    world.calcom.host_decides(&uid, true, None).await.unwrap();
    eventually("the confirmation is recorded", || async { (world.appointments().await[0]["status"] == "booked").then_some(()) }).await;
    world.settle_all().await;
    let kinds: Vec<Value> = world.modifications().await.iter().map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds, ["booked", "confirmed"]);
    world.finish().await;
}

fn instant(value: &Value) -> chrono::DateTime<chrono::Utc> {
    value.as_str().unwrap().parse().unwrap()
}
