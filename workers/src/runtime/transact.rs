//! One transaction for one message or one group: claim → effects → attempts → commit, repeated where the database asks for it.
//!
//! Any error in a group rolls all of it back and redoes it one by one, so that a bad message costs its neighbours a repeat and nothing else.

use std::time::Duration;

use shared::envelope::Envelope;
use shared::store::tx::{AfterCommit, CompanyTx};
use shared::store::{inbox, records};

use super::checkpoint::Checkpoint;
use super::handler::{Failure, Handler};
use super::lane::{HOLDS_MAX, Held, Item, Worker, company_of, locks_of};
use super::metrics::Outcome;
use super::settle::Ended;

/// In-process repeats of a transaction that met another one (architecture section 6, Locks).
const CONTENTION_REPEATS_MAX: u32 = 3;
/// Before the first repeat; the pause grows with each.
const CONTENTION_PAUSE: Duration = Duration::from_millis(20);

/// What a commit leaves to do.
pub(super) struct Committed {
    pub after: AfterCommit,
    /// Done or duplicate, per item.
    pub outcomes: Vec<Outcome>,
}

/// Why there was no commit.
enum Uncommitted {
    Ended(Ended),
    Expired,
    Stopping,
}

impl<H: Handler> Worker<H> {
    /// Takes items of one company through their transaction and settles each.
    pub(super) async fn transact(&self, items: Vec<Item<H::Work>>) {
        let mut todo = vec![items];
        while let Some(mut group) = todo.pop() {
            match self.commit(&group).await {
                Ok(committed) => self.finish_done(group, committed).await,
                Err(Uncommitted::Stopping) => self.give_back(group.into_iter().map(|item| item.message).collect()).await,
                Err(_) if group.len() > 1 => todo.extend(group.into_iter().rev().map(|item| vec![item])),
                Err(uncommitted) => {
                    let Some(Item { message, prepared }) = group.pop() else { continue };
                    match uncommitted {
                        Uncommitted::Ended(ended) if ended.is_for_a_human() || !self.is_late(&message.envelope) => {
                            self.finish_ended(message, prepared.company_id, ended).await;
                        }
                        _ => {
                            if let Some(message) = self.expire(message, prepared.company_id).await {
                                todo.push(vec![Item { message, prepared }]);
                            }
                        }
                    }
                }
            }
        }
    }

    async fn commit(&self, items: &[Item<H::Work>]) -> Result<Committed, Uncommitted> {
        let (mut contentions, mut holds) = (0, 0);
        loop {
            let limit = items.first().map_or(Duration::ZERO, |item| self.time_limit(&item.message.envelope));
            // boxed, as `prepare` is
            let ended = match self.guarded(limit, Box::pin(self.transaction(items))).await {
                Ok(committed) => return Ok(committed),
                Err(ended) => self.blame(ended).await,
            };
            match ended {
                Ended::Failed(Failure::Contention { .. }) if contentions < CONTENTION_REPEATS_MAX => {
                    contentions += 1;
                    // jitter, or the two meet again
                    tokio::time::sleep((CONTENTION_PAUSE * contentions).mul_f64(rand::random_range(0.1..1.0))).await;
                }
                Ended::Failed(Failure::StoreAway { .. }) if holds < HOLDS_MAX => {
                    holds += 1;
                    match self.hold(self.deadline_of(items)).await {
                        Held::Back => {}
                        Held::Expired => return Err(Uncommitted::Expired),
                        Held::Stopping => return Err(Uncommitted::Stopping),
                    }
                }
                ended => return Err(Uncommitted::Ended(ended)),
            }
        }
    }

    async fn transaction(&self, items: &[Item<H::Work>]) -> Result<Committed, Failure> {
        let company_id = company_of(items);
        let mut tx = CompanyTx::begin(&self.context.pool, company_id, &locks_of(items)).await?;
        let envelopes: Vec<&Envelope> = items.iter().map(|item| &item.message.envelope).collect();
        let claimed = inbox::claim(&mut tx, H::ROLE, company_id, &envelopes).await?;
        let mut outcomes = Vec::with_capacity(items.len());
        let mut group = Vec::with_capacity(items.len());
        for (item, claimed) in items.iter().zip(claimed) {
            let (envelope, work) = (&item.message.envelope, &item.prepared.work);
            if claimed {
                group.push((envelope, work));
                outcomes.push(Outcome::Done);
            } else {
                if envelope.reply_to.is_some() {
                    self.handler.duplicate(&mut tx, envelope, work).await?;
                }
                outcomes.push(Outcome::Duplicate);
            }
        }
        self.handler.handle_group(&mut tx, &group).await?;
        let attempts: Vec<_> = items.iter().zip(&outcomes).map(|(item, outcome)| self.attempt(&item.message, company_id, *outcome, None)).collect();
        records::insert_attempts(&mut tx, &attempts).await?;
        self.reach_all(Checkpoint::BeforeCommit, items).await?;
        let after = tx.commit().await?;
        Ok(Committed { after, outcomes })
    }
}
