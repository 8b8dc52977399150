//! `cargo dev test`: servers, build, every test. The runner's output and exit code pass through unchanged.
//! Called by `main` and by `.ci/run`.
use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::progress::Progress;
use crate::servers::{Options, STATE_VARIABLE, Servers};
use crate::signals::Interruption;
use crate::up::give_back;
use crate::{CANNOT_RUN, cargo};

/// `test [filter…] [--yes]`
#[derive(Debug, Args)]
pub struct Test {
    /// Only tests whose names contain one of these
    filters: Vec<String>,
    /// Install missing server packages without asking
    #[arg(long)]
    yes: bool,
}

impl Test {
    /// Runs it; the exit code is the runner's.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let progress = Progress::terminal();
        let mut interruption = Interruption::listen().context("signals cannot be taken over")?;
        let prepared = tokio::select! {
            prepared = self.prepare(&progress) => Some(prepared),
            () = interruption.any() => None,
        };
        let code = match prepared {
            Some(Ok(servers)) => self.test(&servers, &progress, &mut interruption).await,
            Some(Err(error)) => Err(error),
            None => Ok(CANNOT_RUN),
        };
        give_back(&progress).await;
        code.map(ExitCode::from)
    }

    async fn prepare(&self, progress: &Progress) -> anyhow::Result<Servers> {
        let servers = Servers::provide(progress, "test", Options { yes: self.yes }).await?;
        let build = {
            let (place, progress) = (servers.place().clone(), *progress);
            move || cargo::build(&place, &progress)
        };
        tokio::task::spawn_blocking(build).await.context("the build panicked")??;
        Ok(servers)
    }

    async fn test(&self, servers: &Servers, progress: &Progress, interruption: &mut Interruption) -> anyhow::Result<u8> {
        let (name, launch) = cargo::test_runner(servers.place(), &self.filters, &exports(servers));
        progress.note(&name);
        let status = servers.run_on_terminal("test runner", &launch, interruption.terminate()).await?;
        // Ended by a signal: no verdict.
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(CANNOT_RUN))
    }
}

/// What tests find in their environment.
fn exports(servers: &Servers) -> BTreeMap<String, String> {
    [
        ("DATABASE_URL", servers.database_admin_url().to_owned()),
        ("AMQP_URL", servers.amqp_url("%2f")),
        ("RABBITMQ_MANAGEMENT_URL", servers.management_url().to_owned()),
        (STATE_VARIABLE, servers.state_path().display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
