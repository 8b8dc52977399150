//! The edges of ingress as a running process: rotation under load, limits, deadlines, stores that are away, cold starts. Issue 2, "Done when" 11.
//!
//! The status table in itself is a unit test of `ingress`; here real sockets, real processes and the operator's own command meet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dev::calcom_stand_in::sign::sign_calcom;
use dev::retell_stand_in::sign::sign_retell;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::broker::depth::Gauge;
use shared::broker::topology;
use shared::envelope::{Lane, Role};
use shared::secret::generate_master_key;
use shared::store::schema::NEEDED;
use tests::http::{self, Answer};
use tests::processes::{Process, free_port};
use tests::web_bookings::WebBookings;
use tests::world::now;
use tests::{World, WorldOptions, eventually, eventually_within, fixtures};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

const RETELL_BYTES_MAX: usize = 8 * 1024 * 1024;
const CALCOM_BYTES_MAX: usize = 1024 * 1024;
/// A new or rotated secret is honoured within this (architecture section 5).
const HONOURED_WITHIN: Duration = Duration::from_secs(2);
/// From the first byte of a head to its last.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
const SENDERS: usize = 4;

/// An ingress and nobody who consumes: what is accepted stays in its queue.
async fn world() -> World {
    World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await
}

/// Fault A5: zero rejected valid requests while rotating; a revoked secret is refused.
#[tokio::test]
async fn a_secret_rotated_under_load_costs_no_request_and_a_revoked_one_is_refused() {
    let world = world().await;
    let (stop, second) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..SENDERS).map(|n| tokio::spawn(send_until_stopped(world.calcom_url(), n, Arc::clone(&stop), Arc::clone(&second)))).collect();

    let rotated = rotate(&world, "whsec_second_0123456789", "24h").await;
    let took = honoured(&world, "whsec_second_0123456789", rotated).await;
    println!("the rotated secret was honoured after {took:?}");
    // now the provider is told, and senders change over while the first secret still counts
    second.store(true, Ordering::SeqCst);
    let with_both = accepted(&world).await;
    eventually("senders went on with the second secret", || async { (accepted(&world).await >= with_both + 200).then_some(()) }).await;
    stop.store(true, Ordering::SeqCst);
    let mut statuses = BTreeMap::<u16, usize>::new();
    for sender in senders {
        sender.await.unwrap().into_iter().for_each(|status| *statuses.entry(status).or_default() += 1);
    }
    println!("statuses under rotation: {statuses:?}");
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [204], "no valid request was refused");

    let revoked = rotate(&world, "whsec_third_0123456789", "0s").await;
    honoured(&world, "whsec_third_0123456789", revoked).await;
    for old in [fixtures::CALCOM_SECRET, "whsec_second_0123456789"] {
        assert_eq!(send_with(&world.calcom_url(), old, WebBookings::default().body(1)).await.status, 401, "a revoked secret proves nothing");
    }
    world.finish().await;
}

/// A new endpoint is as quick as a rotated secret.
#[tokio::test]
async fn a_new_endpoint_takes_requests_within_two_seconds() {
    let world = world().await;
    let account = world.company.calcom_account_id.unwrap();
    let secret = "whsec_new_0123456789".to_owned();
    let made = shared::store::endpoints::add(&world.db, &world.keyring, account, "new", &secret.clone().into()).await.unwrap();
    let (url, added) = (format!("{}/v1/calcom/{made}", world.ingress_urls[0]), Instant::now());
    let body = WebBookings::default().body(1);
    eventually("the new endpoint takes requests", || async { send_with(&url, &secret, body.clone()).await.accepted().then_some(()) }).await;
    assert!(added.elapsed() < HONOURED_WITHIN, "after {:?}", added.elapsed());
    world.finish().await;
}

