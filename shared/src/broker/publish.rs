//! The publisher: a message counts as sent when the broker has confirmed it, and a caller never waits longer than the confirm timeout to know.
//!
//! It does not store and does not retry: what fails goes back to the caller (ingress has its spool, workers their outbox). One connection of its own,
//! never shared with consumers (a blocked connection would hold back acks). Called by ingress and the workers' runtime.
//!
//! States: *down* (no connection: publishes fail at once), *ready*, *suspect* (a confirm did not come in time: publishes fail at once, one probe a second
//! until a quorum queue confirms again). At the broker's memory alarm confirms simply never come; the timeout is what notices.

mod link;
mod metrics;
mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lapin::types::ShortString;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::envelope::{Envelope, ReplyTo, Role};
use crate::protection::Protection;

use super::encode::{BODY_BYTES_MAX, encode, encode_reply};
use super::raw::RawMessage;
use super::topology::{EVENTS, QueueName, REPLY, Tier, WORK, delay_exchange};
use link::{LinkError, State};
use metrics::Outcome;
use supervisor::Shared;

/// Publishes that await their confirm at one time, if the configuration does not say otherwise. Beyond 512 the broker gains nothing (limits reference).
pub const IN_FLIGHT_MAX: usize = 512;
/// How long publish and confirm together may take, if the configuration does not say otherwise.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
/// Compressing a larger body would hold up the runtime's thread for milliseconds: it moves to a blocking thread.
const COMPRESS_ASIDE_FROM_BYTES: usize = 256 * 1024;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A provider's event, through `frontdesk.events` into that queue.
    Event(QueueName),
    /// A doorbell or an own message, through `frontdesk.work` into that queue.
    Work(QueueName),
    /// Into that role's delay tier, and from there back into that queue.
    Delay(Role, Tier, QueueName),
    /// To the reply queue of one ingress process. Best effort: not persistent, and confirmed even if the queue is gone.
    Reply(String),
}

impl Destination {
    /// Exchange and routing key.
    fn address(&self) -> (ShortString, ShortString) {
        match self {
            Self::Event(queue) => (EVENTS.into(), queue.as_str().into()),
            Self::Work(queue) => (WORK.into(), queue.as_str().into()),
            Self::Delay(role, tier, queue) => (delay_exchange(*role, *tier).into(), queue.as_str().into()),
            // a name beyond AMQP's 255 bytes is no queue of ours: the answer is unroutable and dropped
            Self::Reply(queue) => (REPLY.into(), ShortString::try_new(queue.as_str()).unwrap_or_default()),
        }
    }

    const fn persistent(&self) -> bool {
        !matches!(self, Self::Reply(_))
    }
}

/// How the publisher connects and how long it waits.
#[derive(Clone)]
pub struct PublisherConfig {
    pub amqp_url: String,
    /// How RabbitMQ lists the connection; also a label of the metrics.
    pub connection_name: String,
    pub in_flight_max: usize,
    /// Covers publish and confirm together.
    pub confirm_timeout: Duration,
}

impl fmt::Debug for PublisherConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the address holds a password
        formatter.debug_struct("PublisherConfig").field("connection_name", &self.connection_name).finish_non_exhaustive()
    }
}

/// A message was not confirmed. Except for `Nacked` and the immediate refusals it may still arrive: the inbox makes the duplicate harmless.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The target queue is full, or could not write.
    #[error("the broker refused the message (queue full, or not able to store it)")]
    Nacked,
    /// From now on the publisher is suspect.
    #[error("the broker did not confirm the message in time")]
    ConfirmTimeout,
    /// As many publishes as allowed await their confirm, and none came back in time. The message was not sent.
    #[error("too many publishes await their confirm; the message was not sent")]
    Saturated,
    /// There is no connection, or it broke under the message.
    #[error("no connection to the broker")]
    Disconnected(#[source] Option<lapin::Error>),
    /// A confirm stayed away a moment ago; the message was not sent.
    #[error("the broker does not confirm at the moment; the message was not sent")]
    Suspect,
    /// Every broker would close the channel over it, and with it fail whatever else is under way. The message was not sent.
    #[error("the body exceeds {} MiB; the message was not sent", BODY_BYTES_MAX / 1024 / 1024)]
    TooLarge,
}

