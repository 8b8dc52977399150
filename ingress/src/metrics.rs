//! What ingress counts. Every label value stands at zero from the start; no label is an id.
//!
//! The publisher's own metrics are `shared::broker`'s. Made once by `lib`, used by every room of this crate.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};
use shared::store::endpoints::EndpointProvider;
use shared::telemetry::metrics::{counter, gauge, register, seconds_by};

use crate::error::Outcome;
use crate::routing::Unreadable;
use crate::verify::Rejection;

/// What a request was, for the latency histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Webhook,
    Function,
    CallInbound,
}

impl Class {
    const ALL: [Self; 3] = [Self::Webhook, Self::Function, Self::CallInbound];

    const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Function => "function",
            Self::CallInbound => "call_inbound",
        }
    }
}

/// Handles, resolved once: the hot path looks up no label.
#[derive(Debug)]
pub struct Metrics {
    requests: Vec<IntCounter>,
    rejections: Vec<IntCounter>,
    unreadable: Vec<IntCounter>,
    seconds: Vec<Histogram>,
    /// Requests whose very bytes this process has taken a short while ago. They are published all the same: the inbox decides.
    pub repeated: IntCounter,
    pub pings: IntCounter,
    pub confirmed: IntCounter,
    pub spooled: IntCounter,
    pub lost_both: IntCounter,
    /// Functions and call_inbounds answered by a fallback because the worker's answer did not come in time.
    pub answers_missed: IntCounter,
    /// Answers for which nobody waited any more.
    pub answers_late: IntCounter,
    pub waiters: IntGauge,
    pub body_bytes: IntGauge,
    pub connections: IntGauge,
    pub spool_records: IntGauge,
    pub spool_bytes: IntGauge,
    pub spool_room: IntGauge,
    pub spool_damaged: IntGauge,
    pub endpoints: IntGauge,
    /// Seconds since the endpoints were last read from Postgres; -1 before the first time.
    pub secrets_age: IntGauge,
}

const PROVIDERS: [EndpointProvider; 2] = [EndpointProvider::Retell, EndpointProvider::Calcom];

const fn provider_name(provider: EndpointProvider) -> &'static str {
    match provider {
        EndpointProvider::Retell => "retell",
        EndpointProvider::Calcom => "calcom",
    }
}

