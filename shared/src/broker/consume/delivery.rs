//! One delivered message and its receipt. Every delivery must be settled once: acked, given back, or (by dropping it) returned with a warning.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::{Acker, Channel, types::AMQPValue};
use tokio::time::Instant;
use tracing::warn;

use crate::broker::encode::{DecodeError, decode};
use crate::broker::raw::{RawMessage, whole_number};
use crate::broker::topology::QueueName;
use crate::envelope::Envelope;

use super::Shared;

/// A channel that stays open as long as one of its deliveries is unsettled.
pub(super) struct Intake {
    pub(super) channel: Channel,
    pub(super) queue: QueueName,
    /// Set when consuming broke off: nothing of this channel can be acked any more.
    pub(super) lost: AtomicBool,
}

/// One message from a queue.
pub struct Delivery {
    pub queue: QueueName,
    /// The key it was published with: always the name of the queue that was meant, also in `frontdesk.dead` and `frontdesk.unrouted`.
    pub routing_key: String,
    /// The broker has delivered it before (to anybody).
    pub redelivered: bool,
    /// How often the broker says it has delivered it before; our own attempt counter is in the envelope.
    pub deliveries_before: u32,
    /// When it came in, by the process' monotonic clock.
    pub delivered_at: Instant,
    /// The message, or why it cannot be read.
    pub envelope: Result<Envelope, DecodeError>,
    /// The message as it came, to park it or to send it on unread.
    pub raw: RawMessage,
    /// Settles it.
    pub receipt: Receipt,
}

impl Delivery {
    pub(super) fn new(shared: &Arc<Shared>, intake: &Arc<Intake>, delivery: lapin::message::Delivery) -> Self {
        let counted = delivery.properties.headers().as_ref().and_then(|headers| headers.inner().get("x-delivery-count")).and_then(count);
        let raw = RawMessage::received(delivery.properties, delivery.data);
        Self {
            queue: intake.queue.clone(),
            routing_key: delivery.routing_key.to_string(),
            redelivered: delivery.redelivered,
            deliveries_before: counted.unwrap_or(delivery.redelivered.into()),
            delivered_at: Instant::now(),
            envelope: decode(&raw),
            raw,
            receipt: Receipt { acker: delivery.acker, intake: Arc::clone(intake), settled: false, _in_hand: InHand::begin(shared) },
        }
    }

    /// Done with it, whatever became of it. False if the channel is gone: then the broker delivers it again.
    pub async fn ack(self) -> bool {
        self.receipt.ack().await
    }

    /// Gives it back, for somebody else to take now. Never a way to retry: it comes back at once, and on some brokers counts towards the delivery limit.
    pub async fn requeue(self) -> bool {
        self.receipt.requeue().await
    }

    /// Whether it can still be settled.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.receipt.is_current()
    }
}

fn count(value: &AMQPValue) -> Option<u32> {
    whole_number(value).and_then(|number| u32::try_from(number).ok())
}

/// The right to settle one delivery, once. Can be kept apart from the message, to ack a batch.
#[must_use = "a receipt that is dropped gives the message back"]
pub struct Receipt {
    acker: Acker,
    intake: Arc<Intake>,
    settled: bool,
    _in_hand: InHand,
}

/// Counts a delivery as in hand as long as it lives: a consumer with all it may hold is busy, not deaf.
struct InHand(Arc<Shared>);

impl InHand {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.in_hand.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Receipt {
    /// As [`Delivery::ack`].
    pub async fn ack(mut self) -> bool {
        self.settled = true;
        matches!(self.acker.ack(BasicAckOptions::default()).await, Ok(true))
    }

    /// As [`Delivery::requeue`].
    pub async fn requeue(mut self) -> bool {
        self.settled = true;
        // nack, not reject: on 4.3 only reject counts towards the delivery limit, and this is not the message's fault
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        matches!(self.acker.nack(options).await, Ok(true))
    }

    /// Acks all, in order; the number that reached the broker.
    pub async fn ack_all(receipts: Vec<Self>) -> usize {
        let acked = futures_util::future::join_all(receipts.into_iter().map(Self::ack)).await;
        acked.into_iter().filter(|reached| *reached).count()
    }

    /// Whether it can still be settled.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.acker.usable() && !self.intake.lost.load(Ordering::Acquire)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.settled || !self.is_current() {
            return;
        }
        // an unsettled delivery would hold its prefetch slot for ever: a consumer that loses a few becomes deaf (incident 87)
        let (acker, intake) = (self.acker.clone(), Arc::clone(&self.intake));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            warn!(queue = %intake.queue, "a delivery was dropped unsettled and is given back to its queue");
            drop(runtime.spawn(async move {
                // reject, which counts towards the delivery limit: whatever dropped it may do so again
                let _ = acker.reject(BasicRejectOptions { requeue: true }).await;
                drop(intake);
            }));
        }
    }
}
