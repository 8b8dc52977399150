//! What all benches stand on: servers with a database and vhost of their own, the demo company, release programs, and the peers as processes.
//! Called by `bench`, `ingress`, `booking` and `live`.
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::demo::setup::{self, Stage};
use crate::demo::{Mode, Run};
use crate::progress::Progress;
use crate::servers::{ChildSpec, Servers};

/// Everything that a bench needs.
pub struct Arena {
    pub servers: Servers,
    pub stage: Stage,
    pub progress: Progress,
    /// Folder of cargo's output: `release`, or `debug` to try the bench itself.
    profile: &'static str,
}

impl Arena {
    /// A database and a vhost of this run alone.
    pub async fn prepare(servers: Servers, progress: &Progress, profile: &'static str) -> anyhow::Result<Self> {
        if servers.reused() {
            progress.note("the servers are used by others at the same time: compare within this run only");
        }
        let run = Run { mode: Mode::Once, name: format!("frontdesk_bench_{}", std::process::id()) };
        let stage = setup::prepare(&servers, progress, &run).await?;
        Ok(Self { servers, stage, progress: *progress, profile })
    }

    /// A program as cargo made it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.servers.place().bin_dir().with_file_name(self.profile).join(name)
    }

    /// A program of the product with the variables that all of them need.
    pub fn product(&self, name: &str) -> ChildSpec {
        let variables = [
            ("DATABASE_URL", self.stage.database_url.as_str()),
            ("AMQP_URL", self.stage.amqp_url.as_str()),
            ("MASTER_KEYS", self.stage.master_keys.expose_secret()),
            ("LOG_FORMAT", "json"),
        ];
        ChildSpec { env: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), ..ChildSpec::new(name, self.program(name)) }
    }

    /// A bare peer that runs until it is stopped.
    pub fn peer(&self, name: &str, args: &[&str]) -> ChildSpec {
        let mut spec = self.product(name);
        spec.program = self.program("bench_peers");
        spec.args = args.iter().map(|argument| (*argument).to_owned()).collect();
        spec.env.insert("WEBHOOK_SECRET".into(), self.stage.calcom_secret.expose_secret().to_owned());
        spec
    }

    /// Runs a peer to its end; what it found out stands on its standard output.
    pub async fn ask<Answer: DeserializeOwned>(&self, args: &[&str]) -> anyhow::Result<Answer> {
        self.ask_with(args, &[]).await
    }

    /// The same with further variables.
    pub async fn ask_with<Answer: DeserializeOwned>(&self, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut spec = self.peer("peer", args);
        spec.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut command = Command::new(&spec.program);
        command.args(&spec.args).env_clear().envs(&spec.env).stdin(Stdio::null());
        let said = output(command).await?;
        serde_json::from_str(&said).context("a peer's result cannot be read")
    }
}

/// Standard output of a program that must succeed; it is killed if we stop waiting.
pub async fn output(mut command: Command) -> anyhow::Result<String> {
    let said = command.kill_on_drop(true).output().await.with_context(|| format!("{:?} could not be run", command.as_std().get_program()))?;
    if !said.status.success() {
        bail!("{:?} failed: {}", command.as_std().get_program(), String::from_utf8_lossy(&said.stderr).trim());
    }
    String::from_utf8(said.stdout).context("the output is no text")
}

/// Load of the machine: the figures are worth little beside a compiler.
pub fn machine_load() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg").context("/proc/loadavg cannot be read")?;
    let minute = text.split_whitespace().next().unwrap_or_default().to_owned();
    ensure!(!minute.is_empty(), "/proc/loadavg is empty");
    Ok(minute)
}
