//! Every file in `tests/fixtures`, through a running ingress and real workers: HTTP status → kind and queue → rows. A file that stands in no table fails.
//!
//! The signature vectors are in `signature_vectors.rs`, the answers of Cal.com's API in `api_answers.rs`; both lists are held complete from here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use shared::envelope::MessageId;
use tests::http::{Answer, client};
use tests::{World, eventually, fixtures};

use crate::api_answers;

/// One file that a provider sends. Rows: what its arrival adds (`+`) and takes away (`-`), in the words of [`SNAPSHOT`].
pub struct Row {
    pub file: &'static str,
    pub status: u16,
    /// Kind and queue; `None` = nothing is published.
    pub message: Option<(&'static str, &'static str)>,
    pub rows: &'static [&'static str],
}

const fn row(file: &'static str, status: u16, message: Option<(&'static str, &'static str)>, rows: &'static [&'static str]) -> Row {
    Row { file, status, message, rows }
}

/// In the order in which they are sent to one world. The Retell ones are signed anew with the same key, because their stamp must be of the last five
/// minutes; the Cal.com ones carry the headers of `signatures.json`.
pub const REQUESTS: [Row; 21] = [
    row("retell/call_inbound.json", 200, Some(("retell.call_inbound", "frontdesk.desk.live")), &[]),
    row("retell/call_started.json", 204, Some(("retell.call_started", "frontdesk.calls")), &["+call 7c1de0f4 inbound ongoing"]),
    // refused honestly until the live call's own issue builds it
    row(
        "retell/custom_function.json",
        200,
        Some(("retell.function.check_availability", "frontdesk.desk.live")),
        &["+function check_availability final without success"],
    ),
    row(
        "retell/extra_transfer_started.json",
        204,
        Some(("retell.transfer_started", "frontdesk.calls")),
        &["+call 7c1de0f4 inbound ongoing, transfer started", "-call 7c1de0f4 inbound ongoing"],
    ),
    row(
        "retell/call_ended.json",
        204,
        Some(("retell.call_ended", "frontdesk.calls")),
        &["+call 7c1de0f4 inbound ended, connected, transfer started", "-call 7c1de0f4 inbound ongoing, transfer started"],
    ),
    row(
        "retell/call_analyzed.json",
        204,
        Some(("retell.call_analyzed", "frontdesk.calls")),
        &["+call 7c1de0f4 inbound analyzed, connected, transfer started", "-call 7c1de0f4 inbound ended, connected, transfer started"],
    ),
    // outbound: our number is the one that calls
    row("retell/extra_call_ended_not_connected.json", 204, Some(("retell.call_ended", "frontdesk.calls")), &["+call 0e836281 outbound ended, not connected"]),
    row(
        "calcom/01-booking-created-api-echo.json",
        204,
        Some(("calcom.booking_created", "frontdesk.booking")),
        &[
            "+appointment 2Ntaea booked 07-06 08:00 by customer, calcom_webhook",
            "+booking 2Ntaea accepted",
            "+claim external 07-06 08:00",
            "+customer with phone",
            "+modification 2Ntaea booked by customer, calcom_webhook",
        ],
    ),
    row(
        "calcom/02-booking-created-ui.json",
        204,
        Some(("calcom.booking_created", "frontdesk.booking")),
        &[
            "+appointment sm6bhS booked 07-06 09:00 by customer, calcom_webhook",
            "+booking sm6bhS accepted",
            "+claim external 07-06 09:00",
            "+customer with e-mail",
            "+modification sm6bhS booked by customer, calcom_webhook",
        ],
    ),
    // moved by the host: a new uid, the old one superseded
    row(
        "calcom/03-booking-rescheduled.json",
        204,
        Some(("calcom.booking_rescheduled", "frontdesk.reschedule")),
        &[
            "+appointment kRsb9e booked 07-07 12:00 by customer, calcom_webhook, moved from 07-06 08:00 by staff, calcom_webhook",
            "+booking 2Ntaea superseded",
            "+booking kRsb9e accepted",
            "+claim external 07-07 12:00",
            "+modification kRsb9e rescheduled by staff, calcom_webhook",
            "-appointment 2Ntaea booked 07-06 08:00 by customer, calcom_webhook",
            "-booking 2Ntaea accepted",
            "-claim external 07-06 08:00",
        ],
    ),
    row(
        "calcom/04-booking-cancelled.json",
        204,
        Some(("calcom.booking_cancelled", "frontdesk.cancellation")),
        &[
            "+appointment kRsb9e cancelled 07-07 12:00 by customer, calcom_webhook, moved from 07-06 08:00 by staff, calcom_webhook, cancelled by customer, calcom_webhook",
            "+booking kRsb9e cancelled",
            "+modification kRsb9e cancelled by customer, calcom_webhook",
            "-appointment kRsb9e booked 07-07 12:00 by customer, calcom_webhook, moved from 07-06 08:00 by staff, calcom_webhook",
            "-booking kRsb9e accepted",
            "-claim external 07-07 12:00",
        ],
    ),
    // a cancelled booking stays cancelled, and the history says both, as it does in the other order; what the file means on its own is in OUT_OF_ORDER
    row(
        "calcom/06-booking-cancelled-request-reschedule.json",
        204,
        Some(("calcom.booking_cancelled", "frontdesk.cancellation")),
        &["+modification kRsb9e reschedule_requested by staff, calcom_webhook"],
    ),
    row(
        "calcom/07-booking-requested.json",
        204,
        Some(("calcom.booking_requested", "frontdesk.booking")),
        &[
            "+appointment pEnD1n pending 07-06 08:00 by customer, calcom_webhook",
            "+booking pEnD1n pending",
            "+claim external 07-06 08:00",
            "+modification pEnD1n booked by customer, calcom_webhook",
        ],
    ),
    // its REQUESTED was never heard of: recorded as what it is now
    row(
        "calcom/10-booking-rejected.json",
        204,
        Some(("calcom.booking_rejected", "frontdesk.cancellation")),
        &[
            "+appointment rEsReQ rejected 07-09 08:00 by customer, calcom_webhook",
            "+booking rEsReQ rejected",
            "+modification rEsReQ rejected by staff, calcom_webhook",
        ],
    ),
    row(
        "calcom/12-booking-no-show-updated.json",
        204,
        Some(("calcom.booking_no_show_updated", "frontdesk.calls")),
        &["+booking 2Ntaea superseded, no show", "+modification 2Ntaea no_show by staff, calcom_webhook", "-booking 2Ntaea superseded"],
    ),
    // a snapshot of the past: stored, no more
    row("calcom/13-meeting-ended-flat.json", 204, Some(("calcom.other", "frontdesk.calls")), &[]),
    row("calcom/14-ping-test.json", 204, None, &[]),
    // the first we hear of a seated booking: taken over, and a human looks
    row(
        "calcom/15-booking-created-second-seat.json",
        204,
        Some(("calcom.booking_created", "frontdesk.booking")),
        &[
            "+appointment sEaTeD booked 07-08 16:00 by customer, calcom_webhook",
            "+booking sEaTeD accepted",
            "+claim external 07-08 16:00",
            "+modification sEaTeD booked by customer, calcom_webhook",
            "+review seated_booking",
        ],
    ),
    // names a booking that we know: Cal.com is asked what is true
    row("calcom/17-custom-template.json", 204, Some(("calcom.other", "frontdesk.calls")), &["+intent look confirmed"]),
    row("calcom/19-no-secret.json", 401, None, &[]),
    row("calcom/21-booking-reassigned-hosted-2026.json", 204, Some(("calcom.other", "frontdesk.calls")), &["+intent look confirmed"]),
];

/// Files that are no request, and what holds them.
const NOT_A_REQUEST: [(&str, &str); 6] = [
    ("calcom/README.md", "prose"),
    ("calcom/signatures.json", "headers of the requests above; signature_vectors sends them changed"),
    ("retell/README.md", "prose"),
    ("retell/extra_call_inbound_response.json", "what we answer: the_answer_to_call_inbound_has_the_documented_shape"),
    ("retell/headers.json", "signatures of another day: the_files_are_the_bytes_that_were_signed"),
    ("retell/signatures.json", "signature_vectors, and at their own clock ingress::verify::retell"),
];

/// What the database holds, one sorted line per row that matters.
const SNAPSHOT: &str = "
    SELECT to_jsonb(line) FROM (
        SELECT concat_ws(', ', format('appointment %s %s %s by %s', left(calcom_uid, 6), status, to_char(starts_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), created_by),
            booking_source, 'moved from ' || to_char(previous_starts_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI') || ' by ' || rescheduled_by, reschedule_source,
            'cancelled by ' || cancelled_by, cancellation_source) AS line FROM appointments
        UNION ALL SELECT concat_ws(', ', format('booking %s %s', left(uid, 6), state), CASE WHEN placeholder THEN 'heard of' END, CASE WHEN no_show THEN 'no show' END) FROM calcom_bookings
        UNION ALL SELECT format('modification %s %s by %s, %s', left(calcom_uid, 6), kind, actor, source) FROM appointment_modifications
        UNION ALL SELECT format('claim %s %s', kind, to_char(lower(during) AT TIME ZONE 'UTC', 'MM-DD HH24:MI')) FROM slot_claims
        UNION ALL SELECT 'customer with ' || CASE WHEN phone IS NOT NULL THEN 'phone' WHEN email IS NOT NULL THEN 'e-mail' ELSE 'nothing' END FROM customers
        UNION ALL SELECT concat_ws(', ', format('call %s %s %s', substr(retell_call_id, 6, 8), direction, status),
            CASE WHEN connected THEN 'connected' WHEN NOT connected THEN 'not connected' END, 'transfer ' || transfer_state) FROM calls
        UNION ALL SELECT format('function %s %s %s', function, state, CASE WHEN success THEN 'with success' ELSE 'without success' END) FROM function_calls
        UNION ALL SELECT format('intent %s %s', op, state) FROM intents
        UNION ALL SELECT 'review ' || reason FROM reviews
        UNION ALL SELECT format('callback %s', reason) FROM callback_requests
        UNION ALL SELECT format('dead letter %s', reason) FROM dead_letters
    ) AS lines ORDER BY line";

/// Incidents 33 and 34; the mapping table of calcom reference 2.13.
#[tokio::test]
async fn every_request_of_the_fixtures_gets_its_status_kind_queue_and_rows() {
    let world = World::new().await;
    let mut before = snapshot(&world).await;
    for row in &REQUESTS {
        let published = publishes(&world).await;
        let answer = send(&world, row.file).await;
        assert_eq!(answer.status, row.status, "{}", row.file);
        assert_eq!(handled(&world, row).await, row.message.map(|(kind, queue)| (kind.to_owned(), queue.to_owned())), "{}", row.file);
        world.settle_all().await;
        assert_eq!(publishes(&world).await > published, row.message.is_some(), "{}: published or not", row.file);
        let after = snapshot(&world).await;
        assert_eq!(difference(&before, &after), row.rows, "{}", row.file);
        before = after;
    }
    world.finish().await;
}

/// Faults E1: Cal.com promises no order. The attendance before its booking, a move before what was moved.
#[tokio::test]
async fn the_same_facts_in_another_order_end_in_the_same_appointment() {
    let world = World::new().await;
    let no_show = "calcom/12-booking-no-show-updated.json";
    assert_eq!(send(&world, no_show).await.status, 204);
    let id = message_id(&world, no_show);
    eventually("the attendance waits for its booking", || async {
        let waits = rows_of(&world, "SELECT jsonb_build_object('class', error_class) FROM attempts WHERE message_id = $1 AND outcome = 'retry'", &id).await;
        waits.first().map(|row| assert_eq!(row["class"], "booking_not_known_yet"))
    })
    .await;
    for file in ["calcom/03-booking-rescheduled.json", "calcom/01-booking-created-api-echo.json", "calcom/06-booking-cancelled-request-reschedule.json"] {
        assert_eq!(send(&world, file).await.status, 204);
        let row = REQUESTS.iter().find(|row| row.file == file).unwrap();
        assert!(handled(&world, row).await.is_some(), "{file}");
    }
    eventually("the attendance is recorded", || async {
        let done = rows_of(&world, "SELECT jsonb_build_object('outcome', outcome) FROM attempts WHERE message_id = $1 AND outcome = 'done'", &id).await;
        (!done.is_empty()).then_some(())
    })
    .await;
    world.settle_all().await;
    assert_eq!(
        snapshot(&world).await,
        [
            "appointment kRsb9e reschedule_requested 07-07 12:00 by customer, calcom_webhook, moved from 07-06 08:00 by staff, calcom_webhook",
            "booking 2Ntaea superseded, no show",
            "booking kRsb9e reschedule_requested",
            "customer with phone",
            "modification 2Ntaea booked by customer, calcom_webhook",
            "modification 2Ntaea no_show by staff, calcom_webhook",
            "modification kRsb9e reschedule_requested by staff, calcom_webhook",
            "modification kRsb9e rescheduled by staff, calcom_webhook",
        ]
    );
    world.finish().await;
}

#[test]
fn every_file_of_the_fixtures_stands_in_exactly_one_table() {
    let mut listed: Vec<String> = REQUESTS.iter().map(|row| row.file.to_owned()).collect();
    listed.extend(NOT_A_REQUEST.iter().map(|(file, held_by)| {
        assert!(!held_by.is_empty());
        (*file).to_owned()
    }));
    listed.extend(api_answers::TABLE.iter().map(|answer| format!("calcom/{}", answer.file)));
    listed.sort_unstable();
    let mut found = Vec::new();
    walk(&fixtures::folder(), &mut found);
    found.sort_unstable();
    assert_eq!(listed, found, "left: the tables, right: tests/fixtures");
}

/// Nobody reformatted a body: `headers.json` and `signatures.json` were made over exactly these bytes.
#[test]
fn the_files_are_the_bytes_that_were_signed() {
    let retell = fixtures::json("retell/headers.json");
    assert_eq!(retell["api_key"], fixtures::RETELL_KEY);
    let mut signed = BTreeSet::new();
    for (file, headers) in retell["files"].as_object().unwrap() {
        let body = fixtures::bytes(&format!("retell/{file}"));
        assert_eq!(headers["bytes"], body.len(), "{file}");
        let signature = dev::retell_stand_in::sign::sign_retell(fixtures::RETELL_KEY, &body, headers["now_ms"].as_i64().unwrap());
        assert_eq!(headers["x-retell-signature"], signature, "{file}");
        signed.insert(format!("retell/{file}"));
    }
    for webhook in fixtures::json("calcom/signatures.json")["webhooks"].as_array().unwrap() {
        let file = format!("calcom/{}", webhook["file"].as_str().unwrap());
        assert_eq!(webhook["bytes"], fixtures::bytes(&file).len(), "{file}");
        signed.insert(file);
    }
    assert_eq!(signed, REQUESTS.iter().map(|row| row.file.to_owned()).collect::<BTreeSet<_>>());
}

/// Retell reference 3: variables are strings only, or Retell voids the whole answer; metadata comes back in every later signed body.
#[tokio::test]
async fn the_answer_to_call_inbound_has_the_documented_shape() {
    let world = World::new().await;
    let answer = send(&world, "retell/call_inbound.json").await.json();
    assert_eq!(answer["call_inbound"]["metadata"]["company_id"], world.company.company_id.to_string());
    for (whose, body) in [("the sample", fixtures::json("retell/extra_call_inbound_response.json")), ("our answer", answer)] {
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["call_inbound"], "{whose}");
        assert_eq!(body["call_inbound"].as_object().unwrap().keys().collect::<Vec<_>>(), ["dynamic_variables", "metadata"], "{whose}");
        let variables = body["call_inbound"]["dynamic_variables"].as_object().unwrap();
        assert!(!variables.is_empty() && variables.values().all(Value::is_string), "{whose}");
        assert!(body["call_inbound"]["metadata"].is_object(), "{whose}");
    }
    world.finish().await;
}

/// Sends a file as its provider does.
async fn send(world: &World, file: &str) -> Answer {
    let body = fixtures::bytes(file);
    let Some(name) = file.strip_prefix("calcom/") else { return world.send_retell(body).await };
    let signatures = fixtures::json("calcom/signatures.json");
    let webhook =
        signatures["webhooks"].as_array().unwrap().iter().find(|webhook| webhook["file"] == name).unwrap_or_else(|| panic!("{file} has no signature"));
    let mut request = client().post(world.calcom_url());
    for (header, value) in webhook["headers"].as_object().unwrap() {
        request = request.header(header, value.as_str().unwrap());
    }
    let answer = request.body(body).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, body: answer.bytes().await.unwrap().to_vec() }
}

