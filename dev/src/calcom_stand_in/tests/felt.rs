//! What counts as felt: a fault that nobody could notice has not happened to anybody.

use serde_json::json;

use super::super::{FaultKind, FaultOp, FaultRule, ReplicaLag, WebhookFaultKind, WebhookFaultRule, WebhookFaults, Whose};
use super::{World, order, until};

const START: &str = "2026-07-06T08:00:00Z";

fn felt(world: &World, name: &str) -> u64 {
    world.calcom.faults_felt().get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn a_fault_after_commit_is_felt_only_where_something_was_committed() {
    let world = World::start().await;
    let kinds = [FaultKind::ErrorAfter { status: 500 }, FaultKind::HangAfter { ms: 1 }];
    for kind in kinds {
        world.calcom.add_faults(vec![FaultRule::once(FaultOp::Any, kind)]);
        world.get("/bookings").await;
        assert_eq!((world.calcom.faults_fired()[kind.name()], felt(&world, kind.name())), (1, 0), "a read commits nothing");
    }
    world.book(START).await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::ErrorAfter { status: 500 })]);
    assert_eq!(world.post("/bookings", order(START)).await.0, 500);
    assert_eq!(felt(&world, "error_after"), 0, "the slot was taken: nothing was done behind the 500");
    for (kind, hour) in kinds.into_iter().zip(9..) {
        world.calcom.add_faults(vec![FaultRule::once(FaultOp::Any, kind)]);
        world.post("/bookings", order(&format!("2026-07-06T{hour:02}:00:00Z"))).await;
        assert_eq!(felt(&world, kind.name()), 1);
    }
}

#[tokio::test]
async fn a_replay_is_felt_only_with_an_old_booking() {
    let world = World::start().await;
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::ReplayOld { whose: Whose::SomebodyElse })]);
    world.book(START).await;
    assert_eq!((world.calcom.faults_fired()["replay_old"], felt(&world, "replay_old")), (1, 0));
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::ReplayOld { whose: Whose::SameSlot })]);
    world.post("/bookings", order("2026-07-06T09:00:00Z")).await;
    assert_eq!(felt(&world, "replay_old"), 1);
}

/// Incident 12.
#[tokio::test]
async fn a_move_is_answered_with_an_old_booking_and_nothing_is_moved() {
    let world = World::start().await;
    let mut stranger = order("2026-07-06T10:00:00Z");
    stranger["attendee"] = json!({"name": "Erika Musterfrau", "email": "erika@example.org", "timeZone": "Europe/Berlin"});
    let (_, other) = world.post("/bookings", stranger).await;
    let uid = world.book(START).await;
    let whose = [Whose::SameAttendee, Whose::SomebodyElse, Whose::SameSlot];
    world.calcom.add_faults(whose.map(|whose| FaultRule::once(FaultOp::Reschedule, FaultKind::ReplayOld { whose })).to_vec());
    let path = format!("/bookings/{uid}/reschedule");
    let wish = json!({"start": "2026-07-06T12:00:00Z"});
    let expected =
        [(json!(uid), "2026-07-06T08:00:00.000Z"), (other["data"]["uid"].clone(), "2026-07-06T10:00:00.000Z"), (json!(uid), "2026-07-06T12:00:00.000Z")];
    for (old, start) in expected {
        let (status, body) = world.post(&path, wish.clone()).await;
        assert_eq!((status, &body["data"]["uid"], body["data"]["start"].as_str()), (201, &old, Some(start)));
        assert!(body["data"].get("rescheduledFromUid").is_none(), "it is nobody's successor");
    }
    assert_eq!((world.calcom.ledger().len(), felt(&world, "replay_old")), (2, 3));
    let (_, moved) = world.post(&path, wish).await;
    assert_eq!(moved["data"]["rescheduledFromUid"], json!(uid), "the rules are used up");
}

#[tokio::test]
async fn lag_is_felt_only_by_a_read_that_shows_something_else_than_the_truth() {
    let world = World::start().await;
    let uid = world.book(START).await;
    world.calcom.set_clock_offset_ms(60_000);
    world.calcom.set_replica_lag(Some(ReplicaLag { ms: 5_000, probability: None }));
    let path = format!("/bookings/{uid}");
    world.get(&path).await;
    world.get("/bookings").await;
    assert_eq!((world.calcom.faults_fired()["replica_lag"], felt(&world, "replica_lag")), (2, 0));
    world.post(&format!("{path}/cancel"), json!({"cancellationReason": "x"})).await;
    world.get("/bookings?afterStart=2026-08-01T00:00:00Z").await;
    assert_eq!(felt(&world, "replica_lag"), 0, "what has changed is not in this list");
    world.get(&path).await;
    world.get("/bookings").await;
    assert_eq!(felt(&world, "replica_lag"), 2);
}

#[tokio::test]
async fn a_shuffle_is_felt_only_when_a_later_webhook_came_first() {
    let world = World::start().await;
    let only = |kind| WebhookFaults { rules: vec![WebhookFaultRule { times: Some(1), ..WebhookFaultRule::always(kind) }], seed: Some(7) };
    world.calcom.set_webhook_faults(only(WebhookFaultKind::Shuffle { within_ms: 1 }));
    world.book(START).await;
    until("the shuffled one", || world.calcom.deliveries().len() == 1).await;
    assert_eq!((world.calcom.faults_fired()["webhook_shuffled"], felt(&world, "webhook_shuffled")), (1, 0), "it was alone");
    let (mut hour, mut overtaken) = (9, false);
    while !overtaken {
        world.calcom.set_webhook_faults(only(WebhookFaultKind::Shuffle { within_ms: 400 }));
        world.book(&format!("2026-07-06T{hour:02}:00:00Z")).await;
        world.book(&format!("2026-07-06T{:02}:00:00Z", hour + 1)).await;
        until("both", || world.calcom.webhooks_under_way() == 0).await;
        let order: Vec<u64> = world.calcom.deliveries().iter().rev().take(2).map(|delivery| delivery.caused_seq).collect();
        overtaken = order[0] < order[1];
        assert_eq!(felt(&world, "webhook_shuffled"), u64::from(overtaken));
        hour += 2;
        assert!(hour < 22, "never overtaken");
    }
}
