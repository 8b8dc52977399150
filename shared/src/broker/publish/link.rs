//! One channel with confirms, for as long as it lives. Called by the publisher for every message, and by the supervisor for its probe.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Notify;

/// Publishes whose caller went away before the confirm; lapin keeps a record of each until the channel ends, so the channel is replaced
/// after this many (a few hundred bytes each).
const ABANDONED_MAX: u32 = 10_000;

/// What the publisher can do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Down,
    Ready,
    Suspect,
}

/// Why a message was not confirmed.
pub(super) enum LinkError {
    Nacked,
    Broken(lapin::Error),
}

/// One confirm channel.
pub(super) struct Link {
    channel: Channel,
    /// lapin draws the delivery tag and queues the frames in two steps. Two threads between them would swap tags: each message would get
    /// the other's confirm, and a refused one would count as stored. So the first poll, which does both, is done under this lock.
    order: Mutex<()>,
    abandoned: AtomicU32,
    /// Set by whoever finds the link unusable; the supervisor waits for it.
    pub(super) given_up: Notify,
}

impl Link {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, order: Mutex::new(()), abandoned: AtomicU32::new(0), given_up: Notify::new() }
    }

    /// Resolves with the broker's verdict. Has no time limit of its own. Many at once are welcome: only handing over is serialised, not the waiting.
    pub(super) async fn publish(&self, exchange: ShortString, key: ShortString, properties: BasicProperties, body: &[u8]) -> Result<(), LinkError> {
        // no mandatory flag: the alternate exchange takes what cannot be routed, and a return could be attached to a foreign confirm
        let options = BasicPublishOptions::default();
        let mut handing_over = pin!(self.channel.basic_publish(exchange, key, options, body, properties));
        let abandoned = Abandoned(self);
        let mut polled = false;
        let confirm = poll_fn(|context| {
            if polled {
                return handing_over.as_mut().poll(context);
            }
            polled = true;
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            handing_over.as_mut().poll(context)
        });
        let verdict = match confirm.await {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        std::mem::forget(abandoned);
        match verdict {
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => Err(LinkError::Nacked),
            Err(error) => Err(LinkError::Broken(error)),
        }
    }
}

/// Dropped only when the caller stopped waiting.
struct Abandoned<'a>(&'a Link);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.0.abandoned.fetch_add(1, Ordering::Relaxed) + 1 >= ABANDONED_MAX {
            self.0.given_up.notify_one();
        }
    }
}