/// Architecture section 5. Incident 98: unsigned requests were trusted because they came from 127.0.0.1.
#[tokio::test]
async fn the_status_table_holds_over_real_connections() {
    let world = world().await;
    let (retell, calcom) = (world.retell_url(), world.calcom_url());
    // 401: every request of this test comes from the loopback, and that is no proof of anything
    let body = fixtures::bytes("calcom/02-booking-created-ui.json");
    let unsigned = http::client().post(&calcom).body(body.clone()).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    let said = unsigned.text().await.unwrap();
    let mut refused = vec![http::post(&calcom, "x-cal-signature-256", "no-secret-provided", body.clone()).await];
    refused.push(send_with(&calcom, "whsec_of_somebody_else", body.clone()).await);
    refused.push(http::post(&retell, "x-retell-signature", "v=1,d=0", body.clone()).await);
    let stale = sign_retell(fixtures::RETELL_KEY, &body, now().timestamp_millis() - 301_000);
    refused.push(http::post(&retell, "x-retell-signature", &stale, body.clone()).await);
    for answer in &refused {
        assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (401, said.as_str()), "the same body for every cause");
    }
    // 404: unknown, of the other provider, no id at all
    for path in [
        format!("/v1/retell/{}", Uuid::now_v7()),
        format!("/v1/retell/{}", world.calcom_endpoint),
        format!("/v1/calcom/{}", world.retell_endpoint),
        "/v1/retell/x".to_owned(),
    ] {
        let answer = send_with(&format!("{}{path}", world.ingress_urls[0]), fixtures::CALCOM_SECRET, body.clone()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    // 405
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE, reqwest::Method::PATCH] {
        for url in [&retell, &calcom] {
            let status = http::client().request(method.clone(), url).body(body.clone()).send().await.unwrap().status();
            assert_eq!(status, 405, "{method}");
        }
    }
    assert_eq!(accepted(&world).await, 0);
    assert_eq!(world.queued().await, 0, "nothing of it reached the broker");
    world.finish().await;
}

/// Fault A7: the limit is accepted, one byte more is not, whether it is declared or only sent.
#[tokio::test]
async fn a_body_at_its_limit_is_accepted_and_one_byte_more_hears_413() {
    let world = world().await;
    let (retell, calcom) = (world.retell_url(), world.calcom_url());
    let retell_body = |bytes| padded(&json!({ "event": "call_ended", "call": { "call_id": "call_large" } }), bytes);
    let calcom_body = |bytes| padded(&fixtures::json("calcom/02-booking-created-ui.json"), bytes);
    let sign_call = |body: &[u8]| sign_retell(fixtures::RETELL_KEY, body, now().timestamp_millis());

    let at_limit = retell_body(RETELL_BYTES_MAX);
    assert_eq!(http::post(&retell, "x-retell-signature", &sign_call(&at_limit), at_limit).await.status, 204);
    assert_eq!(send_with(&calcom, fixtures::CALCOM_SECRET, calcom_body(CALCOM_BYTES_MAX)).await.status, 204);

    let over = retell_body(RETELL_BYTES_MAX + 1);
    assert_eq!(http::post(&retell, "x-retell-signature", &sign_call(&over), over.clone()).await.status, 413);
    let header = format!("x-retell-signature: {}", sign_call(&over));
    assert!(send_in_chunks(&retell, &header, &over).await.starts_with("HTTP/1.1 413 "), "undeclared");
    let over = calcom_body(CALCOM_BYTES_MAX + 1);
    assert_eq!(send_with(&calcom, fixtures::CALCOM_SECRET, over.clone()).await.status, 413);
    let header = format!("x-cal-signature-256: {}", sign_calcom(fixtures::CALCOM_SECRET, &over));
    assert!(send_in_chunks(&calcom, &header, &over).await.starts_with("HTTP/1.1 413 "), "undeclared");
    world.finish().await;
}

/// Fault A8: an attacker is cut at the deadline of the head; good senders do not notice.
#[tokio::test]
async fn a_head_that_does_not_end_is_cut_at_its_deadline() {
    let world = world().await;
    let began = Instant::now();
    let mut slow = connect(&world.ingress_urls[0]).await;
    slow.write_all(b"POST /v1/calcom/x HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let cut = tokio::spawn(async move {
        let mut said = Vec::new();
        // a reset is an end too
        let _ = slow.read_to_end(&mut said).await;
        began.elapsed()
    });
    let body = WebBookings::default().body(0);
    eventually("the slow one is cut", || async {
        let sent = Instant::now();
        assert_eq!(send_with(&world.calcom_url(), fixtures::CALCOM_SECRET, body.clone()).await.status, 204);
        assert!(sent.elapsed() < HEAD_DEADLINE, "a good sender waited for the slow one");
        cut.is_finished().then_some(())
    })
    .await;
    let after = cut.await.unwrap();
    assert!(after >= HEAD_DEADLINE && after < HEAD_DEADLINE + Duration::from_secs(3), "cut after {after:?}");
    world.finish().await;
}

