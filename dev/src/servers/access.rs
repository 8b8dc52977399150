//! How to reach the servers as administrator, and what is done there: databases and vhosts for story and tests.
//! Not for the product: its roles get their own users. Called by `Servers`.
use std::time::Duration;

use reqwest::{Client, Method, Url};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::error::{Result, ServersError};

/// A vhost with thirty quorum queues takes under a second; a loaded two-core machine ten times that.
const REQUEST_BOUND: Duration = Duration::from_secs(30);
const CONNECT_BOUND: Duration = Duration::from_secs(10);

/// The broker's address and administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmqpAdmin {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
}

/// Everything an administrator of the servers needs. Holds passwords: never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// To the maintenance database, as a superuser or at least with CREATEDB and CREATEROLE.
    pub database_admin_url: String,
    pub amqp_admin: AmqpAdmin,
    /// Base of the management API with user and password in it, without a closing slash.
    pub management_url: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access(…)")
    }
}

impl Access {
    /// From the environment's three URLs; the management URL is guessed from the AMQP one when absent.
    pub fn given(database: &str, amqp: &str, management: Option<&str>) -> Result<Self> {
        let amqp = Url::parse(amqp).map_err(|_| ServersError::Url("AMQP_URL"))?;
        Url::parse(database).map_err(|_| ServersError::Url("DATABASE_URL"))?;
        let text = |part: &str| percent_decode(part).ok_or(ServersError::Url("AMQP_URL"));
        let user = if amqp.username().is_empty() { "guest".to_owned() } else { text(amqp.username())? };
        let password = text(amqp.password().unwrap_or("guest"))?;
        let host = amqp.host_str().ok_or(ServersError::Url("AMQP_URL"))?.to_owned();
        let guess = format!("http://{host}:15672");
        let mut url = Url::parse(management.unwrap_or(&guess)).map_err(|_| ServersError::Url("RABBITMQ_MANAGEMENT_URL"))?;
        if url.username().is_empty() {
            url.set_username(&user).and_then(|()| url.set_password(Some(&password))).map_err(|()| ServersError::Url("RABBITMQ_MANAGEMENT_URL"))?;
        }
        Ok(Self {
            database_admin_url: database.to_owned(),
            amqp_admin: AmqpAdmin { host, port: amqp.port().unwrap_or(5672), user, password },
            management_url: url.as_str().trim_end_matches('/').to_owned(),
        })
    }

    /// AMQP URL of a vhost, as administrator. `name` has passed [`checked_name`].
    pub fn amqp_url(&self, vhost: &str) -> String {
        let AmqpAdmin { host, port, user, password } = &self.amqp_admin;
        format!("amqp://{}:{}@{host}:{port}/{vhost}", percent_encode(user), percent_encode(password))
    }

    /// URL of a database, as administrator.
    pub fn database_url(&self, name: &str) -> Result<String> {
        let mut url = Url::parse(&self.database_admin_url).map_err(|_| ServersError::Url("DATABASE_URL"))?;
        url.set_path(name);
        Ok(url.into())
    }

    /// True when both name the same Postgres server.
    pub fn same_postgres(&self, database_url: &str) -> bool {
        let place = |url: &str| Url::parse(url).ok().map(|url| (url.host_str().map(str::to_owned), url.port()));
        place(&self.database_admin_url).is_some_and(|own| Some(own) == place(database_url))
    }

    /// One statement to the maintenance database.
    pub async fn execute(&self, operation: String, statement: String) -> Result<()> {
        let work = async {
            let mut connection = PgConnection::connect(&self.database_admin_url).await?;
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            connection.close().await
        };
        let answered = tokio::time::timeout(REQUEST_BOUND, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        answered.map_err(|source| ServersError::Postgres { operation, source: Box::new(source) })
    }

    /// One request to the management API; `path` begins below `/api/`.
    pub async fn manage(&self, operation: String, method: Method, path: &str, body: Option<serde_json::Value>) -> Result<()> {
        let http = http_client().map_err(|source| ServersError::Management { operation: operation.clone(), source })?;
        let mut request = http.request(method, format!("{}/api/{path}", self.management_url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(ServersError::Refused { operation, status: answer.status().as_u16() }),
            Err(source) => Err(ServersError::Management {
                operation,
                // The URL holds the password.
                source: source.without_url(),
            }),
        }
    }

    /// Creates an empty database.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let name = checked_name(name)?;
        self.execute(format!("create database {name}"), format!("CREATE DATABASE \"{name}\"")).await?;
        self.database_url(name)
    }

    /// Drops a database with the sessions on it; fine when it is not there.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let name = checked_name(name)?;
        let statement = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
        self.execute(format!("drop database {name}"), statement).await
    }

