//! The sections of our own infrastructure: database, broker, master keys, logs and metrics.
//!
//! Ingress, workers, cli and dev flatten the `…Args` they need. Numbers are text until `check`, so that one run reports every bad one.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::Problems;
use crate::secret::Keyring;

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// Where Postgres is and which role this process takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// Postgres URL; or put it into a file named by DATABASE_URL_FILE.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    pub database_url: Option<SecretString>,
    #[arg(long, env = "DATABASE_URL_FILE", hide = true)]
    pub database_url_file: Option<PathBuf>,
    /// Database role taken after login (default: the role of this executable).
    #[arg(long, env = "DATABASE_ROLE")]
    pub database_role: Option<String>,
    /// Connections for the live lane (default: its permits + 2).
    #[arg(long, env = "DATABASE_POOL_LIVE_MAX")]
    pub database_pool_live_max: Option<String>,
    /// Connections for the bulk lane and for everything else (default: its permits + 2).
    #[arg(long, env = "DATABASE_POOL_BULK_MAX")]
    pub database_pool_bulk_max: Option<String>,
    /// How long to wait for a free connection, in milliseconds.
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT_MS", default_value = "5000")]
    pub database_acquire_timeout_ms: String,
}

/// The checked database section.
#[derive(Clone)]
pub struct Database {
    pub url: SecretString,
    pub role: String,
    /// `None`: permits + 2.
    pub pool_live_max: Option<u32>,
    /// `None`: permits + 2.
    pub pool_bulk_max: Option<u32>,
    pub acquire_timeout: Duration,
}

impl DatabaseArgs {
    #[must_use]
    pub fn check(&self, default_role: &str, problems: &mut Problems) -> Database {
        let url = problems.required_secret("DATABASE_URL", self.database_url.as_ref(), self.database_url_file.as_ref());
        check_scheme("DATABASE_URL", &url, &["postgres://", "postgresql://"], problems);
        // A variable that is set to nothing counts as not set: deployment files list them all.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let role = given(&self.database_role).unwrap_or_else(|| default_role.to_owned());
        // The role goes into a startup option (`-c role=`): a plain identifier only.
        if role.is_empty() || role.len() > 63 || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            problems.add("DATABASE_ROLE is not a plain identifier of letters, digits and underscores");
        }
        let pool = |name: &str, text: &Option<String>, problems: &mut Problems| given(text).map(|text| problems.number(name, &text, 1..=500));
        Database {
            url,
            role,
            pool_live_max: pool("DATABASE_POOL_LIVE_MAX", &self.database_pool_live_max, problems),
            pool_bulk_max: pool("DATABASE_POOL_BULK_MAX", &self.database_pool_bulk_max, problems),
            acquire_timeout: problems.millis("DATABASE_ACQUIRE_TIMEOUT_MS", &self.database_acquire_timeout_ms, 10..=60_000),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Database")
            .field("url", &redacted_url(&self.url))
            .field("role", &self.role)
            .field("pool_live_max", &self.pool_live_max)
            .field("pool_bulk_max", &self.pool_bulk_max)
            .field("acquire_timeout", &self.acquire_timeout)
            .finish()
    }
}

/// Where RabbitMQ is and how long a confirm may take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub struct BrokerArgs {
    /// RabbitMQ URL with the vhost; or put it into a file named by AMQP_URL_FILE.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_parser = secret)]
    pub amqp_url: Option<SecretString>,
    #[arg(long, env = "AMQP_URL_FILE", hide = true)]
    pub amqp_url_file: Option<PathBuf>,
    /// How long one publish may wait for the broker's confirm, in milliseconds.
    #[arg(long, env = "AMQP_CONFIRM_TIMEOUT_MS", default_value = "2000")]
    pub amqp_confirm_timeout_ms: String,
    /// Publishes awaiting their confirm at the same time.
    #[arg(long, env = "AMQP_IN_FLIGHT_MAX", default_value = "512")]
    pub amqp_in_flight_max: String,
    /// Divides the times of the delay tiers; tests run at 100.
    #[arg(long, env = "DELAY_TIERS_DIVISOR", default_value = "1")]
    pub delay_tiers_divisor: String,
}