/// With neither store nothing is accepted and nothing is promised; with the disk alone everything is, and the broker gets it later.
#[tokio::test]
async fn without_broker_and_spool_senders_hear_503_and_with_the_spool_alone_nothing_is_lost() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let away = [("AMQP_URL", format!("amqp://nobody:nothing@127.0.0.1:{}/x", free_port()))];
    let full = [away.as_slice(), &[("SPOOL_FREE_BYTES_MIN", u64::MAX.to_string())]].concat();
    let bookings = WebBookings::default();

    let neither = Ingress::start(&world, "neither", "spool-full", &full).await;
    neither.knows_its_endpoints(&world).await;
    assert_eq!(neither.ready().await, 503);
    let refused = neither.webhook(&world, bookings.body(0)).await;
    assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (503, true));
    let function = neither.function(&world).await;
    assert_eq!((function.status, function.headers.contains_key("retry-after")), (503, true));
    assert_eq!((&function.json()["success"], &function.json()["pending"]), (&json!(false), &json!(false)), "nothing is promised");
    assert!(function.json()["message"].as_str().is_some_and(|sentence| !sentence.is_empty()), "and yet the caller hears something");
    assert_eq!(neither.retell(&world, fixtures::json("retell/call_inbound.json")).await.json(), json!({ "call_inbound": {} }), "the phone rings all the same");
    assert_eq!(send_with(&neither.url("calcom", world.calcom_endpoint), "whsec_wrong", bookings.body(0)).await.status, 401, "a wrong signature is still one");
    neither.stop().await;

    let spooling = Ingress::start(&world, "spooling", "spool-only", &away).await;
    spooling.knows_its_endpoints(&world).await;
    assert_eq!(spooling.ready().await, 200, "it can accept durably");
    for n in 0..20 {
        assert_eq!(spooling.webhook(&world, bookings.body(n)).await.status, 204);
    }
    let function = spooling.function(&world).await;
    assert_eq!((function.status, &function.json()["pending"]), (200, &json!(true)), "the wish is kept, and the caller hears so");
    spooling.stop().await;

    let back = Ingress::start(&world, "back", "spool-only", &[]).await;
    let gauge = Gauge::open(&world.amqp_url).await.unwrap();
    let bulk = topology::queue(Role::Booking, Lane::Bulk);
    eventually("what was spooled is in its queue", || async { (gauge.depth(bulk.as_str()).await.unwrap() == 21).then_some(()) }).await;
    back.stop().await;
    world.start_workers(&["all"], &BTreeMap::new()).await;
    eventually("it has its effect", || async { (world.count("SELECT count(*) FROM appointments").await == 21).then_some(()) }).await;
    world.finish().await;
}

/// Architecture section 5: a cold start without Postgres works with the secrets on the disk; without them it is 503, never 401.
#[tokio::test]
async fn a_cold_start_without_postgres_uses_the_sealed_secrets_on_the_disk() {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let away = [("DATABASE_URL", format!("postgres://nobody:nothing@127.0.0.1:{}/x", free_port()))];
    let bookings = WebBookings::default();

    let first = Ingress::start(&world, "first", "spool-kept", &[]).await;
    first.knows_its_endpoints(&world).await;
    first.stop().await;
    let disk = std::fs::read_to_string(world.folder.join("spool-kept/endpoints.json")).unwrap();
    for secret in [fixtures::RETELL_KEY, fixtures::CALCOM_SECRET] {
        assert!(!disk.contains(secret) && !disk.contains(&hex::encode(secret)), "no secret lies on the disk in the clear");
    }
    let cold = Ingress::start(&world, "cold", "spool-kept", &away).await;
    assert_eq!(cold.webhook(&world, bookings.body(0)).await.status, 204);
    assert_eq!(send_with(&cold.url("calcom", world.calcom_endpoint), "whsec_wrong", bookings.body(0)).await.status, 401);
    assert_eq!(cold.ready().await, 200);
    cold.stop().await;

    let ignorant = Ingress::start(&world, "ignorant", "spool-empty", &away).await;
    let refused = ignorant.webhook(&world, bookings.body(0)).await;
    assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (503, true), "unknown is not wrong");
    assert_eq!(ignorant.ready().await, 503);
    ignorant.stop().await;
    world.finish().await;
}

