//! What a whole campaign owes, by the card (issue 3, done 2), against what it reached. A shorter one shows the same table, and nothing of it decides. Pure.

use std::time::Duration;

use super::super::campaign::Outcome;
use super::{Made, table};

/// From here on the goals count.
const WHOLE_CAMPAIGN: Duration = Duration::from_secs(600);
const KILLS_MIN: u64 = 200;
const ACKNOWLEDGED_MIN: u64 = 100_000;
/// By phone, through frontdesk; visitors' own do not count.
const BOOKINGS_MIN: u64 = 2_000;
/// Invariants of which the goals name a count of nothing.
const NONE_OF: [(&str, &str); 5] =
    [("lost", "I1"), ("doubled", "I2"), ("orphans and ghosts", "I3"), ("overlaps of our own claims", "I6"), ("intents stuck, queues not empty", "I9")];

/// One line of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Goal {
    name: String,
    bound: Bound,
    reached: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    AtLeast(u64),
    None,
}

impl Goal {
    fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.reached >= least,
            Bound::None => self.reached == 0,
        }
    }

    fn wanted(&self) -> String {
        match self.bound {
            Bound::AtLeast(least) => format!("at least {least}"),
            Bound::None => "none".to_owned(),
        }
    }
}

/// What is missing, in sentences; nothing of a campaign that is too short to owe it.
pub fn missed(outcome: &Outcome) -> Vec<String> {
    if outcome.orders.length < WHOLE_CAMPAIGN {
        return Vec::new();
    }
    let mut missed: Vec<String> = goals(outcome)
        .into_iter()
        .filter(|goal| !goal.is_reached())
        .map(|goal| format!("{}: {} instead of {}", goal.name, goal.reached, goal.wanted()))
        .collect();
    missed.extend(unhit(outcome).map(|name| format!("the fault {name:?} hit nothing")));
    missed
}

pub fn render(outcome: &Outcome) -> String {
    let mut table = table(&["goal", "wanted", "reached", ""]);
    for goal in goals(outcome) {
        let mark = match (goal.is_reached(), goal.bound) {
            (true, _) => "ok",
            (false, Bound::AtLeast(_)) if outcome.orders.length < WHOLE_CAMPAIGN => "",
            (false, _) => "MISSED",
        };
        table.add_row([goal.name.clone(), goal.wanted(), goal.reached.to_string(), mark.to_owned()]);
    }
    let mut text = format!("\n{table}\n");
    let unhit: Vec<&str> = unhit(outcome).collect();
    if !unhit.is_empty() {
        text.push_str(&format!("  hit nothing: {}\n", unhit.join(", ")));
    }
    if outcome.orders.length < WHOLE_CAMPAIGN {
        text.push_str("  (of a campaign of ten minutes; this one is shorter, and what it should at least reach decides nothing)\n");
    }
    text
}

/// Kinds of faults that this machine can produce and that changed nothing.
fn unhit(outcome: &Outcome) -> impl Iterator<Item = &'static str> {
    let skipped = &outcome.record.skipped;
    outcome.strikes.iter().filter(|(name, strikes)| strikes.hit == 0 && !skipped.contains_key(*name)).map(|(name, _)| *name)
}

fn goals(outcome: &Outcome) -> Vec<Goal> {
    let record = &outcome.record;
    let at_least = |name: &str, least: u64, reached: u64| Goal { name: name.to_owned(), bound: Bound::AtLeast(least), reached };
    let possible = (outcome.strikes.len() - record.skipped.len()) as u64;
    let mut goals = vec![
        at_least("kills", KILLS_MIN, record.kills),
        at_least("acknowledged", ACKNOWLEDGED_MIN, record.acknowledged.len() as u64),
        at_least("bookings made by phone", BOOKINGS_MIN, Made::of(&record.calcom.ledger()).ours),
        at_least("kinds of faults that hit something", possible, possible - unhit(outcome).count() as u64),
    ];
    goals.extend(NONE_OF.map(|(name, id)| {
        let violations = outcome.audit.rows.iter().filter(|row| row.id == id).map(|row| row.violations.len() as u64).sum();
        Goal { name: name.to_owned(), bound: Bound::None, reached: violations }
    }));
    let wrongly = record.refused.iter().filter(|(status, _)| !MAY_SAY.contains(status)).map(|(_, times)| times).sum();
    goals.push(Goal { name: "valid requests refused (not 429, not 503)".to_owned(), bound: Bound::None, reached: wrongly });
    goals
}

/// To a valid request: nothing at all (it died), too much at once, neither broker nor spool.
const MAY_SAY: [u16; 3] = [0, 429, 503];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_at_its_bound_and_a_forbidden_thing_never() {
        let goal = |bound, reached| Goal { name: "x".to_owned(), bound, reached };
        assert!(goal(Bound::AtLeast(200), 200).is_reached() && !goal(Bound::AtLeast(200), 199).is_reached());
        assert!(goal(Bound::None, 0).is_reached() && !goal(Bound::None, 1).is_reached());
    }
}
