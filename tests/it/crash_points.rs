//! calcom-sync killed at every checkpoint around its call, for book, move and cancel: afterwards there is one booking (or none), recorded once.
//!
//! Faults C1 and C3, incidents 1, 2, 11 and 15. The echo is lost in most of them, so that only the intent and the search can find out what Cal.com did.

use std::collections::BTreeMap;

use chrono::Weekday;
use dev::calcom_stand_in::{EchoOrder, Op};
use dev::retell_stand_in::Call;
use serde_json::{Value, json};
use tests::world::ahead;
use tests::{World, WorldOptions, eventually};
use workers::runtime::checkpoint;

/// Every role but the one that dies.
const OTHERS: [&str; 5] = ["booking", "reschedule", "cancellation", "desk", "calls"];

/// One wish of the life of an appointment.
struct Wish {
    function: &'static str,
    arguments: Value,
    /// The field of the answer that says it is done.
    done: &'static str,
    op: Op,
    live_after: usize,
}

#[tokio::test]
async fn a_worker_killed_after_the_intent_is_marked_as_sent_repeats_nothing() {
    killed_at(checkpoint::AFTER_INTENT_COMMIT, EchoOrder::Lose).await;
}

#[tokio::test]
async fn a_worker_killed_right_before_the_call_makes_it_once() {
    killed_at(checkpoint::BEFORE_CALL, EchoOrder::Lose).await;
}

/// Fault C1: Cal.com has done it and we have seen nothing.
#[tokio::test]
async fn a_worker_killed_between_call_and_commit_finds_what_it_did() {
    killed_at(checkpoint::AFTER_CALL, EchoOrder::Lose).await;
}

#[tokio::test]
async fn a_worker_killed_between_call_and_commit_is_told_by_the_echo() {
    killed_at(checkpoint::AFTER_CALL, EchoOrder::Before).await;
}

#[tokio::test]
async fn a_worker_killed_after_the_result_is_recorded_does_nothing_again() {
    killed_at(checkpoint::AFTER_RESULT_COMMIT, EchoOrder::Lose).await;
}

async fn killed_at(checkpoint: &'static str, echoes: EchoOrder) {
    let mut world = World::with(WorldOptions { roles: OTHERS.to_vec(), ..WorldOptions::default() }).await;
    world.calcom.set_echo_order(echoes);
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let wishes = [
        Wish {
            function: "book_appointment",
            arguments: json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" }),
            done: "booked",
            op: Op::Create,
            live_after: 1,
        },
        Wish {
            function: "reschedule_appointment",
            arguments: json!({ "new_date": date, "new_time": "10:00" }),
            done: "rescheduled",
            op: Op::Reschedule,
            live_after: 1,
        },
        Wish { function: "cancel_appointment", arguments: json!({}), done: "cancelled", op: Op::Cancel, live_after: 0 },
    ];
    for (number, wish) in (1..).zip(&wishes) {
        call = die_and_recover(&mut world, checkpoint, call, wish).await;
        assert_recorded(&world, checkpoint, wish, number).await;
    }
    let kinds: Vec<Value> = world.modifications().await.iter().map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds, ["booked", "rescheduled", "cancelled"]);
    assert_eq!(world.calcom.ledger().len(), 3, "Cal.com was changed three times in all");
    assert_eq!(world.count("SELECT count(*) FROM reviews").await, 0, "nothing is left for a human");
    world.finish().await;
}

/// Utters the wish while calcom-sync dies at the checkpoint, then starts it anew once its lease is over.
async fn die_and_recover(world: &mut World, checkpoint: &'static str, mut call: Call, wish: &Wish) -> Call {
    let crashing = BTreeMap::from([(checkpoint::VARIABLE.to_owned(), checkpoint.to_owned())]);
    let doomed = world.start_workers(&["calcom-sync"], &crashing).await;
    let request = call.prepare_function(wish.function, wish.arguments.clone());
    let asking = tokio::spawn(async move {
        let answer = call.send_function(&request).await;
        (call, answer)
    });
    assert_eq!(world.workers[doomed].wait().await, None, "it ended by a signal");
    assert!(world.workers[doomed].logged().contains(checkpoint), "it died where it should");
    // the dead process' lease ends by the database's clock
    sqlx::query("UPDATE clock_shift SET shift = shift + interval '60 seconds'").execute(&world.db).await.unwrap();
    let healthy = world.start_workers(&["calcom-sync"], &BTreeMap::new()).await;
    world.settle_all().await;
    let (call, answer) = asking.await.unwrap();
    let told = &answer.body;
    assert!(answer.status == 200 && (told[wish.done] == true || told["pending"] == true), "{checkpoint}: the caller hears something true: {told}");
    // the note about a missed answer, if there was one, is handled too
    world.settle_all().await;
    world.workers[healthy].kill();
    call
}

async fn assert_recorded(world: &World, checkpoint: &str, wish: &Wish, number: usize) {
    let what = format!("{} killed at {checkpoint}", wish.function);
    let live = world.calcom.live_bookings();
    assert_eq!(live.len(), wish.live_after, "{what}: live bookings");
    let made = world.calcom.ledger().iter().filter(|entry| entry.op == wish.op).count();
    assert_eq!(made, 1, "{what}: done exactly once in Cal.com");
    let appointments = world.appointments().await;
    assert_eq!(appointments.len(), 1, "{what}: one appointment");
    let status = if wish.op == Op::Cancel { "cancelled" } else { "booked" };
    assert_eq!(appointments[0]["status"], status, "{what}");
    if let Some(live) = live.first() {
        assert_eq!(appointments[0]["calcom_uid"], live.uid.as_str(), "{what}: the row names the live booking");
        assert_eq!(appointments[0]["starts_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap(), live.start, "{what}");
    }
    let modifications = world.modifications().await;
    assert_eq!(modifications.len(), number, "{what}: one modification each");
    assert!(modifications.iter().all(|row| !row["call_id"].is_null()), "{what}: each names its call");
    let settled = i64::try_from(number).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE state = 'confirmed'").await, settled, "{what}");
    assert_eq!(world.count("SELECT count(*) FROM intents").await, settled, "{what}: no intent beside them");
    assert_eq!(world.count("SELECT count(*) FROM function_calls WHERE state = 'final' AND success").await, settled, "{what}: the answer is stored");
    // what the caller did not hear is owed: a callback with the reason, never silence
    let missed = world.count("SELECT count(*) FROM function_calls WHERE told = 'missed'").await;
    eventually("a callback for each missed answer", || async {
        (world.count("SELECT count(*) FROM callback_requests").await >= i64::from(missed > 0)).then_some(())
    })
    .await;
}