impl PublishError {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Nacked => Outcome::Nacked,
            Self::ConfirmTimeout => Outcome::ConfirmTimeout,
            Self::Saturated => Outcome::Saturated,
            Self::Disconnected(_) => Outcome::Disconnected,
            Self::Suspect => Outcome::Suspect,
            Self::TooLarge => Outcome::TooLarge,
        }
    }
}

/// Publishes with confirms over one supervised connection. Cheap to clone; all clones share the connection and its bound.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Publisher {
    /// Starts connecting in the background and returns at once; until it is ready every publish fails at once. Needs a tokio runtime.
    #[must_use]
    pub fn start(config: PublisherConfig, clock: Clock) -> Self {
        let shared = Arc::new(Shared::new(config, clock));
        let stop = CancellationToken::new();
        drop(tokio::spawn(supervisor::run(Arc::clone(&shared), stop.clone())));
        Self { shared, stop }
    }

    /// Publishes; `Ok` only after the broker's ack.
    ///
    /// # Errors
    /// See [`PublishError`]; none takes longer than the confirm timeout, in which the wait for a free slot counts.
    pub async fn publish(&self, destination: &Destination, envelope: &Envelope) -> Result<(), PublishError> {
        if envelope.body.len() > BODY_BYTES_MAX {
            return Err(self.refused(PublishError::TooLarge));
        }
        let persistent = destination.persistent();
        if Protection::Confirm.is_off() {
            let (publisher, destination, message) = (self.clone(), destination.clone(), encode(envelope, persistent));
            drop(tokio::spawn(async move { publisher.measured(&destination, message).await }));
            return Ok(());
        }
        // a message that cannot be sent anyway is not worth compressing
        self.shared.link().map_err(|state| self.refused(state.into()))?;
        let message = if envelope.body.len() < COMPRESS_ASIDE_FROM_BYTES {
            encode(envelope, persistent)
        } else {
            let (moved, again) = (envelope.clone(), envelope);
            // a blocking task ends only by a panic or with the runtime; then it is done here
            tokio::task::spawn_blocking(move || encode(&moved, persistent)).await.unwrap_or_else(|_| encode(again, persistent))
        };
        self.measured(destination, message).await
    }

    /// Publishes a message as it is, for one that this process cannot read (a newer schema waits in a tier; a parked message is retried).
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_raw(&self, destination: &Destination, message: &RawMessage) -> Result<(), PublishError> {
        self.measured(destination, message.clone()).await
    }

    async fn measured(&self, destination: &Destination, message: RawMessage) -> Result<(), PublishError> {
        let started = Instant::now();
        let result = self.confirmed(destination, message).await;
        let outcome = result.as_ref().map_or_else(PublishError::outcome, |()| Outcome::Confirmed);
        self.shared.metrics.finished(outcome, started.elapsed());
        result
    }

    /// Answers a waiting request, best effort: `Ok` says that the broker took it, not that somebody still listens.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn reply(&self, to: &ReplyTo, body: Bytes) -> Result<(), PublishError> {
        self.measured(&Destination::Reply(to.queue.clone()), encode_reply(to.correlation_id, body)).await
    }

    async fn confirmed(&self, destination: &Destination, message: RawMessage) -> Result<(), PublishError> {
        if message.body.len() > BODY_BYTES_MAX {
            return Err(PublishError::TooLarge);
        }
        let deadline = Instant::now() + self.shared.config.confirm_timeout;
        let slots = &self.shared.slots;
        let _slot = match slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => match timeout_at(deadline, slots.acquire()).await {
                Ok(Ok(slot)) => slot,
                // the semaphore is closed by `close`
                Ok(Err(_)) => return Err(PublishError::Disconnected(None)),
                Err(_) => return Err(PublishError::Saturated),
            },
        };
        // only now: while we waited for a slot the connection may have been found suspect
        let link = self.shared.link().map_err(PublishError::from)?;
        let (exchange, key) = destination.address();
        match timeout_at(deadline, link.publish(exchange, key, message.properties, &message.body)).await {
            Ok(Ok(())) => {
                self.shared.confirmed_now();
                Ok(())
            }
            Ok(Err(LinkError::Nacked)) => Err(PublishError::Nacked),
            Ok(Err(LinkError::Broken(source))) => {
                self.shared.give_up(&link, State::Down);
                Err(PublishError::Disconnected(Some(source)))
            }
            Err(_) => {
                self.shared.give_up(&link, State::Suspect);
                Err(PublishError::ConfirmTimeout)
            }
        }
    }

    fn refused(&self, error: PublishError) -> PublishError {
        self.shared.metrics.finished(error.outcome(), Duration::ZERO);
        error
    }

    /// True from a missing confirm until a probe has been confirmed: callers go straight to their own store.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.shared.state() == State::Suspect
    }

    /// True while the last thing that a quorum queue was asked for, it confirmed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.state() == State::Ready
    }

    /// Follows readiness. It becomes true only after a round trip through a quorum queue (incident 87: a connection alone proves nothing).
    #[must_use]
    pub fn watch_ready(&self) -> watch::Receiver<bool> {
        self.shared.ready.subscribe()
    }

    /// When the broker last confirmed a message of ours.
    #[must_use]
    pub fn last_confirmed_at(&self) -> Option<DateTime<Utc>> {
        self.shared.last_confirmed_at()
    }

    /// Adds the publisher's metrics to a registry.
    ///
    /// # Errors
    /// A publisher of the same connection name is registered already.
    pub fn register_metrics(&self, registry: &prometheus::Registry) -> Result<(), prometheus::Error> {
        self.shared.metrics.register(registry)
    }

    /// Takes no more messages, waits until those under way are confirmed or `within` is over, then closes the connection.
    pub async fn close(&self, within: Duration) {
        let all = u32::try_from(self.shared.in_flight_max).unwrap_or(u32::MAX);
        // holding every slot means that nothing is under way; when time runs out what is under way fails as disconnected
        let quiet = timeout(within, self.shared.slots.acquire_many(all)).await;
        self.shared.slots.close();
        drop(quiet);
        self.stop.cancel();
        self.shared.stopped.cancelled().await;
    }
}

