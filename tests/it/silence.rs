//! Done 8 of issue 3, last sentence: a company whose webhooks fall silent is told of within five minutes; one that never had an event, or lost one, is not.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use dev::calcom_stand_in::{VisitorBooking, WebhookFaultKind, WebhookFaultRule, WebhookFaults};
use dev::stand_in::clock::StandInClock;
use serde_json::{Value, json};
use shared::store::accounts::Provider;
use shared::store::silences;
use shared::store::tx::CompanyTx;
use sqlx::PgPool;
use tests::world::ahead;
use tests::{World, company, eventually};
use uuid::Uuid;

use crate::call_reconcile::{SALON, Scene, metrics};

async fn silent_since(db: &PgPool, company_id: Uuid, provider: &str) -> Option<DateTime<Utc>> {
    let row: Option<Option<DateTime<Utc>>> = sqlx::query_scalar("SELECT silent_since FROM silences WHERE company_id = $1 AND provider = $2")
        .bind(company_id)
        .bind(provider)
        .fetch_optional(db)
        .await
        .unwrap();
    row.flatten()
}

async fn gauge(scene: &Scene, provider: &str) -> f64 {
    metrics(&scene.world).await[&format!("frontdesk_silent_companies{{provider=\"{provider}\"}}")]
}

async fn call(scene: &Scene, to: &str) {
    let mut call = scene.retell.inbound("+4915112345678", to);
    call.start().await;
    call.end().await;
    call.analyze("Eine Frage.", json!({})).await;
    scene.world.settle_all().await;
}

/// What a step of the database's clock is.
const STEP_SECONDS: i64 = 30;
/// Five minutes.
const STEPS_MAX: i64 = 5 * 60 / STEP_SECONDS;

/// The clocks of the database and of both providers go on by half a minute, and the scheduler does by itself what is due then.
async fn half_a_minute(scene: &Scene) {
    let db = &scene.world.db;
    let shift_ms: f64 =
        sqlx::query_scalar("UPDATE clock_shift SET shift = shift + make_interval(secs => $1) RETURNING extract(epoch FROM shift)::float8 * 1000")
            .bind(STEP_SECONDS as f64)
            .fetch_one(db)
            .await
            .unwrap();
    scene.clock.set_offset_ms(shift_ms as i64);
    scene.world.calcom.set_clock_offset_ms(shift_ms as i64);
    let left = "SELECT (SELECT count(*) FROM jobs WHERE next_run_at IS NULL OR next_run_at <= frontdesk_now())
        + (SELECT count(*) FROM sweeps WHERE wanted_at IS NOT NULL) + (SELECT (count(*) = 0)::int FROM jobs)";
    eventually("what is due is done", || async { (scene.world.count(left).await == 0).then_some(()) }).await;
}

async fn visit(scene: &Scene, hour: u32) {
    let booking = VisitorBooking {
        event_type_id: 1320,
        start: ahead(7, chrono::Weekday::Wed, hour, 0).0,
        name: "Erika Musterfrau".to_owned(),
        email: "erika@example.org".to_owned(),
        phone: None,
        notes: String::new(),
    };
    scene.world.calcom.visitor_book(booking).await.unwrap();
}

/// From the lost webhook to the metric of the alarm, for both providers: nobody asks for a job here, the schedule runs as it does in production.
#[tokio::test]
async fn the_schedule_by_itself_tells_of_a_silence_of_either_provider_within_five_minutes() {
    let mut scene = Scene::around(World::new().await, StandInClock::system()).await;
    call(&scene, SALON).await;
    scene.world.start_workers(&["scheduler"], &BTreeMap::new()).await;
    let adopted = "SELECT count(*) FROM sweeps WHERE kind = 'updates' AND cursor_at IS NOT NULL";
    for _ in 0..=STEPS_MAX {
        half_a_minute(&scene).await;
    }
    assert_eq!(scene.world.count(adopted).await, 1, "the account is taken over");
    visit(&scene, 9).await;
    scene.world.settle_all().await;
    for _ in 0..STEPS_MAX {
        half_a_minute(&scene).await;
    }
    assert_eq!((gauge(&scene, "retell").await, gauge(&scene, "calcom").await), (0.0, 0.0), "what is heard is no silence");

    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    scene.world.calcom.set_webhook_faults(WebhookFaults::lose(1.0, 7));
    call(&scene, SALON).await;
    visit(&scene, 11).await;
    visit(&scene, 13).await;
    let mut told = BTreeMap::new();
    for step in 1..=STEPS_MAX {
        half_a_minute(&scene).await;
        for provider in ["retell", "calcom"] {
            if gauge(&scene, provider).await > 0.5 {
                told.entry(provider).or_insert(step * STEP_SECONDS);
            }
        }
    }
    println!("a silence is told after so many seconds: {told:?}");
    assert_eq!(told.keys().collect::<Vec<_>>(), [&"calcom", &"retell"]);
    assert_eq!(scene.world.count("SELECT count(*) FROM reviews WHERE subject = 'webhooks'").await, 2);
    scene.close().await;
}

