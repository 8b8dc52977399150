//! `frontdesk job` and `frontdesk sweep`, end to end: what an operator asks for is done by the real scheduler and the real calcom-sync, and the lists tell of it.
//! The commands run as processes, as the operator's role.

use dev::calcom_stand_in::{EchoOrder, VisitorBooking};
use serde_json::Value;
use shared::store::schema;
use tests::processes::Process;
use tests::world::ahead;
use tests::{World, WorldOptions, eventually, schedule};

/// One run of the command: exit code and its answer.
async fn frontdesk(world: &World, line: &[&str]) -> (Option<i32>, Value) {
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("frontdesk-{}", RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    let mut command = Process::start(&name, "frontdesk", &[&["--json"], line].concat(), &world.environment(), &world.folder);
    let code = command.wait().await;
    let said = command.logged();
    (code, serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{line:?} does not answer with JSON: {said}")))
}

/// The row of a list in which that field has that value.
async fn row(world: &World, list: &str, field: &str, value: &str) -> Value {
    let (code, rows) = frontdesk(world, &[list, "list"]).await;
    assert_eq!(code, Some(0));
    rows.as_array().unwrap().iter().find(|row| row[field] == value).unwrap_or_else(|| panic!("no {value} in {rows}")).clone()
}

async fn job(world: &World) -> Value {
    row(world, "job", "name", "partitions").await
}

#[tokio::test]
async fn a_job_that_the_operator_asks_for_is_run_by_the_scheduler_and_one_that_is_paused_rests() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    assert_eq!(frontdesk(&world, &["job", "run", "nothing_of_that_name"]).await.0, Some(1));

    // paused or not, it is run when somebody asks
    let day: String = sqlx::query_scalar("SELECT to_char(current_date + 14, 'YYYYMMDD')").fetch_one(&world.db).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TABLE events_{day}, attempts_{day}, api_calls_{day}"))).execute(&world.db).await.unwrap();
    let (code, answer) = frontdesk(&world, &["job", "run", "partitions"]).await;
    assert_eq!((code, &answer["done"]), (Some(0), &Value::Bool(true)));
    eventually("the partitions are made", || async { (schema::partition_days_ahead(&world.db).await.unwrap() == 14).then_some(()) }).await;
    schedule::ended(&world, "partitions").await;
    let told = job(&world).await;
    assert_eq!((&told["last_result"], &told["run_asked_at"], &told["paused"]), (&"3 made".into(), &Value::Null, &Value::Bool(true)));

    // resumed, it runs when its time comes; paused again, it only plans
    let due =
        "UPDATE jobs SET cron = '* * * * *', catch_up = 'once', next_run_at = now() - interval '10 minutes', last_run_at = NULL WHERE name = 'partitions'";
    sqlx::query(due).execute(&world.db).await.unwrap();
    assert_eq!(frontdesk(&world, &["job", "resume", "partitions"]).await.0, Some(0));
    eventually("it runs by itself", || async { (job(&world).await["last_run_at"] != Value::Null).then_some(()) }).await;
    assert_eq!(frontdesk(&world, &["job", "pause", "partitions"]).await.0, Some(0));
    sqlx::query(due).execute(&world.db).await.unwrap();
    let planned = "SELECT count(*) FROM jobs WHERE name = 'partitions' AND next_run_at > now()";
    eventually("its next time is planned", || async { (world.count(planned).await == 1).then_some(()) }).await;
    let told = job(&world).await;
    assert_eq!((&told["last_run_at"], &told["paused"]), (&Value::Null, &Value::Bool(true)), "it rests");
    world.finish().await;
}

/// A booking of which no webhook tells.
async fn unheard(world: &World, hour: u32) {
    let (start, ..) = ahead(3, chrono::Weekday::Thu, hour, 0);
    let (name, email) = ("Erika Musterfrau".to_owned(), "erika@example.org".to_owned());
    world.calcom.visitor_book(VisitorBooking { event_type_id: 1321, start, name, email, phone: None, notes: String::new() }).await.unwrap();
}

/// Asks for a sweep and waits until calcom-sync has carried it out; its row.
async fn swept(world: &World, kind: &str) -> Value {
    let (code, answer) = frontdesk(world, &["sweep", "run", kind]).await;
    assert_eq!((code, &answer["wanted"]), (Some(0), &1.into()), "{kind}");
    eventually(&format!("the sweep {kind} has ended"), || async {
        let row = row(world, "sweep", "kind", kind).await;
        assert_eq!(row["last_error"], Value::Null, "{row}");
        (row["wanted_at"].is_null() && !row["last_finished_at"].is_null()).then_some(row)
    })
    .await
}

#[tokio::test]
async fn a_sweep_that_the_operator_asks_for_finds_what_no_webhook_told() {
    let world = World::new().await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    assert_eq!(frontdesk(&world, &["sweep", "list"]).await, (Some(0), Value::Array(Vec::new())), "nobody has wanted one yet");
    unheard(&world, 9).await;
    let adoption = swept(&world, "adoption").await;
    assert_eq!((&adoption["last_found"], &adoption["last_repaired"]), (&1.into(), &1.into()), "{adoption}");
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 1);

    unheard(&world, 11).await;
    schedule::let_time_pass(&world, 5).await;
    let updates = swept(&world, "updates").await;
    assert_eq!(updates["last_repaired"], 1, "{updates}");
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 2);
    let window = swept(&world, "window").await;
    assert_eq!(window["last_repaired"], 0, "{window}");
    world.settle_all().await;

    // nobody can be asked without a key
    sqlx::query("UPDATE credentials SET disabled_at = now() WHERE provider = 'calcom'").execute(&world.db).await.unwrap();
    let (code, answer) = frontdesk(&world, &["sweep", "run", "updates"]).await;
    assert_eq!((code, &answer["wanted"]), (Some(1), &0.into()));
    world.finish().await;
}
