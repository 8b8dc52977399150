//! Done 10 of issue 2: after every fixture, a story by phone and the failures that tempt one to print a body, nothing personal stands anywhere but in the
//! rows that are for it. The canaries come from the fixtures (`tests::canaries`).

use std::path::Path;

use chrono::Weekday;
use dev::calcom_stand_in::{FaultKind, FaultOp, FaultRule};
use dev::servers::Choice;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::broker::topology;
use tests::http::{self, client};
use tests::world::{ahead, canaries};
use tests::{World, WorldOptions, eventually, fixtures, servers};

/// What providers send, as files.
fn requests() -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for provider in ["calcom", "retell"] {
        for file in std::fs::read_dir(fixtures::folder().join(provider)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let request = name.ends_with(".json")
                && !name.starts_with("api-")
                && !["signatures.json", "headers.json", "extra_call_inbound_response.json"].contains(&name.as_str());
            if request {
                found.push((provider, format!("{provider}/{name}")));
            }
        }
    }
    found.sort();
    assert!(found.len() >= 20, "{found:?}");
    found
}

async fn send(world: &World, provider: &str, body: Vec<u8>) -> http::Answer {
    if provider == "retell" { world.send_retell(body).await } else { world.send_calcom(body).await }
}

/// Sends every fixture; all are accepted.
async fn send_fixtures(world: &World) {
    let answers = requests().into_iter().map(|(provider, name)| async move { (send(world, provider, fixtures::bytes(&name)).await, name) });
    for (answer, name) in join_all(answers).await {
        assert!(answer.accepted(), "{name}: {}", answer.status);
    }
}

/// What was looked at, and what of it was found to be personal.
#[derive(Default)]
struct Search {
    places: usize,
    found: Vec<String>,
}

impl Search {
    /// `text` must not be empty: an empty place proves nothing.
    fn look(&mut self, place: &str, text: &str) {
        assert!(!text.trim().is_empty(), "{place} is empty, so looking there proves nothing");
        self.places += 1;
        for canary in canaries().iter().filter(|canary| text.contains(canary.as_str())) {
            let line = text.lines().find(|line| line.contains(canary.as_str())).unwrap_or_default();
            self.found.push(format!("{place}: {canary:?} in {}", line.chars().take(400).collect::<String>()));
        }
    }
}

const FAILED_CALLS: &str = "SELECT count(*) FROM api_calls WHERE status = 500";

/// A caller books, moves and cancels through a Cal.com that fails before and after doing; then wants a time that is gone.
async fn a_story_with_failures(world: &World) {
    let (nine, date, _) = ahead(4, Weekday::Thu, 9, 0);
    let wish = json!({ "event_type_id": 1321, "start": nine, "name": "Erika Musterfrau", "email": "erika@example.org", "notes": "Bitte Maschine 6 mm" });
    world.calcom.visitor_book(serde_json::from_value(wish).unwrap()).await.unwrap();
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    call.ring().await;
    call.start().await;
    call.say("user", "Ich möchte meinen Termin am Mittwoch um neun Uhr verschieben.");
    let booking =
        |time: &str| json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß", "notes": "Bitte Maschine 6 mm" });
    let taken = call.function("book_appointment", booking("09:00")).await;
    assert_ne!(taken.body["booked"], true, "{:?}", taken.body);
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::ErrorBefore { status: 500 })]);
    let booked = call.function("book_appointment", booking("11:00")).await;
    world.settle_all().await;
    assert_eq!(world.count(FAILED_CALLS).await, 1, "the create failed at first: {:?}", booked.body);
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Reschedule, FaultKind::ErrorAfter { status: 500 })]);
    let moved =
        call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "14:00", "bestaetigung": true, "reason": "Kunde verhindert" })).await;
    world.settle_all().await;
    assert_eq!(world.count(FAILED_CALLS).await, 2, "the move was done and answered 500: {:?}", moved.body);
    // words where dates and ids belong
    call.function("book_appointment", json!({ "date": "Jürgen Groß", "time": "Mittwoch", "service_name": "Erika Musterfrau", "customer_name": 7 })).await;
    call.function("cancel_appointment", json!({ "appointment_id": "Jürgen Groß", "date": date, "time": "14:00", "reason": "Jürgen Groß ist krank" })).await;
    call.function("wünsche_an_jürgen_groß", json!({ "name": "Jürgen Groß" })).await;
    world.settle_all().await;
}

