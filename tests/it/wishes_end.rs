//! Every wish ends, and what makes no request costs none: not a token, not the probe of an outage. What cannot be recorded, cannot be folded or cannot be carried out any more is
//! shown to a human and called back, and is not tried for ever.
//!
//! Incidents 13 and 14; faults C4, C5. Not what an answer of Cal.com means (`intent_outcomes`).

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Weekday;
use dev::calcom_stand_in::{EchoOrder, VisitorBooking};
use serde_json::json;
use shared::envelope::Lane;
use shared::store::budgets::{self, Taken};
use shared::store::intents::{self, Lease, Room};
use shared::store::tx::CompanyTx;
use tests::wishes::{self, Wish};
use tests::world::ahead;
use tests::{World, WorldOptions, eventually, schedule};
use uuid::Uuid;

const OPEN: &str = "SELECT count(*) FROM intents WHERE state IN ('waiting', 'recorded', 'sent', 'unknown')";
const LEASE: Duration = Duration::from_secs(45);

async fn quiet_world() -> World {
    World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await
}

async fn run(world: &World, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&world.db).await.unwrap();
}

/// The brake holds, and the next probe may go now.
async fn let_the_brake_hold(world: &World) {
    run(world, "UPDATE credentials SET failures_in_a_row = outage_after, probe_at = frontdesk_now(), probing = false WHERE provider = 'calcom'").await;
}

async fn lease(world: &World) -> Vec<Lease> {
    intents::lease_due(&world.db, Room { at_most: 1, at_most_bulk: 1 }, LEASE, Uuid::nil()).await.unwrap()
}

/// Wishes for a past time end without a request. In an outage each of them was the one probe, for 45 s, and Cal.com was there all the while.
#[tokio::test]
async fn wishes_that_make_no_request_are_no_probe_of_an_outage_and_cost_no_token() {
    let mut world = quiet_world().await;
    let company_id = world.company.company_id;
    wishes::record(&world, company_id, Wish::Create, "bulk", 0, 3).await;
    run(&world, "UPDATE intents SET starts_at = now() - interval '1 hour'").await;
    wishes::record(&world, company_id, Wish::Create, "bulk", 100, 1).await;
    let_the_brake_hold(&world).await;
    world.start_workers(&["calcom-sync"], &BTreeMap::new()).await;
    // three leases of 45 s are longer than this waits
    eventually("every wish has ended", || async { (world.count(OPEN).await == 0).then_some(()) }).await;
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE error_class = 'in_the_past'").await, 3);
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE state = 'confirmed'").await, 1);
    let requests = i64::try_from(world.calcom.requests().len()).unwrap();
    assert_eq!(
        (requests, world.count("SELECT tokens_taken FROM credentials WHERE provider = 'calcom'").await),
        (1, 1),
        "a token for each request, and no other"
    );
    assert_eq!(world.count("SELECT count(*) FROM credentials WHERE probe_at IS NOT NULL").await, 0, "the outage is over");
    world.finish().await;
}

/// The same at the database: a probe that is not made goes back to the others, and only from who has it.
#[tokio::test]
async fn the_probe_goes_back_from_its_holder_only() {
    let world = quiet_world().await;
    let (db, credential) = (&world.db, world.calcom_credential);
    wishes::record(&world, world.company.company_id, Wish::Create, "bulk", 0, 3).await;
    let_the_brake_hold(&world).await;
    let taken = "SELECT tokens_taken FROM credentials WHERE provider = 'calcom'";
    let first = lease(&world).await.remove(0);
    assert!(lease(&world).await.is_empty(), "one probe at a time");
    budgets::unused(db, credential, Uuid::now_v7(), 0).await.unwrap();
    assert!(lease(&world).await.is_empty(), "the probe is somebody else's");
    budgets::unused(db, credential, first.holder, 1).await.unwrap();
    assert_eq!(world.count(taken).await, 0);
    let second = lease(&world).await.remove(0);
    assert_ne!(second.intent_id, first.intent_id);
    // a further request's token, of which nobody knows whether it was taken: the probe goes back, and no token
    budgets::unused(db, credential, second.holder, 0).await.unwrap();
    assert_eq!(budgets::take_further(db, credential, Lane::Live, second.holder).await.unwrap(), Taken::Token);
    assert!(lease(&world).await.is_empty(), "that is the probe now");
    budgets::unused(db, credential, second.holder, 0).await.unwrap();
    assert_eq!(world.count(taken).await, 2);
    assert_eq!(lease(&world).await.len(), 1);
    // the bucket is never fuller than it can be, and a block is not made shorter
    budgets::unused(db, credential, first.holder, 1000).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM credentials WHERE tokens > burst OR tokens_taken <> 0").await, 0);
    budgets::block(db, credential, Duration::from_secs(60)).await.unwrap();
    budgets::unused(db, credential, first.holder, 1).await.unwrap();
    assert_eq!(world.count("SELECT tokens::bigint FROM credentials WHERE provider = 'calcom'").await, 0);
    world.finish().await;
}

