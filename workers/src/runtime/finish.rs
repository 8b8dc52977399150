//! Does what was decided: publish and ack after a commit, delay, park, move to bulk, give back. The ack always comes last.
//!
//! Not the decision (that is `settle`). A crash anywhere in here duplicates a delivery and never loses it; the inbox makes the duplicate harmless.

use std::time::Duration;

use futures_util::future::{join, join_all};
use shared::broker::{DecodeError, Destination, PublishError, QueueName, RawMessage, Receipt, topology};
use shared::envelope::{Envelope, Kind, Lane};
use shared::protection::Protection;
use shared::store::StoreError;
use shared::store::dead_letters::{self, NewDeadLetter};
use shared::store::outbox::{self, OutboxMessage};
use shared::store::records::{self, Attempt};
use shared::store::tx::{AfterCommit, CompanyTx, Reply};
use uuid::Uuid;

use super::checkpoint::Checkpoint;
use super::context::Context;
use super::failure_log::chain;
use super::handler::Handler;
use super::lane::{Item, Message, Worker};
use super::metrics::Outcome;
use super::settle::{Ended, Settlement, settle, settle_unreadable};
use super::transact::Committed;

/// Pauses between two attempts to publish a copy that must be there before the ack.
const PUBLISH_PAUSE_MIN: Duration = Duration::from_millis(100);
const PUBLISH_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Between two attempts to write a dead letter: whatever refuses it is no matter of milliseconds.
const PARK_PAUSE: Duration = Duration::from_secs(1);

impl<H: Handler> Worker<H> {
    /// After the commit: replies and outbox rows go out, then the acks, then the confirmed rows are deleted.
    pub(super) async fn finish_done(&self, items: Vec<Item<H::Work>>, committed: Committed) {
        let Committed { mut after, outcomes } = committed;
        if self.reach_all(Checkpoint::AfterCommit, &items).await.is_err() {
            // nothing goes out; the rows are left to the relay
            after = AfterCommit::default();
        }
        let (mut published, ()) = join(publish_outbox(&self.context, &after.outbox), send_replies(&self.context, after.replies)).await;
        if self.reach_all(Checkpoint::AfterOutboxPublish, &items).await.is_err() {
            // as if no confirm had come: the relay publishes once more
            published.clear();
        }
        let acked = self.reach_all(Checkpoint::BeforeAck, &items).await;
        self.metrics.group.observe(count(items.len()));
        let mut receipts = Vec::with_capacity(items.len());
        for (item, outcome) in items.into_iter().zip(outcomes) {
            self.settled(&item.message, outcome);
            receipts.push(item.message.receipt);
        }
        match acked {
            Ok(()) => drop(Receipt::ack_all(receipts).await),
            // an ack that never arrives is a delivery that comes again
            Err(_) => drop(join_all(receipts.into_iter().map(Receipt::requeue)).await),
        }
        delete_published(&self.context, &published).await;
    }

    /// Without a commit: delays or parks.
    pub(super) async fn finish_ended(&self, message: Message, company_id: Option<Uuid>, ended: Ended) {
        if matches!(ended, Ended::Panicked) {
            self.context.metrics.panics.inc();
        }
        let settlement = settle(&ended, message.envelope.attempt, self.age(&message.envelope), &self.context.policy);
        self.log(&message.envelope, company_id, &ended, &settlement);
        match settlement {
            Settlement::Delay { tier, attempt } => {
                let mut copy = Envelope { attempt, ..message.envelope.clone() };
                let outcome = if attempt > message.envelope.attempt { Outcome::Retry } else { Outcome::Wait };
                if self.lane() == Lane::Live {
                    // no tier is shorter than a caller's patience: it comes back as a wish whose caller is gone
                    caller_is_gone(&mut copy);
                }
                let destination = Destination::Delay(H::ROLE, tier, topology::queue(H::ROLE, Lane::Bulk));
                self.move_to(message, company_id, &destination, copy, outcome, Some(ended.class())).await;
            }
            Settlement::Park { reason, detail } => {
                let letter = letter(&message, company_id, H::ROLE.name(), reason, detail);
                let attempt = self.attempt(&message, company_id, Outcome::Parked, Some(ended.class()));
                if self.park(&letter, &[attempt]).await {
                    if let (Some(to), Some(body)) = (&message.envelope.reply_to, self.handler.parked_answer(&message.envelope)) {
                        send_replies(&self.context, vec![Reply { to: to.clone(), body }]).await;
                    }
                    self.settled(&message, Outcome::Parked);
                    message.receipt.ack().await;
                } else {
                    self.give_back(vec![message]).await;
                }
            }
        }
    }

