//! What a campaign found, as text for people: figures, faults by kind, invariants with their violations, the line that plays it again, the verdict.
//! `goals`: what a whole campaign owes; `trials`: what was found without which protection. Pure. Called by the command.

pub mod goals;
pub mod trials;

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use shared::protection::Protection;

use super::auditor;
use super::campaign::Outcome;
use super::record::{InvariantResult, Way, WishKind};
use super::trial::Trial;
use crate::calcom_stand_in::{By, LedgerEntry, Op};
use crate::{CANNOT_RUN, NEGATIVE};

/// Of each invariant; the count says how many there are.
const VIOLATIONS_SHOWN: usize = 8;

/// Beside the invariants: no process ends by itself, and SIGTERM ends each in time and with 0 (faults F1, F5). See the table of processes.
const CLEAN_ENDS: &str = "clean ends";

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything held.
    Green,
    /// These were violated.
    Red(Red),
    /// Something did not take place, so nothing is proven.
    Void(Vec<String>),
}

/// What was violated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Red {
    /// Ids of invariants.
    pub violated: Vec<&'static str>,
    /// A protection was off, and a sentence that only its absence explains is among those of its invariant.
    pub found_out: bool,
}

impl Verdict {
    /// For the shell.
    pub fn code(&self) -> u8 {
        match self {
            Self::Green => 0,
            Self::Red(_) => NEGATIVE,
            Self::Void(_) => CANNOT_RUN,
        }
    }

    /// Whether the protection that was off was found out.
    pub fn has_found_out(&self) -> bool {
        matches!(self, Self::Red(Red { found_out: true, .. }))
    }
}

/// The verdict over a campaign.
pub fn verdict(outcome: &Outcome) -> Verdict {
    let odd_ends = outcome.record.processes.iter().any(|process| !process.odd_ends.is_empty());
    let missing = auditor::unproven(&outcome.audit, outcome.orders.length).into_iter().chain(goals::missed(outcome)).collect();
    let facts = Facts { rows: &outcome.audit.rows, odd_ends, messages_left: outcome.record.quiet.messages_left, troubles: &outcome.troubles, missing };
    decide(outcome.orders.trial, facts)
}

/// What a verdict is made of.
struct Facts<'a> {
    rows: &'a [InvariantResult],
    odd_ends: bool,
    messages_left: bool,
    /// Mistakes of the campaign.
    troubles: &'a [String],
    /// What it had to try and did not.
    missing: Vec<String>,
}

/// In a trial the auditor is the accused: what it could not see, and what the campaign itself did wrong, proves nothing then. An ordinary campaign that is violated is
/// violated, whatever else could not be seen.
fn decide(trial: Trial, facts: Facts<'_>) -> Verdict {
    let unseen = facts.rows.iter().filter_map(|row| Some(format!("{} {} {}", row.id, row.name, row.unseen.as_deref()?)));
    let mut void: Vec<String> = facts.troubles.iter().cloned().chain(unseen).collect();
    if let Some(broken) = trial.broken()
        && facts.messages_left
        && !auditor::leaves_messages(broken)
    {
        void.push("messages were still under way, so that it is not known what became of them".to_owned());
    }
    let mut violated: Vec<&'static str> = facts.rows.iter().filter(|row| !row.violations.is_empty()).map(|row| row.id).collect();
    if facts.odd_ends {
        violated.push(CLEAN_ENDS);
    }
    let void_decides = trial != Trial::Ordinary && !void.is_empty();
    if !violated.is_empty() && !void_decides {
        let found_out = trial.broken().is_some_and(|broken| is_found_out(broken, facts.rows));
        return Verdict::Red(Red { violated, found_out });
    }
    if trial.broken().is_none() || violated.is_empty() {
        void.extend(facts.missing);
    }
    if void.is_empty() { Verdict::Green } else { Verdict::Void(void) }
}

