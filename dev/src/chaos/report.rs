//! What a campaign found, as text for people: figures, faults by kind, invariants with their violations, the line that plays it again, the verdict.
//! `goals`: what a whole campaign owes; `trials`: what was found without which protection. Pure. Called by the command.

pub mod goals;
pub mod trials;

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use super::auditor;
use super::campaign::Outcome;
use super::record::{Way, WishKind};
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
    /// These invariants were violated.
    Red(Vec<&'static str>),
    /// Something did not take place, so nothing is proven.
    Void(Vec<String>),
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

    /// Whether a broken protection was found out: the invariant that guards it is among the violated.
    pub fn names(&self, expected: &str) -> bool {
        matches!(self, Self::Red(violated) if violated.contains(&expected))
    }
}

/// The verdict over a campaign.
pub fn verdict(outcome: &Outcome) -> Verdict {
    let mut violated: Vec<&'static str> = outcome.audit.rows.iter().filter(|row| !row.violations.is_empty()).map(|row| row.id).collect();
    if outcome.record.processes.iter().any(|process| !process.odd_ends.is_empty()) {
        violated.push(CLEAN_ENDS);
    }
    if !violated.is_empty() {
        return Verdict::Red(violated);
    }
    let void: Vec<String> =
        outcome.troubles.iter().cloned().chain(auditor::unproven(&outcome.audit, outcome.orders.length)).chain(goals::missed(outcome)).collect();
    if void.is_empty() { Verdict::Green } else { Verdict::Void(void) }
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
        (Verdict::Red(violated), Trial::Ordinary) => format!("Violated: {}.", violated.join(", ")),
        (Verdict::Red(violated), Trial::Control(protection)) => {
            format!("Control of {protection}: violated: {}, although nothing is switched off.", violated.join(", "))
        }
        (Verdict::Red(violated), Trial::Broken(broken)) => {
            let expected = auditor::expected(broken).id();
            let as_expected = if violated.contains(&expected) { "as expected" } else { "NOT as expected" };
            format!("Violated: {}; without {broken} ({}) {expected} must be: {as_expected}.", violated.join(", "), broken.what())
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
    let refused: Vec<String> =
        record.refused.iter().map(|(status, times)| format!("{times} × {}", if *status == 0 { "none".into() } else { status.to_string() })).collect();
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
    use shared::protection::Protection;

    use super::*;

    #[test]
    fn the_last_line_says_whether_a_break_was_found_out() {
        let red = Verdict::Red(vec!["I2", "I9"]);
        let (broken, control) = (Trial::Broken(Protection::Inbox), Trial::Control(Protection::Inbox));
        assert!(last_line(broken, &red).contains("I2 must be: as expected"));
        assert!(last_line(broken, &Verdict::Red(vec!["I9"])).contains("NOT as expected"));
        assert!(last_line(broken, &Verdict::Green).contains("blind"));
        assert!(last_line(control, &red).contains("violated: I2, I9") && last_line(control, &Verdict::Green).contains("kept"));
        assert_eq!(last_line(Trial::Ordinary, &Verdict::Green), "Every promise was kept.");
        assert_eq!(last_line(Trial::Ordinary, &red), "Violated: I2, I9.");
        assert!(red.names("I2") && !red.names("I1") && !Verdict::Green.names("I2"));
    }

    #[test]
    fn nothing_proven_is_neither_green_nor_red() {
        let codes = [Verdict::Green, Verdict::Red(vec!["I1"]), Verdict::Void(vec!["x".to_owned()])].map(|verdict| verdict.code());
        assert_eq!(codes, [0, NEGATIVE, CANNOT_RUN]);
    }
}
