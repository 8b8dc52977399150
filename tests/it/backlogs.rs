//! What waits for a worker or a human is counted over all companies, with its age, for alerts (`/metrics`) and for the operator (`frontdesk backlog`). Incident 13.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::store::backlogs::NAMES;
use tests::processes::Process;
use tests::web_bookings::WebBookings;
use tests::{World, WorldOptions, eventually, http};

/// One of each that waits since an hour, and beside each one that does not.
const WAITING: &str = "
    INSERT INTO dead_letters (id, queue, reason, body, created_at, state) VALUES
        (gen_random_uuid(), 'q', 'unknown_number', '', now() - interval '1 hour', 'open'), (gen_random_uuid(), 'q', 'unknown_number', '', now() - interval '1 day', 'discarded');
    INSERT INTO outbox (id, queue, message_id, kind, received_at, body, created_at) VALUES (gen_random_uuid(), 'no such queue', 'm', 'no such kind', now(), '', now() - interval '1 hour');
    INSERT INTO callback_requests (id, company_id, reason, due_at) SELECT gen_random_uuid(), id, 'test', now() - interval '1 hour' FROM companies;
    INSERT INTO callback_requests (id, company_id, reason, due_at) SELECT gen_random_uuid(), id, 'test', now() + interval '1 hour' FROM companies;
    INSERT INTO reviews (id, company_id, subject, reason, dedup_key, created_at)
        SELECT gen_random_uuid(), c.id, 'test', r.reason, r.reason, now() - interval '1 hour' FROM companies c, (VALUES ('overlap'), ('credential_rejected')) r (reason);
    INSERT INTO reviews (id, company_id, subject, reason, dedup_key, created_at, state)
        SELECT gen_random_uuid(), id, 'test', 'overlap', 'resolved', now() - interval '1 day', 'resolved' FROM companies;
    INSERT INTO intents (id, company_id, credential_id, appointment_id, op, lane, due_at, token, actor, channel, created_at)
        SELECT gen_random_uuid(), a.company_id, k.id, a.id, 'cancel', 'bulk', now() + interval '1 hour', gen_random_uuid(), 'system', 'reconciled', now() - interval '1 hour'
        FROM appointments a, credentials k WHERE k.provider = 'calcom';
    INSERT INTO sweeps (credential_id, kind, wanted_at, progressed_at, cursor_at)
        SELECT id, s.kind, s.wanted_at, s.progressed_at, now() FROM credentials, (VALUES ('updates', NULL, now() - interval '1 hour'), ('window', now(), now() - interval '9 minutes'),
            ('adoption', NULL, now() - interval '1 day')) s (kind, wanted_at, progressed_at) WHERE provider = 'calcom'";

#[tokio::test]
async fn what_waits_is_counted_with_its_age_for_alerts_and_for_the_operator() {
    let mut world = World::with(WorldOptions { roles: vec!["booking"], ..WorldOptions::default() }).await;
    assert!(asked(&world, "before").await.iter().all(|one| one["waiting"] == 0 && one["oldest_seconds"] == 0.0), "a row each from the start, at zero");
    assert_eq!(world.send_calcom(WebBookings::default().body(0)).await.status, 204);
    eventually("an appointment is there", || async { (world.count("SELECT count(*) FROM appointments").await == 1).then_some(()) }).await;
    world.settle_all().await;
    sqlx::raw_sql(WAITING).execute(&world.db).await.unwrap();

    let found = asked(&world, "after").await;
    assert_eq!(found.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), NAMES);
    for one in &found {
        let waiting = if one["name"] == "reviews" { 2 } else { 1 };
        let oldest = one["oldest_seconds"].as_f64().unwrap();
        assert!(one["waiting"] == waiting && (3600.0..3900.0).contains(&oldest), "{one}");
    }
    let workers = world.start_workers(&["calls"], &BTreeMap::new()).await;
    let url = format!("{}/metrics", world.worker_urls[workers]);
    eventually("the gauges show the same", || async {
        let text = http::client().get(&url).send().await.unwrap().text().await.unwrap();
        let shows = |name: &&str| text.contains(&format!("frontdesk_backlog{{of=\"{name}\"}} {}\n", if *name == "reviews" { 2 } else { 1 }));
        (NAMES.iter().all(shows) && text.contains(r#"frontdesk_backlog_oldest_seconds{of="intents"} 36"#)).then_some(())
    })
    .await;
    world.expect_dead_letters();
    world.finish().await;
}

/// What `frontdesk backlog --json` says.
async fn asked(world: &World, name: &str) -> Vec<Value> {
    let mut command = Process::start(&format!("backlog-{name}"), "frontdesk", &["--json", "backlog"], &world.environment(), &world.folder);
    assert_eq!(command.wait().await, Some(0), "{}", command.logged());
    serde_json::from_str(&command.logged()).unwrap()
}
