//! Every kind of fault: what the client sees and what the ledger says.

use std::time::Duration;

use serde_json::json;

use super::super::{FaultKind, FaultOp, FaultRule, Whose};
use super::{World, order, until};

const START: &str = "2026-07-06T08:00:00Z";

#[tokio::test]
async fn an_error_before_does_nothing_and_an_error_after_has_done_it() {
    let world = World::start().await;
    world.calcom.add_faults(vec![
        FaultRule::once(FaultOp::Create, FaultKind::ErrorBefore { status: 503 }),
        FaultRule::once(FaultOp::Create, FaultKind::ErrorAfter { status: 500 }),
    ]);
    assert_eq!(world.post("/bookings", order(START)).await.0, 503);
    assert_eq!((world.calcom.ledger().len(), world.receiver.got().len()), (0, 0));
    let (status, body) = world.post("/bookings", order(START)).await;
    assert_eq!((status, body), (500, json!({"statusCode": 500, "message": "Internal server error"})));
    assert_eq!((world.calcom.ledger().len(), world.receiver.got().len()), (1, 1));
    assert_eq!(world.post("/bookings", order(START)).await.0, 409, "both rules are used up");
}

#[tokio::test]
async fn a_hang_after_outlasts_the_client_and_the_booking_is_there() {
    let world = World::start().await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::HangAfter { ms: 60_000 })]);
    let url = format!("{}/bookings", world.calcom.api_url());
    let request = world.http.post(url).bearer_auth(super::KEY).header("cal-api-version", "2024-08-13");
    let outcome = request.json(&order(START)).timeout(Duration::from_millis(300)).send().await;
    assert!(outcome.unwrap_err().is_timeout());
    assert_eq!(world.calcom.ledger().len(), 1);
}

#[tokio::test]
async fn a_hang_before_answers_504_and_has_done_nothing() {
    let world = World::start().await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Cancel, FaultKind::HangBefore { ms: 1 })]);
    let uid = world.book(START).await;
    let (status, _) = world.post(&format!("/bookings/{uid}/cancel"), json!({"cancellationReason": "x"})).await;
    assert_eq!((status, world.calcom.live_bookings().len()), (504, 1));
}

#[tokio::test]
async fn a_slow_request_is_done_even_when_its_client_has_gone() {
    let world = World::start().await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::Slow { ms: 400 })]);
    let url = format!("{}/bookings", world.calcom.api_url());
    let request = world.http.post(url).bearer_auth(super::KEY).header("cal-api-version", "2024-08-13");
    let outcome = request.json(&order(START)).timeout(Duration::from_millis(100)).send().await;
    assert!(outcome.unwrap_err().is_timeout());
    assert_eq!(world.calcom.ledger().len(), 0);
    until("the late booking", || world.calcom.ledger().len() == 1).await;
}

#[tokio::test]
async fn a_throttle_names_its_seconds_and_does_nothing() {
    let world = World::start().await;
    let uid = world.book(START).await;
    let kind = FaultKind::Throttle429 { reset_seconds: 7 };
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Reschedule, kind)]);
    let url = format!("{}/bookings/{uid}/reschedule", world.calcom.api_url());
    let request = world.http.post(url).bearer_auth(super::KEY).header("cal-api-version", "2024-08-13");
    let response = request.json(&json!({"start": "2026-07-07T08:00:00Z"})).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 429);
    assert_eq!(response.headers()["x-ratelimit-reset-default"], "7");
    assert_eq!(response.headers()["x-ratelimit-remaining-default"], "0");
    assert_eq!(world.calcom.ledger().len(), 1);
}

#[tokio::test]
async fn a_dropped_connection_leaves_the_booking_and_no_answer() {
    let world = World::start().await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::DropConnectionAfter)]);
    let url = format!("{}/bookings", world.calcom.api_url());
    let request = world.http.post(url).bearer_auth(super::KEY).header("cal-api-version", "2024-08-13");
    assert!(request.json(&order(START)).send().await.is_err());
    assert_eq!((world.calcom.ledger().len(), world.calcom.requests()[0].status), (1, 0));
}