impl Metrics {
    /// Creates and registers every metric.
    ///
    /// # Errors
    /// A name is taken in this registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let outcomes = Outcome::ALL.map(Outcome::name);
        let requests = by_provider(registry, "frontdesk_ingress_requests_total", "Requests by provider and outcome.", "outcome", &outcomes)?;
        let causes = Rejection::ALL.map(Rejection::name);
        let rejections = by_provider(registry, "frontdesk_ingress_rejected_total", "Requests whose signature was not believed, by cause.", "cause", &causes)?;
        let reasons = Unreadable::ALL.map(Unreadable::name);
        let unreadable = by_provider(registry, "frontdesk_ingress_parked_total", "Authentic requests that wait for a human.", "reason", &reasons)?;
        let seconds =
            seconds_by(registry, "frontdesk_ingress_answer_seconds", "From the request's head to the answer, by class.", "class", Class::ALL.map(Class::name))?;
        let count = |name: &str, help: &str| counter(registry, name, help);
        let level = |name: &str, help: &str| gauge(registry, name, help);
        Ok(Self {
            requests,
            rejections,
            unreadable,
            seconds: Class::ALL.map(|class| seconds.with_label_values(&[class.name()])).into(),
            repeated: count("frontdesk_ingress_repeated_total", "Requests whose bytes were taken a short while ago.")?,
            pings: count("frontdesk_ingress_pings_total", "Ping tests of Cal.com.")?,
            confirmed: count("frontdesk_ingress_confirmed_total", "Messages that the broker confirmed.")?,
            spooled: count("frontdesk_ingress_spooled_total", "Messages written to the spool.")?,
            lost_both: count("frontdesk_ingress_refused_total", "Messages that neither broker nor spool took.")?,
            answers_missed: count("frontdesk_ingress_answers_missed_total", "Requests answered by a fallback.")?,
            answers_late: count("frontdesk_ingress_answers_late_total", "Answers for which nobody waited any more.")?,
            waiters: level("frontdesk_ingress_waiters", "Requests that wait for a worker's answer.")?,
            body_bytes: level("frontdesk_ingress_body_bytes", "Bytes of request bodies held now.")?,
            connections: level("frontdesk_ingress_connections", "Open connections.")?,
            spool_records: level("frontdesk_ingress_spool_records", "Messages in the spool.")?,
            spool_bytes: level("frontdesk_ingress_spool_bytes", "Bytes of the spool's segments.")?,
            spool_room: level("frontdesk_ingress_spool_room_bytes", "Bytes that the spool may still take: its quota and the free disk.")?,
            spool_damaged: level("frontdesk_ingress_spool_damaged", "Spool records that could not be read since the start; their segments are set aside.")?,
            endpoints: level("frontdesk_ingress_endpoints", "Endpoints known now.")?,
            secrets_age: level("frontdesk_ingress_secrets_age_seconds", "Seconds since endpoints were read from Postgres, -1 before the first time.")?,
        })
    }

    /// Counts an answer.
    pub fn answered(&self, provider: EndpointProvider, outcome: Outcome) {
        add(&self.requests, provider, outcome as usize, Outcome::ALL.len());
    }

    /// Counts a refused signature.
    pub fn rejected(&self, provider: EndpointProvider, cause: Rejection) {
        add(&self.rejections, provider, cause as usize, Rejection::ALL.len());
    }

    /// Counts an authentic request that a human must look at.
    pub fn parked(&self, provider: EndpointProvider, reason: Unreadable) {
        add(&self.unreadable, provider, reason as usize, Unreadable::ALL.len());
    }

    /// Notes how long an answer took.
    pub fn took(&self, class: Class, elapsed: std::time::Duration) {
        if let Some(histogram) = self.seconds.get(class as usize) {
            histogram.observe(elapsed.as_secs_f64());
        }
    }
}

fn by_provider(registry: &Registry, name: &str, help: &str, label: &str, values: &[&str]) -> Result<Vec<IntCounter>, prometheus::Error> {
    let counters = register(registry, IntCounterVec::new(prometheus::Opts::new(name, help), &["provider", label]))?;
    Ok(PROVIDERS.iter().flat_map(|provider| values.iter().map(|value| counters.with_label_values(&[provider_name(*provider), value]))).collect())
}

/// Enum discriminants are the positions in their `ALL`; a test walks them.
fn add(counters: &[IntCounter], provider: EndpointProvider, value: usize, values: usize) {
    if let Some(counter) = counters.get(provider as usize * values + value) {
        counter.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_counted_under_its_own_name() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        for provider in PROVIDERS {
            Outcome::ALL.into_iter().for_each(|outcome| metrics.answered(provider, outcome));
            Rejection::ALL.into_iter().for_each(|cause| metrics.rejected(provider, cause));
            Unreadable::ALL.into_iter().for_each(|reason| metrics.parked(provider, reason));
        }
        metrics.rejected(EndpointProvider::Calcom, Rejection::NoSecret);
        let text = String::from_utf8(shared::telemetry::metrics::render(&registry).unwrap()).unwrap();
        assert!(text.contains(r#"frontdesk_ingress_rejected_total{cause="no_secret",provider="calcom"} 2"#), "{text}");
        assert!(text.contains(r#"frontdesk_ingress_rejected_total{cause="mismatch",provider="retell"} 1"#), "{text}");
        assert!(text.contains(r#"frontdesk_ingress_requests_total{outcome="accepted",provider="retell"} 1"#), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("frontdesk_ingress_requests_total{") && line.ends_with(" 0")), "{text}");
    }
}