#[tokio::test]
async fn webhooks_that_fall_silent_are_told_of_once_and_their_return_as_well() {
    let opened_at = tests::world::now();
    let scene = Scene::open(opened_at).await;
    let (ours, quiet) = (scene.world.company.company_id, scene.world.add_company(&company::other(1)).await.company_id);
    call(&scene, SALON).await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    let lost_at = tests::world::now();
    // Retell's clock stood still: now it shows the time again, after what was heard
    scene.clock.set_offset_ms((lost_at - opened_at).num_milliseconds());
    call(&scene, SALON).await;
    for job in ["calls_delta", "silence"] {
        scene.run(job).await;
    }
    assert_eq!(silent_since(&scene.world.db, ours, "retell").await, None, "its events may still be under way");

    scene.shift(3).await;
    for job in ["calls_delta", "silence"] {
        scene.run(job).await;
    }
    assert!(silent_since(&scene.world.db, ours, "retell").await.is_some());
    assert_eq!((gauge(&scene, "retell").await, gauge(&scene, "calcom").await), (1.0, 0.0));
    let reviews: Vec<Value> = scene.world.rows("SELECT jsonb_build_array(company_id, details->'provider') FROM reviews WHERE subject = 'webhooks'").await;
    assert_eq!(reviews, [json!([ours, "retell"])]);
    assert_eq!(silent_since(&scene.world.db, quiet, "retell").await, None, "a company without events is not silent");

    // one review, however long it lasts; and the first webhook ends it
    scene.run("silence").await;
    assert_eq!(scene.world.count("SELECT count(*) FROM reviews WHERE subject = 'webhooks'").await, 1);
    scene.lose(Vec::new());
    call(&scene, SALON).await;
    scene.run("silence").await;
    assert_eq!((silent_since(&scene.world.db, ours, "retell").await, gauge(&scene, "retell").await), (None, 0.0));
    let logged: String = scene.world.workers.iter().map(|process| process.logged()).collect();
    assert!(logged.contains("a company's webhooks are silent") && logged.contains("are heard again"));
    scene.close().await;
}

/// One company whose row cannot be written stays what it was, and no other one's silence is passed over because of it.
#[tokio::test]
async fn a_company_that_cannot_be_judged_hides_no_other_ones_silence() {
    let scene = Scene::open(tests::world::now()).await;
    let other = scene.world.add_company(&company::other(1)).await.company_id;
    let pool = shared::store::connect(&scene.world.database_url, Some("frontdesk_worker"), 2, "silence").unwrap();
    for company_id in [scene.world.company.company_id, other] {
        let mut tx = CompanyTx::begin(&pool, Some(company_id), &[]).await.unwrap();
        silences::missed(&mut tx, Provider::Retell, &[tests::world::now(); 2]).await.unwrap();
        tx.commit().await.unwrap();
    }
    let refuse = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'on purpose'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON silences FOR EACH ROW WHEN (OLD.company_id = '{other}') EXECUTE FUNCTION refuse()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse)).execute(&scene.world.db).await.unwrap();
    assert_eq!(scene.run("silence").await, "failed: store_error");
    assert_eq!(gauge(&scene, "retell").await, 1.0);
    let switch = async |how: &'static str| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("ALTER TABLE silences {how} TRIGGER refuse"))).execute(&scene.world.db).await.unwrap()
    };
    switch("DISABLE").await;
    assert_eq!(scene.run("silence").await, "2 silent");
    switch("ENABLE").await;
    assert_eq!(scene.run("silence").await, "failed: store_error");
    assert_eq!(gauge(&scene, "retell").await, 2.0, "it stays what it was");
    pool.close().await;
    scene.close().await;
}

/// The rule itself, for both providers: two losses in a row with nothing heard since. Functions go on though the webhook's URL is gone.
#[tokio::test]
async fn a_single_loss_is_no_silence_and_functions_do_not_hide_one() {
    let scene = Scene::open(tests::world::now()).await;
    let (db, company_id) = (&scene.world.db, scene.world.company.company_id);
    let pool = shared::store::connect(&scene.world.database_url, Some("frontdesk_worker"), 2, "silence").unwrap();
    let miss = async |provider, minutes: &[i64]| {
        let mut tx = CompanyTx::begin(&pool, Some(company_id), &[]).await.unwrap();
        let at: Vec<_> = minutes.iter().map(|minutes| tests::world::now() + Duration::minutes(*minutes)).collect();
        silences::missed(&mut tx, provider, &at).await.unwrap();
        tx.commit().await.unwrap();
    };
    call(&scene, SALON).await;
    miss(Provider::Retell, &[-3, -2]).await;
    miss(Provider::Calcom, &[-3]).await;
    scene.run("silence").await;
    assert_eq!(silent_since(db, company_id, "retell").await, None, "it was heard after them");
    assert_eq!(silent_since(db, company_id, "calcom").await, None, "one loss is a loss");

    // many at once: the row stays small
    miss(Provider::Calcom, &[-2]).await;
    miss(Provider::Retell, &(0..40).map(|_| 1).collect::<Vec<_>>()).await;
    let mut talking = scene.retell.inbound("+4915112345678", SALON);
    talking.function("cancel_appointment", json!({ "date": "2028-03-01", "time": "10:00" })).await;
    scene.world.settle_all().await;
    scene.run("silence").await;
    assert!(silent_since(db, company_id, "retell").await.is_some() && silent_since(db, company_id, "calcom").await.is_some());
    assert_eq!((gauge(&scene, "retell").await, gauge(&scene, "calcom").await), (1.0, 1.0));
    assert_eq!(scene.world.count("SELECT max(missed_total) FROM silences").await, 42);

    // a function of the call is heard, its webhook is not; another company's webhook says nothing of ours
    let other = scene.world.add_company(&company::other(1)).await;
    call(&scene, "+493040000010").await;
    scene.run("silence").await;
    assert!(silent_since(db, company_id, "retell").await.is_some());
    assert_eq!(silent_since(db, other.company_id, "retell").await, None);
    pool.close().await;
    scene.close().await;
}
