//! `deploy/prometheus/alerts.yml` and `deploy/runbook.md` are held to the programs: pages, commands, SQL, metrics and label values. Issue 3, "Done" 9.
//!
//! No Prometheus is needed: the rules are read as YAML, and their selectors are compared with what real processes show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use tests::processes::Process;
use tests::{World, WorldOptions, eventually, http};

/// What every page answers.
const QUESTIONS: [&str; 3] = ["**What breaks it.**", "**How it is seen.**", "**What to do.**"];
/// Labels that Prometheus adds itself.
const OF_PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Alert>,
}

/// One rule; whatever else it holds is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alert {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    lasting: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    runbook: String,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts() -> Vec<Alert> {
    let rules: Rules = serde_saphyr::from_str(&read("deploy/prometheus/alerts.yml")).unwrap();
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The runbook without its fenced blocks, and these with their language.
struct Runbook {
    prose: String,
    blocks: Vec<(String, String)>,
}

impl Runbook {
    fn read() -> Self {
        let text = read("deploy/runbook.md");
        let (mut prose, mut blocks) = (String::new(), Vec::new());
        for (index, part) in text.split("```").enumerate() {
            if index % 2 == 0 {
                prose.push_str(part);
            } else {
                let (language, content) = part.split_once('\n').unwrap();
                blocks.push((language.trim().to_owned(), content.to_owned()));
            }
        }
        Self { prose, blocks }
    }

    /// Second-level headings by their anchor, each with the text below it.
    fn pages(&self) -> BTreeMap<String, (String, String)> {
        let below = self.prose.split("\n## ").skip(1);
        let page = below.map(|part| part.split("\n# ").next().unwrap_or_default().split_once('\n').unwrap_or((part, "")));
        page.map(|(heading, text)| (anchor(heading), (heading.to_owned(), text.to_owned()))).collect()
    }

    fn of(&self, language: &str) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter(move |(found, _)| found == language).map(|(_, content)| content.as_str())
    }
}

/// As GitHub makes it.
fn anchor(heading: &str) -> String {
    heading.trim().to_lowercase().chars().filter_map(|c| if c == ' ' { Some('-') } else { (c.is_alphanumeric() || c == '-').then_some(c) }).collect()
}

#[test]
fn every_invariant_and_every_alert_has_a_page_with_three_answers() {
    let pages = Runbook::read().pages();
    let invariants = (1..=11).map(|number| {
        let prefix = format!("I{number}: ");
        pages.iter().find(|(_, (heading, _))| heading.starts_with(&prefix)).map(|(anchor, _)| anchor.clone()).unwrap_or_else(|| panic!("no page for I{number}"))
    });
    let of_alerts = alerts().into_iter().map(|alert| {
        assert_eq!(alert.annotations.runbook, format!("runbook.md#{}", anchor(&alert.alert)), "{}", alert.alert);
        anchor(&alert.alert)
    });
    let named: BTreeSet<String> = invariants.chain(of_alerts).chain(["how-to-look".to_owned()]).collect();
    assert_eq!(named, pages.keys().cloned().collect(), "pages against invariants and alerts");
    for (anchor, (heading, text)) in pages.iter().filter(|(anchor, _)| anchor.as_str() != "how-to-look") {
        let at: Vec<_> =
            QUESTIONS.iter().map(|question| text.find(question).unwrap_or_else(|| panic!("{heading} ({anchor}) does not say: {question}"))).collect();
        assert!(at.is_sorted(), "{heading}: the answers stand in their order");
    }
}

#[test]
fn every_alert_is_complete_and_named_once() {
    let alerts = alerts();
    assert!(alerts.len() >= 25, "{}", alerts.len());
    let mut names = BTreeSet::new();
    for alert in &alerts {
        let name = &alert.alert;
        assert!(names.insert(name.clone()), "{name} stands there twice");
        let minutes = alert.lasting.strip_suffix('m').and_then(|number| number.parse::<u32>().ok());
        assert!(minutes.is_some_and(|minutes| minutes <= 15), "{name}: for {}", alert.lasting);
        assert!(["critical", "warning"].contains(&alert.labels.severity.as_str()), "{name}");
        assert!(alert.annotations.summary.len() > 20 && !alert.annotations.summary.ends_with('.'), "{name}");
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            assert_eq!(alert.expr.matches(open).count(), alert.expr.matches(close).count(), "{name}: {open}{close}");
        }
    }
}

