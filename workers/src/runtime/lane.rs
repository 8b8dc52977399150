//! One lane of one role: takes deliveries, prepares them, groups the bulk ones, and keeps at most its permits at work.
//!
//! Live: one transaction per message, never batched. Bulk: groups of one company. Lanes share nothing but the process. Started by `start`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use prometheus::IntGauge;
use shared::broker::{Deliveries, Delivery, QueueName, Receipt};
use shared::envelope::{Envelope, Lane};
use shared::store::StoreError;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use super::checkpoint::Checkpoint;
use super::context::Context;
use super::groups::Groups;
use super::handler::{Failure, Handler, Prepared, reason};
use super::metrics::LaneMetrics;
use super::settle::Ended;

/// A handler that takes longer is stuck: its statements are bounded by 15 s each, and bulk makes no foreign call inside a transaction.
const HANDLE_MAX: Duration = Duration::from_secs(30);
/// How often a message is taken up again after Postgres went away under it while it answers in between; then it is a failure that counts.
pub(super) const HOLDS_MAX: u32 = 3;

/// A readable message in hand, and what is needed to settle it.
pub(super) struct Message {
    pub envelope: Envelope,
    pub queue: QueueName,
    pub receipt: Receipt,
    pub delivered_at: Instant,
    /// Held, not read: see [`InFlight`].
    pub _in_flight: InFlight,
}

/// Counts a message as in hand as long as it lives.
pub(super) struct InFlight(IntGauge);

impl InFlight {
    pub(super) fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A message that is ready for its transaction.
pub(super) struct Item<W> {
    pub message: Message,
    pub prepared: Prepared<W>,
}

/// One lane at work.
pub(super) struct Worker<H> {
    pub handler: H,
    pub context: Context,
    pub metrics: LaneMetrics,
    pub permits: usize,
}

/// Why waiting for Postgres ended.
pub(super) enum Held {
    Back,
    /// The caller's deadline came first.
    Expired,
    Stopping,
}

impl<H: Handler> Worker<H> {
    pub(super) const fn lane(&self) -> Lane {
        self.context.lane
    }

    /// Runs until the deliveries end (the consumer is cancelled) and all of them are settled.
    pub(super) async fn run(self: Arc<Self>, deliveries: Deliveries) {
        match self.lane() {
            Lane::Live => self.run_live(deliveries).await,
            Lane::Bulk => self.run_bulk(deliveries).await,
        }
    }

    async fn run_live(self: Arc<Self>, mut deliveries: Deliveries) {
        let permits = Arc::new(Semaphore::new(self.permits));
        let mut running = JoinSet::new();
        loop {
            // never closed: a failing acquire cannot happen, and would only run one message too many
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            let delivery = tokio::select! {
                delivery = deliveries.recv() => delivery,
                Some(ended) = running.join_next() => {
                    self.note_panic(&ended);
                    continue;
                }
            };
            let Some(delivery) = delivery else { break };
            let worker = Arc::clone(&self);
            running.spawn(async move {
                if let Some(item) = worker.prepare(delivery).await {
                    worker.transact(vec![item]).await;
                }
                drop(permit);
            });
        }
        while let Some(ended) = running.join_next().await {
            self.note_panic(&ended);
        }
    }

    async fn run_bulk(self: Arc<Self>, mut deliveries: Deliveries) {
        let mut open = true;
        let mut groups: Groups<Item<H::Work>> = Groups::default();
        let mut preparing = JoinSet::new();
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.permits
                && let Some(group) = groups.next_group()
            {
                let worker = Arc::clone(&self);
                running.spawn(async move { worker.transact(group).await });
            }
            tokio::select! {
                Some(ended) = running.join_next() => self.note_panic(&ended),
                Some(prepared) = preparing.join_next() => {
                    self.note_panic(&prepared);
                    if let Ok(Some(item)) = prepared {
                        let Item::<H::Work> { message, prepared } = &item;
                        groups.push(prepared.company_id, message.envelope.body.len(), item);
                    }
                }
                delivery = deliveries.recv(), if open && preparing.len() < self.permits => match delivery {
                    Some(delivery) => {
                        let worker = Arc::clone(&self);
                        preparing.spawn(async move { worker.prepare(delivery).await });
                    }
                    None => open = false,
                },
                else => break,
            }
        }
    }

