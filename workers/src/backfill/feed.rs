//! Feeds the open runs: publishes the next chunks as messages, as many at a time as the pace allows, and ends a run whose chunks are done.
//!
//! Every process with the role has this task; the one that holds the lease acts. A second one that believes to hold it does no harm: chunks are taken with SKIP LOCKED, and
//! one that is done stays done. What a dead worker had is published again after a minute (`chunks::take`).

use std::time::Duration;

use shared::envelope::{Kind, MessageId};
use shared::store::backfill::pressure::Pressure;
use shared::store::backfill::runs::{self, Progress};
use shared::store::backfill::{act, chunks, pressure};
use shared::store::leases::{self, Term};
use shared::store::outbox::OutboxMessage;
use shared::store::tx::CompanyTx;
use tokio::time::Instant;
use uuid::Uuid;

use super::ChunkMessage;
use super::metrics::BackfillMetrics;
use super::pace::{self, Pace};
use crate::runtime::finish::after_commit;
use crate::runtime::{Context, Failure, failure_log};

const LEASE: &str = "backfill";
const LEASE_SECONDS: i32 = 5;
/// Between two turns while a run is open: a chunk takes about as long.
const TURN: Duration = Duration::from_millis(200);
/// Between two looks for a run.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at callers and locks.
const MEASURE: Duration = Duration::from_secs(1);

/// Runs until the process drains.
pub async fn run(context: Context) {
    let metrics = match BackfillMetrics::new(&context.registry) {
        Ok(metrics) => metrics,
        Err(error) => {
            tracing::error!(cause = failure_log::chain(&error), "the backfill's metrics could not be registered");
            return;
        }
    };
    let mut feeder = Feeder { holder: Uuid::now_v7(), term: None, measured: None, metrics };
    while !context.stop.is_cancelled() {
        let busy = match context.answered("feed a backfill", feeder.turn(&context)).await {
            Ok(busy) => busy,
            Err(failure) => {
                tracing::warn!(class = failure.class(), cause = failure_log::chain(&failure), "a backfill could not be fed");
                false
            }
        };
        tokio::select! {
            () = tokio::time::sleep(if busy { TURN } else { LOOK }) => {}
            () = context.stop.cancelled() => {}
        }
    }
    if let Some(term) = feeder.term
        && let Err(error) = context.answered("give a lease back", leases::release(&context.pool, LEASE, term)).await
    {
        tracing::warn!(class = error.class(), "the backfill's lease could not be given back: it runs out");
    }
}

struct Feeder {
    holder: Uuid,
    term: Option<Term>,
    measured: Option<(Instant, Pressure)>,
    metrics: BackfillMetrics,
}

impl Feeder {
    /// One look at all open runs; whether there is one to feed.
    async fn turn(&mut self, context: &Context) -> Result<bool, Failure> {
        if !self.leads(context).await? {
            self.metrics.show(&[], None);
            return Ok(false);
        }
        let parts = runs::progress(&context.pool, None).await?;
        let open: Vec<&Progress> = parts.iter().filter(|part| part.state != "paused").collect();
        if open.is_empty() {
            self.metrics.show(&parts, None);
            return Ok(false);
        }
        let pace = pace::of(&self.pressure(context).await?);
        self.metrics.show(&parts, Some(&pace));
        let in_flight: i64 = open.iter().map(|part| part.chunks_in_flight).sum();
        let mut free = (pace.chunks_in_flight_max - in_flight).max(0);
        // a fair share each, the first of them what is left over
        let share = (free / i64::try_from(open.len()).unwrap_or(1)).max(1);
        for part in open {
            let wanted = share.min(free);
            free -= feed(context, part, &pace, wanted).await?;
        }
        Ok(true)
    }

    async fn leads(&mut self, context: &Context) -> Result<bool, Failure> {
        self.term = match self.term {
            Some(term) if leases::renew(&context.pool, LEASE, term, LEASE_SECONDS).await? => Some(term),
            _ => leases::acquire(&context.pool, LEASE, self.holder, LEASE_SECONDS).await?,
        };
        Ok(self.term.is_some())
    }

    async fn pressure(&mut self, context: &Context) -> Result<Pressure, Failure> {
        if let Some((at, pressure)) = self.measured
            && at.elapsed() < MEASURE
        {
            return Ok(pressure);
        }
        let pressure = pressure::measure(&context.pool).await?;
        self.measured = Some((Instant::now(), pressure));
        Ok(pressure)
    }
}

/// Publishes up to `at_most` chunks of a company's part; how many.
async fn feed(context: &Context, part: &Progress, pace: &Pace, at_most: i64) -> Result<i64, Failure> {
    let paced = part.pace != pace.name || part.pace_reason != pace.reason;
    let ended = part.chunks_done == part.chunks;
    if at_most == 0 && !paced && !ended {
        return Ok(0);
    }
    let mut tx = CompanyTx::begin(&context.pool, Some(part.company_id), &[]).await?;
    act(&mut tx).await?;
    runs::note_pace(&mut tx, part.run_id, pace.name, &pace.reason).await?;
    if ended && runs::end_if_done(&mut tx, part.run_id).await? {
        tracing::info!(company.id = %part.company_id, run = %part.run_id, rows = part.rows_all, "a company's part of a backfill has ended");
    }
    let due = if at_most > 0 { chunks::take(&mut tx, part.run_id, at_most).await? } else { Vec::new() };
    let now = context.clock.now();
    for name in &due {
        // plain values: always serializable
        let body = serde_json::to_vec(&ChunkMessage::of(part.company_id, *name)).unwrap_or_default();
        tx.publish(OutboxMessage::new(MessageId::of_own("backfill.chunk", &body), Kind::BackfillChunk, now, body.into()));
    }
    let after = tx.commit().await?;
    after_commit(context, after).await;
    Ok(i64::try_from(due.len()).unwrap_or(0))
}
