//! What the publisher counts. Made with the publisher, registered where the process wants it.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// How a publish ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Confirmed,
    Nacked,
    ConfirmTimeout,
    Saturated,
    Disconnected,
    Suspect,
    TooLarge,
}

impl Outcome {
    const ALL: [Self; 7] = [Self::Confirmed, Self::Nacked, Self::ConfirmTimeout, Self::Saturated, Self::Disconnected, Self::Suspect, Self::TooLarge];

    const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Nacked => "nacked",
            Self::ConfirmTimeout => "confirm_timeout",
            Self::Saturated => "saturated",
            Self::Disconnected => "disconnected",
            Self::Suspect => "suspect",
            Self::TooLarge => "too_large",
        }
    }
}

/// Counters of one publisher, told apart by the constant label `connection`.
pub(super) struct Metrics {
    publishes: IntCounterVec,
    by_outcome: [IntCounter; Outcome::ALL.len()],
    confirm_seconds: Histogram,
    pub(super) connects: IntCounter,
    pub(super) ready: IntGauge,
}

impl Metrics {
    pub(super) fn new(connection: &str) -> Self {
        const FIXED: &str = "name, help and label names are fixed and well formed";
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("connection", connection);
        let publishes = IntCounterVec::new(opts("frontdesk_publishes_total", "Messages by what became of them"), &["outcome"]).expect(FIXED);
        let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];
        let histogram = HistogramOpts::new("frontdesk_publish_confirm_seconds", "Time from publish to the broker's confirm")
            .const_label("connection", connection)
            .buckets(buckets);
        Self {
            // creates every label value at zero, and spares the hot path the lookup
            by_outcome: Outcome::ALL.map(|outcome| publishes.with_label_values(&[outcome.name()])),
            publishes,
            confirm_seconds: Histogram::with_opts(histogram).expect(FIXED),
            connects: IntCounter::with_opts(opts("frontdesk_publisher_connects_total", "Connections opened and proven by a confirmed probe")).expect(FIXED),
            ready: IntGauge::with_opts(opts("frontdesk_publisher_ready", "1 while the broker confirms")).expect(FIXED),
        }
    }

    pub(super) fn finished(&self, outcome: Outcome, after: Duration) {
        self.by_outcome[outcome as usize].inc();
        if outcome == Outcome::Confirmed {
            self.confirm_seconds.observe(after.as_secs_f64());
        }
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.publishes.clone()))?;
        registry.register(Box::new(self.confirm_seconds.clone()))?;
        registry.register(Box::new(self.connects.clone()))?;
        registry.register(Box::new(self.ready.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_publishers_fit_into_one_registry() {
        let registry = Registry::new();
        Metrics::new("ingress").register(&registry).unwrap();
        Metrics::new("workers").register(&registry).unwrap();
        assert!(Metrics::new("ingress").register(&registry).is_err());
    }

    #[test]
    fn every_outcome_exists_at_zero_and_counts_for_itself() {
        let metrics = Metrics::new("test");
        for outcome in Outcome::ALL {
            assert_eq!(metrics.publishes.with_label_values(&[outcome.name()]).get(), 0);
            metrics.finished(outcome, Duration::from_millis(3));
            assert_eq!(metrics.publishes.with_label_values(&[outcome.name()]).get(), 1);
        }
        assert_eq!(metrics.confirm_seconds.get_sample_count(), 1);
    }
}