    /// A message that cannot be read: waits unread in a tier, or is parked as it came.
    pub(super) async fn finish_unreadable(&self, queue: &QueueName, error: &DecodeError, raw: &RawMessage, receipt: Receipt) {
        let age = raw.received_at().map(|at| (self.context.clock.now() - at).to_std().unwrap_or_default());
        let settlement = settle_unreadable(error, raw.attempt(), age, &self.context.policy);
        let message_id = raw.message_id().map(|id| id.to_string());
        tracing::warn!(message.id = message_id, kind = raw.kind_name(), role = %H::ROLE, settlement = ?settlement, cause = %chain(error), "a message cannot be read");
        let (done, outcome) = match settlement {
            Settlement::Delay { tier, .. } => {
                let destination = Destination::Delay(H::ROLE, tier, queue.clone());
                let sent = self.until_published(&receipt, || self.context.publisher.publish_raw(&destination, raw)).await;
                (sent, Outcome::Wait)
            }
            Settlement::Park { reason, detail } => {
                let letter = unread_letter(raw, queue.as_str(), Some(H::ROLE.name()), reason, detail);
                (self.park(&letter, &[]).await, Outcome::Parked)
            }
        };
        if done {
            self.metrics.settled(None, outcome);
            receipt.ack().await;
        } else {
            self.metrics.settled(None, Outcome::Requeued);
            receipt.requeue().await;
        }
    }

    /// A live message whose caller is gone. Republished to bulk first where the role has a bulk lane. Without one, a write is still carried out (a wish is
    /// never lost): it is handed back to the caller of this function; a read is dropped, since nobody listens.
    pub(super) async fn expire(&self, message: Message, company_id: Option<Uuid>) -> Option<Message> {
        let envelope = &message.envelope;
        tracing::info!(message.id = %envelope.message_id, kind = envelope.kind.name(), role = %H::ROLE, "a live message is past its deadline");
        if H::ROLE.lanes().contains(&Lane::Bulk) {
            let mut copy = envelope.clone();
            caller_is_gone(&mut copy);
            let destination = Destination::Work(topology::queue(H::ROLE, Lane::Bulk));
            self.move_to(message, company_id, &destination, copy, Outcome::Expired, None).await;
            return None;
        }
        if matches!(envelope.kind, Kind::RetellFunction(function) if function.row().write) {
            let mut message = message;
            caller_is_gone(&mut message.envelope);
            return Some(message);
        }
        self.record_alone(&[self.attempt(&message, company_id, Outcome::Expired, None)]).await;
        self.settled(&message, Outcome::Expired);
        message.receipt.ack().await;
        None
    }

    /// Publishes a copy, awaits its confirm, acks the original.
    async fn move_to(&self, message: Message, company_id: Option<Uuid>, destination: &Destination, copy: Envelope, outcome: Outcome, class: Option<&str>) {
        self.record_alone(&[self.attempt(&message, company_id, outcome, class)]).await;
        if !self.until_published(&message.receipt, || self.context.publisher.publish(destination, &copy)).await {
            self.give_back(vec![message]).await;
            return;
        }
        let reached = self.reach(Checkpoint::AfterDelayPublish, &message).await;
        self.settled(&message, outcome);
        match reached {
            Ok(()) => message.receipt.ack().await,
            Err(_) => message.receipt.requeue().await,
        };
    }