#[tokio::test]
async fn faults_are_switched_over_http_and_by_chance() {
    let world = World::start().await;
    let url = format!("{}/admin/faults", world.calcom.base_url);
    let rules = json!([
        {"op": "list", "kind": {"error_before": {"status": 502}}, "times": 2},
        {"op": "get", "kind": {"slow": {"ms": 1}}, "times": null, "probability": 0.5},
        {"op": "any", "kind": "drop_connection_after", "times": 0},
        {"op": "cancel", "kind": {"throttle_429": {"reset_seconds": 3}}},
    ]);
    let response = world.http.post(&url).json(&rules).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 204);
    for expected in [502, 502, 200] {
        assert_eq!(world.get("/bookings").await.0, expected);
    }
    assert_eq!(world.calcom.faults()[0].times, Some(0));
    world.http.delete(&url).send().await.unwrap();
    assert!(world.calcom.faults().is_empty());

    let kind = FaultKind::ErrorBefore { status: 500 };
    world.calcom.add_faults(vec![FaultRule { op: FaultOp::List, kind, times: None, probability: Some(0.5) }]);
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(world.get("/bookings").await.0 == 500);
    }
    assert!((5..=35).contains(&failed), "{failed} of 40 at one half");
}

/// Incidents 7 and 10.
#[tokio::test]
async fn a_replay_answers_201_with_an_old_booking_and_makes_nothing() {
    let world = World::start().await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::ReplayOld { whose: Whose::SameAttendee })]);
    let first = world.book(START).await;
    assert_eq!(world.calcom.ledger().len(), 1, "there was no old one yet: done as usual");

    let mut stranger = order("2026-07-06T10:00:00Z");
    stranger["attendee"] = json!({"name": "Erika Musterfrau", "email": "erika@example.org", "timeZone": "Europe/Berlin"});
    stranger["metadata"] = json!({"source": "ours"});
    let whose = [Whose::SomebodyElse, Whose::SameSlot, Whose::SameAttendee];
    world.calcom.add_faults(whose.map(|whose| FaultRule::once(FaultOp::Create, FaultKind::ReplayOld { whose })).to_vec());
    let (status, other) = world.post("/bookings", stranger.clone()).await;
    assert_eq!((status, &other["data"]["uid"], &other["data"]["start"]), (201, &json!(first), &json!("2026-07-06T08:00:00.000Z")));
    assert_eq!(other["data"]["metadata"], json!({"source": "retell"}));
    let (status, dressed) = world.post("/bookings", stranger.clone()).await;
    assert_eq!((status, &dressed["data"]["uid"], &dressed["data"]["start"]), (201, &json!(first), &json!("2026-07-06T10:00:00.000Z")));
    let (status, own) = world.post("/bookings", stranger).await;
    assert_eq!((status, own["data"]["attendees"][0]["email"].as_str()), (201, Some("erika@example.org")));
    assert_eq!(world.calcom.ledger().len(), 2, "the stranger had none before: done as usual");
    assert_eq!(world.calcom.faults_fired()["replay_old"], 4);
}

#[tokio::test]
async fn a_wrong_schema_hides_what_was_done_and_a_drip_shows_it_slowly() {
    let world = World::start().await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::WrongSchema), FaultRule::once(FaultOp::Create, FaultKind::SlowDrip { ms: 50 })]);
    let (status, body) = world.post("/bookings", order(START)).await;
    assert_eq!((status, body), (201, json!({"status": "success", "data": {"booking": null}})));
    assert_eq!(world.calcom.ledger().len(), 1);
    let uid = world.book("2026-07-06T09:00:00Z").await;
    assert_eq!(world.calcom.ledger()[1].uid, uid);
    let kinds: Vec<_> = world.calcom.requests().into_iter().map(|request| request.fault).collect();
    assert_eq!(kinds, [Some(FaultKind::WrongSchema), Some(FaultKind::SlowDrip { ms: 50 })]);
}
