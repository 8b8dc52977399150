//! The product's processes as an orchestrator runs them: each starts again when it ended, whoever ended it; what ended without being asked to, or not as it
//! should, is written down. Each role runs in two processes. Called by `campaign` and `strike`.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::{DateTime, Utc};
use rustix::process::Signal;
use shared::clock::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::record::{ProcessRecord, Spool};
use crate::servers::{ChildSpec, Identity, Servers, http_client};

/// An orchestrator does not start a container again at once.
const RESTART_PAUSE: Duration = Duration::from_millis(300);
/// On top of a process' own drain bound: the machine is busy, and the grace period of an orchestrator is as much (architecture section 6).
const DRAIN_SLACK: Duration = Duration::from_secs(10);
const READY_BOUND: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);
const SAMPLE_EVERY: Duration = Duration::from_secs(2);

/// One process to keep up.
#[derive(Clone, Debug)]
pub struct MemberSpec {
    pub child: ChildSpec,
    /// `ingress` or `workers`.
    pub program: &'static str,
    pub roles: Vec<&'static str>,
    /// Base of `/metrics` and `/readyz`.
    pub url: String,
    /// How long it may take to stop.
    pub drain_bound: Duration,
    pub spool: Option<(PathBuf, u64)>,
}

/// What we did to the present life, so that its end can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Stop,
    Kill,
}

struct Life {
    identity: Option<Identity>,
    asked: Asked,
    starts: u64,
    log: PathBuf,
    resident_bytes_max: u64,
    spool_bytes_max: u64,
    odd_ends: Vec<String>,
    /// From each end that we made (or the order to end) until the next life was ready; the last one may still go on.
    downs: Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>,
}

/// One process over all its lives.
pub struct Member {
    pub spec: MemberSpec,
    life: Mutex<Life>,
}

