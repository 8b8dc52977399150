//! Cargo as a child of `cargo dev`: the build before `up` and `test`, and the test runner's command.
//! Called by the commands only.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::progress::Progress;
use crate::servers::{Launch, Place};

/// Variables that `cargo run` sets for this program. Passed on, they would change the fingerprints of build scripts
/// that look at them, and everything would be compiled twice.
fn set_by_cargo_run(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || matches!(name, "CARGO" | "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH" | "CARGO_PRIMARY_PACKAGE")
}

/// Our environment without what `cargo run` added.
fn environment() -> BTreeMap<String, String> {
    std::env::vars().filter(|(name, _)| !set_by_cargo_run(name)).collect()
}

/// The cargo that runs us, of the pinned toolchain.
fn program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Builds every executable of the workspace; cargo's own lines appear on standard error.
pub fn build(place: &Place, progress: &Progress) -> anyhow::Result<()> {
    build_with(place, progress, &["build", "--workspace", "--bins"])
}

/// The same optimised, for the benches.
pub fn build_release(place: &Place, progress: &Progress) -> anyhow::Result<()> {
    build_with(place, progress, &["build", "--release", "--workspace", "--bins"])
}

fn build_with(place: &Place, progress: &Progress, args: &[&str]) -> anyhow::Result<()> {
    let step = progress.step(format!("cargo {}", args.join(" ")));
    let status = Command::new(program())
        .args(args)
        .env_clear()
        .envs(environment())
        .current_dir(&place.checkout)
        .stdin(Stdio::null())
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("the build failed");
    }
    step.done();
    Ok(())
}

/// The test runner: nextest when it is installed, else cargo's own.
pub fn test_runner(place: &Place, filters: &[String], exports: &BTreeMap<String, String>) -> (String, Launch) {
    let mut env = environment();
    env.extend(exports.clone());
    let nextest =
        Command::new(program()).args(["nextest", "--version"]).envs(env.clone()).stdin(Stdio::null()).output().is_ok_and(|said| said.status.success());
    let args = runner_args(nextest, std::env::var_os("CI").is_some(), filters);
    let name = format!("cargo {}", args.join(" "));
    let launch = Launch { program: program(), args, env, folder: place.checkout.clone(), user: None, log: None };
    (name, launch)
}

fn runner_args(nextest: bool, ci: bool, filters: &[String]) -> Vec<String> {
    let mut args: Vec<&str> = if nextest { vec!["nextest", "run", "--workspace"] } else { vec!["test", "--workspace"] };
    if ci {
        args.push("--no-fail-fast");
    }
    let mut filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    if !nextest && !filters.is_empty() {
        // cargo test takes one filter itself and the rest through the harness.
        args.push("--");
    }
    args.append(&mut filters);
    args.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_goes_through_to_either_runner() {
        let filters = ["booking".to_owned(), "redelivered".to_owned()];
        assert_eq!(runner_args(true, true, &filters).join(" "), "nextest run --workspace --no-fail-fast booking redelivered");
        assert_eq!(runner_args(false, false, &filters).join(" "), "test --workspace -- booking redelivered");
        assert_eq!(runner_args(false, true, &[]).join(" "), "test --workspace --no-fail-fast");
    }

    #[test]
    fn what_cargo_run_added_is_not_passed_on() {
        assert!(set_by_cargo_run("CARGO_PKG_NAME"));
        assert!(!set_by_cargo_run("CARGO_HOME"));
        assert!(!set_by_cargo_run("CARGO_TARGET_DIR"));
        assert!(!set_by_cargo_run("DATABASE_URL"));
    }
}
