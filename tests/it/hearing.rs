//! An ordinary backlog of our own queues is no loss: what was received and waits for a worker is neither repaired nor counted, and no company is silent because of it
//! (issue 3, Sweeps). What was really lost meanwhile is found when the backlog is gone.

use std::collections::BTreeMap;

use dev::calcom_stand_in::{EchoOrder, VisitorBooking, WebhookFaultKind, WebhookFaultRule};
use dev::stand_in::clock::StandInClock;
use serde_json::json;
use tests::world::ahead;
use tests::{World, WorldOptions, schedule};

use crate::call_reconcile::{SALON, Scene};

const SILENT: &str = "SELECT count(*) FROM silences WHERE cardinality(missed_at) > 0 OR missed_total > 0 OR silent_since IS NOT NULL";

async fn call(scene: &Scene, id: &str) {
    let mut call = scene.retell.inbound("+4915112345678", SALON).with_id(id);
    call.start().await;
    call.end().await;
    call.analyze("Eine Frage.", json!({})).await;
}

#[tokio::test]
async fn calls_that_wait_in_the_queue_are_not_lost() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    let now = tests::world::now();
    let mut scene = Scene::around(world, StandInClock::following(move || now)).await;
    call(&scene, "call_waits").await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    call(&scene, "call_lost").await;
    scene.shift(10).await;
    assert_eq!(scene.run("calls_delta").await, "0 listed, 0 repaired, 0 nobody's");
    scene.run("silence").await;
    assert_eq!((scene.repaired().await, scene.world.count(SILENT).await), (BTreeMap::new(), 0));

    scene.world.start_workers(&["calls"], &BTreeMap::new()).await;
    scene.world.settle_all().await;
    assert_eq!(scene.run("calls_delta").await, "2 listed, 3 repaired, 0 nobody's", "what was lost meanwhile, and nothing else");
    assert_eq!(scene.repaired().await, ["call_started", "call_ended", "call_analyzed"].map(|event| (event.to_owned(), 1)).into());

    // a queue that nobody empties any more does not keep the truth away for ever
    scene.world.workers[1].kill();
    scene.world.worker_urls.remove(1);
    scene.lose(Vec::new());
    sqlx::query("UPDATE hearing SET nothing_waited_at = now() - interval '1 minute'").execute(&scene.world.db).await.unwrap();
    call(&scene, "call_stays").await;
    scene.shift(20).await;
    scene.run("calls_delta").await;
    assert_eq!(scene.world.count("SELECT count(*) FROM calls").await, 2);
    scene.shift(40).await;
    scene.run("calls_delta").await;
    assert_eq!(scene.world.count("SELECT count(*) FROM calls").await, 3);
    scene.close().await;
}

/// A queue that is never empty is no outage: what is handled now was received a moment ago, and everything before it was heard. How far we are behind is shown.
#[tokio::test]
async fn a_backlog_is_judged_by_the_age_of_what_is_handled_now() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    let now = tests::world::now();
    let mut scene = Scene::around(world, StandInClock::following(move || now)).await;
    call(&scene, "call_waits").await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    call(&scene, "call_lost").await;
    scene.shift(10).await;
    let behind = async |scene: &Scene| schedule::metric(&scene.world, r#"frontdesk_hearing_behind_seconds{provider="retell"}"#).await;
    // as far ahead as this test may take on a slow machine
    let handled = async |scene: &Scene, role: &str, seconds: i32| {
        let attempt = "INSERT INTO attempts (role, lane, message_id, kind, attempt, outcome, queued_ms, took_ms, at)
            VALUES ($1, 'bulk', 'm', 'retell.call_ended', 1, 'done', $2, 0, frontdesk_now() + interval '5 minutes')";
        sqlx::query(attempt).bind(role).bind((seconds + 300) * 1_000).execute(&scene.world.db).await.unwrap();
    };
    // nobody handles calls, whatever else is handled
    handled(&scene, "booking", 1).await;
    assert_eq!(scene.run("calls_delta").await, "0 listed, 0 repaired, 0 nobody's");
    assert!(behind(&scene).await >= 1_800.0, "{}", behind(&scene).await);
    // what waited for twenty minutes is handled now
    handled(&scene, "calls", 1_200).await;
    assert_eq!(scene.run("calls_delta").await, "0 listed, 0 repaired, 0 nobody's");
    assert!((1_200.0..1_800.0).contains(&behind(&scene).await), "{}", behind(&scene).await);
    // and in the end what came a minute ago: the calls ended before
    sqlx::query("UPDATE attempts SET at = at - interval '10 minutes'").execute(&scene.world.db).await.unwrap();
    handled(&scene, "calls", 60).await;
    assert_eq!(scene.run("calls_delta").await, "2 listed, 6 repaired, 0 nobody's");
    assert!((60.0..1_200.0).contains(&behind(&scene).await), "{}", behind(&scene).await);

    scene.world.start_workers(&["calls"], &BTreeMap::new()).await;
    scene.world.settle_all().await;
    let repaired = "SELECT jsonb_build_array(retell_call_id, cardinality(repaired)) FROM calls ORDER BY retell_call_id";
    assert_eq!(scene.world.rows(repaired).await, [json!(["call_lost", 3]), json!(["call_waits", 0])], "an event that comes after all prevails");
    scene.run("calls_delta").await;
    assert!(behind(&scene).await < 1.0);
    scene.close().await;
}

#[tokio::test]
async fn bookings_that_wait_in_the_queue_are_not_lost() {
    let mut world = World::with(WorldOptions { roles: vec!["calcom-sync"], ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    schedule::sweep(&world, "calcom_updates").await;
    let visit = async |world: &World, hour| {
        let booking = VisitorBooking {
            event_type_id: 1320,
            start: ahead(7, chrono::Weekday::Wed, hour, 0).0,
            name: "Erika Musterfrau".to_owned(),
            email: "erika@example.org".to_owned(),
            phone: None,
            notes: String::new(),
        };
        world.calcom.visitor_book(booking).await.unwrap();
    };
    visit(&world, 10).await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    visit(&world, 12).await;
    schedule::let_time_pass(&world, 5).await;
    for job in ["calcom_updates", "calcom_window"] {
        schedule::sweep(&world, job).await;
        schedule::run(&world, "silence").await;
        assert_eq!((world.count("SELECT count(*) FROM appointments").await, schedule::repaired(&world).await, world.count(SILENT).await), (0, 0, 0), "{job}");
    }

    world.start_workers(&["booking"], &BTreeMap::new()).await;
    world.settle_all().await;
    schedule::sweep(&world, "calcom_updates").await;
    assert_eq!((world.count("SELECT count(*) FROM appointments").await, schedule::repaired(&world).await), (2, 1), "what was lost meanwhile, and nothing else");
    world.finish().await;
}
