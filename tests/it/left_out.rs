//! One call, one account or one broken key stands in nobody else's way when Retell is asked (faults A6, E4): what cannot be fetched or stored is left out and told to a
//! human, once, and the sweep goes on.

use std::collections::BTreeMap;

use dev::calcom_stand_in::{WebhookFaultKind, WebhookFaultRule};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::store::credentials::{self, NewCredential};
use shared::store::endpoints;
use tests::{company, eventually, fixtures, schedule};

use crate::call_reconcile::{SALON, Scene};

const CALLER: &str = "+4915112345678";
const NOBODY: &str = "+493099999990";
const LEFT_OUT: &str =
    "SELECT jsonb_build_array(details ->> 'retell_call_id', details ->> 'class', state) FROM reviews WHERE reason = 'sweep_left_out' ORDER BY 1";
/// More than a client of Retell reads (8 MiB).
const HUGE: usize = 9 * 1024 * 1024;

/// A call of which nothing was heard.
async fn lost(scene: &Scene, id: &str, to: &str, says: &str) {
    let mut call = scene.retell.inbound(CALLER, to).with_id(id);
    call.start().await;
    call.say("user", says);
    call.end().await;
    call.analyze("Eine Frage.", json!({})).await;
}

async fn counted(scene: &Scene) -> f64 {
    schedule::metric(&scene.world, r#"frontdesk_reconcile_left_out_total{provider="retell"}"#).await
}

fn asked(scene: &Scene, call_id: &str) -> usize {
    scene.retell.requests().iter().filter(|request| request.call_id.as_deref() == Some(call_id)).count()
}

/// A NUL character that no column takes, a call of 9 MiB, one that Retell refuses to show, one for which it always answers 500, and one of these that is nobody's.
#[tokio::test]
async fn one_call_that_cannot_be_fetched_or_stored_stops_no_other_and_is_told_once() {
    let mut scene = Scene::open(tests::world::now()).await;
    scene.world.expect_dead_letters();
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    for (second, (id, to, says)) in [
        ("nobody", NOBODY, "x"),
        ("nul", SALON, "Guten\0Tag"),
        ("huge", SALON, &*"x".repeat(HUGE)),
        ("refused", SALON, "x"),
        ("sick", SALON, "x"),
        ("fine", SALON, "x"),
    ]
    .into_iter()
    .enumerate()
    {
        scene.clock.set_offset_ms(i64::try_from(second).unwrap() * 1_000);
        lost(&scene, &format!("call_{id}"), to, says).await;
    }
    for (id, status) in [("nobody", 400), ("refused", 400), ("sick", 500)] {
        scene.retell.break_call(&format!("call_{id}"), Some(status));
    }
    // the event with the NUL character came, and was parked: it was received, so it is not repaired
    let mut parked = scene.retell.inbound(CALLER, SALON).with_id("call_parked");
    parked.start().await;
    parked.say("user", "Guten\0Tag");
    parked.end().await;
    scene.lose(Vec::new());
    parked.analyze("Eine Frage.", json!({})).await;
    scene.world.settle_all().await;
    eventually("it is parked", || async { (scene.world.count("SELECT count(*) FROM dead_letters WHERE reason = 'poison'").await == 1).then_some(()) }).await;
    scene.shift(10).await;
    assert_eq!(scene.run("calls_delta").await, "7 listed, 14 repaired, 1 nobody's");
    let known =
        || async { scene.world.rows("SELECT jsonb_build_array(retell_call_id, status, transcript IS NOT NULL) FROM calls ORDER BY retell_call_id").await };
    let told = |id: &str, transcript: bool| json!([format!("call_{id}"), "analyzed", transcript]);
    assert_eq!(
        known().await,
        [told("fine", true), told("huge", false), told("nul", false), told("parked", false), told("refused", false)],
        "what the list tells is taken in"
    );
    let left = |id: &str, class: &str| json!([format!("call_{id}"), class, "open"]);
    let four = [left("huge", "retell_refused"), left("nul", "poison"), left("parked", "poison"), left("refused", "retell_refused")];
    assert_eq!(scene.world.rows(LEFT_OUT).await, four, "each is told");
    assert_eq!(scene.world.count("SELECT count(*) FROM dead_letters WHERE reason = 'unknown_number' AND position('call_nobody'::bytea IN body) > 0").await, 1);
    assert_eq!(scene.world.count("SELECT count(*) FROM call_sweeps WHERE swept_until > now()").await, 1, "the cursor moves");

    // one that perhaps only has a bad moment is tried some more times
    for _ in 0..4 {
        scene.run("calls_delta").await;
    }
    assert_eq!(scene.world.rows(LEFT_OUT).await.last(), Some(&left("sick", "retell_unavailable")));
    assert!(known().await.contains(&told("sick", false)), "then what the list tells is taken in");
    scene.run("calls_delta").await;
    assert_eq!((asked(&scene, "call_sick"), asked(&scene, "call_refused"), asked(&scene, "call_nobody")), (5, 1, 1), "and then left alone");
    assert!((counted(&scene).await - 5.0).abs() < 0.1, "each is counted once");
    let requests = "SELECT jsonb_build_array(operation, status, company_id IS NULL, count(*)) FROM api_calls WHERE provider = 'retell' GROUP BY operation, status, company_id IS NULL
        ORDER BY operation, status NULLS FIRST";
    let recorded: i64 = scene.world.rows(requests).await.iter().map(|row| row[3].as_i64().unwrap()).sum();
    assert_eq!(recorded, i64::try_from(scene.retell.requests().len()).unwrap(), "every request is recorded: {:?}", scene.world.rows(requests).await);

    // the nightly run tries again
    scene.retell.break_call("call_sick", None);
    scene.shift(150).await;
    scene.run("calls_nightly").await;
    assert!(known().await.contains(&told("sick", true)));
    scene.close().await;
}

/// Lists are answered and end the outage brake; not one call is shown, not even one that nothing is wrong with. That is no call's fault, however long it lasts.
#[tokio::test]
async fn an_outage_of_get_call_alone_leaves_no_healthy_call_out() {
    let scene = Scene::open(tests::world::now()).await;
    lost(&scene, "call_heard", SALON, "x").await;
    scene.world.settle_all().await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    for id in ["call_one", "call_two"] {
        lost(&scene, id, SALON, "x").await;
    }
    let all = ["call_heard", "call_one", "call_two"];
    all.iter().for_each(|id| scene.retell.break_call(id, Some(500)));
    scene.shift(10).await;
    for _ in 0..6 {
        assert_eq!(scene.run("calls_delta").await, "failed: retell_unavailable");
    }
    assert_eq!(scene.world.count("SELECT count(*) FROM troubled_calls").await, 0);
    assert_eq!(scene.world.count("SELECT count(*) FROM call_sweeps WHERE swept_until > now()").await, 0, "the cursor stays before them");
    assert_eq!(asked(&scene, "call_heard"), 6, "one that was heard is asked for, as a control");
    all.iter().for_each(|id| scene.retell.break_call(id, None));
    assert_eq!(scene.run("calls_delta").await, "3 listed, 6 repaired, 0 nobody's");
    assert_eq!(scene.world.rows(LEFT_OUT).await, [] as [Value; 0]);
    scene.close().await;
}

/// Seventy calls whose account has a wrong key are due before the one that can be answered; and a call that always fails comes last from then on.
#[tokio::test]
async fn neither_a_broken_key_nor_a_broken_call_keeps_others_from_being_asked_about() {
    let scene = Scene::open(tests::world::now()).await;
    let mut other = company::other(1);
    other.retell_account = Some("broken".to_owned());
    let other = scene.world.add_company(&other).await;
    let account_id = other.retell_account_id.unwrap();
    let wrong = SecretString::from("key_00000000000000000000000000");
    endpoints::add(&scene.world.db, &scene.world.keyring, account_id, "test", &SecretString::from(fixtures::RETELL_KEY)).await.unwrap();
    let new = NewCredential { account_id, label: "wrong", base_url: &scene.retell.base_url, api_key: &wrong, rate_per_minute: Some(6_000) };
    credentials::add(&scene.world.db, &scene.world.keyring, &new).await.unwrap();
    let stale = "INSERT INTO calls (id, company_id, number, retell_call_id, branch_id, phone_number_id, status, look_due_at)
        SELECT gen_random_uuid(), p.company_id, n, 'call_stale_' || n, p.branch_id, p.id, 'ongoing', now() - interval '1 day'
        FROM generate_series(1, 70) n, (SELECT * FROM phone_numbers WHERE company_id = $1 LIMIT 1) p";
    sqlx::query(stale).bind(other.company_id).execute(&scene.world.db).await.unwrap();
    let mut calls = Vec::new();
    for id in ["call_sick", "call_refused", "call_over"] {
        calls.push(scene.retell.inbound(CALLER, SALON).with_id(id));
        calls.last_mut().unwrap().start().await;
    }
    scene.world.settle_all().await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    scene.clock.set_offset_ms(1_000);
    for call in &mut calls {
        call.end().await;
    }
    scene.retell.break_call("call_sick", Some(500));
    scene.retell.break_call("call_refused", Some(400));
    scene.shift(70).await;
    assert_eq!(scene.run("calls_overdue").await, "failed: retell_key_rejected");
    let status: BTreeMap<String, Value> = scene
        .world
        .rows("SELECT jsonb_build_array(retell_call_id, status, look_due_at IS NULL) FROM calls WHERE retell_call_id NOT LIKE 'call\\_stale%'")
        .await
        .into_iter()
        .map(|row| (row[0].as_str().unwrap().to_owned(), json!([row[1], row[2]])))
        .collect();
    assert_eq!(status["call_over"], json!(["ended", true]), "it was asked about in the first run");
    assert_eq!(status["call_refused"], json!(["ongoing", true]), "a human's");
    assert_eq!(status["call_sick"], json!(["ongoing", false]), "later again");
    assert_eq!(scene.world.rows(LEFT_OUT).await, [json!(["call_refused", "retell_refused", "open"])]);

    // what could not be asked rests: neither in the next minute nor for ever
    let before = asked(&scene, "call_sick");
    scene.shift(71).await;
    scene.run("calls_overdue").await;
    assert_eq!(asked(&scene, "call_sick"), before);
    for run in 0..7 {
        scene.shift(71 + 370 * (run + 1)).await;
        scene.run("calls_overdue").await;
    }
    assert_eq!(asked(&scene, "call_sick"), 7, "ten hours are enough");
    assert_eq!(scene.world.rows(LEFT_OUT).await.last(), Some(&json!(["call_sick", "retell_unavailable", "open"])));
    assert_eq!(
        scene
            .world
            .count("SELECT count(*) FROM calls WHERE company_id <> (SELECT company_id FROM calls WHERE retell_call_id = 'call_over') AND look_due_at IS NULL")
            .await,
        0
    );
    scene.close().await;
}

/// Accounts take turns, and a nightly run that was interrupted goes on where it stopped.
#[tokio::test]
async fn an_interrupted_nightly_run_goes_on_where_it_stopped() {
    let scene = Scene::open(tests::world::now()).await;
    let lists = || scene.retell.requests().iter().filter(|request| request.operation == "list-calls").count();
    scene.run("calls_nightly").await;
    assert_eq!(lists(), 70, "an hour each: three days without the last two hours");
    let turns = "SELECT to_jsonb(t) FROM call_sweep_turns t WHERE kind = 'nightly'";
    assert_eq!(scene.world.rows(turns).await[0]["reached"], Value::Null, "it came to its end");
    sqlx::query("UPDATE call_sweep_turns SET reached = frontdesk_now() - interval '12 hours'").execute(&scene.world.db).await.unwrap();
    scene.run("calls_nightly").await;
    // the minute between the two may begin one more
    assert!((80..=81).contains(&lists()), "{}", lists());

    // whoever waits longest for a turn is first
    let mut other = company::other(1);
    other.retell_account = Some("other".to_owned());
    let account_id = scene.world.add_company(&other).await.retell_account_id.unwrap();
    let key = SecretString::from(fixtures::RETELL_KEY);
    endpoints::add(&scene.world.db, &scene.world.keyring, account_id, "test", &key).await.unwrap();
    let new = NewCredential { account_id, label: "test", base_url: &scene.retell.base_url, api_key: &key, rate_per_minute: Some(6_000) };
    let new = credentials::add(&scene.world.db, &scene.world.keyring, &new).await.unwrap();
    let pool = shared::store::connect(&scene.world.database_url, Some("frontdesk_worker"), 1, "left_out").unwrap();
    let first = async || {
        use shared::store::call_sweeps::{CallSweep, accounts};
        accounts(&pool, CallSweep::Nightly).await.unwrap()[0].credential_id
    };
    assert_eq!(first().await, new, "it had none yet");
    sqlx::query("INSERT INTO call_sweep_turns (credential_id, kind, begun_at) VALUES ($1, 'nightly', frontdesk_now())")
        .bind(new)
        .execute(&scene.world.db)
        .await
        .unwrap();
    assert_ne!(first().await, new);
    pool.close().await;
    scene.close().await;
}
