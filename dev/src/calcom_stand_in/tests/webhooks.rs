//! Signatures, bytes and order of webhooks.

use serde_json::{Value, json};

use super::super::sign::sign_calcom;
use super::super::{EchoOrder, VisitorBooking, VisitorCancel, VisitorMove};
use super::{KEY, SECRET, World, answered, at, fixture, fixture_json, haircut, until};

/// The values of these keys differ from run to run; everything else must be the fixture's bytes.
const VOLATILE: [&str; 8] = ["createdAt", "uid", "bookingId", "oneTimePassword", "iCalUID", "rescheduleId", "rescheduleUid", "bookingUid"];

const TAGS: &str = r#"{"source":"retell","tenant_id":"c0ffee00-0000-4000-8000-000000000001","appointment_id":"018f6f2e-7c3a-7bbb-8a11-2f6b6d1c0a01","call_id":"call_9a7f0c2b1d3e4f5a6b7c8d9e0f1a"}"#;

/// The raw JSON of the value of `key`, which must be a string or a number.
fn raw_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let from = text.find(&format!("\"{key}\":"))? + key.len() + 3;
    let rest = &text[from..];
    Some(&rest[..rest.find([',', '}'])?])
}

fn assert_same_bytes(fixture_name: &str, sent: &str) {
    let mut expected = fixture(fixture_name);
    for key in VOLATILE {
        if let (Some(old), Some(new)) = (raw_value(&expected, key), raw_value(sent, key)) {
            let (old, new) = (format!("\"{key}\":{old}"), format!("\"{key}\":{new}"));
            expected = expected.replace(&old, &new);
        }
    }
    assert_eq!(sent, expected, "{fixture_name}");
}

/// Sends the body as text: `json!` would sort the metadata keys, and their order must survive.
async fn post_text(world: &World, path: &str, body: String) -> Value {
    let url = format!("{}{path}", world.calcom.api_url());
    let request = world.http.post(url).bearer_auth(KEY).header("cal-api-version", "2024-08-13").body(body);
    let (status, body) = answered(request).await;
    assert!(status < 300, "{body}");
    body["data"].clone()
}

fn tagged(start: &str) -> String {
    format!(
        r#"{{"start":"{start}","eventTypeId":1320,"attendee":{{"name":"Jörg Müller","phoneNumber":"+4915112345678","timeZone":"Europe/Berlin","language":"de"}},"bookingFieldsResponses":{{"notes":"Bitte Maschine 6 mm"}},"metadata":{TAGS}}}"#
    )
}

#[test]
fn our_signatures_equal_those_of_the_fixtures() {
    let vectors = fixture_json("signatures.json");
    for vector in vectors["webhooks"].as_array().unwrap() {
        let (file, sent) = (vector["file"].as_str().unwrap(), &vector["headers"]["x-cal-signature-256"]);
        let Some(secret) = vector["secret"].as_str() else {
            assert_eq!(sent, super::super::sign::NO_SECRET);
            continue;
        };
        assert_eq!(&json!(sign_calcom(secret, fixture(file).as_bytes())), sent, "{file}");
    }
}

