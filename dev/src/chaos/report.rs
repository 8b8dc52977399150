//! What a campaign found, as text for people: figures, faults by kind, invariants with their violations, the line that plays it again, the verdict.
//! Pure. Called by the command.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use shared::protection::Protection;

use super::auditor;
use super::campaign::Outcome;
use super::record::WishKind;
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
    let never = outcome.record.faults.iter().filter(|(name, times)| **times == 0 && !outcome.record.skipped.contains_key(*name));
    let never = never.map(|(name, _)| format!("the fault {name:?} never struck"));
    let void: Vec<String> = outcome.troubles.iter().cloned().chain(never).collect();
    if void.is_empty() { Verdict::Green } else { Verdict::Void(void) }
}

/// The whole text; the last line is the verdict.
pub fn render(outcome: &Outcome, verdict: &Verdict) -> String {
    let mut text = figures(outcome);
    text.push_str(&faults(outcome));
    text.push_str(&processes(outcome));
    text.push_str(&invariants(outcome));
    let _ = writeln!(text, "\n  again: {}", command_line(outcome));
    let _ = writeln!(text, "{}", last_line(outcome.orders.broken, verdict));
    text
}

/// Plays the same plan of faults and the same load.
pub fn command_line(outcome: &Outcome) -> String {
    let orders = &outcome.orders;
    let mut line = format!("cargo dev chaos --seconds {} --seed {}", orders.length.as_secs(), orders.seed);
    if (orders.rate - 1.0).abs() > f64::EPSILON {
        let _ = write!(line, " --rate {}", orders.rate);
    }
    if let Some(broken) = orders.broken {
        let _ = write!(line, " --break {broken}");
    }
    line
}

fn last_line(broken: Option<Protection>, verdict: &Verdict) -> String {
    match (verdict, broken) {
        (Verdict::Green, None) => "Every promise was kept.".to_owned(),
        (Verdict::Green, Some(broken)) => format!("Nothing was violated although {broken} is off ({}): the auditor is blind to it.", broken.what()),
        (Verdict::Void(reasons), _) => format!("No verdict: {}", reasons.join("; ")),
        (Verdict::Red(violated), None) => format!("Violated: {}.", violated.join(", ")),
        (Verdict::Red(violated), Some(broken)) => {
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
    let wishes = |kind: WishKind| record.wishes.iter().filter(|wish| wish.kind == kind && wish.acknowledged).count();
    let made = record.calcom.ledger().iter().filter(|entry| entry.op == crate::calcom_stand_in::Op::Create).count();
    let refused: Vec<String> =
        outcome.refused.iter().map(|(status, times)| format!("{times} × {}", if *status == 0 { "none".into() } else { status.to_string() })).collect();
    let seconds = (record.load_ended_at - record.began_at).num_seconds();
    let mut table = table(&["", ""]);
    let rows = [
        ("sent", record.sent.to_string()),
        ("acknowledged (2xx)", record.acknowledged.len().to_string()),
        ("other answers", if refused.is_empty() { "none".to_owned() } else { refused.join(", ") }),
        ("wishes acknowledged", format!("{} bookings, {} moves, {} cancellations", wishes(WishKind::Book), wishes(WishKind::Move), wishes(WishKind::Cancel))),
        ("bookings made in Cal.com", made.to_string()),
        ("effects (modifications)", audit.effects.to_string()),
        ("repaired by sweeps", audit.repaired.to_string()),
        ("kills", record.kills.to_string()),
        ("load", format!("{seconds} s")),
        ("quiet", format!("after {:.0} s{}", record.quiet.after.as_secs_f64(), if record.quiet.reached { "" } else { ", not reached" })),
    ];
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    format!("\n{table}\n")
}

fn faults(outcome: &Outcome) -> String {
    let mut table = table(&["fault", "times"]);
    for (name, times) in &outcome.record.faults {
        let times = outcome.record.skipped.get(name).map_or_else(|| times.to_string(), |reason| format!("skipped: {reason}"));
        table.add_row([(*name).to_owned(), times]);
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
    use super::*;

    #[test]
    fn the_last_line_says_whether_a_break_was_found_out() {
        let red = Verdict::Red(vec!["I2", "I9"]);
        let broken = Some(Protection::Inbox);
        assert!(last_line(broken, &red).contains("I2 must be: as expected"));
        assert!(last_line(broken, &Verdict::Red(vec!["I9"])).contains("NOT as expected"));
        assert!(last_line(broken, &Verdict::Green).contains("blind"));
        assert_eq!(last_line(None, &Verdict::Green), "Every promise was kept.");
        assert_eq!(last_line(None, &red), "Violated: I2, I9.");
        assert!(red.names("I2") && !red.names("I1") && !Verdict::Green.names("I2"));
    }

    #[test]
    fn nothing_proven_is_neither_green_nor_red() {
        let codes = [Verdict::Green, Verdict::Red(vec!["I1"]), Verdict::Void(vec!["x".to_owned()])].map(|verdict| verdict.code());
        assert_eq!(codes, [0, NEGATIVE, CANNOT_RUN]);
    }
}
