//! What reconciliation counts: every fact that a provider had and that no webhook brought. The target is zero.
//!
//! One counter for both providers, so that one alert watches it. Shared by the sweeps of Cal.com (`calcom_sync`) and of Retell (`call_reconcile`) through
//! [`crate::runtime::Context`]; the row of a company that goes with it is `store::silences`.

use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use shared::store::accounts::Provider;
use shared::telemetry::metrics::{counter_by, gauge, register};

/// What can be repaired: events of a call, and what happens to a booking. A closed list, because these are label values.
pub const KINDS: [&str; 13] = [
    "call_started",
    "call_ended",
    "call_analyzed",
    "booked",
    "rescheduled",
    "cancelled",
    "confirmed",
    "rejected",
    "no_show",
    "no_show_withdrawn",
    "reschedule_requested",
    "stuck_intent",
    OTHER,
];
/// The label of a kind that is not in the list.
const OTHER: &str = "other";

/// Of one process.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    repaired: IntCounterVec,
    silent: IntGaugeVec,
    behind: GaugeVec,
    left_out: IntCounterVec,
    /// Calls that Retell holds and that are nobody's: parked once each.
    pub unowned_calls: IntGauge,
    /// Wishes that are due since a quarter of an hour.
    pub overdue_intents: IntGauge,
}

impl ReconcileMetrics {
    /// Creates and registers all of them, at zero.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let silent =
            register(registry, IntGaugeVec::new(Opts::new("frontdesk_silent_companies", "Companies whose events no longer come by webhook"), &["provider"]))?;
        let behind = Opts::new("frontdesk_hearing_behind_seconds", "How old the events are that our own queues have come to: sweeps find nothing newer");
        let behind = register(registry, GaugeVec::new(behind, &["provider"]))?;
        for provider in Provider::ALL {
            silent.with_label_values(&[provider.name()]);
            behind.with_label_values(&[provider.name()]);
        }
        Ok(Self {
            repaired: counter_by(registry, "frontdesk_reconcile_repaired_total", "Facts that no webhook brought, added by a sweep", "kind", KINDS)?,
            silent,
            behind,
            left_out: counter_by(
                registry,
                "frontdesk_reconcile_left_out_total",
                "Calls and bookings that a sweep could not take in: a human sees them",
                "provider",
                Provider::ALL.map(Provider::name),
            )?,
            unowned_calls: gauge(registry, "frontdesk_unowned_calls", "Calls found at Retell in the last listing whose number belongs to no company")?,
            overdue_intents: gauge(
                registry,
                "frontdesk_overdue_intents",
                "Wishes for Cal.com that are due since a quarter of an hour, at the scheduler's last look",
            )?,
        })
    }

    /// Counts facts of one kind that a sweep had to add. Call it after the commit that added them.
    pub fn repaired(&self, kind: &str, facts: u64) {
        let label = if KINDS.contains(&kind) { kind } else { OTHER };
        self.repaired.with_label_values(&[label]).inc_by(facts);
    }

    /// Counts a call or a booking that could not be taken in.
    pub fn left_out(&self, provider: Provider) {
        self.left_out.with_label_values(&[provider.name()]).inc();
    }

    /// This process no longer leads the scheduler: what it last saw is no longer what is.
    pub fn retire(&self) {
        for provider in Provider::ALL {
            self.silent(provider, 0);
            self.behind(provider, 0.0);
        }
        self.unowned_calls.set(0);
    }

    /// How far our own queues are behind what that provider sends.
    pub fn behind(&self, provider: Provider, seconds: f64) {
        self.behind.with_label_values(&[provider.name()]).set(seconds);
    }

    /// How many companies hear nothing of that provider at the moment.
    pub fn silent(&self, provider: Provider, companies: i64) {
        self.silent.with_label_values(&[provider.name()]).set(companies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_at_zero_and_an_unknown_one_is_counted_as_other() {
        let registry = Registry::new();
        let metrics = ReconcileMetrics::new(&registry).unwrap();
        metrics.repaired("call_ended", 2);
        metrics.repaired("never heard of", 1);
        metrics.left_out(Provider::Retell);
        metrics.silent(Provider::Calcom, 3);
        metrics.behind(Provider::Retell, 61.0);
        let text = String::from_utf8(shared::telemetry::metrics::render(&registry).unwrap()).unwrap();
        for line in [
            r#"frontdesk_reconcile_repaired_total{kind="call_ended"} 2"#,
            r#"frontdesk_reconcile_repaired_total{kind="other"} 1"#,
            r#"frontdesk_reconcile_repaired_total{kind="booked"} 0"#,
            r#"frontdesk_reconcile_left_out_total{provider="retell"} 1"#,
            r#"frontdesk_reconcile_left_out_total{provider="calcom"} 0"#,
            r#"frontdesk_silent_companies{provider="calcom"} 3"#,
            r#"frontdesk_silent_companies{provider="retell"} 0"#,
            r#"frontdesk_hearing_behind_seconds{provider="retell"} 61"#,
            r#"frontdesk_hearing_behind_seconds{provider="calcom"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