fn is_found_out(broken: Protection, rows: &[InvariantResult]) -> bool {
    let (expected, signs) = (auditor::expected(broken).id(), auditor::signs(broken));
    let sentences = rows.iter().filter(|row| row.id == expected).flat_map(|row| &row.violations);
    sentences.into_iter().any(|sentence| signs.iter().any(|sign| sentence.contains(sign)))
}

/// The whole text; the last line is the verdict.
pub fn render(outcome: &Outcome, verdict: &Verdict) -> String {
    let mut text = figures(outcome);
    text.push_str(&faults(outcome));
    text.push_str(&processes(outcome));
    text.push_str(&invariants(outcome));
    text.push_str(&goals::render(outcome));
    let _ = writeln!(text, "\n  again: {}", command_line(outcome));
    let _ = writeln!(text, "{}", last_line(outcome.orders.trial, verdict));
    text
}

/// Plays the same plan of faults and the same load.
pub fn command_line(outcome: &Outcome) -> String {
    let orders = &outcome.orders;
    let mut line = format!("cargo dev chaos --seconds {} --seed {}", orders.length.as_secs(), orders.seed);
    if (orders.rate - 1.0).abs() > f64::EPSILON {
        let _ = write!(line, " --rate {}", orders.rate);
    }
    if let Some(protection) = orders.trial.provoked() {
        let _ = write!(line, " --break {protection}");
    }
    line
}

