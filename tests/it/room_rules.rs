//! The rules between rooms (README, code map), read from the sources: mostly about what must not be there.

use std::fs;
use std::path::{Path, PathBuf};

/// The program's crates: what ships. `dev` and `tests` are tools and may do more.
const PRODUCT: [&str; 4] = ["shared/src", "ingress/src", "workers/src", "cli/src"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// The lines of a file that are code, with their numbers; what follows `#[cfg(test)]` is a test's.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let product = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    product.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// Every line of `folders` that holds one of `words`, outside the files whose path starts with one of `allowed`.
fn offences(folders: &[&str], words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for path in folders.iter().flat_map(|folder| sources(folder)) {
        let relative = path.strip_prefix(root()).unwrap().display().to_string();
        if allowed.iter().any(|room| relative.starts_with(room)) || relative.contains("/tests") {
            continue;
        }
        for (number, line) in code(&path) {
            if words.iter().any(|word| line.contains(word)) {
                offences.push(format!("{relative}:{number}: {}", line.trim()));
            }
        }
    }
    offences
}

fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn sql_stands_in_the_store_only() {
    none(offences(
        &PRODUCT,
        &["sqlx::query", "query_as(", "query_scalar(", "raw_sql(", "\"SELECT ", "\"INSERT INTO", "\"UPDATE ", "\"DELETE FROM"],
        &["shared/src/store"],
    ));
}

#[test]
fn lapin_is_named_in_the_broker_only() {
    none(offences(&PRODUCT, &["lapin::", "use lapin"], &["shared/src/broker"]));
}

#[test]
fn reqwest_is_named_in_the_provider_rooms_and_the_operators_command_only() {
    none(offences(&PRODUCT, &["reqwest::", "use reqwest"], &["shared/src/calcom", "shared/src/retell", "cli/src"]));
}

#[test]
fn the_domain_is_pure() {
    let foreign = [
        "sqlx",
        "lapin",
        "reqwest",
        "axum",
        "tokio",
        "Clock",
        "Utc::now",
        "crate::store",
        "crate::broker",
        "crate::wire",
        "crate::envelope",
        "crate::telemetry",
        "std::env",
        "std::fs",
    ];
    none(offences(&["shared/src/domain"], &foreign, &[]));
}

#[test]
fn ingress_writes_no_table() {
    none(offences(
        &["ingress/src"],
        &["store::tx", "CompanyTx", "store::appointments", "store::calls", "store::outbox", "store::dead_letters", "endpoints::setup"],
        &[],
    ));
}

#[test]
fn workers_parse_no_http() {
    none(offences(&["workers/src"], &["axum::", "hyper::", "HeaderMap", "x-retell-signature", "x-cal-signature"], &[]));
}

#[test]
fn wire_types_stop_at_the_wire() {
    // the store and the domain never see a provider's JSON
    none(offences(&["shared/src/store", "shared/src/domain"], &["crate::wire", "crate::calcom", "crate::retell"], &[]));
}

#[test]
fn appointments_have_one_write_path() {
    let writes =
        ["INTO appointments ", "INTO appointments(", "UPDATE appointments", "INTO appointment_modifications", "INTO calcom_bookings", "UPDATE calcom_bookings"];
    none(offences(&PRODUCT, &writes, &["shared/src/store/appointments.rs", "shared/src/store/appointments/"]));
}

#[test]
fn queue_names_stand_in_the_topology_only() {
    none(offences(
        &PRODUCT,
        &["\"frontdesk.booking", "\"frontdesk.work", "\"frontdesk.events", "\"frontdesk.dead", "\"frontdesk.reply"],
        &["shared/src/broker"],
    ));
}

#[test]
fn no_room_is_called_by_a_word_without_meaning() {
    let banned = ["util", "utils", "common", "helpers", "helper", "types", "misc"];
    for folder in PRODUCT.iter().chain(&["dev/src", "tests/support", "tests/it"]) {
        for path in sources(folder) {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(!banned.contains(&stem.as_str()), "{} says nothing", path.display());
        }
    }
    none(offences(&PRODUCT, &["struct AppointmentManager", "Manager {", "Helper {", "struct BookingService"], &[]));
}

#[test]
fn every_file_says_at_its_head_what_it_is() {
    let silent: Vec<String> = PRODUCT
        .iter()
        .chain(&["dev/src", "tests/support", "tests/it"])
        .flat_map(|folder| sources(folder))
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "files without a `//!` head: {silent:?}");
}

#[test]
fn every_workspace_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let mut previous = "";
    for line in section.lines() {
        if line.contains(" = ") && !line.starts_with('#') && !line.contains("path = ") {
            assert!(previous.starts_with('#'), "{line} has no comment saying what it is for");
        }
        previous = line;
    }
}

#[test]
fn no_test_is_switched_off_and_nothing_is_left_to_do() {
    let all = ["shared/src", "ingress/src", "workers/src", "cli/src", "dev/src", "tests/support", "tests/it"];
    let words = [concat!("#[ig", "nore"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    none(offences(&all, &words, &[]));
}
