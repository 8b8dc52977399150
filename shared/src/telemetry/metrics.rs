//! Metrics as plain structs over a `prometheus::Registry` that is passed in: no globals, every label value created at zero.
//!
//! Not the metrics themselves (each room defines its own), not the HTTP side (that is `health`). Label rule: closed sets only, never an id.

use prometheus::core::Collector;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Seconds; from a broker confirm (0.3 ms) to the longest Cal.com call (30 s).
pub const LATENCY_BUCKETS: [f64; 16] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0];

/// Registers a metric.
///
/// # Errors
/// The name is taken or not a metric name.
pub fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: Result<C, prometheus::Error>) -> Result<C, prometheus::Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// A counter without labels.
///
/// # Errors
/// The name is taken or not a metric name.
pub fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    register(registry, IntCounter::new(name, help))
}

/// A gauge without labels.
///
/// # Errors
/// The name is taken or not a metric name.
pub fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(registry, IntGauge::new(name, help))
}

/// A counter with one label, every value of it at zero: a rate over a series that appears late is wrong.
///
/// # Errors
/// The name is taken or not a metric name.
pub fn counter_by<S: AsRef<str>>(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = S>,
) -> Result<IntCounterVec, prometheus::Error> {
    let counter = register(registry, IntCounterVec::new(Opts::new(name, help), &[label]))?;
    for value in values {
        counter.with_label_values(&[value.as_ref()]);
    }
    Ok(counter)
}

/// A histogram of seconds with one label, every value of it at zero.
///
/// # Errors
/// The name is taken or not a metric name.
pub fn seconds_by<S: AsRef<str>>(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = S>,
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
    let histogram = register(registry, HistogramVec::new(options, &[label]))?;
    for value in values {
        histogram.with_label_values(&[value.as_ref()]);
    }
    Ok(histogram)
}

/// The whole registry in the text exposition format.
///
/// # Errors
/// A metric without a name; cannot come from the functions above.
pub fn render(registry: &Registry) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::with_capacity(16 * 1024);
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_value_stands_at_zero_before_the_first_event() {
        let registry = Registry::new();
        counter_by(&registry, "frontdesk_test_total", "test", "outcome", ["done", "refused"]).unwrap();
        seconds_by(&registry, "frontdesk_test_seconds", "test", "operation", ["create"]).unwrap();
        let text = String::from_utf8(render(&registry).unwrap()).unwrap();
        assert!(text.contains(r#"frontdesk_test_total{outcome="refused"} 0"#), "{text}");
        assert!(text.contains(r#"frontdesk_test_seconds_count{operation="create"} 0"#), "{text}");
        assert!(counter(&registry, "frontdesk_test_total", "taken").is_err());
    }
}
