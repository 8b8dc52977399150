//! A job whose result could not be recorded gives its lease back, so that it does not keep its place among the few under way. Somebody takes the intent up again, with a search
//! if it was sent; and if that ends in the same way again and again, the wish has failed: a human sees it, and somebody calls back (incident 14).
//!
//! Not for a Postgres that is away or contended: that is nobody's fault, and is never counted. Called by `carry_out`.

use std::time::Duration;

use serde_json::json;
use shared::broker::Scale;
use shared::store::intents::{self, Lease, NOT_RECORDED, Unrecorded};
use shared::store::reviews::{self, Finding};
use shared::store::tx::CompanyTx;
use shared::store::{appointments, callbacks};

use crate::calcom_sync::bounds::LEASE;
use crate::calcom_sync::dispatch::Sync;
use crate::calcom_sync::failed_wish;
use crate::calcom_sync::verdict::Refusal;
use crate::runtime::finish::after_commit;
use crate::runtime::handler::Failure;

/// In a row. With pauses that double, 23 minutes go by: a schema that is being rolled out is there by then.
const UNRECORDED_MAX: i32 = 6;

/// Gives the lease back, or ends the wish.
pub(super) async fn give_back(sync: &Sync, lease: &Lease, failure: &Failure) -> Result<(), Failure> {
    let counted = is_of_this_one(failure);
    if counted {
        sync.metrics.unrecorded();
    }
    let Some(known) = sync.context.answered("give a lease back", let_go(sync, lease, counted)).await? else { return Ok(()) };
    tracing::error!(intent.id = %lease.intent_id, company.id = %lease.company_id, class = failure.class(), "the result of an intent could not be recorded again and again: it ends");
    match sync.context.answered("end an intent", end(sync, lease, known, failure.class())).await {
        // what stands in the way may be the very rows that the end of a wish writes
        Err(failure) if is_of_this_one(&failure) => sync.context.answered("end an intent alone", end_alone(sync, lease, known, failure.class())).await,
        other => other,
    }
}

/// Not Postgres' trouble but this intent's.
const fn is_of_this_one(failure: &Failure) -> bool {
    matches!(failure, Failure::Park { .. } | Failure::Retry { .. } | Failure::Wait { .. })
}

/// `Some`: that was the last time, and the lease is still held, for the end.
async fn let_go(sync: &Sync, lease: &Lease, counted: bool) -> Result<Option<Unrecorded>, Failure> {
    let mut tx = CompanyTx::begin(&sync.context.pool, Some(lease.company_id), &[]).await?;
    let Some(known) = intents::unrecorded(&mut tx, lease.intent_id, lease.holder).await? else { return Ok(None) };
    if counted && known.unrecorded_count + 1 >= UNRECORDED_MAX {
        return Ok(Some(known));
    }
    let pause = Scale::divided_by(sync.context.config.broker.delay_tiers_divisor).apply(pause(known.unrecorded_count));
    intents::let_go(&mut tx, lease.intent_id, lease.holder, i64::try_from(pause.as_millis()).unwrap_or(i64::MAX), counted).await?;
    tx.commit().await?;
    Ok(None)
}

/// Doubled each time.
fn pause(before: i32) -> Duration {
    LEASE * 2_u32.pow(u32::try_from(before).unwrap_or(0).min(UNRECORDED_MAX.unsigned_abs()))
}

/// As every wish ends that failed, and for a human to see.
async fn end(sync: &Sync, lease: &Lease, known: Unrecorded, class: &str) -> Result<(), Failure> {
    let mut tx = CompanyTx::begin(&sync.context.pool, Some(lease.company_id), &[]).await?;
    let current = appointments::locked(&mut tx, known.appointment_id).await?;
    let Some(leased) = intents::leased(&mut tx, lease.intent_id, lease.holder).await? else { return Ok(()) };
    if intents::fail_leased(&mut tx, lease.intent_id, lease.holder, NOT_RECORDED).await? {
        review(&mut tx, lease, known, class).await?;
        failed_wish::end(&mut tx, &leased.intent, Refusal::CouldNot, NOT_RECORDED, current, sync.context.clock.now()).await?;
    }
    after_commit(&sync.context, tx.commit().await?).await;
    Ok(())
}

/// Only that it ends: its appointment and its answer stay as they are, and the review says so.
async fn end_alone(sync: &Sync, lease: &Lease, known: Unrecorded, class: &str) -> Result<(), Failure> {
    let mut tx = CompanyTx::begin(&sync.context.pool, Some(lease.company_id), &[]).await?;
    if intents::fail_leased(&mut tx, lease.intent_id, lease.holder, NOT_RECORDED).await? {
        review(&mut tx, lease, known, class).await?;
        if !known.look {
            callbacks::promise(&mut tx, known.call_id, Some(known.appointment_id), "wish_failed", callbacks::Priority::High).await?;
        }
    }
    after_commit(&sync.context, tx.commit().await?).await;
    Ok(())
}

async fn review(tx: &mut CompanyTx, lease: &Lease, known: Unrecorded, class: &str) -> Result<(), Failure> {
    let finding = Finding {
        subject: "appointment",
        reason: NOT_RECORDED,
        appointment_id: Some(known.appointment_id),
        call_id: known.call_id,
        intent_id: Some(lease.intent_id),
        details: json!({ "class": class }),
        dedup_key: format!("{NOT_RECORDED}/{}", lease.intent_id),
    };
    Ok(reviews::open(tx, &finding).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_out_has_time_before_a_wish_is_given_up() {
        let waited: Duration = (0..UNRECORDED_MAX - 1).map(pause).sum();
        assert_eq!(waited, LEASE * 31);
        assert_eq!(pause(i32::MAX), LEASE * 64, "bounded");
    }
}