fn message_id(world: &World, file: &str) -> String {
    let endpoint = if file.starts_with("retell/") { world.retell_endpoint } else { world.calcom_endpoint };
    MessageId::of_request(endpoint, &fixtures::bytes(file)).to_string()
}

/// Kind and queue under which a file was handled, from its attempt; its raw event is stored under the same kind. `None`: nobody heard of it.
async fn handled(world: &World, row: &Row) -> Option<(String, String)> {
    const ATTEMPTS: &str =
        "SELECT jsonb_build_object('kind', kind, 'outcome', outcome, 'queue', 'frontdesk.' || role || CASE lane WHEN 'live' THEN '.live' ELSE '' END)
        FROM attempts WHERE message_id = $1";
    let id = message_id(world, row.file);
    if row.message.is_some() {
        eventually(&format!("{} is handled", row.file), || async { (!rows_of(world, ATTEMPTS, &id).await.is_empty()).then_some(()) }).await;
    }
    let attempts = rows_of(world, ATTEMPTS, &id).await;
    let events = rows_of(world, "SELECT jsonb_build_object('kind', kind) FROM events WHERE message_id = $1", &id).await;
    assert_eq!(events.len(), attempts.len(), "{}: one delivery, one stored event: {attempts:?}", row.file);
    let attempt = attempts.first()?;
    assert_eq!((&attempt["outcome"], &attempt["kind"]), (&"done".into(), &events[0]["kind"]), "{}", row.file);
    Some((attempt["kind"].as_str()?.to_owned(), attempt["queue"].as_str()?.to_owned()))
}