/// A process that was frozen for longer than its lease has the same name as before, and may have leased the intent anew: what it still does for the old lease changes nothing.
#[tokio::test]
async fn whoever_lost_its_lease_changes_nothing_even_in_the_same_process() {
    let world = quiet_world().await;
    let company_id = world.company.company_id;
    wishes::record(&world, company_id, Wish::Create, "bulk", 0, 1).await;
    let old = lease(&world).await.remove(0);
    run(&world, "UPDATE clock_shift SET shift = shift + interval '60 seconds'").await;
    let new = lease(&world).await.remove(0);
    assert_eq!(new.intent_id, old.intent_id);
    let mut tx = CompanyTx::begin(&world.db, Some(company_id), &[]).await.unwrap();
    let id = old.intent_id;
    assert!(intents::leased(&mut tx, id, old.holder).await.unwrap().is_none(), "it sends nothing");
    let read = intents::leased(&mut tx, id, new.holder).await.unwrap().expect("the new lease holds").intent;
    assert!(!intents::fail_leased(&mut tx, id, old.holder, "late").await.unwrap());
    assert!(intents::unrecorded(&mut tx, id, old.holder).await.unwrap().is_none());
    intents::put_back(&mut tx, id, old.holder, "unknown", 0, true, "late").await.unwrap();
    intents::put_back_unsent(&mut tx, &read, old.holder, 0, "late").await.unwrap();
    intents::let_go(&mut tx, id, old.holder, 0, true).await.unwrap();
    tx.commit().await.unwrap();
    let untouched = "SELECT count(*) FROM intents WHERE state = 'recorded' AND error_class IS NULL AND unrecorded_count = 0 AND lease_until > frontdesk_now()";
    assert_eq!(world.count(untouched).await, 1);
    world.finish().await;
}

/// Incident 14: what can never be recorded was tried for ever. Here a constraint refuses one row of each wish: of the first its appointment, which the end of a wish writes,
/// too; of the second its booking.
#[tokio::test]
async fn a_wish_whose_result_cannot_be_recorded_ends_in_a_review_and_a_callback() {
    let mut world = quiet_world().await;
    wishes::record(&world, world.company.company_id, Wish::Create, "bulk", 0, 1).await;
    wishes::record(&world, world.company.company_id, Wish::Create, "bulk", 1000, 1).await;
    run(
        &world,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON appointments FOR EACH ROW WHEN (NEW.starts_at < '2028-01-10T00:00:00Z') EXECUTE FUNCTION refuse();
         CREATE TRIGGER refuse BEFORE INSERT ON calcom_bookings FOR EACH ROW WHEN (NEW.starts_at > '2028-01-10T00:00:00Z') EXECUTE FUNCTION refuse()",
    )
    .await;
    world.start_workers(&["calcom-sync"], &BTreeMap::new()).await;
    eventually("both wishes have ended", || async {
        // the pauses between the tries, which are minutes, are no matter here
        run(&world, "UPDATE intents SET due_at = frontdesk_now() WHERE lease_holder IS NULL AND state IN ('recorded', 'sent', 'unknown')").await;
        (world.count(OPEN).await == 0).then_some(())
    })
    .await;
    let ended = world
        .rows("SELECT jsonb_build_array(i.state, i.error_class, a.status) FROM intents i JOIN appointments a ON a.id = i.appointment_id ORDER BY a.starts_at")
        .await;
    assert_eq!(ended, [json!(["failed", "result_not_recorded", "requested"]), json!(["failed", "result_not_recorded", "failed"])]);
    assert_eq!(world.count("SELECT count(*) FROM reviews WHERE reason = 'result_not_recorded' AND intent_id IS NOT NULL").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE state = 'open' AND reason = 'wish_failed'").await, 1, "one of the one call");
    assert_eq!(world.calcom.bookings().len(), 2, "each was looked for and not booked again");
    assert!((schedule::metric(&world, "frontdesk_calcom_results_unrecorded_total").await - 12.0).abs() < 0.1, "six tries each");
    world.finish().await;
}

async fn visitors_book(world: &World, hours: &[u32]) {
    world.calcom.set_echo_order(EchoOrder::Lose);
    for hour in hours {
        let visitor =
            json!({ "event_type_id": 1321, "start": ahead(3, Weekday::Thu, *hour, 0).0, "name": "Anna Alt", "email": format!("anna{hour}@example.org") });
        let visitor: VisitorBooking = serde_json::from_value(visitor).unwrap();
        world.calcom.visitor_book(visitor).await.unwrap();
    }
}

/// Our rows refuse the bookings for which `condition` holds.
async fn refuse_bookings(world: &World, condition: &str) {
    let refuse = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON calcom_bookings FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse)).execute(&world.db).await.unwrap();
}

