//! The schema's boot check and the operator's command, against a real Postgres, each test in a database of its own.
#![allow(clippy::unwrap_used, reason = "test code throughout; clippy knows only the test functions themselves")]

use std::io::Write;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use shared::secret::{ExposeSecret, Keyring, generate_master_key};
use shared::store::{self, PgPool, StoreError, companies, credentials, endpoints, schema};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/demo/company.json");

/// A fresh database, dropped by `close`; what a failed test leaves is named `…_test`.
struct Database {
    admin: PgConnectOptions,
    name: String,
    url: String,
}

impl Database {
    async fn empty() -> Self {
        let admin = std::env::var("DATABASE_URL").expect("DATABASE_URL names the maintenance database: run the tests with `cargo dev test`");
        let admin = PgConnectOptions::from_str(&admin).unwrap();
        let name = format!("frontdesk_{}_test", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect_with(&admin).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        let url = admin.clone().database(&name).to_url_lossy().to_string();
        Self { admin, name, url }
    }

    async fn migrated() -> Self {
        let database = Self::empty().await;
        schema::migrate(&database.url).await.unwrap();
        database
    }

    fn pool(&self, role: &str) -> PgPool {
        store::connect(&self.url, Some(role), 2, "test").unwrap()
    }

    async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    async fn close(self) {
        let mut connection = PgConnection::connect_with(&self.admin).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).execute(&mut connection).await.unwrap();
    }
}

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

/// An operator at a terminal.
struct Operator {
    database_url: String,
    master_keys: String,
}

impl Operator {
    fn of(database: &Database) -> Self {
        Self { database_url: database.url.clone(), master_keys: generate_master_key("k1").expose_secret().to_owned() }
    }

