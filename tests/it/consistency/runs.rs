//! Runs: what is kept of them and for how long, who may make one, how much is told, and how they do with many rows.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use shared::domain::consistency::Score;
use shared::store::consistency::{self, AskedBy, Report};
use shared::store::tx::CompanyTx;
use shared::store::{self, companies};
use uuid::Uuid;

use super::ground::{Ground, found};

/// As the scheduler's job keeps it.
async fn keep(ground: &Ground, report: &Report, asked_by: AskedBy) {
    let role = if asked_by == AskedBy::Schedule { "frontdesk_worker" } else { "frontdesk_operator" };
    let pool = store::connect(&ground.url, Some(role), 2, "test").unwrap();
    let mut tx = CompanyTx::begin(&pool, Some(report.company_id), &[]).await.unwrap();
    consistency::record(&mut tx, report, Uuid::now_v7(), asked_by).await.unwrap();
    tx.commit().await.unwrap();
    pool.close().await;
}

async fn figure(ground: &Ground, name: &str) -> consistency::Figure {
    let pool = store::connect(&ground.url, Some("frontdesk_worker"), 1, "test").unwrap();
    let figures = consistency::figures(&pool).await.unwrap();
    pool.close().await;
    figures.into_iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("no figure of {name}"))
}

async fn count(ground: &Ground, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(&ground.db).await.unwrap()
}

#[tokio::test]
async fn the_newest_runs_of_all_companies_add_up() {
    let ground = Ground::in_order().await;
    let neighbour = ground.neighbour().await;
    ground.damage("UPDATE appointments SET created_by = NULL WHERE number = 5").await;
    keep(&ground, &ground.examine().await, AskedBy::Schedule).await;
    ground.damage("UPDATE appointments SET created_by = NULL WHERE number = 9").await;
    for company_id in [ground.company_id, neighbour] {
        keep(&ground, &ground.examine_as("frontdesk_worker", company_id, 5).await, AskedBy::Schedule).await;
    }
    let missing = figure(&ground, "created_by_missing").await;
    assert_eq!((missing.violations, missing.examined, missing.unfinished), (2, 9, 0), "of the newer run");
    assert_eq!(figure(&ground, "population").await.score(), Score::new(47, 49));
    assert_eq!(figure(&ground, "created_by").await.score(), Score::new(7, 9));
    // what all companies share is there once
    ground.damage("ALTER TABLE appointments DROP CONSTRAINT appointments_created_by").await;
    for company_id in [ground.company_id, neighbour] {
        keep(&ground, &ground.examine_as("frontdesk_worker", company_id, 5).await, AskedBy::Schedule).await;
    }
    assert_eq!(figure(&ground, "constraint_missing").await.violations, 1);
    let first: Value = sqlx::query_scalar("SELECT details -> 'first' FROM check_runs WHERE check_name = 'created_by_missing' AND violations = 2 LIMIT 1")
        .fetch_one(&ground.db)
        .await
        .unwrap();
    assert_eq!(first, serde_json::json!(["#5", "#9"]));
    ground.close().await;
}

#[tokio::test]
async fn a_check_that_took_too_long_is_kept_as_such() {
    let ground = Ground::in_order().await;
    let mut report = ground.examine().await;
    report.checks[0].found = None;
    report.scores[1] = None;
    keep(&ground, &report, AskedBy::Schedule).await;
    let slow = figure(&ground, report.checks[0].check.name).await;
    assert_eq!((slow.violations, slow.unfinished), (0, 1));
    assert_eq!(figure(&ground, "consistency").await.unfinished, 1);
    ground.close().await;
}

#[tokio::test]
async fn runs_are_kept_for_a_quarter_and_the_schedules_own_run_removes_older_ones() {
    let ground = Ground::in_order().await;
    let report = ground.examine().await;
    keep(&ground, &report, AskedBy::Schedule).await;
    let rows = count(&ground, "SELECT count(*) FROM check_runs").await;
    ground.damage("UPDATE check_runs SET ran_at = now() - interval '93 days'").await;
    keep(&ground, &report, AskedBy::Operator).await;
    assert_eq!(count(&ground, "SELECT count(*) FROM check_runs").await, 2 * rows, "the operator's run removes nothing");
    ground.damage("UPDATE check_runs SET ran_at = now() - interval '91 days' WHERE asked_by = 'operator'").await;
    keep(&ground, &report, AskedBy::Schedule).await;
    assert_eq!(count(&ground, "SELECT count(*) FROM check_runs").await, 2 * rows);
    assert_eq!(count(&ground, "SELECT count(*) FROM check_runs WHERE ran_at < now() - interval '92 days'").await, 0);
    ground.close().await;
}