/// The checked broker section.
#[derive(Clone)]
pub struct Broker {
    pub amqp_url: SecretString,
    pub confirm_timeout: Duration,
    pub in_flight_max: usize,
    pub delay_tiers_divisor: u32,
}

impl BrokerArgs {
    #[must_use]
    pub fn check(&self, problems: &mut Problems) -> Broker {
        let amqp_url = problems.required_secret("AMQP_URL", self.amqp_url.as_ref(), self.amqp_url_file.as_ref());
        check_scheme("AMQP_URL", &amqp_url, &["amqp://"], problems);
        Broker {
            amqp_url,
            confirm_timeout: problems.millis("AMQP_CONFIRM_TIMEOUT_MS", &self.amqp_confirm_timeout_ms, 50..=30_000),
            in_flight_max: problems.number("AMQP_IN_FLIGHT_MAX", &self.amqp_in_flight_max, 1..=10_000),
            delay_tiers_divisor: problems.number("DELAY_TIERS_DIVISOR", &self.delay_tiers_divisor, 1..=1_000),
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Broker")
            .field("amqp_url", &redacted_url(&self.amqp_url))
            .field("confirm_timeout", &self.confirm_timeout)
            .field("in_flight_max", &self.in_flight_max)
            .field("delay_tiers_divisor", &self.delay_tiers_divisor)
            .finish()
    }
}

/// The master keys of the secrets at rest.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Keys")]
pub struct KeysArgs {
    /// id:base64 of 32 bytes, the current key first, older ones after commas; or put them into a file named by MASTER_KEYS_FILE.
    #[arg(long, env = "MASTER_KEYS", hide_env_values = true, value_parser = secret)]
    pub master_keys: Option<SecretString>,
    #[arg(long, env = "MASTER_KEYS_FILE", hide = true)]
    pub master_keys_file: Option<PathBuf>,
}

/// The checked keys section.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Present whenever `Problems::finish` let this section through.
    keyring: Option<Keyring>,
}

impl KeysArgs {
    #[must_use]
    pub fn check(&self, problems: &mut Problems) -> Keys {
        let text = problems.required_secret("MASTER_KEYS", self.master_keys.as_ref(), self.master_keys_file.as_ref());
        if text.expose_secret().is_empty() {
            return Keys { keyring: None };
        }
        match Keyring::parse(text.expose_secret()) {
            Ok(keyring) => Keys { keyring: Some(keyring) },
            Err(error) => {
                problems.add(format!("MASTER_KEYS: {error}"));
                Keys { keyring: None }
            }
        }
    }
}

impl Keys {
    /// The key ring.
    ///
    /// # Panics
    /// Never after `Problems::finish`: a section without a ring has added a problem.
    #[must_use]
    pub fn into_keyring(self) -> Keyring {
        self.keyring.expect("a keys section without a ring has added a problem, and Problems::finish refuses then")
    }
}

/// How this process shows itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// auto (text on a terminal, else json), json or text.
    #[arg(long, env = "LOG_FORMAT", default_value = "auto")]
    pub log_format: String,
    /// Level, or target=level directives.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Address of /metrics, /healthz and /readyz, such as 127.0.0.1:9100 (port 0 takes a free one).
    #[arg(long, env = "METRICS_LISTEN")]
    pub metrics_listen: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Json,
    Text,
}

/// The checked telemetry section.
#[derive(Clone, Debug)]
pub struct Telemetry {
    pub log_format: LogFormat,
    pub log_level: String,
    pub metrics_listen: Option<SocketAddr>,
}

impl TelemetryArgs {
    #[must_use]
    pub fn check(&self, problems: &mut Problems) -> Telemetry {
        let log_format = match self.log_format.as_str() {
            "auto" => LogFormat::Auto,
            "json" => LogFormat::Json,
            "text" => LogFormat::Text,
            _ => {
                problems.add("LOG_FORMAT is none of auto, json, text");
                LogFormat::Auto
            }
        };
        if tracing_subscriber::EnvFilter::builder().parse(&self.log_level).is_err() {
            problems.add("LOG_LEVEL is not a list of target=level directives");
        }
        let listen = self.metrics_listen.as_deref().filter(|text| !text.trim().is_empty());
        let metrics_listen = listen.and_then(|text| problems.parsed("METRICS_LISTEN", text, "an address such as 127.0.0.1:9100"));
        Telemetry { log_format, log_level: self.log_level.clone(), metrics_listen }
    }
}