    /// Exit code, stdout, stderr.
    async fn run(&self, line: &[&str], stdin: &str) -> (u8, String, String) {
        let environment = cli::Environment::of([("DATABASE_URL", &self.database_url), ("MASTER_KEYS", &self.master_keys)]);
        let (out, mut errors) = (Screen::default(), Vec::new());
        let session = cli::Session::new(environment, Box::new(std::io::Cursor::new(stdin.to_owned())), Box::new(out.clone()));
        let arguments = std::iter::once("frontdesk").chain(line.iter().copied()).map(Into::into);
        let code = cli::run(arguments.collect::<Vec<_>>(), session, &mut errors).await;
        let out = out.0.lock().unwrap().clone();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    /// A command that must do its work, answered as JSON.
    async fn json(&self, line: &[&str], stdin: &str) -> Value {
        let (code, out, errors) = self.run(&[line, &["--json"]].concat(), stdin).await;
        assert_eq!((code, errors.as_str()), (0, ""), "{line:?}: {out}");
        serde_json::from_str(&out).unwrap()
    }
}

#[tokio::test]
async fn boot_refuses_a_missing_old_or_contracted_schema_and_a_powerful_role() {
    let database = Database::empty().await;
    // the roles belong to the cluster: another test may not have made them yet
    let other = Database::migrated().await;
    other.close().await;
    assert!(matches!(schema::check(&database.pool("frontdesk_worker")).await, Err(StoreError::SchemaMissing)));

    let first = schema::migrate(&database.url).await.unwrap();
    assert_eq!((first.from, first.to), (None, schema::NEEDED));
    let second = schema::migrate(&database.url).await.unwrap();
    assert_eq!((second.from, second.to, second.partitions_made), (Some(schema::NEEDED), schema::NEEDED, 0));
    for role in ["frontdesk_ingress", "frontdesk_worker", "frontdesk_backfill", "frontdesk_portal", "frontdesk_operator"] {
        let found = schema::check(&database.pool(role)).await.unwrap();
        assert_eq!(found.version, schema::NEEDED, "{role}");
    }
    let owner_pool = store::connect(&database.url, None, 1, "test").unwrap();
    assert!(matches!(schema::check(&owner_pool).await, Err(StoreError::RoleTooPowerful { .. })));

    let mut owner = database.owner().await;
    let worker = database.pool("frontdesk_worker");
    // two branches were merged: the newest migration is there, an older one is not
    let passed_over = "DELETE FROM schema_versions WHERE version = (SELECT version FROM schema_versions ORDER BY version DESC OFFSET 1 LIMIT 1) RETURNING version, oldest_compatible";
    let (gap, compatible): (i64, i64) = sqlx::query_as(passed_over).fetch_one(&mut owner).await.unwrap();
    assert!(matches!(schema::check(&worker).await, Err(StoreError::SchemaIncomplete { missing, .. }) if missing == gap));
    sqlx::query("INSERT INTO schema_versions VALUES ($1, $2)").bind(gap).bind(compatible).execute(&mut owner).await.unwrap();
    sqlx::query("INSERT INTO schema_versions (version, oldest_compatible) VALUES ($1 + 1, $1)").bind(schema::NEEDED).execute(&mut owner).await.unwrap();
    schema::check(&worker).await.expect("a newer schema that still supports this program is accepted");
    sqlx::query("INSERT INTO schema_versions (version, oldest_compatible) VALUES ($1 + 2, $1 + 1)").bind(schema::NEEDED).execute(&mut owner).await.unwrap();
    assert!(matches!(schema::check(&worker).await, Err(StoreError::SchemaTooNew { .. })));
    sqlx::query("UPDATE schema_versions SET oldest_compatible = 1, version = version - 10 WHERE version >= $1")
        .bind(schema::NEEDED)
        .execute(&mut owner)
        .await
        .unwrap();
    assert!(matches!(schema::check(&worker).await, Err(StoreError::SchemaTooOld { .. })));

    let (code, out, errors) = Operator::of(&database).run(&["company", "list"], "").await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(errors.contains("run `frontdesk migrate`") && errors.trim_end().lines().count() == 1, "{errors}");
    database.close().await;
}

#[tokio::test]
async fn the_demo_company_stands_whole_or_not_at_all() {
    let database = Database::migrated().await;
    let operator = Operator::of(&database);
    let made = operator.json(&["company", "add", "--from", DEMO], "").await;
    let (code, _, errors) = operator.run(&["company", "add", "--from", DEMO], "").await;
    assert_eq!(code, 2);
    assert!(errors.contains("already"), "{errors}");
    let listed = operator.json(&["company", "list"], "").await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "the refused second one left nothing");

    let id: Uuid = made["company_id"].as_str().unwrap().parse().unwrap();
    let setup = companies::load(&database.pool("frontdesk_operator"), id).await.unwrap().unwrap();
    let counts = (setup.branches.len(), setup.services.len(), setup.staff.len(), setup.phone_numbers.len(), setup.agents.len());
    assert_eq!(counts, (2, 3, 2, 2, 1));
    assert_eq!(setup.services.iter().map(|service| service.calcom_event_type_id.unwrap()).collect::<Vec<_>>(), [1320, 1321, 1444]);
    assert_eq!(operator.run(&["company", "show", "nobody"], "").await.0, 1);
    database.close().await;
}

