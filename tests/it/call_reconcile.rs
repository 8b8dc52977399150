//! Done 3 of issue 3, Retell's side: what Retell's webhooks failed to tell is fetched from its REST API, once, within the budget, and folded as the webhooks
//! would have been (faults E2, E4; incident 34; reference/retell.md 2.3, 6.6).
//!
//! What counts as dropped: call_started, call_ended and call_analyzed of calls that connected, since these three can be made up for from the call itself.
//! Not lost here: transfer_* (REST does not tell single attempts), call_inbound and functions (requests with an answer). A call that never connected has no
//! end in Retell's list by which it would be found.
//!
//! Twelve calls by default, `FRONTDESK_FULL=1` plays 300.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use dev::calcom_stand_in::{Fate, WebhookFaultKind, WebhookFaultRule, WebhookFaults};
use dev::retell_stand_in::{Agent, Config, RestFault, RetellStandIn, Target};
use dev::stand_in::clock::StandInClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tests::{World, eventually, fixtures, http, schedule};
use uuid::Uuid;

pub const SALON: &str = "+493023125042";
const CALLER: &str = "+4915112345678";
const LIFECYCLE: [&str; 3] = ["call_started", "call_ended", "call_analyzed"];

/// Rows of two runs with the same seed. Left out: generated keys and short numbers (given in the order in which rows were made), when a row was written, how
/// a value came (`marks`, `repaired`) and which questions were asked (`look_*`): the way, not the end. `silences` and `api_calls` tell of the way, too.
const DUMP: &str = "SELECT to_jsonb(line) FROM (
    SELECT jsonb_build_array('call', to_jsonb(c) - '{id,company_id,number,branch_id,phone_number_id,customer_id,created_at,updated_at,marks,repaired,look_due_at,look_count}'::text[],
        b.name, p.e164, k.phone) AS line
    FROM calls c JOIN branches b ON b.id = c.branch_id LEFT JOIN phone_numbers p ON p.id = c.phone_number_id LEFT JOIN customers k ON k.id = c.customer_id
    UNION ALL SELECT jsonb_build_array('customer', name, phone, email, anonymous, source) FROM customers
    UNION ALL SELECT jsonb_build_array('wish', f.function, f.state, f.success, f.result, f.told, c.retell_call_id) FROM function_calls f JOIN calls c ON c.id = f.call_id
    UNION ALL SELECT jsonb_build_array('callback', r.reason, r.priority, r.state, c.retell_call_id) FROM callback_requests r LEFT JOIN calls c ON c.id = r.call_id
    UNION ALL SELECT jsonb_build_array('review', reason, details) FROM reviews WHERE subject <> 'webhooks'
    UNION ALL SELECT jsonb_build_array('appointments', count(*)) FROM appointments
) AS lines ORDER BY line";

/// A world with a Retell that stands at `now` and can be asked.
pub struct Scene {
    pub world: World,
    pub retell: RetellStandIn,
    pub clock: StandInClock,
}

impl Scene {
    pub async fn open(now: DateTime<Utc>) -> Self {
        let mut world = World::new().await;
        schedule::start(&mut world).await;
        Self::around(world, StandInClock::following(move || now)).await
    }

    /// With that world, whose schedule is the caller's, and a Retell of that clock.
    pub async fn around(world: World, clock: StandInClock) -> Self {
        let target = Target { url: world.retell_url(), api_key: fixtures::RETELL_KEY.to_owned() };
        let config = Config { target, clock: clock.clone(), agent: Agent { name: "Empfang".to_owned(), ..Config::default().agent }, ..Config::default() };
        let retell = RetellStandIn::start(config).await.unwrap();
        credential(&world, &retell.base_url).await;
        Self { world, retell, clock }
    }

    /// All webhooks of that kind of fault are dropped from now on.
    pub fn lose(&self, rules: Vec<WebhookFaultRule>) {
        self.retell.set_webhook_faults(WebhookFaults { rules, seed: Some(7) });
    }

    /// The database's clock stands so far ahead from now on.
    pub async fn shift(&self, minutes: i32) {
        sqlx::query("UPDATE clock_shift SET shift = make_interval(mins => $1)").bind(minutes).execute(&self.world.db).await.unwrap();
    }

    /// Asks for one run of that job and waits for its end; its words.
    pub async fn run(&self, job: &str) -> String {
        schedule::run(&self.world, job).await
    }