#[test]
fn every_link_of_the_runbook_leads_to_a_page() {
    let runbook = Runbook::read();
    let pages = runbook.pages();
    let links: Vec<&str> = runbook.prose.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20);
    for link in links {
        assert!(pages.contains_key(link), "#{link} leads nowhere");
    }
}

/// A command line of the runbook, with values where it shows what is to be filled in.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" # ").next().unwrap_or_default();
    let filled = line.replace("<id>", "01930000-0000-7000-8000-000000000000");
    filled.split_whitespace().map(str::to_owned).collect()
}

fn commands(runbook: &Runbook) -> Vec<Vec<String>> {
    runbook.of("sh").flat_map(str::lines).filter(|line| !line.trim().is_empty()).map(words).collect()
}

#[test]
fn every_command_of_the_runbook_is_one_that_the_program_accepts() {
    let runbook = Runbook::read();
    let commands = commands(&runbook);
    assert!(commands.len() > 15, "{}", commands.len());
    for command in &commands {
        assert_eq!(command[0], "frontdesk", "{command:?}");
        cli::CommandLine::try_parse_from(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }
    let mut mentioned = 0;
    for span in runbook.prose.split('`').skip(1).step_by(2) {
        // the same program in another container
        let span = span.split_once("--entrypoint frontdesk ingress ").map_or(span.to_owned(), |(_, rest)| format!("frontdesk {rest}"));
        if !span.starts_with("frontdesk ") {
            continue;
        }
        mentioned += 1;
        match cli::CommandLine::try_parse_from(words(&span)) {
            Ok(_) => {}
            // named only, without what it needs
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {}
            Err(error) => panic!("{span}: {error}"),
        }
    }
    assert!(mentioned > 8, "{mentioned}");
}

/// A selector such as `name{label="value"}`, and what it demands.
struct Selector {
    metric: String,
    /// Label and the values of which each must be there.
    wanted: Vec<(String, Vec<String>)>,
}

fn selectors(expr: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some(at) = rest.find("frontdesk_") {
        rest = &rest[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (metric, after) = rest.split_at(end);
        let mut wanted = Vec::new();
        if let Some(inside) = after.strip_prefix('{').and_then(|after| after.split('}').next()) {
            for matcher in inside.split(',') {
                let (label, values) = matcher.split_once('=').unwrap_or_else(|| panic!("{expr}: {matcher}"));
                let values = values.trim_start_matches('~').trim_matches('"');
                wanted.push((label.trim().to_owned(), values.split('|').map(str::to_owned).collect()));
            }
        }
        found.push(Selector { metric: metric.to_owned(), wanted });
        rest = after;
    }
    found
}

/// Series by name, each with its labels.
fn series(text: &str) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let mut found: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.rsplit_once(' ').unwrap().0.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let pairs = labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\""));
        let labels = pairs.map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned())).collect();
        found.entry(name.to_owned()).or_default().push(labels);
    }
    found
}

/// Everything in parentheses after `by`, and every label that a summary shows.
fn labels_used(alert: &Alert) -> BTreeSet<String> {
    let by = alert.expr.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()).flat_map(|list| list.split(','));
    let shown = alert.annotations.summary.split("$labels.").skip(1).filter_map(|rest| rest.split(' ').next());
    by.chain(shown).map(|label| label.trim().to_owned()).filter(|label| !OF_PROMETHEUS.contains(&label.as_str())).collect()
}

