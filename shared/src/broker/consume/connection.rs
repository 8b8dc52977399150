//! One connection for all queues that a process consumes, reopened whenever it is lost.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::{Connection, Event};
use prometheus::{IntCounter, Opts, Registry};
use tokio::sync::watch;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::connect::{self, Pace};
use crate::broker::topology::QueueName;

use super::{Consumer, Deliveries};

/// A loss that lapin does not report as an event is seen by looking.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The open connection, while there is one.
pub(in crate::broker) type Links = watch::Receiver<Option<Arc<Connection>>>;

/// A supervised connection for consuming. Cheap to clone. It ends with [`ConsumingConnection::close`], or when the last clone is dropped.
#[derive(Clone)]
pub struct ConsumingConnection(Arc<Inner>);

struct Inner {
    links: Links,
    stop: CancellationToken,
    stopped: CancellationToken,
    connects: IntCounter,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl ConsumingConnection {
    /// Starts connecting in the background. Needs a tokio runtime.
    #[must_use]
    pub fn start(amqp_url: String, connection_name: String) -> Self {
        let (sender, links) = watch::channel(None);
        let opts = Opts::new("frontdesk_consuming_connects_total", "Consuming connections opened").const_label("connection", &connection_name);
        let connects = IntCounter::with_opts(opts).expect("name, help and label name are fixed and well formed");
        let inner = Inner { links, stop: CancellationToken::new(), stopped: CancellationToken::new(), connects: connects.clone() };
        let (stop, stopped) = (inner.stop.clone(), inner.stopped.clone());
        drop(tokio::spawn(async move {
            supervise(&amqp_url, &connection_name, &sender, &connects, &stop).await;
            stopped.cancel();
        }));
        Self(Arc::new(inner))
    }

    /// Consumes a queue on a channel of its own.
    #[must_use]
    pub fn consume(&self, queue: QueueName, prefetch: u16) -> (Consumer, Deliveries) {
        Consumer::on(self, queue, prefetch)
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.links.borrow().as_ref().is_some_and(|connection| connection.status().connected())
    }

    /// Adds the connection's metrics to a registry.
    ///
    /// # Errors
    /// A consuming connection of the same name is registered already.
    pub fn register_metrics(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.0.connects.clone()))
    }

    /// Closes the connection; what is not acked by now is delivered again, to somebody else.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.stopped.cancelled().await;
    }

    pub(in crate::broker) fn links(&self) -> Links {
        self.0.links.clone()
    }
}

async fn supervise(amqp_url: &str, name: &str, links: &watch::Sender<Option<Arc<Connection>>>, connects: &IntCounter, stop: &CancellationToken) {
    let mut pace = Pace::new();
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let opened = tokio::select! {
            opened = connect::open(amqp_url, name) => opened,
            () = stop.cancelled() => break,
        };
        match opened {
            Ok(connection) => {
                pace.connected();
                failures = 0;
                connects.inc();
                info!(connection.name = %name, "consuming connection is open");
                let connection = Arc::new(connection);
                links.send_replace(Some(Arc::clone(&connection)));
                until_lost(&connection, stop).await;
                links.send_replace(None);
                if !stop.is_cancelled() {
                    warn!(connection.name = %name, "consuming connection is lost");
                }
                connect::close(&connection).await;
            }
            Err(error) => {
                failures += 1;
                if failures % 20 == 1 {
                    let cause = connect::causes(&error);
                    warn!(connection.name = %name, failures, %error, %cause, "cannot open the consuming connection");
                }
            }
        }
        tokio::select! {
            () = sleep(pace.next_pause()) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn until_lost(connection: &Connection, stop: &CancellationToken) {
    let mut events = std::pin::pin!(connection.events_listener());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => if matches!(event, Some(Event::Error(_)) | None) && !connection.status().connected() {
                return;
            },
            () = sleep(LOOK_EVERY) => if !connection.status().connected() {
                return;
            },
        }
    }
}
