//! `frontdesk topology`: puts exchanges and queues into RabbitMQ, as the admin user.

use clap::Subcommand;
use secrecy::ExposeSecret;
use serde_json::json;
use shared::broker;
use shared::broker::Scale;

use crate::{CliError, Outcome, Session};

/// The exchanges and queues in RabbitMQ.
#[derive(Debug, Subcommand)]
pub enum Topology {
    /// Declare what is missing and verify the arguments of what is there. Needs the admin user in AMQP_URL. Can be repeated.
    #[command(after_help = "Example: AMQP_URL=amqp://admin:…@localhost:5672/frontdesk frontdesk topology apply")]
    Apply {
        /// Divide the times of the delay tiers by this, for test brokers only (default: DELAY_TIERS_DIVISOR, else 1).
        #[arg(long, value_name = "DIVISOR", value_parser = clap::value_parser!(u32).range(1..=1000))]
        scale: Option<u32>,
    },
}

impl Topology {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let Self::Apply { scale } = self;
        let scale = match (scale, session.environment.get("DELAY_TIERS_DIVISOR")) {
            (Some(scale), _) => scale,
            (None, Some(text)) => {
                let parsed = text.trim().parse().ok().filter(|scale| (1..=1000).contains(scale));
                parsed.ok_or_else(|| CliError::Usage("DELAY_TIERS_DIVISOR is not a number from 1 to 1000".to_owned()))?
            }
            (None, None) => 1,
        };
        let url = session.environment.secret("AMQP_URL")?;
        let report = broker::apply(url.expose_secret(), Scale::divided_by(scale)).await?;
        session.answer(&json!({"created": report.created, "unchanged": report.unchanged, "scale": scale}), |_| {
            let mut text = format!("{} exchanges and queues made, {} were there already.", report.created.len(), report.unchanged);
            for name in &report.created {
                text.push_str(&format!("\n  made {name}"));
            }
            text
        })?;
        Ok(Outcome::Done)
    }
}
