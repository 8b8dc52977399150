//! Turns of the sweeps of Retell's calls: they end in time and go on within a list; an account that has none is seen, and so is a key that is refused
//! (issue 3, Sweeps; faults E2, E4).

use dev::calcom_stand_in::{WebhookFaultKind, WebhookFaultRule};
use dev::retell_stand_in::RestFault;
use serde_json::json;
use tests::{company, schedule};

use crate::call_reconcile::{SALON, Scene};

const CALLER: &str = "+4915112345678";
const REJECTED: &str =
    "SELECT jsonb_build_array(details ->> 'class', state, count(*)) FROM reviews WHERE reason = 'credential_rejected' GROUP BY details ->> 'class', state";

async fn call(scene: &Scene, id: &str, to: &str) {
    let mut call = scene.retell.inbound(CALLER, to).with_id(id);
    call.start().await;
    call.end().await;
    call.analyze("Eine Frage.", json!({})).await;
}

/// The last turn's time was up after the first call of the list.
async fn stop_at(scene: &Scene, key: &str) {
    let turn = "INSERT INTO call_sweep_turns (credential_id, kind, begun_at, page_from, page_until, page_key, pages)
        SELECT id, 'delta', now(), now() - interval '1 hour', now() + interval '1 minute', $1, 1 FROM credentials WHERE provider = 'retell'
        ON CONFLICT (credential_id, kind) DO UPDATE SET page_from = excluded.page_from, page_until = excluded.page_until, page_key = excluded.page_key, pages = 1";
    sqlx::query(turn).bind(key).execute(&scene.world.db).await.unwrap();
}

#[tokio::test]
async fn a_turn_goes_on_at_the_page_at_which_the_last_one_ended() {
    let now = tests::world::now();
    let scene = Scene::open(now).await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    call(&scene, "call_one", SALON).await;
    scene.clock.set_offset_ms(1_000);
    call(&scene, "call_two", SALON).await;
    scene.shift(10).await;
    let open = "SELECT jsonb_build_array(page_from, page_until, page_key, pages) FROM call_sweep_turns WHERE kind = 'delta'";
    let none = [json!([null, null, null, 0])];

    // a key that Retell no longer takes: the next turn begins anew
    stop_at(&scene, "zz").await;
    assert_eq!(scene.run("calls_delta").await, "failed: retell_refused");
    assert_eq!(scene.world.rows(open).await, none);

    let started: i64 = scene.retell.calls().iter().find(|call| call.call_id == "call_one").and_then(|call| call.start_timestamp).unwrap();
    stop_at(&scene, &hex::encode(format!("{started}/call_one"))).await;
    assert_eq!(scene.run("calls_delta").await, "1 listed, 3 repaired, 0 nobody's", "the first page was read before");
    assert_eq!(scene.world.rows(open).await, none);
    assert_eq!(scene.run("calls_delta").await, "2 listed, 3 repaired, 0 nobody's");
    scene.close().await;
}

/// Nobody else would notice: no sweep ever came so far that it could stop.
#[tokio::test]
async fn an_account_that_was_never_swept_is_a_sweep_that_stopped() {
    let scene = Scene::open(tests::world::now()).await;
    let stopped =
        || async { scene.world.rows("SELECT jsonb_build_array(waiting, oldest_seconds >= 600) FROM measure_backlogs() WHERE name = 'stopped_sweeps'").await };
    assert_eq!(stopped().await, [json!([0, false])], "it is new");
    scene.shift(11).await;
    assert_eq!(stopped().await, [json!([1, true])]);
    scene.run("calls_delta").await;
    assert_eq!(stopped().await, [json!([0, false])]);
    // of a program that does not know progressed_at yet: its runs end
    let before = "INSERT INTO sweeps (credential_id, kind, cursor_at, progressed_at, last_finished_at)
        SELECT id, 'updates', now(), now() - interval '1 hour', frontdesk_now() FROM credentials WHERE provider = 'calcom'";
    sqlx::query(before).execute(&scene.world.db).await.unwrap();
    assert_eq!(stopped().await, [json!([0, false])]);
    scene.close().await;
}

