//! `cargo dev chaos [--minutes N] [--seed S] [--break NAME]`: the product's real processes under every fault that one machine can produce, and an auditor who
//! judges what became of what they promised. Prints a table; the last line is the verdict, and so is the exit code: 0 kept, 1 violated, 2 could not be run.
//!
//! Files: `campaign` is the course of events · `arena` what it stands on (`links`, `setup`, `roster`) · `fleet` the processes · `tenants`, `schedule`, `load` who wishes what · `gate` what was
//! acknowledged · `faults`, `plan`, `strike` what goes wrong (`providers`: at Cal.com and Retell; `provocation`: what else a `--break` needs) · `proxy`, `disk` two ways to go wrong · `quiet` when it is over · `record` what the `auditor` gets ·
//! `report` what is printed.
//!
//! The same seed gives the same load and the same plan of faults. What a fault hits (which message was under way, which connection was open) depends on the
//! machine and does not come again exactly.

mod arena;
pub mod auditor;
pub mod campaign;
mod disk;
mod faults;
mod fleet;
mod gate;
mod links;
mod load;
mod plan;
mod providers;
mod provocation;
mod proxy;
mod quiet;
pub mod record;
pub mod report;
mod roster;
mod schedule;
mod setup;
mod strike;
mod tenants;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use shared::protection::Protection;

use crate::progress::Progress;
use crate::servers::{Options, Servers};
use crate::signals::Interruption;
use crate::up::give_back;
use crate::{CANNOT_RUN, NEGATIVE, cargo};
use campaign::{LENGTH_MIN, Orders};
use report::Verdict;

/// What a promise is worth that was kept for less.
const MINUTES: u64 = 10;
/// A broken protection shows within this.
const MINUTES_OF_A_BREAK: u64 = 1;
/// `--break` for one after the other.
const ALL: &str = "all";

/// `chaos [--minutes N | --seconds N] [--seed S] [--rate R] [--break NAME|all] [--no-build] [--yes]`
#[derive(Debug, Args)]
pub struct Chaos {
    /// How long load and faults go on (default: 10, with --break 1)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: Option<u64>,
    /// The same in seconds
    #[arg(long, conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(LENGTH_MIN.as_secs()..=86_400))]
    seconds: Option<u64>,
    /// Of the load and of the plan of faults (default: a random one, which is printed)
    #[arg(long)]
    seed: Option<u64>,
    /// Times the usual load of 200 requests a second
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// Switch one protection off and see whether the auditor names what it was good for; `all`: each in turn
    #[arg(long = "break", value_name = "NAME")]
    broken: Option<String>,
    /// Takes the programs as they were built last
    #[arg(long)]
    no_build: bool,
    /// Install missing server packages without asking
    #[arg(long)]
    yes: bool,
}

impl Chaos {
    /// Runs it; the exit code is the verdict.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let progress = Progress::terminal();
        let campaigns = self.campaigns()?;
        let mut interruption = Interruption::listen().context("signals cannot be taken over")?;
        let done = tokio::select! {
            done = self.run_all(&progress, &campaigns) => Some(done),
            () = interruption.any() => None,
        };
        give_back(&progress).await;
        match done {
            Some(code) => code.map(ExitCode::from),
            None => {
                progress.note("interrupted; everything is stopped");
                Ok(ExitCode::from(CANNOT_RUN))
            }
        }
    }

    /// One, or one per protection.
    fn campaigns(&self) -> anyhow::Result<Vec<Orders>> {
        ensure!(self.rate > 0.0 && self.rate <= 10.0, "--rate is above 0 and at most 10");
        let broken: Vec<Option<Protection>> = match self.broken.as_deref() {
            None => vec![None],
            Some(ALL) => Protection::ALL.into_iter().map(Some).collect(),
            Some(name) => {
                let names: Vec<_> = Protection::ALL.iter().map(|known| known.name()).collect();
                vec![Some(Protection::parse(name).with_context(|| format!("--break takes {} or all", names.join(", ")))?)]
            }
        };
        let minutes = self.minutes.unwrap_or(if self.broken.is_some() { MINUTES_OF_A_BREAK } else { MINUTES });
        let length = self.seconds.map_or_else(|| Duration::from_secs(60 * minutes), Duration::from_secs);
        let seed = self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        Ok(broken.into_iter().map(|broken| Orders { seed, length, rate: self.rate, broken }).collect())
    }

    async fn run_all(&self, progress: &Progress, campaigns: &[Orders]) -> anyhow::Result<u8> {
        let servers = Servers::provide(progress, "chaos", Options { yes: self.yes }).await?;
        if !self.no_build {
            let (place, progress) = (servers.place().clone(), *progress);
            tokio::task::spawn_blocking(move || cargo::build(&place, &progress)).await.context("the build panicked")??;
        }
        let mut blind = Vec::new();
        let mut code = 0;
        for orders in campaigns {
            let outcome = campaign::run(servers.clone(), progress, *orders).await?;
            let verdict = report::verdict(&outcome);
            print!("{}", report::render(&outcome, &verdict));
            code = verdict.code();
            blind.extend(orders.broken.filter(|broken| !verdict.names(auditor::expected(*broken).id())));
        }
        if campaigns.len() > 1 {
            let names: Vec<_> = blind.iter().map(|broken| broken.name()).collect();
            println!(
                "{} protections switched off one by one; not found out: {}",
                campaigns.len(),
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            );
            // each must be red: the auditor is on trial here
            code = if blind.is_empty() { 0 } else { NEGATIVE };
        }
        Ok(code)
    }
}

/// For tests: a campaign on servers that are up already.
///
/// # Errors
/// It could not be run.
pub async fn short(servers: Servers, orders: Orders) -> anyhow::Result<(String, Verdict)> {
    let outcome = campaign::run(servers, &Progress::quiet(), orders).await?;
    let verdict = report::verdict(&outcome);
    Ok((report::render(&outcome, &verdict), verdict))
}
