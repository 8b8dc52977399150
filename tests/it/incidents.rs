//! Done 2 of issue 4: every incident of the former system that is about calls (C to F of the reference's catalogue) is cited by a test's documentation. The list is checked against
//! the sources, which shows that somebody thought of each; that the test would fail on it, only reading it shows; the incidents that no feature's own test is about are here.

mod tenants;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Sections C to F. The numbers are stable, the gaps intended; the catalogue itself is not part of this repository.
const CALLS: [u32; 42] = [
    37, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 55, // C: identity of call, tenant, customer
    56, 57, 58, 59, 60, 62, 63, 65, 66, // D: language, date, time
    67, 69, 70, 71, 72, 73, 75, 76, 77, // E: service, policy, availability
    78, 79, 80, 81, 82, 83, 84, // F: contract with the voice agent
];

#[test]
fn every_incident_about_calls_is_cited_by_a_test() {
    let mut cited: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in ["shared/src", "ingress/src", "workers/src", "cli/src", "tests/it"].iter().flat_map(|folder| sources(&root.join(folder))) {
        let text = fs::read_to_string(&path).unwrap();
        for number in documentation_of_tests(&text).iter().flat_map(|documentation| numbers(documentation)) {
            cited.entry(number).or_default().insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    let missing: Vec<u32> = CALLS.into_iter().filter(|number| !cited.contains_key(number)).collect();
    assert!(missing.is_empty(), "no test cites {missing:?}");
    println!("{} incidents about calls, each cited by a test", CALLS.len());
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The `///` lines right before each test; attributes may stand between.
fn documentation_of_tests(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test = |line: &str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let above = |index: usize| {
        let mut documentation: Vec<&str> = lines[..index].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#[")).copied().collect();
        documentation.reverse();
        documentation.into_iter().filter_map(|line| line.strip_prefix("///")).collect::<Vec<_>>().join(" ")
    };
    (0..lines.len()).filter(|index| is_test(lines[*index])).map(above).collect()
}

/// "Incident 7", "incidents 56, 60 and 62", "incidents 47 to 50".
fn numbers(documentation: &str) -> Vec<u32> {
    let lists = Regex::new(r"[Ii]ncidents? ((?:\d+(?:, | and | to )?)+)").unwrap();
    let ranges = Regex::new(r"(\d+)(?: to (\d+))?").unwrap();
    let number = |digits: regex::Match<'_>| digits.as_str().parse::<u32>().unwrap();
    lists
        .captures_iter(documentation)
        .flat_map(|list| {
            let list = list.get(1).unwrap().as_str();
            ranges
                .captures_iter(list)
                .flat_map(|range| number(range.get(1).unwrap())..=range.get(2).map_or_else(|| number(range.get(1).unwrap()), number))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn only_what_stands_above_a_test_is_a_citation() {
    let text = "/// Incident 1.\nfn helper() {}\n\n/// Incidents 2, 3 and 5 to 7: words.\n/// More of 9.\n#[tokio::test(flavor = \"x\")]\nasync fn it() {}\n// incident 8\n#[test]\nfn other() {}";
    let documentation = documentation_of_tests(text);
    assert_eq!(documentation.len(), 2);
    assert_eq!(documentation.iter().flat_map(|text| numbers(text)).collect::<Vec<_>>(), [2, 3, 5, 6, 7]);
}
