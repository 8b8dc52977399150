//! Installs missing server packages on Debian and its kin so that no system service starts and no cluster is made.
//! Only as root; a user gets one command line that comes back here through sudo (`dev install-packages`).
//!
//! Two files are changed for the time of the installation and restored afterwards: `/usr/sbin/policy-rc.d`
//! (answers 101, "do not start") and `/etc/postgresql-common/createcluster.conf`. The originals are kept beside
//! them, so that even after kill -9 the next run puts them back.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{Result, ServersError};
use crate::progress::Progress;

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str = "#!/bin/sh\n# Temporary, by frontdesk's cargo dev: no service starts during this installation.\nexit 101\n";
const CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";
const CLUSTER_LINE: &str = "\n# Temporary, by frontdesk's cargo dev.\ncreate_main_cluster = false\n";
/// Another apt may run on a fresh machine.
const LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";

/// Debian's names of what is missing.
pub fn missing(postgres: bool, rabbitmq: bool) -> Vec<&'static str> {
    let mut packages = Vec::new();
    if !postgres {
        packages.push("postgresql");
    }
    if !rabbitmq {
        packages.push("rabbitmq-server");
    }
    packages
}

/// The line that a user is shown. It runs this very program, because a bare `apt-get install` would start services.
pub fn command_line(packages: &[&str]) -> String {
    let own = std::env::current_exe().map_or_else(|_| "target/debug/dev".into(), |path| path.display().to_string());
    format!("sudo {own} install-packages {}", packages.join(" "))
}

/// Runs that line.
pub fn install_by_sudo(packages: &[&str]) -> Result<()> {
    let own = std::env::current_exe().map_err(ServersError::file("find", "/proc/self/exe"))?;
    let mut command = Command::new("sudo");
    command.arg(own).arg("install-packages").args(packages);
    // The terminal stays connected: sudo asks for the password.
    let status = command.status().map_err(|source| ServersError::Run { program: "sudo".into(), source })?;
    if status.success() { Ok(()) } else { Err(ServersError::Failed { program: "sudo".into(), detail: format!("the installation ended with {status}") }) }
}

/// Installs as root.
pub fn install(packages: &[&str], progress: &Progress) -> Result<()> {
    restore_leftovers()?;
    let step = progress.step("apt-get update");
    match apt(&["update"]) {
        Ok(()) => step.done(),
        // Stale lists often suffice; the installation itself says it when they do not.
        Err(error) => step.done_with(format!("{error}; going on with the lists that are there")),
    }
    let _policy = Replaced::new(POLICY, POLICY_TEXT.as_bytes(), 0o755)?;
    if packages.contains(&"postgresql") {
        // First alone, since it brings the file that decides whether a main cluster is made.
        apt_install(&["postgresql-common"], progress)?;
        let mut text = fs::read(CLUSTER).unwrap_or_default();
        text.extend_from_slice(CLUSTER_LINE.as_bytes());
        let _cluster = Replaced::new(CLUSTER, &text, 0o644)?;
        apt_install(packages, progress)
    } else {
        apt_install(packages, progress)
    }
}

/// Puts back what a killed installation left. Called before an installation and by `down`.
pub fn restore_leftovers() -> Result<()> {
    for path in [POLICY, CLUSTER] {
        restore(Path::new(path))?;
    }
    Ok(())
}

fn apt_install(packages: &[&str], progress: &Progress) -> Result<()> {
    let step = progress.step(format!("apt-get install {}", packages.join(" ")));
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    apt(&args)?;
    step.done();
    Ok(())
}

fn apt(args: &[&str]) -> Result<()> {
    let said = Command::new("apt-get")
        .args(["-q", "-o", LOCK_WAIT])
        .args(["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ServersError::Run { program: "apt-get".into(), source })?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Err(ServersError::Failed { program: format!("apt-get {}", args[0]), detail: lines[lines.len().saturating_sub(5)..].join(" / ") })
}

/// A file replaced for a time; dropping restores it.
struct Replaced {
    path: PathBuf,
}

impl Replaced {
    fn new(path: &str, text: &[u8], mode: u32) -> Result<Self> {
        let path = PathBuf::from(path);
        if path.exists() {
            // Renamed, not copied: owner, mode and time stay as they were.
            fs::rename(&path, saved(&path)).map_err(ServersError::file("keep", &path))?;
        } else {
            fs::write(absent(&path), "").map_err(ServersError::file("write", absent(&path)))?;
        }
        let replaced = Self { path };
        let path = &replaced.path;
        fs::write(path, text).map_err(ServersError::file("write", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(ServersError::file("set the mode of", path))?;
        Ok(replaced)
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        // What fails here is put back by `restore_leftovers` of the next run.
        let _ = restore(&self.path);
    }
}

fn restore(path: &Path) -> Result<()> {
    if saved(path).exists() {
        fs::rename(saved(path), path).map_err(ServersError::file("restore", path))?;
    } else if absent(path).exists() {
        if path.exists() {
            fs::remove_file(path).map_err(ServersError::file("remove", path))?;
        }
        fs::remove_file(absent(path)).map_err(ServersError::file("remove", absent(path)))?;
    }
    Ok(())
}

fn saved(path: &Path) -> PathBuf {
    path.with_extension("frontdesk-saved")
}

fn absent(path: &Path) -> PathBuf {
    path.with_extension("frontdesk-absent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        assert_eq!(missing(true, false), ["rabbitmq-server"]);
        assert_eq!(missing(false, false), ["postgresql", "rabbitmq-server"]);
        assert!(command_line(&missing(false, true)).ends_with(" install-packages postgresql"));
    }

    #[test]
    fn a_replaced_file_comes_back_as_it_was() {
        let folder = tempfile::tempdir().expect("temp");
        let path = folder.path().join("policy-rc.d");
        fs::write(&path, "original").expect("written");
        let name = path.to_str().expect("utf-8");
        drop(Replaced::new(name, b"temporary", 0o755).expect("replaced"));
        assert_eq!(fs::read_to_string(&path).expect("there"), "original");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[test]
    fn a_file_that_was_absent_is_absent_again_even_after_a_kill() {
        let folder = tempfile::tempdir().expect("temp");
        let path = folder.path().join("policy-rc.d");
        let name = path.to_str().expect("utf-8");
        std::mem::forget(Replaced::new(name, b"temporary", 0o755).expect("replaced"));
        assert!(path.exists());
        restore(&path).expect("restored");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    }
}
