//! What the daily check found in all companies, as figures without identity: the newest run of each, from `check_runs`, so that whoever leads the scheduler shows the
//! same. Shown by the scheduler's job `consistency` and by a process that takes the lead; a process that lost it shows nothing found.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};
use shared::domain::consistency::COLUMNS;
use shared::store::consistency::{self, Figure, SCORES};
use shared::telemetry::metrics::{gauge, register};

/// Of one process.
#[derive(Clone, Debug)]
pub struct ConsistencyMetrics {
    violations: IntGaugeVec,
    unfinished: IntGauge,
    scores: GaugeVec,
    columns: GaugeVec,
    checked_at: Gauge,
}

impl ConsistencyMetrics {
    /// Creates and registers them: nothing found, everything full, never checked.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let violations = Opts::new("frontdesk_consistency_violations", "Rows that the newest run of a consistency check found wrong, over all companies");
        let scores = Opts::new("frontdesk_consistency_score", "Scores of the newest run over all companies, 0 to 1; 1 before the first run");
        let columns = Opts::new("frontdesk_audit_column_filled", "Filled cells of an audit column by applicable ones, 0 to 1; 1 before the first run");
        let checked_at = Opts::new(
            "frontdesk_consistency_checked_timestamp_seconds",
            "When the company that was checked longest ago was checked; 0: never, or not by the leader",
        );
        let metrics = Self {
            violations: register(registry, IntGaugeVec::new(violations, &["check", "severity"]))?,
            unfinished: gauge(registry, "frontdesk_consistency_unfinished", "Checks of the newest run, by company, that took too long")?,
            scores: register(registry, GaugeVec::new(scores, &["score"]))?,
            columns: register(registry, GaugeVec::new(columns, &["column"]))?,
            checked_at: register(registry, Gauge::with_opts(checked_at))?,
        };
        metrics.retire();
        Ok(metrics)
    }

    /// This process does not lead the scheduler (any more).
    pub fn retire(&self) {
        for check in consistency::all() {
            self.violations.with_label_values(&[check.name, check.severity.literal()]).set(0);
        }
        SCORES.into_iter().for_each(|name| self.scores.with_label_values(&[name]).set(1.0));
        COLUMNS.into_iter().for_each(|column| self.columns.with_label_values(&[column.name]).set(1.0));
        self.unfinished.set(0);
        self.checked_at.set(0.0);
    }

    /// Shows the newest run of every company. A name that this version does not have is left out.
    pub fn show(&self, figures: &[Figure]) {
        self.retire();
        for figure in figures {
            match figure.kind.as_str() {
                "column" if COLUMNS.iter().any(|column| column.name == figure.name) => {
                    self.columns.with_label_values(&[figure.name.as_str()]).set(figure.score().ratio());
                }
                "score" if SCORES.contains(&figure.name.as_str()) => self.scores.with_label_values(&[figure.name.as_str()]).set(figure.score().ratio()),
                _ => {
                    let Some(check) = consistency::by_name(&figure.name) else { continue };
                    self.violations.with_label_values(&[check.name, check.severity.literal()]).set(figure.violations);
                    self.unfinished.add(figure.unfinished);
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact in a double")]
        if let Some(oldest) = figures.iter().map(|figure| figure.ran_at.timestamp()).min() {
            self.checked_at.set(oldest as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn shown(metrics: impl FnOnce(&ConsistencyMetrics)) -> String {
        let registry = Registry::new();
        metrics(&ConsistencyMetrics::new(&registry).unwrap());
        String::from_utf8(shared::telemetry::metrics::render(&registry).unwrap()).unwrap()
    }

    fn figure(kind: &str, name: &str, violations: i64, examined: i64, unfinished: i64) -> Figure {
        let ran_at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        Figure { kind: kind.into(), name: name.into(), violations, examined, unfinished, ran_at }
    }

    #[test]
    fn every_check_score_and_column_stands_there_before_the_first_run() {
        let text = shown(|_| {});
        for check in consistency::all() {
            assert!(
                text.contains(&format!(r#"frontdesk_consistency_violations{{check="{}",severity="{}"}} 0"#, check.name, check.severity.literal())),
                "{text}"
            );
        }
        assert!(text.contains(r#"frontdesk_consistency_score{score="population"} 1"#), "{text}");
        assert!(text.contains(r#"frontdesk_audit_column_filled{column="cancelled_by"} 1"#), "{text}");
    }

    #[test]
    fn a_run_is_shown_as_figures_and_what_is_not_known_is_left_out() {
        let figures = [
            figure("check", "created_by_missing", 3, 100, 0),
            figure("check", "timeline_broken", 0, 100, 2),
            figure("check", "of_a_later_version", 9, 9, 0),
            figure("score", "population", 25, 100, 0),
            figure("column", "cancelled_by", 1, 2, 0),
        ];
        let text = shown(|metrics| metrics.show(&figures));
        for line in [
            r#"frontdesk_consistency_violations{check="created_by_missing",severity="critical"} 3"#,
            r#"frontdesk_consistency_score{score="population"} 0.75"#,
            r#"frontdesk_audit_column_filled{column="cancelled_by"} 0.5"#,
            "frontdesk_consistency_unfinished 2",
            "frontdesk_consistency_checked_timestamp_seconds 1795000000",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert!(!text.contains("of_a_later_version"));
    }

    #[test]
    fn who_no_longer_leads_shows_nothing_found() {
        let text = shown(|metrics| {
            metrics.show(&[figure("check", "created_by_missing", 3, 100, 0)]);
            metrics.retire();
        });
        assert!(text.contains(r#"frontdesk_consistency_violations{check="created_by_missing",severity="critical"} 0"#), "{text}");
        assert!(text.contains("frontdesk_consistency_checked_timestamp_seconds 0"), "{text}");
    }
}