/// Architecture section 5: a secret that does not open is not known, so never 401; Cal.com would not send the webhook again.
#[tokio::test]
async fn with_the_wrong_master_keys_senders_hear_503_and_ingress_is_not_ready() {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let wrong = [("MASTER_KEYS", generate_master_key("test").expose_secret().to_owned())];
    let bookings = WebBookings::default();

    let locked = Ingress::start(&world, "locked", "spool", &wrong).await;
    eventually("ingress has read its endpoints", || async { locked.process.logged().contains("do not open with MASTER_KEYS").then_some(()) }).await;
    for refused in [locked.webhook(&world, bookings.body(0)).await, locked.function(&world).await] {
        assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (503, true));
    }
    let said = http::client().get(locked.url_of("readyz")).send().await.unwrap();
    assert_eq!(said.status(), 503);
    let said = said.text().await.unwrap();
    assert!(said.contains("MASTER_KEYS"), "it says why: {said}");
    let logged = locked.process.logged();
    let errors: Vec<&str> = logged.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
    assert_eq!(errors.len(), 1, "one line, however many secrets: {errors:?}");
    assert!(errors[0].contains(r#""secrets":2"#), "{}", errors[0]);
    for secret in [fixtures::RETELL_KEY, fixtures::CALCOM_SECRET] {
        assert!(!logged.contains(secret), "ids only");
    }
    locked.stop().await;

    let mended = Ingress::start(&world, "mended", "spool", &[]).await;
    eventually("the right keys make it ready", || async { (mended.ready().await == 200).then_some(()) }).await;
    assert_eq!(mended.webhook(&world, bookings.body(0)).await.status, 204);
    mended.stop().await;
    world.finish().await;
}

/// Incidents 94 and 95: a worker that does not know the schema does not touch it. One clear line, exit code 2.
#[tokio::test]
async fn workers_refuse_an_unknown_schema_with_one_clear_line() {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let cases = [
        (
            "contracted",
            format!("INSERT INTO schema_versions (version, oldest_compatible) VALUES ({}, {})", NEEDED + 2, NEEDED + 1),
            "no longer supports programs",
        ),
        (
            "old",
            format!("UPDATE schema_versions SET oldest_compatible = 1, version = version - 10000000000 WHERE version >= {NEEDED}"),
            "run `frontdesk migrate`",
        ),
        ("missing", "DROP TABLE schema_versions".to_owned(), "run `frontdesk migrate`"),
    ];
    for (name, change, remedy) in cases {
        sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&world.db).await.unwrap();
        let mut process = Process::start(&format!("workers-{name}"), "workers", &["booking"], &world.environment(), &world.folder);
        assert_eq!(process.wait().await, Some(2), "{name}");
        let logged = process.logged();
        // the log is JSON; what is not was said to the operator
        let said: Vec<&str> = logged.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(said.len(), 1, "{name}: {logged}");
        assert!(said[0].starts_with("workers: ") && said[0].contains(remedy), "{name}: {}", said[0]);
    }
    world.finish().await;
}

/// An ingress with settings of its own, which need not become ready.
struct Ingress {
    process: Process,
    base: String,
}

