//! The broken history that `cargo dev history` makes (issue 5): the same for ever from a seed, every kind of damage in it, loaded whole, and its truth outside and right about what
//! is in the database. Not the backfill that is measured against it.
//!
//! `FRONTDESK_FULL=1` loads 20,000 appointments instead of 2,400 into the first database and prints the pace.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex};

use dev::history::contents::History;
use dev::history::copy::Table;
use dev::history::damage::{Damage, Tally};
use dev::history::load;
use dev::history::plan::{BATCH, Of, Plan};
use dev::history::truth::{FILLED, Line};
use dev::progress::Progress;
use dev::servers::{Servers, Turn};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use tests::servers;
use uuid::Uuid;

fn digest(plan: Plan) -> String {
    let mut digest = Sha256::new();
    for part in History::new(plan) {
        for table in Table::ALL {
            digest.update(&part.batch.table(table).text);
        }
        digest.update(&part.truth);
    }
    hex::encode(digest.finalize())
}

#[test]
fn the_same_seed_and_size_give_the_same_bytes() {
    let plan = Plan { seed: 42, companies: 3, appointments: 7_001 };
    assert_eq!(digest(plan), digest(plan));
    assert_ne!(digest(plan), digest(Plan { seed: 43, ..plan }));
    assert_ne!(digest(plan), digest(Plan { companies: 4, ..plan }));
}

fn tally(plan: Plan) -> (Tally, [u64; Table::ALL.len()]) {
    let mut history = History::new(plan);
    while history.next().is_some() {}
    (history.tally, history.rows)
}

#[test]
fn every_kind_of_damage_is_there_from_two_thousand_appointments_on_and_none_is_everywhere() {
    for (seed, companies) in [(1, 20), (2, 2), (77, 7)] {
        let (tally, rows) = tally(Plan { seed, companies, appointments: 2_000 });
        assert!(Damage::ALL.len() >= 15);
        assert_eq!(rows[Table::Appointments as usize], 2_000);
        for damage in Damage::ALL {
            assert!(tally.of(*damage) > 0, "seed {seed}: no {}", damage.name());
            // calls and customers are fewer than appointments; what is missing most often is a call's customer, as it was (incident 43: 72 %)
            assert!(tally.of(*damage) <= 1_600, "seed {seed}: {} times {}", tally.of(*damage), damage.name());
        }
    }
}

#[test]
fn a_batch_is_bounded_whatever_the_size_of_the_history() {
    for part in History::new(Plan { seed: 3, companies: 1, appointments: 9_500 }) {
        assert!(part.batch.table(Table::Appointments).count <= BATCH);
        // ten kilobytes an appointment with all that hangs on it is more than twice what there is
        let bytes: usize = Table::ALL.iter().map(|table| part.batch.table(*table).text.len()).sum::<usize>() + part.truth.len();
        assert!(bytes < 10_240 * usize::try_from(BATCH).unwrap(), "{bytes}");
    }
}

#[test]
fn the_generator_knows_nothing_of_the_backfill() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/src");
    let mut files = vec![root.join("history.rs")];
    let mut folders = vec![root.join("history")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(files.len() > 10, "the generator's files are found");
    for file in files {
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            // nothing of the product at all: neither the rules nor what they are made of
            for word in ["shared::", "workers::", "cli::", "domain::"] {
                assert!(!line.contains(word), "{}:{}: {line}", file.display(), number + 1);
            }
        }
    }
}

/// A truth that the test keeps.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A migrated database of its own, and the right to use the servers.
struct Loaded {
    name: String,
    url: String,
    db: PgPool,
    plan: Plan,
    report: load::Report,
    lines: Vec<Line>,
    _turn: Turn,
}

impl Loaded {
    async fn new(name: &str, plan: Plan) -> Self {
        let turn = Servers::attach().unwrap().use_together().await.unwrap();
        let name = format!("fd_history_{name}_{}_test", std::process::id());
        servers::create_database(&name).await;
        let url = servers::database_url(&name);
        let truth = Kept::default();
        let report = load::load(&url, plan, truth.clone(), &Progress::quiet()).await.unwrap();
        let bytes = truth.0.lock().unwrap().clone();
        let lines = String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let db = PgPool::connect(&url).await.unwrap();
        Self { name, url, db, plan, report, lines, _turn: turn }
    }

    async fn count(&self, statement: String) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&self.db).await.unwrap()
    }

    /// All rows of a table by key.
    async fn rows(&self, table: &str) -> HashMap<Uuid, Value> {
        let statement = format!("SELECT id, to_jsonb(t) FROM {table} t");
        let rows: Vec<(Uuid, Value)> = sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&self.db).await.unwrap();
        rows.into_iter().collect()
    }

    fn lines(&self, table: &'static str) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.table == table)
    }

    async fn close(self) {
        self.db.close().await;
        servers::drop_database(&self.name).await;
    }
}