#[tokio::test]
async fn webhooks_of_a_booking_moved_and_cancelled_by_the_api_are_the_bytes_of_the_fixtures() {
    let world = World::start().await;
    let made = post_text(&world, "/bookings", tagged("2026-07-06T08:00:00Z")).await;
    let path = format!("/bookings/{}/reschedule", made["uid"].as_str().unwrap());
    let moved = post_text(&world, &path, r#"{"start":"2026-07-07T12:00:00Z"}"#.to_owned()).await;
    let path = format!("/bookings/{}/cancel", moved["uid"].as_str().unwrap());
    post_text(&world, &path, json!({"cancellationReason": "Kunde hat telefonisch abgesagt"}).to_string()).await;

    let got = world.receiver.got();
    assert_eq!(got.len(), 3);
    assert_same_bytes("01-booking-created-api-echo.json", &got[0].1);
    assert_same_bytes("03-booking-rescheduled.json", &got[1].1);
    assert_same_bytes("04-booking-cancelled.json", &got[2].1);
    for (headers, body) in &got {
        assert_eq!(headers["x-cal-signature-256"], sign_calcom(SECRET, body.as_bytes()));
        assert_eq!(headers["x-cal-webhook-version"], "2021-10-20");
        assert_eq!(headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn a_request_and_its_rejection_are_the_bytes_of_the_fixtures() {
    let world = World::start().await;
    let mut event = haircut();
    event.requires_confirmation = true;
    world.calcom.add_event_type(event);
    let made = post_text(&world, "/bookings", tagged("2026-07-06T08:00:00Z")).await;
    assert_eq!(made["status"], "pending");
    assert_same_bytes("07-booking-requested.json", &world.receiver.got()[0].1);

    let made = post_text(&world, "/bookings", tagged("2026-07-09T08:00:00Z")).await;
    let path = format!("/bookings/{}/decline", made["uid"].as_str().unwrap());
    post_text(&world, &path, json!({"reason": "Praxis geschlossen"}).to_string()).await;
    assert_same_bytes("10-booking-rejected.json", &world.receiver.got()[2].1);
}

#[tokio::test]
async fn confirming_sends_created_without_our_tags() {
    let world = World::start().await;
    let mut event = haircut();
    event.requires_confirmation = true;
    world.calcom.add_event_type(event);
    let made = post_text(&world, "/bookings", tagged("2026-07-06T08:00:00Z")).await;
    let uid = made["uid"].as_str().unwrap();
    let confirmed = post_text(&world, &format!("/bookings/{uid}/confirm"), "{}".to_owned()).await;
    assert_eq!(confirmed["status"], "accepted");
    assert_eq!(confirmed["metadata"]["source"], "retell", "the row still has them");

    let event: Value = serde_json::from_str(&world.receiver.got()[1].1).unwrap();
    assert_eq!(event["triggerEvent"], "BOOKING_CREATED");
    assert_eq!(event["payload"]["uid"], uid);
    assert_eq!(event["payload"]["status"], "ACCEPTED");
    assert!(event["payload"].get("metadata").is_none());
}

#[tokio::test]
async fn a_visitor_booking_is_the_bytes_of_the_fixture_and_carries_no_tag() {
    let world = World::start().await;
    let made = visitor_books(&world).await;
    let sent = world.receiver.got()[0].1.clone();
    let old = "sm6bhSFd8qhjn4ZbxYe3gU";
    let expected = fixture("02-booking-created-ui.json").replace(old, &made).replace("aB3dE5", &made[..6]);
    let keys = ["createdAt", "bookingId", "oneTimePassword", "iCalUID"];
    let expected = keys.iter().fold(expected, |text, key| {
        let old = format!("\"{key}\":{}", raw_value(&text, key).unwrap());
        text.replace(&old, &format!("\"{key}\":{}", raw_value(&sent, key).unwrap()))
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn the_ui_names_who_moved_and_who_cancelled() {
    let world = World::start().await;
    let made = visitor_books(&world).await;
    let order = VisitorMove { uid: made.clone(), start: at("2026-07-06T11:00:00Z"), as_host: false };
    let moved = world.calcom.visitor_reschedule(order).await.unwrap();
    let order = VisitorCancel { uid: moved.uid.clone(), reason: None, as_host: true };
    world.calcom.visitor_cancel(order).await.unwrap();

    let got: Vec<Value> = world.receiver.got().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(got[1]["payload"]["rescheduledBy"], "erika@example.org");
    assert_eq!(got[1]["payload"]["rescheduleUid"], made.as_str());
    assert_eq!(got[2]["payload"]["cancelledBy"], "rieke@praxis-muster.example");
    assert!(got[2]["payload"].get("metadata").is_none());
}

#[tokio::test]
async fn no_show_and_ping_are_the_bytes_of_the_fixtures() {
    let world = World::start().await;
    let made = post_text(&world, "/bookings", tagged("2026-07-06T08:00:00Z")).await;
    let path = format!("/bookings/{}/mark-absent", made["uid"].as_str().unwrap());
    let marks = json!({"attendees": [{"email": "4915112345678@sms.cal.com", "absent": true}]});
    let (status, _) = world.post(&path, marks.clone()).await;
    assert_eq!(status, 400, "not before the start");

    world.calcom.set_clock_offset_ms(6 * 24 * 3600 * 1000);
    let (status, body) = world.post(&path, marks).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["data"]["attendees"][0]["absent"], true);
    world.calcom.ping_webhooks().await;
    let got = world.receiver.got();
    assert_same_bytes("12-booking-no-show-updated.json", &got[1].1);
    let expected = fixture("14-ping-test.json").replace("2026-06-30T11:00:00.000Z", "2026-07-06T12:00:00.000Z");
    assert_eq!(got[2].1, expected);
}

#[tokio::test]
async fn the_echo_comes_before_the_answer_and_the_cancel_echo_before_the_row() {
    let world = World::start().await;
    let uid = world.book("2026-07-06T08:00:00Z").await;
    let (echo, answer) = (&world.calcom.deliveries()[0], &world.calcom.requests()[0]);
    assert!(answer.seq < echo.seq && echo.seq < answer.answered_seq);

    world.post(&format!("/bookings/{uid}/cancel"), json!({"cancellationReason": "abgesagt"})).await;
    let cancel = world.calcom.ledger()[1].seq;
    assert!(world.calcom.deliveries()[1].seq < cancel);
}

#[tokio::test]
async fn the_barrier_forces_the_echo_behind_the_answer() {
    let world = World::start().await;
    world.calcom.set_echo_order(EchoOrder::After);
    world.book("2026-07-06T08:00:00Z").await;
    until("the late echo", || !world.calcom.deliveries().is_empty()).await;
    assert!(world.calcom.deliveries()[0].seq > world.calcom.requests()[0].answered_seq);
}

#[tokio::test]
async fn held_echoes_go_out_when_released_and_lost_ones_never() {
    let world = World::start().await;
    world.calcom.set_echo_order(EchoOrder::Hold);
    let uid = world.book("2026-07-06T08:00:00Z").await;
    world.post(&format!("/bookings/{uid}/cancel"), json!({"cancellationReason": "abgesagt"})).await;
    assert_eq!((world.receiver.got().len(), world.calcom.held_echoes()), (0, 2));
    let url = format!("{}/admin/echo/release", world.calcom.base_url);
    assert_eq!(answered(world.http.post(url)).await.1, json!({"released": 2}));
    assert_eq!(world.receiver.triggers(), ["BOOKING_CREATED", "BOOKING_CANCELLED"]);

    world.calcom.set_echo_order(EchoOrder::Lose);
    world.book("2026-07-06T08:00:00Z").await;
    assert_eq!((world.receiver.got().len(), world.calcom.held_echoes()), (2, 0));
}

#[tokio::test]
async fn webhooks_go_only_to_those_whom_they_concern() {
    let world = World::start().await;
    let mut event = haircut();
    (event.id, event.hosts) = (1321, vec![4712]);
    world.calcom.add_event_type(event);
    let (status, _) = world
        .post(
            "/bookings",
            json!({"start": "2026-07-06T08:00:00Z", "eventTypeId": 1321,
            "attendee": {"name": "Erika Musterfrau", "email": "erika@example.org", "timeZone": "Europe/Berlin"}}),
        )
        .await;
    assert_eq!(status, 201);
    assert_eq!(world.receiver.got().len(), 0, "another host's booking");
}

#[tokio::test]
async fn webhooks_are_created_changed_and_deleted_by_the_api() {
    let world = World::start().await;
    let wish = json!({"active": true, "subscriberUrl": "http://127.0.0.1:9/x", "secret": "s", "triggers": ["BOOKING_CREATED"]});
    let (status, made) = world.post("/webhooks", wish.clone()).await;
    assert_eq!(status, 201);
    let keys = |value: &Value| value["data"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&made), keys(&fixture_json("api-201-webhook-create.json")));
    assert_eq!(world.post("/webhooks", wish).await.0, 409);
    let bad = json!({"active": true, "subscriberUrl": "http://127.0.0.1:9/y", "triggers": ["BOOKING_CONFIRMED"]});
    assert_eq!(world.post("/webhooks", bad).await.0, 400);

    let url = format!("{}/webhooks/{}", world.calcom.api_url(), made["data"]["id"].as_str().unwrap());
    let patch = world.http.patch(&url).bearer_auth(KEY).json(&json!({"secret": "rotated"}));
    assert_eq!(answered(patch).await.1["data"]["secret"], "rotated");
    assert_eq!(answered(world.http.delete(&url).bearer_auth(KEY)).await.0, 200);
    assert_eq!(answered(world.http.get(&url).bearer_auth(KEY)).await.0, 404);
}

async fn visitor_books(world: &World) -> String {
    let wish = VisitorBooking {
        event_type_id: 1320,
        start: at("2026-07-06T09:00:00Z"),
        name: "Erika Musterfrau".to_owned(),
        email: "erika@example.org".to_owned(),
        phone: None,
        notes: String::new(),
    };
    world.calcom.visitor_book(wish).await.unwrap().uid
}
