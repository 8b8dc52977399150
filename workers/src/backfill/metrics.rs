//! What an open backfill shows: the same figures as `frontdesk backfill status`, of the process that feeds.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use shared::store::backfill::runs::Progress;
use shared::telemetry::metrics::{gauge, register};

use super::pace::{NAMES, Pace};

/// See the module.
#[derive(Clone, Debug)]
pub struct BackfillMetrics {
    rows: IntGaugeVec,
    rows_per_second: IntGauge,
    eta_seconds: IntGauge,
    pace: IntGaugeVec,
}

impl BackfillMetrics {
    /// Creates and registers them.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by = |name: &str, help: &str, label: &str| register(registry, IntGaugeVec::new(Opts::new(name, help), &[label]));
        let metrics = Self {
            rows: by("frontdesk_backfill_rows", "Rows of the open backfill: all, and those that are done; 0 without one", "part")?,
            rows_per_second: gauge(registry, "frontdesk_backfill_rows_per_second", "Rows that the open backfill has done, of the last ten seconds")?,
            eta_seconds: gauge(
                registry,
                "frontdesk_backfill_eta_seconds",
                "How long the open backfill will still take at this rate; -1 while nobody can tell",
            )?,
            pace: by("frontdesk_backfill_pace", "1 for the pace of the open backfill: full, gently, stopped", "pace")?,
        };
        metrics.show(&[], None);
        Ok(metrics)
    }

    /// Shows how far the open parts are.
    pub fn show(&self, parts: &[Progress], pace: Option<&Pace>) {
        let sum = |of: fn(&Progress) -> i64| parts.iter().map(of).sum::<i64>();
        let (all, done, rate) = (sum(|part| part.rows_all), sum(|part| part.rows_done), sum(|part| part.rows_recent) / 10);
        self.rows.with_label_values(&["all"]).set(all);
        self.rows.with_label_values(&["done"]).set(done);
        self.rows_per_second.set(rate);
        self.eta_seconds.set(if rate > 0 || all == done { (all - done) / rate.max(1) } else { -1 });
        for name in NAMES {
            self.pace.with_label_values(&[name]).set(pace.is_some_and(|pace| pace.name == name).into());
        }
    }
}