#[tokio::test]
async fn a_worker_finds_what_the_operator_finds_and_no_more_rows_are_named_than_asked_for() {
    let ground = Ground::in_order().await;
    ground.damage("UPDATE appointments SET call_id = NULL WHERE call_id IS NOT NULL").await;
    let expected = [("phone_booking_without_call", 4, vec!["#1".to_owned(), "#3".to_owned()])];
    for role in ["frontdesk_operator", "frontdesk_worker"] {
        assert_eq!(found(&ground.examine_as(role, ground.company_id, 2).await), expected, "{role}");
    }
    ground.close().await;
}

/// 10,000 appointments; with FRONTDESK_FULL=1 a million, for which every check has its minute.
#[tokio::test]
async fn many_rows_are_examined_whole() {
    let rows: i64 = if std::env::var("FRONTDESK_FULL").is_ok_and(|full| full == "1") { 1_000_000 } else { 10_000 };
    let ground = Ground::in_order().await;
    let of_ours = |statement: &str| statement.replace("{company}", &ground.company_id.to_string()).replace("{rows}", &rows.to_string());
    ground.damage(&of_ours(MANY)).await;
    sqlx::raw_sql("ANALYZE").execute(&ground.db).await.unwrap();
    let started = std::time::Instant::now();
    let report = ground.examine().await;
    println!("{rows} appointments: {} checks and the scores in {:.1} s", report.checks.len(), started.elapsed().as_secs_f64());
    assert_eq!(found(&report), []);
    assert!(report.checks[0].examined >= rows && report.scores.iter().all(|score| score.unwrap().is_full()), "{:?}", report.scores);
    ground.damage(&of_ours("UPDATE appointments SET booking_source = 'retell_phone' WHERE number > 1000 AND number % 100 = 0")).await;
    let found = found(&ground.examine().await);
    assert_eq!((found[0].0, found[0].1, found[0].2.len(), found.len()), ("phone_booking_without_call", rows / 100, 5, 1), "{found:?}");
    ground.close().await;
}

/// Booked in Cal.com, every fourth moved, every fifth cancelled; of a thousand customers.
const MANY: &str = "
INSERT INTO customers (id, company_id, name, phone) SELECT ('10000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '{company}', 'Kundin ' || n, '+491520' || lpad(n::text, 7, '0') FROM generate_series(0, 999) n;
INSERT INTO appointments (id, company_id, number, branch_id, customer_id, status, starts_at, ends_at, time_zone, name_given, calcom_uid, created_by, booking_source, rescheduled_count,
    rescheduled_at, rescheduled_by, reschedule_source, previous_starts_at, cancelled_at, cancelled_by, cancellation_source, cancellation_reason)
  SELECT gen_random_uuid(), '{company}', 1000 + n, (SELECT id FROM branches WHERE company_id = '{company}' ORDER BY id LIMIT 1), ('10000000-0000-0000-0000-' || lpad((n % 1000)::text, 12, '0'))::uuid,
    CASE WHEN n % 5 = 0 THEN 'cancelled' ELSE 'completed' END, '2020-01-01T08:00:00Z'::timestamptz + n * interval '1 min', '2020-01-01T08:30:00Z'::timestamptz + n * interval '1 min',
    'Europe/Berlin', 'Kundin ' || n % 1000, 'many' || n, 'customer', 'calcom_webhook', (n % 4 = 0)::int,
    CASE WHEN n % 4 = 0 THEN now() END, CASE WHEN n % 4 = 0 THEN 'customer' END, CASE WHEN n % 4 = 0 THEN 'calcom_webhook' END,
    CASE WHEN n % 4 = 0 THEN '2019-12-31T08:00:00Z'::timestamptz + n * interval '1 min' END,
    CASE WHEN n % 5 = 0 THEN now() END, CASE WHEN n % 5 = 0 THEN 'customer' END, CASE WHEN n % 5 = 0 THEN 'calcom_webhook' END, CASE WHEN n % 5 = 0 THEN 'not_given' END
  FROM generate_series(1, {rows}) n;
INSERT INTO calcom_bookings (company_id, uid, appointment_id, provider_account_id, state, starts_at, ends_at)
  SELECT a.company_id, a.calcom_uid, a.id, p.id, 'accepted', a.starts_at, a.ends_at FROM appointments a, provider_accounts p WHERE p.provider = 'calcom' AND a.number > 1000;
INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, previous_starts_at, new_starts_at, actor, source, reason, occurred_at)
  SELECT gen_random_uuid(), a.company_id, a.id, a.customer_id, 'booked', NULL::timestamptz, coalesce(a.previous_starts_at, a.starts_at), 'customer', 'calcom_webhook', NULL, a.starts_at - interval '9 days' FROM appointments a WHERE a.number > 1000
  UNION ALL SELECT gen_random_uuid(), a.company_id, a.id, a.customer_id, 'rescheduled', a.previous_starts_at, a.starts_at, 'customer', 'calcom_webhook', NULL, a.starts_at - interval '6 days' FROM appointments a WHERE a.number > 1000 AND a.rescheduled_count > 0
  UNION ALL SELECT gen_random_uuid(), a.company_id, a.id, a.customer_id, 'cancelled', a.starts_at, NULL, 'customer', 'calcom_webhook', 'not_given', a.starts_at - interval '3 days' FROM appointments a WHERE a.number > 1000 AND a.status = 'cancelled'
