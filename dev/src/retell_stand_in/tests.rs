//! The stand-in against the fixtures and the rules of reference/retell.md, with a small ingress on a real socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::sign::sign_retell;
use super::{Config, RestFault, RetellStandIn, Target};
use crate::calcom_stand_in::{Fate, WebhookFaultKind, WebhookFaultRule, WebhookFaults};
use crate::stand_in::server::LoopbackServer;

const KEY: &str = "key_0123456789abcdef0123456789ab";
const CALLER: &str = "+4915112345678";
const SALON: &str = "+493023125042";

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../tests/fixtures/retell/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn fixture_json(name: &str) -> Value {
    serde_json::from_slice(&fixture(name)).unwrap()
}

/// Answers from a list, then 200 with an empty object; keeps what it got.
struct Ingress {
    url: String,
    got: Arc<Mutex<Vec<(String, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    _server: LoopbackServer,
}

impl Ingress {
    async fn start() -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(VecDeque::<(u16, Value)>::new()));
        let (keep, next) = (got.clone(), answers.clone());
        let router = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let signature = headers["x-retell-signature"].to_str().unwrap().to_owned();
            keep.lock().unwrap().push((signature, body));
            let (status, body) = next.lock().unwrap().pop_front().unwrap_or((200, json!({})));
            async move { (StatusCode::from_u16(status).unwrap(), axum::Json(body)) }
        });
        let server = LoopbackServer::start(([127, 0, 0, 1], 0).into(), router).await.unwrap();
        Self { url: format!("{}/v1/retell/demo", server.base_url()), got, answers, _server: server }
    }

    fn will_answer(&self, answers: impl IntoIterator<Item = (u16, Value)>) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn bodies(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn world() -> (RetellStandIn, Ingress) {
    let ingress = Ingress::start().await;
    let target = Target { url: ingress.url.clone(), api_key: KEY.to_owned() };
    let config = Config { target, retry_pause: Duration::from_millis(1), ..Config::default() };
    (RetellStandIn::start(config).await.unwrap(), ingress)
}

/// Keys in the order in which they stand in the text, at the top of the object behind `path`.
fn keys_in_order(body: &[u8], of: &str) -> Vec<String> {
    let text = std::str::from_utf8(body).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    let object = if of.is_empty() { &value } else { &value[of] };
    let from = if of.is_empty() { 0 } else { text.find(&format!("\"{of}\":{{")).unwrap() };
    let mut keys: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    keys.sort_by_key(|key| text[from..].find(&format!("\"{key}\":")).unwrap());
    keys
}

#[test]
fn our_signatures_equal_those_of_the_fixtures() {
    let headers = fixture_json("headers.json");
    for (file, vector) in headers["files"].as_object().unwrap() {
        let signature = sign_retell(KEY, &fixture(file), vector["now_ms"].as_i64().unwrap());
        assert_eq!(&json!(signature), &vector["x-retell-signature"], "{file}");
    }
    assert!(sign_retell("key_x", b"{}", 1_700_000_000_000).ends_with("d77a5b3c55846b11421e7d513a7902045698fc3989e4492bb5b0fb6c060d3f7e"));
}

#[tokio::test]
async fn a_call_is_played_with_growing_signed_bodies() {
    let (retell, ingress) = world().await;
    ingress.will_answer([(200, fixture_json("extra_call_inbound_response.json"))]);
    let mut call = retell.inbound(CALLER, SALON);
    assert_eq!(call.ring().await.status, 200);
    call.start().await;
    call.say("agent", "Guten Tag, was kann ich für Sie tun?");
    call.say("user", "Ich möchte einen Termin.");
    ingress.will_answer([(200, json!({"ok": true, "say": "Gerne."}))]);
    let answer = call.function("check_availability", json!({"date": "2025-10-22"})).await;
    assert_eq!((answer.status, &answer.body["say"], answer.attempts), (200, &json!("Gerne."), 1));
    call.end().await;
    call.analyze("Ein Termin wurde gesucht.", json!({"intent": "book"})).await;

    let names = ["call_inbound.json", "call_started.json", "custom_function.json", "call_ended.json", "call_analyzed.json"];
    let got = ingress.got.lock().unwrap().clone();
    for ((signature, body), name) in got.iter().zip(names) {
        let stamp: i64 = signature[2..].split(',').next().unwrap().parse().unwrap();
        assert_eq!(signature, &sign_retell(KEY, body, stamp), "{name}");
        assert_eq!(keys_in_order(body, ""), keys_in_order(&fixture(name), ""), "{name}");
        let inner = if name == "call_inbound.json" { "call_inbound" } else { "call" };
        let (ours, theirs) = (keys_in_order(body, inner), keys_in_order(&fixture(name), inner));
        let common: Vec<_> = theirs.into_iter().filter(|key| ours.contains(key)).collect();
        let extra: Vec<_> = ours.iter().filter(|key| !common.contains(key)).collect();
        assert!(extra.iter().all(|key| *key == "latency" || *key == "data_storage_setting" || *key == "opt_in_signed_url"), "{name}: {extra:?}");
        assert_eq!(ours.into_iter().filter(|key| common.contains(key)).collect::<Vec<_>>(), common, "{name}");
    }
    let bodies = ingress.bodies();
    assert_eq!(bodies[1]["call"]["metadata"]["company_id"], "15", "the answer to call_inbound rides along");
    let running = bodies[2]["call"]["transcript_with_tool_calls"].as_array().unwrap().last().unwrap();
    assert_eq!((&running["role"], &running["name"]), (&json!("tool_call_invocation"), &json!("check_availability")));
    let done = bodies[3]["call"]["transcript_with_tool_calls"].as_array().unwrap().last().unwrap();
    assert_eq!((&done["role"], &done["tool_call_id"]), (&json!("tool_call_result"), &running["tool_call_id"]));
    assert!(bodies[3]["call"].get("call_analysis").is_none());
    assert_eq!(bodies[4]["call"]["call_analysis"]["custom_analysis_data"]["intent"], "book");
    assert_eq!(retell.ledger().len(), 5);
}

#[tokio::test]
async fn each_function_has_a_fresh_tool_call_id_and_a_prepared_one_can_be_repeated() {
    let (retell, ingress) = world().await;
    let mut call = retell.inbound("anonymous", SALON);
    call.function("book_appointment", json!({})).await;
    let request = call.prepare_function("book_appointment", json!({}));
    call.send_function(&request).await;
    call.send_function(&request).await;
    let ids: Vec<_> = retell.ledger().into_iter().map(|entry| entry.tool_call_id.unwrap()).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2]);
    let got = ingress.got.lock().unwrap();
    assert_eq!(got[1].1, got[2].1, "byte for byte");
}

