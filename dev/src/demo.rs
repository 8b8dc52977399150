//! What `cargo dev up` plays once servers are there. A placeholder until the story replaces it: it only makes the
//! demo database and vhost. Called by `up`.
use std::collections::BTreeMap;

use crate::progress::Progress;
use crate::servers::Servers;

/// What happens after the play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Play, stop everything, exit.
    Once,
    /// Play, then stay until Ctrl-C.
    Stay,
    /// Play, leave everything running.
    Detach,
}

/// How `up` wants it played.
#[derive(Debug, Clone)]
pub struct Run {
    pub mode: Mode,
    /// Database and vhost: `frontdesk_dev`, with something behind it beside another `up` or on given servers.
    pub name: String,
}

/// What came out of it.
#[derive(Debug, Clone, Default)]
pub struct Played {
    /// False: what happened is not what should have happened; exit 1.
    pub verdict: bool,
    /// Variables for `target/dev/env`.
    pub env: BTreeMap<String, String>,
}

/// Plays. Children are started with [`Servers::start_child`]; `up` stops them.
pub async fn play(servers: &Servers, progress: &Progress, run: &Run) -> anyhow::Result<Played> {
    let step = progress.step(format!("database and vhost {}", run.name));
    let database_url = servers.create_database(&run.name).await?;
    let amqp_url = servers.create_vhost(&run.name).await?;
    step.done();
    let env = [("DATABASE_URL", database_url), ("AMQP_URL", amqp_url), ("RABBITMQ_MANAGEMENT_URL", servers.management_url().to_owned())];
    Ok(Played { verdict: true, env: env.map(|(name, value)| (name.to_owned(), value)).into() })
}