/// Bodies that cannot be handled, each with somebody in it; the answers of ingress to what it refuses.
async fn failures(world: &World, search: &mut Search) {
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut body = fixtures::json(name);
        change(&mut body);
        serde_json::to_vec(&body).unwrap()
    };
    let created = "calcom/02-booking-created-ui.json";
    let authentic: Vec<(&str, Vec<u8>)> = vec![
        ("retell", r#"{"event":"call_ended","call":"Jürgen Groß +4915112345678"}"#.into()),
        ("retell", b"J\xc3\xbcrgen Gro\xc3\x9f \xff +4915112345678".to_vec()),
        ("retell", changed("retell/call_started.json", &|body| body["call"]["to_number"] = json!("+491713920042"))),
        // a character that no column of Postgres takes (faults A6)
        ("retell", changed("retell/call_ended.json", &|body| body["call"]["transcript"] = json!("Jürgen Groß\u{0} möchte verschieben"))),
        ("calcom", changed(created, &|body| body["payload"]["startTime"] = json!("Erika Musterfrau"))),
        ("calcom", changed(created, &|body| body["payload"]["uid"] = json!({ "name": "Erika Musterfrau" }))),
        ("calcom", changed(created, &|body| body["payload"]["eventTypeId"] = json!(99))),
        ("calcom", changed(created, &|body| body["triggerEvent"] = json!("Erika Musterfrau erika@example.org"))),
    ];
    for (provider, body) in authentic {
        let answer = send(world, provider, body).await;
        assert!(answer.accepted(), "authentic: {}", answer.status);
    }
    let body = fixtures::bytes(created);
    let refused = [
        http::post(&world.calcom_url(), "x-cal-signature-256", &"0".repeat(64), body.clone()).await,
        http::post(&world.calcom_url(), "x-cal-signature-256", "Erika Musterfrau", body.clone()).await,
        http::post(&world.retell_url(), "x-retell-signature", "v=1,d=Erika", fixtures::bytes("retell/call_ended.json")).await,
        http::post(&format!("{}/v1/calcom/Erika-Musterfrau", world.ingress_urls[0]), "x-cal-signature-256", "0", body.clone()).await,
        http::post(&format!("{}/erika@example.org", world.ingress_urls[0]), "x-cal-signature-256", "0", body).await,
    ];
    for (index, answer) in refused.iter().enumerate() {
        assert!(!answer.accepted(), "refused {index}: {}", answer.status);
        search.look(&format!("refusal {index}"), &format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body)));
    }
}

/// What our rows say about failures and calls, without what they are for: the bodies.
const ROWS: [(&str, &str); 6] = [
    ("dead_letters", "SELECT to_jsonb(d) - 'body' FROM dead_letters d"),
    ("attempts", "SELECT to_jsonb(a) FROM attempts a"),
    ("api_calls", "SELECT to_jsonb(c) FROM api_calls c"),
    ("reviews", "SELECT to_jsonb(r) FROM reviews r"),
    ("intents", "SELECT jsonb_build_object('state', state, 'error_class', error_class) FROM intents"),
    ("events", "SELECT to_jsonb(e) - 'body' FROM events e"),
];