fn check_scheme(name: &str, url: &SecretString, schemes: &[&str], problems: &mut Problems) {
    let url = url.expose_secret();
    if !url.is_empty() && !schemes.iter().any(|scheme| url.starts_with(scheme)) {
        problems.add(format!("{name} does not start with {}", schemes.join(" or ")));
    }
}

/// A URL without its user, password and query: what may be printed.
fn redacted_url(url: &SecretString) -> String {
    let url = url.expose_secret();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // The last @ ends the user part; a password may hold one, and a / as well.
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::secret::generate_master_key;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        broker: BrokerArgs,
        #[command(flatten)]
        keys: KeysArgs,
        #[command(flatten)]
        telemetry: TelemetryArgs,
    }

    fn check(arguments: &[&str]) -> Result<(Database, Broker, Keys, Telemetry), super::super::ConfigError> {
        let program = Program::try_parse_from([&["program"], arguments].concat()).unwrap();
        let mut problems = Problems::default();
        let checked = (
            program.database.check("frontdesk_worker", &mut problems),
            program.broker.check(&mut problems),
            program.keys.check(&mut problems),
            program.telemetry.check(&mut problems),
        );
        problems.finish(checked)
    }

    #[test]
    fn a_sound_configuration_passes_and_prints_no_secret() {
        let keys = generate_master_key("k1");
        let (database, broker, keys, telemetry) = check(&[
            "--database-url=postgres://user:p@ss/w0rd@db.example:5432/frontdesk?password=w0rd",
            "--amqp-url=amqp://user:w0rd@mq.example:5672/frontdesk",
            &format!("--master-keys={}", keys.expose_secret()),
            "--metrics-listen=127.0.0.1:0",
        ])
        .unwrap();
        assert_eq!(database.role, "frontdesk_worker");
        assert_eq!(broker.confirm_timeout, Duration::from_secs(2));
        assert!(telemetry.metrics_listen.is_some());
        let printed = format!("{database:?} {broker:?} {keys:?}");
        assert!(!printed.contains("w0rd") && !printed.contains("user"), "{printed}");
        assert!(printed.contains("db.example:5432/frontdesk"), "{printed}");
        assert_eq!(keys.into_keyring().current_key_id(), "k1");
    }

    #[test]
    fn every_problem_is_told_at_once_and_without_values() {
        let error = check(&[
            "--database-url=mysql://user:w0rd@x/y",
            "--database-role=x; drop role y",
            "--database-pool-live-max=0",
            // given, so that the variable of whoever runs the tests says nothing
            "--amqp-url=https://user:w0rd@x/y",
            "--amqp-confirm-timeout-ms=soon",
            "--master-keys=k1:w0rd",
            "--log-format=xml",
            "--metrics-listen=everywhere",
        ])
        .unwrap_err();
        for name in
            ["DATABASE_URL", "DATABASE_ROLE", "DATABASE_POOL_LIVE_MAX", "AMQP_URL", "AMQP_CONFIRM_TIMEOUT_MS", "MASTER_KEYS", "LOG_FORMAT", "METRICS_LISTEN"]
        {
            assert!(error.problems.iter().any(|problem| problem.starts_with(name)), "{name} is missing in: {error}");
        }
        assert!(!error.to_string().contains("w0rd"), "{error}");
    }

    #[test]
    fn raw_arguments_print_no_secret_either() {
        let program = Program::try_parse_from(["program", "--database-url=postgres://u:w0rd@x/y", "--master-keys=k1:w0rd"]).unwrap();
        let printed = format!("{:?} {:?} {:?} {:?}", program.database, program.broker, program.keys, program.telemetry);
        assert!(!printed.contains("w0rd"), "{printed}");
    }
}
