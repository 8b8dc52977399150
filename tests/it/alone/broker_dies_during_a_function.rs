//! Done 7 of issue 4: the broker is killed while callers wait for a function. Each hears a sentence that is true within the deadline, and what was wished is done once the broker is
//! back, or a callback is there. Fault B1; `broker_outage` has the load.

use std::time::Duration;

use chrono::Weekday;
use dev::calcom_stand_in::{FaultKind, FaultOp, FaultRule};
use dev::retell_stand_in::{Answer, Call};
use serde_json::{Value, json};
use shared::broker::depth::Gauge;
use shared::functions::Function;
use shared::texts::lint;
use tests::world::ahead;
use tests::{World, WorldOptions, eventually, eventually_within};

const OURS: &str = "+493023125042";
/// How long Cal.com takes for the booking during which the broker dies: longer than it takes to notice that it was asked.
const CALCOM_TAKES_MS: u64 = 3_000;
const BACK_WITHIN: Duration = Duration::from_secs(180);

/// Incident 75: that nobody could be told of it made a cancellation that had worked a failed one. Here the answer cannot be told, and the change stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_during_a_function_costs_no_wish_and_nobody_hears_an_untruth() {
    let world = World::with(WorldOptions { alone: true, ..WorldOptions::default() }).await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let calls: Vec<Call> = (1..=5).map(|n| world.retell.inbound(&format!("+491511234560{n}"), OURS)).collect();
    let ids: Vec<String> = calls.iter().map(Call::id).collect();
    let [mut waits, mut books, mut cancels, mut asks, mut wants_a_call] = <[Call; 5]>::try_from(calls).ok().unwrap();
    let booked = cancels.function("book_appointment", beratung(&date, "16:00")).await.body;
    assert_eq!(booked["booked"], true, "{booked}");
    world.settle_all().await;

    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::Slow { ms: CALCOM_TAKES_MS })]);
    let wish = beratung(&date, "09:00");
    let waiting = tokio::spawn(async move { waits.function("book_appointment", wish).await });
    // whoever records Cal.com's answer waits for this lock, and so the answer cannot be told before the broker is dead
    let mut lock = world.db.begin().await.unwrap();
    eventually("the wish is recorded", || async {
        let row = "SELECT to_jsonb(1) FROM appointments WHERE status = 'requested'";
        (world.count("SELECT count(*) FROM intents WHERE state = 'sent'").await == 1 && !world.rows(row).await.is_empty()).then_some(())
    })
    .await;
    sqlx::query("SELECT 1 FROM appointments WHERE status = 'requested' FOR UPDATE").execute(&mut *lock).await.unwrap();
    world.servers.broker().kill().await.unwrap();
    lock.commit().await.unwrap();

    is_told(Function::BookAppointment, &waiting.await.unwrap());
    is_told(Function::BookAppointment, &books.function("book_appointment", beratung(&date, "10:00")).await);
    is_told(Function::CancelAppointment, &cancels.function("cancel_appointment", json!({})).await);
    is_told(Function::CheckAvailability, &asks.function("check_availability", beratung(&date, "11:00")).await);
    is_told(Function::RequestCallback, &wants_a_call.function("request_callback", json!({ "reason": "Rechnung" })).await);

    world.servers.broker().start().await.unwrap();
    eventually_within(BACK_WITHIN, "the broker takes connections", || async { Gauge::open(&world.amqp_url).await.ok() }).await.close().await;
    // four were told that somebody calls if it does not work: the wish is done, and the confirmation that they did not hear is owed
    let expected = [(&ids[0], "confirmation_owed"), (&ids[1], "confirmation_owed"), (&ids[2], "confirmation_owed"), (&ids[4], "customer_request")];
    let mut expected: Vec<Value> = expected.map(|(call, reason)| json!([call, reason])).into();
    expected.sort_by_key(ToString::to_string);
    eventually_within(BACK_WITHIN, "everybody has a callback", || async { (callbacks(&world).await.len() >= expected.len()).then_some(()) }).await;
    world.settle_all().await;
    let mut promised = callbacks(&world).await;
    promised.sort_by_key(ToString::to_string);
    assert_eq!(promised, expected);
    let appointments: Vec<Value> = world.appointments().await.iter().map(|row| row["status"].clone()).collect();
    assert_eq!(appointments, ["booked", "booked", "cancelled"], "in the order of their times");
    let mut live: Vec<_> = world.calcom.live_bookings().iter().map(|booking| booking.start).collect();
    live.sort();
    assert_eq!(live, [ahead(3, Weekday::Thu, 9, 0).0, ahead(3, Weekday::Thu, 10, 0).0]);
    assert_eq!(world.count("SELECT count(*) FROM intents").await, 4, "nothing was asked of Cal.com twice");
    world.finish().await;
}

fn beratung(date: &str, time: &str) -> Value {
    json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" })
}

async fn callbacks(world: &World) -> Vec<Value> {
    world.rows("SELECT jsonb_build_array(c.retell_call_id, r.reason) FROM callback_requests r JOIN calls c ON c.id = r.call_id WHERE r.state = 'open'").await
}

/// In time (Retell's tool gives up otherwise, and there is no answer), the function's own sentence, and nothing said to be done. A wish is kept, a question is asked again.
fn is_told(function: Function, answer: &Answer) {
    let row = function.row();
    let message = answer.body["message"].as_str().unwrap_or_default();
    assert_eq!((answer.status, answer.attempts, lint::faults(message)), (200, 1, vec![]), "{function:?}: {}", answer.body);
    assert_eq!(answer.body, json!({ "success": false, "pending": row.write, "message": row.fallback_sentence }), "{function:?}");
}
