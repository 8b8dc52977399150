//! `frontdesk endpoint`: where the providers send to, and the secrets that prove them.

use std::time::Duration;

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use shared::secret::random_token;
use shared::store::accounts::Provider;
use shared::store::endpoints::{self, EndpointSummary};
use uuid::Uuid;

use crate::secret_input::SecretInput;
use crate::table::table;
use crate::{CliError, Outcome, Session, account};

/// A rotation that runs longer was forgotten.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Endpoints that Retell and Cal.com send to, and their secrets.
#[derive(Debug, Subcommand)]
pub enum Endpoint {
    /// Add an endpoint and print its URL path. For Cal.com a secret is made and shown once, unless one is given; for Retell give its API key.
    #[command(
        after_help = "Examples:\n  frontdesk endpoint add --account retell/main --secret-stdin < retell_api_key\n  frontdesk endpoint add --account calcom/main"
    )]
    Add {
        /// Id, label or provider/label of the account.
        #[arg(long)]
        account: String,
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        secret: SecretInput,
    },
    /// Add a secret that counts at once; the old one keeps working for the overlap.
    #[command(after_help = "Example: frontdesk endpoint rotate 0193…-… --secret-stdin --overlap 24h < new_key")]
    Rotate {
        id: Uuid,
        /// How long older secrets keep working, such as 0s, 15m, 24h, 7d.
        #[arg(long, default_value = "24h", value_parser = duration)]
        overlap: Duration,
        #[command(flatten)]
        secret: SecretInput,
    },
    /// List the endpoints.
    #[command(after_help = "Example: frontdesk endpoint list")]
    List,
    /// Take an endpoint out of use: its URL answers 404 from then on.
    #[command(after_help = "Example: frontdesk endpoint disable 0193…-…")]
    Disable { id: Uuid },
}

impl Endpoint {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        match self {
            Self::Add { account, label, secret } => add(session, &account, &label, &secret).await,
            Self::Rotate { id, overlap, secret } => rotate(session, id, overlap, &secret).await,
            Self::List => {
                let found = endpoints::list(&session.database().await?).await?;
                session.answer(&found, |found| {
                    let rows = found.iter().map(row);
                    table(&["provider", "account", "label", "secrets", "state", "path"], rows, "No endpoints. Add one: frontdesk endpoint add --help")
                })?;
                Ok(Outcome::Done)
            }
            Self::Disable { id } => {
                let done = endpoints::disable(&session.database().await?, id).await?;
                session.answer(&json!({"id": id, "disabled": done}), |_| {
                    if done { format!("Disabled {id}: its URL answers 404 within two seconds.") } else { not_found(id) }
                })?;
                Ok(Outcome::of(done))
            }
        }
    }
}

/// The path that the provider's webhook is set to, behind the public address of ingress.
fn path(provider: Provider, id: Uuid) -> String {
    format!("/v1/{provider}/{id}")
}

fn row(endpoint: &EndpointSummary) -> Vec<String> {
    let secrets = match endpoint.ending_secrets {
        0 => endpoint.live_secrets.to_string(),
        ending => format!("{} ({ending} ending)", endpoint.live_secrets),
    };
    let state = if endpoint.disabled_at.is_some() { "disabled" } else { "live" };
    vec![endpoint.provider.to_string(), endpoint.account_label.clone(), endpoint.label.clone(), secrets, state.to_owned(), path(endpoint.provider, endpoint.id)]
}

fn not_found(id: Uuid) -> String {
    format!("There is no live endpoint {id}: see `frontdesk endpoint list`.")
}

/// The given secret, or a fresh one for Cal.com, where we choose it. The flag tells which.
fn given_or_made(session: &mut Session, provider: Provider, input: &SecretInput) -> Result<(SecretString, bool), CliError> {
    match (input.read(session)?, provider) {
        (Some(secret), _) => Ok((secret, false)),
        (None, Provider::Calcom) => Ok((random_token("whsec"), true)),
        (None, Provider::Retell) => {
            let text = "Retell signs with your API key: give the one marked for webhooks with --secret-stdin or --secret-file";
            Err(CliError::Usage(text.to_owned()))
        }
    }
}

async fn add(session: &mut Session, account: &str, label: &str, input: &SecretInput) -> Result<Outcome, CliError> {
    let pool = session.database().await?;
    let keyring = session.environment.keyring()?;
    let account = account::resolve(&pool, account).await?;
    let (secret, made) = given_or_made(session, account.provider, input)?;
    let id = endpoints::add(&pool, &keyring, account.id, label, &secret).await?;
    answer(session, account.provider, id, made.then_some(&secret), "Added")
}

async fn rotate(session: &mut Session, id: Uuid, overlap: Duration, input: &SecretInput) -> Result<Outcome, CliError> {
    let pool = session.database().await?;
    let keyring = session.environment.keyring()?;
    let found = endpoints::list(&pool).await?.into_iter().find(|endpoint| endpoint.id == id && endpoint.disabled_at.is_none());
    let Some(endpoint) = found else { return missing(session, id) };
    let (secret, made) = given_or_made(session, endpoint.provider, input)?;
    if !endpoints::rotate_secret(&pool, &keyring, id, &secret, overlap).await? {
        return missing(session, id);
    }
    answer(session, endpoint.provider, id, made.then_some(&secret), "Rotated")
}

fn missing(session: &mut Session, id: Uuid) -> Result<Outcome, CliError> {
    session.answer(&json!({"id": id, "error": "not_found"}), |_| not_found(id))?;
    Ok(Outcome::Negative)
}

fn answer(session: &mut Session, provider: Provider, id: Uuid, made: Option<&SecretString>, done: &str) -> Result<Outcome, CliError> {
    let path = path(provider, id);
    let mut answer = json!({"id": id, "provider": provider, "path": path});
    if let Some(secret) = made {
        answer["secret"] = secret.expose_secret().into();
    }
    session.answer(&answer, |_| {
        let mut text = format!("{done} the {provider} endpoint {id}\nPath: {path}");
        if let Some(secret) = made {
            text.push_str(&format!("\nSecret (shown this once): {}", secret.expose_secret()));
        }
        text
    })?;
    Ok(Outcome::Done)
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "a whole number and s, m, h or d, such as 24h, up to 30d".to_owned();
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(expected()),
    };
    let count: u64 = text.strip_suffix(unit).and_then(|count| count.parse().ok()).ok_or_else(expected)?;
    let duration = Duration::from_secs(count.checked_mul(seconds).ok_or_else(expected)?);
    if duration > OVERLAP_MAX { Err(expected()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_has_a_unit_and_a_bound() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("30d"), Ok(OVERLAP_MAX));
        for wrong in ["", "24", "h", "-1h", "31d", "1.5h", "24ä", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
