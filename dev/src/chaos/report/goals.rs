//! What a campaign owes, by the card (issue 3, done 2), against what it reached. A shorter one owes its share of the counts and four of five kinds of faults, and each
//! server and some process must have been killed at any length: what never struck proves nothing. Pure.

use std::time::Duration;

use super::super::auditor;
use super::super::campaign::{Orders, Outcome};
use super::super::faults::{Act, Fault, Party};
use super::{Made, table};

/// From here on the card's own goals hold.
const WHOLE_CAMPAIGN: Duration = Duration::from_secs(600);
const KILLS_MIN: u64 = 200;
const ACKNOWLEDGED_MIN: u64 = 100_000;
/// By phone, through frontdesk; visitors' own do not count.
const BOOKINGS_MIN: u64 = 2_000;
/// Of a shorter campaign's share of them: its servers start again for a larger part of its time, and a provocation rings less.
const SHORT_SHARE: f64 = 0.4;
/// Of the kinds that can strike here, so many must have hit something in a campaign that is no whole one. Percent.
const KINDS_OF_A_SHORT_ONE: u64 = 80;
/// Killed at least once at any length.
const KILLED: [Party; 2] = [Party::Broker, Party::Postgres];
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

/// What is missing, in sentences.
pub fn missed(outcome: &Outcome) -> Vec<String> {
    let mut missed: Vec<String> = goals(outcome)
        .into_iter()
        .filter(|goal| !goal.is_reached())
        .map(|goal| format!("{}: {} instead of {}", goal.name, goal.reached, goal.wanted()))
        .collect();
    if is_whole(&outcome.orders) {
        missed.extend(unhit(outcome).map(|name| format!("the fault {name:?} hit nothing")));
    }
    missed
}

pub fn render(outcome: &Outcome) -> String {
    let mut table = table(&["goal", "wanted", "reached", ""]);
    for goal in goals(outcome) {
        let mark = if goal.is_reached() { "ok" } else { "MISSED" };
        table.add_row([goal.name.clone(), goal.wanted(), goal.reached.to_string(), mark.to_owned()]);
    }
    let mut text = format!("\n{table}\n");
    let unhit: Vec<&str> = unhit(outcome).collect();
    if !unhit.is_empty() {
        text.push_str(&format!("  hit nothing: {}\n", unhit.join(", ")));
    }
    if !is_whole(&outcome.orders) {
        text.push_str("  (of a campaign that is shorter than ten minutes: its share)\n");
    }
    text
}

/// Kinds of faults that this machine can produce and that changed nothing.
fn unhit(outcome: &Outcome) -> impl Iterator<Item = &'static str> {
    let skipped = &outcome.record.skipped;
    outcome.strikes.iter().filter(|(name, strikes)| strikes.hit == 0 && !skipped.contains_key(*name)).map(|(name, _)| *name)
}

fn is_whole(orders: &Orders) -> bool {
    orders.length >= WHOLE_CAMPAIGN
}

/// What a campaign of that length and rate owes of a count that a whole one owes.
fn owed(orders: &Orders, of_a_whole_one: u64) -> u64 {
    if is_whole(orders) {
        return of_a_whole_one;
    }
    let share = orders.length.as_secs_f64() / WHOLE_CAMPAIGN.as_secs_f64() * orders.rate.min(1.0) * SHORT_SHARE;
    // small whole numbers, at least one
    ((of_a_whole_one as f64 * share).round() as u64).max(1)
}

fn kinds_owed(orders: &Orders, possible: u64) -> u64 {
    if is_whole(orders) { possible } else { (possible * KINDS_OF_A_SHORT_ONE).div_ceil(100) }
}

fn goals(outcome: &Outcome) -> Vec<Goal> {
    let (record, orders) = (&outcome.record, &outcome.orders);
    let at_least = |name: &str, least: u64, reached: u64| Goal { name: name.to_owned(), bound: Bound::AtLeast(least), reached };
    let possible = (outcome.strikes.len() - record.skipped.len()) as u64;
    let hits = |fault: Fault| outcome.strikes.get(fault.name()).map_or(0, |strikes| strikes.hit);
    let mut goals = vec![
        at_least("kills", owed(orders, KILLS_MIN), record.kills),
        at_least("kills of processes", 1, Party::PROCESSES.iter().map(|party| hits(Fault::Of(*party, Act::Kill))).sum()),
        at_least("acknowledged", owed(orders, ACKNOWLEDGED_MIN), record.acknowledged.len() as u64),
        at_least("bookings made by phone", owed(orders, BOOKINGS_MIN), Made::of(&record.calcom.ledger()).ours),
        at_least("kinds of faults that hit something", kinds_owed(orders, possible), possible - unhit(outcome).count() as u64),
    ];
    goals.extend(KILLED.map(|party| at_least(Fault::Of(party, Act::Kill).name(), 1, hits(Fault::Of(party, Act::Kill)))));
    goals.extend(NONE_OF.map(|(name, id)| {
        let violations = outcome.audit.rows.iter().filter(|row| row.id == id).map(|row| row.violations.len() as u64).sum();
        Goal { name: name.to_owned(), bound: Bound::None, reached: violations }
    }));
    goals.push(Goal {
        name: "valid requests refused without a fault that explains it".to_owned(),
        bound: Bound::None,
        reached: auditor::unexplained_times(record),
    });
    goals
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::Trial;
    use super::*;

    #[test]
    fn a_goal_is_reached_at_its_bound_and_a_forbidden_thing_never() {
        let goal = |bound, reached| Goal { name: "x".to_owned(), bound, reached };
        assert!(goal(Bound::AtLeast(200), 200).is_reached() && !goal(Bound::AtLeast(200), 199).is_reached());
        assert!(goal(Bound::None, 0).is_reached() && !goal(Bound::None, 1).is_reached());
    }

    #[test]
    fn a_short_campaign_owes_its_share_and_never_nothing() {
        let of = |seconds, rate| Orders { seed: 1, length: Duration::from_secs(seconds), rate, trial: Trial::Ordinary };
        assert_eq!((owed(&of(600, 0.5), 200), owed(&of(1200, 1.0), 200)), (200, 200));
        assert_eq!((owed(&of(300, 1.0), 2_000), owed(&of(30, 0.7), 2_000), owed(&of(30, 0.7), 100_000)), (400, 28, 1_400));
        assert_eq!(owed(&of(30, 0.1), 20), 1);
        assert_eq!((kinds_owed(&of(30, 1.0), 63), kinds_owed(&of(600, 1.0), 63)), (51, 63));
    }
}
