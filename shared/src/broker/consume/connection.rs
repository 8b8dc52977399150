//! One connection for all queues that a process consumes, reopened whenever it is lost.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::StreamExt;
use lapin::{Connection, Event};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::sync::{Notify, watch};
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
    given_up: Arc<GivenUp>,
    connects: IntCounter,
    restarts: IntCounterVec,
}

/// The connection that somebody found useless though it stands.
#[derive(Default)]
struct GivenUp {
    which: Mutex<Weak<Connection>>,
    changed: Notify,
}

impl GivenUp {
    fn is(&self, connection: &Arc<Connection>) -> bool {
        Weak::ptr_eq(&self.which.lock().unwrap_or_else(PoisonError::into_inner), &Arc::downgrade(connection))
    }
}

/// What a consumer's task holds of its connection: not the connection itself, which ends with its last owner.
pub(in crate::broker) struct Hold {
    pub(in crate::broker) links: Links,
    given_up: Arc<GivenUp>,
    restarts: IntCounterVec,
}

impl Hold {
    /// This connection answers nobody though it stands: it is closed, and another one opened. A newer one is not touched.
    pub(in crate::broker) fn give_up(&self, connection: &Arc<Connection>) {
        *self.given_up.which.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(connection);
        self.given_up.changed.notify_one();
    }

    /// Counts that the intake of a queue began anew.
    pub(in crate::broker) fn restarted(&self, queue: &QueueName, why: Restart) {
        self.restarts.with_label_values(&[queue.as_str(), why.name()]).inc();
    }
}

/// Why the intake of a queue began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Restart {
    /// The stream failed: channel or connection is gone.
    Broken,
    /// The stream ended: the queue was deleted, or lost its leader.
    Cancelled,
    /// The broker does not let us consume.
    Refused,
    /// The broker does not answer on this connection.
    Unanswered,
    /// Messages wait, and none comes: another channel is tried.
    Deaf,
    /// Another channel did not help: another connection is tried.
    StillDeaf,
}

impl Restart {
    const ALL: [Self; 6] = [Self::Broken, Self::Cancelled, Self::Refused, Self::Unanswered, Self::Deaf, Self::StillDeaf];

    pub(in crate::broker) const fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Deaf => "deaf",
            Self::StillDeaf => "still_deaf",
        }
    }
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
        let opts =
            Opts::new("frontdesk_consumer_restarts_total", "Times that the intake of a queue began anew, by cause").const_label("connection", &connection_name);
        let restarts = IntCounterVec::new(opts, &["queue", "reason"]).expect("name, help and label names are fixed and well formed");
        let given_up = Arc::new(GivenUp::default());
        let inner = Inner {
            links,
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
            given_up: Arc::clone(&given_up),
            connects: connects.clone(),
            restarts,
        };
        let (stop, stopped) = (inner.stop.clone(), inner.stopped.clone());
        drop(tokio::spawn(async move {
            supervise(&amqp_url, &connection_name, &sender, &connects, &given_up, &stop).await;
            stopped.cancel();
        }));
        Self(Arc::new(inner))
    }

    /// Consumes a queue on a channel of its own.
    #[must_use]
    pub fn consume(&self, queue: QueueName, prefetch: u16) -> (Consumer, Deliveries) {
        for why in Restart::ALL {
            let _ = self.0.restarts.with_label_values(&[queue.as_str(), why.name()]);
        }
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
        registry.register(Box::new(self.0.connects.clone()))?;
        registry.register(Box::new(self.0.restarts.clone()))
    }

    /// Closes the connection; what is not acked by now is delivered again, to somebody else.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.stopped.cancelled().await;
    }

    pub(in crate::broker) fn hold(&self) -> Hold {
        Hold { links: self.0.links.clone(), given_up: Arc::clone(&self.0.given_up), restarts: self.0.restarts.clone() }
    }
}

async fn supervise(
    amqp_url: &str,
    name: &str,
    links: &watch::Sender<Option<Arc<Connection>>>,
    connects: &IntCounter,
    given_up: &GivenUp,
    stop: &CancellationToken,
) {
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
                until_lost(&connection, given_up, stop).await;
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

async fn until_lost(connection: &Arc<Connection>, given_up: &GivenUp, stop: &CancellationToken) {
    let mut events = std::pin::pin!(connection.events_listener());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = given_up.changed.notified() => if given_up.is(connection) {
                return;
            },
            event = events.next() => if matches!(event, Some(Event::Error(_)) | None) && !connection.status().connected() {
                return;
            },
            () = sleep(LOOK_EVERY) => if !connection.status().connected() {
                return;
            },
        }
    }
}
