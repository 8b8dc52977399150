//! What the runtime counts. Every label value stands at zero from the start; labels are closed lists, never an id.

use std::collections::HashMap;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use shared::domain::policies::Limit;
use shared::envelope::{Kind, Lane, Role};
use shared::telemetry::metrics::{LATENCY_BUCKETS, counter_by, gauge, register};

use super::handler::reason;
use crate::call_claims::AgentMetrics;
use crate::consistency_metrics::ConsistencyMetrics;
use crate::reconcile_metrics::ReconcileMetrics;

/// What became of one delivery, as counted and as recorded in `attempts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Handled before; acked without effects.
    Duplicate,
    /// A failure that counts: back after a delay.
    Retry,
    /// No failure of the message: back after a delay.
    Wait,
    Parked,
    /// A live message whose caller is gone: moved to the bulk lane, or dropped where nothing is left to do.
    Expired,
    /// Given back to the queue: this process is stopping.
    Requeued,
}

impl Outcome {
    pub const ALL: [Self; 7] = [Self::Done, Self::Duplicate, Self::Retry, Self::Wait, Self::Parked, Self::Expired, Self::Requeued];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Duplicate => "duplicate",
            Self::Retry => "retry",
            Self::Wait => "wait",
            Self::Parked => "parked",
            Self::Expired => "expired",
            Self::Requeued => "requeued",
        }
    }
}

/// Seconds from reception to delivery: from nothing to a day of backlog.
const AGE_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 1800.0, 10_800.0, 86_400.0];
const GROUP_BUCKETS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
/// The label of a kind that this role does not handle, or that cannot be read.
const OTHER: &str = "other";

/// Metrics of the whole process.
#[derive(Clone, Debug)]
pub struct Metrics {
    messages: IntCounterVec,
    age: HistogramVec,
    handle: HistogramVec,
    group: HistogramVec,
    in_flight: IntGaugeVec,
    dead_letters: IntCounterVec,
    limits_reached: IntCounterVec,
    pub outbox_depth: IntGauge,
    pub panics: IntCounter,
    /// What the sweeps of both providers had to repair.
    pub reconcile: ReconcileMetrics,
    /// What the ends of calls show of their agents.
    pub agents: AgentMetrics,
    /// What the daily check of all rows found.
    pub consistency: ConsistencyMetrics,
}

impl Metrics {
    /// Creates and registers all of them.
    ///
    /// # Errors
    /// A name is taken: the registry belongs to another process' metrics.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lanes = ["role", "lane"];
        let seconds =
            |name: &str, help: &str, buckets: &[f64]| register(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &lanes));
        Ok(Self {
            messages: register(
                registry,
                IntCounterVec::new(Opts::new("frontdesk_messages_total", "Deliveries by what became of them"), &["role", "lane", "kind", "outcome"]),
            )?,
            age: seconds("frontdesk_message_age_seconds", "From reception by ingress to delivery", &AGE_BUCKETS)?,
            handle: seconds("frontdesk_handle_seconds", "From delivery to settlement", &LATENCY_BUCKETS)?,
            group: seconds("frontdesk_group_messages", "Messages per transaction", &GROUP_BUCKETS)?,
            in_flight: register(registry, IntGaugeVec::new(Opts::new("frontdesk_messages_in_flight", "Deliveries in hand"), &lanes))?,
            dead_letters: counter_by(
                registry,
                "frontdesk_dead_letters_total",
                "Messages parked for a human",
                "reason",
                reason::ALL.into_iter().chain([OTHER]),
            )?,
            limits_reached: counter_by(
                registry,
                "frontdesk_function_limits_reached_total",
                "Functions that were refused because a call or a company uses too many a minute",
                "limit",
                Limit::ALL.map(Limit::name),
            )?,
            outbox_depth: gauge(registry, "frontdesk_outbox_depth", "Messages that wait to be published")?,
            panics: shared::telemetry::metrics::counter(registry, "frontdesk_panics_total", "Panics caught in handlers")?,
            reconcile: ReconcileMetrics::new(registry)?,
            agents: AgentMetrics::new(registry)?,
            consistency: ConsistencyMetrics::new(registry)?,
        })
    }

    /// One lane's metrics, all at zero.
    #[must_use]
    pub fn lane(&self, role: Role, lane: Lane) -> LaneMetrics {
        let counters = |kind: &str| Outcome::ALL.map(|outcome| self.messages.with_label_values(&[role.name(), lane.name(), kind, outcome.name()]));
        let labels = [role.name(), lane.name()];
        LaneMetrics {
            by_kind: Kind::all().filter(|kind| kind.role() == role).map(|kind| (kind, counters(&kind.name()))).collect(),
            other: counters(OTHER),
            age: self.age.with_label_values(&labels),
            handle: self.handle.with_label_values(&labels),
            group: self.group.with_label_values(&labels),
            in_flight: self.in_flight.with_label_values(&labels),
        }
    }

    /// Counts a function that a limit refused; twice if its transaction is repeated.
    pub fn limited(&self, limit: Limit) {
        self.limits_reached.with_label_values(&[limit.name()]).inc();
    }

    /// Counts a dead letter.
    pub fn parked(&self, reason: &str) {
        let label = if reason::ALL.contains(&reason) { reason } else { OTHER };
        self.dead_letters.with_label_values(&[label]).inc();
    }
}

type ByOutcome = [IntCounter; Outcome::ALL.len()];

/// Metrics of one lane, resolved once: a lookup by label per message would build strings.
#[derive(Debug)]
pub struct LaneMetrics {
    by_kind: HashMap<Kind, ByOutcome>,
    other: ByOutcome,
    pub age: Histogram,
    pub handle: Histogram,
    pub group: Histogram,
    pub in_flight: IntGauge,
}

impl LaneMetrics {
    /// Counts one delivery; `None` for a message that cannot be read.
    pub fn settled(&self, kind: Option<Kind>, outcome: Outcome) {
        let counters = kind.and_then(|kind| self.by_kind.get(&kind)).unwrap_or(&self.other);
        counters[outcome as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_of_a_lane_stands_at_zero_and_counts_its_own_outcome() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let lane = metrics.lane(Role::Booking, Lane::Bulk);
        lane.settled(Some(Kind::CalcomBookingCreated), Outcome::Duplicate);
        lane.settled(None, Outcome::Parked);
        metrics.parked("unknown_kind");
        metrics.parked("no such reason");
        metrics.limited(Limit::Company);
        let text = String::from_utf8(shared::telemetry::metrics::render(&registry).unwrap()).unwrap();
        for line in [
            r#"frontdesk_messages_total{kind="calcom.booking_created",lane="bulk",outcome="duplicate",role="booking"} 1"#,
            r#"frontdesk_messages_total{kind="calcom.booking_created",lane="bulk",outcome="done",role="booking"} 0"#,
            r#"frontdesk_messages_total{kind="other",lane="bulk",outcome="parked",role="booking"} 1"#,
            r#"frontdesk_dead_letters_total{reason="unknown_kind"} 1"#,
            r#"frontdesk_dead_letters_total{reason="other"} 1"#,
            r#"frontdesk_dead_letters_total{reason="poison"} 0"#,
            r#"frontdesk_function_limits_reached_total{limit="call"} 0"#,
            r#"frontdesk_function_limits_reached_total{limit="company"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