/// Issue 2, point 10: names, numbers, addresses, spoken words and uids of the fixtures stand 0 times where they do not belong.
#[tokio::test]
async fn nothing_personal_leaves_the_rows_that_are_for_it() {
    // a verbose worker must be as silent about people as a quiet one
    let worker_environment = [("LOG_LEVEL".to_owned(), "debug".to_owned())].into();
    let mut world = World::with(WorldOptions { worker_environment, ..WorldOptions::default() }).await;
    world.expect_dead_letters();
    let mut planted = Search::default();
    planted.look("a planted line", "quiet\n{\"message\":\"booked by Musterfrau\"}");
    assert_eq!(planted.found.len(), 1, "the search finds what it looks for");
    let mut search = Search::default();
    send_fixtures(&world).await;
    a_story_with_failures(&world).await;
    failures(&world, &mut search).await;
    // something of this run that Postgres surely logs
    assert!(sqlx::query("SELECT 1 / 0").execute(&world.db).await.is_err());
    eventually("the poison is parked", || async { (world.count("SELECT count(*) FROM dead_letters").await >= 6).then_some(()) }).await;
    world.settle_all().await;
    // the people were really there
    assert!(world.count("SELECT count(*) FROM customers WHERE name IN ('Jörg Müller', 'Erika Musterfrau')").await >= 2);
    assert!(world.count("SELECT count(*) FROM calls WHERE transcript LIKE '%verschieben%'").await >= 1);

    for (index, url) in world.ingress_urls.iter().chain(&world.worker_urls).enumerate() {
        let metrics = client().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("frontdesk_"), "{url} has metrics");
        search.look(&format!("metrics of process {index}"), &metrics);
        for page in ["healthz", "readyz"] {
            search.look(&format!("{page} of process {index}"), &client().get(format!("{url}/{page}")).send().await.unwrap().text().await.unwrap());
        }
    }
    for (table, statement) in ROWS {
        search.look(table, &world.rows(statement).await.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
    }
    waiting_messages(&mut world, &mut search).await;
    for process in world.ingresses.iter().chain(&world.workers) {
        search.look(&process.name, &process.logged());
    }
    logs_of_servers(&world, &mut search);
    assert_eq!(search.found, Vec::<String>::new(), "{} places were searched", search.places);
    world.finish().await;
}

/// Stops the workers, so that messages wait in their queues, and reads what the broker knows of them besides the body.
async fn waiting_messages(world: &mut World, search: &mut Search) {
    let workers = world.workers.remove(0);
    search.look("log of the workers", &workers.logged());
    workers.terminate().await;
    send_fixtures(world).await;
    eventually("messages wait", || async { (world.queued().await >= 12).then_some(()) }).await;
    let mut messages = Vec::new();
    for queue in topology::queues() {
        let order = json!({ "count": 100, "ackmode": "ack_requeue_true", "encoding": "base64" });
        let answer = servers::manage(Method::POST, &format!("/api/queues/{}/{}/get", world.name, queue.name), Some(order)).await;
        let got: Vec<Value> = answer.json().await.unwrap();
        // the publisher's own probes carry nothing at all
        messages.extend(got.into_iter().filter(|message| message["exchange"] != topology::PROBE));
    }
    assert!(messages.len() >= 12, "{} messages were read", messages.len());
    for message in &mut messages {
        let body = message.as_object_mut().and_then(|message| message.remove("payload"));
        assert!(body.is_some_and(|body| body.as_str().is_some_and(|body| !body.is_empty())), "a message has a body: {message}");
        assert!(message["properties"]["headers"]["received-at"].is_number(), "and headers of ours: {message}");
        search.look("properties and headers", &message.to_string());
    }
}

/// Postgres' and RabbitMQ's own logs of this run, if the servers are ours to read.
fn logs_of_servers(world: &World, search: &mut Search) {
    if world.servers.choice() != Choice::Private {
        return;
    }
    let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).into_owned();
    let folder = world.servers.log_dir();
    let postgres = read(&folder.join("postgres.log"));
    assert!(postgres.contains("division by zero"), "Postgres logged our own mistake, so its log is the right one");
    search.look("Postgres' log", &postgres);
    // RabbitMQ logs warnings only; a quiet run leaves nothing
    search.look("RabbitMQ's log", &format!("RabbitMQ:\n{}", read(&folder.join("broker.log"))));
}
