//! The real binaries as child processes, each with its own log file; killed when dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{DEADLINE, eventually, eventually_within};

/// A running binary.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub log: PathBuf,
    pub name: String,
}

/// The folder of the binaries that were built with this test.
#[must_use]
pub fn binaries() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}

/// A free port of the loopback interface.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Process {
    /// Starts `program` with an environment of its own and nothing else but PATH.
    ///
    /// # Panics
    /// When it is not built (`cargo dev test` builds all binaries first).
    #[must_use]
    pub fn start(name: &str, program: &str, arguments: &[&str], environment: &BTreeMap<String, String>, logs: &Path) -> Self {
        std::fs::create_dir_all(logs).expect("the log folder");
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("the log file");
        let child = Command::new(binaries().join(program))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}: run `cargo dev test`, which builds it"));
        Self { child, log, name: name.to_owned() }
    }

    /// Waits until `url` answers 200.
    pub async fn ready(&mut self, url: &str) {
        let name = self.name.clone();
        let log = self.log.clone();
        let child = std::cell::RefCell::new(&mut self.child);
        eventually(&format!("{name} is ready at {url}"), || async {
            if let Ok(Some(status)) = child.borrow_mut().try_wait() {
                panic!("{name} ended with {status}:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            match crate::http::client().get(url).send().await {
                Ok(answer) if answer.status().is_success() => Some(()),
                _ => None,
            }
        })
        .await;
    }

    /// Its number, to look at it in `/proc`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGTERM, and the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        self.ask_to_stop();
        self.wait_within(DEADLINE).await
    }

    /// SIGTERM, and on: whoever asked looks at how it ends.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for the end, and the exit code (`None`: by a signal).
    pub async fn wait(&mut self) -> Option<i32> {
        self.wait_within(DEADLINE).await
    }

    /// As [`Process::wait`], with a bound of the caller's.
    pub async fn wait_within(&mut self, bound: Duration) -> Option<i32> {
        let name = self.name.clone();
        let child = std::cell::RefCell::new(&mut self.child);
        eventually_within(bound, &format!("{name} ends"), || async { child.borrow_mut().try_wait().ok().flatten() }).await.code()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// What it logged so far.
    #[must_use]
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
