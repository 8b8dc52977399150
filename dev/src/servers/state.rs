//! `target/dev/state.json`: which processes we started, who needs them, how to reach them. Mode 0600, for it holds
//! the random passwords. Every change is a read-modify-write under a lock file and an atomic rename, since `up`,
//! `test` and the test processes write it side by side.
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::choose::Choice;
use super::error::{Result, ServersError};
use super::identity::Identity;
use super::place;

/// A change of the file takes milliseconds.
const CHANGE_BOUND: Duration = Duration::from_secs(30);
/// Another run may install packages meanwhile.
const TURN_BOUND: Duration = Duration::from_secs(900);
const POLL: Duration = Duration::from_millis(20);
/// Raised when the file's shape changes; an older file is refused, not guessed at.
const FORMAT: u32 = 1;

/// What the file says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    pub format: u32,
    pub choice: Option<Choice>,
    pub access: Option<Access>,
    pub holders: Vec<Holder>,
    pub processes: Vec<Process>,
    pub made: Vec<Made>,
}

/// A `cargo dev` that needs the servers. They stop when the last one is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    pub identity: Identity,
    /// "up" or "test".
    pub purpose: String,
    /// Left running on purpose: holds until `down`, though its process has ended.
    pub detached: bool,
}

impl Holder {
    /// True while the servers must stay for it.
    pub fn holds(&self) -> bool {
        self.detached || self.identity.alive()
    }
}

/// What a process is for; decides the order of ending (children first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Epmd,
    Postgres,
    Broker,
    /// ingress, workers, stand-ins, the test runner: belongs to one holder.
    Child,
}

/// A process that we started, with what is needed to end it or to start it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    pub name: String,
    pub kind: Kind,
    pub identity: Identity,
    /// The `cargo dev` that started it.
    pub holder: Identity,
    pub launch: Launch,
}

/// How a process is started. Kept so that a killed server comes back on the same data and ports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    pub folder: PathBuf,
    /// uid and gid, when root starts it for somebody else.
    pub user: Option<(u32, u32)>,
    /// Where its output goes; `None` keeps the terminal.
    pub log: Option<PathBuf>,
}

/// A database or vhost made on servers that are not ours; removed when its holder is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub name: String,
    pub database: bool,
    pub holder: Identity,
}

impl State {
    /// True while a living or detached `cargo dev` needs the servers.
    pub fn held(&self) -> bool {
        self.holders.iter().any(Holder::holds)
    }

    /// The process of a server.
    pub fn server(&self, kind: Kind) -> Option<&Process> {
        self.processes.iter().find(|process| process.kind == kind)
    }

    /// Children whose starter (a `cargo dev` or a test) is gone without having meant to leave them, in reverse order
    /// of their start.
    pub fn orphans(&self) -> Vec<Process> {
        let left_on_purpose = |process: &Process| self.holders.iter().any(|holder| holder.detached && holder.identity == process.holder);
        let held = |process: &Process| process.holder.alive() || left_on_purpose(process);
        let mut orphans: Vec<_> = self.processes.iter().filter(|process| process.kind == Kind::Child && !held(process)).cloned().collect();
        orphans.reverse();
        orphans
    }
}

