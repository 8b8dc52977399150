//! What the pairs gave, and whether the goal of issue 4 holds: median over the pairs, p99 beside a backlog at most half as much again as idle, or 15 ms more. Pure. Called by `live`.
use std::fmt::{self, Write as _};

use super::Options;
use super::running::{LEFT_MIN, QUEUED_MIN};
use super::stages::StageTimes;
use crate::bench::Judged;
use crate::bench::figures::median;

/// Beside a backlog p99 may be that many times as long as idle …
const FACTOR_MAX: f64 = 1.5;
/// … or longer by that, whichever is more.
const MORE_MS_MAX: f64 = 15.0;
/// What we may add to Cal.com's own time at p99. Reported; the verdict is about the two above.
const OVERHEAD_MS_GOAL: f64 = 25.0;
/// Wrong answers that are named.
const NAMED_MAX: usize = 5;

/// One run, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    pub all: Vec<f64>,
    pub checks: Vec<f64>,
    pub bookings: Vec<f64>,
    /// Without Cal.com's own time.
    pub overhead: Vec<f64>,
    /// Cal.com's own time.
    pub calcom: Vec<f64>,
    pub stages: Vec<StageTimes>,
    /// Who heard something else than "free" and "booked".
    pub wrong: Vec<String>,
    /// Bulk messages when the callers began and when they ended.
    pub queued: u64,
    pub left: u64,
}

/// Two runs, one after the other.
#[derive(Debug, Clone)]
pub struct Pair {
    pub idle: Measured,
    pub loaded: Measured,
}

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (idle, loaded) = (percentile(&self.idle.all, 99), percentile(&self.loaded.all, 99));
        write!(out, "p99 {idle:.1} and {loaded:.1} ms; backlog {} → {}", self.loaded.queued, self.loaded.left)
    }
}

#[expect(clippy::cast_precision_loss, reason = "waits of seconds are far below 2^52 microseconds")]
pub fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// By nearest rank; 0 of none.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Median over the pairs of a percentile.
fn over_pairs(pairs: &[Pair], pick: impl Fn(&Pair) -> &Vec<f64>, percent: usize) -> f64 {
    median(pairs.iter().map(|pair| percentile(pick(pair), percent)))
}

