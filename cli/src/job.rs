//! `frontdesk job`: the scheduler's jobs. Their rows are what counts: cron text, zone and pause are changed there.

use clap::Subcommand;
use serde_json::json;
use shared::store::jobs::{self, Job as Row};

use crate::table::{or_dash, table};
use crate::{CliError, Outcome, Session};

/// Jobs of the scheduler: when each runs, and what its last run said.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// List the jobs.
    #[command(after_help = "Example: frontdesk job list")]
    List,
    /// Run a job now, paused or not; the leading scheduler starts it within a second.
    #[command(after_help = "Example: frontdesk job run calcom_updates")]
    Run { name: String },
    /// Let a job rest until it is resumed.
    #[command(after_help = "Example: frontdesk job pause calcom_window")]
    Pause { name: String },
    /// End a pause: the job runs at its next time.
    #[command(after_help = "Example: frontdesk job resume calcom_window")]
    Resume { name: String },
}

impl Job {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        let (name, done, what) = match self {
            Self::List => {
                let found = jobs::list(&pool).await?;
                session.answer(&found, |found| {
                    table(
                        &["job", "cron", "zone", "catch up", "next", "last", "last said"],
                        found.iter().map(row),
                        "No jobs yet. The first process with the role scheduler adds them.",
                    )
                })?;
                return Ok(Outcome::Done);
            }
            Self::Run { name } => (name.clone(), jobs::ask(&pool, &name).await?, "Asked for"),
            Self::Pause { name } => (name.clone(), jobs::pause(&pool, &name, true).await?, "Paused"),
            Self::Resume { name } => (name.clone(), jobs::pause(&pool, &name, false).await?, "Resumed"),
        };
        session.answer(&json!({ "job": name, "done": done }), |_| {
            if done { format!("{what} {name}.") } else { format!("There is no job {name}: see `frontdesk job list`.") }
        })?;
        Ok(Outcome::of(done))
    }
}

fn row(job: &Row) -> Vec<String> {
    let at = |at: Option<chrono::DateTime<chrono::Utc>>| or_dash(at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()));
    let next = match (job.run_asked_at, job.paused) {
        (Some(_), _) => "now".to_owned(),
        (None, true) => "paused".to_owned(),
        (None, false) => at(job.next_run_at),
    };
    vec![job.name.clone(), job.cron.clone(), job.time_zone.clone(), job.catch_up.clone(), next, at(job.last_run_at), or_dash(job.last_result.as_ref())]
}
