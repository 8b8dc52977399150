//! The same thing told twice has one effect: webhooks over two ingress processes, retried functions, echoes of our own changes before and after the answer.

use dev::calcom_stand_in::{EchoOrder, Op, sign::sign_calcom};
use dev::retell_stand_in::sign::sign_retell;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::world::{ahead, now};
use tests::{World, WorldOptions, eventually, fixtures, http};

/// How often the same webhook is sent.
const TIMES: usize = 200;
const CALLER: &str = "+4915112345678";
const OUR_NUMBER: &str = "+493023125042";

/// Incident 27: the second delivery answers 2xx with no effect, also across two ingress replicas.
#[tokio::test]
async fn the_same_webhook_two_hundred_times_over_two_ingresses_has_one_effect() {
    let world = World::with(WorldOptions { ingresses: 2, ..WorldOptions::default() }).await;
    let body = fixtures::bytes("calcom/02-booking-created-ui.json");
    let signature = sign_calcom(fixtures::CALCOM_SECRET, &body);
    let urls: Vec<String> = world.ingress_urls.iter().map(|url| format!("{url}/v1/calcom/{}", world.calcom_endpoint)).collect();
    let answers = join_all((0..TIMES).map(|n| http::post(&urls[n % urls.len()], "x-cal-signature-256", &signature, body.clone()))).await;
    let accepted = answers.iter().filter(|answer| answer.accepted()).count();
    assert_eq!(accepted, TIMES, "every one is accepted");

    // each delivery leaves an attempt, a duplicate too: only then has everything been handled
    eventually("all deliveries are handled", || async {
        (world.count("SELECT count(*) FROM attempts WHERE role = 'booking' AND outcome IN ('done', 'duplicate')").await == 200).then_some(())
    })
    .await;
    world.settle_all().await;
    assert_eq!(world.count("SELECT count(*) FROM attempts WHERE role = 'booking' AND outcome = 'done'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE role = 'booking'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications").await, 1);
    let asked = world.calcom.requests();
    assert!(asked.len() <= 1, "at most one API call: {asked:?}");
    for ingress in ["ingress-0", "ingress-1"] {
        let index = usize::from(ingress == "ingress-1");
        let metrics = http::client().get(format!("{}/metrics", world.ingress_urls[index])).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains(r#"frontdesk_ingress_requests_total{outcome="accepted",provider="calcom"} 100"#), "{ingress} took its half");
    }
    world.finish().await;
}

/// Incidents 11 and 28: Retell retried a slow function; the second attempt saw its own booking as a conflict and told the caller that it had failed.
#[tokio::test]
async fn a_function_retried_by_retell_books_once_and_every_retry_hears_the_same() {
    let world = World::with(WorldOptions { ingresses: 2, ..WorldOptions::default() }).await;
    let (start, date, _) = ahead(3, chrono::Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound(CALLER, OUR_NUMBER);
    let arguments = json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" });
    let request = call.prepare_function("book_appointment", arguments);
    let urls: Vec<String> = world.ingress_urls.iter().map(|url| format!("{url}/v1/retell/{}", world.retell_endpoint)).collect();
    let send = |n: usize, body: Vec<u8>| {
        // each attempt is signed anew
        let signature = sign_retell(fixtures::RETELL_KEY, &body, now().timestamp_millis() + i64::try_from(n).unwrap());
        let url = urls[n % urls.len()].clone();
        async move { http::post(&url, "x-retell-signature", &signature, body).await }
    };
    let at_once = join_all((0..12).map(|n| send(n, request.body.clone()))).await;
    // and later once more, byte for byte and with a longer transcript in the same call object
    let later = send(12, request.body.clone()).await;
    let mut grown: Value = serde_json::from_slice(&request.body).unwrap();
    grown["call"]["transcript"] = json!("Agent: Einen Moment.");
    let grown = send(13, serde_json::to_vec(&grown).unwrap()).await;

    let first = at_once[0].json();
    assert_eq!(first["booked"], true, "{first}");
    for answer in at_once.iter().chain([&later, &grown]) {
        assert_eq!((answer.status, answer.json()), (200, first.clone()), "every retry hears what the first heard");
    }
    world.settle_all().await;
    let live = world.calcom.live_bookings();
    assert_eq!(live.iter().map(|booking| booking.start).collect::<Vec<_>>(), [start]);
    assert_eq!(changes(&world, Op::Create), 1);
    assert_eq!(world.count("SELECT count(*) FROM api_calls WHERE operation = 'create'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM function_calls").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM reply_waiters").await, 0, "everybody who waited was answered");
    world.finish().await;
}

/// Architecture section 7, Convergence: our own echo arrives before our own answer, or after it; both end in the same rows.
#[tokio::test]
async fn echoes_before_and_after_the_answer_end_in_the_same_rows() {
    let mut seen = Vec::new();
    for order in [EchoOrder::Before, EchoOrder::After] {
        let world = World::new().await;
        world.calcom.set_echo_order(order);
        let told = life_of_an_appointment(&world).await;
        assert_order(&world, order);
        assert_eq!(world.count("SELECT count(*) FROM appointments").await, 1);
        assert_eq!(world.count("SELECT count(*) FROM calcom_bookings").await, 2, "the booking and what it was moved to");
        let kinds: Vec<Value> = world.modifications().await.iter().map(|row| row["kind"].clone()).collect();
        assert_eq!(kinds, ["booked", "rescheduled", "cancelled"]);
        let api: Vec<Op> = world.calcom.ledger().iter().map(|entry| entry.op).collect();
        assert_eq!(api, [Op::Create, Op::Reschedule, Op::Cancel], "each change was made once");
        seen.push((told, columns(&world).await));
        world.finish().await;
    }
    assert_eq!(seen[0], seen[1], "whichever comes first, the rows are the same");
    let call_changes = json!({
        "created_by": "customer", "booking_source": "retell_phone", "booked_by_user_id": null,
        "rescheduled_at": "set", "rescheduled_by": "customer", "rescheduled_by_user_id": null, "reschedule_source": "retell_api", "previous_starts_at": "09:00",
        "cancelled_at": "set", "cancelled_by": "customer", "cancelled_by_user_id": null, "cancellation_source": "retell_api", "cancellation_reason": "Termin passt nicht mehr",
    });
    assert_eq!(seen[0].1, call_changes);
}

/// Books at nine, moves to ten, cancels; each step only once the echo of the one before is handled. What the caller heard.
async fn life_of_an_appointment(world: &World) -> Vec<Value> {
    let (_, date, _) = ahead(3, chrono::Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound(CALLER, OUR_NUMBER);
    let steps = [
        ("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" }), "booked"),
        ("reschedule_appointment", json!({ "new_date": date, "new_time": "10:00", "bestaetigung": true }), "rescheduled"),
        ("cancel_appointment", json!({ "reason": "Termin passt nicht mehr" }), "cancelled"),
    ];
    let mut told = Vec::new();
    for (number, (function, arguments, done)) in (1_i64..).zip(steps) {
        let answer = call.function(function, arguments).await;
        assert_eq!((answer.status, &answer.body[done]), (200, &json!(true)), "{function}: {}", answer.body);
        told.push(answer.body["message"].clone());
        eventually("the echo is handled", || async { (world.count("SELECT count(*) FROM events WHERE kind LIKE 'calcom.%'").await == number).then_some(()) })
            .await;
    }
    world.settle_all().await;
    told
}

/// The stand-in's own sequence proves on which side of the answer each echo was taken.
fn assert_order(world: &World, order: EchoOrder) {
    let deliveries = world.calcom.deliveries();
    assert_eq!(
        deliveries.iter().map(|delivery| delivery.trigger.as_str()).collect::<Vec<_>>(),
        ["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED"]
    );
    let changes: Vec<_> = world.calcom.requests().into_iter().filter(|request| request.method == "POST").collect();
    assert_eq!(changes.len(), 3);
    for (delivery, change) in deliveries.iter().zip(&changes) {
        assert_eq!(delivery.status, Some(204));
        assert_eq!(delivery.seq < change.answered_seq, order == EchoOrder::Before, "{} against {}", delivery.trigger, change.path);
    }
}

fn changes(world: &World, op: Op) -> usize {
    world.calcom.ledger().iter().filter(|entry| entry.op == op).count()
}

/// The thirteen audit columns, with instants of this run replaced by what does not change from run to run.
async fn columns(world: &World) -> Value {
    let rows = world
        .rows(
            "SELECT jsonb_build_object('created_by', created_by, 'booking_source', booking_source, 'booked_by_user_id', booked_by_user_id,
                'rescheduled_at', CASE WHEN rescheduled_at IS NOT NULL THEN 'set' END, 'rescheduled_by', rescheduled_by, 'rescheduled_by_user_id', rescheduled_by_user_id,
                'reschedule_source', reschedule_source, 'previous_starts_at', to_char(previous_starts_at AT TIME ZONE time_zone, 'HH24:MI'),
                'cancelled_at', CASE WHEN cancelled_at IS NOT NULL THEN 'set' END, 'cancelled_by', cancelled_by, 'cancelled_by_user_id', cancelled_by_user_id,
                'cancellation_source', cancellation_source, 'cancellation_reason', cancellation_reason) FROM appointments",
        )
        .await;
    assert_eq!(rows.len(), 1);
    rows[0].clone()
}