";

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Exit code and what the command said.
async fn operator(ground: &Ground, line: &[&str]) -> (u8, String) {
    let environment = cli::Environment::of([("DATABASE_URL", &ground.url)]);
    let (out, mut errors) = (Screen::default(), Vec::new());
    let session = cli::Session::new(environment, Box::new(std::io::empty()), Box::new(out.clone()));
    let arguments = ["frontdesk", "check", "consistency"].into_iter().chain(line.iter().copied()).map(Into::into).collect::<Vec<_>>();
    let code = cli::run(arguments, session, &mut errors).await;
    assert!(errors.is_empty(), "{}", String::from_utf8_lossy(&errors));
    let out = out.0.lock().unwrap().clone();
    (code, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn the_command_says_what_is_wrong_where_and_what_to_do_and_its_exit_code_too() {
    let ground = Ground::in_order().await;
    let theirs = ground.neighbour().await;
    let names = companies::list(&store::connect(&ground.url, Some("frontdesk_operator"), 1, "test").unwrap()).await.unwrap();
    let name = |id: Uuid| names.iter().find(|(known, _)| *known == id).unwrap().1.as_str();
    let (code, text) = operator(&ground, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Nothing critical is wrong") && text.contains("over 2 companies"), "{text}");

    ground.damage("UPDATE appointments SET cancellation_reason = NULL WHERE number = 9").await;
    let (code, text) = operator(&ground, &[]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("  {}: 1 of 9: #9\n  What to do: fill the four columns", name(ground.company_id))), "{text}");
    let (code, told) = operator(&ground, &["--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let found: Vec<_> = told["checks"].as_array().unwrap().iter().filter(|check| check["violations"] != 0).map(|check| &check["check"]).collect();
    assert_eq!((code, &told["ok"], found), (1, &Value::Bool(false), vec![&Value::from("cancellation_audit_incomplete")]));

    assert_eq!(operator(&ground, &["--company", name(theirs)]).await.0, 0, "the neighbour is in order");
    assert_eq!(operator(&ground, &["--company", name(ground.company_id)]).await.0, 1);
    let (code, text) = operator(&ground, &["--company", "Niemand"]).await;
    assert!(code == 1 && text.contains("no such company"), "{text}");

    assert_eq!(count(&ground, "SELECT count(*) FROM check_runs").await, 0, "a look leaves nothing behind");
    operator(&ground, &["--record"]).await;
    assert_eq!(figure(&ground, "cancellation_audit_incomplete").await.violations, 1);
    assert_eq!(count(&ground, "SELECT count(*) FROM check_runs WHERE asked_by <> 'operator'").await, 0);
    ground.close().await;
}

#[tokio::test]
async fn a_warning_leaves_the_exit_code_alone() {
    let ground = Ground::in_order().await;
    ground.damage("UPDATE appointments SET name_agreement = NULL WHERE number = 7").await;
    let (code, text) = operator(&ground, &[]).await;
    assert!(code == 0 && text.contains("appointment_name_unexplained: "), "{text}");
    // a label is a number: nobody's name stands in what is told
    assert!(!text.contains("Musterfrau") && !text.contains("Groß"), "{text}");
    ground.close().await;
}