#[tokio::test]
async fn webhooks_are_retried_three_times_and_functions_not_at_all() {
    let (retell, ingress) = world().await;
    let mut call = retell.inbound(CALLER, SALON);
    ingress.will_answer((0..4).map(|_| (503, json!({}))));
    let answer = call.start().await;
    assert_eq!((answer.status, answer.attempts), (503, 4));
    ingress.will_answer([(500, json!({})), (500, json!({}))]);
    let answer = call.event("call_ended").await;
    assert_eq!((answer.status, answer.attempts), (200, 3));
    ingress.will_answer([(500, json!({}))]);
    let answer = call.function("book_appointment", json!({})).await;
    assert_eq!((answer.status, answer.attempts), (500, 1));
    let attempts: Vec<_> = retell.ledger().iter().map(|entry| (entry.attempt, entry.status.unwrap())).collect();
    assert_eq!(attempts, [(1, 503), (2, 503), (3, 503), (4, 503), (1, 500), (2, 500), (3, 200), (1, 500)]);
}

#[tokio::test]
async fn no_answer_is_status_zero() {
    let (retell, ingress) = world().await;
    // A port that was just free: nobody listens there any more.
    let url = ingress.url.clone();
    drop(ingress);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while reqwest::Client::new().get(&url).send().await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "it still answers");
    }
    let mut call = retell.inbound(CALLER, SALON);
    let answer = call.function("book_appointment", json!({})).await;
    assert_eq!((answer.status, answer.body), (0, Value::Null));
    assert_eq!(retell.ledger()[0].status, None);
}

#[tokio::test]
async fn an_inbound_answer_with_a_number_as_variable_counts_as_no_answer() {
    let (retell, ingress) = world().await;
    ingress.will_answer([(200, json!({"call_inbound": {"dynamic_variables": {"n": 1}, "metadata": {"company_id": "1"}}}))]);
    let mut call = retell.inbound(CALLER, SALON);
    call.ring().await;
    assert!(call.snapshot().metadata.is_empty());
}

#[tokio::test]
async fn transfers_name_the_destination_beside_the_call_and_unconnected_calls_only_end() {
    let (retell, ingress) = world().await;
    let mut call = retell.inbound(CALLER, SALON);
    call.start().await;
    call.transfer("transfer_started", "+491713920042").await;
    let mut missed = retell.outbound(SALON, CALLER);
    missed.not_connected("dial_no_answer").await;
    let bodies = ingress.bodies();
    assert_eq!(bodies[1]["transfer_destination"]["number"], "+491713920042");
    assert_eq!(bodies[1]["event"], "transfer_started");
    assert_eq!(bodies[2]["call"]["call_status"], "not_connected");
    assert_eq!(bodies[2]["call"]["direction"], "outbound");
    assert!(bodies[2]["call"].get("start_timestamp").is_none());
}

