//! Seated event types: one booking, several attendees, a seat at a time.

use serde_json::{Value, json};

use super::super::EventType;
use super::{World, haircut, order};

#[tokio::test]
async fn a_second_seat_keeps_the_uid_and_a_full_course_refuses() {
    let world = World::start().await;
    world.calcom.add_event_type(EventType { id: 1444, seats: Some(2), ..haircut() });
    let seat = |email: &str| {
        let mut wish = order("2026-07-08T16:00:00Z");
        (wish["eventTypeId"], wish["attendee"]["email"]) = (json!(1444), json!(email));
        wish
    };
    let (_, first) = world.post("/bookings", seat("a@example.org")).await;
    let (_, second) = world.post("/bookings", seat("b@example.org")).await;
    assert_eq!(first["data"]["uid"], second["data"]["uid"]);
    assert_ne!(first["data"]["seatUid"], second["data"]["seatUid"]);
    let (status, full) = world.post("/bookings", seat("c@example.org")).await;
    assert_eq!((status, &full["message"]), (409, &json!("No more seats left at this seated booking.")));

    let cancel = format!("/bookings/{}/cancel", first["data"]["uid"].as_str().unwrap());
    let one = json!({"seatUid": second["data"]["seatUid"], "cancellationReason": "krank"});
    assert_eq!(world.post(&cancel, one).await.1["data"]["status"], "accepted");
    let event: Value = serde_json::from_str(&world.receiver.got()[2].1).unwrap();
    assert_eq!(event["payload"]["status"], "CANCELLED");
    assert_eq!(event["payload"]["attendees"][0]["email"], "b@example.org");
    let left = json!({"seatUid": first["data"]["seatUid"], "cancellationReason": "krank"});
    assert_eq!(world.post(&cancel, left).await.0, 200);
}
