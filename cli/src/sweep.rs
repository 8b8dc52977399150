//! `frontdesk sweep`: reading Cal.com's lists for what no webhook told. The processes with the role calcom-sync carry them out.

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use shared::store::sweeps::{self, SweepKind, SweepSummary};
use shared::store::tx::CompanyTx;

use crate::table::{or_dash, table};
use crate::{CliError, Outcome, Session};

/// Sweeps of Cal.com: what changed there and was never told.
#[derive(Debug, Subcommand)]
pub enum Sweep {
    /// List how far each sweep came, what it found and what it had to add (the target is 0).
    #[command(after_help = "Example: frontdesk sweep list")]
    List,
    /// Want a sweep of every live credential now; ends at once, see `frontdesk sweep list`.
    #[command(
        after_help = "Examples:\n  frontdesk sweep run updates\n  frontdesk sweep run adoption   (everything again, such as after event types were mapped)"
    )]
    Run { kind: Kind },
}

/// What to read.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// What changed since the last one.
    Updates,
    /// What starts in the near past and future.
    Window,
    /// Everything there is.
    Adoption,
}

impl Kind {
    const fn sweep(self) -> SweepKind {
        match self {
            Self::Updates => SweepKind::Updates,
            Self::Window => SweepKind::Window,
            Self::Adoption => SweepKind::Adoption,
        }
    }
}

impl Sweep {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        match self {
            Self::List => {
                let found = sweeps::list(&pool).await?;
                session.answer(&found, |found| {
                    let header = ["account", "sweep", "state", "read until", "last end", "found", "added", "unknown event types"];
                    table(&header, found.iter().map(row), "No sweeps yet. The scheduler wants the first one within minutes of its start.")
                })?;
                Ok(Outcome::Done)
            }
            Self::Run { kind } => {
                let mut tx = CompanyTx::begin(&pool, None, &[]).await?;
                let wanted = sweeps::want(&mut tx, kind.sweep()).await?;
                tx.commit().await?;
                session.answer(&json!({ "wanted": wanted }), |_| match wanted {
                    0 => "Nothing new to want: each is wanted already, or there is no live Cal.com key.".to_owned(),
                    wanted => format!("{wanted} wanted. A process with the role calcom-sync takes them within seconds: frontdesk sweep list"),
                })?;
                Ok(Outcome::of(wanted > 0))
            }
        }
    }
}

fn row(sweep: &SweepSummary) -> Vec<String> {
    let at = |at: Option<chrono::DateTime<chrono::Utc>>| or_dash(at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()));
    let state = match (&sweep.last_error, sweep.run_started_at, sweep.wanted_at) {
        (Some(error), ..) => format!("stopped: {error}"),
        (None, Some(_), _) => format!("running, {} pages, {} found, {} added", sweep.pages, sweep.found, sweep.repaired),
        (None, None, Some(_)) => "wanted".to_owned(),
        (None, None, None) => "at rest".to_owned(),
    };
    let unknown: Vec<String> = sweep.unknown_event_types.iter().map(ToString::to_string).collect();
    vec![
        sweep.account.clone(),
        sweep.kind.clone(),
        state,
        at(sweep.cursor_at),
        at(sweep.last_finished_at),
        or_dash(sweep.last_found),
        or_dash(sweep.last_repaired),
        if unknown.is_empty() { "-".to_owned() } else { unknown.join(",") },
    ]
}