/// The file and its locks.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file below a place's root; it need not exist yet.
    pub fn at(root: &Path) -> Self {
        Self::named(root.join("state.json"))
    }

    /// A file by its own path, as tests get it in `FRONTDESK_DEV_STATE`.
    pub fn named(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now; `None` when no servers were ever started or all are stopped.
    pub fn load(&self) -> Result<Option<State>> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ServersError::file("read", &self.path)(error)),
        };
        let refuse = |source| ServersError::State { path: self.path.clone(), source };
        let state: State = serde_json::from_slice(&bytes).map_err(refuse)?;
        if state.format == FORMAT {
            Ok(Some(state))
        } else {
            let odd = <serde_json::Error as serde::de::Error>::custom(format!("format {}", state.format));
            Err(refuse(odd))
        }
    }

    /// Changes it under the lock.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T> {
        let _lock = self.lock_for_change()?;
        let mut state = self.load()?.unwrap_or_default();
        state.format = FORMAT;
        let result = change(&mut state);
        let text = serde_json::to_string_pretty(&state).map_err(|source| ServersError::State { path: self.path.clone(), source })?;
        let next = self.path.with_extension("next");
        place::write_private(&next, &text, None)?;
        std::fs::rename(&next, &self.path).map_err(ServersError::file("replace", &self.path))?;
        Ok(result)
    }

    /// Removes it: nothing of ours is left.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ServersError::file("remove", &self.path)(error)),
            _ => Ok(()),
        }
    }

    /// Waits until no other `cargo dev` of this checkout starts or stops servers. Held until dropped; the kernel
    /// frees it when the holder is killed. `waiting` is called once if there is something to wait for.
    pub async fn take_turn(&self, waiting: impl FnOnce()) -> Result<Turn> {
        self.wait_for("turn", File::try_lock, waiting).await
    }

    /// Uses the servers together with others, or `alone`: the way for a test to kill the broker that every other
    /// test talks to. Held until dropped.
    pub async fn use_servers(&self, alone: bool) -> Result<Turn> {
        self.wait_for("use", if alone { File::try_lock } else { File::try_lock_shared }, || {}).await
    }

    async fn wait_for(&self, what: &str, take: Take, waiting: impl FnOnce()) -> Result<Turn> {
        let mut attempts = Attempts::new(self.path.with_extension(format!("{what}.lock")), take, TURN_BOUND)?;
        let mut waiting = Some(waiting);
        while !attempts.taken()? {
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Turn { _lock: attempts.file })
    }

    fn lock_for_change(&self) -> Result<File> {
        let mut attempts = Attempts::new(self.path.with_extension("change.lock"), File::try_lock, CHANGE_BOUND)?;
        while !attempts.taken()? {
            #[expect(clippy::disallowed_methods, reason = "a change takes a millisecond; async would spread to every caller")]
            std::thread::sleep(POLL);
        }
        Ok(attempts.file)
    }
}

/// How a lock is asked for without waiting.
type Take = fn(&File) -> std::result::Result<(), std::fs::TryLockError>;

/// Bounded attempts at one lock file.
struct Attempts {
    file: File,
    path: PathBuf,
    take: Take,
    bound: Duration,
    deadline: Instant,
}

impl Attempts {
    fn new(path: PathBuf, take: Take, bound: Duration) -> Result<Self> {
        let file = File::create(&path).map_err(ServersError::file("create", &path))?;
        Ok(Self { file, path, take, bound, deadline: Instant::now() + bound })
    }

    fn taken(&mut self) -> Result<bool> {
        match (self.take)(&self.file) {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(ServersError::file("lock", &self.path)(error)),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() >= self.deadline => {
                Err(ServersError::Busy { path: self.path.clone(), waited: self.bound })
            }
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        }
    }
}

/// A right that others wait for: to start or stop servers, or to use them. Ends when dropped.
#[derive(Debug)]
#[must_use = "the right ends when this is dropped"]
pub struct Turn {
    _lock: File,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn gone() -> Identity {
        Identity { start_ticks: 1, ..Identity::own().expect("Linux") }
    }

    fn child(holder: Identity, name: &str) -> Process {
        Process {
            name: name.into(),
            kind: Kind::Child,
            identity: gone(),
            holder,
            launch: Launch { program: "x".into(), args: vec![], env: BTreeMap::new(), folder: "/".into(), user: None, log: None },
        }
    }

    #[test]
    fn only_children_of_a_dead_and_not_detached_holder_are_orphans() {
        let own = Identity::own().expect("Linux");
        let mut state = State { processes: vec![child(own, "kept"), child(gone(), "first"), child(gone(), "second")], ..State::default() };
        let names = |state: &State| state.orphans().into_iter().map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(&state), ["second", "first"]);
        state.holders.push(Holder { identity: gone(), purpose: "up".into(), detached: true });
        assert!(names(&state).is_empty());
    }

    #[test]
    fn the_file_is_private_and_changes_add_up() {
        let folder = tempfile::tempdir().expect("temp");
        let file = StateFile::at(folder.path());
        assert!(file.load().expect("absent is fine").is_none());
        std::thread::scope(|scope| {
            for n in 0..8 {
                let file = file.clone();
                scope.spawn(move || {
                    file.change(|state| state.processes.push(child(gone(), &n.to_string()))).expect("changed");
                });
            }
        });
        assert_eq!(file.load().expect("read").expect("there").processes.len(), 8);
        let mode = std::fs::metadata(file.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_another_format_is_refused() {
        let folder = tempfile::tempdir().expect("temp");
        let file = StateFile::at(folder.path());
        let text = r#"{"format":99,"choice":null,"access":null,"holders":[],"processes":[],"made":[]}"#;
        std::fs::write(file.path(), text).expect("written");
        assert!(file.load().is_err());
    }
}