fn last_line(trial: Trial, verdict: &Verdict) -> String {
    match (verdict, trial) {
        (Verdict::Green, Trial::Ordinary) => "Every promise was kept.".to_owned(),
        (Verdict::Green, Trial::Control(protection)) => format!("Control of {protection}: every promise was kept, with the same load and the same faults."),
        (Verdict::Green, Trial::Broken(broken)) => format!("Nothing was violated although {broken} is off ({}): the auditor is blind to it.", broken.what()),
        (Verdict::Void(reasons), _) => format!("No verdict: {}", reasons.join("; ")),
        (Verdict::Red(red), Trial::Ordinary) => format!("Violated: {}.", red.violated.join(", ")),
        (Verdict::Red(red), Trial::Control(protection)) => {
            format!("Control of {protection}: violated: {}, although nothing is switched off.", red.violated.join(", "))
        }
        (Verdict::Red(red), Trial::Broken(broken)) => {
            let (expected, sign) = (auditor::expected(broken).id(), auditor::signs(broken).join(" or ").trim().to_owned());
            let as_expected = if red.found_out { "as expected" } else { "NOT as expected" };
            format!("Violated: {}; without {broken} ({}) {expected} must be, with {sign:?}: {as_expected}.", red.violated.join(", "), broken.what())
        }
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    table
}

fn figures(outcome: &Outcome) -> String {
    let (record, audit) = (&outcome.record, &outcome.audit);
    let wishes = |by_phone: bool| {
        let of = |kind: WishKind| {
            let acknowledged = record.wishes.iter().filter(|wish| wish.kind == kind && wish.acknowledged);
            acknowledged.filter(|wish| matches!(wish.way, Way::Phone { .. }) == by_phone).count()
        };
        format!("{} bookings, {} moves, {} cancellations", of(WishKind::Book), of(WishKind::Move), of(WishKind::Cancel))
    };
    let made = Made::of(&record.calcom.ledger());
    let refused: Vec<String> = auditor::by_status(record)
        .iter()
        .map(|(status, times)| format!("{times} × {}", if *status == 0 { "none".into() } else { status.to_string() }))
        .collect();
    let seconds = (record.load_ended_at - record.began_at).num_seconds();
    let mut table = table(&["", ""]);
    let rows = [
        ("sent", record.sent.to_string()),
        ("acknowledged (2xx)", record.acknowledged.len().to_string()),
        ("other answers", if refused.is_empty() { "none".to_owned() } else { refused.join(", ") }),
        ("callers' wishes, acknowledged", wishes(true)),
        ("visitors' wishes", wishes(false)),
        ("bookings made by phone, through us", made.ours.to_string()),
        ("bookings made by visitors", made.theirs.to_string()),
        ("effects (modifications)", audit.effects.to_string()),
        ("repaired by sweeps", audit.repaired.to_string()),
        ("kills", record.kills.to_string()),
        ("load", format!("{seconds} s")),
        ("quiet", format!("after {:.0} s{}", record.quiet.after.as_secs_f64(), if record.quiet.reached { "" } else { ", not reached" })),
    ];
    let measured = audit.figures.iter().map(|(name, value)| (*name, value.clone()));
    for (name, value) in rows.into_iter().chain(measured) {
        table.add_row([name.to_owned(), value]);
    }
    format!("\n{table}\n")
}

/// Bookings that came into being in Cal.com, by its own ledger.
struct Made {
    /// With our key: a caller's.
    ours: u64,
    /// On the web page.
    theirs: u64,
}

impl Made {
    fn of(ledger: &[LedgerEntry]) -> Self {
        let count = |ours: bool| ledger.iter().filter(|entry| entry.op == Op::Create && (entry.by == By::Api) == ours).count() as u64;
        Self { ours: count(true), theirs: count(false) }
    }
}

/// Armed: strikes that were made. Hit: those that changed something that somebody could notice. Felt: how many requests or webhooks did.
fn faults(outcome: &Outcome) -> String {
    let mut table = table(&["fault", "armed", "hit", "felt by"]);
    for (name, strikes) in &outcome.strikes {
        match outcome.record.skipped.get(name) {
            Some(reason) => table.add_row([(*name).to_owned(), "skipped".to_owned(), reason.clone()]),
            None => {
                let felt = strikes.felt.map_or_else(String::new, |felt| felt.to_string());
                table.add_row([(*name).to_owned(), strikes.armed.to_string(), strikes.hit.to_string(), felt])
            }
        };
    }
    format!("\n{table}\n")
}

fn processes(outcome: &Outcome) -> String {
    let mut table = table(&["process", "starts", "most memory", "odd ends"]);
    for process in &outcome.record.processes {
        let memory = format!("{} MiB", process.resident_bytes_max / (1024 * 1024));
        table.add_row([process.name.clone(), process.starts.to_string(), memory, process.odd_ends.join("; ")]);
    }
    format!("\n{table}\n")
}

fn invariants(outcome: &Outcome) -> String {
    let mut table = table(&["", "invariant", "checked", "violations"]);
    for row in &outcome.audit.rows {
        table.add_row([row.id.to_owned(), row.name.to_owned(), row.checked.to_string(), row.violations.len().to_string()]);
    }
    let mut text = format!("\n{table}\n");
    for (row, why) in outcome.audit.rows.iter().filter_map(|row| Some((row, row.unseen.as_ref()?))) {
        let _ = writeln!(text, "\n  {} {}: {why}", row.id, row.name);
    }
    for row in outcome.audit.rows.iter().filter(|row| !row.violations.is_empty()) {
        let _ = writeln!(text, "\n  {} {}", row.id, row.name);
        for violation in row.violations.iter().take(VIOLATIONS_SHOWN) {
            let _ = writeln!(text, "    {violation}");
        }
        let more = row.violations.len().saturating_sub(VIOLATIONS_SHOWN);
        if more > 0 {
            let _ = writeln!(text, "    … and {more} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red(violated: &[&'static str], found_out: bool) -> Verdict {
        Verdict::Red(Red { violated: violated.to_vec(), found_out })
    }

    #[test]
    fn the_last_line_says_whether_a_break_was_found_out() {
        let (broken, control) = (Trial::Broken(Protection::Inbox), Trial::Control(Protection::Inbox));
        assert!(last_line(broken, &red(&["I2", "I9"], true)).contains("I2 must be, with \"handled the\": as expected"));
        assert!(last_line(broken, &red(&["I2"], false)).contains("NOT as expected"));
        assert!(last_line(broken, &Verdict::Green).contains("blind"));
        assert!(last_line(control, &red(&["I2", "I9"], false)).contains("violated: I2, I9") && last_line(control, &Verdict::Green).contains("kept"));
        assert_eq!(last_line(Trial::Ordinary, &Verdict::Green), "Every promise was kept.");
        assert_eq!(last_line(Trial::Ordinary, &red(&["I2", "I9"], false)), "Violated: I2, I9.");
    }

    #[test]
    fn nothing_proven_is_neither_green_nor_red() {
        let codes = [Verdict::Green, red(&["I1"], false), Verdict::Void(vec!["x".to_owned()])].map(|verdict| verdict.code());
        assert_eq!(codes, [0, NEGATIVE, CANNOT_RUN]);
    }

    fn row(id: &'static str, sentence: &str) -> InvariantResult {
        let violations = (!sentence.is_empty()).then(|| sentence.to_owned()).into_iter().collect();
        InvariantResult { id, name: "a promise", checked: 1, violations, unseen: None }
    }

    fn facts(rows: &[InvariantResult]) -> Facts<'_> {
        Facts { rows, odd_ends: false, messages_left: false, troubles: &[], missing: Vec::new() }
    }

    /// A backlog on a busy machine violates the same invariant, in other words.
    #[test]
    fn a_break_is_found_out_by_its_own_sentence_and_not_by_the_id_of_its_invariant() {
        let tag = Trial::Broken(Protection::Tag);
        let [slow, right] =
            ["orphan: the booking x is in no row of ours", "the wish y was confirmed with z, which does not carry its token"].map(|text| row("I3", text));
        let elsewhere = row("I5", "the wish y was confirmed with z, which does not carry its token");
        assert!(!decide(tag, facts(std::slice::from_ref(&slow))).has_found_out() && !decide(tag, facts(&[elsewhere])).has_found_out());
        assert!(decide(tag, facts(&[slow, right.clone()])).has_found_out());
        assert!(!decide(Trial::Control(Protection::Tag), facts(&[right])).has_found_out());
    }

    #[test]
    fn what_could_not_be_seen_proves_no_break_and_is_never_green() {
        let rows = [row("I3", "which does not carry its token"), InvariantResult { unseen: Some("could not be checked: gone".to_owned()), ..row("I4", "") }];
        for trial in [Trial::Broken(Protection::Tag), Trial::Control(Protection::Tag)] {
            assert!(matches!(decide(trial, facts(&rows)), Verdict::Void(_)), "{trial:?}");
            assert!(matches!(decide(trial, Facts { troubles: &["a visitor was refused".to_owned()], ..facts(&rows[..1]) }), Verdict::Void(_)));
        }
        assert!(matches!(decide(Trial::Ordinary, facts(&rows)), Verdict::Red(_)), "a violation is one, whatever else was not seen");
        assert!(matches!(decide(Trial::Ordinary, facts(&rows[1..])), Verdict::Void(_)));
    }

    #[test]
    fn a_break_proves_nothing_while_messages_are_under_way_unless_they_are_the_finding() {
        let (lost, left) = (row("I1", "call_ended of x, answered 204, is lost: y"), row("I9", "3 messages in the outbox"));
        let decided = |trial, row: &InvariantResult| decide(trial, Facts { messages_left: true, ..facts(std::slice::from_ref(row)) });
        assert!(matches!(decided(Trial::Broken(Protection::Confirm), &lost), Verdict::Void(_)));
        assert!(decided(Trial::Broken(Protection::Relay), &left).has_found_out());
    }

    #[test]
    fn a_control_that_has_not_tried_enough_is_not_green_and_a_break_that_was_found_out_needs_no_more() {
        let missing = || vec!["kills: 0 instead of at least 1".to_owned()];
        let kept = [row("I3", "")];
        for trial in [Trial::Ordinary, Trial::Control(Protection::Tag)] {
            assert!(matches!(decide(trial, Facts { missing: missing(), ..facts(&kept) }), Verdict::Void(_)));
        }
        let found = [row("I3", "which does not carry its token")];
        assert!(decide(Trial::Broken(Protection::Tag), Facts { missing: missing(), ..facts(&found) }).has_found_out());
    }
}
