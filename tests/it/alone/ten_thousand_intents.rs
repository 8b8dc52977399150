//! Done 4 of issue 3: wishes to book, a share of them moved or cancelled in the same call, uttered through the functions, against a Cal.com that commits and drops connections,
//! answers 500 after the commit, answers with old bookings, loses webhooks and lags. At least 99.5 % are confirmed, the rest failed with a callback; one live booking each, no uid
//! is shared, no token used twice; and what each caller heard is so.
//!
//! Faults C1 and rule 4; incidents 1, 2, 7, 10, 11 and 78. `FRONTDESK_FULL=1` makes it 10,000 wishes (some minutes on two quiet cores), else it is 400. The budget is
//! generous: it is about correctness, not about rates (`calcom_budget`).

mod callers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dev::calcom_stand_in::{FaultKind, FaultOp, FaultRule, ReplicaLag, WebhookFaults, Whose};
use tests::{World, WorldOptions, eventually_within};

/// The processes of calcom-sync.
const SYNCS: usize = 3;
/// A loaded machine works the last of them off in this time.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

fn wishes() -> usize {
    if std::env::var_os("FRONTDESK_FULL").is_some() { 10_000 } else { 400 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wishes_against_a_cal_com_that_lies_about_its_outcomes_are_done_once_or_called_back() {
    let roles = vec!["booking", "reschedule", "cancellation", "desk", "calls"];
    let mut world = World::with(WorldOptions { roles, calcom_rate_per_minute: 100_000, ..WorldOptions::default() }).await;
    // a dropped connection is no outage here, so the brake never holds; and no company has so many callers in a minute
    let generous =
        "UPDATE credentials SET burst = 1000, tokens = 1000, in_flight_max = 64, outage_after = 1000; UPDATE companies SET functions_per_minute = 1000000";
    sqlx::raw_sql(generous).execute(&world.db).await.unwrap();
    for _ in 0..SYNCS {
        world.start_workers(&["calcom-sync"], &BTreeMap::new()).await;
    }
    misbehave(&world);
    let began = Instant::now();
    let callers = callers::call(&world, wishes()).await;
    let uttered = began.elapsed();
    eventually_within(SETTLED_WITHIN, "every intent is settled", || async {
        (world.count("SELECT count(*) FROM intents WHERE state NOT IN ('confirmed', 'failed')").await == 0).then_some(())
    })
    .await;
    let settled = began.elapsed();
    world.settle_all().await;
    let heard = callers::counts(&callers);
    let total: usize = heard.values().sum();
    println!("{total} wishes of {} callers uttered in {uttered:.1?}, the last settled after {settled:.1?}; heard: {heard:?}", callers.len());
    print_figures(&world).await;
    assert!(total >= wishes(), "{total}");
    assert_outcomes(&world, i64::try_from(total).unwrap()).await;
    assert_one_live_booking_each(&world).await;
    callers::assert_they_heard_the_truth(&world, &callers).await;
    world.finish().await;
}

/// The first rule that applies decides, so the chances below are of what the rules above leave over.
fn misbehave(world: &World) {
    let rule = |op, kind, probability| FaultRule { op, kind, times: None, probability: Some(probability) };
    world.calcom.add_faults(vec![
        rule(FaultOp::Create, FaultKind::DropConnectionAfter, 0.30),
        rule(FaultOp::Create, FaultKind::ErrorAfter { status: 500 }, 0.14),
        rule(FaultOp::Create, FaultKind::ReplayOld { whose: Whose::SameSlot }, 0.04),
        rule(FaultOp::Create, FaultKind::ReplayOld { whose: Whose::SomebodyElse }, 0.04),
        rule(FaultOp::Create, FaultKind::ReplayOld { whose: Whose::SameAttendee }, 0.04),
        rule(FaultOp::Create, FaultKind::WrongSchema, 0.02),
        rule(FaultOp::Reschedule, FaultKind::DropConnectionAfter, 0.30),
        rule(FaultOp::Reschedule, FaultKind::ErrorAfter { status: 500 }, 0.14),
        rule(FaultOp::Reschedule, FaultKind::ReplayOld { whose: Whose::SomebodyElse }, 0.04),
        rule(FaultOp::Cancel, FaultKind::DropConnectionAfter, 0.30),
        rule(FaultOp::Cancel, FaultKind::ErrorAfter { status: 500 }, 0.14),
        rule(FaultOp::List, FaultKind::ErrorBefore { status: 502 }, 0.05),
    ]);
    world.calcom.set_webhook_faults(WebhookFaults::lose(0.5, 4));
    // scaled as the tiers and the pauses between looks are: a second is ten milliseconds
    world.calcom.set_replica_lag(Some(ReplicaLag { ms: 30, probability: Some(0.5) }));
}

async fn print_figures(world: &World) {
    println!("faults fired: {:?}", world.calcom.faults_fired());
    let figures: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT operation, coalesce(error_class, 'answered'), count(*) FROM api_calls GROUP BY 1, 2 ORDER BY 1, 3 DESC")
            .fetch_all(&world.db)
            .await
            .unwrap();
    println!("requests: {figures:?}");
    let sends: Vec<(i32, i64)> = sqlx::query_as("SELECT sent_count, count(*) FROM intents GROUP BY 1 ORDER BY 1").fetch_all(&world.db).await.unwrap();
    println!("intents by number of sends: {sends:?}");
    let failed: Vec<(Option<String>, i64)> =
        sqlx::query_as("SELECT error_class, count(*) FROM intents WHERE state = 'failed' GROUP BY 1").fetch_all(&world.db).await.unwrap();
    println!("failed, by class: {failed:?}");
}

async fn assert_outcomes(world: &World, total: i64) {
    let confirmed = world.count("SELECT count(*) FROM intents WHERE state = 'confirmed'").await;
    let failed = world.count("SELECT count(*) FROM intents WHERE state = 'failed'").await;
    println!("confirmed {confirmed} of {total}, failed {failed}");
    assert_eq!(confirmed + failed, total, "every wish has its one intent, and an end");
    assert!(confirmed * 1000 >= total * 995, "{confirmed} of {total} are fewer than 99.5 %");
    let silent = "SELECT count(*) FROM intents i WHERE state = 'failed' AND NOT EXISTS (SELECT FROM callback_requests c WHERE c.call_id = i.call_id)";
    assert_eq!(world.count(silent).await, 0, "what failed is called back");
    let said = world.count("SELECT count(*) FROM function_calls WHERE (result ->> 'success')::boolean").await;
    assert_eq!(said, confirmed, "what is called done is done");
    assert_eq!(world.count("SELECT count(*) - count(DISTINCT token) FROM intents").await, 0, "tokens are unique");
    assert_eq!(world.count("SELECT count(calcom_uid) - count(DISTINCT calcom_uid) FROM appointments").await, 0, "no uid is shared");
    let recorded = "SELECT count(*) FROM appointment_modifications WHERE kind IN ('booked', 'rescheduled', 'cancelled')";
    assert_eq!(world.count(recorded).await, confirmed, "each is recorded once");
}

/// Cal.com's own word against our rows, both ways.
async fn assert_one_live_booking_each(world: &World) {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT i.token::text, a.calcom_uid || ' ' || extract(epoch FROM a.starts_at)::bigint FROM intents i JOIN appointments a ON a.id = i.appointment_id
         WHERE i.op = 'create' AND i.state = 'confirmed' AND a.status = 'booked'",
    )
    .fetch_all(&world.db)
    .await
    .unwrap();
    let ours: BTreeSet<(String, String)> = rows.into_iter().collect();
    let live: Vec<(String, String)> = world
        .calcom
        .live_bookings()
        .into_iter()
        .map(|booking| {
            let token =
                booking.metadata.0.iter().find(|(key, _)| key == "frontdesk_intent").and_then(|(_, token)| token.as_str()).unwrap_or_default().to_owned();
            (token, format!("{} {}", booking.uid, booking.start.timestamp()))
        })
        .collect();
    assert_eq!(live.len(), ours.len(), "as many live bookings as confirmed wishes");
    assert_eq!(live.into_iter().collect::<BTreeSet<_>>(), ours, "each wish's booking is the one that its row names, at the time that was asked for");
}
