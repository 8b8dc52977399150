//! The status table, row by row, through the router: with a broker that takes, refuses or never answers, and with a full disk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use secrecy::SecretString;
use sha2::Sha256;
use shared::broker::{PublishError, QueueName, Reply};
use shared::envelope::{Envelope, Kind};
use shared::functions::Function;
use shared::secret::{Keyring, generate_master_key};
use shared::store::endpoints::{EndpointProvider, EndpointRow, EndpointSecretRow};
use tokio::sync::watch;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;
use crate::outlet::{Outlet, Refused};
use crate::spool::SpoolConfig;

const RETELL: Uuid = Uuid::from_u128(0xa1);
const CALCOM: Uuid = Uuid::from_u128(0xb2);
const NOW_MS: i64 = 1_760_716_800_000;
const FUNCTION: &str = r#"{"name":"book_appointment","args":{"date":"2025-10-22"},"call":{"call_id":"call_1"}}"#;
const CALL_INBOUND: &str = r#"{"event":"call_inbound","call_inbound":{"from_number":"anonymous"}}"#;
const CREATED: &str = r#"{"triggerEvent":"BOOKING_CREATED","payload":{"uid":"abc"}}"#;

/// A broker of the test's own.
#[derive(Default)]
struct FakeBroker {
    published: Mutex<Vec<(String, Envelope)>>,
    away: AtomicBool,
    /// It goes away with the first message that it takes.
    goes: AtomicBool,
    /// What workers answer to requests, if they do.
    answer: Mutex<Option<&'static str>>,
    waiters: Mutex<Option<Arc<Waiters>>>,
}

impl Outlet for FakeBroker {
    fn publish<'a>(&'a self, queue: &'a QueueName, envelope: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            if self.away.load(Ordering::SeqCst) {
                return Err(Refused(Some(PublishError::Disconnected(None))));
            }
            self.published.lock().unwrap().push((queue.to_string(), envelope.clone()));
            self.away.store(self.goes.load(Ordering::SeqCst), Ordering::SeqCst);
            let answer = *self.answer.lock().unwrap();
            if let (Some(answer), Some(to)) = (answer, &envelope.reply_to) {
                let reply = Reply { correlation_id: to.correlation_id, body: Bytes::from_static(answer.as_bytes()) };
                self.waiters.lock().unwrap().as_ref().unwrap().deliver(reply);
            }
            Ok(())
        })
    }

    fn is_ready(&self) -> bool {
        !self.away.load(Ordering::SeqCst)
    }
}

struct World {
    broker: Arc<FakeBroker>,
    state: Arc<State>,
    spool: Spool,
    keyring: Keyring,
    router: Router,
    clock: Clock,
    _reply_queue: watch::Sender<Option<String>>,
    folder: tempfile::TempDir,
}

struct Setup {
    spool_bytes_max: u64,
    failures_per_second: u32,
    adopt: bool,
    body_room: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { spool_bytes_max: 1 << 26, failures_per_second: 1000, adopt: true, body_room: limits::BODY_BYTES_MAX }
    }
}

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap()
}

