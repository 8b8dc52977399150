//! `cargo dev bench ingress | booking`: the product beside bare peers and the servers' own limit, interleaved in one run on private servers.
//! Prints a table with the median of the rounds. A missed goal is no error; a contestant that fails to run is (exit 1). Called by `main`.
//!
//! Files: `arena` is what both benches stand on · `ingress`, `booking` run the rounds · `load` sends webhooks · `bare_*` are the peers (program
//! `bench_peers`) · `webhooks` makes bodies · `amqp` is plain lapin · `figures` counts.
mod amqp;
mod arena;
pub mod bare_booking;
pub mod bare_ingress;
pub mod bare_publish;
mod booking;
mod figures;
mod ingress;
pub mod load;
mod webhooks;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::progress::Progress;
use crate::servers::{Options, Servers};
use crate::signals::Interruption;
use crate::up::give_back;
use crate::{CANNOT_RUN, NEGATIVE, cargo};
use arena::Arena;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Verified and confirmed requests per second
    Ingress,
    /// Cal.com webhooks processed per second
    Booking,
}

/// `bench ingress|booking [--rounds N] [--seconds N] [--messages N] [--explain] [--unoptimised] [--no-build] [--yes]`
#[derive(Debug, Args)]
pub struct Bench {
    which: Which,
    /// Every contestant runs once in each; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// ingress: how long each run is measured
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// booking: the backlog of each run, rounded up to a multiple of sixteen
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(160..=400_000))]
    messages: u32,
    /// Tries the bench itself with the debug build: quickly there, and its figures mean nothing
    #[arg(long)]
    unoptimised: bool,
    /// booking: Postgres logs the plan and time of every fiftieth statement (target/dev/log/postgres.log)
    #[arg(long)]
    explain: bool,
    /// Takes the programs as they were built last
    #[arg(long)]
    no_build: bool,
    /// Install missing server packages without asking
    #[arg(long)]
    yes: bool,
}

impl Bench {
    /// Runs it and prints the figures.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let progress = Progress::terminal();
        let mut interruption = Interruption::listen().context("signals cannot be taken over")?;
        let prepared = tokio::select! {
            prepared = self.prepare(&progress) => Some(prepared),
            () = interruption.any() => None,
        };
        let measured = match prepared {
            Some(Ok(arena)) => tokio::select! {
                measured = self.measure(&arena) => Some(Ok(measured)),
                () = interruption.any() => None,
            },
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        give_back(&progress).await;
        match measured {
            Some(Ok(Ok(text))) => {
                print!("{text}");
                Ok(ExitCode::SUCCESS)
            }
            Some(Ok(Err(error))) => {
                progress.note(format!("a contestant failed: {error:#}"));
                Ok(ExitCode::from(NEGATIVE))
            }
            Some(Err(error)) => Err(error),
            None => Ok(ExitCode::from(CANNOT_RUN)),
        }
    }

    async fn prepare(&self, progress: &Progress) -> anyhow::Result<Arena> {
        let servers = Servers::provide(progress, "bench", Options { yes: self.yes }).await?;
        if !self.no_build {
            let (place, progress) = (servers.place().clone(), *progress);
            let build = if self.unoptimised { cargo::build } else { cargo::build_release };
            tokio::task::spawn_blocking(move || build(&place, &progress)).await.context("the build panicked")??;
        }
        let profile = if self.unoptimised { "debug" } else { "release" };
        Arena::prepare(servers, progress, profile).await
    }

    async fn measure(&self, arena: &Arena) -> anyhow::Result<String> {
        match self.which {
            Which::Ingress => ingress::run(arena, self.rounds, self.seconds).await,
            Which::Booking => {
                let messages = self.messages.next_multiple_of(u32::from(bare_booking::CONCURRENT));
                booking::run(arena, self.rounds, messages, self.explain).await
            }
        }
    }
}
