//! Our own programs as child processes: ingress, workers, stand-ins. Recorded like servers, with a log file and a
//! bounded wait until they answer. Called by the story, chaos, load and the benches.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Servers;
use super::access::http_client;
use super::error::{Result, ServersError};
use super::identity::{Ended, Identity};
use super::state::{Kind, Launch};
use super::{launch, place};

const POLL: Duration = Duration::from_millis(50);
/// One readiness request; a paused process must not eat the whole bound.
const PROBE_BOUND: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// Unique within a run: names the log file `target/dev/log/<name>.log`.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// On top of PATH, HOME and the like; nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Ready when a GET of this URL is answered with 2xx.
    pub ready_url: Option<String>,
    pub ready_bound: Duration,
}

impl ChildSpec {
    /// A program that is ready at once, without arguments and variables.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), program: program.into(), args: Vec::new(), env: BTreeMap::new(), ready_url: None, ready_bound: Duration::from_secs(30) }
    }
}

/// A child under way. Dropping it leaves it running; [`Servers::stop`] ends it.
#[derive(Debug)]
pub struct Child {
    pub name: String,
    pub log: PathBuf,
    identity: Identity,
    exit: tokio::sync::oneshot::Receiver<Option<std::process::ExitStatus>>,
}

impl Servers {
    /// Starts a child and waits until it is ready. Another run's log of the same name is kept apart by its number.
    pub async fn start_child(&self, spec: &ChildSpec) -> Result<Child> {
        let mut env = place::plain_environment();
        env.extend(spec.env.clone());
        let log = self.child_log(&spec.name)?;
        let launch =
            Launch { program: spec.program.clone(), args: spec.args.clone(), env, folder: self.place.root.clone(), user: None, log: Some(log.clone()) };
        let started = launch::start(&self.state, &spec.name, Kind::Child, &self.holder, &launch)?;
        let child = Child { name: spec.name.clone(), log, identity: started.identity, exit: started.exit };
        if let Some(url) = &spec.ready_url {
            child.wait_ready(url, spec.ready_bound).await?;
        }
        Ok(child)
    }

    /// Runs a program on this terminal, recorded like a child; with its exit code. For the test runner.
    /// `interrupted` resolves when we are told to end: the program is then asked to end, too.
    pub async fn run_on_terminal(&self, name: &str, launch: &Launch, interrupted: impl Future<Output = ()>) -> Result<std::process::ExitStatus> {
        let mut started = launch::start(&self.state, name, Kind::Child, &self.holder, launch)?;
        let status = tokio::select! {
            status = &mut started.exit => status,
            () = interrupted => {
                started.identity.signal(Signal::TERM)?;
                started.exit.await
            }
        };
        status.ok().flatten().ok_or_else(|| ServersError::Failed { program: name.to_owned(), detail: "its exit status is lost".into() })
    }

    fn child_log(&self, name: &str) -> Result<PathBuf> {
        let run = self.holder.pid;
        let file = if self.reused { format!("{name}.{run}.log") } else { format!("{name}.log") };
        let log = self.place.log_dir().join(file);
        // Appended to within a run (a restarted worker), begun anew by the next.
        let state = self.state.load()?.unwrap_or_default();
        let again = state.processes.iter().any(|process| process.launch.log.as_ref() == Some(&log) && process.holder == self.holder);
        if !again {
            std::fs::File::create(&log).map_err(ServersError::file("create", &log))?;
        }
        Ok(log)
    }
}

impl Child {
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    pub fn alive(&self) -> bool {
        self.identity.alive()
    }

    /// To signal it while somebody waits for its end.
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Waits for its end, which is told once; `None` when its status is lost.
    pub async fn exit(&mut self) -> Option<std::process::ExitStatus> {
        (&mut self.exit).await.ok().flatten()
    }

    /// TERM, KILL after the bound; true when TERM sufficed.
    pub async fn stop(&self, bound: Duration) -> Result<bool> {
        let ended = self.identity.end(&self.name, Signal::TERM, bound).await?;
        Ok(ended != Ended::Killed)
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&self) -> Result<()> {
        self.identity.end(&self.name, Signal::KILL, PROBE_BOUND).await.map(|_| ())
    }

    /// SIGSTOP.
    pub fn pause(&self) -> Result<()> {
        self.identity.signal(Signal::STOP).map(|_| ())
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.identity.signal(Signal::CONT).map(|_| ())
    }

    /// Waits until a GET of `url` is answered with 2xx.
    pub async fn wait_ready(&self, url: &str, bound: Duration) -> Result<()> {
        let http = http_client().map_err(|source| ServersError::Management { operation: "be asked".into(), source })?;
        let deadline = Instant::now() + bound;
        loop {
            let answer = http.get(url).timeout(PROBE_BOUND).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let (name, log) = (self.name.clone(), self.log.clone());
            if !self.alive() {
                return Err(ServersError::EndedEarly { name, log });
            }
            if Instant::now() >= deadline {
                return Err(ServersError::NotReady { name, waited: bound, log });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
