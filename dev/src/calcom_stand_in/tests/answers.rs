//! Refusals, traps and "idempotent" answers, with the exact texts of the fixtures.

use serde_json::{Value, json};

use super::super::{EventType, Limits, Op};
use super::{KEY, World, answered, fixture_json, haircut, order};

/// Everything of an error but its timestamp and path.
fn error(value: &Value) -> Value {
    match value.get("error") {
        Some(error) => error.clone(),
        None => value.clone(),
    }
}

fn team(id: i64, kind: &str) -> EventType {
    EventType { id, hosts: vec![4711, 4712], scheduling_type: Some(kind.to_owned()), ..haircut() }
}

#[tokio::test]
async fn a_taken_slot_is_a_400_and_the_same_slot_again_a_409() {
    let world = World::start().await;
    world.book("2026-07-06T08:00:00Z").await;
    let (status, overlap) = world.post("/bookings", order("2026-07-06T08:15:00Z")).await;
    assert_eq!((status, error(&overlap)), (400, error(&fixture_json("api-400-slot-taken.json"))));
    let (status, same) = world.post("/bookings", order("2026-07-06T08:00:00Z")).await;
    assert_eq!((status, same), (409, fixture_json("api-409-booking-conflict-shape-b.json")));
    assert_eq!(world.calcom.ledger().len(), 1);
}

#[tokio::test]
async fn errors_carry_the_texts_of_the_fixtures() {
    let world = World::start().await;
    let (status, past) = world.post("/bookings", order("2026-06-29T08:00:00Z")).await;
    assert_eq!((status, &past["error"]["message"]), (400, &json!("Attempting to book a meeting in the past.")));
    let (_, invalid) = world.post("/bookings", order("next tuesday")).await;
    assert_eq!(error(&invalid), error(&fixture_json("api-400-validation.json")));
    world.calcom.add_event_type(EventType { minimum_notice_minutes: 120, ..haircut() });
    let (_, early) = world.post("/bookings", order("2026-06-30T13:00:00Z")).await;
    assert_eq!(error(&early), error(&fixture_json("api-400-out-of-bounds.json")));
    let (status, missing) = world.get("/bookings/nope").await;
    assert_eq!((status, error(&missing)), (404, error(&fixture_json("api-404-booking.json"))));
    let (status, missing) = world.post("/bookings/nope/reschedule", json!({"start": "2026-07-06T08:00:00Z"})).await;
    assert_eq!((status, missing), (500, fixture_json("api-500-shape-b.json")));
    let mut unknown = order("2026-07-06T08:00:00Z");
    unknown["eventTypeId"] = json!(9);
    assert_eq!(world.post("/bookings", unknown).await.0, 404);

    let wrong = world.http.get(format!("{}/bookings", world.calcom.api_url())).bearer_auth("cal_wrong");
    let (status, refused) = answered(wrong).await;
    assert_eq!((status, error(&refused)), (401, error(&fixture_json("api-401.json"))));
    assert_eq!(answered(world.http.get(format!("{}/me", world.calcom.api_url()))).await.0, 401);
}