/// The pauses between the runs of a failing sweep, which are minutes, are no matter here.
async fn sweeps_without_pauses(world: &World, what: &str, condition: &str) {
    eventually(what, || async {
        run(world, "UPDATE sweeps SET not_before = NULL").await;
        let holds: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {condition}"))).fetch_one(&world.db).await.unwrap();
        holds.then_some(())
    })
    .await;
}

/// What a sweep cannot fold was a line in the log. The others of its page are folded all the same.
#[tokio::test]
async fn a_booking_that_no_sweep_can_fold_is_shown_to_a_human_once() {
    let mut world = World::with(WorldOptions::default()).await;
    schedule::start(&mut world).await;
    schedule::sweep(&world, "calcom_updates").await;
    visitors_book(&world, &[10, 11]).await;
    let refused = world.calcom.bookings().into_iter().min_by_key(|booking| booking.start).unwrap();
    refuse_bookings(&world, &format!("NEW.uid = '{}'", refused.uid)).await;
    schedule::let_time_pass(&world, 5).await;
    schedule::run(&world, "calcom_updates").await;
    eventually("the page is read again", || async { (world.count("SELECT count(*) FROM sweeps WHERE failures > 0").await == 1).then_some(()) }).await;
    assert_eq!(world.count("SELECT count(*) FROM reviews").await, 0, "a newer schema may be rolling out");
    sweeps_without_pauses(&world, "the sweep goes on without it", "NOT EXISTS (SELECT FROM sweeps WHERE wanted_at IS NOT NULL)").await;
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 1, "the other one");
    schedule::let_time_pass(&world, 1).await;
    schedule::sweep(&world, "calcom_updates").await;
    schedule::sweep(&world, "calcom_window").await;
    let reviews = world.rows("SELECT jsonb_build_array(subject, reason, details ->> 'credential_id', details -> 'calcom_booking_id') FROM reviews").await;
    assert_eq!(reviews, [json!(["booking", "sweep_left_out", world.calcom_credential, refused.id])]);
    let counted = schedule::metric(&world, "frontdesk_reconcile_left_out_total").await;
    assert!((counted - 1.0).abs() < 0.1, "no news to the sweeps after: {counted}");
    world.finish().await;
}

/// A schema that was rolling out, or a program that was wrong, made a sweep pass over everything it met, and its cursor moved on.
#[tokio::test]
async fn a_sweep_stops_where_our_rows_refuse_one_booking_after_the_other() {
    let mut world = World::with(WorldOptions::default()).await;
    schedule::start(&mut world).await;
    schedule::sweep(&world, "calcom_updates").await;
    let before = schedule::cursor(&world).await;
    visitors_book(&world, &[10, 11, 13, 14]).await;
    refuse_bookings(&world, "true").await;
    schedule::let_time_pass(&world, 5).await;
    schedule::run(&world, "calcom_updates").await;
    // more runs than one booking is waited for
    sweeps_without_pauses(&world, "it stops at each run", "EXISTS (SELECT FROM sweeps WHERE failures >= 6 AND last_error = 'fold')").await;
    assert_eq!((world.count("SELECT count(*) FROM reviews").await, schedule::cursor(&world).await), (0, before), "nothing is left out");
    run(&world, "DROP TRIGGER refuse ON calcom_bookings").await;
    sweeps_without_pauses(&world, "it goes on", "NOT EXISTS (SELECT FROM sweeps WHERE wanted_at IS NOT NULL)").await;
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 4);
    world.finish().await;
}

