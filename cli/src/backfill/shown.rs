//! How `frontdesk backfill` shows a run: a line with a bar, rate and time left, and a table of what was filled. Pure.

use serde::Serialize;
use serde_json::{Value, json};
use shared::domain::backfill::{APPOINTMENT_RULES, CALL_RULES, Counts, MODIFICATION_RULES, QUESTION, Rule};
use shared::store::backfill::runs::Progress;
use uuid::Uuid;

use crate::table::table;

/// Characters of the bar.
const BAR: usize = 30;

/// All parts of a run together.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub run: Uuid,
    /// Of the part that is furthest from its end.
    pub state: String,
    pub companies: usize,
    pub rows: i64,
    pub rows_done: i64,
    pub rows_per_second: i64,
    pub eta_seconds: Option<i64>,
    pub pace: String,
    pub pace_reason: String,
    pub throttled_count: i64,
    pub throttled_reason: String,
}

/// From the least to the furthest.
const STATES: [&str; 7] = ["running", "undoing", "paused", "planned", "cancelled", "finished", "undone"];

impl Summary {
    pub fn of(run: Uuid, parts: &[Progress]) -> Self {
        let sum = |of: fn(&Progress) -> i64| parts.iter().map(of).sum::<i64>();
        let (rows, rows_done, rows_per_second) = (sum(|part| part.rows_all), sum(|part| part.rows_done), sum(|part| part.rows_recent) / 10);
        let state = STATES.iter().find(|state| parts.iter().any(|part| part.state == **state)).copied().unwrap_or("finished").to_owned();
        let slowest = parts.iter().find(|part| part.state == state && part.pace != "full").or_else(|| parts.first());
        let throttled = parts.iter().max_by_key(|part| part.throttled_count);
        Self {
            run,
            eta_seconds: (rows_per_second > 0).then(|| (rows - rows_done) / rows_per_second),
            state,
            companies: parts.len(),
            rows,
            rows_done,
            rows_per_second,
            pace: slowest.map(|part| part.pace.clone()).unwrap_or_default(),
            pace_reason: slowest.map(|part| part.pace_reason.clone()).unwrap_or_default(),
            throttled_count: throttled.map_or(0, |part| part.throttled_count),
            throttled_reason: throttled.map(|part| part.throttled_reason.clone()).unwrap_or_default(),
        }
    }

    /// Whether there is something to wait for.
    pub fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "running" | "undoing" | "paused")
    }

    /// One line: state, bar, rows, rate, time left, and what slows it down.
    pub fn line(&self) -> String {
        let percent = if self.rows == 0 { 100 } else { self.rows_done * 100 / self.rows };
        let full = usize::try_from(percent).unwrap_or(0) * BAR / 100;
        let mut line =
            format!("{} [{}{}] {percent:>3} % · {} of {} rows", self.state, "#".repeat(full), "-".repeat(BAR - full.min(BAR)), self.rows_done, self.rows);
        if self.is_open() {
            line.push_str(&format!(" · {} rows/s", self.rows_per_second));
            line.push_str(&self.eta_seconds.map_or_else(String::new, |seconds| format!(" · {seconds} s left")));
            if self.pace != "full" {
                line.push_str(&format!(" · {}: {}", self.pace, self.pace_reason));
            }
        } else if self.throttled_count > 0 {
            line.push_str(&format!(" · slowed down {} times, the last because {}", self.throttled_count, self.throttled_reason));
        }
        line
    }
}

/// `{"values": n, "reviews": n, "counts": {"table.column.rule": n}}`.
pub fn counts_json(counts: &Counts) -> Value {
    json!({"values": counts.values(), "reviews": counts.0.iter().filter(|((.., rule), _)| rule == QUESTION).map(|(_, n)| n).sum::<u64>(), "counts": counts.json()})
}

/// A line per table, column and rule, with what the rule needs.
pub fn counts_text(counts: &Counts, empty: &str) -> String {
    let rows = counts.0.iter().map(|((table, column, rule), values)| {
        let (confidence, needs) = told(table, column, rule).unwrap_or_else(|| ("-".to_owned(), "witnesses disagree or are silent: a human is asked"));
        vec![table.clone(), column.clone(), rule.clone(), values.to_string(), confidence, needs.to_owned()]
    });
    let shown = table(&["table", "column", "rule", "values", "confidence", "from"], rows, empty);
    if counts.0.is_empty() { shown } else { format!("{shown}\n\n{} values in all.", counts.values()) }
}

fn told(table: &str, column: &str, rule: &str) -> Option<(String, &'static str)> {
    fn of<E>(rules: &'static [Rule<E>], column: &str, name: &str) -> Option<(String, &'static str)> {
        let rule = rules.iter().find(|rule| rule.column == column && rule.name == name)?;
        Some((format!("{:.2}", rule.confidence), rule.needs))
    }
    match table {
        "appointments" => of(APPOINTMENT_RULES, column, rule),
        "appointment_modifications" => of(MODIFICATION_RULES, column, rule),
        _ => of(CALL_RULES, column, rule),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn part(state: &str, done: i64, recent: i64, pace: (&str, &str)) -> Progress {
        Progress {
            company_id: Uuid::nil(),
            run_id: Uuid::nil(),
            state: state.into(),
            created_at: DateTime::UNIX_EPOCH,
            finished_at: None,
            pace: pace.0.into(),
            pace_reason: pace.1.into(),
            throttled_count: 1,
            throttled_reason: "callers".into(),
            chunks: 10,
            chunks_done: 1,
            chunks_in_flight: 0,
            rows_all: 1_000,
            rows_done: done,
            rows_recent: recent,
        }
    }

    #[test]
    fn a_line_shows_bar_rate_time_left_and_what_slows_it_down() {
        let open = Summary::of(Uuid::nil(), &[part("finished", 1_000, 0, ("full", "")), part("running", 500, 1_000, ("stopped", "callers wait"))]);
        assert_eq!(open.line(), "running [######################--------]  75 % · 1500 of 2000 rows · 100 rows/s · 5 s left · stopped: callers wait");
        let ended = Summary::of(Uuid::nil(), &[part("finished", 1_000, 0, ("full", ""))]);
        assert_eq!(ended.line(), "finished [##############################] 100 % · 1000 of 1000 rows · slowed down 1 times, the last because callers");
        assert!(open.is_open() && !ended.is_open());
    }

    #[test]
    fn counts_name_what_each_rule_needs() {
        let counts = Counts::parse(&json!({"calls.customer_id.number": 3, "appointments.created_by.review": 1}));
        let text = counts_text(&counts, "nothing");
        assert!(text.contains("caller's number") && text.contains("a human is asked") && text.ends_with("3 values in all."), "{text}");
        assert_eq!(counts_json(&counts)["reviews"], 1);
        assert_eq!(counts_text(&Counts::default(), "nothing"), "nothing");
    }
}
