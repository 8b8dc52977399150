//! What the rounds gave: medians, the table, and whether a goal is met. Pure. Called by `ingress` and `booking`.
use std::fmt::Write as _;

/// One contestant over all rounds.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub name: &'static str,
    /// Per second, one per round.
    pub rates: Vec<f64>,
    /// p50 and p99 in milliseconds, one per round; empty where nobody waits for an answer.
    pub latencies: Vec<(f64, f64)>,
}

impl Figures {
    pub fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// The median rate.
    pub fn rate(&self) -> f64 {
        median(self.rates.iter().copied())
    }
}

/// The middle value; of an even number the mean of the two in the middle; 0 of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The table of all contestants.
pub fn table(unit: &str, contestants: &[&Figures]) -> String {
    let width = contestants.iter().map(|figures| figures.name.chars().count()).max().unwrap_or_default();
    let mut text = format!("  {:width$}  {:>10}  {:>8}  {:>8}  rounds\n", "", unit, "p50 ms", "p99 ms");
    for figures in contestants {
        let latency = |pick: fn(&(f64, f64)) -> f64| match figures.latencies.len() {
            0 => "–".to_owned(),
            _ => format!("{:.2}", median(figures.latencies.iter().map(pick))),
        };
        let rounds: Vec<String> = figures.rates.iter().map(|rate| format!("{rate:.0}")).collect();
        // writing to a string cannot fail
        let _ = writeln!(
            text,
            "  {:width$}  {:>10.0}  {:>8}  {:>8}  {}",
            figures.name,
            figures.rate(),
            latency(|pair| pair.0),
            latency(|pair| pair.1),
            rounds.join(" ")
        );
    }
    text
}

/// One line: the ratio of the medians, the ratio of each round, and the goal if there is one.
pub fn ratio(one: &Figures, other: &Figures, goal: Option<f64>) -> String {
    let ratio = one.rate() / other.rate();
    let rounds: Vec<String> = one.rates.iter().zip(&other.rates).map(|(one, other)| format!("{:.2}", one / other)).collect();
    let verdict = match goal {
        None => String::new(),
        Some(goal) if ratio >= goal => format!(": goal met (at least {goal:.1})"),
        Some(goal) => format!(": goal missed (at least {goal:.1})"),
    };
    format!("  {} / {} = {ratio:.2}{verdict}   (rounds: {})\n", one.name, other.name, rounds.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        for (values, middle) in [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 5.0], 5.0), (vec![4.0, 1.0, 2.0, 9.0], 3.0)] {
            assert!((median(values) - middle).abs() < 1e-9);
        }
    }

    #[test]
    fn a_ratio_says_whether_the_goal_is_met() {
        let figures = |rate| Figures { rates: vec![rate], ..Figures::new("x") };
        assert!(ratio(&figures(9.0), &figures(10.0), Some(0.9)).contains("goal met"));
        assert!(ratio(&figures(8.0), &figures(10.0), Some(0.9)).contains("goal missed"));
        assert!(!ratio(&figures(8.0), &figures(10.0), None).contains("goal"));
    }
}
