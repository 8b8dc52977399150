//! The backfill, end to end: runs that the operator's command begins, carried out by real processes with the role, over histories of two companies that share phone numbers,
//! names, Retell's ids of calls and Cal.com's numbers of hosts.
//!
//! `FRONTDESK_FULL=1`: the killed run has 20,000 appointments in each company and twenty kills instead of 1,500 and three.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use shared::store::backfill::runs;
use shared::store::tx::CompanyTx;
use sqlx::AssertSqlSafe;
use tests::processes::Process;
use tests::{World, WorldOptions, company, eventually, eventually_within};
use uuid::Uuid;

/// One run of the command: exit code and its answer.
async fn frontdesk(world: &World, line: &[&str]) -> (Option<i32>, Value) {
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("frontdesk-{}", RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    let mut command = Process::start(&name, "frontdesk", &[&["--json", "backfill"], line].concat(), &world.environment(), &world.folder);
    let code = command.wait().await;
    let said = command.logged();
    (code, serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{line:?} does not answer with JSON: {said}")))
}

/// As that, and it succeeds.
async fn done(world: &World, line: &[&str]) -> Value {
    let (code, answer) = frontdesk(world, line).await;
    assert_eq!(code, Some(0), "{line:?}: {answer}");
    answer
}

async fn in_state(world: &World, state: &str) -> Value {
    // far beyond a minute: a chunk that died with its worker between publish and consume is published again after one
    eventually_within(Duration::from_secs(180), &format!("the run is {state}"), || async {
        let status = done(world, &["status"]).await;
        (status["state"] == state).then_some(status)
    })
    .await
}

/// A world with the role, and histories of `rows` appointments in each of two companies: the same in both, but for their keys.
async fn with_history(rows: i32, roles: Vec<&'static str>) -> (World, [Uuid; 2]) {
    let world = World::with(WorldOptions { roles, ingresses: 0, ..WorldOptions::default() }).await;
    let companies = [world.company.company_id, world.add_company(&company::other(1)).await.company_id];
    for company_id in companies {
        for statement in HISTORY {
            let done = sqlx::query(statement).bind(company_id).bind(rows).execute(&world.db).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
            assert!(done.rows_affected() > 0, "{statement}");
        }
    }
    (world, companies)
}

/// By the last digit of an appointment's number: 0 nothing is known · 1 a former source and a named call · 2 cal.com · 3 cancelled by staff, in the history · 4 moved by phone,
/// in the history, the call named in its metadata · 5 notes · 6 witnesses that contradict each other · 7 cancelled in Cal.com, its webhook kept · 8 a call that says it led
/// here · 9 a host of Cal.com, and metadata that is JSON inside JSON.
const HISTORY: [&str; 8] = [
    "INSERT INTO import_runs (id, company_id, kind) SELECT md5($1::text || 'import')::uuid, $1, 'history' WHERE $2 > 0",
    "INSERT INTO customers (id, company_id, name, phone, legacy_id, import_run_id) SELECT md5($1::text || 'customer' || n)::uuid, $1, 'Erika Musterfrau', '+4915112340' || lpad(n::text, 4, '0'), n::text,
        md5($1::text || 'import')::uuid FROM generate_series(1, least($2, 50)) n",
    "INSERT INTO staff (id, company_id, branch_id, name, calcom_user_id) SELECT md5($1::text || 'staff')::uuid, $1, b.id, 'Host', 990001 FROM branches b WHERE b.company_id = $1 AND $2 > 0 LIMIT 1",
    "INSERT INTO users (id, company_id, email, display_name) SELECT md5($1::text || 'user')::uuid, $1, 'user@example.org', 'User' WHERE $2 > 0",
    "INSERT INTO calls (id, company_id, number, retell_call_id, branch_id, caller, status, started_at, ended_at, metadata, import_run_id)
        SELECT md5($1::text || 'call' || n)::uuid, $1, 1000000 + n, 'call_' || n, b.id, '+4915112340' || lpad((n % least($2, 50) + 1)::text, 4, '0'), 'ended',
            '2025-10-01T00:00:00Z'::timestamptz + n * interval '10 minutes', '2025-10-01T00:00:00Z'::timestamptz + n * interval '10 minutes' + interval '3 minutes',
            CASE WHEN n % 10 = 8 THEN jsonb_build_object('converted_appointment_id', 'L' || n) ELSE '{}' END, md5($1::text || 'import')::uuid
        FROM generate_series(1, $2) n, (SELECT id FROM branches WHERE company_id = $1 LIMIT 1) b WHERE n % 10 IN (1, 4, 8)",
    "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, status, starts_at, ends_at, time_zone, rescheduled_count, notes, import_run_id, legacy_id, legacy_metadata)
        SELECT md5($1::text || 'appointment' || n)::uuid, $1, 1000000 + n, b.id, md5($1::text || 'customer' || (n % least($2, 50) + 1))::uuid,
            CASE WHEN n % 10 IN (3, 7) THEN 'cancelled' ELSE 'completed' END, '2025-11-01T00:00:00Z'::timestamptz + n * interval '1 hour',
            '2025-11-01T00:00:00Z'::timestamptz + n * interval '1 hour' + interval '30 minutes', 'Europe/Berlin', CASE WHEN n % 10 = 4 THEN 1 ELSE 0 END,
            CASE WHEN n % 10 = 5 THEN E'Created via Retell webhook\\nRescheduled on 2025-10-14 09:00:00 UTC' END, md5($1::text || 'import')::uuid, 'L' || n,
            CASE n % 10 WHEN 1 THEN jsonb_build_object('source', 'retell_webhook', 'retell_call_id', 'call_' || n) WHEN 2 THEN '{\"source\": \"cal.com\"}'
                WHEN 6 THEN '{\"booked_via\": \"retell_phone\", \"created_via\": \"cal.com\"}'
                WHEN 7 THEN '{\"cancellation_payload\": {\"createdAt\": \"2025-10-20T08:00:00Z\", \"cancelledBy\": \"a@example.org\", \"cancellationReason\": \"krank\",
                              \"attendees\": [{\"email\": \"a@example.org\"}]}}'
                WHEN 9 THEN jsonb_build_object('metadata_text', '{\"created_via\": \"admin\"}', 'calcom_host_id', 990001) END
        FROM generate_series(1, $2) n, (SELECT id FROM branches WHERE company_id = $1 LIMIT 1) b",
    "INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, actor, source, user_id, reason, previous_starts_at, new_starts_at, occurred_at, import_run_id, legacy_metadata)
        SELECT md5($1::text || 'modification' || n)::uuid, $1, a.id, a.customer_id, CASE n % 10 WHEN 3 THEN 'cancelled' ELSE 'rescheduled' END,
            CASE n % 10 WHEN 3 THEN 'staff' ELSE 'customer' END, CASE n % 10 WHEN 3 THEN 'crm_admin' ELSE 'retell_phone' END,
            CASE n % 10 WHEN 3 THEN md5($1::text || 'user')::uuid END, CASE n % 10 WHEN 3 THEN 'Urlaub' END, a.starts_at - interval '1 day', a.starts_at,
            '2025-10-01T00:00:00Z'::timestamptz + n * interval '10 minutes', md5($1::text || 'import')::uuid, CASE n % 10 WHEN 4 THEN jsonb_build_object('call_id', 'call_' || n) END
        FROM generate_series(1, $2) n JOIN appointments a ON a.company_id = $1 AND a.number = 1000000 + n WHERE n % 10 IN (3, 4)",
    // a row of our own beside them
    "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, status, starts_at, ends_at, time_zone, created_by, booking_source)
        SELECT md5($1::text || 'own')::uuid, $1, 2000000, b.id, md5($1::text || 'customer1')::uuid, 'requested', now(), now() + interval '1 hour', 'Europe/Berlin', 'customer', 'calcom_webhook'
        FROM branches b WHERE b.company_id = $1 AND $2 > 0 LIMIT 1",
];

/// Every byte of the three tables; what a run may not touch is in there as well as what it fills.
async fn fingerprint(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["appointments", "appointment_modifications", "calls", "customers"] {
        let statement = format!("SELECT md5(string_agg(to_jsonb(t)::text, '|' ORDER BY t.id)) FROM {table} t");
        all.push(sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&world.db).await.unwrap());
    }
    all
}

/// The cells of the appointment of that number, in every company: they are the same, and keys are shown by what they belong to.
async fn cells(world: &World, number: i64) -> Value {
    let rows: Vec<Value> = sqlx::query_scalar(
        "SELECT jsonb_strip_nulls(jsonb_build_object('by', a.created_by, 'source', a.booking_source, 'moved_by', a.rescheduled_by, 'moved_through', a.reschedule_source,
             'moved_at', a.rescheduled_at, 'from', a.starts_at - a.previous_starts_at, 'cancelled_by', a.cancelled_by, 'cancelled_through', a.cancellation_source,
             'cancelled_at', a.cancelled_at, 'reason', a.cancellation_reason, 'call', c.retell_call_id, 'staff', s.name, 'user', u.display_name))
         FROM appointments a LEFT JOIN calls c ON c.company_id = a.company_id AND c.id = a.call_id LEFT JOIN staff s ON s.company_id = a.company_id AND s.id = a.staff_id
         LEFT JOIN users u ON u.company_id = a.company_id AND u.id = a.cancelled_by_user_id WHERE a.number = 1000000 + $1",
    )
    .bind(number)
    .fetch_all(&world.db)
    .await
    .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], rows[1], "both companies left the same evidence");
    rows[0].clone()
}

