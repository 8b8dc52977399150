//! The outbox relay survives everything: rows that no program of this version can read, sessions that are cut, connections that are closed; and what it can send is
//! sent, once. Architecture section 6, Outbox.

use reqwest::Method;
use serde_json::Value;
use tests::servers::manage;
use tests::web_bookings::WebBookings;
use tests::{World, WorldOptions, eventually};
use uuid::Uuid;

/// More than one batch of the relay (100): they stand at the head of every look.
const POISONED: i32 = 250;

async fn poison(world: &World) {
    sqlx::query(
        "INSERT INTO outbox (id, queue, message_id, kind, received_at, body, created_at)
         SELECT gen_random_uuid(), 'frontdesk.booking', repeat('a', 64), 'booking.of_a_later_version', now(), '{}', now() - interval '1 hour' FROM generate_series(1, $1)",
    )
    .bind(POISONED)
    .execute(&world.db)
    .await
    .unwrap();
}

/// A row as a process leaves it that died between commit and publish; its effect is an appointment.
async fn leave_behind(world: &World, n: usize) {
    sqlx::query(
        "INSERT INTO outbox (id, queue, message_id, kind, endpoint_id, received_at, body, created_at)
         VALUES ($1, 'frontdesk.booking', $2, 'calcom.booking_created', $3, now(), $4, now() - interval '1 minute')",
    )
    .bind(Uuid::now_v7())
    .bind(format!("{n:064x}"))
    .bind(world.calcom_endpoint)
    .bind(WebBookings::default().body(n))
    .execute(&world.db)
    .await
    .unwrap();
}

async fn relayed(world: &World, count: i64) {
    eventually("the rows left behind have their effect", || async { (world.count("SELECT count(*) FROM appointments").await == count).then_some(()) }).await;
    eventually("only what nobody can read is left", || async { (world.count("SELECT count(*) FROM outbox").await == i64::from(POISONED)).then_some(()) }).await;
}

async fn cut_every_session(world: &World) {
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'frontdesk workers%'";
    assert!(world.count(cut).await > 0);
}

async fn close_every_connection(world: &World) {
    let listed: Value = manage(Method::GET, &format!("/api/vhosts/{}/connections", world.name), None).await.json().await.unwrap();
    for name in listed.as_array().unwrap().iter().filter_map(|connection| connection["name"].as_str()) {
        manage(Method::DELETE, &format!("/api/connections/{}", name.replace(' ', "%20").replace('>', "%3E")), None).await;
    }
}

#[tokio::test]
async fn rows_that_nobody_can_read_and_connections_that_break_do_not_stop_the_relay() {
    let mut world = World::with(WorldOptions { roles: vec!["booking"], ..WorldOptions::default() }).await;
    poison(&world).await;
    leave_behind(&world, 0).await;
    relayed(&world, 1).await;
    cut_every_session(&world).await;
    leave_behind(&world, 1).await;
    relayed(&world, 2).await;
    close_every_connection(&world).await;
    leave_behind(&world, 2).await;
    cut_every_session(&world).await;
    relayed(&world, 3).await;
    assert!(world.workers[0].alive(), "the same process: nothing was started again");
    println!("3 rows relayed past {POISONED} that nobody can read, through cut sessions and closed connections");
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications").await, 3, "each once");
    sqlx::query("DELETE FROM outbox").execute(&world.db).await.unwrap();
    world.finish().await;
}