#[tokio::test]
async fn cancelling_and_moving_a_gone_booking_says_where_it_went() {
    let world = World::start().await;
    let old = world.book("2026-07-06T08:00:00Z").await;
    let (_, moved) = world.post(&format!("/bookings/{old}/reschedule"), json!({"start": "2026-07-07T12:00:00Z"})).await;
    let new = moved["data"]["uid"].as_str().unwrap();
    let (status, gone) = world.post(&format!("/bookings/{old}/reschedule"), json!({"start": "2026-07-08T12:00:00Z"})).await;
    let text = fixture_json("api-400-already-rescheduled.json")["error"]["message"].as_str().unwrap().to_owned();
    let text = text.replace("2NtaeaVcKfpmSZ4CthFdfk", &old).replace("kRsb9ejo1HVZ9XxVPqMxDe", new);
    assert_eq!((status, &gone["error"]["message"]), (400, &json!(text)));

    let cancel = format!("/bookings/{new}/cancel");
    let (status, no_reason) = world.post(&cancel, json!({})).await;
    assert_eq!(status, 400);
    assert!(no_reason["error"]["message"].as_str().unwrap().starts_with("Cancellation reason is required"));
    let reason = json!({"cancellationReason": "abgesagt"});
    assert_eq!(world.post(&cancel, reason.clone()).await.0, 200);
    let (status, again) = world.post(&cancel, reason).await;
    let text = fixture_json("api-400-already-cancelled.json")["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!((status, &again["error"]["message"]), (400, &json!(text.replace("kRsb9ejo1HVZ9XxVPqMxDe", new))));
    let (_, cancelled) = world.post(&format!("/bookings/{new}/reschedule"), json!({"start": "2026-07-08T12:00:00Z"})).await;
    let text = format!("Can't reschedule booking with uid={new} because it has been cancelled.");
    assert!(cancelled["error"]["message"].as_str().unwrap().starts_with(&text));
}

#[tokio::test]
async fn a_past_booking_cannot_be_cancelled() {
    let world = World::start().await;
    let uid = world.book("2026-07-06T08:00:00Z").await;
    world.calcom.set_clock_offset_ms(7 * 24 * 3600 * 1000);
    let (status, _) = world.post(&format!("/bookings/{uid}/cancel"), json!({"cancellationReason": "zu spät"})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn one_value_that_is_no_string_empties_metadata_and_location_of_the_answer() {
    let world = World::start().await;
    let mut trapped = order("2026-07-06T08:00:00Z");
    trapped["metadata"] = json!({"source": "retell", "attempt": 1});
    let (status, made) = world.post("/bookings", trapped).await;
    assert_eq!((status, &made["data"]["metadata"], &made["data"]["location"]), (201, &json!({}), &json!("")));
    assert_eq!(world.calcom.ledger()[0].metadata.get("attempt"), Some(&json!(1)), "the row has it");

    for (key, value) in [("nested", json!({"a": 1})), ("long", json!("x".repeat(501))), (&*"k".repeat(41), json!("v"))] {
        let mut refused = order("2026-07-06T10:00:00Z");
        refused["metadata"] = json!({key: value});
        assert_eq!(world.post("/bookings", refused).await.0, 400, "{key}");
    }
}

#[tokio::test]
async fn round_robin_answers_the_same_person_with_the_same_booking_and_fills_every_host() {
    let world = World::start().await;
    world.calcom.add_event_type(team(1500, "ROUND_ROBIN"));
    let wish = |email: &str| {
        let mut wish = order("2026-07-06T08:00:00Z");
        (wish["eventTypeId"], wish["attendee"]["email"]) = (json!(1500), json!(email));
        wish
    };
    let (status, first) = world.post("/bookings", wish("a@example.org")).await;
    let (again_status, again) = world.post("/bookings", wish("a@example.org")).await;
    assert_eq!((status, again_status), (201, 201));
    assert_eq!(first["data"]["uid"], again["data"]["uid"]);
    assert_eq!((world.calcom.ledger().len(), world.receiver.got().len()), (1, 1));
    let (_, second) = world.post("/bookings", wish("b@example.org")).await;
    assert_ne!(first["data"]["hosts"][0]["id"], second["data"]["hosts"][0]["id"]);
    let (status, full) = world.post("/bookings", wish("c@example.org")).await;
    assert_eq!(status, 400);
    assert!(full["error"]["message"].as_str().unwrap().starts_with("One of the hosts either already has booking"));
}

#[tokio::test]
async fn a_collective_needs_every_host() {
    let world = World::start().await;
    world.calcom.add_event_type(team(1501, "COLLECTIVE"));
    world.book("2026-07-06T08:00:00Z").await;
    let mut wish = order("2026-07-06T08:15:00Z");
    wish["eventTypeId"] = json!(1501);
    assert_eq!(world.post("/bookings", wish).await.0, 400);
}

#[tokio::test]
async fn a_recurring_order_answers_an_array_and_only_its_first_time_is_checked() {
    let world = World::start().await;
    world.calcom.add_event_type(EventType { recurrence: Some(4), ..haircut() });
    world.book("2026-10-22T07:00:00Z").await;
    let mut wish = order("2026-10-15T07:00:00Z");
    wish["recurrenceCount"] = json!(3);
    let (status, made) = world.post("/bookings", wish).await;
    assert_eq!(status, 201);
    let starts: Vec<_> = made["data"].as_array().unwrap().iter().map(|one| one["start"].as_str().unwrap()).collect();
    // The wall clock stays at 9 over the end of summer time.
    assert_eq!(starts, ["2026-10-15T07:00:00.000Z", "2026-10-22T07:00:00.000Z", "2026-10-29T08:00:00.000Z"]);
    let series = made["data"][0]["recurringBookingUid"].as_str().unwrap();
    assert_eq!(world.get(&format!("/bookings/{series}")).await.1["data"].as_array().unwrap().len(), 3);
    let (_, gone) = world.post(&format!("/bookings/{series}/cancel"), json!({"cancellationReason": "Urlaub"})).await;
    assert_eq!(gone["data"].as_array().unwrap().len(), 3);
    let cancelled = world.calcom.ledger().iter().filter(|entry| entry.op == Op::Cancel).count();
    assert_eq!((cancelled, world.receiver.triggers().last().unwrap().as_str()), (3, "BOOKING_CANCELLED"));
    assert_eq!(world.receiver.got().len(), 3, "one event for the series, not one per member");
}

#[tokio::test]
async fn a_missing_version_header_falls_to_the_old_shape_without_a_word() {
    let world = World::start().await;
    let uid = world.book("2026-07-06T08:00:00Z").await;
    for version in ["", "2024-04-15", "2099-01-01"] {
        let (status, list) = world.get_as("/bookings?attendeeEmail=nobody@example.org", version).await;
        assert_eq!((status, list.get("pagination")), (200, None));
        assert_eq!(list["data"]["bookings"].as_array().unwrap().len(), 1, "filters are ignored");
        let (_, one) = world.get_as(&format!("/bookings/{uid}"), version).await;
        assert_eq!((&one["data"]["status"], one["data"].get("start")), (&json!("ACCEPTED"), None));
    }
    let url = format!("{}/bookings", world.calcom.api_url());
    let request = world.http.post(url).bearer_auth(KEY).json(&order("2026-07-06T10:00:00Z"));
    assert_eq!(answered(request).await.0, 400);
}

#[tokio::test]
async fn knowing_a_uid_is_enough_to_read_and_a_path_prefix_does_no_harm() {
    let world = World::start().await;
    let uid = world.book("2026-07-06T08:00:00Z").await;
    let url = format!("{}/api/v2/bookings/{uid}", world.calcom.base_url);
    let (status, body) = answered(world.http.get(url).header("cal-api-version", "2024-08-13")).await;
    assert_eq!((status, &body["data"]["uid"]), (200, &json!(uid)));
}

#[tokio::test]
async fn the_limiter_counts_per_key_blocks_and_names_seconds() {
    let limits = Limits { per_window: 3, window_seconds: 60, block_seconds: 60 };
    let world = World::with(limits).await;
    let ask = || world.http.get(format!("{}/me", world.calcom.api_url())).bearer_auth(KEY).send();
    let headers = |response: &reqwest::Response| {
        ["limit", "remaining", "reset"].map(|name| {
            let value = &response.headers()[format!("x-ratelimit-{name}-default")];
            value.to_str().unwrap().parse::<i64>().unwrap()
        })
    };
    for remaining in [2, 1, 0] {
        let response = ask().await.unwrap();
        assert_eq!((response.status().as_u16(), headers(&response)), (200, [3, remaining, 60]));
    }
    let response = ask().await.unwrap();
    assert_eq!((response.status().as_u16(), headers(&response)), (429, [3, 0, 60]));
    assert!(response.headers().get("retry-after").is_none());
    let body: Value = response.json().await.unwrap();
    assert_eq!(error(&body), error(&fixture_json("api-429.json")));

    world.calcom.set_clock_offset_ms(59_000);
    let response = ask().await.unwrap();
    assert_eq!((response.status().as_u16(), headers(&response)), (429, [3, 0, 1]));
    world.calcom.set_clock_offset_ms(60_000);
    assert_eq!(ask().await.unwrap().status().as_u16(), 200);
}