/// Incident 99 (empty columns beside rows of history) and incident 44 (a backfill that matched customers over companies).
#[tokio::test]
async fn a_run_fills_what_its_plan_said_from_the_evidence_of_each_company_and_an_undo_restores_every_byte() {
    let (world, _) = with_history(30, vec!["backfill"]).await;
    let before = fingerprint(&world).await;
    let outside = "SELECT (SELECT count(*) FROM intents) + (SELECT count(*) FROM calcom_bookings) + (SELECT count(*) FROM function_calls)";
    let plan = done(&world, &["plan"]).await;
    assert_eq!(fingerprint(&world).await, before, "a plan writes nothing");
    assert!(!wanted_by_night(&world).await, "the first run is a human's");

    let begun = done(&world, &["start"]).await;
    assert_eq!(begun["companies"], 2);
    let ended = in_state(&world, "finished").await;
    assert_eq!((&ended["rows"], &ended["rows_done"]), (&begun["rows"], &begun["rows"]));
    assert_eq!(done(&world, &["report"]).await, plan);

    // twice: 1, 4 and 8 of each ten have a call
    assert_eq!(plan["counts"]["calls.customer_id.number"], 18);
    assert_eq!(plan["counts"]["appointment_modifications.call_id.call_named"], 6);
    let expected = [
        (10, serde_json::json!({"by": "unknown", "source": "unknown"})),
        (11, serde_json::json!({"by": "customer", "source": "retell_webhook", "call": "call_11"})),
        (12, serde_json::json!({"by": "customer", "source": "calcom_webhook"})),
        (
            13,
            serde_json::json!({"by": "unknown", "source": "unknown", "cancelled_by": "staff", "cancelled_through": "crm_admin", "cancelled_at": "2025-10-01T02:10:00+00:00", "reason": "Urlaub", "user": "User"}),
        ),
        (
            14,
            serde_json::json!({"by": "unknown", "source": "unknown", "moved_by": "customer", "moved_through": "retell_api", "moved_at": "2025-10-01T02:20:00+00:00", "from": "1 day"}),
        ),
        (
            15,
            serde_json::json!({"by": "customer", "source": "retell_webhook", "moved_by": "unknown", "moved_through": "unknown", "moved_at": "2025-10-14T09:00:00+00:00"}),
        ),
        (16, serde_json::json!({"by": "customer", "source": "unknown"})),
        (
            17,
            serde_json::json!({"by": "unknown", "source": "unknown", "cancelled_by": "customer", "cancelled_through": "calcom_webhook", "cancelled_at": "2025-10-20T08:00:00+00:00", "reason": "krank"}),
        ),
        (18, serde_json::json!({"by": "customer", "source": "retell_phone", "call": "call_18"})),
        (19, serde_json::json!({"by": "staff", "source": "crm_admin", "staff": "Host"})),
    ];
    for (number, row) in expected {
        assert_eq!(cells(&world, number).await, row, "{number}");
    }
    // what is not evidence of the own company cannot stand there
    let foreign = "SELECT count(*) FROM backfill_values v JOIN calls c ON v.value = to_jsonb(c.id) WHERE c.company_id <> v.company_id";
    assert_eq!(world.count(foreign).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM backfill_values").await, plan["values"].as_i64().unwrap(), "every value has its provenance");
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE revision <> 1 OR updated_at > (SELECT min(created_at) FROM backfill_runs)").await, 0);
    assert_eq!(world.count(outside).await + world.count("SELECT count(*) FROM outbox WHERE kind <> 'backfill.chunk'").await, 0, "nothing goes out");
    assert_eq!(
        world.count("SELECT count(*) FROM reviews WHERE reason = 'backfill_contradiction'").await,
        6,
        "the witnesses of three appointments of each company disagree"
    );

    // again: nothing is left but what humans are asked
    assert_eq!(done(&world, &["plan"]).await["values"], 0);
    let filled = fingerprint(&world).await;
    done(&world, &["start"]).await;
    in_state(&world, "finished").await;
    assert_eq!(fingerprint(&world).await, filled);

    assert!(!wanted_by_night(&world).await, "nothing was taken over since");
    let later = "INSERT INTO import_runs (id, company_id, kind) SELECT gen_random_uuid(), id, 'history' FROM companies";
    sqlx::raw_sql(later).execute(&world.db).await.unwrap();
    assert!(wanted_by_night(&world).await);
    let first = begun["run"].as_str().unwrap();
    done(&world, &["undo", first]).await;
    eventually("it is taken back", || async { (done(&world, &["status", first]).await["state"] == "undone").then_some(()) }).await;
    assert_eq!(fingerprint(&world).await, before);
    assert_eq!(frontdesk(&world, &["undo", first]).await.0, Some(1), "once");
    assert_eq!(done(&world, &["plan"]).await["counts"], plan["counts"]);
    world.finish().await;
}

/// Whether the nightly job would begin a run for the first company.
async fn wanted_by_night(world: &World) -> bool {
    let mut tx = CompanyTx::begin(&world.db, Some(world.company.company_id), &[]).await.unwrap();
    runs::is_wanted(&mut tx).await.unwrap()
}

/// Callers that wait: rows of deliveries that lie in the time to come, so that they are of the last ten seconds for as long as the test needs them.
async fn let_callers_wait(world: &World) {
    sqlx::query("INSERT INTO attempts (role, lane, message_id, kind, attempt, outcome, queued_ms, took_ms, at) SELECT 'desk', 'live', 'waits', 'retell.call_inbound', 1, 'done', 0, 5000, now() + interval '1 hour' FROM generate_series(1, 20)")
        .execute(&world.db)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_run_waits_while_callers_wait_says_why_and_can_be_paused_resumed_cancelled_and_taken_back() {
    let (world, _) = with_history(10, vec!["backfill"]).await;
    let before = fingerprint(&world).await;
    let_callers_wait(&world).await;
    done(&world, &["start"]).await;
    assert_eq!(frontdesk(&world, &["start"]).await.0, Some(1), "one open run of a company at a time");
    let stopped = eventually("it says why it waits", || async {
        let status = done(&world, &["status"]).await;
        (status["pace"] == "stopped").then_some(status)
    })
    .await;
    assert!(stopped["pace_reason"].as_str().unwrap().starts_with("callers wait 5.0 s"), "{stopped}");
    assert_eq!((&stopped["rows_done"], &stopped["state"]), (&0.into(), &"running".into()));
    assert_eq!(fingerprint(&world).await, before);

    done(&world, &["pause"]).await;
    sqlx::query("DELETE FROM attempts WHERE message_id = 'waits'").execute(&world.db).await.unwrap();
    let paused = done(&world, &["status"]).await;
    assert_eq!((&paused["rows_done"], &paused["state"]), (&0.into(), &"paused".into()));
    done(&world, &["resume"]).await;
    let ended = in_state(&world, "finished").await;
    assert!(ended["throttled_count"].as_i64().unwrap() > 0 && ended["throttled_reason"].as_str().unwrap().starts_with("callers wait"), "{ended}");
    done(&world, &["undo"]).await;
    in_state(&world, "undone").await;
    assert_eq!(fingerprint(&world).await, before);

    let_callers_wait(&world).await;
    done(&world, &["start"]).await;
    done(&world, &["cancel"]).await;
    in_state(&world, "cancelled").await;
    assert_eq!(frontdesk(&world, &["resume"]).await.0, Some(1), "it has ended");
    sqlx::query("DELETE FROM attempts WHERE message_id = 'waits'").execute(&world.db).await.unwrap();
    done(&world, &["start"]).await;
    in_state(&world, "finished").await;
    world.finish().await;
}

#[tokio::test]
async fn a_run_whose_workers_are_killed_ends_as_one_that_nobody_disturbed() {
    let full = std::env::var("FRONTDESK_FULL").is_ok();
    let (rows, kills) = if full { (20_000, 20) } else { (1_500, 3) };
    let (mut world, _) = with_history(rows, Vec::new()).await;
    world.start_workers(&["backfill"], &BTreeMap::new()).await;
    world.start_workers(&["backfill"], &BTreeMap::new()).await;
    let before = fingerprint(&world).await;
    done(&world, &["start"]).await;
    in_state(&world, "finished").await;
    let undisturbed = fingerprint(&world).await;
    assert_ne!(undisturbed, before);
    done(&world, &["undo"]).await;
    in_state(&world, "undone").await;
    assert_eq!(fingerprint(&world).await, before);

    // callers are on the line, so that it takes a while
    sqlx::query("INSERT INTO attempts (role, lane, message_id, kind, attempt, outcome, queued_ms, took_ms, at) VALUES ('desk', 'live', 'm', 'retell.call_inbound', 1, 'done', 0, 5, now() + interval '1 hour')")
        .execute(&world.db)
        .await
        .unwrap();
    done(&world, &["start"]).await;
    let mut rows_done = -1;
    for kill in 0..kills {
        let status = eventually_within(Duration::from_secs(180), "it goes on, or has ended", || async {
            let status = done(&world, &["status"]).await;
            (status["rows_done"].as_i64().unwrap() > rows_done || status["state"] == "finished").then_some(status)
        })
        .await;
        rows_done = status["rows_done"].as_i64().unwrap();
        // whatever they have in hand
        world.workers[kill % 2].kill();
        let index = world.launch_workers(&["backfill"], &BTreeMap::new());
        world.workers.swap(kill % 2, index);
    }
    in_state(&world, "finished").await;
    assert_eq!(fingerprint(&world).await, undisturbed);
    assert_eq!(done(&world, &["plan"]).await["values"], 0);
    world.finish().await;
}