impl Ingress {
    async fn start(world: &World, name: &str, spool: &str, changed: &[(&str, String)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut environment = world.environment();
        environment.insert("LISTEN".to_owned(), address.clone());
        environment.insert("SPOOL_DIR".to_owned(), world.folder.join(spool).display().to_string());
        environment.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let mut process = Process::start(&format!("ingress-{name}"), "ingress", &[], &environment, &world.folder);
        let base = format!("http://{address}");
        process.ready(&format!("{base}/healthz")).await;
        Self { process, base }
    }

    fn url(&self, provider: &str, endpoint: Uuid) -> String {
        format!("{}/v1/{provider}/{endpoint}", self.base)
    }

    async fn webhook(&self, world: &World, body: Vec<u8>) -> Answer {
        send_with(&self.url("calcom", world.calcom_endpoint), fixtures::CALCOM_SECRET, body).await
    }

    async fn retell(&self, world: &World, body: Value) -> Answer {
        let body = body.to_string().into_bytes();
        let signature = sign_retell(fixtures::RETELL_KEY, &body, now().timestamp_millis());
        http::post(&self.url("retell", world.retell_endpoint), "x-retell-signature", &signature, body).await
    }

    /// A caller books a haircut for next Thursday at nine.
    async fn function(&self, world: &World) -> Answer {
        let (_, date, _) = tests::world::ahead(3, chrono::Weekday::Thu, 9, 0);
        let mut call = world.retell.inbound("+4915112345678", "+493023125042");
        let arguments = json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" });
        let request = call.prepare_function("book_appointment", arguments);
        self.retell(world, serde_json::from_slice(&request.body).unwrap()).await
    }

    fn url_of(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    async fn ready(&self) -> u16 {
        http::client().get(self.url_of("readyz")).send().await.unwrap().status().as_u16()
    }

    /// Until it has read its endpoints from Postgres; a body that nobody signed costs nothing.
    async fn knows_its_endpoints(&self, world: &World) {
        let url = self.url("calcom", world.calcom_endpoint);
        eventually("ingress knows its endpoints", || async { (send_with(&url, "whsec_wrong", vec![b'x']).await.status == 401).then_some(()) }).await;
    }

    async fn stop(self) {
        assert_eq!(self.process.terminate().await, Some(0));
    }
}

async fn send_with(url: &str, secret: &str, body: Vec<u8>) -> Answer {
    let signature = sign_calcom(secret, &body);
    http::post(url, "x-cal-signature-256", &signature, body).await
}

/// Rotates with the operator's own command; when it had returned.
async fn rotate(world: &World, secret: &str, overlap: &str) -> Instant {
    let file = world.folder.join("secret");
    std::fs::write(&file, secret).unwrap();
    let id = world.calcom_endpoint.to_string();
    let arguments = ["endpoint", "rotate", &id, "--overlap", overlap, "--secret-file", file.to_str().unwrap()];
    let mut command = Process::start(&format!("rotate-{overlap}"), "frontdesk", &arguments, &world.environment(), &world.folder);
    assert_eq!(command.wait().await, Some(0), "{}", command.logged());
    Instant::now()
}

/// How long after `since` the secret was honoured.
async fn honoured(world: &World, secret: &str, since: Instant) -> Duration {
    let body = WebBookings::default().body(0);
    eventually_within(HONOURED_WITHIN, "the new secret is honoured", || async {
        send_with(&world.calcom_url(), secret, body.clone()).await.accepted().then_some(())
    })
    .await;
    since.elapsed()
}

/// Sends as fast as answers come; every status.
async fn send_until_stopped(url: String, sender: usize, stop: Arc<AtomicBool>, second: Arc<AtomicBool>) -> Vec<u16> {
    let bookings = WebBookings::default();
    let mut statuses = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let secret = if second.load(Ordering::SeqCst) && statuses.len() % 2 == 0 { "whsec_second_0123456789" } else { fixtures::CALCOM_SECRET };
        statuses.push(send_with(&url, secret, bookings.body(SENDERS * statuses.len() + sender + 10)).await.status);
    }
    statuses
}

/// Webhooks of Cal.com that ingress has accepted.
async fn accepted(world: &World) -> u64 {
    let text = http::client().get(format!("{}/metrics", world.ingress_urls[0])).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(r#"frontdesk_ingress_requests_total{outcome="accepted",provider="calcom"}"#));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the counter is there from the start")
}

/// The body with a last member that makes it exactly that long.
fn padded(body: &Value, bytes: usize) -> Vec<u8> {
    let mut text = body.to_string();
    text.truncate(text.len() - 1);
    text.push_str(r#","pad":""#);
    text.push_str(&"x".repeat(bytes - text.len() - 2));
    text.push_str(r#""}"#);
    assert_eq!(text.len(), bytes);
    text.into_bytes()
}

async fn connect(base: &str) -> TcpStream {
    TcpStream::connect(base.trim_start_matches("http://")).await.unwrap()
}

/// Sends a body without telling its length; the beginning of the answer.
async fn send_in_chunks(url: &str, header: &str, body: &[u8]) -> String {
    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = connect(address).await;
    let head = format!("POST /{path} HTTP/1.1\r\nhost: x\r\n{header}\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body.chunks(64 * 1024) {
        let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        // the answer may come, and the connection end, before all is sent
        if stream.write_all(&framed).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 512];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