/// A key never mends itself; one that companies share is told to each of them, and counted once.
#[tokio::test]
async fn a_key_that_is_refused_or_cannot_be_opened_is_told_to_its_companies() {
    let scene = Scene::open(tests::world::now()).await;
    scene.world.add_company(&company::other(1)).await;
    let rejected = || async { scene.world.count("SELECT waiting FROM measure_backlogs() WHERE name = 'rejected_credentials'").await };
    scene.retell.fail_requests([RestFault { status: 401, retry_after_seconds: None }]);
    assert_eq!(scene.run("calls_delta").await, "failed: retell_key_rejected");
    assert_eq!(scene.world.rows(REJECTED).await, [json!(["retell_key_rejected", "open", 2])]);
    assert_eq!(rejected().await, 1);
    sqlx::query("UPDATE reviews SET state = 'resolved'").execute(&scene.world.db).await.unwrap();

    sqlx::query("UPDATE credentials SET ciphertext = set_byte(ciphertext, 0, get_byte(ciphertext, 0) # 1) WHERE provider = 'retell'")
        .execute(&scene.world.db)
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(scene.run("calls_delta").await, "failed: retell_key_sealed");
    }
    assert_eq!(scene.world.rows(REJECTED).await, [json!(["retell_key_sealed", "open", 2])]);
    assert_eq!(rejected().await, 1);
    scene.close().await;
}

#[tokio::test]
async fn an_account_that_cannot_be_asked_takes_nothing_back_that_was_shown_of_it() {
    let mut scene = Scene::open(tests::world::now()).await;
    scene.world.expect_dead_letters();
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    call(&scene, "call_of_nobody", "+493099999990").await;
    scene.shift(10).await;
    assert_eq!(scene.run("calls_delta").await, "1 listed, 0 repaired, 1 nobody's");
    let unowned = || schedule::metric(&scene.world, "frontdesk_unowned_calls");
    assert_eq!(unowned().await, 1.0);
    scene.retell.fail_requests([RestFault { status: 500, retry_after_seconds: None }]);
    assert_eq!(scene.run("calls_delta").await, "failed: retell_unavailable");
    assert_eq!(unowned().await, 1.0);
    scene.shift(60).await;
    scene.run("calls_delta").await;
    assert_eq!(scene.run("calls_delta").await, "0 listed, 0 repaired, 0 nobody's");
    assert_eq!(unowned().await, 0.0);
    scene.close().await;
}

/// What is parked may be no JSON and no text; what names a call is found without a look into other bodies.
#[tokio::test]
async fn parked_events_of_a_call_are_found_by_an_index_whatever_they_are() {
    let mut scene = Scene::open(tests::world::now()).await;
    scene.world.expect_dead_letters();
    let parked = "INSERT INTO dead_letters (id, kind, queue, reason, body) VALUES
        (gen_random_uuid(), 'retell.call_ended', 'q', 'poison', '{\"call\":{\"from\":1,\"call_id\" : \"call_a\"}}'),
        (gen_random_uuid(), 'retell.call_analyzed', 'q', 'poison', '\\x00ff'::bytea || convert_to('\"call_id\":\"call_a\"', 'UTF8') || '\\xfe'::bytea),
        (gen_random_uuid(), 'retell.call_started', 'q', 'poison', '\\xff00'),
        (gen_random_uuid(), 'calcom.booking_created', 'q', 'poison', '\"call_id\":\"call_a\"')";
    sqlx::query(parked).execute(&scene.world.db).await.unwrap();
    let found = scene.world.rows("SELECT to_jsonb(kind) FROM dead_letters WHERE retell_call_ids @> ARRAY['call_a'] ORDER BY kind").await;
    assert_eq!(found, [json!("retell.call_analyzed"), json!("retell.call_ended")]);

    let many = "INSERT INTO dead_letters (id, kind, queue, reason, body)
        SELECT gen_random_uuid(), 'retell.call_ended', 'q', 'poison', convert_to('{\"call_id\":\"call_' || n || '\"}', 'UTF8') FROM generate_series(1, 3000) n";
    sqlx::raw_sql(many).execute(&scene.world.db).await.unwrap();
    sqlx::raw_sql("VACUUM ANALYZE dead_letters").execute(&scene.world.db).await.unwrap();
    let plan: Vec<String> =
        sqlx::query_scalar("EXPLAIN SELECT DISTINCT kind FROM dead_letters WHERE kind LIKE 'retell.call\\_%' AND retell_call_ids @> ARRAY['call_7']")
            .fetch_all(&scene.world.db)
            .await
            .unwrap();
    assert!(plan.iter().any(|line| line.contains("dead_letters_calls")), "{plan:?}");
    scene.close().await;
}