/// Incident 14: nobody can carry them out or look for them, and their time is over.
#[tokio::test]
async fn past_wishes_of_an_account_without_a_key_end_in_a_callback() {
    let mut world = quiet_world().await;
    schedule::start(&mut world).await;
    let ids = wishes::record(&world, world.company.company_id, Wish::Create, "bulk", 0, 3).await;
    let past = "UPDATE appointments SET starts_at = now() - interval '2 hours', ends_at = now() - interval '90 minutes' WHERE id IN (SELECT appointment_id FROM intents WHERE id = ANY ($1))";
    sqlx::query(past).bind(&ids[..2]).execute(&world.db).await.unwrap();
    let past = "UPDATE intents SET starts_at = now() - interval '2 hours', ends_at = now() - interval '90 minutes' WHERE id = ANY ($1)";
    sqlx::query(past).bind(&ids[..2]).execute(&world.db).await.unwrap();
    sqlx::query("UPDATE intents SET state = 'sent', sent_count = 1, sent_at = now() WHERE id = $1").bind(ids[1]).execute(&world.db).await.unwrap();
    assert_eq!(schedule::run(&world, "stuck_intents").await, "0 mended, 0 overdue", "calcom-sync ends them");
    run(&world, "UPDATE credentials SET disabled_at = now() WHERE provider = 'calcom'").await;
    assert_eq!(schedule::run(&world, "stuck_intents").await, "0 mended, 1 overdue, 2 ended in the past");
    let ended = world.rows("SELECT jsonb_build_array(i.state, i.error_class, a.status) FROM intents i JOIN appointments a ON a.id = i.appointment_id ORDER BY i.created_at, i.id").await;
    assert_eq!(ended, [json!(["failed", "in_the_past", "failed"]), json!(["failed", "in_the_past", "failed"]), json!(["recorded", null, "requested"])]);
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE state = 'open' AND reason = 'wish_failed'").await, 1, "one of the one call");
    assert_eq!(schedule::run(&world, "stuck_intents").await, "0 mended, 1 overdue");
    world.finish().await;
}

/// The oldest came first, and one that could not be ended stood before all others in every run. Here a constraint refuses the first one's appointment and the second one itself.
#[tokio::test]
async fn a_past_wish_that_cannot_be_ended_stops_no_other() {
    let mut world = quiet_world().await;
    schedule::start(&mut world).await;
    let ids = wishes::record(&world, world.company.company_id, Wish::Create, "bulk", 0, 3).await;
    for (n, id) in ids.iter().enumerate() {
        let due = "UPDATE intents SET due_at = now() - make_interval(hours => 9 - $2), starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour' WHERE id = $1";
        sqlx::query(due).bind(id).bind(i32::try_from(n).unwrap()).execute(&world.db).await.unwrap();
    }
    let refuse = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON appointments FOR EACH ROW WHEN (NEW.id = '{}') EXECUTE FUNCTION refuse();
         CREATE TRIGGER refuse BEFORE UPDATE ON intents FOR EACH ROW WHEN (NEW.id = '{}' AND NEW.state = 'failed') EXECUTE FUNCTION refuse();
         UPDATE credentials SET disabled_at = now() WHERE provider = 'calcom'",
        sqlx::query_scalar::<_, Uuid>("SELECT appointment_id FROM intents WHERE id = $1").bind(ids[0]).fetch_one(&world.db).await.unwrap(),
        ids[1]
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse)).execute(&world.db).await.unwrap();
    assert_eq!(schedule::run(&world, "stuck_intents").await, "failed: store_error", "it is told of");
    let ended = world
        .rows("SELECT jsonb_build_array(i.state, i.error_class, a.status) FROM intents i JOIN appointments a ON a.id = i.appointment_id ORDER BY i.due_at")
        .await;
    assert_eq!(ended, [json!(["failed", "in_the_past", "requested"]), json!(["recorded", null, "requested"]), json!(["failed", "in_the_past", "failed"])]);
    assert_eq!(
        world.count("SELECT count(*) FROM reviews WHERE reason = 'result_not_recorded' AND intent_id IS NOT NULL").await,
        1,
        "the appointment that stays as it is"
    );
    world.finish().await;
}