    /// What was repaired so far, by kind.
    pub async fn repaired(&self) -> BTreeMap<String, u64> {
        metrics(&self.world)
            .await
            .into_iter()
            .filter_map(|(name, value)| Some((label(&name, "frontdesk_reconcile_repaired_total", "kind")?, value as u64)))
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    pub async fn close(self) {
        self.world.finish().await;
    }

    async fn call(&self, call_id: &str) -> Value {
        sqlx::query_scalar("SELECT to_jsonb(c) FROM calls c WHERE retell_call_id = $1").bind(call_id).fetch_one(&self.world.db).await.unwrap()
    }

    fn lost(&self) -> BTreeMap<String, u64> {
        let mut lost = BTreeMap::new();
        for webhook in self.retell.webhooks().into_iter().filter(|webhook| webhook.fate == Fate::Lost) {
            *lost.entry(webhook.event).or_insert(0) += 1;
        }
        lost
    }
}

/// The world's key asks that Retell instead of the world's.
async fn credential(world: &World, base_url: &str) {
    sqlx::query("UPDATE credentials SET base_url = $2 WHERE id = $1").bind(world.retell_credential).bind(base_url).execute(&world.db).await.unwrap();
}

/// Every series of the world's workers, added up.
pub async fn metrics(world: &World) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for url in &world.worker_urls {
        let text = http::client().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
        for (name, value) in text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' ')) {
            *sums.entry(name.to_owned()).or_insert(0.0) += value.parse::<f64>().unwrap();
        }
    }
    sums
}

/// The label's value, if it is that metric.
fn label(series: &str, metric: &str, label: &str) -> Option<String> {
    let labels = series.strip_prefix(metric)?.strip_prefix('{')?;
    let value = labels.split(&format!("{label}=\"")).nth(1)?;
    Some(value.split('"').next()?.to_owned())
}

/// One call of the seeded life, told step by step as time goes on.
async fn play(scene: &Scene, n: u32, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed + u64::from(n));
    let at = |second: i64| scene.clock.set_offset_ms((i64::from(n) * 90 + second) * 10);
    let from = if dice.random_bool(0.2) { "anonymous".to_owned() } else { format!("+49151{:08}", 20_000_000 + dice.random_range(0..5)) };
    let mut call = scene.retell.inbound(&from, SALON).with_id(&format!("call_{seed}_{n}")).with_metadata("turn", json!(n));
    at(0);
    if dice.random_bool(0.3) {
        // before call_started, as observed (reference/retell.md 4.1)
        call.function("cancel_appointment", json!({ "date": "2028-03-01", "time": "10:00" })).await;
    }
    call.start().await;
    at(20);
    call.say("user", "Guten Tag, ich möchte nur etwas fragen.");
    if dice.random_bool(0.3) {
        call.transfer("transfer_started", "+491713920042").await;
        call.transfer(if dice.random_bool(0.5) { "transfer_bridged" } else { "transfer_cancelled" }, "+491713920042").await;
    }
    at(60);
    call.end_because(if dice.random_bool(0.5) { "user_hangup" } else { "agent_hangup" }).await;
    at(70);
    call.analyze("Eine Frage.", json!({ "intent": "question", "n": n })).await;
}

async fn play_all(scene: &Scene, calls: u32, seed: u64) {
    for n in 0..calls {
        play(scene, n, seed).await;
    }
    scene.world.settle_all().await;
}

