//! `frontdesk backlog`: what waits for a worker or for a human, over all companies.

use clap::Args;
use serde_json::json;
use shared::store::backlogs::{self, Backlog};

use crate::table::table;
use crate::{CliError, Outcome, Session};

/// Show what waits: dead letters, outbox, changes for Cal.com, callbacks, reviews; how many and since when.
#[derive(Args, Debug)]
#[command(after_help = "Example: frontdesk backlog --json")]
pub struct ShowBacklog {}

impl ShowBacklog {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        let found = backlogs::measure(&pool).await?;
        let value: Vec<_> = found.iter().map(|one| json!({"name": one.name, "waiting": one.waiting, "oldest_seconds": one.oldest_seconds})).collect();
        session.answer(&value, |_| table(&["what", "waiting", "oldest"], found.iter().map(row), ""))?;
        Ok(Outcome::Done)
    }
}

fn row(one: &Backlog) -> Vec<String> {
    let oldest = if one.waiting == 0 { "-".to_owned() } else { age(one.oldest_seconds) };
    vec![one.name.replace('_', " "), one.waiting.to_string(), oldest]
}

fn age(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}
