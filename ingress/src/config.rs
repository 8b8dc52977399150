//! What ingress needs to know before it starts: arguments and environment, checked all at once.
//!
//! The sections that other processes need too are `shared::config`'s. Called by `main`, and by tests that run ingress in their own process.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use shared::config::{Broker, BrokerArgs, ConfigError, Database, DatabaseArgs, Keys, KeysArgs, Problems, Telemetry, TelemetryArgs};

use crate::spool::SpoolConfig;
use crate::state::Deadlines;

/// The HTTP edge: proves who sent a request and hands it to RabbitMQ.
#[derive(Clone, Debug, Parser)]
#[command(name = "ingress", version)]
pub struct Args {
    /// Address for webhooks, functions, /healthz, /readyz and /metrics (port 0 takes a free one).
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Folder of the spool, of this process alone; it also keeps the sealed endpoint secrets.
    #[arg(long, env = "SPOOL_DIR", default_value = "spool")]
    pub spool_dir: PathBuf,
    /// What the spool may hold, in bytes.
    #[arg(long, env = "SPOOL_BYTES_MAX", default_value = "1073741824")]
    pub spool_bytes_max: String,
    /// What the spool leaves free on its file system, in bytes.
    #[arg(long, env = "SPOOL_FREE_BYTES_MIN", default_value = "268435456")]
    pub spool_free_bytes_min: String,
    /// Open connections.
    #[arg(long, env = "CONNECTIONS_MAX", default_value = "4096")]
    pub connections_max: String,
    /// Requests at work at one time; beyond it a sender hears 429.
    #[arg(long, env = "REQUESTS_MAX", default_value = "4096")]
    pub requests_max: String,
    /// Failing signatures per second and endpoint that hear 401 (twice as many at once); beyond it they hear 429. Authentic requests never do.
    #[arg(long, env = "SIGNATURE_FAILURES_PER_SECOND", default_value = "2000")]
    pub signature_failures_per_second: String,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub keys: KeysArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub spool: SpoolConfig,
    pub connections_max: usize,
    pub requests_max: usize,
    pub signature_failures_per_second: u32,
    pub database: Database,
    pub broker: Broker,
    pub keys: Keys,
    pub telemetry: Telemetry,
    /// Not from the environment: the contract. Tests shorten them.
    pub deadlines: Deadlines,
}

impl Args {
    /// Checks everything.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<Config, ConfigError> {
        let mut problems = Problems::default();
        let listen = problems.parsed("LISTEN", &self.listen, "an address such as 127.0.0.1:8080");
        if self.spool_dir.as_os_str().is_empty() {
            problems.add("SPOOL_DIR is empty");
        }
        let config = Config {
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            spool: SpoolConfig {
                folder: self.spool_dir.clone(),
                // Two segments at least: one is written while the one before drains.
                bytes_max: problems.number("SPOOL_BYTES_MAX", &self.spool_bytes_max, 64 * 1024 * 1024..=u64::MAX),
                free_bytes_min: problems.number("SPOOL_FREE_BYTES_MIN", &self.spool_free_bytes_min, 0..=u64::MAX),
            },
            connections_max: problems.number("CONNECTIONS_MAX", &self.connections_max, 1..=100_000),
            requests_max: problems.number("REQUESTS_MAX", &self.requests_max, 1..=100_000),
            signature_failures_per_second: problems.number("SIGNATURE_FAILURES_PER_SECOND", &self.signature_failures_per_second, 1..=1_000_000),
            database: self.database.check("frontdesk_ingress", &mut problems),
            broker: self.broker.check(&mut problems),
            keys: self.keys.check(&mut problems),
            telemetry: self.telemetry.check(&mut problems),
            deadlines: Deadlines::default(),
        };
        problems.finish(config)
    }
}
