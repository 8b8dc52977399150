//! Done 8 of issue 3, last sentence: a company whose webhooks fall silent is told of within five minutes; one that never had an event, or lost one, is not.

use chrono::{DateTime, Duration, Utc};
use dev::calcom_stand_in::{WebhookFaultKind, WebhookFaultRule};
use serde_json::{Value, json};
use shared::store::accounts::Provider;
use shared::store::silences;
use shared::store::tx::CompanyTx;
use sqlx::PgPool;
use tests::company;
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

#[tokio::test]
async fn webhooks_that_fall_silent_are_told_of_within_five_minutes_and_their_return_as_well() {
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
    let known_at: DateTime<Utc> = sqlx::query_scalar("SELECT frontdesk_now()").fetch_one(&scene.world.db).await.unwrap();
    assert!(known_at - lost_at <= Duration::minutes(5), "known {} after the loss", known_at - lost_at);
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
