//! Why a command could not run, and the one line that the operator reads.

use std::error::Error as _;

use shared::broker::TopologyError;
use shared::config::ConfigError;
use shared::secret::SecretError;
use shared::store::StoreError;

/// A command that could not run.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Not a source: its problems stand in this line already.
    #[error("{}", .0.problems.join("; "))]
    Config(ConfigError),
    #[error("MASTER_KEYS cannot be used")]
    Keys(#[source] SecretError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error("the spool cannot be opened")]
    Spool(#[source] ingress::spool::SpoolError),
    /// Arguments that fit the grammar, but not each other or what is there.
    #[error("{0}")]
    Usage(String),
    #[error("{what} cannot be read")]
    Read {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{what} cannot be understood")]
    Json {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
    #[error("{what} cannot be written")]
    WriteFile {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the answer cannot be written")]
    Write(#[source] std::io::Error),
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// What to do about a constraint that refused a write.
const REMEDIES: [(&str, &str); 4] = [
    ("phone_numbers_unique", "a phone number of this company belongs to another company already"),
    ("services_event_type", "an event type of this company belongs to another service of the same Cal.com account already"),
    ("credentials_one_live", "the account has a live key already: use `frontdesk credential rotate`, or `frontdesk credential disable` first"),
    ("companies_legacy_id_key", "a company with this legacy_id is there already"),
];

impl CliError {
    /// One line: what went wrong, its causes, and what to do.
    #[must_use]
    pub fn told(&self) -> String {
        if let Self::Store(error) = self {
            if let Some((_, remedy)) = REMEDIES.iter().find(|(name, _)| error.constraint() == Some(name)) {
                return (*remedy).to_owned();
            }
            if error.is_unavailable() {
                return format!("Postgres is not available, check DATABASE_URL and the server ({})", chain(error));
            }
        }
        chain(self)
    }
}

/// The error and its sources, joined; a source that the text before already ends with is left out.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text.replace('\n', " ")
}

/// As [`chain`], for an HTTP error: without the address, which may hold a password.
pub fn http_chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = error.source().map(|source| format!(": {}", chain(source))).unwrap_or_default();
    format!("{error}{cause}")
}
