//! `cargo dev bench ingress | booking | live`: the product beside bare peers and the servers' own limit, or callers idle and beside a backlog, interleaved in one run on private servers.
//! Prints a table with the median of the rounds. A goal missed beside peers is no error; one that callers feel (`live`) and a contestant that fails to run are (exit 1). Called by `main`.
//!
//! Files: `arena` is what all benches stand on · `ingress`, `booking`, `live` run the rounds · `load` sends webhooks, `callers` speak · `bare_*` are the peers (program
//! `bench_peers`) · `webhooks` makes bodies · `amqp` is plain lapin · `figures` counts.
mod amqp;
mod arena;
pub mod bare_booking;
pub mod bare_ingress;
pub mod bare_publish;
mod booking;
pub mod callers;
mod figures;
mod ingress;
mod live;
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

/// Messages that the booking bench works off.
const BACKLOG: u32 = 20_000;
/// What two busy cores take off while the callers speak, and more.
const BACKLOG_LIVE: u32 = 80_000;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Verified and confirmed requests per second
    Ingress,
    /// Cal.com webhooks processed per second
    Booking,
    /// How fast callers are answered, idle and beside a backlog; about ten minutes
    Live,
}

/// A report, and whether what it promises holds.
struct Judged {
    text: String,
    holds: bool,
}

/// `bench ingress|booking|live [--rounds N] [--seconds N] [--messages N] [--calls N] [--rate N] [--permits-bulk N] [--explain] [--unoptimised] [--no-build] [--yes]`
#[derive(Debug, Args)]
pub struct Bench {
    which: Which,
    /// Every contestant runs once in each; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// ingress: how long each run is measured
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// The backlog of each run; booking: 20,000, rounded up to a multiple of sixteen · live: 80,000, filled up where they do not last; 20,000 must be there when the callers begin and 10,000 when they end
    #[arg(long, value_parser = clap::value_parser!(u32).range(160..=400_000))]
    messages: Option<u32>,
    /// live: measured requests of each run
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(20..=20_000))]
    calls: u32,
    /// live: requests a second, half of them questions and half of them bookings
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    rate: u32,
    /// live: transactions at a time on the bulk lanes, to find out how many leave callers alone; without it the workers' default
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    permits_bulk: Option<u32>,
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
            Some(Ok(Ok(judged))) => {
                print!("{}", judged.text);
                Ok(if judged.holds { ExitCode::SUCCESS } else { ExitCode::from(NEGATIVE) })
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

    async fn measure(&self, arena: &Arena) -> anyhow::Result<Judged> {
        let text = match self.which {
            Which::Ingress => ingress::run(arena, self.rounds, self.seconds).await?,
            Which::Booking => {
                let messages = self.messages.unwrap_or(BACKLOG).next_multiple_of(u32::from(bare_booking::CONCURRENT));
                booking::run(arena, self.rounds, messages, self.explain).await?
            }
            Which::Live => {
                let (calls, rate) = (usize::try_from(self.calls)?, usize::try_from(self.rate)?);
                let (backlog, permits_bulk) = (self.messages.unwrap_or(BACKLOG_LIVE), self.permits_bulk);
                return live::run(arena, live::Options { pairs: self.rounds, calls, rate, backlog, permits_bulk }).await;
            }
        };
        Ok(Judged { text, holds: true })
    }
}
