//! What a human must decide: parked with its reason, in nobody's way, shown by `frontdesk dead`, and its effect exactly once after the cause is mended.

use std::path::PathBuf;

use bytes::Bytes;
use chrono::Duration;
use serde_json::{Value, json};
use shared::broker::publish::{CONFIRM_TIMEOUT, Publisher, PublisherConfig};
use shared::broker::raw::Parked;
use shared::broker::{Destination, RawMessage, topology};
use shared::clock::Clock;
use shared::envelope::{Envelope, Kind, Lane, MessageId, Role, SCHEMA_VERSION};
use tests::processes::binaries;
use tests::world::now;
use tests::{World, eventually, fixtures};

const STRANGE_NUMBER: &str = "+493099887766";
const STRANGE_EVENT_TYPE: i64 = 99_001;
const NOT_UTF8: &[u8] = b"{\"event\":\"call_ended\",\"call\":{\"call_id\":\"\xff\"}}";

/// Incidents 42 and 44 (a tenant was guessed); faults A6 and B11.
#[tokio::test]
async fn what_cannot_be_handled_is_parked_with_its_reason_and_the_next_message_is_processed() {
    let mut world = World::new().await;
    world.expect_dead_letters();
    let publisher = publisher(&world).await;
    let mut parked: Vec<&str> = Vec::new();
    let cases = ["unreadable", "poison", "unknown_kind", "newer_schema", "unknown_number", "unknown_event_type"];
    for (n, reason) in cases.into_iter().enumerate() {
        make(&world, &publisher, reason).await;
        parked.push(reason);
        eventually(&format!("{reason} is parked"), || async { (reasons(&world, "open").await == sorted(&parked)).then_some(()) }).await;
        let call_id = format!("call_next{n}");
        assert!(world.send_retell(call_started(&call_id, "+493023125042")).await.accepted());
        eventually("the next call is recorded", || async { (calls(&world, &call_id).await == 1).then_some(()) }).await;
        assert!(world.send_calcom(created(&format!("next{n}"), 1320)).await.accepted());
        eventually("the next booking is recorded", || async { (appointments(&world, &format!("next{n}")).await == 1).then_some(()) }).await;
    }
    world.settle_all().await;
    assert_eq!(reasons(&world, "open").await, sorted(&parked));

    let kept: Vec<u8> = sqlx::query_scalar("SELECT body FROM dead_letters WHERE reason = 'unreadable'").fetch_one(&world.db).await.unwrap();
    assert_eq!(kept, NOT_UTF8, "the bytes as they came");

    let (code, told) = frontdesk(&world, &["dead", "list"]).await;
    assert_eq!(code, 0);
    for reason in parked {
        assert!(told.contains(reason), "{reason} is shown:\n{told}");
    }
    let (_, listed) = frontdesk(&world, &["--json", "dead", "list"]).await;
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), cases.len());
    for letter in &listed {
        assert!(letter["message_id"].is_string() && letter["body"].is_null(), "{letter}");
        assert!(told.contains(letter["id"].as_str().unwrap()));
    }
    for personal in tests::world::canaries() {
        assert!(!told.contains(personal), "the list shows {personal}");
    }
    publisher.close(CONFIRM_TIMEOUT).await;
    world.finish().await;
}

