//! A caller never waits behind a backlog: the lanes share nothing. And a role consumes its own lanes only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::Weekday;
use futures_util::future::join_all;
use futures_util::stream::{StreamExt, iter};
use serde_json::{Value, json};
use shared::broker::depth::Gauge;
use shared::broker::{Destination, Publisher, PublisherConfig, topology};
use shared::clock::Clock;
use shared::envelope::{Envelope, Kind, Lane, MessageId, Role, SCHEMA_VERSION};
use tests::web_bookings::WebBookings;
use tests::world::{ahead, now};
use tests::{World, WorldOptions, eventually, servers};

const BACKLOG: usize = 5000;
/// What must still be waiting when the last caller has been answered.
const LEFT_MIN: u32 = 4000;
const CALLERS: usize = 20;
/// Callers on the line at one time. More than a small branch ever has, and few enough that two loaded cores measure the lane and not themselves.
const CALLERS_AT_ONCE: usize = 5;
/// What the issue demands of each answer. Counted and printed, not asserted: see the test.
const GOAL: Duration = Duration::from_secs(1);

/// Issue 2, "Done when" 7; fault B8.
///
/// Asserted is what holds on any machine: each of the twenty heard the worker's own answer, so it came within ingress's function deadline, while more than
/// `LEFT_MIN` bulk messages still waited. Median, slowest and how many took less than a second are printed for whoever reports the figure: here the
/// stand-ins, the broker, Postgres and other tests share two cores, and a bound on wall time would measure them.
#[tokio::test]
async fn callers_are_answered_while_thousands_of_webhooks_wait() {
    let mut world = World::with(WorldOptions { roles: vec!["reschedule", "cancellation", "calcom-sync", "desk", "calls"], ..WorldOptions::default() }).await;
    fill(&world).await;
    let queue = topology::queue(Role::Booking, Lane::Bulk);
    let gauge = Gauge::open(&world.amqp_url).await.unwrap();
    eventually("the backlog is there", || async { (gauge.depth(queue.as_str()).await.unwrap() as usize == BACKLOG).then_some(()) }).await;
    world.start_workers(&["booking"], &BTreeMap::from([("PERMITS_BULK".to_owned(), "1".to_owned())])).await;

    let mut took = Vec::new();
    for first in (0..CALLERS).step_by(CALLERS_AT_ONCE) {
        took.extend(join_all((first..first + CALLERS_AT_ONCE).map(|n| book(&world, n))).await);
    }
    let left = gauge.depth(queue.as_str()).await.unwrap();
    took.sort();
    let within = took.iter().filter(|took| **took < GOAL).count();
    println!(
        "{CALLERS} live bookings beside a backlog: median {:?}, slowest {:?}, {within} within {GOAL:?}; {left} bulk messages left",
        took[CALLERS / 2],
        took[CALLERS - 1]
    );
    assert!(left > LEFT_MIN, "all {CALLERS} were answered before the backlog was worked off: {left} left");
    assert_eq!(world.calcom.live_bookings().len(), CALLERS);
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE booking_source = 'retell_phone' AND status = 'booked'").await, 20);
    world.finish().await;
}

/// The broker itself says who consumes what (architecture section 2: each role is scaled apart).
#[tokio::test]
async fn a_worker_of_one_role_consumes_its_own_lanes_and_no_other() {
    let world = World::with(WorldOptions { ingresses: 0, roles: vec!["booking"], ..WorldOptions::default() }).await;
    let own: BTreeSet<String> = ["frontdesk.booking", "frontdesk.booking.live"].map(str::to_owned).into();
    let consumed = || async {
        let consumers: Vec<Value> = servers::manage(reqwest::Method::GET, &format!("/api/consumers/{}", world.name), None).await.json().await.unwrap();
        consumers.iter().map(|consumer| consumer["queue"]["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    // what the broker tells lags behind, so its first answers may be short; never may they name a foreign queue
    eventually("the broker lists both lanes", || async {
        let consumed = consumed().await;
        assert!(consumed.is_subset(&own), "a foreign queue is consumed: {consumed:?}");
        (consumed == own).then_some(())
    })
    .await;
    world.finish().await;
}

/// Fills the bulk lane of `booking` with webhooks, as ingress would publish them.
async fn fill(world: &World) {
    let config = PublisherConfig {
        amqp_url: world.amqp_url.clone(),
        connection_name: "the test's backlog".to_owned(),
        in_flight_max: 256,
        confirm_timeout: Duration::from_secs(5),
    };
    let publisher = Publisher::start(config, Clock::system());
    eventually("the test's publisher is ready", || async { publisher.is_ready().then_some(()) }).await;
    let destination = Destination::Event(topology::queue(Role::Booking, Lane::Bulk));
    let bookings = WebBookings::default();
    let refused = iter(0..BACKLOG)
        .map(|n| {
            let envelope = webhook(world, bookings.body(n));
            let (publisher, destination) = (&publisher, &destination);
            async move { publisher.publish(destination, &envelope).await }
        })
        .buffer_unordered(128)
        .filter(|published| std::future::ready(published.is_err()))
        .count()
        .await;
    assert_eq!(refused, 0, "the whole backlog is confirmed");
    publisher.close(Duration::from_secs(5)).await;
}

fn webhook(world: &World, body: Vec<u8>) -> Envelope {
    Envelope {
        message_id: MessageId::of_request(world.calcom_endpoint, &body),
        kind: Kind::CalcomBookingCreated,
        schema_version: SCHEMA_VERSION,
        endpoint: Some(world.calcom_endpoint),
        received_at: now(),
        attempt: 1,
        deadline: None,
        reply_to: None,
        traceparent: None,
        caller_gone: false,
        body: body.into(),
    }
}

/// The n-th caller books a time of their own and hears that it is booked; how long that took.
async fn book(world: &World, n: usize) -> Duration {
    let (week, hour) = (i64::try_from(n / 8).unwrap(), 9 + u32::try_from(n % 8).unwrap());
    let (_, date, time) = ahead(3 + 7 * week, Weekday::Thu, hour, 0);
    let mut call = world.retell.inbound(&format!("+49151200000{n:02}"), "+493023125042");
    let asked = Instant::now();
    let answer = call.function("book_appointment", json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    let took = asked.elapsed();
    // ingress's fallback says `pending` and no `booked`: this is the worker's answer, in time
    let worked = (answer.status, &answer.body["success"], &answer.body["booked"]);
    assert_eq!(worked, (200, &json!(true), &json!(true)), "caller {n} heard no real answer, after {took:?}: {}", answer.body);
    took
}
