//! Starts a process so that no kill -9 of ours can leave it unrecorded. Called for servers, children and the runner.
//!
//! The process begins as a shell that waits for one line on its standard input. Its number and start time are
//! written to the state file first; then the line is sent and the shell *becomes* the program (exec keeps both).
//! If we die in between, the shell reads the end of the pipe and ends by itself.
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::error::{Result, ServersError};
use super::identity::Identity;
use super::state::{Kind, Launch, Process, StateFile};

/// `$0` names the gate in `ps` while it waits. Many shells begin with 1,024 open files, of which a broker counts out
/// some 800 connections: the soft limit is raised as far as it may be.
const GATE: &str = r#"ulimit -S -n 65536 2>/dev/null || ulimit -S -n "$(ulimit -H -n)" 2>/dev/null
read -r go && [ "$go" = go ] && exec "$@" </dev/null"#;

/// Starts `launch`, recorded under `name`; a dead record of the same name and holder is replaced.
/// The exit is reaped by a thread, which ends with the process, and reported through the returned receiver.
pub fn start(state: &StateFile, name: &str, kind: Kind, holder: &Identity, launch: &Launch) -> Result<Started> {
    let program = launch.program.display().to_string();
    let failed = |source| ServersError::Run { program: program.clone(), source };
    let mut child = command(launch)?.spawn().map_err(failed)?;
    // The gate cannot have ended: it waits for us.
    let identity = Identity::of(child.id()).ok_or_else(|| failed(std::io::Error::other("ended at once")))?;
    let mut process = Process { name: name.to_owned(), kind, identity: identity.clone(), holder: holder.clone(), launch: launch.clone() };
    if kind == Kind::Child {
        // Only servers are started again from their record: a child's variables may hold secrets and stay out.
        process.launch.env.clear();
    }
    let gate = child.stdin.take();
    let recorded = state.change(|state| {
        state.processes.retain(|known| {
            let same = known.name == process.name && (known.kind != Kind::Child || known.holder == process.holder);
            !same || known.identity.alive()
        });
        state.processes.push(process);
    });
    if let (Ok(()), Some(mut gate)) = (&recorded, gate) {
        gate.write_all(b"go\n").map_err(failed)?;
    }
    let (sender, exit) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = sender.send(child.wait().ok());
    });
    recorded?;
    Ok(Started { identity, exit })
}

/// A process under way.
#[derive(Debug)]
pub struct Started {
    pub identity: Identity,
    /// Its exit, when it comes.
    pub exit: tokio::sync::oneshot::Receiver<Option<std::process::ExitStatus>>,
}

fn command(launch: &Launch) -> Result<Command> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", GATE, "cargo-dev-gate"])
        .arg(&launch.program)
        .args(&launch.args)
        .env_clear()
        .envs(&launch.env)
        .current_dir(&launch.folder)
        .stdin(Stdio::piped());
    if let Some(log) = &launch.log {
        let open = || -> std::io::Result<_> {
            let out = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
            let err = out.try_clone()?;
            Ok((out, err))
        };
        let (out, err) = open().map_err(ServersError::file("open", log))?;
        // A group of its own: Ctrl-C on the terminal is for us, who then stop it in order.
        command.stdout(out).stderr(err).process_group(0);
    }
    if let Some((uid, gid)) = launch.user {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_started_process_is_recorded_with_the_identity_it_keeps() {
        let folder = tempfile::tempdir().expect("temp");
        let state = StateFile::at(folder.path());
        let own = Identity::own().expect("Linux");
        let launch = Launch {
            program: "/bin/sleep".into(),
            args: vec!["60".into()],
            env: BTreeMap::new(),
            folder: folder.path().into(),
            user: None,
            log: Some(folder.path().join("log")),
        };
        let started = start(&state, "sleeper", Kind::Child, &own, &launch).expect("started");
        let recorded = state.load().expect("read").expect("there").processes;
        assert_eq!(recorded[0].identity, started.identity);
        let ended = started.identity.end("sleeper", rustix::process::Signal::TERM, Duration::from_secs(10)).await;
        ended.expect("ended");
        let status = started.exit.await.expect("reported").expect("reaped");
        assert!(!status.success());
    }

    #[test]
    fn the_gate_ends_by_itself_when_nobody_opens_it() {
        let launch = Launch { program: "/bin/sleep".into(), args: vec!["60".into()], env: BTreeMap::new(), folder: "/".into(), user: None, log: None };
        let mut child = command(&launch).expect("built").spawn().expect("started");
        drop(child.stdin.take());
        assert!(!child.wait().expect("ended").success());
    }
}
