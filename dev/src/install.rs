//! `dev install-packages`: the line that a user is shown for sudo. Called by `main`; root only.
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::progress::Progress;
use crate::servers::{is_root, packages};

/// `install-packages postgresql rabbitmq-server`
#[derive(Debug, Args)]
pub struct Install {
    #[arg(required = true)]
    packages: Vec<Package>,
}

/// The only packages that are ever installed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Package {
    Postgresql,
    RabbitmqServer,
}

impl Install {
    /// Runs it.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(is_root(), "packages are installed by root: put sudo before it");
        let names: Vec<&str> = self
            .packages
            .iter()
            .map(|package| match package {
                Package::Postgresql => "postgresql",
                Package::RabbitmqServer => "rabbitmq-server",
            })
            .collect();
        packages::install(&names, &Progress::terminal())?;
        Ok(ExitCode::SUCCESS)
    }
}
