//! `frontdesk backfill`: fills the empty audit cells of history from evidence. The command begins, watches and ends runs; the processes with the role backfill do the work.
//!
//! `plan` is the one part that works here: the same reading and the same rules as a run, and nothing is written.

mod shown;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use shared::domain::backfill::{Counts, Subject};
use shared::store::backfill::runs::{self, Progress};
use shared::store::backfill::{CHUNK_ROWS, chunks, decisions};
use shared::store::tx::CompanyTx;
use shared::store::{PgPool, companies};
use uuid::Uuid;

use crate::{CliError, Outcome, Session, company};
use shown::Summary;

/// Fill the empty audit cells of history from evidence: plan, start, watch, take back.
#[derive(Debug, Subcommand)]
pub enum Backfill {
    /// Say what a run would fill, by table, column and rule; nothing is written.
    #[command(after_help = "Example: frontdesk backfill plan --company \"Friseur Müller\"")]
    Plan(Whose),
    /// Begin a run; ends at once, see `frontdesk backfill status`.
    #[command(after_help = "Example: frontdesk backfill start")]
    Start(Whose),
    /// Show how far a run has come, how fast, and what slows it down.
    #[command(after_help = "Example: frontdesk backfill status --watch")]
    Status {
        /// The run; without it the newest.
        run: Option<Uuid>,
        /// Show it every second until it ends.
        #[arg(long)]
        watch: bool,
    },
    /// Let a run rest; chunks in hand are finished.
    #[command(after_help = "Example: frontdesk backfill pause")]
    Pause { run: Option<Uuid> },
    /// End a rest.
    #[command(after_help = "Example: frontdesk backfill resume")]
    Resume { run: Option<Uuid> },
    /// End a run; what it filled stays, until it is undone.
    #[command(after_help = "Example: frontdesk backfill cancel")]
    Cancel { run: Option<Uuid> },
    /// Take back everything that a run filled: the cells are empty again, unless somebody has changed them since.
    #[command(after_help = "Example: frontdesk backfill undo 01930f6e-0000-7000-8000-000000000000")]
    Undo { run: Option<Uuid> },
    /// Say what a run filled so far, by table, column and rule.
    #[command(after_help = "Example: frontdesk backfill report")]
    Report { run: Option<Uuid> },
}

/// Which companies.
#[derive(Debug, Args)]
pub struct Whose {
    /// One company, by name or id; without it all of them.
    #[arg(long)]
    company: Option<String>,
}

/// Between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(1);

impl Backfill {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        match self {
            Self::Plan(whose) => {
                let mut counts = Counts::default();
                for company_id in whose.companies(&pool).await? {
                    counts.merge(&planned(&pool, company_id).await?);
                }
                session.answer(&shown::counts_json(&counts), |_| shown::counts_text(&counts, "Nothing to fill."))?;
                Ok(Outcome::Done)
            }
            Self::Start(whose) => start(session, &pool, &whose).await,
            Self::Status { run, watch } => status(session, &pool, run, watch).await,
            Self::Pause { run } => change(session, &pool, run, &["running"], "paused").await,
            Self::Resume { run } => change(session, &pool, run, &["paused"], "running").await,
            Self::Cancel { run } => change(session, &pool, run, &["running", "paused"], "cancelled").await,
            Self::Undo { run } => change(session, &pool, run, &[], "undoing").await,
            Self::Report { run } => report(session, &pool, run).await,
        }
    }
}

impl Whose {
    async fn companies(&self, pool: &PgPool) -> Result<Vec<Uuid>, CliError> {
        let wanted = match &self.company {
            Some(name) => match company::find(pool, name).await? {
                Some(id) => Some(id),
                None => return Err(CliError::Usage(format!("there is no company \"{name}\": see `frontdesk company list`"))),
            },
            None => None,
        };
        let all = companies::list(pool).await?;
        Ok(all.into_iter().map(|(id, _)| id).filter(|id| wanted.is_none_or(|wanted| wanted == *id)).collect())
    }
}

/// What a run over the company would fill. A transaction per chunk: a plan over a million rows holds nobody up.
async fn planned(pool: &PgPool, company_id: Uuid) -> Result<Counts, CliError> {
    let mut counts = Counts::default();
    for subject in Subject::ALL {
        let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
        let ranges = chunks::ranges(&mut tx, subject, CHUNK_ROWS).await?;
        drop(tx);
        for range in ranges {
            let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
            counts.merge(&decisions(&mut tx, range).await?.1);
        }
    }
    Ok(counts)
}