/// What decides about a booking or a change can be seen and set without SQL: policies with their level, and which contact the Cal.com account demands.
#[tokio::test]
async fn a_company_shows_its_policies_and_the_contact_rule_that_was_set() {
    let database = Database::migrated().await;
    let operator = Operator::of(&database);
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("company.json");
    let mut company: Value = serde_json::from_str(&std::fs::read_to_string(DEMO).unwrap()).unwrap();
    company["policies"] = serde_json::json!([
        { "type": "cancellation", "service": "Beratung", "rules": { "hours_before": 48 } },
        { "type": "cancellation", "rules": { "hours_before": 24 } },
    ]);
    std::fs::write(&document, company.to_string()).unwrap();
    operator.json(&["company", "add", "--from", document.to_str().unwrap()], "").await;
    let shown = operator.json(&["company", "show", "Friseur Müller"], "").await;
    let policies: Vec<_> = shown["policies"].as_array().unwrap().iter().map(|policy| (&policy["service"], &policy["rules"]["hours_before"])).collect();
    assert_eq!(policies, [(&Value::Null, &serde_json::json!(24)), (&serde_json::json!("Beratung"), &serde_json::json!(48))]);
    let accounts = |rule: &str| serde_json::json!([{ "label": "demo", "contact_rule": rule }]);
    assert_eq!((&shown["name"], &shown["calcom_accounts"]), (&company["name"], &accounts("email_required")));

    operator.json(&["account", "contact-rule", "calcom/demo", "phone-required"], "").await;
    assert_eq!(operator.json(&["company", "show", "Friseur Müller"], "").await["calcom_accounts"], accounts("phone_required"));
    let (code, text, _) = operator.run(&["company", "show", "Friseur Müller"], "").await;
    assert_eq!(code, 0);
    for piece in ["service Beratung", "{\"hours_before\":24}", "phone_required"] {
        assert!(text.contains(piece), "{piece} is missing in:\n{text}");
    }
    assert_eq!(operator.run(&["account", "contact-rule", "retell/demo", "either"], "").await.0, 1, "Retell has no booking forms");
    assert_eq!(operator.run(&["account", "contact-rule", "calcom/demo", "fax"], "").await.0, 2);
    database.close().await;
}

#[tokio::test]
async fn a_rotated_endpoint_keeps_its_old_secret_for_the_overlap_and_shows_a_made_one_once() {
    let database = Database::migrated().await;
    let operator = Operator::of(&database);
    operator.json(&["account", "add", "--provider", "calcom", "--label", "main"], "").await;
    let added = operator.json(&["endpoint", "add", "--account", "calcom/main"], "").await;
    let (id, secret) = (added["id"].as_str().unwrap(), added["secret"].as_str().unwrap());
    assert!(secret.starts_with("whsec_") && added["path"] == format!("/v1/calcom/{id}"));

    operator.json(&["endpoint", "rotate", id, "--overlap", "1h", "--secret-stdin"], "a-new-secret\n").await;
    let keyring = Keyring::parse(&operator.master_keys).unwrap();
    let rows = endpoints::load_all(&database.pool("frontdesk_ingress")).await.unwrap();
    let mut open: Vec<_> = rows[0].secrets.iter().map(|row| (keyring.open(&row.aad(), &row.sealed()).unwrap(), row.not_after.is_some())).collect();
    open.sort_by_key(|(_, ends)| !ends);
    let open: Vec<_> = open.iter().map(|(secret, ends)| (secret.expose_secret(), *ends)).collect();
    assert_eq!(open, [(secret, true), ("a-new-secret", false)]);

    let (_, listed, _) = operator.run(&["endpoint", "list"], "").await;
    assert!(listed.contains("2 (1 ending)") && !listed.contains("secret-") && !listed.contains("whsec_"), "{listed}");
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM endpoint_secrets WHERE position('a-new-secret'::bytea IN ciphertext) > 0")
        .fetch_one(&mut database.owner().await)
        .await
        .unwrap();
    assert_eq!(stored, 0, "encrypted from the first row");

    operator.json(&["endpoint", "disable", id], "").await;
    assert_eq!(operator.run(&["endpoint", "rotate", id], "").await.0, 1);
    database.close().await;
}

#[tokio::test]
async fn an_account_has_one_live_key_which_rotates_in_its_row() {
    let database = Database::migrated().await;
    let operator = Operator::of(&database);
    operator.json(&["account", "add", "--provider", "calcom", "--label", "main"], "").await;
    let add = ["credential", "add", "--account", "main", "--base-url", "https://cal.example.org/api/v2/", "--api-key-stdin"];
    let id: Uuid = operator.json(&add, "cal_first").await["id"].as_str().unwrap().parse().unwrap();
    let (code, _, errors) = operator.run(&add, "cal_second").await;
    assert_eq!(code, 2);
    assert!(errors.contains("rotate") && !errors.contains("cal_second"), "{errors}");

    operator.json(&["credential", "rotate", &id.to_string(), "--api-key-stdin"], "cal_second\n").await;
    let keyring = Keyring::parse(&operator.master_keys).unwrap();
    let open = credentials::open(&database.pool("frontdesk_worker"), &keyring, id).await.unwrap().unwrap();
    assert_eq!((open.api_key.expose_secret(), open.base_url.as_str()), ("cal_second", "https://cal.example.org/api/v2"));
    operator.json(&["credential", "disable", &id.to_string()], "").await;
    assert_eq!(operator.run(&["credential", "disable", &id.to_string()], "").await.0, 1);
    database.close().await;
}

