//! The command line and environment of `workers`, checked at once. One process owns exactly the sections that its roles need.
//!
//! `deploy/env/*.env` are samples of it, parsed by a test. Tests build [`Config`] directly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use shared::config::{
    Broker, BrokerArgs, Calcom, CalcomArgs, ConfigError, Database, DatabaseArgs, KeysArgs, Problems, Retell, RetellArgs, Telemetry, TelemetryArgs,
};
use shared::envelope::Role;
use shared::secret::Keyring;

/// One permit is one message and one connection; sixteen callers at once per role and process.
const PERMITS_LIVE: &str = "16";
/// One permit is one group of up to sixteen messages; more than eight transactions only wait for the same disk.
const PERMITS_BULK: &str = "8";
/// Where metrics and health listen if nothing is said: a free port, told in the log; several roles fit on one machine.
const METRICS_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The stop bounds of the architecture (section 6, Drain): an orchestrator's grace period is these plus ten seconds.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// calcom-sync may stand in a booking call that Cal.com takes 30 s for.
pub(crate) const DRAIN_MAX_CALCOM_SYNC: Duration = Duration::from_secs(35);

/// frontdesk's workers: consume the queues of one role (or of several on one machine).
#[derive(Parser, Debug)]
#[command(name = "workers", version, after_help = "Examples:\n  workers booking\n  workers booking reschedule cancellation\n  workers all")]
pub struct Args {
    /// Roles of this process: booking, reschedule, cancellation, calcom-sync, desk, calls, backfill, scheduler; or all.
    #[arg(required = true, num_args = 1..)]
    pub roles: Vec<String>,
    /// Messages in work at the same time on each live lane.
    #[arg(long, env = "PERMITS_LIVE", default_value = PERMITS_LIVE)]
    pub permits_live: String,
    /// Transactions at the same time on each bulk lane; each takes up to 16 messages.
    #[arg(long, env = "PERMITS_BULK", default_value = PERMITS_BULK)]
    pub permits_bulk: String,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub keys: KeysArgs,
    #[command(flatten)]
    pub calcom: CalcomArgs,
    #[command(flatten)]
    pub retell: RetellArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub roles: Vec<Role>,
    /// Of each live lane.
    pub permits_live: u16,
    /// Of each bulk lane.
    pub permits_bulk: u16,
    pub database: Database,
    pub broker: Broker,
    /// Only where a role opens credentials.
    pub keyring: Option<Arc<Keyring>>,
    pub calcom: Calcom,
    pub retell: Retell,
    pub telemetry: Telemetry,
}

impl Args {
    /// Checks everything and reports all problems at once.
    ///
    /// # Errors
    /// The list of problems, without secret values.
    pub fn check(self) -> Result<Config, ConfigError> {
        let mut problems = Problems::default();
        let roles = roles(&self.roles, &mut problems);
        let needs_keys = roles.iter().any(|role| opens_credentials(*role));
        // the section is checked only where it is needed: the other roles run without the master keys
        let keys = needs_keys.then(|| self.keys.check(&mut problems));
        let config = Config {
            permits_live: problems.number("PERMITS_LIVE", &self.permits_live, 1..=256),
            permits_bulk: problems.number("PERMITS_BULK", &self.permits_bulk, 1..=64),
            database: self.database.check("frontdesk_worker", &mut problems),
            broker: self.broker.check(&mut problems),
            keyring: None,
            calcom: self.calcom.check(&mut problems),
            retell: self.retell.check(&mut problems),
            telemetry: self.telemetry.check(&mut problems),
            roles,
        };
        let config = problems.finish(config)?;
        Ok(Config { keyring: keys.map(|keys| Arc::new(keys.into_keyring())), ..config })
    }
}

impl Config {
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    #[must_use]
    pub fn metrics_listen(&self) -> SocketAddr {
        self.telemetry.metrics_listen.unwrap_or(METRICS_LISTEN)
    }

    /// How long a stop may take.
    #[must_use]
    pub fn drain_max(&self) -> Duration {
        if self.roles.contains(&Role::CalcomSync) { DRAIN_MAX_CALCOM_SYNC } else { DRAIN_MAX }
    }
}

/// calcom-sync calls Cal.com, the scheduler's jobs read Retell's lists, and whoever offers times reads what is free.
const fn opens_credentials(role: Role) -> bool {
    matches!(role, Role::CalcomSync | Role::Scheduler | Role::Desk | Role::Booking | Role::Reschedule)
}

fn roles(names: &[String], problems: &mut Problems) -> Vec<Role> {
    let mut roles = Vec::new();
    for name in names {
        if name == "all" {
            roles.extend(crate::registry::ROLES);
        } else if let Some(role) = Role::parse(name).filter(|role| crate::registry::ROLES.contains(role)) {
            roles.push(role);
        } else {
            let known: Vec<_> = crate::registry::ROLES.iter().map(|role| role.name()).collect();
            problems.add(format!("{} is not a role of this program: {} or all", name.escape_debug(), known.join(", ")));
        }
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<Config, ConfigError> {
        let servers = ["--database-url=postgres://u:w0rd@db/frontdesk", "--amqp-url=amqp://u:w0rd@mq/frontdesk"];
        Args::try_parse_from([&["workers"], arguments, &servers].concat()).unwrap().check()
    }

    #[test]
    fn one_role_needs_no_master_keys_and_has_the_documented_defaults() {
        let config = check(&["cancellation"]).unwrap();
        assert_eq!(config.roles, [Role::Cancellation]);
        assert_eq!((config.permits_live, config.permits_bulk), (16, 8));
        assert_eq!(config.database.role, "frontdesk_worker");
        assert_eq!(config.drain_max(), DRAIN_MAX);
        assert!(config.keyring.is_none());
        assert!(!format!("{config:?}").contains("w0rd"));
    }

    #[test]
    fn whoever_asks_a_provider_needs_the_master_keys_and_calcom_sync_drains_longer() {
        for role in ["calcom-sync", "desk", "booking", "reschedule"] {
            let error = check(&[role]).unwrap_err();
            assert!(error.to_string().contains("MASTER_KEYS"), "{role}: {error}");
        }
        let key = shared::secret::generate_master_key("k1");
        let keys = format!("--master-keys={}", shared::secret::ExposeSecret::expose_secret(&key));
        let config = check(&["booking", "calcom-sync", "booking", &keys]).unwrap();
        assert_eq!(config.roles, [Role::Booking, Role::CalcomSync]);
        assert_eq!(config.drain_max(), DRAIN_MAX_CALCOM_SYNC);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let error = check(&["bookings", "--permits-live=0", "--permits-bulk=many"]).unwrap_err();
        for name in ["bookings", "PERMITS_LIVE", "PERMITS_BULK"] {
            assert!(error.to_string().contains(name), "{name} is missing in: {error}");
        }
    }
}