#[tokio::test]
async fn a_call_given_as_json_is_played_and_can_be_read_and_updated_while_it_runs() {
    let (retell, ingress) = world().await;
    let http = reqwest::Client::new();
    let script = json!({"from": CALLER, "to": SALON, "call_id": "call_story", "steps": [
        {"do": "ring"}, {"do": "start"}, {"do": "say", "role": "user", "content": "Hallo"},
        {"do": "function", "name": "book_appointment", "args": {"service": "Herrenhaarschnitt"}}]});
    let played = http.post(format!("{}/admin/calls", retell.base_url)).json(&script).send().await.unwrap();
    let played: Value = played.json().await.unwrap();
    let steps: Vec<_> = played["answers"].as_array().unwrap().iter().map(|answer| answer["step"].as_str().unwrap()).collect();
    assert_eq!((&played["call_id"], steps), (&json!("call_story"), vec!["call_inbound", "call_started", "book_appointment"]));
    assert_eq!(ingress.bodies().len(), 3);

    let url = format!("{}/v2/update-live-call/call_story", retell.base_url);
    let update = json!({"override_dynamic_variables": {"state": "gebucht"}, "call_control": {"trigger_response": true}});
    assert_eq!(http.patch(&url).json(&update).send().await.unwrap().status().as_u16(), 401);
    assert_eq!(http.patch(&url).bearer_auth(KEY).json(&update).send().await.unwrap().status().as_u16(), 200);
    assert_eq!(retell.live_updates()[0].body, update);
    let get = |id: &str| http.get(format!("{}/v2/get-call/{id}", retell.base_url)).bearer_auth(KEY).send();
    let call: Value = get("call_story").await.unwrap().json().await.unwrap();
    assert_eq!(call["retell_llm_dynamic_variables"]["state"], "gebucht");
    assert_eq!(get("call_unknown").await.unwrap().status().as_u16(), 422);
    let ledger: Value = http.get(format!("{}/admin/ledger", retell.base_url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(ledger.as_array().unwrap().len(), 3);
}

/// Faults E2, E4: what became of each webhook stands in the ledger; call_inbound and functions meet no faults.
#[tokio::test]
async fn webhooks_are_lost_doubled_and_late_as_wanted_and_each_is_accounted_for() {
    let (retell, ingress) = world().await;
    let rules = vec![
        WebhookFaultRule::on_trigger(WebhookFaultKind::Lose, "call_ended"),
        WebhookFaultRule::on_trigger(WebhookFaultKind::Double { after_ms: 1, rebuilt: false }, "call_started"),
        WebhookFaultRule::on_trigger(WebhookFaultKind::Late { ms: 1 }, "call_analyzed"),
    ];
    retell.set_webhook_faults(WebhookFaults { rules, seed: Some(1) });
    let mut call = retell.inbound(CALLER, SALON);
    call.ring().await;
    call.start().await;
    call.function("book_appointment", json!({})).await;
    let lost = call.end().await;
    assert_eq!((lost.status, lost.attempts), (0, 0));
    call.analyze("Alles gut.", json!({})).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while retell.webhooks_under_way() > 0 {
        assert!(std::time::Instant::now() < deadline, "webhooks are still under way");
        tokio::task::yield_now().await;
    }
    let mut fates: Vec<_> = retell.webhooks().iter().map(|webhook| (webhook.event.clone(), webhook.fate, webhook.acknowledged)).collect();
    fates.sort();
    let fate = |event: &str, fate, acknowledged| (event.to_owned(), fate, acknowledged);
    let expected = [
        fate("call_analyzed", Fate::Late, true),
        fate("call_ended", Fate::Lost, false),
        fate("call_started", Fate::Sent, true),
        fate("call_started", Fate::Doubled, true),
    ];
    assert_eq!(fates, expected);
    assert_eq!(retell.webhooks_by_fate()[&Fate::Lost], 1);
    let mut events: Vec<_> = ingress.bodies().iter().map(|body| body["event"].as_str().unwrap_or("function").to_owned()).collect();
    events.sort();
    assert_eq!(events, ["call_analyzed", "call_inbound", "call_started", "call_started", "function"]);
}

#[tokio::test]
async fn calls_are_listed_and_requests_fail_as_wanted() {
    let (retell, _ingress) = world().await;
    let mut call = retell.inbound(CALLER, SALON).with_id("call_listed");
    call.start().await;
    call.say("user", "Hallo");
    call.end().await;
    let http = reqwest::Client::new();
    let list = || http.post(format!("{}/v3/list-calls", retell.base_url)).bearer_auth(KEY).json(&json!({"limit": 10})).send();
    retell.fail_requests([RestFault { status: 429, retry_after_seconds: Some(7) }]);
    let refused = list().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    let page: Value = list().await.unwrap().json().await.unwrap();
    assert_eq!((&page["items"][0]["call_id"], &page["has_more"]), (&json!("call_listed"), &json!(false)));
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "a renamed call is one call");
    assert!(page["items"][0].get("transcript").is_none());
    retell.forget("call_listed");
    let gone = http.get(format!("{}/v2/get-call/call_listed", retell.base_url)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 422);
    assert_eq!(retell.requests().iter().map(|request| request.failed).collect::<Vec<_>>(), [true, false, false]);
}
