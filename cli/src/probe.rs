//! `frontdesk probe`: asks a process of the same container whether it lives; the health check of the image, which has no curl.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::error::http_chain;
use crate::send::client;
use crate::{CliError, Environment, Outcome, Session};

/// A health check that answers later than this counts as none.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Ask a URL once; exit code 0 for a 2xx answer, else 1.
#[derive(Args, Debug)]
#[command(after_help = "Example: frontdesk probe http://127.0.0.1:8080/readyz")]
pub struct Probe {
    /// Default: /healthz at the port of METRICS_LISTEN, else of LISTEN, on this machine.
    url: Option<String>,
}

impl Probe {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let url = match self.url {
            Some(url) => url,
            None => own_url(&session.environment).ok_or_else(|| CliError::Usage("give a URL, or set METRICS_LISTEN or LISTEN".to_owned()))?,
        };
        let (good, told) = match client(TIMEOUT)?.get(&url).send().await {
            Ok(response) => (response.status().is_success(), response.status().as_u16().to_string()),
            Err(error) => (false, http_chain(error)),
        };
        session.answer(&json!({"ok": good, "answer": told}), |_| told.clone())?;
        Ok(Outcome::of(good))
    }
}

fn own_url(environment: &Environment) -> Option<String> {
    let address = environment.get("METRICS_LISTEN").or_else(|| environment.get("LISTEN"))?;
    let address: SocketAddr = address.trim().parse().ok()?;
    Some(format!("http://127.0.0.1:{}/healthz", address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_address_is_that_of_the_metrics_or_of_the_edge() {
        let both = Environment::of([("METRICS_LISTEN", "0.0.0.0:9100"), ("LISTEN", "0.0.0.0:8080")]);
        assert_eq!(own_url(&both).as_deref(), Some("http://127.0.0.1:9100/healthz"));
        assert_eq!(own_url(&Environment::of([("LISTEN", "[::]:8080")])).as_deref(), Some("http://127.0.0.1:8080/healthz"));
        assert_eq!(own_url(&Environment::default()), None);
    }
}