/// Faults E4; Done 3: 30 % of everything, every call_ended, and a stretch of time in which nothing came.
#[tokio::test]
async fn after_one_sweep_the_rows_are_those_of_a_run_without_loss() {
    let full = std::env::var_os("FRONTDESK_FULL").is_some();
    let (calls, seed, now) = (if full { 300 } else { 12 }, 20_261_120, tests::world::now());
    let (whole, lossy) = (Scene::open(now).await, Scene::open(now).await);
    play_all(&whole, calls, seed).await;
    let of_lifecycle = |rule: WebhookFaultRule| WebhookFaultRule { triggers: LIFECYCLE.map(str::to_owned).into(), ..rule };
    let dark = |calls: u32| now + Duration::milliseconds(i64::from(calls) * 900);
    lossy.lose(vec![
        of_lifecycle(WebhookFaultRule { from: Some(dark(calls / 3)), until: Some(dark(calls / 2)), ..WebhookFaultRule::always(WebhookFaultKind::Lose) }),
        WebhookFaultRule::on_trigger(WebhookFaultKind::Lose, "call_ended"),
        of_lifecycle(WebhookFaultRule::by_chance(WebhookFaultKind::Lose, 0.3)),
    ]);
    play_all(&lossy, calls, seed).await;

    let expected = whole.world.rows(DUMP).await;
    assert_ne!(lossy.world.rows(DUMP).await, expected, "something was lost");
    for scene in [&whole, &lossy] {
        scene.shift(10).await;
        let words = scene.run("calls_delta").await;
        assert!(!words.starts_with("failed"), "{words}");
    }
    let found = lossy.world.rows(DUMP).await;
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.len(), found.len());
    assert_eq!(whole.world.rows(DUMP).await, expected, "a sweep over what was heard changes nothing");

    let (lost, repaired) = (lossy.lost(), lossy.repaired().await);
    assert_eq!(lost["call_ended"], u64::from(calls));
    assert!(lost.len() == 3 && lost.values().all(|n| *n > 0), "every kind was lost: {lost:?}");
    assert_eq!(repaired, lost, "repaired = dropped");
    let noted = "SELECT jsonb_build_array(event, count(*)) FROM calls, unnest(repaired) event GROUP BY event ORDER BY event";
    assert_eq!(lossy.world.rows(noted).await, lost.iter().map(|(event, times)| json!([event, times])).collect::<Vec<_>>(), "and each call says so");
    assert!(whole.world.rows(noted).await.is_empty());
    assert_eq!(whole.repaired().await, BTreeMap::new());
    println!("{calls} calls: dropped {lost:?}, repaired {repaired:?}, {} requests", lossy.retell.requests().len());

    // and a second sweep asks for the list only
    let before = lossy.retell.requests().len();
    lossy.run("calls_delta").await;
    assert!(lossy.retell.requests()[before..].iter().all(|request| request.operation == "list-calls"));
    assert_eq!(lossy.repaired().await, lost);
    whole.close().await;
    lossy.close().await;
}

/// Incident 34; reference/retell.md 2.3: neither call_ended nor call_analyzed ever came, and the list does not help.
#[tokio::test]
async fn a_call_that_stays_ongoing_is_asked_about_and_one_that_retell_forgot_is_closed() {
    let scene = Scene::open(tests::world::now()).await;
    let mut over = scene.retell.inbound(CALLER, SALON).with_id("call_over");
    let mut gone = scene.retell.inbound(CALLER, SALON).with_id("call_gone");
    let mut running = scene.retell.inbound(CALLER, SALON).with_id("call_running");
    for call in [&mut over, &mut gone, &mut running] {
        call.start().await;
    }
    scene.world.settle_all().await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    scene.clock.set_offset_ms(1_000);
    over.end().await;
    over.analyze("Fertig.", json!({})).await;
    scene.retell.forget("call_gone");

    assert_eq!(scene.run("calls_overdue").await, "0 asked about, 0 repaired", "nothing is overdue yet");
    scene.shift(70).await;
    assert_eq!(scene.run("calls_overdue").await, "3 asked about, 2 repaired");
    let row = scene.call("call_over").await;
    assert_eq!((&row["status"], &row["summary"], &row["look_due_at"]), (&json!("analyzed"), &json!("Fertig."), &Value::Null));
    assert_eq!(scene.call("call_gone").await["status"], "ended");
    assert_eq!(scene.call("call_running").await["status"], "ongoing");
    let reviews = || async { scene.world.rows("SELECT to_jsonb(reason) FROM reviews WHERE subject = 'call' ORDER BY reason").await };
    assert_eq!(reviews().await, ["call_unknown_to_retell"]);
    assert_eq!(scene.run("calls_overdue").await, "0 asked about, 0 repaired", "asked once");

    // one that never ends is asked about for two hours, and then it is a human's
    for shift in 1..=8 {
        scene.shift(70 + 11 * shift).await;
        scene.run("calls_overdue").await;
    }
    assert_eq!(reviews().await, ["call_never_ends", "call_unknown_to_retell"]);
    assert_eq!(scene.call("call_running").await["look_due_at"], Value::Null);
    assert_eq!(scene.retell.requests().iter().filter(|request| request.call_id.as_deref() == Some("call_running")).count(), 7);
    assert_eq!(scene.repaired().await, BTreeMap::from([("call_ended".to_owned(), 1), ("call_analyzed".to_owned(), 1)]));
    scene.close().await;
}