impl World {
    fn new(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(at(NOW_MS));
        let keyring = Keyring::parse(generate_master_key("k1").expose_secret()).unwrap();
        let endpoints = Arc::new(Endpoints::from_disk(folder.path(), keyring.clone(), setup.failures_per_second, clock.clone()));
        let config = SpoolConfig { folder: folder.path().to_owned(), bytes_max: setup.spool_bytes_max, free_bytes_min: 0 };
        let spool = Spool::open(config, Arc::new(LocalDisk)).unwrap();
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry).unwrap());
        let broker = Arc::new(FakeBroker::default());
        let (reply_queue, name) = watch::channel(Some("frontdesk.reply.test".to_owned()));
        let waiters = Arc::new(Waiters::new(name, Arc::clone(&metrics)));
        *broker.waiters.lock().unwrap() = Some(Arc::clone(&waiters));
        let short = Duration::from_millis(150);
        let state = Arc::new(State {
            endpoints,
            intake: Intake::new(Arc::clone(&broker) as Arc<dyn Outlet>, spool.clone(), Arc::clone(&metrics)),
            waiters,
            metrics,
            body_room: limits::BodyRoom::new(setup.body_room),
            in_flight: Semaphore::new(64),
            recent: limits::Recent::default(),
            clock: clock.clone(),
            deadlines: Deadlines { body: short, function: short, call_inbound: short, ..Deadlines::default() },
        });
        let router = super::router(Arc::clone(&state), registry);
        let world = Self { broker, state, spool, keyring, router, clock, _reply_queue: reply_queue, folder };
        if setup.adopt {
            world.state.endpoints.adopt(&world.rows(&[("key_x", None)]));
        }
        world
    }

    /// Both endpoints, each with these secrets.
    fn rows(&self, secrets: &[(&str, Option<DateTime<Utc>>)]) -> Vec<EndpointRow> {
        let row = |id: Uuid, provider| EndpointRow {
            id,
            provider,
            secrets: secrets
                .iter()
                .enumerate()
                .map(|(number, (secret, not_after))| {
                    let secret_id = Uuid::from_u128(id.as_u128() << 8 | number as u128);
                    let sealed = self.keyring.seal(&format!("endpoint_secrets/{secret_id}"), &SecretString::from(*secret)).unwrap();
                    EndpointSecretRow::new(secret_id, *not_after, sealed)
                })
                .collect(),
        };
        vec![row(RETELL, EndpointProvider::Retell), row(CALCOM, EndpointProvider::Calcom)]
    }

    /// A secret whose ciphertext is bound to another row: it does not open.
    fn sealed_elsewhere(&self, not_after: Option<DateTime<Utc>>) -> EndpointSecretRow {
        let sealed = self.keyring.seal("endpoint_secrets/other", &SecretString::from("key_y")).unwrap();
        EndpointSecretRow::new(Uuid::from_u128(5), not_after, sealed)
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    fn published(&self) -> Vec<(String, Envelope)> {
        self.broker.published.lock().unwrap().clone()
    }

    /// Brings the broker back and lets the spool drain.
    async fn drained(&self) -> Vec<(String, Envelope)> {
        self.broker.away.store(false, Ordering::SeqCst);
        let mut blocked = std::collections::HashMap::new();
        while spool::drain::drain_round(&self.spool, self.broker.as_ref(), &mut blocked).await {}
        self.published()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
    retry_after: bool,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status.as_u16(), body: String::from_utf8(body.to_vec()).unwrap(), retry_after: parts.headers.contains_key(header::RETRY_AFTER) }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn mac(key: &str, parts: [&[u8]; 2]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    parts.into_iter().for_each(|part| mac.update(part));
    hex::encode(mac.finalize().into_bytes())
}

fn post_to(path: String, headers: &[(&str, String)], body: impl Into<Body>) -> Request<Body> {
    let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, value));
    request.body(body.into()).unwrap()
}

fn retell_with(key: &str, body: impl AsRef<[u8]>) -> Request<Body> {
    let body = body.as_ref().to_vec();
    let header = format!("v={NOW_MS},d={}", mac(key, [&body, NOW_MS.to_string().as_bytes()]));
    post_to(format!("/v1/retell/{RETELL}"), &[("x-retell-signature", header)], body)
}

fn retell(body: impl AsRef<[u8]>) -> Request<Body> {
    retell_with("key_x", body)
}

fn calcom_with(key: &str, body: impl AsRef<[u8]>) -> Request<Body> {
    let body = body.as_ref().to_vec();
    post_to(format!("/v1/calcom/{CALCOM}"), &[("x-cal-signature-256", mac(key, [&body, &[]]))], body)
}

fn calcom(body: impl AsRef<[u8]>) -> Request<Body> {
    calcom_with("key_x", body)
}

/// A body that must not be asked for.
fn unread() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> { panic!("the body was read") }))
}