/// All of them.
pub struct Fleet {
    pub members: Vec<Arc<Member>>,
    /// No more restarts.
    ending: CancellationToken,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// Starts everything and waits until all of it is ready.
    pub async fn start(servers: &Servers, specs: Vec<MemberSpec>) -> anyhow::Result<Self> {
        let ending = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let members: Vec<Arc<Member>> = specs.into_iter().map(|spec| Arc::new(Member::new(spec))).collect();
        for member in &members {
            tasks.spawn(supervise(servers.clone(), Arc::clone(member), ending.clone()));
        }
        tasks.spawn(sample(members.clone(), ending.clone()));
        let fleet = Self { members, ending, tasks };
        fleet.ready().await?;
        Ok(fleet)
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let http = http_client()?;
        let deadline = Instant::now() + READY_BOUND;
        for member in &self.members {
            loop {
                let answer = http.get(format!("{}/readyz", member.spec.url)).timeout(Duration::from_secs(2)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                let log = member.life().log.display().to_string();
                ensure!(Instant::now() < deadline, "{} was not ready within {} s: see {log}", member.spec.child.name, READY_BOUND.as_secs());
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Stops everything as an orchestrator does; what does not stop in time is killed and told as an odd end.
    pub async fn stop(mut self) -> Vec<ProcessRecord> {
        self.ending.cancel();
        let stops: Vec<_> = self.members.iter().map(|member| member.terminate()).collect();
        futures_util::future::join_all(stops).await;
        while self.tasks.join_next().await.is_some() {}
        self.records()
    }

    /// What is known of each.
    pub fn records(&self) -> Vec<ProcessRecord> {
        self.members.iter().map(|member| member.record()).collect()
    }

    pub fn spools(&self) -> Vec<Spool> {
        let spools = self.members.iter().filter_map(|member| {
            let (folder, quota_bytes) = member.spec.spool.clone()?;
            Some(Spool { folder, quota_bytes, bytes_max: member.life().spool_bytes_max })
        });
        spools.collect()
    }
}

impl Member {
    fn new(spec: MemberSpec) -> Self {
        let life = Life {
            identity: None,
            asked: Asked::Nothing,
            starts: 0,
            log: PathBuf::new(),
            resident_bytes_max: 0,
            spool_bytes_max: 0,
            odd_ends: Vec::new(),
            downs: Vec::new(),
        };
        Self { spec, life: Mutex::new(life) }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // every change is one statement, so what a panicked task left behind is whole
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal to the present life; false when there is none.
    fn signal(&self, signal: Signal, asked: Option<Asked>) -> bool {
        let identity = {
            let mut life = self.life();
            let Some(identity) = life.identity.clone() else { return false };
            if let Some(asked) = asked {
                life.asked = asked;
                if life.downs.last().is_none_or(|(_, until)| until.is_some()) {
                    life.downs.push((Clock::system().now(), None));
                }
            }
            identity
        };
        identity.signal(signal).unwrap_or(false)
    }

    /// SIGKILL; false when it was not there to be killed.
    pub fn kill(&self) -> bool {
        self.signal(Signal::KILL, Some(Asked::Kill))
    }

    /// The present life, if there is one.
    pub fn identity(&self) -> Option<Identity> {
        self.life().identity.clone()
    }

    /// When we had ended it, each time until it was ready again; what goes on lasts until now.
    pub fn downs(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let now = Clock::system().now();
        self.life().downs.iter().map(|(from, until)| (*from, until.unwrap_or(now))).collect()
    }

    fn is_up(&self) {
        if let Some((_, until @ None)) = self.life().downs.last_mut() {
            *until = Some(Clock::system().now());
        }
    }

    /// SIGCONT.
    pub fn resume(&self) -> bool {
        self.signal(Signal::CONT, None)
    }

    /// SIGTERM, and waits for the end; after the bound it is killed, which is told as an odd end.
    pub async fn terminate(&self) -> bool {
        let Some(identity) = self.life().identity.clone() else { return false };
        if !self.signal(Signal::TERM, Some(Asked::Stop)) {
            return false;
        }
        // a paused process would not hear it
        let _ = identity.signal(Signal::CONT);
        if !identity.wait_gone(self.spec.drain_bound + DRAIN_SLACK).await {
            self.life().odd_ends.push(format!("did not stop within {} s of SIGTERM", (self.spec.drain_bound + DRAIN_SLACK).as_secs()));
            self.kill();
        }
        true
    }

    fn record(&self) -> ProcessRecord {
        let life = self.life();
        ProcessRecord {
            name: self.spec.child.name.clone(),
            program: self.spec.program,
            roles: self.spec.roles.clone(),
            log: life.log.clone(),
            metrics_url: format!("{}/metrics", self.spec.url),
            starts: life.starts,
            resident_bytes_max: life.resident_bytes_max,
            odd_ends: life.odd_ends.clone(),
        }
    }

    /// Notes an end; whether it was as it should be.
    fn ended(&self, status: Option<ExitStatus>, ending: bool) {
        let mut life = self.life();
        life.identity = None;
        let asked = std::mem::replace(&mut life.asked, Asked::Nothing);
        let clean = status.is_some_and(|status| status.code() == Some(0));
        let told = status.map_or_else(|| "an unknown status".to_owned(), |status| status.to_string());
        match asked {
            Asked::Kill => {}
            Asked::Stop if clean => {}
            Asked::Stop => life.odd_ends.push(format!("ended with {told} after SIGTERM")),
            Asked::Nothing if ending => {}
            Asked::Nothing => life.odd_ends.push(format!("ended by itself with {told}")),
        }
    }
}

/// Keeps one process up until the campaign ends.
async fn supervise(servers: Servers, member: Arc<Member>, ending: CancellationToken) {
    while !ending.is_cancelled() {
        match servers.start_child(&member.spec.child).await {
            Ok(mut child) => {
                {
                    let mut life = member.life();
                    life.identity = Some(child.identity());
                    life.log.clone_from(&child.log);
                    life.starts += 1;
                }
                let status = {
                    let mut exit = std::pin::pin!(child.exit());
                    let early = tokio::select! {
                        status = &mut exit => Some(status),
                        () = says_ready(&member) => None,
                    };
                    match early {
                        Some(status) => status,
                        None => {
                            member.is_up();
                            exit.await
                        }
                    }
                };
                member.ended(status, ending.is_cancelled());
            }
            Err(error) => member.life().odd_ends.push(format!("could not be started: {error}")),
        }
        tokio::select! {
            () = ending.cancelled() => {}
            () = tokio::time::sleep(RESTART_PAUSE) => {}
        }
    }
}

/// Until it answers that it is.
async fn says_ready(member: &Member) {
    loop {
        if let Ok(http) = http_client() {
            let answer = http.get(format!("{}/readyz", member.spec.url)).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Looks at memory and spools from time to time.
async fn sample(members: Vec<Arc<Member>>, ending: CancellationToken) {
    loop {
        for member in &members {
            let pid = member.life().identity.as_ref().map(|identity| identity.pid);
            let resident = pid.and_then(resident_bytes).unwrap_or(0);
            let spooled = member.spec.spool.as_ref().map_or(0, |(folder, _)| folder_bytes(folder));
            let mut life = member.life();
            life.resident_bytes_max = life.resident_bytes_max.max(resident);
            life.spool_bytes_max = life.spool_bytes_max.max(spooled);
        }
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(SAMPLE_EVERY) => {}
        }
    }
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Of the spool's own files: what a fault put there does not count.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_name() != super::disk::BALLAST_NAME);
    files.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}
