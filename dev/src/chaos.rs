//! `cargo dev chaos [--minutes N] [--seed S] [--break NAME]`: the product's real processes under every fault that one machine can produce, and an auditor who
//! judges what became of what they promised. Prints a table; the last line is the verdict, and so is the exit code: 0 kept, 1 violated, 2 could not be run.
//! With `--break` the auditor is on trial: 0 if it named what the missing protection was good for, in words that only its absence explains, and the control (the same with
//! the protection) was green, else 1. What it could not see proves nothing either way.
//!
//! Files: `campaign` is the course of events · `arena` what it stands on (`links`, `setup`, `roster`) · `fleet` the processes · `tenants`, `schedule`, `load` who wishes what · `gate` what was
//! acknowledged · `faults`, `plan`, `strike` what goes wrong (`providers`: at Cal.com and Retell; `trial`, `provocation`: what else a `--break` needs; `paused`, `unread`: a pause, and whether it was noticed) · `proxy`, `disk` two ways to go wrong · `quiet` when it is over · `record` what the `auditor` gets ·
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
mod paused;
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
pub mod trial;
mod unread;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use shared::protection::Protection;

use crate::progress::Progress;
use crate::servers::{Options, Place, Servers};
use crate::signals::Interruption;
use crate::up::give_back;
use crate::{CANNOT_RUN, NEGATIVE, cargo};
use campaign::{LENGTH_MIN, Orders};
use report::Verdict;
use report::trials::{self, TrialRow};
use trial::Trial;

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
    /// Switch one protection off and see whether the auditor names what it was good for, and nothing with it on; `all`: each in turn
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
        let protections = self.protections()?;
        let mut interruption = Interruption::listen().context("signals cannot be taken over")?;
        let done = tokio::select! {
            done = self.run_all(&progress, &protections) => Some(done),
            () = interruption.any() => None,
        };
        let place = Place::of_checkout()?;
        if done.is_none() {
            disk::unmount_own(&arena::disk_records(&place));
        }
        give_back(&progress).await;
        if done.is_none() {
            arena::remove_own_folder(&place);
        }
        match done {
            Some(code) => code.map(ExitCode::from),
            None => {
                progress.note("interrupted; everything is stopped");
                Ok(ExitCode::from(CANNOT_RUN))
            }
        }
    }

    /// Which are switched off, one after the other; none: an ordinary campaign.
    fn protections(&self) -> anyhow::Result<Vec<Protection>> {
        ensure!(self.rate > 0.0 && self.rate <= 10.0, "--rate is above 0 and at most 10");
        match self.broken.as_deref() {
            None => Ok(Vec::new()),
            Some(ALL) => Ok(Protection::ALL.to_vec()),
            Some(name) => {
                let names: Vec<_> = Protection::ALL.iter().map(|known| known.name()).collect();
                Ok(vec![Protection::parse(name).with_context(|| format!("--break takes {} or all", names.join(", ")))?])
            }
        }
    }

    async fn run_all(&self, progress: &Progress, protections: &[Protection]) -> anyhow::Result<u8> {
        let servers = Servers::provide(progress, "chaos", Options { yes: self.yes }).await?;
        if !self.no_build {
            let (place, progress) = (servers.place().clone(), *progress);
            tokio::task::spawn_blocking(move || cargo::build(&place, &progress)).await.context("the build panicked")??;
        }
        let minutes = self.minutes.unwrap_or(if protections.is_empty() { MINUTES } else { MINUTES_OF_A_BREAK });
        let length = self.seconds.map_or_else(|| Duration::from_secs(60 * minutes), Duration::from_secs);
        let seed = self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        let orders = |trial: Trial| Orders { seed, length, rate: self.rate, trial };
        if protections.is_empty() {
            return Ok(one(&servers, progress, orders(Trial::Ordinary)).await?.code());
        }
        let mut rows = Vec::new();
        for protection in protections.iter().copied() {
            let broken = one(&servers, progress, orders(Trial::Broken(protection))).await?;
            let control = one(&servers, progress, orders(Trial::Control(protection))).await?;
            rows.push(TrialRow { protection, broken, control });
        }
        print!("{}", trials::render(&rows));
        Ok(if rows.iter().all(TrialRow::is_proven) { 0 } else { NEGATIVE })
    }
}

/// Runs one campaign and prints what it found.
async fn one(servers: &Servers, progress: &Progress, orders: Orders) -> anyhow::Result<Verdict> {
    let outcome = campaign::run(servers.clone(), progress, orders).await?;
    let verdict = report::verdict(&outcome);
    print!("{}", report::render(&outcome, &verdict));
    Ok(verdict)
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