#[tokio::test]
async fn an_authentic_webhook_is_confirmed_and_hears_204() {
    let world = World::new(Setup::default());
    assert_eq!(world.send(calcom(CREATED)).await.status, 204);
    assert_eq!(world.send(retell(r#"{"event":"call_ended","call":{}}"#)).await.status, 204);
    let published = world.published();
    let seen: Vec<_> = published.iter().map(|(queue, envelope)| (queue.as_str(), envelope.kind)).collect();
    assert_eq!(seen, [("frontdesk.booking", Kind::CalcomBookingCreated), ("frontdesk.calls", Kind::RetellCallEnded)]);
    let envelope = &published[0].1;
    assert_eq!(envelope.body, CREATED.as_bytes());
    assert_eq!(envelope.message_id, shared::envelope::MessageId::of_request(CALCOM, CREATED.as_bytes()));
    assert_eq!((envelope.endpoint, envelope.received_at, envelope.attempt, envelope.caller_gone), (Some(CALCOM), at(NOW_MS), 1, false));
    assert!(envelope.traceparent.is_some());
}

#[tokio::test]
async fn every_unproven_request_hears_the_same_401_and_publishes_nothing() {
    let world = World::new(Setup::default());
    let retell_path = || format!("/v1/retell/{RETELL}");
    let calcom_path = || format!("/v1/calcom/{CALCOM}");
    let old = NOW_MS - 300_001;
    let stale = format!("v={old},d={}", mac("key_x", [b"{}", old.to_string().as_bytes()]));
    let right = || ("x-cal-signature-256", mac("key_x", [b"{}", &[]]));
    let requests = [
        post_to(retell_path(), &[], "{}"),
        post_to(retell_path(), &[("x-retell-signature", "nonsense".to_owned())], "{}"),
        post_to(retell_path(), &[("x-retell-signature", stale)], "{}"),
        retell_with("another key", "{}"),
        post_to(calcom_path(), &[], "{}"),
        post_to(calcom_path(), &[("x-cal-signature-256", "no-secret-provided".to_owned())], "{}"),
        post_to(calcom_path(), &[right(), right()], "{}"),
        calcom_with("another key", "{}"),
    ];
    let first = world.send(post_to(calcom_path(), &[], "{}")).await;
    assert_eq!((first.status, first.retry_after), (401, false));
    for request in requests {
        assert_eq!(world.send(request).await, first);
    }
    assert!(world.published().is_empty());
}

#[tokio::test]
async fn an_unknown_endpoint_hears_404_and_its_body_is_not_read() {
    let world = World::new(Setup::default());
    let elsewhere = Uuid::from_u128(0xc3);
    for path in [format!("/v1/retell/{elsewhere}"), format!("/v1/retell/{CALCOM}"), format!("/v1/calcom/{RETELL}"), "/v1/calcom/x".to_owned()] {
        assert_eq!(world.send(post_to(path.clone(), &[], unread())).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn another_method_hears_405_and_another_path_404() {
    let world = World::new(Setup::default());
    for method in ["GET", "PUT", "DELETE"] {
        let request = Request::builder().method(method).uri(format!("/v1/retell/{RETELL}")).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, 405, "{method}");
    }
    assert_eq!(world.send(post_to("/v1/other".to_owned(), &[], "")).await.status, 404);
}

#[tokio::test]
async fn a_body_over_its_route_s_limit_hears_413() {
    let world = World::new(Setup::default());
    for (path, limit) in [(format!("/v1/retell/{RETELL}"), 8 << 20), (format!("/v1/calcom/{CALCOM}"), 1 << 20)] {
        let length = ("content-length", (limit + 1).to_string());
        assert_eq!(world.send(post_to(path, &[length], unread())).await.status, 413);
    }
    // Signed and undeclared: the limit holds while reading.
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(world.send(calcom(&body)).await.status, 413);
    let exactly = format!(r#"{{"a":"{}"}}"#, "x".repeat((1 << 20) - 8));
    assert_eq!(world.send(calcom(&exactly)).await.status, 204);
    assert_eq!(world.published().len(), 1);
}

#[tokio::test]
async fn many_failing_signatures_hear_429_and_authentic_requests_never_do() {
    let world = World::new(Setup { failures_per_second: 5, ..Setup::default() });
    let mut heard = Vec::new();
    for _ in 0..12 {
        heard.push(world.send(calcom_with("another key", CREATED)).await);
    }
    let (refused, limited): (Vec<_>, Vec<_>) = heard.iter().partition(|answer| answer.status == 401);
    assert_eq!((refused.len(), limited.len()), (10, 2));
    assert!(limited.iter().all(|answer| answer.status == 429 && answer.retry_after));
    assert_eq!(world.send(calcom(CREATED)).await.status, 204);
    // Another endpoint has a budget of its own.
    assert_eq!(world.send(retell_with("another key", "{}")).await.status, 401);
    world.clock.advance(chrono::Duration::seconds(1));
    assert_eq!(world.send(calcom_with("another key", CREATED)).await.status, 401);
}

#[tokio::test]
async fn before_any_secret_is_known_requests_hear_503_never_401() {
    let world = World::new(Setup { adopt: false, ..Setup::default() });
    let answer = world.send(calcom_with("another key", CREATED)).await;
    assert_eq!((answer.status, answer.retry_after), (503, true));
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(world.send(get("/healthz")).await.status, 200);
    let ready = world.send(get("/readyz")).await;
    assert_eq!((ready.status, ready.body.contains("endpoint secrets")), (503, true));
    world.state.endpoints.adopt(&[]);
    assert_eq!(world.send(get("/readyz")).await.status, 200);
}

#[tokio::test]
async fn while_the_broker_is_away_the_disk_takes_it_and_the_queue_gets_it_later() {
    let world = World::new(Setup::default());
    world.broker.away.store(true, Ordering::SeqCst);
    assert_eq!(world.send(calcom(CREATED)).await.status, 204);
    assert_eq!((world.published().len(), world.spool.held().records), (0, 1));
    let drained = world.drained().await;
    assert_eq!((drained[0].0.as_str(), &drained[0].1.body[..]), ("frontdesk.booking", CREATED.as_bytes()));
}

#[tokio::test]
async fn when_neither_broker_nor_disk_takes_it_the_sender_hears_503() {
    let world = World::new(Setup { spool_bytes_max: 0, ..Setup::default() });
    world.broker.away.store(true, Ordering::SeqCst);
    for request in [calcom(CREATED), retell(r#"{"event":"call_ended","call":{}}"#)] {
        let answer = world.send(request).await;
        assert_eq!((answer.status, answer.retry_after), (503, true));
    }
    let function = world.send(retell(FUNCTION)).await;
    assert_eq!((function.status, function.retry_after, function.json()["success"].as_bool()), (503, true, Some(false)));
    // A ringing phone is not kept waiting by anything.
    let inbound = world.send(retell(CALL_INBOUND)).await;
    assert_eq!((inbound.status, inbound.body.as_str()), (200, r#"{"call_inbound":{}}"#));
    let ready = world.send(Request::get("/readyz").body(Body::empty()).unwrap()).await;
    assert_eq!(ready.status, 503);
}

#[tokio::test]
async fn a_ping_is_counted_and_goes_nowhere() {
    let world = World::new(Setup::default());
    let ping = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/calcom/14-ping-test.json")).unwrap();
    assert_eq!(world.send(calcom(ping)).await.status, 204);
    assert!(world.published().is_empty());
    assert_eq!(world.state.metrics.pings.get(), 1);
}

#[tokio::test]
async fn an_authentic_body_that_nobody_can_read_is_parked_with_2xx() {
    let world = World::new(Setup::default());
    for body in [&b"false"[..], b"", b"{\"event\":\"\xff\"}", b"\xef\xbb\xbf{\"event\":\"call_started\"}", b"a=b"] {
        assert_eq!(world.send(calcom(body)).await.status, 204);
        assert_eq!(world.send(retell(body)).await.status, 204);
    }
    let published = world.published();
    assert_eq!(published.len(), 10);
    assert!(published.iter().all(|(queue, envelope)| queue == "frontdesk.unrouted" && matches!(envelope.kind, Kind::CalcomOther | Kind::RetellOther)));
}

#[tokio::test]
async fn a_function_that_sends_arguments_only_is_parked_and_hears_why() {
    let world = World::new(Setup::default());
    let answer = world.send(retell(r#"{"date":"2025-10-22"}"#)).await;
    assert_eq!((answer.status, answer.json()["success"].as_bool()), (200, Some(false)));
    assert!(answer.json()["error"].as_str().unwrap().contains("args_at_root"));
    assert_eq!(world.published()[0].0, "frontdesk.unrouted");
}

#[tokio::test]
async fn a_function_hears_exactly_what_the_worker_replied() {
    let world = World::new(Setup::default());
    *world.broker.answer.lock().unwrap() = Some(r#"{"success":true,"message":"Angefragt."}"#);
    let answer = world.send(retell(FUNCTION)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"success":true,"message":"Angefragt."}"#));
    let (queue, envelope) = &world.published()[0];
    assert_eq!((queue.as_str(), envelope.kind), ("frontdesk.booking.live", Kind::RetellFunction(Function::BookAppointment)));
    assert_eq!(envelope.deadline, Some(at(NOW_MS + 150)));
    assert_eq!(envelope.reply_to.as_ref().unwrap().queue, "frontdesk.reply.test");
    assert_eq!(world.state.metrics.waiters.get(), 0);
}

#[tokio::test]
async fn a_function_without_an_answer_hears_its_sentence_and_the_workers_hear_that() {
    let world = World::new(Setup::default());
    let answer = world.send(retell(FUNCTION)).await;
    let sentence = Function::BookAppointment.row().fallback_sentence;
    assert_eq!(answer.json(), serde_json::json!({ "success": false, "pending": true, "message": sentence }));
    let published = world.published();
    assert_eq!(published[0].0, "frontdesk.booking.live");
    let (queue, note) = &published[1];
    assert_eq!((queue.as_str(), note.kind), ("frontdesk.calls", Kind::FunctionAnswerMissed));
    let note: serde_json::Value = serde_json::from_slice(&note.body).unwrap();
    assert_eq!(note["message_id"], published[0].1.message_id.as_str());
    assert_eq!((note["function"].as_str(), note["sentence"].as_str()), (Some("book_appointment"), Some(sentence)));
    assert_eq!(world.state.metrics.answers_missed.get(), 1);
}

#[tokio::test]
async fn a_function_while_the_broker_is_away_is_carried_out_later_and_the_caller_hears_a_true_sentence() {
    let world = World::new(Setup::default());
    world.broker.away.store(true, Ordering::SeqCst);
    let answer = world.send(retell(FUNCTION)).await;
    assert_eq!((answer.status, answer.json()["pending"].as_bool()), (200, Some(true)));
    let drained = world.drained().await;
    let (queue, envelope) = &drained[0];
    assert_eq!((queue.as_str(), envelope.caller_gone, envelope.reply_to.is_none()), ("frontdesk.booking", true, true));
    // Retell's retry of a wish whose first copy is worked on: that copy does not know what the caller heard now
    let kinds: Vec<_> = drained.iter().map(|(queue, envelope)| (queue.as_str(), envelope.kind)).collect();
    assert_eq!(kinds[1..], [("frontdesk.calls", Kind::FunctionAnswerMissed)]);
}

/// The wish is with the workers, and that its caller heard no result is with nobody: a promised callback would never come.
#[tokio::test]
async fn a_caller_whose_missed_answer_cannot_be_noted_is_promised_no_callback() {
    let world = World::new(Setup { spool_bytes_max: 0, ..Setup::default() });
    world.broker.goes.store(true, Ordering::SeqCst);
    let answer = world.send(retell(FUNCTION)).await;
    assert_eq!(world.published().len(), 1, "the wish alone");
    assert_eq!((answer.status, answer.json()["pending"].as_bool(), answer.json()["reason"].as_str()), (200, Some(true), Some("ask_again")));
    assert!(answer.json()["message"].as_str().unwrap().contains("noch einmal an"));
}

/// A read leaves no result, so a note about its missed answer could only become a dead letter.
#[tokio::test]
async fn a_read_without_an_answer_leaves_nothing_but_its_sentence() {
    for name in ["check_availability", "a_function_that_nobody_knows"] {
        let world = World::new(Setup::default());
        let request = || retell(serde_json::json!({ "name": name, "args": {}, "call": { "call_id": "call_1" } }).to_string());
        let sentence = Function::by_tool_name(name).map_or(shared::functions::UNKNOWN_FUNCTION_SENTENCE, |function| function.row().fallback_sentence);
        let expected = serde_json::json!({ "success": false, "pending": false, "message": sentence });
        let answer = world.send(request()).await;
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{name}");
        let queues: Vec<_> = world.published().into_iter().map(|(queue, _)| queue).collect();
        assert_eq!(queues, ["frontdesk.desk.live"], "{name}: no note");
        world.broker.away.store(true, Ordering::SeqCst);
        let answer = world.send(request()).await;
        assert_eq!((answer.status, answer.json(), world.spool.held().records), (200, expected, 0), "{name}: nothing for later");
        assert_eq!(world.state.metrics.answers_missed.get(), 2);
    }
}

#[tokio::test]
async fn call_inbound_fails_open_when_nobody_answers() {
    let world = World::new(Setup::default());
    let answer = world.send(retell(CALL_INBOUND)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"call_inbound":{}}"#));
    assert_eq!(world.published()[0].0, "frontdesk.desk.live");
    *world.broker.answer.lock().unwrap() = Some(r#"{"call_inbound":{"metadata":{}}}"#);
    assert_eq!(world.send(retell(CALL_INBOUND)).await.body, r#"{"call_inbound":{"metadata":{}}}"#);
}

#[tokio::test]
async fn during_a_rotation_both_secrets_are_live_and_a_dropped_one_is_not() {
    let world = World::new(Setup::default());
    world.state.endpoints.adopt(&world.rows(&[("key_x", Some(at(NOW_MS + 60_000))), ("key_y", None)]));
    assert_eq!(world.send(calcom_with("key_x", CREATED)).await.status, 204);
    assert_eq!(world.send(calcom_with("key_y", CREATED)).await.status, 204);
    assert_eq!(world.state.metrics.repeated.get(), 1);
    world.clock.advance(chrono::Duration::seconds(60));
    assert_eq!(world.send(calcom_with("key_x", CREATED)).await.status, 401);
    world.state.endpoints.adopt(&world.rows(&[("key_z", None)]));
    assert_eq!(world.send(calcom_with("key_y", CREATED)).await.status, 401);
    // An empty secret proves nothing.
    world.state.endpoints.adopt(&world.rows(&[("", None)]));
    assert_eq!(world.send(calcom_with("", CREATED)).await.status, 401);
}

/// With wrong MASTER_KEYS a 401 would lose authentic webhooks: Cal.com never sends them again (architecture section 5).
#[tokio::test]
async fn an_endpoint_of_which_no_live_secret_opens_hears_503_and_only_all_of_them_make_ingress_not_ready() {
    let world = World::new(Setup::default());
    let ready = || world.send(Request::get("/readyz").body(Body::empty()).unwrap());
    let mut rows = world.rows(&[("key_x", None)]);
    // sealed for another row, and counting for a minute more
    rows[1].secrets = vec![world.sealed_elsewhere(Some(at(NOW_MS + 60_000)))];
    world.state.endpoints.adopt(&rows);
    for request in [calcom(CREATED), calcom_with("another key", CREATED), post_to(format!("/v1/calcom/{CALCOM}"), &[], unread())] {
        let answer = world.send(request).await;
        assert_eq!((answer.status, answer.retry_after), (503, true));
    }
    assert_eq!(world.send(retell(r#"{"event":"call_ended","call":{}}"#)).await.status, 204, "another endpoint is as it was");
    assert_eq!(ready().await.status, 200, "one endpoint that was set up with other keys does not take the whole process out");
    rows[0].secrets = vec![world.sealed_elsewhere(Some(at(NOW_MS + 60_000)))];
    world.state.endpoints.adopt(&rows);
    let answer = ready().await;
    assert_eq!((answer.status, answer.body.contains("MASTER_KEYS")), (503, true), "{}", answer.body);
    // A secret that has ended hides nothing any more.
    world.clock.advance(chrono::Duration::seconds(60));
    assert_eq!((world.send(calcom(CREATED)).await.status, ready().await.status), (401, 200));
}

/// In a rotation the one secret opens, the other does not: what the first has not signed may still be authentic.
#[tokio::test]
async fn beside_a_secret_that_does_not_open_a_mismatch_is_a_doubt_and_no_401() {
    let world = World::new(Setup { failures_per_second: 1, ..Setup::default() });
    let mut rows = world.rows(&[("key_x", None)]);
    rows[1].secrets.push(world.sealed_elsewhere(None));
    world.state.endpoints.adopt(&rows);
    assert_eq!(world.send(calcom(CREATED)).await.status, 204, "the secret that opens still proves");
    for _ in 0..5 {
        let answer = world.send(calcom_with("key_y", CREATED)).await;
        assert_eq!((answer.status, answer.retry_after), (503, true));
    }
    let unsigned = post_to(format!("/v1/calcom/{CALCOM}"), &[], CREATED);
    assert_eq!(world.send(unsigned).await.status, 401, "no secret could make this right");
    let ready = world.send(Request::get("/readyz").body(Body::empty()).unwrap()).await;
    assert_eq!(ready.status, 200, "the endpoint still takes requests");
}

#[tokio::test]
async fn after_a_cold_start_without_postgres_the_sealed_copy_on_the_disk_is_in_force() {
    let world = World::new(Setup::default());
    world.state.endpoints.keep(&world.rows(&[("key_x", None)])).unwrap();
    let again = Endpoints::from_disk(world.folder.path(), world.keyring.clone(), 10, world.clock.clone());
    assert_eq!((again.are_loaded(), again.count(), again.age_seconds()), (true, 2, -1));
    let text = std::fs::read_to_string(world.folder.path().join("endpoints.json")).unwrap();
    assert!(!text.contains("key_x"));
    let other_ring = Keyring::parse(generate_master_key("k1").expose_secret()).unwrap();
    let locked_out = Endpoints::from_disk(world.folder.path(), other_ring, 10, world.clock.clone());
    assert_eq!((locked_out.count(), locked_out.locked()), (2, 2));
}

#[tokio::test]
async fn when_no_room_for_bodies_becomes_free_the_sender_hears_503() {
    let world = World::new(Setup { body_room: 100, ..Setup::default() });
    let _others = world.state.body_room.take(100).await.unwrap();
    let answer = world.send(calcom(CREATED)).await;
    assert_eq!((answer.status, answer.retry_after), (503, true));
}

#[tokio::test]
async fn no_answer_and_no_metric_shows_what_was_sent() {
    let world = World::new(Setup::default());
    world.send(calcom(r#"{"triggerEvent":"BOOKING_CREATED","payload":{"uid":"Erika Musterfrau"}}"#)).await;
    let refused = world.send(calcom_with("another key", r#"{"a":"Erika Musterfrau"}"#)).await;
    assert!(!refused.body.contains("Erika"));
    let metrics = world.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(metrics.body.contains(r#"frontdesk_ingress_requests_total{outcome="accepted",provider="calcom"} 1"#), "{}", metrics.body);
    assert!(!metrics.body.contains("Erika") && !metrics.body.contains(&CALCOM.to_string()));
}
