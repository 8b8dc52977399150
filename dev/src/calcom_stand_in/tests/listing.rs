//! The list with its filters, paging and trap; slots; event types; me.

use serde_json::{Value, json};

use super::{World, fixture_json};

fn starts(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().unwrap();
    data.iter().map(|booking| booking["start"].as_str().unwrap()[8..16].to_owned()).collect()
}

#[tokio::test]
async fn the_list_filters_sorts_and_pages() {
    let world = World::start().await;
    for day in ["06", "07", "08"] {
        world.book(&format!("2026-07-{day}T08:00:00Z")).await;
    }
    let uid = world.book("2026-07-09T08:00:00Z").await;
    world.post(&format!("/bookings/{uid}/cancel"), json!({"cancellationReason": "x"})).await;

    let (_, live) = world.get("/bookings?status=upcoming&sortStart=desc").await;
    assert_eq!(starts(&live), ["08T08:00", "07T08:00", "06T08:00"]);
    assert_eq!(starts(&world.get("/bookings?status=cancelled").await.1), ["09T08:00"]);
    let window = "/bookings?eventTypeId=1320&afterStart=2026-07-07T00:00:00Z&beforeEnd=2026-07-07T23:59:00Z";
    assert_eq!(starts(&world.get(window).await.1), ["07T08:00"]);
    assert_eq!(starts(&world.get("/bookings?eventTypeIds=1,2").await.1), [""; 0]);

    let (_, page) = world.get("/bookings?take=2&skip=2").await;
    assert_eq!(starts(&page), ["08T08:00", "09T08:00"]);
    let expected = json!({"totalItems": 4, "remainingItems": 0, "returnedItems": 2, "itemsPerPage": 2, "currentPage": 2,
        "totalPages": 2, "hasNextPage": false, "hasPreviousPage": true});
    assert_eq!(page["pagination"], expected);
    assert_eq!(world.get("/bookings?take=251").await.0, 400);
}

#[tokio::test]
async fn the_count_ignores_the_updated_filter_as_the_original_does() {
    let world = World::start().await;
    world.book("2026-07-06T08:00:00Z").await;
    world.calcom.set_clock_offset_ms(60_000);
    world.book("2026-07-07T08:00:00Z").await;
    let (_, list) = world.get("/bookings?afterUpdatedAt=2026-06-30T12:00:30Z&sortUpdatedAt=asc").await;
    assert_eq!(starts(&list), ["07T08:00"]);
    assert_eq!(list["pagination"]["totalItems"], 2);
}

#[tokio::test]
async fn slots_are_opening_hours_minus_bookings_in_local_time() {
    let world = World::start().await;
    world.book("2026-07-06T07:30:00Z").await;
    let path = "/slots?eventTypeId=1320&start=2026-07-06&end=2026-07-06&timeZone=Europe/Berlin";
    let (_, slots) = world.get_as(path, "2024-09-04").await;
    let day = slots["data"]["2026-07-06"].as_array().unwrap();
    assert_eq!(day[0], json!({"start": "2026-07-06T09:00:00.000+02:00"}));
    assert_eq!(day[1], json!({"start": "2026-07-06T10:00:00.000+02:00"}), "9:30 is booked");
    assert_eq!(day.len(), 17);
    let sunday = "/slots?eventTypeId=1320&start=2026-07-05T00:00:00Z&end=2026-07-05T20:00:00Z";
    assert_eq!(world.get_as(sunday, "2024-09-04").await.1, fixture_json("api-200-slots-empty.json"));
}

#[tokio::test]
async fn event_types_and_me_can_be_read() {
    let world = World::start().await;
    let (status, event) = world.get_as("/event-types/1320", "2024-06-14").await;
    assert_eq!((status, &event["data"]["lengthInMinutes"], &event["data"]["ownerId"]), (200, &json!(30), &json!(4711)));
    assert_eq!(world.get_as("/event-types/1320", "").await.1["data"]["eventType"]["length"], 30);
    assert_eq!(world.get_as("/event-types/9", "2024-06-14").await.0, 404);
    assert_eq!(world.get_as("/event-types", "2024-06-14").await.1["data"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/me").await.1["data"]["timeZone"], "Europe/Berlin");
}
