//! Consumers: a bounded stream of deliveries from a queue, that survives whatever happens to connection, channel and queue.
//!
//! It decides nothing about a message: what cannot be read is delivered too, with the reason. Never on the publisher's connection. Called by the workers'
//! runtime and (for replies) by ingress.
//!
//! After any error, and after the stream's plain end (the broker cancels a consumer when its queue goes away), intake begins anew. Deliveries of a
//! lost channel are skipped, their acks are dropped: the broker delivers them again (incident 87: a consumer that is not there must not go unnoticed).

mod connection;
mod delivery;
mod session;
pub mod watchdog;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use connection::ConsumingConnection;
pub use delivery::{Delivery, Receipt};
pub use watchdog::Watchdog;

use super::topology::QueueName;

/// One consumer on a connection of its own.
#[derive(Clone)]
pub struct ConsumerConfig {
    pub amqp_url: String,
    /// How RabbitMQ lists the connection.
    pub connection_name: String,
    pub queue: QueueName,
    /// Deliveries in hand (unacked) at one time; the bound of the stream.
    pub prefetch: u16,
}

impl fmt::Debug for ConsumerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the address holds a password
        formatter.debug_struct("ConsumerConfig").field("queue", &self.queue).field("prefetch", &self.prefetch).finish_non_exhaustive()
    }
}

/// The handle of a running consumer. Dropping it changes nothing; dropping its [`Deliveries`] ends it.
#[derive(Clone)]
pub struct Consumer {
    shared: Arc<Shared>,
    /// Kept so that a consumer of its own connection keeps that connection.
    _connection: ConsumingConnection,
}

struct Shared {
    queue: QueueName,
    prefetch: u16,
    cancel: CancellationToken,
    consuming: watch::Sender<bool>,
    last_delivery_at: Mutex<Option<Instant>>,
    /// Deliveries that are not settled yet.
    in_hand: AtomicUsize,
    /// Intake shall begin anew on another channel: the watchdog says so.
    deaf: Notify,
    /// From the watchdog's finding until something is delivered again or nothing waits any more.
    found_deaf: AtomicBool,
}

impl Consumer {
    /// Starts consuming one queue on a connection of its own; returns at once and connects in the background. Needs a tokio runtime.
    #[must_use]
    pub fn start(config: ConsumerConfig) -> (Self, Deliveries) {
        ConsumingConnection::start(config.amqp_url, config.connection_name).consume(config.queue, config.prefetch)
    }

    fn on(connection: &ConsumingConnection, queue: QueueName, prefetch: u16) -> (Self, Deliveries) {
        // zero would mean "without limit" to the broker
        let prefetch = prefetch.max(1);
        let shared = Arc::new(Shared {
            queue,
            prefetch,
            cancel: CancellationToken::new(),
            consuming: watch::Sender::new(false),
            last_delivery_at: Mutex::new(None),
            in_hand: AtomicUsize::new(0),
            deaf: Notify::new(),
            found_deaf: AtomicBool::new(false),
        });
        let (sender, receiver) = mpsc::channel(prefetch.into());
        drop(tokio::spawn(session::run(Arc::clone(&shared), connection.hold(), sender)));
        (Self { shared, _connection: connection.clone() }, Deliveries { receiver })
    }

    /// Asks the broker for no more messages. What is already here still comes out of [`Deliveries`], then it ends; all of it can still be acked.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.shared.queue
    }

    /// Whether the broker counts us as a consumer of the queue at the moment.
    #[must_use]
    pub fn is_consuming(&self) -> bool {
        *self.shared.consuming.borrow()
    }

    /// Whether it is found deaf: messages wait, and none comes though one could be taken. The watchdog's finding.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.shared.found_deaf.load(Ordering::Acquire)
    }

    /// All that may be in hand is in hand: what waits, waits for us and not for the broker.
    fn is_busy(&self) -> bool {
        self.shared.in_hand.load(Ordering::Acquire) >= self.shared.prefetch.into()
    }

    /// When the last message came in; `None` if none has. For the watchdog that looks for depth without deliveries.
    #[must_use]
    pub fn last_delivery_at(&self) -> Option<Instant> {
        *self.shared.last_delivery_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn delivered_now(&self) {
        *self.last_delivery_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// What the queue delivers, in order, at most prefetch in hand.
pub struct Deliveries {
    receiver: mpsc::Receiver<Delivery>,
}

impl Deliveries {
    /// The next delivery; `None` after [`Consumer::cancel`], when everything prefetched has been taken. Safe to drop while waiting.
    pub async fn recv(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.receiver.recv().await?;
            if delivery.is_current() {
                return Some(delivery);
            }
        }
    }

    /// A delivery that is already here, for batches.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.receiver.try_recv().ok()?;
            if delivery.is_current() {
                return Some(delivery);
            }
        }
    }
}