/// reference/retell.md 2.3: a second, different analysis is possible, and events carry no time of their own.
#[tokio::test]
async fn of_two_analyses_retell_says_which_one_holds() {
    let scene = Scene::open(tests::world::now()).await;
    let mut call = scene.retell.inbound(CALLER, SALON).with_id("call_twice");
    call.start().await;
    call.end().await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    call.analyze("Zuerst.", json!({ "n": 1 })).await;
    let first = call.event_body("call_analyzed");
    call.analyze("Danach.", json!({ "n": 2 })).await;
    let second = call.event_body("call_analyzed");
    scene.lose(Vec::new());
    call.resend("call_analyzed", &second).await;
    scene.world.settle_all().await;
    assert_eq!(scene.call("call_twice").await["look_due_at"], Value::Null);
    call.resend("call_analyzed", &first).await;
    scene.world.settle_all().await;
    eventually("the dispute is noted", || async { (!scene.call("call_twice").await["look_due_at"].is_null()).then_some(()) }).await;
    scene.run("calls_overdue").await;
    let row = scene.call("call_twice").await;
    assert_eq!((&row["summary"], &row["analysis"]["n"], &row["look_due_at"]), (&json!("Danach."), &json!(2), &Value::Null));
    assert_eq!(scene.repaired().await, BTreeMap::new(), "nothing was missing");
    scene.close().await;
}

/// Incident 42: what is nobody's is parked for a human, once, and goes the way of a webhook when its number is mapped.
#[tokio::test]
async fn a_call_of_an_unknown_number_is_parked_once() {
    let mut scene = Scene::open(tests::world::now()).await;
    scene.world.expect_dead_letters();
    let mut told = scene.retell.inbound(CALLER, "+493099999990").with_id("call_told");
    told.start().await;
    told.end().await;
    scene.world.settle_all().await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    let mut silent = scene.retell.inbound(CALLER, "+493099999991").with_id("call_silent");
    silent.start().await;
    silent.end().await;
    silent.analyze("Verloren.", json!({})).await;
    scene.shift(10).await;
    for _ in 0..2 {
        let words = scene.run("calls_delta").await;
        assert_eq!(words, "2 listed, 0 repaired, 2 nobody's");
    }
    let letters: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT kind, reason, count(*) FROM dead_letters GROUP BY kind, reason ORDER BY kind").fetch_all(&scene.world.db).await.unwrap();
    let letter = |kind: &str| (kind.to_owned(), "unknown_number".to_owned(), 1);
    // the first one's own webhooks are parked already; the other one is found by the sweep alone
    assert_eq!(letters, [letter("retell.call_analyzed"), letter("retell.call_ended"), letter("retell.call_started")]);

    sqlx::query("UPDATE phone_numbers SET e164 = '+493099999991' WHERE e164 <> $1").bind(SALON).execute(&scene.world.db).await.unwrap();
    let id: Uuid = sqlx::query_scalar("SELECT id FROM dead_letters WHERE kind = 'retell.call_analyzed'").fetch_one(&scene.world.db).await.unwrap();
    shared::store::dead_letters::retry(&scene.world.db, id).await.unwrap();
    eventually("the parked call is a row", || async {
        (scene.world.count("SELECT count(*) FROM calls WHERE retell_call_id = 'call_silent' AND status = 'analyzed'").await == 1).then_some(())
    })
    .await;
    scene.close().await;
}

/// Faults C4, as far as Retell is concerned: a 429 stops the credential for the announced time, and nothing is passed over.
#[tokio::test]
async fn a_throttled_sweep_waits_and_goes_on_where_it_stopped() {
    let scene = Scene::open(tests::world::now()).await;
    scene.lose(vec![WebhookFaultRule::always(WebhookFaultKind::Lose)]);
    let mut call = scene.retell.inbound(CALLER, SALON).with_id("call_later");
    call.start().await;
    call.end().await;
    scene.shift(10).await;
    scene.retell.fail_requests([RestFault { status: 429, retry_after_seconds: Some(600) }]);
    assert_eq!(scene.run("calls_delta").await, "failed: retell_throttled");
    assert_eq!(scene.run("calls_delta").await, "failed: retell_budget", "nothing is sent while the account rests");
    assert_eq!(scene.retell.requests().len(), 1);
    assert_eq!(scene.world.count("SELECT count(*) FROM call_sweeps").await, 0, "the time is not passed over");
    scene.shift(30).await;
    assert_eq!(scene.run("calls_delta").await, "1 listed, 2 repaired, 0 nobody's");
    assert_eq!(scene.call("call_later").await["status"], "ended");
    scene.close().await;
}
