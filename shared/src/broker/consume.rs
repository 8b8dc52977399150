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

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use connection::ConsumingConnection;
pub use delivery::{Delivery, Receipt};

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
    cancel: CancellationToken,
    consuming: watch::Sender<bool>,
    last_delivery_at: Mutex<Option<Instant>>,
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
        let shared = Arc::new(Shared { queue, cancel: CancellationToken::new(), consuming: watch::Sender::new(false), last_delivery_at: Mutex::new(None) });
        let (sender, receiver) = mpsc::channel(prefetch.into());
        drop(tokio::spawn(session::run(Arc::clone(&shared), connection.links(), prefetch, sender)));
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

    /// Follows [`Consumer::is_consuming`].
    #[must_use]
    pub fn watch_consuming(&self) -> watch::Receiver<bool> {
        self.shared.consuming.subscribe()
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