    /// Creates a vhost in which the administrator may do everything.
    pub async fn create_vhost(&self, name: &str) -> Result<String> {
        let name = checked_name(name)?;
        let vhost = format!("vhosts/{name}");
        // PUT also succeeds for a vhost that exists, which would be somebody else's.
        match self.manage(format!("look for vhost {name}"), Method::GET, &vhost, None).await {
            Err(ServersError::Refused { status: 404, .. }) => {}
            Ok(()) => return Err(ServersError::NotOurs(format!("vhost {name}"))),
            Err(error) => return Err(error),
        }
        self.manage(format!("create vhost {name}"), Method::PUT, &vhost, None).await?;
        let rights = serde_json::json!({"configure": ".*", "write": ".*", "read": ".*"});
        let path = format!("permissions/{name}/{}", percent_encode(&self.amqp_admin.user));
        self.manage(format!("open vhost {name}"), Method::PUT, &path, Some(rights)).await?;
        Ok(self.amqp_url(name))
    }

    /// Deletes a vhost with its queues; fine when it is not there.
    pub async fn delete_vhost(&self, name: &str) -> Result<()> {
        let name = checked_name(name)?;
        let deleted = self.manage(format!("delete vhost {name}"), Method::DELETE, &format!("vhosts/{name}"), None).await;
        match deleted {
            Err(ServersError::Refused { status: 404, .. }) => Ok(()),
            other => other,
        }
    }
}

/// A client for the loopback: no proxy of the environment may come in between.
pub fn http_client() -> std::result::Result<Client, reqwest::Error> {
    Client::builder().no_proxy().connect_timeout(CONNECT_BOUND).timeout(REQUEST_BOUND).build()
}

/// Names go into SQL and URLs as they are, so they are restricted instead of quoted.
pub fn checked_name(name: &str) -> Result<&str> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && name.len() <= 63 && name.starts_with(|first: char| first.is_ascii_lowercase()) { Ok(name) } else { Err(ServersError::Name(name.to_owned())) }
}

fn percent_encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_broker_url_yields_its_user_and_a_management_url() {
        let access = Access::given("postgres://u:p@db:5433/postgres", "amqp://a%40b:p%2Fw@mq:5673/%2f", None).expect("read");
        assert_eq!(access.amqp_admin.user, "a@b");
        assert_eq!(access.amqp_admin.password, "p/w");
        assert_eq!(access.management_url, "http://a%40b:p%2Fw@mq:15672");
        assert_eq!(access.amqp_url("x"), "amqp://a%40b:p%2Fw@mq:5673/x");
        assert_eq!(access.database_url("other").expect("url"), "postgres://u:p@db:5433/other");
    }

    #[test]
    fn the_same_server_is_recognised_behind_another_database_name() {
        let access = Access::given("postgres://u:p@127.0.0.1:5433/postgres", "amqp://127.0.0.1", None).expect("read");
        assert!(access.same_postgres("postgres://v:q@127.0.0.1:5433/frontdesk_dev"));
        assert!(!access.same_postgres("postgres://u:p@127.0.0.1:5432/postgres"));
    }

    #[test]
    fn names_that_could_leave_their_quotes_are_refused() {
        assert!(checked_name("frontdesk_dev").is_ok());
        for bad in ["", "1x", "a\"b", "a/b", "A", &"a".repeat(64)] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_do_not_print() {
        let access = Access::given("postgres://u:geheim@db/x", "amqp://u:geheim@mq", None).expect("read");
        assert!(!format!("{access:?}").contains("geheim"));
    }
}
