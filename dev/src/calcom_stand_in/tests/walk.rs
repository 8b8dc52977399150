//! One appointment through its life, over HTTP, checked against the ledger and the shapes of the fixtures.

use serde_json::{Value, json};

use super::super::{By, Op};
use super::{World, at, fixture_json};

/// Keys of an object and the JSON type of each value; arrays by their first item.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), shape(value))).collect()),
        Value::Array(items) => Value::Array(items.first().map(shape).into_iter().collect()),
        Value::String(_) => json!("string"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("bool"),
        Value::Null => Value::Null,
    }
}

fn assert_shape(answer: &Value, fixture: &str) {
    let (mut answer, mut expected) = (shape(answer), shape(&fixture_json(fixture)));
    for object in [&mut answer, &mut expected] {
        let data = match object["data"].is_array() {
            true => &mut object["data"][0],
            false => &mut object["data"],
        };
        // Free content: whatever the caller sent.
        data["metadata"] = Value::Null;
        data["bookingFieldsResponses"] = Value::Null;
        data["reschedulingReason"] = Value::Null;
    }
    assert_eq!(answer, expected, "{fixture}");
}

#[tokio::test]
async fn a_booking_is_created_read_listed_moved_and_cancelled_and_the_ledger_tells_it() {
    let world = World::start().await;
    let (status, made) = world.post("/bookings", super::order("2026-07-06T08:00:00Z")).await;
    assert_eq!(status, 201);
    assert_shape(&made, "api-201-booking-create.json");
    let old = made["data"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(made["data"]["attendees"][0]["email"], "4915112345678@sms.cal.com");

    assert_eq!(world.get(&format!("/bookings/{old}")).await, (200, made));
    let (_, list) = world.get("/bookings?attendeeEmail=4915112345678@sms.cal.com").await;
    assert_shape(&list, "api-200-booking-list.json");
    assert_eq!(list["pagination"]["totalItems"], 1);

    let wish = json!({"start": "2026-07-07T12:00:00Z", "reschedulingReason": "Kunde verhindert"});
    let (status, moved) = world.post(&format!("/bookings/{old}/reschedule"), wish).await;
    assert_eq!(status, 201);
    assert_shape(&moved, "api-201-booking-reschedule.json");
    let new = moved["data"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(moved["data"]["metadata"]["source"], "retell");
    let (_, before) = world.get(&format!("/bookings/{old}")).await;
    assert_shape(&before, "api-200-booking-get-old-after-reschedule.json");
    assert_eq!(before["data"]["rescheduledToUid"], new.as_str());
    assert_eq!(world.calcom.live_bookings().len(), 1);

    let wish = json!({"cancellationReason": "Kunde hat telefonisch abgesagt"});
    let (status, gone) = world.post(&format!("/bookings/{new}/cancel"), wish).await;
    assert_eq!(status, 200);
    assert_shape(&gone, "api-200-booking-cancel.json");
    assert_eq!(world.calcom.live_bookings().len(), 0);

    let ledger = world.calcom.ledger();
    let ops: Vec<_> = ledger.iter().map(|entry| (entry.op, entry.uid.clone(), entry.from_uid.clone())).collect();
    assert_eq!(ops, [(Op::Create, old.clone(), None), (Op::Reschedule, new.clone(), Some(old.clone())), (Op::Cancel, new.clone(), None)]);
    assert!(ledger.iter().all(|entry| entry.by == By::Api && entry.request_id.is_some()));
    assert_eq!((ledger[1].start, ledger[1].end), (at("2026-07-07T12:00:00Z"), at("2026-07-07T12:30:00Z")));
    assert_eq!(world.receiver.triggers(), ["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED"]);
    let posts = world.calcom.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!((posts, world.calcom.requests()[0].key_name.as_deref()), (3, Some("salon")));
}

#[tokio::test]
async fn a_moved_slot_is_free_again_and_the_same_time_can_be_moved_to() {
    let world = World::start().await;
    let first = world.book("2026-07-06T08:00:00Z").await;
    let (status, moved) = world.post(&format!("/bookings/{first}/reschedule"), json!({"start": "2026-07-06T08:15:00Z"})).await;
    assert_eq!(status, 201, "its own old time does not block it: {moved}");
    let uid = moved["data"]["uid"].as_str().unwrap();
    world.post(&format!("/bookings/{uid}/reschedule"), json!({"start": "2026-07-06T09:00:00Z"})).await;
    world.book("2026-07-06T08:00:00Z").await;
    assert_eq!(world.calcom.live_bookings().len(), 2);
}

#[tokio::test]
async fn the_story_can_be_set_up_and_watched_over_http_alone() {
    let world = World::start().await;
    let admin = |path: &str| format!("{}/admin/{path}", world.calcom.base_url);
    let send = |path: &str, body: Value| {
        let request = world.http.post(admin(path)).json(&body);
        async move {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, response.json::<Value>().await.unwrap_or(Value::Null))
        }
    };
    send("hosts", json!({"id": 1, "name": "Clara Muster", "email": "clara@example.org"})).await;
    let event = json!({"id": 7, "slug": "farbe", "title": "Farbe", "length": 60, "hosts": [1]});
    assert_eq!(send("event-types", event).await.0, 204);
    send("api-keys", json!({"key": "cal_other", "name": "other", "user_id": 1, "rate_per_window": 5})).await;
    let hook = json!({"subscriber_url": world.receiver.url, "secret": "s", "user_id": 1});
    assert!(send("webhooks", hook).await.1["id"].is_string());
    let wish = json!({"event_type_id": 7, "start": "2026-07-06T10:00:00Z", "name": "Erika Musterfrau",
        "email": "erika@example.org"});
    let (status, made) = send("visitor/book", wish.clone()).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(send("visitor/book", wish).await.0, 409);
    let uid = made["uid"].clone();
    let (_, moved) = send("visitor/reschedule", json!({"uid": uid, "start": "2026-07-06T12:00:00Z"})).await;
    let (status, _) = send("visitor/cancel", json!({"uid": moved["uid"], "reason": "krank", "as_host": true})).await;
    assert_eq!(status, 200);
    send("clock", json!({"offset_ms": 1000})).await;

    let get = |path: &str| super::answered(world.http.get(admin(path)));
    let (_, ledger) = get("ledger").await;
    let by: Vec<_> = ledger.as_array().unwrap().iter().map(|entry| entry["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["visitor", "visitor", "host"]);
    assert_eq!(get("bookings?live=true").await.1, json!([]));
    assert_eq!(get("bookings").await.1.as_array().unwrap().len(), 2);
    assert_eq!(get("deliveries").await.1.as_array().unwrap().len(), 3);
    assert_eq!(send("reset", Value::Null).await.0, 204);
    assert_eq!(get("ledger").await.1, json!([]));
}

#[tokio::test]
async fn a_dropped_stand_in_no_longer_listens() {
    let world = World::start().await;
    let url = format!("{}/admin/health", world.calcom.base_url);
    assert!(world.http.get(&url).send().await.is_ok());
    drop(world.calcom);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while world.http.get(&url).send().await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "it still answers");
    }
}