/// A row's name, and its times idle and beside a backlog.
type Row = (&'static str, fn(&Measured) -> &Vec<f64>);

const ROWS: [Row; 5] = [
    ("all calls", |run| &run.all),
    ("check_availability", |run| &run.checks),
    ("book_appointment", |run| &run.bookings),
    ("  of it Cal.com's own time", |run| &run.calcom),
    ("  of it ours (overhead)", |run| &run.overhead),
];

/// The table, the stages and the verdict.
pub fn judge(options: Options, pairs: &[Pair], loads: &[String]) -> Judged {
    let mut text = format!(
        "\nCallers who ask and book: {} calls a run at {} a second, counted from the planned moment; idle, and beside {} to {} bulk messages; medians of {} pairs\n\n",
        options.calls,
        options.rate,
        pairs.iter().map(|pair| pair.loaded.queued).min().unwrap_or_default(),
        pairs.iter().map(|pair| pair.loaded.left).min().unwrap_or_default(),
        pairs.len()
    );
    text.push_str(&table(pairs));
    text.push_str(&stages(pairs));
    let (lines, holds) = verdict(options, pairs);
    text.push_str(&lines);
    // writing to a string cannot fail
    let _ = writeln!(text, "  load of the machine before and after each pair: {}", loads.join(" "));
    Judged { text, holds }
}

fn table(pairs: &[Pair]) -> String {
    let mut text = format!("  {:32}  {:>8}  {:>8}    {:>8}  {:>8}   p99 of each pair\n", "ms", "idle p50", "p99", "busy p50", "p99");
    for (name, pick) in ROWS {
        let idle = |percent| over_pairs(pairs, |pair| pick(&pair.idle), percent);
        let busy = |percent| over_pairs(pairs, |pair| pick(&pair.loaded), percent);
        let each: Vec<String> = pairs.iter().map(|pair| format!("{:.0}|{:.0}", percentile(pick(&pair.idle), 99), percentile(pick(&pair.loaded), 99))).collect();
        // writing to a string cannot fail
        let _ = writeln!(text, "  {name:32}  {:>8.1}  {:>8.1}    {:>8.1}  {:>8.1}   {}", idle(50), idle(99), busy(50), busy(99), each.join("  "));
    }
    text.push('\n');
    text
}

/// Where the time went: every stage that there was beside a backlog.
fn stages(pairs: &[Pair]) -> String {
    let mut text = String::new();
    for StageTimes { name, .. } in pairs.first().map(|pair| pair.loaded.stages.as_slice()).unwrap_or_default() {
        let times = |run: fn(&Pair) -> &Measured, percent: fn(&StageTimes) -> f64| {
            median(pairs.iter().filter_map(|pair| run(pair).stages.iter().find(|stage| stage.name == *name).map(percent)))
        };
        let idle = |percent| times(|pair| &pair.idle, percent);
        let busy = |percent| times(|pair| &pair.loaded, percent);
        // writing to a string cannot fail
        let _ = writeln!(
            text,
            "  {name:32}  {:>8.0}  {:>8.0}    {:>8.0}  {:>8.0}",
            idle(|stage| stage.p50),
            idle(|stage| stage.p99),
            busy(|stage| stage.p50),
            busy(|stage| stage.p99)
        );
    }
    text.push('\n');
    text
}

fn verdict(options: Options, pairs: &[Pair]) -> (String, bool) {
    let (idle, loaded) = (over_pairs(pairs, |pair| &pair.idle.all, 99), over_pairs(pairs, |pair| &pair.loaded.all, 99));
    let bound = (FACTOR_MAX * idle).max(idle + MORE_MS_MAX);
    let is_fast = loaded <= bound;
    let wrong: Vec<&String> = pairs.iter().flat_map(|pair| pair.idle.wrong.iter().chain(&pair.loaded.wrong)).collect();
    let counted = pairs.iter().all(|pair| pair.idle.all.len() >= options.calls && pair.loaded.all.len() >= options.calls);
    let queued = pairs.iter().all(|pair| pair.loaded.queued >= QUEUED_MIN && pair.loaded.left >= LEFT_MIN);
    let overhead = over_pairs(pairs, |pair| &pair.loaded.overhead, 99);
    let idle_overhead = over_pairs(pairs, |pair| &pair.idle.overhead, 99);
    let met = |holds: bool| if holds { "goal met" } else { "goal missed" };
    let mut text = format!("  p99 beside a backlog {loaded:.1} ms, idle {idle:.1} ms: {} (at most {bound:.1})\n", met(is_fast));
    // writing to a string cannot fail
    let _ = writeln!(
        text,
        "  overhead over Cal.com's own time: p99 {idle_overhead:.1} ms idle: {} (at most {OVERHEAD_MS_GOAL:.0}); {overhead:.1} ms beside a backlog",
        met(idle_overhead <= OVERHEAD_MS_GOAL)
    );
    if !wrong.is_empty() {
        let named: Vec<&str> = wrong.iter().take(NAMED_MAX).map(|wrong| wrong.as_str()).collect();
        let _ = writeln!(text, "  {} callers heard something else than \"free\" and \"booked\": {}", wrong.len(), named.join(" · "));
    }
    let holds = is_fast && wrong.is_empty() && counted && queued;
    let _ = writeln!(text, "  verdict: {}", if holds { "holds" } else { "does NOT hold" });
    (text, holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options { pairs: 1, calls: 3, rate: 1, backlog: 20_000, permits_bulk: None };

    fn pair(idle: f64, loaded: f64) -> Pair {
        let run = |latency: f64| Measured { all: vec![latency; 3], queued: QUEUED_MIN, left: LEFT_MIN, ..Measured::default() };
        Pair { idle: run(idle), loaded: run(loaded) }
    }

    #[test]
    fn half_as_much_again_or_fifteen_milliseconds_more_is_the_bound() {
        for (idle, loaded, holds) in [(10.0, 25.0, true), (10.0, 25.1, false), (100.0, 150.0, true), (100.0, 150.1, false)] {
            assert_eq!(judge(OPTIONS, &[pair(idle, loaded)], &[]).holds, holds, "{idle} and {loaded}");
        }
    }

    #[test]
    fn the_median_of_the_pairs_decides() {
        let good = || pair(10.0, 12.0);
        assert!(judge(OPTIONS, &[good(), pair(10.0, 900.0), good()], &[]).holds);
        assert!(!judge(OPTIONS, &[pair(10.0, 90.0), pair(10.0, 900.0), good()], &[]).holds);
    }

    #[test]
    fn a_wrong_answer_a_missing_call_and_a_backlog_that_ran_out_are_no_success() {
        let mut wrong = pair(10.0, 12.0);
        wrong.loaded.wrong.push("Book: no answer in time".to_owned());
        let mut few = pair(10.0, 12.0);
        few.idle.all.pop();
        let mut empty = pair(10.0, 12.0);
        empty.loaded.left = LEFT_MIN - 1;
        for pair in [wrong, few, empty] {
            assert!(!judge(OPTIONS, &[pair], &[]).holds);
        }
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&values, 99) - 99.0).abs() < 1e-9);
        assert!((percentile(&values, 50) - 50.0).abs() < 1e-9);
        assert!(percentile(&[], 99).abs() < 1e-9);
    }
}
