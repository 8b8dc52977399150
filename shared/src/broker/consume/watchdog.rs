//! Finds consumers that are deaf: messages wait in their queue, they could take some, and none comes (incident 87: nobody noticed for days).
//!
//! The broker counts such a consumer, the connection's heartbeats pass, lapin reports nothing; only depth without deliveries shows it. First the channel is opened
//! anew, then the connection. A consumer with all it may hold in hand is busy, not deaf. Not here: consumers that cannot begin at all (`session` sees to them).
//! Not seen: up to a prefetch of messages that the broker has handed out and that never arrived, since a depth counts what is ready; the broker's own consumer timeout
//! (half an hour) ends that.
//! One per process, started by the workers' runtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::connection::Restart;
use super::{Consumer, ConsumingConnection};
use crate::broker::depth::Gauge;

/// All queues of a process by passive declaration take a few milliseconds; a broker that needs longer says nothing about its consumers now.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// How often it looks, and how long it bears what it sees.
#[derive(Clone, Copy, Debug)]
pub struct Vigilance {
    pub look_every: Duration,
    /// Depth without deliveries for this long is deafness; the next step follows after the same time.
    pub deaf_after: Duration,
}

impl Default for Vigilance {
    /// A live message waits a few milliseconds; after twelve seconds of nothing no broker at work is just slow.
    fn default() -> Self {
        Self { look_every: Duration::from_secs(3), deaf_after: Duration::from_secs(12) }
    }
}

/// See the module.
pub struct Watchdog {
    amqp_url: String,
    connection: ConsumingConnection,
    watched: Vec<Watched>,
    vigilance: Vigilance,
}

struct Watched {
    consumer: Consumer,
    last_delivery_at: Option<Instant>,
    /// Since when messages wait and none comes.
    waiting_since: Option<Instant>,
    /// What was tried since the last delivery.
    tried: Tried,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Nothing,
    Channel,
    Connection,
}

/// What is to be done about a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cure {
    Channel,
    Connection,
}

impl Watchdog {
    /// Watches consumers of that connection.
    #[must_use]
    pub fn new(amqp_url: String, connection: ConsumingConnection, consumers: &[Consumer], vigilance: Vigilance) -> Self {
        let watched = consumers.iter().map(|consumer| Watched::new(consumer.clone())).collect();
        Self { amqp_url, connection, watched, vigilance }
    }

    /// Looks until `stop`. Depths are read over a connection of its own: the one that is in doubt cannot testify.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.watched.is_empty() {
            // a process without queues (scheduler) needs no connection for it
            return stop.cancelled().await;
        }
        let mut gauge = None;
        loop {
            tokio::select! {
                () = sleep(self.vigilance.look_every) => {}
                () = stop.cancelled() => break,
            }
            if gauge.is_none() {
                gauge = timeout(LOOK_MAX, Gauge::open_as(&self.amqp_url, "frontdesk watchdog")).await.ok().and_then(Result::ok);
            }
            let Some(open) = &gauge else { continue };
            if timeout(LOOK_MAX, self.look(open)).await != Ok(true) {
                if let Some(lost) = gauge.take() {
                    lost.close().await;
                }
                for watched in &mut self.watched {
                    watched.waiting_since = None;
                }
            }
        }
        if let Some(gauge) = gauge {
            gauge.close().await;
        }
    }

    /// False if the gauge is of no more use.
    async fn look(&mut self, gauge: &Gauge) -> bool {
        for watched in &mut self.watched {
            if !watched.consumer.is_consuming() {
                watched.waiting_since = None;
                continue;
            }
            let Ok(ready) = gauge.depth(watched.consumer.shared.queue.as_str()).await else { return false };
            match watched.judge(ready, Instant::now(), self.vigilance.deaf_after) {
                Some(Cure::Channel) => watched.restart_channel(ready),
                Some(Cure::Connection) => watched.restart_connection(&self.connection, ready),
                None => {}
            }
        }
        true
    }
}

impl Watched {
    fn new(consumer: Consumer) -> Self {
        Self { last_delivery_at: consumer.last_delivery_at(), consumer, waiting_since: None, tried: Tried::Nothing }
    }