/// The operator adds the number and the event type and retries twice, and the provider happens to send again as well.
#[tokio::test]
async fn after_the_cause_is_mended_a_retry_has_its_effect_exactly_once() {
    let mut world = World::new().await;
    world.expect_dead_letters();
    let bodies = [("unknown_number", call_started("call_strange", STRANGE_NUMBER)), ("unknown_event_type", created("strange", STRANGE_EVENT_TYPE))];
    for (_, body) in &bodies {
        assert!(send(&world, body).await);
    }
    eventually("both are parked", || async { (reasons(&world, "open").await == ["unknown_event_type", "unknown_number"]).then_some(()) }).await;

    let number = letter(&world, "unknown_number").await;
    let (code, told) = frontdesk(&world, &["dead", "show", &number, "--body"]).await;
    assert!(code == 0 && told.contains(STRANGE_NUMBER), "the body is shown on demand");

    // too early: parked again, nothing lost and nothing half done
    assert_eq!(frontdesk(&world, &["dead", "retry", &number]).await.0, 0);
    eventually("it is parked again", || async { (reasons(&world, "open").await == ["unknown_event_type", "unknown_number"]).then_some(()) }).await;
    assert_eq!(calls(&world, "call_strange").await, 0);

    let (code, told) = frontdesk(&world, &["company", "add", "--from", second_company(&world).to_str().unwrap()]).await;
    assert_eq!(code, 0, "{told}");
    let number = letter(&world, "unknown_number").await;
    let event_type = letter(&world, "unknown_event_type").await;
    for id in [&number, &event_type] {
        assert_eq!(frontdesk(&world, &["dead", "retry", id]).await.0, 0);
        let (code, told) = frontdesk(&world, &["dead", "retry", id]).await;
        assert!(code == 1 && told.contains("retried already"), "{told}");
    }
    eventually("both have their effect", || async { (calls(&world, "call_strange").await == 1 && appointments(&world, "strange").await == 1).then_some(()) })
        .await;
    for (_, body) in &bodies {
        assert!(send(&world, body).await);
    }
    eventually("what was sent again is handled", || async { (attempts(&world, &bodies[0].1, world.retell_endpoint).await == 1).then_some(()) }).await;
    eventually("what was sent again is handled", || async { (attempts(&world, &bodies[1].1, world.calcom_endpoint).await == 1).then_some(()) }).await;
    world.settle_all().await;
    assert_eq!((calls(&world, "call_strange").await, appointments(&world, "strange").await), (1, 1));
    let modifications = world.modifications().await;
    assert_eq!(modifications.iter().map(|row| row["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["booked"]);
    assert_ne!(modifications[0]["company_id"], world.company.company_id.to_string(), "it belongs to the company that has the event type");
    assert_eq!(reasons(&world, "open").await, Vec::<String>::new());
    world.finish().await;
}

/// What only a newer version can handle is not retried by this one; a hopeless letter is parked again or discarded, never lost.
#[tokio::test]
async fn what_this_version_cannot_read_stays_open_until_one_can() {
    let mut world = World::new().await;
    world.expect_dead_letters();
    let publisher = publisher(&world).await;
    for reason in ["unknown_kind", "newer_schema", "poison"] {
        make(&world, &publisher, reason).await;
    }
    eventually("all are parked", || async { (reasons(&world, "open").await.len() == 3).then_some(()) }).await;
    let (kind, schema) = (letter(&world, "unknown_kind").await, letter(&world, "newer_schema").await);
    for (id, says) in [(&kind, "does not know"), (&schema, "newer than this program")] {
        let (code, told) = frontdesk(&world, &["dead", "retry", id]).await;
        assert!(code == 1 && told.contains(says), "{told}");
    }
    assert_eq!(frontdesk(&world, &["dead", "retry", "--all", "--reason", "poison"]).await.0, 0);
    eventually("the poison is parked again", || async {
        (reasons(&world, "retried").await == ["poison"] && reasons(&world, "open").await.len() == 3).then_some(())
    })
    .await;

    // stands for the newer version, to which both are readable
    sqlx::query("UPDATE dead_letters SET schema_version = 1, kind = 'retell.call_started' WHERE reason IN ('unknown_kind', 'newer_schema')")
        .execute(&world.db)
        .await
        .unwrap();
    for (id, call_id) in [(&kind, "call_unknown_kind"), (&schema, "call_newer_schema")] {
        assert_eq!(calls(&world, call_id).await, 0);
        assert_eq!(frontdesk(&world, &["dead", "retry", id]).await.0, 0);
        assert_eq!(frontdesk(&world, &["dead", "retry", id]).await.0, 1);
        eventually("it has its effect", || async { (calls(&world, call_id).await == 1).then_some(()) }).await;
    }
    let poison = letter(&world, "poison").await;
    assert_eq!(frontdesk(&world, &["dead", "discard", &poison]).await.0, 0);
    world.settle_all().await;
    assert_eq!(reasons(&world, "open").await, Vec::<String>::new());
    assert_eq!(world.count("SELECT count(*) FROM calls").await, 2);
    publisher.close(CONFIRM_TIMEOUT).await;
    world.finish().await;
}

/// Brings a message into the system that must be parked for that reason.
async fn make(world: &World, publisher: &Publisher, reason: &str) {
    let call_id = format!("call_{reason}");
    let calls_queue = topology::queue(Role::Calls, Lane::Bulk);
    match reason {
        "unreadable" => assert_eq!(world.send_retell(NOT_UTF8.to_vec()).await.status, 204, "authentic: a retry would not help"),
        "poison" => assert!(world.send_retell(br#"{"event":"call_ended","call":"nothing"}"#.to_vec()).await.accepted()),
        "unknown_number" => assert!(world.send_retell(call_started(&call_id, STRANGE_NUMBER)).await.accepted()),
        "unknown_event_type" => assert!(world.send_calcom(created(reason, STRANGE_EVENT_TYPE)).await.accepted()),
        "newer_schema" => {
            // it has waited out the hour that a rolling deployment may take
            let envelope = Envelope { schema_version: SCHEMA_VERSION + 1, received_at: now() - Duration::hours(2), ..envelope(world, &call_id) };
            publisher.publish(&Destination::Work(calls_queue), &envelope).await.unwrap();
        }
        "unknown_kind" => {
            let sample = envelope(world, &call_id);
            let properties = json!({
                "type": "retell.call_teleported",
                "message_id": sample.message_id.as_str(),
                "headers": { "schema-version": SCHEMA_VERSION, "attempt": 1, "received-at": now().timestamp_millis(), "endpoint": world.retell_endpoint },
            });
            let raw = RawMessage::from_parked(&Parked { properties, body: sample.body });
            publisher.publish_raw(&Destination::Work(calls_queue), &raw).await.unwrap();
        }
        other => panic!("no such case: {other}"),
    }
}

fn envelope(world: &World, call_id: &str) -> Envelope {
    let body = Bytes::from(call_started(call_id, "+493023125042"));
    Envelope {
        message_id: MessageId::of_request(world.retell_endpoint, &body),
        kind: Kind::RetellCallStarted,
        schema_version: SCHEMA_VERSION,
        endpoint: Some(world.retell_endpoint),
        received_at: now(),
        attempt: 1,
        deadline: None,
        reply_to: None,
        traceparent: None,
        caller_gone: false,
        body,
    }
}

async fn publisher(world: &World) -> Publisher {
    let config = PublisherConfig { amqp_url: world.amqp_url.clone(), connection_name: "test".into(), in_flight_max: 8, confirm_timeout: CONFIRM_TIMEOUT };
    let publisher = Publisher::start(config, Clock::system());
    publisher.watch_ready().wait_for(|ready| *ready).await.unwrap();
    publisher
}

/// A call at that number of ours; without an agent, which would be a second witness of the company.
fn call_started(call_id: &str, number: &str) -> Vec<u8> {
    let mut body = fixtures::json("retell/call_started.json");
    body["call"]["call_id"] = call_id.into();
    body["call"]["to_number"] = number.into();
    body["call"].as_object_mut().unwrap().remove("agent_id");
    serde_json::to_vec(&body).unwrap()
}

fn created(uid: &str, event_type: i64) -> Vec<u8> {
    let mut body = fixtures::json("calcom/02-booking-created-ui.json");
    body["payload"]["uid"] = uid.into();
    body["payload"]["eventTypeId"] = event_type.into();
    serde_json::to_vec(&body).unwrap()
}

async fn send(world: &World, body: &[u8]) -> bool {
    let retell = serde_json::from_slice::<Value>(body).unwrap()["call"].is_object();
    let answer = if retell { world.send_retell(body.to_vec()).await } else { world.send_calcom(body.to_vec()).await };
    answer.accepted()
}

/// A company in the demo's accounts to which the strange number and event type belong, as a document for `frontdesk company add`.
fn second_company(world: &World) -> PathBuf {
    let mut company: Value = serde_json::from_str(include_str!("../../deploy/demo/company.json")).unwrap();
    company["name"] = "Zweiter Salon".into();
    company["agents"] = json!([]);
    company["phone_numbers"] = json!([{ "e164": STRANGE_NUMBER, "branch": "Mitte", "label": "Zweiter Salon" }]);
    company["services"] = json!([company["services"][0]]);
    company["services"][0]["calcom_event_type_id"] = STRANGE_EVENT_TYPE.into();
    let path = world.folder.join("second-company.json");
    std::fs::write(&path, serde_json::to_vec(&company).unwrap()).unwrap();
    path
}

/// Runs the operator's command; exit code and what it printed.
async fn frontdesk(world: &World, arguments: &[&str]) -> (i32, String) {
    let output = tokio::process::Command::new(binaries().join("frontdesk")).args(arguments).env_clear().envs(world.environment()).output().await.unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), printed)
}

/// The newest open letter of that reason.
async fn letter(world: &World, reason: &str) -> String {
    let (code, listed) = frontdesk(world, &["--json", "dead", "list", "--reason", reason]).await;
    assert_eq!(code, 0, "{listed}");
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    listed[0]["id"].as_str().unwrap().to_owned()
}

async fn reasons(world: &World, state: &'static str) -> Vec<String> {
    sqlx::query_scalar("SELECT reason FROM dead_letters WHERE state = $1 ORDER BY reason").bind(state).fetch_all(&world.db).await.unwrap()
}

fn sorted(reasons: &[&str]) -> Vec<String> {
    let mut sorted: Vec<String> = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    sorted.sort_unstable();
    sorted
}

async fn calls(world: &World, call_id: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM calls WHERE retell_call_id = $1").bind(call_id).fetch_one(&world.db).await.unwrap()
}

async fn appointments(world: &World, uid: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM appointments WHERE calcom_uid = $1").bind(uid).fetch_one(&world.db).await.unwrap()
}

/// Successful deliveries of exactly these bytes; a retried letter has a number behind its id.
async fn attempts(world: &World, body: &[u8], endpoint: uuid::Uuid) -> i64 {
    let id = MessageId::of_request(endpoint, body);
    sqlx::query_scalar("SELECT count(*) FROM attempts WHERE message_id = $1 AND outcome = 'done'").bind(id.as_str()).fetch_one(&world.db).await.unwrap()
}
