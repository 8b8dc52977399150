//! Requests that wait for a worker's answer, by correlation id.
//!
//! Best effort, like the reply queue that feeds it: an answer for which nobody waits any more is counted and dropped; the stored one is the truth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shared::broker::Reply;
use shared::envelope::ReplyTo;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::metrics::Metrics;

/// Callers on the line at one time, per process. Beyond it a caller hears the fallback at once.
const WAITERS_MAX: usize = 4096;
/// After a reconnect the reply queue is back within this time, or the caller hears the fallback.
const QUEUE_WAIT: Duration = Duration::from_secs(1);

/// Everyone who waits.
pub struct Waiters {
    waiting: Mutex<HashMap<Uuid, oneshot::Sender<Bytes>>>,
    /// The reply queue of this process; `None` while there is none.
    queue: watch::Receiver<Option<String>>,
    metrics: Arc<Metrics>,
}

/// One who waits; dropping it ends the waiting.
pub struct Waiter {
    waiters: Arc<Waiters>,
    to: ReplyTo,
    answer: oneshot::Receiver<Bytes>,
}

impl Waiters {
    #[must_use]
    pub fn new(queue: watch::Receiver<Option<String>>, metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), queue, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, oneshot::Sender<Bytes>>> {
        // Single insertions and removals: nothing is half done after a panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait; `None` if no answer could arrive (no reply queue) or too many wait already.
    pub async fn begin(self: &Arc<Self>) -> Option<Waiter> {
        let mut queue = self.queue.clone();
        let named = tokio::time::timeout(QUEUE_WAIT, queue.wait_for(Option::is_some)).await;
        let queue = named.ok()?.ok()?.clone()?;
        let (sender, answer) = oneshot::channel();
        let correlation_id = Uuid::from_u128(rand::random());
        let mut waiting = self.lock();
        if waiting.len() >= WAITERS_MAX {
            return None;
        }
        waiting.insert(correlation_id, sender);
        drop(waiting);
        self.metrics.waiters.inc();
        Some(Waiter { waiters: Arc::clone(self), to: ReplyTo { queue, correlation_id }, answer })
    }

    /// Hands an answer to the one who waits for it.
    pub fn deliver(&self, reply: Reply) {
        let waiter = self.lock().remove(&reply.correlation_id);
        if waiter.is_none_or(|waiter| waiter.send(reply.body).is_err()) {
            self.metrics.answers_late.inc();
        }
    }

    /// Hands out answers until the reply queue is closed for good.
    pub async fn run(self: Arc<Self>, mut replies: mpsc::Receiver<Reply>) {
        while let Some(reply) = replies.recv().await {
            self.deliver(reply);
        }
    }
}

impl Waiter {
    /// Where the answer must go.
    #[must_use]
    pub fn reply_to(&self) -> ReplyTo {
        self.to.clone()
    }

    /// The answer. Waits for ever by itself: the caller holds the deadline.
    pub async fn answer(&mut self) -> Bytes {
        match (&mut self.answer).await {
            Ok(body) => body,
            // Nobody can answer any more; the deadline ends the request.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.lock().remove(&self.to.correlation_id);
        self.waiters.metrics.waiters.dec();
    }
}
