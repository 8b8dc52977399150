//! One way to open a connection, and the pace of trying again.
//!
//! lapin's own recovery stays off: the callers supervise (reference section 1.4). Called by the publisher, the consumers, `apply` and `depth`.

use std::error::Error;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio::time::{Instant, timeout};

/// Asked from the broker; a silent peer is noticed after twice this.
const HEARTBEAT_SECONDS: u16 = 15;
/// TCP connect and AMQP handshake; lapin itself has no limit here.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A polite goodbye; after it the connection is dropped and lapin's thread ends by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Our chains are three long; a foreign one may be longer.
const CAUSES_MAX: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// backon adds jitter of up to the whole pause, so the schedule stops growing below the longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(3);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A connection that held this long counts as healthy: the next loss starts the schedule afresh. One that falls at once does not.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// Why there is no connection. Never carries the address: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the AMQP address cannot be read (expected amqp://user:password@host:port/vhost)")]
    BadUrl,
    #[error("the AMQP address asks for TLS, which this build leaves out (README, dependency table)")]
    TlsNotBuilt,
    #[error("no connection to RabbitMQ within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    #[error("RabbitMQ refused the connection or the channel")]
    Open(#[source] lapin::Error),
}

/// Opens a connection that RabbitMQ lists under `name`.
///
/// # Errors
/// The address is unreadable, or the broker cannot be reached within five seconds, or refuses user or vhost.
pub(super) async fn open(amqp_url: &str, name: &str) -> Result<Connection, ConnectError> {
    let mut uri: AMQPUri = amqp_url.parse().map_err(|_| ConnectError::BadUrl)?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Err(ConnectError::TlsNotBuilt);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri, properties)).await.map_err(|_| ConnectError::Timeout)?.map_err(ConnectError::Open)
}

/// Says goodbye, for at most a second.
pub(super) async fn close(connection: &Connection) {
    // the outcome does not matter: the connection is given up either way
    let _ = timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await;
}

/// What lies beneath an error, outermost first, for the one line that reports it.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next.filter(|_| causes.len() < CAUSES_MAX) {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.join(": ")
}

/// The pauses between attempts to connect: 0.1 s growing to 3..5 s with jitter, without end (a broker may be away for hours).
pub(super) struct Pace {
    pauses: ExponentialBackoff,
    connected_at: Option<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { pauses: Self::schedule(), connected_at: None }
    }

    fn schedule() -> ExponentialBackoff {
        ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LAST_PAUSE).with_jitter().without_max_times().build()
    }

    pub(super) fn connected(&mut self) {
        self.connected_at = Some(Instant::now());
    }

    /// How long to wait before the next attempt.
    pub(super) fn next_pause(&mut self) -> Duration {
        if self.connected_at.take().is_some_and(|at| at.elapsed() >= HEALTHY_AFTER) {
            self.pauses = Self::schedule();
        }
        self.pauses.next().unwrap_or(PAUSE_MAX).min(PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_never_end_and_never_exceed_five_seconds() {
        let mut pace = Pace::new();
        assert!(pace.next_pause() <= Duration::from_millis(200));
        for _ in 0..1000 {
            assert!(pace.next_pause() <= PAUSE_MAX);
        }
        assert!(pace.next_pause() >= LAST_PAUSE);
    }

    #[tokio::test]
    async fn an_unreadable_address_is_refused_without_repeating_it() {
        let error = open("http://user:secret@host", "test").await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("cannot be read"));
        assert!(!error.contains("secret"));
    }
}
