//! `cargo dev up`: servers, build, play; then stop, stay or leave running. Called by `main`.
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::demo::{self, Mode, Played, Run};
use crate::progress::Progress;
use crate::servers::{self, Choice, Options, Place, Servers};
use crate::signals::Interruption;
use crate::{CANNOT_RUN, NEGATIVE, cargo, env_file};

/// Name of the demo database and vhost where they are the only ones.
const NAME: &str = "frontdesk_dev";

/// `up [--detach] [--once] [--yes]`
#[derive(Debug, Args)]
pub struct Up {
    /// Play, leave everything running, write target/dev/env, return
    #[arg(long, conflicts_with = "once")]
    detach: bool,
    /// Play, stop everything, exit 0 or 1 (the default without a terminal)
    #[arg(long)]
    once: bool,
    /// Install missing server packages without asking
    #[arg(long)]
    yes: bool,
}

impl Up {
    fn mode(&self) -> Mode {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        match self {
            Self { detach: true, .. } => Mode::Detach,
            Self { once: false, .. } if terminal => Mode::Stay,
            _ => Mode::Once,
        }
    }

    /// Runs it; the exit code is the verdict.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let progress = Progress::terminal();
        let mode = self.mode();
        let mut interruption = Interruption::listen().context("signals cannot be taken over")?;
        let played = tokio::select! {
            played = self.play(&progress, mode) => Some(played),
            () = interruption.any() => None,
        };
        if let (Mode::Stay, Some(Ok(_))) = (mode, &played) {
            progress.note("running; Ctrl-C ends it");
            interruption.any().await;
        }
        if !matches!((mode, &played), (Mode::Detach, Some(Ok(_)))) {
            give_back(&progress).await;
        }
        match played {
            Some(Ok(played)) if played.verdict => Ok(ExitCode::SUCCESS),
            Some(Ok(_)) => Ok(ExitCode::from(NEGATIVE)),
            Some(Err(error)) => Err(error),
            None => {
                progress.note("interrupted; everything is stopped");
                Ok(ExitCode::from(CANNOT_RUN))
            }
        }
    }

    async fn play(&self, progress: &Progress, mode: Mode) -> anyhow::Result<Played> {
        let servers = Servers::provide(progress, "up", Options { yes: self.yes }).await?;
        if mode == Mode::Detach && servers::replace_detached(&servers).await? {
            progress.note("an earlier detached run was up: this one takes its place");
        }
        let build = {
            let (place, progress) = (servers.place().clone(), *progress);
            move || cargo::build(&place, &progress)
        };
        tokio::task::spawn_blocking(build).await.context("the build panicked")??;
        let name = match (servers.choice(), servers.others("up")?) {
            (Choice::Private, 0) => NAME.to_owned(),
            // Servers that are not ours may serve other checkouts, too.
            (_, 0) => format!("{NAME}_{}", servers.place().hash),
            _ => format!("{NAME}_{}", std::process::id()),
        };
        let played = demo::play(&servers, progress, &Run { mode, name }).await?;
        if mode == Mode::Detach {
            write_env(servers.place(), &played)?;
            servers.detach()?;
            progress.note("left running: `. target/dev/env` for its addresses and the command `frontdesk`, `cargo dev down` to end it");
        }
        Ok(played)
    }
}

/// The verdict counts more than a stop that failed; what stays is named, and the next run or `down` ends it.
pub(crate) async fn give_back(progress: &Progress) {
    if let Err(error) = servers::release_own(progress).await {
        let error = anyhow::Error::from(error);
        progress.note(format!("not everything could be stopped, try `cargo dev down`: {error:#}"));
    }
}

fn write_env(place: &Place, played: &Played) -> anyhow::Result<()> {
    Ok(place.write_env(&env_file::render(&played.env, &place.bin_dir()))?)
}
