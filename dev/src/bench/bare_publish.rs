//! The broker's own limit: confirmed publishes of 2 KB into a quorum queue, so many in flight on one channel. Called by the program `bench_peers`.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::amqp;
use super::load::{Outcome, WARM_UP, Window, latencies};
use super::webhooks::Template;

/// The queue that it publishes to.
pub const QUEUE: &str = "bench.bare_publish";

/// Publishes for the time of the window; each of `in_flight` waits for its confirm before it sends the next.
pub async fn run(amqp_url: &str, in_flight: usize, seconds: u64, series: u64) -> anyhow::Result<Outcome> {
    let (_connection, channel) = amqp::open_for_publishing(amqp_url, QUEUE).await?;
    let window = Window::after(WARM_UP, Duration::from_secs(seconds));
    let (template, next) = (Arc::new(Template::of_two_kilobytes()), Arc::new(AtomicU64::new(series)));
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        tasks.spawn(publish(channel.clone(), Arc::clone(&template), Arc::clone(&next), window));
    }
    let mut all = latencies()?;
    for one in tasks.join_all().await {
        all.add(one?)?;
    }
    Ok(Outcome::of(&all, window))
}

async fn publish(channel: Channel, template: Arc<Template>, next: Arc<AtomicU64>, window: Window) -> anyhow::Result<hdrhistogram::Histogram<u64>> {
    let mut seen = latencies()?;
    let mut body = template.bytes().to_vec();
    while Instant::now() < window.ends {
        template.fill(&mut body, next.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        let confirm = channel.basic_publish("".into(), QUEUE.into(), BasicPublishOptions::default(), &body, amqp::persistent()).await?;
        ensure!(matches!(confirm.await?, Confirmation::Ack(_)), "the broker refused a message");
        window.record(&mut seen, began)?;
    }
    Ok(seen)
}
