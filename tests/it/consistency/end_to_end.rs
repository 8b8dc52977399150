//! Rows that real processes wrote are consistent, whatever callers, visitors and hosts did and whichever webhooks were lost; and what is broken afterwards is noticed by
//! the scheduler's daily job. The command runs as a process, as the operator's role.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc, Weekday};
use dev::calcom_stand_in::{EchoOrder, VisitorBooking, VisitorCancel, VisitorMove};
use serde_json::{Value, json};
use tests::processes::Process;
use tests::web_life::{CONFIRMED, Living, PACE, WebLife};
use tests::world::ahead;
use tests::{World, WorldOptions, company, eventually, schedule};

const CALLER: &str = "+4915112345678";
const OUR_NUMBER: &str = "+493023125042";

/// One run of the command: exit code and answer.
async fn check(world: &World, line: &[&str]) -> (Option<i32>, Value) {
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("check-{}", RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    let mut command = Process::start(&name, "frontdesk", &[&["--json", "check", "consistency"], line].concat(), &world.environment(), &world.folder);
    let code = command.wait().await;
    let said = command.logged();
    (code, serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{line:?} does not answer with JSON: {said}")))
}

/// Nothing is found, not even a warning, and every score is full over so many appointments at least.
async fn in_order(world: &World, appointments: i64) {
    world.settle_all().await;
    let (code, told) = check(world, &[]).await;
    let found: Vec<_> = told["companies"].as_array().unwrap().iter().flat_map(|company| company["found"].as_array().unwrap()).collect();
    let history = world.rows("SELECT to_jsonb(m) - 'reason' FROM appointment_modifications m ORDER BY appointment_id, occurred_at, created_at").await;
    assert!(code == Some(0) && found.is_empty(), "{found:?}\n{history:#?}");
    assert!(told["checks"][0]["examined"].as_i64().unwrap() >= appointments, "{}", told["checks"][0]);
    for score in ["population", "consistency", "audit_completeness"] {
        assert_eq!(told["scores"][score]["good"], told["scores"][score]["of"], "{score}: {told}");
        assert!(told["scores"][score]["of"].as_i64().unwrap() >= appointments, "{score}: {told}");
    }
}

fn visit(start: DateTime<Utc>) -> VisitorBooking {
    VisitorBooking { event_type_id: 1321, start, name: "Erika Musterfrau".to_owned(), email: "erika@example.org".to_owned(), phone: None, notes: String::new() }
}

async fn book(call: &mut dev::retell_stand_in::Call, date: &str, time: &str, name: &str) {
    let answer = call.function("book_appointment", json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": name })).await;
    assert_eq!(answer.body["booked"], true, "{:?}", answer.body);
}

#[tokio::test]
async fn a_life_by_phone_from_booking_over_two_moves_to_cancellation_is_consistent() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound(CALLER, OUR_NUMBER);
    call.ring().await;
    call.start().await;
    book(&mut call, &date, "09:00", "Jürgen Groß").await;
    for time in ["10:00", "14:00"] {
        let moved = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": time, "bestaetigung": true })).await;
        assert_eq!(moved.body["rescheduled"], true, "{:?}", moved.body);
    }
    in_order(&world, 1).await;
    assert_eq!(call.function("cancel_appointment", json!({ "reason": "Termin passt nicht mehr" })).await.body["cancelled"], true);
    in_order(&world, 1).await;
    world.finish().await;
}

/// Incidents 48 and 52: the daughter's appointment is explained, and a caller without number is somebody new.
#[tokio::test]
async fn appointments_for_third_persons_and_by_anonymous_callers_are_explained() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut first = world.retell.inbound(CALLER, OUR_NUMBER);
    book(&mut first, &date, "09:00", "Jürgen Groß").await;
    let mut second = world.retell.inbound(CALLER, OUR_NUMBER);
    book(&mut second, &date, "10:00", "Annegret Wiesenthal").await;
    let mut third = world.retell.inbound("anonymous", OUR_NUMBER);
    book(&mut third, &date, "11:00", "Petra Anders").await;
    in_order(&world, 3).await;
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE name_agreement = 'different'").await, 1, "there was something to explain");
    world.finish().await;
}

#[tokio::test]
async fn what_visitors_and_hosts_do_in_cal_com_is_consistent() {
    let world = World::new().await;
    let (nine, ..) = ahead(3, Weekday::Thu, 9, 0);
    let uid = world.calcom.visitor_book(visit(nine)).await.unwrap().uid;
    let uid = world.calcom.visitor_reschedule(VisitorMove { uid, start: nine + Duration::hours(1), as_host: true }).await.unwrap().uid;
    let uid = world.calcom.visitor_reschedule(VisitorMove { uid, start: nine + Duration::hours(2), as_host: false }).await.unwrap().uid;
    world.calcom.visitor_cancel(VisitorCancel { uid, reason: Some("krank".to_owned()), as_host: false }).await.unwrap();
    world.calcom.visitor_book(visit(nine + Duration::hours(4))).await.unwrap();
    eventually("all of it is recorded", || async { (world.count("SELECT count(*) FROM appointment_modifications").await == 5).then_some(()) }).await;
    in_order(&world, 2).await;
    world.finish().await;
}

/// Every kind of life of a booking in Cal.com, confirmed and rejected ones among them, told by webhooks.
#[tokio::test]
async fn many_lives_of_bookings_are_consistent() {
    let world = World::with(WorldOptions { confirm_event_types: vec![CONFIRMED], ..WorldOptions::default() }).await;
    let life = WebLife::seeded(830, 60);
    let whole = PACE * u32::try_from(life.deeds.len()).unwrap();
    schedule::let_time_pass(&world, i32::try_from(whole.as_secs() / 60).unwrap()).await;
    let mut living = Living::new(&life, &world.calcom);
    living.until(life.deeds.len()).await;
    in_order(&world, 10).await;
    world.finish().await;
}

/// Incident 3: webhooks are lost. What a sweep brings back is as complete as what was told.
#[tokio::test]
async fn what_only_a_sweep_found_is_consistent() {
    let mut world = World::new().await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    let (nine, ..) = ahead(3, Weekday::Thu, 9, 0);
    let uid = world.calcom.visitor_book(visit(nine)).await.unwrap().uid;
    world.calcom.visitor_book(visit(nine + Duration::hours(4))).await.unwrap();
    schedule::start(&mut world).await;
    schedule::let_time_pass(&world, 5).await;
    schedule::sweep(&world, "calcom_updates").await;
    eventually("both are taken over", || async { (world.count("SELECT count(*) FROM appointments").await == 2).then_some(()) }).await;
    let uid = world.calcom.visitor_reschedule(VisitorMove { uid, start: nine + Duration::hours(1), as_host: false }).await.unwrap().uid;
    world.calcom.visitor_cancel(VisitorCancel { uid, reason: None, as_host: true }).await.unwrap();
    schedule::let_time_pass(&world, 5).await;
    schedule::sweep(&world, "calcom_updates").await;
    eventually("it is cancelled", || async { (world.count("SELECT count(*) FROM appointments WHERE status = 'cancelled'").await == 1).then_some(()) }).await;
    in_order(&world, 2).await;
    world.finish().await;
}

/// A caller's booking that the host moves and the caller cancels: two origins, one history.
#[tokio::test]
async fn a_move_in_cal_com_between_two_changes_by_phone_leaves_one_timeline() {
    let world = World::new().await;
    let (nine, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound(CALLER, OUR_NUMBER);
    book(&mut call, &date, "09:00", "Jürgen Groß").await;
    let uid = world.calcom.live_bookings()[0].uid.clone();
    world.calcom.visitor_reschedule(VisitorMove { uid, start: nine + Duration::hours(2), as_host: true }).await.unwrap();
    eventually("the host's move is recorded", || async { (world.appointments().await[0]["rescheduled_count"] == 1).then_some(()) }).await;
    assert_eq!(call.function("cancel_appointment", json!({})).await.body["cancelled"], true);
    in_order(&world, 1).await;
    world.finish().await;
}

/// Two companies with the same people: what is broken is told of the company it belongs to.
#[tokio::test]
async fn a_broken_row_is_told_of_its_own_company_only() {
    let world = World::new().await;
    let other = company::other(1);
    world.add_company(&other).await;
    let (nine, ..) = ahead(3, Weekday::Thu, 9, 0);
    world.calcom.visitor_book(visit(nine)).await.unwrap();
    eventually("it is recorded", || async { (world.count("SELECT count(*) FROM appointments").await == 1).then_some(()) }).await;
    in_order(&world, 1).await;
    damage(&world, "DELETE FROM appointment_modifications").await;
    let (code, told) = check(&world, &[]).await;
    assert_eq!(code, Some(1));
    for company in told["companies"].as_array().unwrap() {
        let theirs = company["id"] != json!(world.company.company_id);
        let expected = if theirs { json!([]) } else { json!([{ "check": "booking_without_modification", "violations": 1, "first": ["#1"] }]) };
        assert_eq!(company["found"], expected);
    }
    assert_eq!(told["scores"]["audit_completeness"]["good"], 0);
    assert_eq!(check(&world, &["--company", &other.name]).await.0, Some(0));
    world.finish().await;
}

/// A hand in psql: no trigger sees it.
async fn damage(world: &World, statement: &'static str) {
    let mut tx = world.db.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL session_replication_role = replica").execute(&mut *tx).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// The line of a metric of the scheduler, wherever it runs.
async fn shown(world: &World, line: &str) -> bool {
    let url = world.worker_urls.last().unwrap();
    let answer = reqwest::get(format!("{url}/metrics")).await;
    let Ok(answer) = answer else { return false };
    answer.text().await.is_ok_and(|text| text.lines().any(|found| found == line))
}

/// The daily proof: kept, shown, and shown again by whoever leads next.
#[tokio::test]
async fn the_scheduler_checks_every_company_keeps_the_run_and_shows_it_in_metrics() {
    let mut world = World::new().await;
    let (nine, ..) = ahead(3, Weekday::Thu, 9, 0);
    world.calcom.visitor_book(visit(nine)).await.unwrap();
    eventually("it is recorded", || async { (world.count("SELECT count(*) FROM appointments").await == 1).then_some(()) }).await;
    world.settle_all().await;
    schedule::start(&mut world).await;
    assert_eq!(schedule::run(&world, "consistency").await, "0 checks found something, 0 took too long (companies: 1)");
    let in_order = r#"frontdesk_consistency_score{score="audit_completeness"} 1"#;
    assert!(shown(&world, in_order).await);

    damage(&world, "UPDATE appointments SET status = 'cancelled', import_run_id = NULL, cancelled_at = now(), cancelled_by = 'staff', cancellation_source = 'calcom_webhook', cancellation_reason = 'x'").await;
    assert_eq!(schedule::run(&world, "consistency").await, "1 checks found something, 0 took too long (companies: 1)");
    let broken = r#"frontdesk_consistency_violations{check="cancellation_without_modification",severity="critical"} 1"#;
    assert!(shown(&world, broken).await);
    assert!(shown(&world, r#"frontdesk_consistency_score{score="audit_completeness"} 0.5"#).await);
    assert_eq!(world.count("SELECT count(*) FROM check_runs WHERE kind = 'check' AND violations > 0 AND asked_by = 'schedule'").await, 1);

    let leader = world.workers.pop().unwrap();
    world.worker_urls.pop();
    assert_eq!(leader.terminate().await, Some(0));
    world.start_workers(&["scheduler"], &BTreeMap::new()).await;
    eventually("the next leader shows the newest run", || async { shown(&world, broken).await.then_some(()) }).await;
    world.finish().await;
}
