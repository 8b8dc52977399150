//! A private server's process, to be killed, paused, resumed and started again on the same data and ports.
//! For tests and chaos runs; the normal life of a server is `provide` and `stop`.
use std::time::Duration;

use rustix::process::Signal;

use super::Servers;
use super::access::Access;
use super::error::{Result, ServersError};
use super::identity::Identity;
use super::state::{Kind, Process, StateFile};
use super::{broker, launch, postgres};
use crate::progress::Progress;

/// A killed process is gone when the kernel has freed its memory.
const GONE_BOUND: Duration = Duration::from_secs(10);

/// Handle of one private server. Reads the state file at every call, since another process may have restarted it.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    servers: &'a Servers,
    kind: Kind,
}

impl<'a> Server<'a> {
    pub(super) fn new(servers: &'a Servers, kind: Kind) -> Self {
        Self { servers, kind }
    }

    /// Its process number now.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process()?.identity.pid)
    }

    /// True while it runs (paused counts).
    pub fn alive(&self) -> Result<bool> {
        Ok(self.process()?.identity.alive())
    }

    /// SIGKILL, and waits until the process is gone. Postgres' sessions are processes of their own and go, too, as in a power cut: one that still works
    /// on its statement holds the shared memory, and the server would refuse to start beside it.
    pub async fn kill(&self) -> Result<()> {
        let process = self.process()?;
        // stopped first, so that it adds no session behind the list
        process.identity.signal(Signal::STOP)?;
        let sessions = process.identity.children();
        process.identity.signal(Signal::KILL)?;
        for session in &sessions {
            session.signal(Signal::KILL)?;
        }
        for identity in std::iter::once(&process.identity).chain(&sessions) {
            if !identity.wait_gone(GONE_BOUND).await {
                return Err(ServersError::WillNotEnd { name: process.name, pid: identity.pid });
            }
        }
        Ok(())
    }

    /// SIGSTOP: connections stay open and nothing answers. Postgres' sessions are processes of their own: they stop, too,
    /// after their parent, so that none is added meanwhile.
    pub fn pause(&self) -> Result<()> {
        let server = self.process()?.identity;
        server.signal(Signal::STOP)?;
        server.children().iter().try_for_each(|session| session.signal(Signal::STOP).map(|_| ()))
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        let server = self.process()?.identity;
        server.children().iter().try_for_each(|session| session.signal(Signal::CONT).map(|_| ()))?;
        server.signal(Signal::CONT).map(|_| ())
    }

    /// Starts it again after [`Server::kill`] and waits until it is ready; fine when it runs.
    pub async fn start(&self) -> Result<()> {
        self.process()?;
        let Servers { state, holder, access, progress, .. } = self.servers;
        start_again(state, holder, access, self.kind, progress).await
    }

    fn process(&self) -> Result<Process> {
        let state = self.servers.state.load()?.unwrap_or_default();
        let name = if self.kind == Kind::Broker { "RabbitMQ" } else { "PostgreSQL" };
        state.server(self.kind).cloned().ok_or(ServersError::NotPrivate(name))
    }
}

/// Starts a dead private server from its record; waits until it is ready.
pub(super) async fn start_again(state: &StateFile, holder: &Identity, access: &Access, kind: Kind, progress: &Progress) -> Result<()> {
    let known = state.load()?.unwrap_or_default();
    let Some(process) = known.server(kind).filter(|process| !process.identity.alive()) else {
        return Ok(());
    };
    let step = progress.step(format!("start {} again", process.name));
    let started = launch::start(state, &process.name, kind, holder, &process.launch)?;
    let process = Process { identity: started.identity, ..process.clone() };
    match kind {
        Kind::Postgres => postgres::ready(access, &process).await?,
        Kind::Broker => broker::ready(access, &process).await?,
        Kind::Epmd | Kind::Child => {}
    }
    step.done();
    Ok(())
}