impl From<State> for PublishError {
    fn from(state: State) -> Self {
        match state {
            State::Suspect => Self::Suspect,
            State::Down | State::Ready => Self::Disconnected(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topology::queue;
    use crate::envelope::{Kind, Lane, MessageId, SCHEMA_VERSION};

    fn nobody_listens() -> Publisher {
        let config = PublisherConfig {
            // port 1 of the own machine refuses at once
            amqp_url: "amqp://guest:guest@127.0.0.1:1/%2f".to_owned(),
            connection_name: "test".to_owned(),
            in_flight_max: 4,
            confirm_timeout: Duration::from_millis(200),
        };
        Publisher::start(config, Clock::system())
    }

    fn envelope() -> Envelope {
        Envelope {
            message_id: MessageId::of_own("test", b"1"),
            kind: Kind::CalcomBookingCreated,
            schema_version: SCHEMA_VERSION,
            endpoint: None,
            received_at: DateTime::UNIX_EPOCH,
            attempt: 1,
            deadline: None,
            reply_to: None,
            traceparent: None,
            caller_gone: false,
            body: Bytes::from_static(b"{}"),
        }
    }

    #[tokio::test]
    async fn without_a_broker_a_publish_fails_at_once() {
        let publisher = nobody_listens();
        let destination = Destination::Event(queue(Role::Booking, Lane::Bulk));
        for _ in 0..100 {
            let result = timeout(Duration::from_millis(100), publisher.publish(&destination, &envelope())).await;
            assert!(matches!(result, Ok(Err(PublishError::Disconnected(_)))));
        }
        assert!(!publisher.is_ready() && !publisher.is_suspect());
    }

    #[tokio::test]
    async fn without_a_broker_closing_ends() {
        let publisher = nobody_listens();
        timeout(Duration::from_secs(8), publisher.close(Duration::from_millis(10))).await.expect("close is bounded");
    }

    #[test]
    fn a_reply_is_not_persistent_and_everything_else_is() {
        let booking = queue(Role::Booking, Lane::Bulk);
        assert!(Destination::Event(booking.clone()).persistent());
        assert!(Destination::Delay(Role::Booking, Tier::OneMinute, booking).persistent());
        assert!(!Destination::Reply("frontdesk.reply.x".to_owned()).persistent());
    }

    #[test]
    fn an_overlong_reply_queue_name_is_no_panic() {
        assert_eq!(Destination::Reply("x".repeat(300)).address().1.as_str(), "");
    }
}
