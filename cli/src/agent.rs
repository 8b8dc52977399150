//! `frontdesk agent`: what has to be set at Retell for a company, as Retell's API takes it.
//!
//! It reads the set-up and writes files or the terminal; it never calls Retell: whoever holds the account's key sends them.

mod definition;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use shared::store::PgPool;
use shared::store::accounts::Provider;
use shared::store::companies::{self, CompanySetup};
use shared::store::endpoints;
use uuid::Uuid;

use self::definition::Subject;
use crate::{CliError, Outcome, Session, company};

/// Voice agents at Retell.
#[derive(Debug, Subcommand)]
pub enum Agent {
    #[command(after_help = "Example:\n  frontdesk agent export --company \"Friseur Müller\" --public-url https://telefon.example.de --out agent\n\n\
                      Writes llm.json (POST /create-retell-llm), agent.json (PATCH /update-agent; with --voice and --llm: POST /create-agent) and\n\
                      phone_number.json (PATCH /update-phone-number, for each number of the company). Without --out they are printed as one object.")]
    Export(Export),
}

/// Write prompt, tools, variables and settings of a company's agent.
#[derive(Debug, Args)]
pub struct Export {
    /// Id or exact name.
    #[arg(long)]
    company: String,
    /// Name of a branch that has an agent of its own; without it one agent answers for all, and the number that was called says which is meant.
    #[arg(long)]
    branch: Option<String>,
    #[arg(long, value_enum, default_value_t = Language::De)]
    language: Language,
    /// Where Retell reaches ingress, such as https://telefon.example.de.
    #[arg(long, value_name = "URL")]
    public_url: String,
    /// Retell's id of a voice; needed for a new agent.
    #[arg(long, value_name = "VOICE_ID")]
    voice: Option<String>,
    /// Id that Retell gave to llm.json; needed for a new agent.
    #[arg(long, value_name = "LLM_ID")]
    llm: Option<String>,
    /// Folder to write to; made if it is missing.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What the agent speaks. The catalogue of sentences has one language.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    De,
}

impl Agent {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let Self::Export(export) = self;
        export.run(session).await
    }
}

impl Export {
    async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let Language::De = self.language;
        let public_url = public(&self.public_url)?;
        let pool = session.database().await?;
        let setup = match company::find(&pool, &self.company).await? {
            Some(id) => companies::load(&pool, id).await?,
            None => None,
        };
        let Some(setup) = setup else {
            session.answer(&json!({"error": "not_found"}), |_| format!("There is no company \"{}\": see `frontdesk company list`.", self.company))?;
            return Ok(Outcome::Negative);
        };
        let branch = self.branch.as_deref().map(|name| branch_named(&setup, name)).transpose()?;
        let endpoint = endpoint_of(&pool, &setup, branch).await?;
        let endpoint_url = format!("{public_url}/v1/retell/{endpoint}");
        let subject = Subject { setup: &setup, branch, endpoint_url: &endpoint_url };
        let files = [
            ("llm", subject.response_engine()),
            ("agent", subject.agent(self.voice.as_deref(), self.llm.as_deref())),
            ("phone_number", subject.phone_number()),
        ];
        let whole: Value = files.iter().map(|(name, body)| ((*name).to_owned(), body.clone())).collect::<serde_json::Map<_, _>>().into();
        let Some(folder) = &self.out else {
            session.answer(&whole, |whole| format!("{whole:#}"))?;
            return Ok(Outcome::Done);
        };
        for (name, body) in &files {
            write(folder, name, body)?;
        }
        let known = setup.agents.iter().map(|agent| agent.retell_agent_id.as_str()).collect::<Vec<_>>();
        let numbers: Vec<&str> = subject.numbers().collect();
        session.answer(&json!({"written": files.map(|(name, _)| format!("{name}.json")), "agents": known, "phone_numbers": numbers}), |_| {
            format!(
                "Wrote llm.json, agent.json and phone_number.json to {}. At Retell:\n  POST /create-retell-llm (or PATCH /update-retell-llm/…) with llm.json\n  \
                 PATCH /update-agent/… with agent.json: {}\n  PATCH /update-phone-number/… with phone_number.json: {}\n  publish the agent's version",
                folder.display(),
                if known.is_empty() { "no agent is registered yet".to_owned() } else { known.join(", ") },
                if numbers.is_empty() { "no number is registered yet".to_owned() } else { numbers.join(", ") },
            )
        })?;
        Ok(Outcome::Done)
    }
}

/// Retell's servers must reach it, so: https, or this machine for a trial.
fn public(text: &str) -> Result<String, CliError> {
    let url = reqwest::Url::parse(text).ok().filter(|url| {
        let here = url.host_str().is_some_and(|host| host == "localhost" || host == "127.0.0.1");
        (url.scheme() == "https" || (url.scheme() == "http" && here)) && url.query().is_none() && url.fragment().is_none() && url.password().is_none()
    });
    let Some(url) = url else {
        return Err(CliError::Usage("--public-url must be an https address without query, such as https://telefon.example.de".to_owned()));
    };
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn branch_named(setup: &CompanySetup, name: &str) -> Result<usize, CliError> {
    setup.branches.iter().position(|branch| branch.name == name).ok_or_else(|| {
        let known: Vec<&str> = setup.branches.iter().map(|branch| branch.name.as_str()).collect();
        CliError::Usage(format!("there is no branch \"{name}\"; there is: {}", known.join(", ")))
    })
}

/// The endpoint of the account at which the company's numbers ring. Of several the oldest, the one that is in use.
async fn endpoint_of(pool: &PgPool, setup: &CompanySetup, branch: Option<usize>) -> Result<Uuid, CliError> {
    let branch_id = branch.map(|index| setup.branches[index].id);
    let numbers = setup.phone_numbers.iter().filter(|number| number.active && branch_id.is_none_or(|id| number.branch_id == id));
    let mut accounts: Vec<Uuid> = numbers.map(|number| number.provider_account_id).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let account = match accounts.as_slice() {
        [one] => *one,
        [] => return Err(CliError::Usage("no active phone number proves which Retell account this agent belongs to".to_owned())),
        _ => return Err(CliError::Usage("the numbers belong to several Retell accounts: choose with --branch".to_owned())),
    };
    let found = endpoints::list(pool).await?.into_iter().filter(|endpoint| {
        endpoint.provider == Provider::Retell && endpoint.account_id == account && endpoint.disabled_at.is_none() && endpoint.live_secrets > 0
    });
    found
        .map(|endpoint| endpoint.id)
        .min()
        .ok_or_else(|| CliError::Usage(format!("the Retell account {account} has no live endpoint: frontdesk endpoint add --account {account} --secret-stdin")))
}

fn write(folder: &Path, name: &str, body: &Value) -> Result<(), CliError> {
    let path = folder.join(format!("{name}.json"));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, format!("{body:#}\n")));
    written.map_err(|source| CliError::WriteFile { what: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_is_one_that_retell_can_reach() {
        for (text, expected) in [
            ("https://telefon.example.de", Some("https://telefon.example.de")),
            ("https://telefon.example.de/", Some("https://telefon.example.de")),
            ("https://example.de/telefon", Some("https://example.de/telefon")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://telefon.example.de", None),
            ("https://telefon.example.de?x=1", None),
            ("telefon.example.de", None),
            ("", None),
        ] {
            assert_eq!(public(text).ok().as_deref(), expected, "{text}");
        }
    }
}