async fn start(session: &mut Session, pool: &PgPool, whose: &Whose) -> Result<Outcome, CliError> {
    let run_id = Uuid::now_v7();
    let (mut begun, mut busy, mut rows) = (0, 0, 0);
    for company_id in whose.companies(pool).await? {
        let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
        match runs::begin(&mut tx, run_id, CHUNK_ROWS).await? {
            Some(of_company) => {
                tx.commit().await?;
                (begun, rows) = (begun + 1, rows + of_company);
            }
            None => busy += 1,
        }
    }
    session.answer(&json!({"run": run_id, "companies": begun, "busy": busy, "rows": rows}), |_| match (begun, busy) {
        (0, 0) => "There is no company.".to_owned(),
        (0, _) => "Nothing begun: each of these companies has an open run (frontdesk backfill status).".to_owned(),
        (_, 0) => format!("Run {run_id}: {rows} rows of {begun} companies. See frontdesk backfill status --watch"),
        _ => format!("Run {run_id}: {rows} rows of {begun} companies; {busy} have an open run already. See frontdesk backfill status --watch"),
    })?;
    Ok(Outcome::of(begun > 0))
}

/// The run that is meant: the newest, if none is named.
async fn meant(pool: &PgPool, run: Option<Uuid>) -> Result<Option<(Uuid, Vec<Progress>)>, CliError> {
    let Some(run_id) = (match run {
        Some(run_id) => Some(run_id),
        None => runs::newest(pool).await?,
    }) else {
        return Ok(None);
    };
    let parts = runs::progress(pool, Some(run_id)).await?;
    Ok((!parts.is_empty()).then_some((run_id, parts)))
}

fn no_such_run(session: &mut Session) -> Result<Outcome, CliError> {
    session.answer(&json!({"error": "not_found"}), |_| "There is no such run: begin one with frontdesk backfill start.".to_owned())?;
    Ok(Outcome::Negative)
}

async fn status(session: &mut Session, pool: &PgPool, run: Option<Uuid>, watch: bool) -> Result<Outcome, CliError> {
    let mut first = true;
    loop {
        let Some((run_id, parts)) = meant(pool, run).await? else { return no_such_run(session) };
        let summary = Summary::of(run_id, &parts);
        // on a terminal the line before is overwritten: a bar, and no scroll of bars
        let over = if watch && !first && session.colours() && !session.json { "\u{1b}[1A\u{1b}[2K" } else { "" };
        session.answer(&summary, |summary| format!("{over}{}", summary.line()))?;
        if !watch || !summary.is_open() {
            return Ok(Outcome::Done);
        }
        first = false;
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// Brings every part of a run that is in one of these states to another.
async fn change(session: &mut Session, pool: &PgPool, run: Option<Uuid>, from: &[&str], to: &str) -> Result<Outcome, CliError> {
    let Some((run_id, parts)) = meant(pool, run).await? else { return no_such_run(session) };
    let mut changed = 0;
    for part in &parts {
        let mut tx = CompanyTx::begin(pool, Some(part.company_id), &[]).await?;
        let done = if to == "undoing" { runs::begin_undo(&mut tx, run_id).await? } else { runs::change_state(&mut tx, run_id, from, to).await? };
        if done {
            tx.commit().await?;
            changed += 1;
        }
    }
    session.answer(&json!({"run": run_id, "changed": changed, "state": to}), |_| match changed {
        0 => format!("Nothing changed: run {run_id} is {}.", Summary::of(run_id, &parts).state),
        _ => format!("Run {run_id} is {to} now, for {changed} companies. See frontdesk backfill status"),
    })?;
    Ok(Outcome::of(changed > 0))
}

async fn report(session: &mut Session, pool: &PgPool, run: Option<Uuid>) -> Result<Outcome, CliError> {
    let Some((run_id, parts)) = meant(pool, run).await? else { return no_such_run(session) };
    let mut counts = Counts::default();
    for part in &parts {
        let mut tx = CompanyTx::begin(pool, Some(part.company_id), &[]).await?;
        counts.merge(&chunks::counts(&mut tx, run_id).await?);
    }
    session.answer(&shown::counts_json(&counts), |_| shown::counts_text(&counts, "It filled nothing."))?;
    Ok(Outcome::Done)
}
