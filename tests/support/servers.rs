//! A database from a migrated template and a vhost with its topology, both of one test and gone with it.

use std::str::FromStr;

use reqwest::Method;
use sha2::{Digest, Sha256};
use shared::broker::Scale;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

/// Tier times are divided by this in tests.
pub const TIERS_DIVISOR: u32 = 100;
/// The key of the advisory lock under which the template is made.
const TEMPLATE_LOCK: i64 = 0x0066_726f_6e74;

/// A variable that `cargo dev test` sets.
///
/// # Panics
/// When it is not set: a test without its servers fails.
#[must_use]
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `cargo dev test`, which starts private servers"))
}

async fn admin() -> PgConnection {
    PgConnectOptions::from_str(&variable("DATABASE_URL"))
        .expect("DATABASE_URL is a Postgres URL")
        .disable_statement_logging()
        .connect()
        .await
        .expect("the test database server answers")
}

async fn run(connection: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(connection).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The URL of another database on the same server.
#[must_use]
pub fn database_url(name: &str) -> String {
    let url = variable("DATABASE_URL");
    let (base, query) = url.split_once('?').map_or((url.as_str(), String::new()), |(base, query)| (base, format!("?{query}")));
    let slash = base.rfind('/').expect("DATABASE_URL names a database");
    format!("{}/{name}{query}", &base[..slash])
}

/// One template per content of the migrations: an edited file makes a new one.
fn template_name() -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the migrations").map(|entry| entry.expect("a migration").path()).collect();
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(std::fs::read(file).expect("a migration"));
    }
    format!("frontdesk_template_{}_test", hex::encode(&digest.finalize()[..6]))
}

/// Makes `name` (which ends in `_test`) as a copy of the migrated template; the template is made once per set of migrations.
///
/// # Panics
/// When the name is not a test's or the server refuses.
pub async fn create_database(name: &str) {
    assert!(name.ends_with("_test"), "a test database's name ends in _test (incident 94)");
    let template = template_name();
    let mut connection = admin().await;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await.expect("the template's lock");
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate)")
        .bind(&template)
        .fetch_one(&mut connection)
        .await
        .expect("the list of databases");
    if !known {
        run(&mut connection, format!("DROP DATABASE IF EXISTS {template}")).await;
        run(&mut connection, format!("CREATE DATABASE {template}")).await;
        shared::store::schema::migrate(&database_url(&template)).await.expect("the migrations apply to an empty database");
        run(&mut connection, format!("ALTER DATABASE {template} WITH is_template true")).await;
    }
    run(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await.expect("the template's lock");
}

/// Drops a test's database, whoever is still connected.
pub async fn drop_database(name: &str) {
    if name.ends_with("_test") {
        let mut connection = admin().await;
        run(&mut connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    }
}

/// Calls the broker's management API.
///
/// # Panics
/// When it does not answer.
pub async fn manage(method: Method, path: &str, body: Option<serde_json::Value>) -> reqwest::Response {
    manage_with(crate::http::client(), method, path, body).await
}

async fn manage_with(client: &reqwest::Client, method: Method, path: &str, body: Option<serde_json::Value>) -> reqwest::Response {
    let base = reqwest::Url::parse(&variable("RABBITMQ_MANAGEMENT_URL")).expect("RABBITMQ_MANAGEMENT_URL is a URL");
    let (user, password) = (base.username().to_owned(), base.password().unwrap_or_default().to_owned());
    let url = format!("{}://{}:{}{path}", base.scheme(), base.host_str().expect("a host"), base.port_or_known_default().expect("a port"));
    let mut request = client.request(method, url).basic_auth(user, Some(password));
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.expect("the broker's management API answers")
}

/// The AMQP URL of a vhost.
#[must_use]
pub fn amqp_url(vhost: &str) -> String {
    let url = variable("AMQP_URL");
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find('/').map_or(url.len(), |at| after_scheme + at);
    format!("{}/{vhost}", &url[..end])
}

/// Makes a vhost with the topology at the tests' scale.
///
/// # Panics
/// When the broker refuses.
pub async fn create_vhost(name: &str) -> String {
    let status = manage(Method::PUT, &format!("/api/vhosts/{name}"), None).await.status();
    assert!(status.is_success(), "the vhost was not made: {status}");
    let user = reqwest::Url::parse(&variable("AMQP_URL")).expect("AMQP_URL is a URL").username().to_owned();
    let all = serde_json::json!({ "configure": ".*", "write": ".*", "read": ".*" });
    let status = manage(Method::PUT, &format!("/api/permissions/{name}/{user}"), Some(all)).await.status();
    assert!(status.is_success(), "the vhost's permissions were not set: {status}");
    let url = amqp_url(name);
    shared::broker::apply(&url, Scale::divided_by(TIERS_DIVISOR)).await.expect("the topology applies");
    url
}

/// Deletes a test's vhost.
pub async fn delete_vhost(name: &str) {
    delete_vhost_with(crate::http::client(), name).await;
}

/// As [`delete_vhost`] for another runtime than the test's: the shared client's connections live in the test's.
pub async fn delete_vhost_with(client: &reqwest::Client, name: &str) {
    manage_with(client, Method::DELETE, &format!("/api/vhosts/{name}"), None).await;
}
