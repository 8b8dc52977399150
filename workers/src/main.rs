//! The worker process: configuration → telemetry → run → exit code.
//!
//! Exit codes: 0 stopped as asked, 1 a part of the process ended by itself, 2 cannot run (configuration, schema, topology).

use std::process::ExitCode;

use clap::Parser as _;
use shared::telemetry::logging::init_logging;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use workers::{Args, Config, StartError};

const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let config = match Args::parse().check() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("workers: {error}");
            return ExitCode::from(CANNOT_RUN);
        }
    };
    match start(config) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("workers: {error:#}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn start(config: Config) -> anyhow::Result<ExitCode> {
    init_logging(&config.telemetry, "workers")?;
    // the default hook prints the panic's message, which may quote what a caller said
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(location = panic.location().map(ToString::to_string), "panic");
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    let mut running = match workers::run(config, stop.clone()).await {
        Ok(running) => running,
        Err(StartError::Stopped) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error.into()),
    };
    tokio::select! {
        // first: a part that ends because we were asked to stop is no failure
        biased;
        () = stop.cancelled() => {
            running.stop().await;
            Ok(ExitCode::SUCCESS)
        }
        part = running.failed() => {
            tracing::error!(part, "a part of the process ended by itself; the process ends, to be started again");
            running.stop().await;
            Ok(ExitCode::FAILURE)
        }
    }
}