/// The text of an instant or of anything else, as the truth has it.
fn as_told(column: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if column.ends_with("_at") => {
            let instant = chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc();
            Value::String(instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        }
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_loaded_as_it_was_made_and_its_truth_is_right_about_it() {
    let appointments = if std::env::var("FRONTDESK_FULL").is_ok_and(|full| full == "1") { 20_000 } else { 2_400 };
    let loaded = Loaded::new("whole", Plan { seed: 5, companies: 4, appointments }).await;
    let (rows, took) = (loaded.report.rows.iter().sum::<u64>(), loaded.report.took.as_millis().max(1));
    println!("{appointments} appointments, {rows} rows in {took} ms: {} rows/s", u128::from(rows) * 1000 / took);
    for (table, made) in Table::ALL.iter().zip(loaded.report.rows) {
        let table = table.columns().0;
        assert_eq!(loaded.count(format!("SELECT count(*) FROM {table}")).await.unsigned_abs(), made, "{table}");
        assert!(made > 0, "{table} is filled");
    }
    assert_eq!(loaded.lines.len() as u64, loaded.report.lines);
    assert_eq!(loaded.count("SELECT count(*) FROM appointments WHERE import_run_id IS NULL OR legacy_metadata IS NULL".into()).await, 0);

    let mut told = BTreeMap::<&str, usize>::new();
    for table in ["appointments", "appointment_modifications", "calls", "reviews"] {
        let rows = loaded.rows(table).await;
        for line in loaded.lines(table) {
            let row = rows.get(&line.id).unwrap_or_else(|| panic!("{table} {} is in the truth only", line.id));
            assert_eq!(row["company_id"], line.company.to_string());
            for (column, cell) in &line.columns {
                *told.entry(table).or_default() += 1;
                if cell.by.as_deref() == Some(FILLED) {
                    assert_eq!(as_told(column, &row[column]), cell.is, "{table} {} {column}", line.id);
                } else {
                    assert_eq!(row[column], Value::Null, "{table} {} {column} is to be filled", line.id);
                    assert!(!cell.is.is_null(), "{table} {} {column}: empty columns are not named", line.id);
                }
            }
        }
        assert_eq!(loaded.lines(table).count(), rows.len(), "every row of {table} is in the truth");
    }
    assert!(told["appointments"] > 8_000 && told["calls"] > 800, "{told:?}");
    loaded.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_can_be_found_is_there_and_of_the_same_company() {
    let loaded = Loaded::new("calls", Plan { seed: 6, companies: 3, appointments: 2_400 }).await;
    let calls: HashMap<Uuid, Uuid> =
        sqlx::query_as::<_, (Uuid, Uuid)>("SELECT id, company_id FROM calls").fetch_all(&loaded.db).await.unwrap().into_iter().collect();
    let mut found = 0;
    for line in loaded.lines.iter().filter(|line| line.table != "calls") {
        let Some(cell) = line.columns.get("call_id") else { continue };
        let call: Uuid = cell.is.as_str().unwrap().parse().unwrap();
        if cell.by.is_some() {
            assert_eq!(calls.get(&call), Some(&line.company), "{} {}", line.table, line.id);
            found += 1;
        }
    }
    assert!(found > 500, "{found}");

    // Incident 8: where the time of a change falls into exactly one call of its customer in its company, that is the call.
    let by_time: Vec<(Uuid, i64, Option<Uuid>)> = sqlx::query_as(
        "SELECT m.id, count(k.id), min(k.id::text)::uuid FROM appointment_modifications m JOIN customers c ON c.id = m.customer_id
         LEFT JOIN calls k ON k.company_id = m.company_id AND (k.caller = c.phone OR k.customer_id = c.id) AND k.started_at <= m.occurred_at
             AND m.occurred_at <= k.ended_at + interval '2 minutes'
         GROUP BY m.id",
    )
    .fetch_all(&loaded.db)
    .await
    .unwrap();
    let truth: HashMap<Uuid, &Line> = loaded.lines("appointment_modifications").map(|line| (line.id, line)).collect();
    let mut alone = 0;
    for (id, candidates, call) in by_time {
        let cell = truth[&id].columns.get("call_id");
        if candidates == 1 {
            alone += 1;
            let told = cell.map(|cell| cell.is.clone());
            assert_eq!(told, call.map(|call| Value::String(call.to_string())), "the only call at the time of change {id} is another one");
        }
        if cell.is_some_and(|cell| cell.by.as_deref() == Some("time")) {
            assert_eq!(candidates, 1, "change {id}");
        }
    }
    assert!(alone > 50, "{alone}");
    loaded.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_is_loaded_once_and_the_companies_go_on_counting_after_it() {
    let loaded = Loaded::new("once", Plan { seed: 7, companies: 2, appointments: 40 }).await;
    let again = load::load(&loaded.url, loaded.plan, std::io::sink(), &Progress::quiet()).await;
    assert!(again.is_err_and(|error| error.to_string().contains("already")));
    for (noun, table) in [("call", "calls"), ("appointment", "appointments"), ("customer", "customers")] {
        for company in 0..2 {
            let company = loaded.plan.key(Of::Company, company, 0);
            let last = loaded.count(format!("SELECT coalesce(max(number), 0) FROM {table} WHERE company_id = '{company}'")).await;
            assert_eq!(loaded.count(format!("SELECT next_number('{noun}', '{company}')")).await, last + 1, "{table}");
        }
    }
    let other = Plan { seed: 8, ..loaded.plan };
    load::load(&loaded.url, other, std::io::sink(), &Progress::quiet()).await.unwrap();
    loaded.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_bound_by_row_level_security_cannot_load() {
    let turn = Servers::attach().unwrap().use_together().await.unwrap();
    let name = format!("fd_history_bound_{}_test", std::process::id());
    servers::create_database(&name).await;
    let url = servers::database_url(&name);
    let separator = if url.contains('?') { '&' } else { '?' };
    let bound = format!("{url}{separator}options=-c%20role%3Dfrontdesk_worker");
    let refused = load::load(&bound, Plan { seed: 9, companies: 2, appointments: 10 }, std::io::sink(), &Progress::quiet()).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("row-level security")));
    servers::drop_database(&name).await;
    drop(turn);
}
