//! A consumer that the broker counts and that hears nothing is found and brought back: first by another channel, then by another connection. Incident 87: for days
//! messages waited beside a connected worker, and nobody noticed.
//!
//! The deafness is real for lapin: a gateway swallows the deliveries (or everything but heartbeats) of the open connection. In this process at a quick pace; through
//! the real `workers` at the pace that ships, by default for the channel only, with `FRONTDESK_FULL=1` for the connection, too.

use std::time::{Duration, Instant};

use prometheus::Registry;
use shared::broker::{Consumer, ConsumingConnection, Deliveries, Vigilance, Watchdog, topology};
use shared::envelope::{Lane, Role};
use tests::gateway::Gateway;
use tests::web_bookings::WebBookings;
use tests::{World, WorldOptions, eventually, eventually_within, http};
use tokio_util::sync::CancellationToken;

/// Two windows of the watchdog that ships, and what a session bears of a broker that answers nothing.
const HEARS_WITHIN: Duration = Duration::from_secs(90);
const PREFETCH: u16 = 4;
/// Of a bulk lane: two groups of sixteen.
const PREFETCH_OF_ONE_PERMIT: usize = 32;

struct Ear {
    consumer: Consumer,
    deliveries: Deliveries,
    metrics: Registry,
    next: usize,
}

impl Ear {
    /// Sends bookings through ingress and takes each from the queue.
    async fn hears(&mut self, world: &World, count: usize) -> Duration {
        let began = Instant::now();
        for n in self.next..self.next + count {
            assert!(world.send_calcom(WebBookings::default().body(n)).await.accepted());
        }
        self.next += count;
        for _ in 0..count {
            let delivery = tokio::time::timeout(HEARS_WITHIN, self.deliveries.recv()).await.expect("the consumer hears again").unwrap();
            assert!(delivery.ack().await);
        }
        began.elapsed()
    }

    fn restarts(&self, reason: &str) -> u64 {
        let text = String::from_utf8(shared::telemetry::metrics::render(&self.metrics).unwrap()).unwrap();
        restarts(&text, topology::queue(Role::Booking, Lane::Bulk).as_str(), reason)
    }
}

fn restarts(metrics: &str, queue: &str, reason: &str) -> u64 {
    let (queue, reason) = (format!("queue=\"{queue}\""), format!("reason=\"{reason}\""));
    let counts = |line: &&str| line.starts_with("frontdesk_consumer_restarts_total{") && line.contains(&queue) && line.contains(&reason);
    let line = metrics.lines().find(counts).unwrap_or_else(|| panic!("no {queue} {reason} in:\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_consumer_is_cured_by_a_channel_and_a_deaf_connection_by_another() {
    let world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    let (gateway, url) = Gateway::before(&world.amqp_url).await;
    let connection = ConsumingConnection::start(url, "deaf test".to_owned());
    let metrics = Registry::new();
    connection.register_metrics(&metrics).unwrap();
    let (consumer, deliveries) = connection.consume(topology::queue(Role::Booking, Lane::Bulk), PREFETCH);
    let vigilance = Vigilance { look_every: Duration::from_millis(100), deaf_after: Duration::from_millis(800) };
    let watchdog = Watchdog::new(world.amqp_url.clone(), connection.clone(), std::slice::from_ref(&consumer), vigilance);
    let stop = CancellationToken::new();
    let watching = tokio::spawn(watchdog.run(stop.clone()));
    let mut ear = Ear { consumer, deliveries, metrics, next: 0 };
    ear.hears(&world, 3).await;
    assert_eq!((ear.restarts("deaf"), ear.restarts("still_deaf")), (0, 0));

    gateway.deafen_channels();
    // more than the prefetch: what the deaf channel holds must come again on the next one
    let channel = ear.hears(&world, 6).await;
    assert!(gateway.swallowed() > 0 && ear.restarts("deaf") >= 1, "it was deaf, and another channel helped");
    assert_eq!((ear.restarts("still_deaf"), ear.restarts("unanswered")), (0, 0), "the connection was left alone");

    gateway.deafen_connections();
    let other = ear.hears(&world, 6).await;
    let (still, unanswered) = (ear.restarts("still_deaf"), ear.restarts("unanswered"));
    assert!(still + unanswered > 0, "only another connection helped");
    println!("deaf channel: heard after {channel:.1?}; deaf connection: after {other:.1?} ({still} restarts by the watchdog, {unanswered} unanswered set-ups)");
    ear.hears(&world, 3).await;
    eventually("the watchdog takes its finding back", || async { (ear.consumer.is_consuming() && !ear.consumer.is_deaf()).then_some(()) }).await;
    stop.cancel();
    watching.await.unwrap();
    connection.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_worker_hears_again_without_a_restart() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    let (gateway, url) = Gateway::before(&world.amqp_url).await;
    let through = [("AMQP_URL".to_owned(), url), ("PERMITS_BULK".to_owned(), "1".to_owned())].into();
    world.start_workers(&["all"], &through).await;
    let mut next = 0;
    let mut told = Vec::new();
    let full = std::env::var_os("FRONTDESK_FULL").is_some();
    for (what, deafen) in [("channel", Gateway::deafen_channels as fn(&Gateway)), ("connection", Gateway::deafen_connections)] {
        if what == "connection" && !full {
            continue;
        }
        deafen(&gateway);
        let began = Instant::now();
        // more than the prefetch: what the broker has handed out to the deaf one is in no depth
        for _ in 0..PREFETCH_OF_ONE_PERMIT + 4 {
            assert!(world.send_calcom(WebBookings::default().body(next)).await.accepted());
            next += 1;
        }
        let effects = i64::try_from(next).unwrap();
        eventually_within(HEARS_WITHIN, "the worker hears again", || async {
            (world.count("SELECT count(*) FROM appointments").await == effects).then_some(())
        })
        .await;
        told.push(format!("deaf {what}: effects after {:.1?}", began.elapsed()));
    }
    let metrics = http::client().get(format!("{}/metrics", world.worker_urls[0])).send().await.unwrap().text().await.unwrap();
    assert!(restarts(&metrics, "frontdesk.booking", "deaf") >= 1, "it was found");
    println!("{}", told.join("; "));
    assert!(world.workers[0].alive());
    world.settle_all().await;
    assert_eq!(world.count("SELECT count(*) FROM attempts WHERE attempt > 1").await, 0, "no attempt is burnt");
    world.finish().await;
}