    /// Repeats until the broker confirms; false if the process stops or the delivery is no longer ours. While the target is full the delivery stays in
    /// hand, which slows intake: wanted.
    async fn until_published<F>(&self, receipt: &Receipt, publish: impl Fn() -> F) -> bool
    where
        F: Future<Output = Result<(), PublishError>>,
    {
        let mut pause = PUBLISH_PAUSE_MIN;
        loop {
            let Err(error) = publish().await else { return true };
            tracing::debug!(role = %H::ROLE, cause = %chain(&error), "a copy was not confirmed");
            if self.context.stop.is_cancelled() || !receipt.is_current() {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
                () = self.context.stop.cancelled() => {}
            }
            pause = (pause * 2).min(PUBLISH_PAUSE_MAX);
        }
    }

    /// Writes the dead letter, waiting for Postgres if need be; false if the process stops first.
    async fn park(&self, letter: &NewDeadLetter, attempts: &[Attempt]) -> bool {
        until_parked(&self.context, letter, attempts).await
    }

    /// Gives messages back to their queue: this process stops.
    pub(super) async fn give_back(&self, messages: Vec<Message>) {
        for message in messages {
            self.settled(&message, Outcome::Requeued);
            message.receipt.requeue().await;
        }
    }

    /// The row of one delivery in `attempts`.
    pub(super) fn attempt(&self, message: &Message, company_id: Option<Uuid>, outcome: Outcome, class: Option<&str>) -> Attempt {
        let took = message.delivered_at.elapsed();
        let queued = self.age(&message.envelope).saturating_sub(took);
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Attempt {
            company_id,
            error_class: class.map(str::to_owned),
            queued_ms: millis(queued),
            took_ms: millis(took),
            ..Attempt::of(H::ROLE, self.lane(), &message.envelope, outcome.name())
        }
    }

    /// Best effort: an attempt without effects is worth a row, not a wait for a database that is away.
    async fn record_alone(&self, attempts: &[Attempt]) {
        if self.context.pulse.answers()
            && let Err(error) = self.context.answered("record an attempt", records::insert_attempts_alone(&self.context.pool, attempts)).await
        {
            tracing::warn!(role = %H::ROLE, cause = %chain(&error), "an attempt was not recorded");
        }
    }

    fn settled(&self, message: &Message, outcome: Outcome) {
        self.metrics.settled(Some(message.envelope.kind), outcome);
        self.metrics.handle.observe(message.delivered_at.elapsed().as_secs_f64());
    }

    fn log(&self, envelope: &Envelope, company_id: Option<Uuid>, ended: &Ended, settlement: &Settlement) {
        let cause = match ended {
            Ended::Failed(failure) => chain(failure),
            Ended::Panicked => "the handler panicked".to_owned(),
            Ended::TimedOut => "the handler took too long".to_owned(),
        };
        tracing::warn!(
            message.id = %envelope.message_id,
            kind = envelope.kind.name(),
            role = %H::ROLE,
            lane = self.lane().name(),
            company.id = company_id.map(|id| id.to_string()),
            attempt = envelope.attempt,
            class = ended.class(),
            settlement = ?settlement,
            cause,
            "a message was not handled"
        );
    }
}

fn caller_is_gone(envelope: &mut Envelope) {
    envelope.caller_gone = true;
    envelope.reply_to = None;
}

/// Writes a dead letter, however long it takes: the message stays in hand, and with it its place in the prefetch. False if the process stops first.
pub(super) async fn until_parked(context: &Context, letter: &NewDeadLetter, attempts: &[Attempt]) -> bool {
    loop {
        let Err(error) = context.answered("write a dead letter", park_once(context, letter, attempts)).await else {
            context.metrics.parked(&letter.reason);
            return true;
        };
        tracing::error!(message.id = letter.message_id, reason = letter.reason, cause = %chain(&error), "a dead letter could not be written yet");
        tokio::select! {
            () = tokio::time::sleep(PARK_PAUSE) => {}
            () = context.stop.cancelled() => return false,
        }
        if !context.database_back(context.stop.cancelled()).await {
            return false;
        }
    }
}

