//! The sections of configuration that several processes share, each a clap struct to flatten and a checked struct to use.
//!
//! A process owns exactly the sections it needs. All problems are reported at once: every section's `check` takes the same [`Problems`], and only
//! [`Problems::finish`] decides. Secrets come as `NAME` or as a file named by `NAME_FILE`. Debug of everything here is redacted.
//!
//! ```ignore
//! let mut problems = Problems::default();
//! let checked = Config { database: args.database.check("frontdesk_worker", &mut problems), broker: args.broker.check(&mut problems) };
//! let config = problems.finish(checked)?;
//! ```

mod problems;
mod providers;
mod sections;

pub use problems::{ConfigError, Problems};
pub use providers::{Calcom, CalcomArgs, Retell, RetellArgs};
pub use sections::{Broker, BrokerArgs, Database, DatabaseArgs, Keys, KeysArgs, LogFormat, Telemetry, TelemetryArgs};
