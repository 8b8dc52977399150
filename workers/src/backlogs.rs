//! Shows as metrics what waits for a worker or a human, over all companies. The same figures as `frontdesk backlog`.
//!
//! Not the age of messages in a queue (the lanes measure that at each delivery). Run by the role `calls`, beside the mover of dead letters.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntGaugeVec, Opts, Registry};
use shared::store::backlogs::{self, Backlog, NAMES};
use shared::telemetry::metrics::register;

use crate::runtime::Context;

/// Prometheus looks every 15 s by default.
const LOOK_EVERY: Duration = Duration::from_secs(10);

struct Metrics {
    waiting: IntGaugeVec,
    oldest: GaugeVec,
    measured_at: Gauge,
}

impl Metrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labels = ["of"];
        let waiting = register(registry, IntGaugeVec::new(Opts::new("frontdesk_backlog", "Things that wait for a worker or a human"), &labels))?;
        let oldest = register(registry, GaugeVec::new(Opts::new("frontdesk_backlog_oldest_seconds", "Age of the oldest of them, 0 when none waits"), &labels))?;
        let measured_at = Gauge::with_opts(Opts::new("frontdesk_backlog_measured_timestamp_seconds", "When Postgres last told the backlogs, unix time"));
        for name in NAMES {
            waiting.with_label_values(&[name]).set(0);
            oldest.with_label_values(&[name]).set(0.0);
        }
        Ok(Self { waiting, oldest, measured_at: register(registry, measured_at)? })
    }

    fn show(&self, found: &[Backlog]) {
        for one in found.iter().filter(|one| NAMES.contains(&one.name.as_str())) {
            self.waiting.with_label_values(&[one.name.as_str()]).set(one.waiting);
            self.oldest.with_label_values(&[one.name.as_str()]).set(one.oldest_seconds);
        }
    }
}

/// Measures until the process stops; survives every error.
pub async fn run(context: Context) {
    let metrics = match Metrics::new(&context.registry) {
        Ok(metrics) => metrics,
        Err(error) => {
            // two roles with the same gauges in one process: a mistake of ours that must not cost the process its work
            tracing::error!(error = %error, "the backlogs cannot be shown");
            return context.stop.cancelled().await;
        }
    };
    let mut failing = false;
    loop {
        match context.answered("measure the backlogs", backlogs::measure(&context.pool)).await {
            Ok(found) => {
                metrics.show(&found);
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are exact in a double")]
                metrics.measured_at.set(context.clock.now().timestamp_millis() as f64 / 1000.0);
                failing = false;
            }
            Err(error) if !std::mem::replace(&mut failing, true) => tracing::warn!(class = error.class(), "the backlogs cannot be measured"),
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = context.stop.cancelled() => return,
        }
    }
}