async fn park_once(context: &Context, letter: &NewDeadLetter, attempts: &[Attempt]) -> Result<(), StoreError> {
    let mut tx = CompanyTx::begin(&context.pool, None, &[]).await?;
    dead_letters::insert(&mut tx, letter).await?;
    if !attempts.is_empty() {
        records::insert_attempts(&mut tx, attempts).await?;
    }
    tx.commit().await.map(|_| ())
}

fn letter(message: &Message, company_id: Option<Uuid>, role: &'static str, reason: &str, detail: String) -> NewDeadLetter {
    let envelope = &message.envelope;
    NewDeadLetter {
        message_id: Some(envelope.message_id.to_string()),
        kind: Some(envelope.kind.name()),
        role: Some(role),
        queue: message.queue.to_string(),
        endpoint: envelope.endpoint,
        company_id,
        schema_version: Some(envelope.schema_version),
        attempt: envelope.attempt,
        reason: reason.to_owned(),
        detail,
        body: envelope.body.to_vec(),
        received_at: Some(envelope.received_at),
    }
}

/// The dead letter of a message that nobody could read: what is known of it, and its bytes.
pub(super) fn unread_letter(raw: &RawMessage, queue: &str, role: Option<&'static str>, reason: &str, detail: String) -> NewDeadLetter {
    let parked = raw.park();
    let endpoint = parked.properties.pointer("/headers/endpoint").and_then(serde_json::Value::as_str);
    NewDeadLetter {
        message_id: raw.message_id().map(|id| id.to_string()),
        kind: raw.kind_name(),
        role,
        queue: queue.to_owned(),
        endpoint: endpoint.and_then(|text| Uuid::try_parse(text).ok()),
        company_id: None,
        schema_version: raw.schema_version(),
        attempt: raw.attempt(),
        reason: reason.to_owned(),
        detail,
        body: parked.body.to_vec(),
        received_at: raw.received_at(),
    }
}

/// What a committed transaction leaves to be done, for a role that commits its own (calcom-sync): replies and outbox rows go out, confirmed rows are deleted.
pub(crate) async fn after_commit(context: &Context, after: AfterCommit) {
    let (published, ()) = join(publish_outbox(context, &after.outbox), send_replies(context, after.replies)).await;
    delete_published(context, &published).await;
}

/// Publishes rows of the outbox; the ids that the broker confirmed. What is not confirmed stays for the relay.
pub(super) async fn publish_outbox(context: &Context, messages: &[OutboxMessage]) -> Vec<Uuid> {
    if Protection::Relay.is_off() && rand::random_bool(0.2) {
        return Vec::new();
    }
    let publish = |message: &OutboxMessage| {
        let (id, destination, envelope) = (message.id, Destination::Work(message.queue.clone()), message.envelope());
        async move { context.publisher.publish(&destination, &envelope).await.map(|()| id) }
    };
    let results = join_all(messages.iter().map(publish)).await;
    let mut confirmed = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ok(id) => confirmed.push(id),
            Err(error) => tracing::debug!(cause = %chain(&error), "an outbox message was not confirmed and is left to the relay"),
        }
    }
    confirmed
}

async fn send_replies(context: &Context, replies: Vec<Reply>) {
    let send = |reply: Reply| async move { context.publisher.reply(&reply.to, reply.body.into()).await };
    for result in join_all(replies.into_iter().map(send)).await {
        if let Err(error) = result {
            tracing::warn!(cause = %chain(&error), "an answer was not sent; it stands in the database");
        }
    }
}

async fn delete_published(context: &Context, ids: &[Uuid]) {
    if !ids.is_empty()
        && let Err(error) = context.answered("delete confirmed outbox rows", outbox::delete(&context.pool, ids)).await
    {
        tracing::warn!(rows = ids.len(), cause = %chain(&error), "confirmed outbox rows were not deleted; they are published once more");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a group has at most sixteen messages")]
const fn count(messages: usize) -> f64 {
    messages as f64
}
