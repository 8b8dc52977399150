//! `cargo dev down`: ends what any `cargo dev` of this checkout left running. Called by `main`.
use std::process::ExitCode;

use clap::Args;

use crate::progress::Progress;
use crate::servers;

/// `down`
#[derive(Debug, Args)]
pub struct Down {}

impl Down {
    /// Runs it; exit 0 also when nothing was up.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let report = servers::down(&Progress::terminal()).await?;
        if report.ended.is_empty() {
            println!("nothing of this checkout was running");
        } else {
            println!("ended: {}", report.ended.join(", "));
        }
        Ok(ExitCode::SUCCESS)
    }
}
