//! `--break`: without which protection which invariant had to be violated, which were, and that the control of it was green. Pure.

use shared::protection::Protection;

use super::super::auditor;
use super::{Verdict, table};

/// A protection that was switched off, and its control.
#[derive(Clone, Debug)]
pub struct TrialRow {
    pub protection: Protection,
    /// Of the campaign without it.
    pub broken: Verdict,
    /// Of the one with the same load and faults, and with it.
    pub control: Verdict,
}

impl TrialRow {
    /// The expected invariant is violated, in the words that only this absence explains.
    #[must_use]
    pub fn is_found_out(&self) -> bool {
        self.broken.has_found_out()
    }

    /// And it was its absence that violated it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_found_out() && self.control == Verdict::Green
    }
}

/// The table and, as its last line, the verdict over the auditor.
pub fn render(rows: &[TrialRow]) -> String {
    let mut table = table(&["switched off", "expected", "found", "control"]);
    for row in rows {
        table.add_row([row.protection.name().to_owned(), auditor::expected(row.protection).id().to_owned(), told(&row.broken), told(&row.control)]);
    }
    let names = |wrong: &dyn Fn(&TrialRow) -> bool| rows.iter().filter(|row| wrong(row)).map(|row| row.protection.name()).collect::<Vec<_>>().join(", ");
    let (blind, unclear) = (names(&|row| !row.is_found_out()), names(&|row| row.control != Verdict::Green));
    let mut sentences = Vec::new();
    if !blind.is_empty() {
        sentences.push(format!("not found out: {blind}"));
    }
    if !unclear.is_empty() {
        sentences.push(format!("control not green: {unclear}"));
    }
    let verdict = if sentences.is_empty() { "each was found out, and each control was green".to_owned() } else { sentences.join("; ") };
    format!("\n{table}\nProtections switched off: {}; {verdict}.\n", rows.len())
}

fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Green => "green".to_owned(),
        Verdict::Red(red) => red.violated.join(", "),
        Verdict::Void(reasons) => format!("no verdict: {}", reasons.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Red;
    use super::*;

    #[test]
    fn a_break_is_proven_by_its_violation_and_a_green_control_together() {
        let row = |broken, control| TrialRow { protection: Protection::Inbox, broken, control };
        let red = |found_out| Verdict::Red(Red { violated: vec!["I2"], found_out });
        assert!(row(red(true), Verdict::Green).is_proven());
        assert!(!row(red(true), red(false)).is_proven(), "the provocation alone violates it");
        assert!(!row(red(false), Verdict::Green).is_proven() && !row(Verdict::Green, Verdict::Green).is_proven());
        let void = || Verdict::Void(vec!["x".to_owned()]);
        assert!(!row(red(true), void()).is_proven() && !row(void(), Verdict::Green).is_proven());
        let text = render(&[row(red(true), Verdict::Green), row(Verdict::Green, red(false))]);
        assert!(text.contains("inbox") && text.trim_end().ends_with("not found out: inbox; control not green: inbox."), "{text}");
        assert!(render(&[row(red(true), Verdict::Green)]).trim_end().ends_with("each control was green."));
    }
}
