//! Reads that show what a lagging replica knew, in GET and list, while changes see the truth.

use serde_json::{Value, json};

use super::super::ReplicaLag;
use super::World;

fn statuses(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|booking| booking["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn reads_show_the_state_of_some_time_ago() {
    let world = World::start().await;
    world.calcom.set_replica_lag(Some(ReplicaLag { ms: 5_000, probability: None }));
    let uid = world.book("2026-07-06T08:00:00Z").await;
    let path = format!("/bookings/{uid}");
    assert_eq!(world.get(&path).await.0, 404, "the replica does not know it yet");
    assert_eq!(statuses(&world.get("/bookings").await.1), [""; 0]);

    world.calcom.set_clock_offset_ms(5_000);
    assert_eq!(world.get(&path).await.1["data"]["status"], "accepted");
    world.post(&format!("{path}/cancel"), json!({"cancellationReason": "x"})).await;
    assert_eq!(world.get(&path).await.1["data"]["status"], "accepted");
    assert_eq!(statuses(&world.get("/bookings?status=upcoming").await.1), ["accepted"]);
    assert_eq!(statuses(&world.get("/bookings?status=cancelled").await.1), [""; 0]);
    let (status, _) = world.post(&format!("{path}/cancel"), json!({"cancellationReason": "x"})).await;
    assert_eq!(status, 400, "a change sees the truth");

    world.calcom.set_clock_offset_ms(10_000);
    assert_eq!(statuses(&world.get("/bookings?status=cancelled").await.1), ["cancelled"]);
    assert_eq!(world.calcom.faults_fired()["replica_lag"], 7);
}

#[tokio::test]
async fn a_list_by_update_time_shows_the_old_update_time() {
    let world = World::start().await;
    let uid = world.book("2026-07-06T08:00:00Z").await;
    world.calcom.set_clock_offset_ms(60_000);
    world.post(&format!("/bookings/{uid}/reschedule"), json!({"start": "2026-07-07T08:00:00Z"})).await;
    world.calcom.set_replica_lag(Some(ReplicaLag { ms: 1_000, probability: None }));
    let moved = "/bookings?afterUpdatedAt=2026-06-30T12:00:30Z&sortUpdatedAt=asc";
    assert_eq!(statuses(&world.get(moved).await.1), [""; 0]);
    world.calcom.set_clock_offset_ms(61_000);
    assert_eq!(statuses(&world.get(moved).await.1), ["cancelled", "accepted"]);
}

#[tokio::test]
async fn of_several_versions_the_one_of_that_moment_is_shown() {
    let world = World::start().await;
    let mut event = super::haircut();
    event.requires_confirmation = true;
    world.calcom.add_event_type(event);
    let uid = world.book("2026-07-06T08:00:00Z").await;
    let path = format!("/bookings/{uid}");
    for (offset_ms, step) in [(1_000, "confirm"), (2_000, "cancel")] {
        world.calcom.set_clock_offset_ms(offset_ms);
        world.post(&format!("{path}/{step}"), json!({"cancellationReason": "x"})).await;
    }
    for (ms, expected) in [(2_000, "pending"), (1_001, "pending"), (1_000, "accepted"), (1, "accepted"), (0, "cancelled")] {
        world.calcom.set_replica_lag(Some(ReplicaLag { ms, probability: None }));
        assert_eq!(world.get(&path).await.1["data"]["status"], expected, "{ms} ms ago");
    }
}

#[tokio::test]
async fn the_lag_comes_by_chance_and_over_http() {
    let world = World::start().await;
    world.book("2026-07-06T08:00:00Z").await;
    let url = format!("{}/admin/replica", world.calcom.base_url);
    let response = world.http.post(&url).json(&json!({"ms": 1000, "probability": 0.5})).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 204);
    let mut empty = 0;
    for _ in 0..40 {
        empty += u32::from(statuses(&world.get("/bookings").await.1).is_empty());
    }
    assert!((5..=35).contains(&empty), "{empty} of 40 at one half");
    world.http.delete(&url).send().await.unwrap();
    assert_eq!(statuses(&world.get("/bookings").await.1), ["accepted"]);
}

/// Faults C1: a blind repeat of a create is safe only for a fixed host.
#[tokio::test]
async fn a_repeated_create_books_a_second_host_while_the_replica_lags() {
    let world = World::start().await;
    let mut event = super::haircut();
    (event.hosts, event.scheduling_type) = (vec![4711, 4712], Some("ROUND_ROBIN".to_owned()));
    world.calcom.add_event_type(event);
    let first = world.book("2026-07-06T08:00:00Z").await;
    assert_eq!(world.book("2026-07-06T08:00:00Z").await, first, "the same person and start: answered again");
    world.calcom.set_replica_lag(Some(ReplicaLag { ms: 1_000, probability: None }));
    assert_ne!(world.book("2026-07-06T08:00:00Z").await, first);
    assert_eq!(world.calcom.live_bookings().len(), 2);
}