    /// A panic of the runtime itself (handlers' panics are caught where they happen): the delivery's receipt was dropped, which gives it back.
    fn note_panic<T>(&self, ended: &Result<T, JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.context.metrics.panics.inc();
            tracing::error!(role = %H::ROLE, lane = self.lane().name(), "the runtime panicked over a message, which goes back to its queue");
        }
    }

    /// Reads, checks and prepares a delivery; `None` if it is settled already.
    async fn prepare(&self, delivery: Delivery) -> Option<Item<H::Work>> {
        let in_flight = InFlight::begin(&self.metrics.in_flight);
        let Delivery { queue, delivered_at, envelope, raw, receipt, .. } = delivery;
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => {
                self.finish_unreadable(&queue, &error, &raw, receipt).await;
                return None;
            }
        };
        self.metrics.age.observe(self.age(&envelope).as_secs_f64());
        let mut message = Message { envelope, queue, receipt, delivered_at, _in_flight: in_flight };
        if message.envelope.kind.role() != H::ROLE {
            let wrong = Failure::park(reason::WRONG_QUEUE, message.envelope.kind.name());
            self.finish_ended(message, None, Ended::Failed(wrong)).await;
            return None;
        }
        if let Err(failure) = self.reach(Checkpoint::AfterConsume, &message).await {
            self.finish_ended(message, None, Ended::Failed(failure)).await;
            return None;
        }
        let mut holds = 0;
        loop {
            if self.is_late(&message.envelope) {
                message = self.expire(message, None).await?;
            }
            let prepared = {
                // boxed: it may ask Cal.com, and every future around it would hold a copy of that on its stack (two megabytes of an unoptimized build)
                let prepare = Box::pin(self.handler.prepare(&message.envelope));
                self.guarded(self.time_limit(&message.envelope), prepare).await
            };
            let ended = match prepared {
                Ok(prepared) => return Some(Item { message, prepared }),
                Err(ended) => self.blame(ended).await,
            };
            match ended {
                Ended::Failed(Failure::StoreAway { .. }) if holds < HOLDS_MAX => {
                    holds += 1;
                    if matches!(self.hold(self.deadline(&message.envelope)).await, Held::Stopping) {
                        self.give_back(vec![message]).await;
                        return None;
                    }
                }
                // what a human must decide is no better in the bulk lane; everything else is
                ended if self.is_late(&message.envelope) && !ended.is_for_a_human() => {}
                ended => {
                    self.finish_ended(message, None, ended).await;
                    return None;
                }
            }
        }
    }

    /// As the function of that name; and a silence of Postgres ends it, too, instead of running into the limit.
    pub(super) async fn guarded<T>(&self, limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Ended> {
        let answered = self.context.answered("handle a message", async { Ok::<_, StoreError>(guarded(limit, work).await) });
        answered.await.unwrap_or_else(|silent| Err(Ended::Failed(silent.into())))
    }

    /// Who is to blame for an ending: a timeout while Postgres is silent (it neither answers nor breaks the connection, faults D4) is no attempt.
    pub(super) async fn blame(&self, ended: Ended) -> Ended {
        match ended {
            Ended::TimedOut if !self.context.pulse.look().await => Ended::Failed(Failure::StoreAway { cause: "the database is silent".into() }),
            ended => ended,
        }
    }

    /// Since ingress took it.
    pub(super) fn age(&self, envelope: &Envelope) -> Duration {
        (self.context.clock.now() - envelope.received_at).to_std().unwrap_or_default()
    }

    /// Until when a caller waits for this message on this lane.
    fn deadline(&self, envelope: &Envelope) -> Option<Duration> {
        let deadline = envelope.deadline.filter(|_| self.lane() == Lane::Live && !envelope.caller_gone)?;
        Some((deadline - self.context.clock.now()).to_std().unwrap_or_default())
    }

    /// Nobody waits for it any more.
    pub(super) fn is_late(&self, envelope: &Envelope) -> bool {
        self.deadline(envelope).is_some_and(|left| left.is_zero())
    }

    /// How long handling may take: on live, no longer than the caller waits.
    pub(super) fn time_limit(&self, envelope: &Envelope) -> Duration {
        self.deadline(envelope).map_or(HANDLE_MAX, |left| left.min(HANDLE_MAX))
    }

    /// Waits for Postgres to come back.
    pub(super) async fn hold(&self, deadline: Option<Duration>) -> Held {
        let late = async {
            match deadline {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            back = self.context.database_back(self.context.stop.cancelled()) => if back { Held::Back } else { Held::Stopping },
            () = late => Held::Expired,
        }
    }

    /// The deadline that the first item of a transaction sets; groups have none.
    pub(super) fn deadline_of(&self, items: &[Item<H::Work>]) -> Option<Duration> {
        items.first().and_then(|item| self.deadline(&item.message.envelope))
    }
}

/// Runs a part of a role: its panics and its endless waits become endings like any other.
async fn guarded<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Ended> {
    // a panicking handler leaves nothing behind that is used again: its transaction is rolled back with it
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(failure))) => Err(Ended::Failed(failure)),
        Ok(Err(_)) => Err(Ended::Panicked),
        Err(_) => Err(Ended::TimedOut),
    }
}

/// The union of the locks of a transaction, sorted and without doubles.
pub(super) fn locks_of<W>(items: &[Item<W>]) -> Vec<i64> {
    let mut locks: Vec<i64> = items.iter().flat_map(|item| item.prepared.locks.iter().copied()).collect();
    locks.sort_unstable();
    locks.dedup();
    locks
}

/// The one company of a transaction's items.
pub(super) fn company_of<W>(items: &[Item<W>]) -> Option<Uuid> {
    items.first().and_then(|item| item.prepared.company_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_and_an_endless_wait_are_endings_like_any_other() {
        let panics = guarded(HANDLE_MAX, async { if true { panic!("of a handler") } else { Ok(()) } }).await;
        assert!(matches!(panics, Err(Ended::Panicked)));
        let waits = guarded(Duration::from_millis(5), std::future::pending::<Result<(), Failure>>()).await;
        assert!(matches!(waits, Err(Ended::TimedOut)));
        let fails = guarded::<()>(HANDLE_MAX, async { Err(Failure::retry("x")) }).await;
        assert!(matches!(fails, Err(Ended::Failed(Failure::Retry { class: "x", .. }))));
    }
}