#[tokio::test]
async fn check_names_each_gap_with_its_remedy() {
    let database = Database::migrated().await;
    let operator = Operator::of(&database);
    operator.json(&["company", "add", "--from", DEMO], "").await;
    let (code, out, _) = operator.run(&["check", "--json"], "").await;
    assert_eq!(code, 1);
    let failed = |out: &str| -> Vec<(String, String)> {
        let answer: Value = serde_json::from_str(out).unwrap();
        let findings = answer["findings"].as_array().unwrap().iter().filter(|finding| finding["verdict"] == "failed");
        findings.map(|finding| (finding["check"].as_str().unwrap().to_owned(), finding["remedy"].as_str().unwrap().to_owned())).collect()
    };
    let found = failed(&out);
    for check in ["phone numbers", "services", "keys", "broker"] {
        assert!(found.iter().any(|(name, remedy)| name == check && !remedy.is_empty()), "{check}: {found:?}");
    }
    operator.json(&["endpoint", "add", "--account", "retell/demo", "--secret-stdin"], "key_1").await;
    operator.json(&["endpoint", "add", "--account", "calcom/demo"], "").await;
    operator.json(&["credential", "add", "--account", "calcom/demo", "--base-url", "https://api.cal.com/v2", "--api-key-stdin"], "cal_1").await;
    let (_, out, _) = operator.run(&["check", "--json"], "").await;
    let left = failed(&out);
    let key = left.iter().find(|(check, _)| check == "keys").expect("without a Retell key the calls of a lost webhook are lost");
    assert!(key.1.starts_with("frontdesk credential add --account retell/demo"), "{left:?}");
    operator.json(&["credential", "add", "--account", "retell/demo", "--base-url", "https://api.retellai.com", "--api-key-stdin"], "key_1").await;
    let (code, out, _) = operator.run(&["check", "--json"], "").await;
    assert_eq!(code, 1, "this operator has no AMQP_URL");
    assert_eq!(failed(&out).into_iter().map(|(check, _)| check).collect::<Vec<_>>(), ["broker"]);
    database.close().await;
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_without_its_body_and_retried_once() {
    let database = Database::migrated().await;
    let operator = Operator::of(&database);
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO dead_letters (id, queue, kind, role, reason, body) VALUES ($1, 'frontdesk.booking', 'calcom.booking_created', 'booking', 'unknown_event_type', 'geheim')")
        .bind(id)
        .execute(&mut database.owner().await)
        .await
        .unwrap();
    let text = id.to_string();
    let (code, listed, _) = operator.run(&["dead", "list", "--reason", "unknown_event_type", "--role", "booking"], "").await;
    assert!(code == 0 && listed.contains(&text) && !listed.contains("geheim"), "{listed}");
    assert!(!operator.run(&["dead", "show", &text], "").await.1.contains("geheim"));
    assert!(operator.run(&["dead", "show", &text, "--body"], "").await.1.contains("geheim"));
    assert_eq!(operator.run(&["dead", "retry", &text], "").await.0, 0);
    assert_eq!(operator.run(&["dead", "retry", &text], "").await.0, 1, "retried already");
    let published: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut database.owner().await).await.unwrap();
    assert_eq!(published, 1);
    assert_eq!(operator.run(&["dead", "discard", &text], "").await.0, 1);
    database.close().await;
}
