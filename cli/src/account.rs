//! `frontdesk account`: provider accounts, which endpoints, keys, numbers and event types belong to.

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use shared::domain::person_names::ContactRule;
use shared::store::PgPool;
use shared::store::accounts::{self, Account as Found, Provider};

use crate::table::table;
use crate::{CliError, Outcome, Session};

/// A provider, as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ProviderName {
    Retell,
    Calcom,
}

impl From<ProviderName> for Provider {
    fn from(name: ProviderName) -> Self {
        match name {
            ProviderName::Retell => Self::Retell,
            ProviderName::Calcom => Self::Calcom,
        }
    }
}

/// A contact rule, as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RuleName {
    /// Every booking carries an e-mail address, made up where the caller has none (the default, as in Cal.com).
    EmailRequired,
    /// Phone-only: every booking carries a number; who withholds it is asked for one.
    PhoneRequired,
    /// An address or a number will do.
    Either,
}

impl From<RuleName> for ContactRule {
    fn from(name: RuleName) -> Self {
        match name {
            RuleName::EmailRequired => Self::EmailRequired,
            RuleName::PhoneRequired => Self::PhoneRequired,
            RuleName::Either => Self::Either,
        }
    }
}

/// Accounts at Retell and Cal.com; several companies may share one.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Add an account. An account that is there already is answered with its id.
    #[command(after_help = "Example: frontdesk account add --provider retell --label main")]
    Add {
        #[arg(long, value_enum)]
        provider: ProviderName,
        /// Your name for it, unique per provider.
        #[arg(long)]
        label: String,
    },
    /// List the accounts.
    #[command(after_help = "Example: frontdesk account list --json")]
    List,
    /// Say which contact the booking forms of a Cal.com account demand; bookings from now on go by it. `frontdesk company show` shows it.
    #[command(after_help = "Example: frontdesk account contact-rule calcom/salon phone-required")]
    ContactRule {
        /// Id, label or provider/label.
        account: String,
        #[arg(value_enum)]
        rule: RuleName,
    },
}

impl Account {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        match self {
            Self::Add { provider, label } => {
                if label.trim().is_empty() || label.contains('/') {
                    return Err(CliError::Usage("the label must not be empty and must not contain a slash".to_owned()));
                }
                let (account, new) = accounts::add(&pool, provider.into(), &label).await?;
                session.answer(&json!({"id": account.id, "provider": account.provider, "label": account.label, "new": new}), |_| {
                    let what = if new { "Added" } else { "There already:" };
                    format!("{what} {}/{} ({})", account.provider, account.label, account.id)
                })?;
            }
            Self::List => {
                let found = accounts::list(&pool).await?;
                session.answer(&found, |found| {
                    let rows = found.iter().map(|account| vec![account.provider.to_string(), account.label.clone(), account.id.to_string()]);
                    table(&["provider", "label", "id"], rows, "No accounts. Add one: frontdesk account add --help")
                })?;
            }
            Self::ContactRule { account, rule } => {
                let account = resolve(&pool, &account).await?;
                let rule = ContactRule::from(rule);
                let done = accounts::set_contact_rule(&pool, account.id, rule).await?;
                session.answer(&json!({"id": account.id, "contact_rule": rule.literal(), "done": done}), |_| {
                    let name = format!("{}/{}", account.provider, account.label);
                    if done { format!("{name}: {}", rule.literal()) } else { format!("{name} is no account of Cal.com: only those have booking forms.") }
                })?;
                return Ok(Outcome::of(done));
            }
        }
        Ok(Outcome::Done)
    }
}

/// The one account that an argument means: an id, `provider/label`, or a label that only one provider has.
pub async fn resolve(pool: &PgPool, name: &str) -> Result<Found, CliError> {
    let mut found = accounts::find(pool, name).await?;
    match (found.pop(), found.is_empty()) {
        (Some(account), true) => Ok(account),
        (Some(_), false) => Err(CliError::Usage(format!("both providers have an account \"{name}\": say retell/{name} or calcom/{name}"))),
        (None, _) => Err(CliError::Usage(format!("there is no account \"{name}\": see `frontdesk account list`"))),
    }
}