#[test]
fn an_alert_on_what_no_process_shows_is_a_fault() {
    let shown = series(
        "# TYPE frontdesk_x_total counter\nfrontdesk_x_total{cause=\"a, b\",lane=\"live\"} 1\nfrontdesk_x_total{cause=\"c\",lane=\"bulk\"} 0\nfrontdesk_y 2.5\n",
    );
    let of = |expr: &str, summary: &str| {
        let annotations = Annotations { summary: summary.to_owned(), runbook: String::new() };
        faults(
            &Alert { alert: "A".to_owned(), expr: expr.to_owned(), lasting: "0m".to_owned(), labels: Labels { severity: String::new() }, annotations },
            &shown,
        )
    };
    assert!(
        of(r#"sum by (lane) (rate(frontdesk_x_total{lane=~"live|bulk",cause="c"}[5m])) > frontdesk_y"#, "{{ $labels.lane }} of {{ $labels.instance }}")
            .is_empty()
    );
    for (expr, summary, told) in [
        ("frontdesk_z > 0", "", "no process shows frontdesk_z"),
        (r#"frontdesk_x_total{lane=~"live|bulky"} > 0"#, "", r#"no lane="bulky""#),
        ("sum by (queue) (frontdesk_x_total) > 0", "", "the label queue"),
        ("frontdesk_y > 0", "{{ $labels.lane }} waits", "the label lane"),
    ] {
        let faults = of(expr, summary);
        assert!(faults.len() == 1 && faults[0].contains(told), "{expr}: {faults:?}");
    }
}

/// Selectors against `/metrics` of an ingress and of a process with every role, statements against the schema, and the commands that only look.
#[tokio::test]
async fn the_runbook_and_the_alerts_hold_against_running_processes() {
    let world = World::with(WorldOptions { roles: vec!["all"], ..WorldOptions::default() }).await;
    let workers = &world.worker_urls[0];
    // gauges that are set at their first look
    let shown = eventually("the backlogs are measured and a scheduler leads", || async {
        let text = fetch(workers).await;
        (text.contains("frontdesk_scheduler_leads 1") && !text.contains("frontdesk_backlog_measured_timestamp_seconds 0\n")).then_some(text)
    })
    .await;
    let mut all = series(&shown);
    for (name, more) in series(&fetch(&world.ingress_urls[0]).await) {
        all.entry(name).or_default().extend(more);
    }
    let wrong: Vec<String> = alerts().iter().flat_map(|alert| faults(alert, &all)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");

    let runbook = Runbook::read();
    for statement in runbook.of("sql") {
        let mut tx = world.db.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await.unwrap_or_else(|error| panic!("{statement}\n{error}"));
        tx.rollback().await.unwrap();
    }
    for (index, command) in commands(&runbook).into_iter().filter(|command| only_looks(command)).collect::<BTreeSet<_>>().into_iter().enumerate() {
        let arguments: Vec<&str> = command.iter().skip(1).map(String::as_str).collect();
        let mut process = Process::start(&format!("runbook-{index}"), "frontdesk", &arguments, &world.environment(), &world.folder);
        let code = process.wait().await;
        assert!(matches!(code, Some(0 | 1)), "{command:?} ended with {code:?}: {}", process.logged());
    }
    world.finish().await;
}

async fn fetch(base: &str) -> String {
    http::client().get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap()
}

fn faults(alert: &Alert, all: &BTreeMap<String, Vec<BTreeMap<String, String>>>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut labels = BTreeSet::new();
    for Selector { metric, wanted } in selectors(&alert.expr) {
        let Some(series) = all.get(&metric) else {
            faults.push(format!("{}: no process shows {metric}", alert.alert));
            continue;
        };
        labels.extend(series.iter().flat_map(BTreeMap::keys).cloned());
        for (label, values) in wanted {
            let missing = values.iter().filter(|value| !series.iter().any(|series| series.get(&label) == Some(value)));
            faults.extend(missing.map(|value| format!("{}: {metric} has no {label}={value:?}", alert.alert)));
        }
    }
    faults.extend(labels_used(alert).difference(&labels).map(|label| format!("{}: none of its metrics has the label {label}", alert.alert)));
    faults
}

/// Those that change nothing and need nothing but the servers.
fn only_looks(command: &[String]) -> bool {
    matches!(command.iter().skip(1).map(String::as_str).collect::<Vec<_>>().as_slice(), ["check" | "backlog", ..] | [_, "list", ..])
}
