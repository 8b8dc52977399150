//! Every protection that a campaign can switch off has its hook at the protection itself, and a process that is asked for one that does not exist does not run.

use std::path::{Path, PathBuf};
use std::process::Command;

use shared::protection::{Protection, VARIABLE};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("protection.rs") {
            found.push(path);
        }
    }
}

/// Where the product asks whether it is off.
fn hooks(protection: Protection) -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for room in ["shared/src", "ingress/src", "workers/src"] {
        sources(&root.join(room), &mut files);
    }
    let asks = format!("Protection::{protection:?}.is_off()");
    files.into_iter().filter(|path| std::fs::read_to_string(path).unwrap().contains(&asks)).collect()
}

#[test]
fn every_protection_of_the_program_has_its_hook_and_those_of_the_database_have_none() {
    for protection in Protection::ALL {
        let hooks = hooks(protection);
        assert_eq!(hooks.is_empty(), protection.is_in_database(), "{protection}: {hooks:?}");
        assert!(hooks.len() <= 4, "{protection}: a protection is a place, not a habit: {hooks:?}");
    }
}

#[test]
fn a_process_that_is_asked_to_run_without_an_unknown_protection_does_not_run() {
    for (program, arguments) in [("workers", vec!["calls"]), ("ingress", vec![])] {
        let mut command = Command::new(tests::processes::binaries().join(program));
        command.args(arguments).env(VARIABLE, "inbox,imbox");
        // nobody listens there, and nobody is asked: it ends before
        command.env("DATABASE_URL", "postgres://u@127.0.0.1:1/x").env("AMQP_URL", "amqp://u@127.0.0.1:1/x");
        command.env("MASTER_KEYS", secrecy::ExposeSecret::expose_secret(&shared::secret::generate_master_key("test")));
        command.env("LISTEN", "127.0.0.1:0").env("SPOOL_DIR", tempfile::tempdir().unwrap().path());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("imbox"), "{program}: {:?} {told}", output.status);
    }
}
