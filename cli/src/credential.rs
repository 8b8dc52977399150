//! `frontdesk credential`: the API keys with which calcom-sync calls out, one live key per account.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::json;
use shared::store::credentials::{self, CredentialSummary, NewCredential};
use uuid::Uuid;

use crate::table::table;
use crate::{CliError, Outcome, Session, account, secret_input};

/// Where an API key comes from.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct KeyInput {
    /// Read the API key from stdin.
    #[arg(long)]
    api_key_stdin: bool,
    /// Read the API key from this file.
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,
}

impl KeyInput {
    fn read(&self, session: &mut Session) -> Result<SecretString, CliError> {
        match &self.api_key_file {
            Some(path) => secret_input::from_file(path),
            None => secret_input::from_stdin(session),
        }
    }
}

/// API keys of the accounts, sealed; one live key per account, because the budget belongs to the key.
#[derive(Debug, Subcommand)]
pub enum Credential {
    /// Add the key of an account.
    #[command(after_help = "Example: frontdesk credential add --account calcom/main --base-url https://api.cal.com/v2 --api-key-stdin < key\n\
                      A self-hosted Cal.com has its own base URL, such as https://cal.example.org/api/v2.")]
    Add {
        /// Id, label or provider/label of the account.
        #[arg(long)]
        account: String,
        /// With path prefix; a slash at the end is dropped.
        #[arg(long)]
        base_url: String,
        #[arg(long, default_value = "")]
        label: String,
        /// Requests a minute that we allow ourselves (default 114, under Cal.com's 120).
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=100_000))]
        rate_per_minute: Option<i32>,
        #[command(flatten)]
        key: KeyInput,
    },
    /// List the keys' accounts, never the keys.
    #[command(after_help = "Example: frontdesk credential list")]
    List,
    /// Replace a key: counts with the next call.
    #[command(after_help = "Example: frontdesk credential rotate 0193…-… --api-key-stdin < new_key")]
    Rotate {
        id: Uuid,
        #[command(flatten)]
        key: KeyInput,
    },
    /// Take a key out of use: changes for Cal.com wait from then on.
    #[command(after_help = "Example: frontdesk credential disable 0193…-…")]
    Disable { id: Uuid },
}

impl Credential {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        match self {
            Self::Add { account, base_url, label, rate_per_minute, key } => {
                let keyring = session.environment.keyring()?;
                let account = account::resolve(&pool, &account).await?;
                let base_url = checked_base_url(&base_url)?;
                let api_key = key.read(session)?;
                let new = NewCredential { account_id: account.id, label: &label, base_url: &base_url, api_key: &api_key, rate_per_minute };
                let id = credentials::add(&pool, &keyring, &new).await?;
                session.answer(&json!({"id": id, "account_id": account.id}), |_| format!("Added the key of {}/{} ({id})", account.provider, account.label))?;
                Ok(Outcome::Done)
            }
            Self::List => {
                let found = credentials::list(&pool).await?;
                session.answer(&found, |found| {
                    let header = ["provider", "account", "label", "base url", "per minute", "master key", "state", "id"];
                    table(&header, found.iter().map(row), "No keys. Add one: frontdesk credential add --help")
                })?;
                Ok(Outcome::Done)
            }
            Self::Rotate { id, key } => {
                let keyring = session.environment.keyring()?;
                let api_key = key.read(session)?;
                let done = credentials::rotate(&pool, &keyring, id, &api_key).await?;
                settle(session, id, done, "Rotated")
            }
            Self::Disable { id } => {
                let done = credentials::disable(&pool, id).await?;
                settle(session, id, done, "Disabled")
            }
        }
    }
}

fn settle(session: &mut Session, id: Uuid, done: bool, what: &str) -> Result<Outcome, CliError> {
    session.answer(&json!({"id": id, "done": done}), |_| {
        if done { format!("{what} the key {id}.") } else { format!("There is no live key {id}: see `frontdesk credential list`.") }
    })?;
    Ok(Outcome::of(done))
}

fn checked_base_url(text: &str) -> Result<String, CliError> {
    let url = text.trim().trim_end_matches('/');
    let parsed = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(parsed) = parsed else {
        return Err(CliError::Usage("--base-url is not an http or https address such as https://api.cal.com/v2".to_owned()));
    };
    if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(CliError::Usage("--base-url must not carry a user, a password, a query or a fragment".to_owned()));
    }
    Ok(url.to_owned())
}

fn row(credential: &CredentialSummary) -> Vec<String> {
    let state = match (credential.disabled_at, credential.blocked_until) {
        (Some(_), _) => "disabled".to_owned(),
        (None, Some(until)) => format!("blocked until {}", until.format("%Y-%m-%d %H:%M:%S UTC")),
        (None, None) => "live".to_owned(),
    };
    vec![
        credential.provider.to_string(),
        credential.account_label.clone(),
        credential.label.clone(),
        credential.base_url.clone(),
        credential.rate_per_minute.to_string(),
        credential.master_key_id.clone(),
        state,
        credential.id.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_keeps_its_path_prefix_and_carries_no_secret() {
        assert_eq!(checked_base_url("https://cal.example.org/api/v2/").unwrap(), "https://cal.example.org/api/v2");
        for wrong in ["", "cal.example.org", "ftp://x/v2", "https://user:geheim@x/v2", "https://x/v2?key=geheim", "https://"] {
            let error = checked_base_url(wrong).unwrap_err().told();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
