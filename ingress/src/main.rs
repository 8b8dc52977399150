//! The `ingress` executable: configuration, logs, run, exit code. Everything else is the library.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use ingress::config::{Args, Config};
use tokio::signal::unix::{SignalKind, signal};

/// The configuration is wrong: starting again would not help.
const EXIT_CONFIGURATION: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Args::parse().check() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("ingress does not start: {error}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain in one line, and no backtrace: this is for an operator.
            eprintln!("ingress does not start: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    shared::telemetry::logging::init_logging(&config.telemetry, "ingress").context("logs cannot be set up")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be heard")?;
    let running = ingress::run(config).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ingress stops: no new connections, requests at work finish");
    running.stop().await;
    tracing::info!("ingress has stopped");
    Ok(())
}
