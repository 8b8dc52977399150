//! `frontdesk check`: is everything there that a call needs? Each finding comes with its remedy.
//!
//! The checks of set-up are pure functions over what was loaded (`check/setup.rs`); this file asks the servers.

mod consistency;
mod setup;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;
use shared::broker::{self, TopologyError};
use shared::store::{PgPool, StoreError, accounts, companies, credentials, endpoints, schema};

use crate::error::chain;
use crate::table::table;
use crate::{CliError, Outcome, Session};

/// `frontdesk migrate` makes fourteen days; when it has not run for so long that less than this is left, someone must look.
const PARTITION_DAYS_MIN: i32 = 3;

/// Check schema, servers, topology, numbers, services, endpoints and keys; exit code 1 if anything fails.
#[derive(Args, Debug)]
#[command(after_help = "Example: frontdesk check --json")]
pub struct Check {
    #[command(subcommand)]
    what: Option<What>,
}

/// Something else to check than whether a call can be taken.
#[derive(Debug, Subcommand)]
enum What {
    Consistency(consistency::Consistency),
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Failed,
    /// What it needs was not there; the reason is another finding.
    Skipped,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub finding: String,
    pub remedy: String,
}

impl Finding {
    pub fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, finding: finding.into(), remedy: String::new() }
    }

    pub fn failed(check: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failed, finding: finding.into(), remedy: remedy.into() }
    }

    fn skipped(check: &'static str) -> Self {
        Self { check, verdict: Verdict::Skipped, finding: "not checked".to_owned(), remedy: "mend what stands above first".to_owned() }
    }
}

impl Check {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        if let Some(What::Consistency(command)) = self.what {
            return command.run(session).await;
        }
        let mut findings = database(session).await?;
        findings.extend(broker(session).await);
        let good = findings.iter().all(|finding| finding.verdict == Verdict::Ok);
        session.answer(&json!({"ok": good, "findings": findings}), |_| {
            let rows = findings.iter().map(|finding| {
                let verdict = match finding.verdict {
                    Verdict::Ok => "ok",
                    Verdict::Failed => "FAILED",
                    Verdict::Skipped => "skipped",
                };
                vec![finding.check.to_owned(), verdict.to_owned(), finding.finding.clone(), finding.remedy.clone()]
            });
            table(&["check", "result", "finding", "remedy"], rows, "")
        })?;
        Ok(Outcome::of(good))
    }
}

async fn database(session: &Session) -> Result<Vec<Finding>, CliError> {
    let rest = ["partitions", "phone numbers", "services", "endpoints", "keys"];
    let pool = match session.unchecked_database() {
        Ok(pool) => pool,
        Err(error) => return Ok(stopped(Finding::failed("postgres", error.told(), "set DATABASE_URL or DATABASE_URL_FILE"), &rest)),
    };
    let version = match schema::check(&pool).await {
        Ok(version) => version,
        Err(error) => return Ok(stopped(schema_finding(&error), &rest)),
    };
    let mut findings = vec![Finding::ok("postgres", "reached"), Finding::ok("schema", format!("version {}", version.version))];
    findings.push(partitions(&pool).await?);
    findings.extend(set_up(&pool).await?);
    Ok(findings)
}

fn stopped(first: Finding, rest: &[&'static str]) -> Vec<Finding> {
    std::iter::once(first).chain(rest.iter().map(|check| Finding::skipped(check))).collect()
}

fn schema_finding(error: &StoreError) -> Finding {
    if matches!(error, StoreError::Sql { .. }) {
        return Finding::failed("postgres", chain(error), "start Postgres, or correct DATABASE_URL and the rights of its user");
    }
    let (what, remedy) = error.to_string().split_once(": ").map_or((error.to_string(), String::new()), |(what, remedy)| (what.to_owned(), remedy.to_owned()));
    Finding::failed("schema", what, remedy)
}

async fn partitions(pool: &PgPool) -> Result<Finding, CliError> {
    let days = schema::partition_days_ahead(pool).await?;
    Ok(if days >= PARTITION_DAYS_MIN {
        Finding::ok("partitions", format!("{days} days ahead"))
    } else {
        Finding::failed(
            "partitions",
            format!("only {days} days ahead"),
            "frontdesk migrate (makes the next fourteen days; run it daily until a scheduler does)",
        )
    })
}

async fn set_up(pool: &PgPool) -> Result<Vec<Finding>, CliError> {
    let endpoints = endpoints::list(pool).await?;
    let keys = credentials::list(pool).await?;
    let accounts = accounts::list(pool).await?;
    let mut companies_found = Vec::new();
    for (id, _) in companies::list(pool).await? {
        // disabled in between: no longer of interest
        companies_found.extend(companies::load(pool, id).await?);
    }
    let mut findings = setup::phone_numbers(&companies_found, &endpoints, &accounts);
    findings.extend(setup::services(&companies_found, &endpoints, &keys, &accounts));
    findings.extend(setup::endpoints(&endpoints));
    findings.extend(setup::keys(&companies_found, &keys, &accounts));
    Ok(findings)
}

async fn broker(session: &Session) -> Vec<Finding> {
    let url = match session.environment.secret("AMQP_URL") {
        Ok(url) => url,
        Err(error) => return stopped(Finding::failed("broker", error.told(), "set AMQP_URL or AMQP_URL_FILE"), &["topology"]),
    };
    let reached = Finding::ok("broker", "reached");
    match broker::check(url.expose_secret()).await {
        Ok(()) => vec![reached, Finding::ok("topology", "complete")],
        Err(TopologyError::Missing(names)) => {
            let first = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            let finding = format!("{} missing, such as {first}", names.len());
            vec![reached, Finding::failed("topology", finding, "frontdesk topology apply")]
        }
        Err(error) => {
            let finding = Finding::failed("broker", chain(&error), "start RabbitMQ, or correct AMQP_URL (user, password, vhost)");
            stopped(finding, &["topology"])
        }
    }
}