async fn rows_of(world: &World, statement: &'static str, id: &str) -> Vec<Value> {
    sqlx::query_scalar(statement).bind(id).fetch_all(&world.db).await.unwrap()
}

async fn snapshot(world: &World) -> Vec<String> {
    world.rows(SNAPSHOT).await.into_iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// Lines that came (`+`) and went (`-`), sorted.
fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    after.iter().for_each(|line| *counts.entry(line).or_default() += 1);
    before.iter().for_each(|line| *counts.entry(line).or_default() -= 1);
    let mut lines = Vec::new();
    for (line, count) in counts {
        let sign = if count > 0 { '+' } else { '-' };
        (0..count.abs()).for_each(|_| lines.push(format!("{sign}{line}")));
    }
    lines.sort_unstable();
    lines
}

/// Everything that the first ingress handed to its publisher, however that ended.
pub async fn publishes(world: &World) -> u64 {
    let text = client().get(format!("{}/metrics", world.ingress_urls[0])).send().await.unwrap().text().await.unwrap();
    let counters: Vec<u64> =
        text.lines().filter(|line| line.starts_with("frontdesk_publishes_total{")).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!counters.is_empty(), "ingress counts its publishes");
    counters.iter().sum()
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path.strip_prefix(fixtures::folder()).unwrap().to_str().unwrap().to_owned());
        }
    }
}
