//! `cargo dev down`: ends what a detached or killed `cargo dev` of this checkout left running. Called by `main`.
use std::process::ExitCode;

use clap::Args;

use crate::progress::Progress;
use crate::servers;

/// `down`
#[derive(Debug, Args)]
pub struct Down {
    /// Also end runs that are still at work (another terminal's `up` or `test`)
    #[arg(long)]
    all: bool,
}

impl Down {
    /// Runs it; exit 0 also when nothing was up.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let report = servers::down(&Progress::terminal(), self.all).await?;
        if report.ended.is_empty() && !report.servers_stay {
            println!("nothing of this checkout was running");
        } else if report.ended.is_empty() {
            println!("nothing ended");
        } else {
            println!("ended: {}", report.ended.join(", "));
        }
        Ok(ExitCode::SUCCESS)
    }
}
