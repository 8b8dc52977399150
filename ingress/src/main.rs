//! The `ingress` executable: configuration, logs, run, exit code. Everything else is the library.

use anyhow::Context;
use clap::Parser;
use ingress::config::Args;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Args::parse().check()?;
    shared::telemetry::logging::init_logging(&config.telemetry, "ingress")
        .context("logs cannot be set up")?;
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