    fn judge(&mut self, ready: u32, now: Instant, deaf_after: Duration) -> Option<Cure> {
        let delivered_at = self.consumer.last_delivery_at();
        if ready == 0 || delivered_at != self.last_delivery_at {
            self.last_delivery_at = delivered_at;
            self.waiting_since = None;
            self.tried = Tried::Nothing;
            if self.consumer.shared.found_deaf.swap(false, Ordering::AcqRel) {
                info!(queue = %self.consumer.shared.queue, "the consumer hears again");
            }
            return None;
        }
        if self.consumer.is_busy() {
            self.waiting_since = None;
            return None;
        }
        let since = *self.waiting_since.get_or_insert(now);
        if now.duration_since(since) < deaf_after {
            return None;
        }
        self.waiting_since = None;
        self.consumer.shared.found_deaf.store(true, Ordering::Release);
        let (tried, cure) = match self.tried {
            Tried::Nothing => (Tried::Channel, Cure::Channel),
            Tried::Channel | Tried::Connection => (Tried::Connection, Cure::Connection),
        };
        self.tried = tried;
        Some(cure)
    }

    fn restart_channel(&self, ready: u32) {
        warn!(queue = %self.consumer.shared.queue, ready, "messages wait and none comes: the consumer is deaf and gets another channel");
        self.consumer.shared.deaf.notify_one();
    }

    fn restart_connection(&self, connection: &ConsumingConnection, ready: u32) {
        let hold = connection.hold();
        let current = hold.links.borrow().as_ref().map(Arc::clone);
        if let Some(current) = current {
            error!(queue = %self.consumer.shared.queue, ready, "the consumer is still deaf: its connection is given up");
            hold.restarted(&self.consumer.shared.queue, Restart::StillDeaf);
            hold.give_up(&current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topology;
    use crate::envelope::{Lane, Role};

    const DEAF_AFTER: Duration = Duration::from_secs(10);

    /// A consumer whose broker is not there: what it heard is said by the test.
    fn watched(prefetch: u16) -> Watched {
        let connection = ConsumingConnection::start("amqp://guest:guest@127.0.0.1:1/%2f".to_owned(), "test".to_owned());
        let (consumer, _deliveries) = connection.consume(topology::queue(Role::Booking, Lane::Bulk), prefetch);
        Watched::new(consumer)
    }

    #[tokio::test]
    async fn depth_without_deliveries_is_cured_by_a_channel_and_then_by_a_connection() {
        let (mut watched, start) = (watched(2), Instant::now());
        let judged = |watched: &mut Watched, ready, seconds| watched.judge(ready, start + Duration::from_secs(seconds), DEAF_AFTER);
        assert_eq!(judged(&mut watched, 3, 0), None);
        assert_eq!(judged(&mut watched, 3, 9), None);
        assert_eq!(judged(&mut watched, 3, 10), Some(Cure::Channel));
        assert!(watched.consumer.is_deaf());
        assert_eq!(judged(&mut watched, 3, 13), None);
        assert_eq!(judged(&mut watched, 3, 22), None);
        assert_eq!(judged(&mut watched, 3, 23), Some(Cure::Connection));
        assert_eq!(judged(&mut watched, 3, 24), None);
        assert_eq!(judged(&mut watched, 3, 40), Some(Cure::Connection));
        watched.consumer.shared.delivered_now();
        assert_eq!(judged(&mut watched, 3, 41), None);
        assert!(!watched.consumer.is_deaf(), "it hears again");
        assert_eq!(judged(&mut watched, 3, 60), None);
        assert_eq!(judged(&mut watched, 3, 70), Some(Cure::Channel), "and the cures begin anew");
    }

    #[tokio::test]
    async fn an_empty_queue_a_delivery_and_a_full_hand_are_no_deafness() {
        let (mut watched, start) = (watched(2), Instant::now());
        let judged = |watched: &mut Watched, ready, seconds| watched.judge(ready, start + Duration::from_secs(seconds), DEAF_AFTER);
        assert_eq!(judged(&mut watched, 5, 0), None);
        assert_eq!(judged(&mut watched, 0, 9), None, "somebody else took them");
        assert_eq!(judged(&mut watched, 5, 11), None);
        watched.consumer.shared.delivered_now();
        assert_eq!(judged(&mut watched, 5, 21), None, "it heard one meanwhile");
        watched.consumer.shared.in_hand.store(2, Ordering::Release);
        assert_eq!(judged(&mut watched, 5, 22), None);
        assert_eq!(judged(&mut watched, 5, 100), None, "all permits are busy: what waits, waits for us");
        watched.consumer.shared.in_hand.store(1, Ordering::Release);
        assert_eq!(judged(&mut watched, 5, 101), None);
        assert_eq!(judged(&mut watched, 5, 111), Some(Cure::Channel));
    }
}
