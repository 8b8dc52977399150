//! Job `stuck_intents`: wishes that nothing brings on are brought on, and counted (incident 13); past ones that nobody can carry out any more end (incident 14). What
//! calcom-sync will do by itself is only shown.

use serde_json::json;
use shared::store::intents::{self, NOT_RECORDED, Op};
use shared::store::reviews::{self, Finding};
use shared::store::stuck_intents::{self, Stuck, Why};
use shared::store::{appointments, callbacks};

use super::Running;
use crate::booking_facts;
use crate::calcom_sync::failed_wish::{self, IN_THE_PAST};
use crate::runtime::finish::after_commit;
use crate::runtime::{Failure, failure_log};

/// Longer than any wish waits in order: a caller's is done in seconds, and a look for an unknown outcome comes again within ten minutes.
const OVERDUE_SECONDS: i32 = 900;
/// Of one run; the next comes in two minutes.
const AT_MOST: i32 = 500;

pub(super) async fn mend(running: Running) -> Result<String, Failure> {
    let context = &running.context;
    let found = stuck_intents::list(&context.pool, OVERDUE_SECONDS, AT_MOST).await?;
    let overdue = found.iter().filter(|stuck| stuck.why == Why::Overdue).count();
    context.metrics.reconcile.overdue_intents.set(i64::try_from(overdue).unwrap_or(i64::MAX));
    let (mut mended, mut ended, mut trouble) = (0_u64, 0_u64, None);
    for stuck in found.iter().filter(|stuck| stuck.why != Why::Overdue) {
        let hopeless = stuck.why == Why::Hopeless;
        match if hopeless { end_or_end_alone(&running, stuck).await } else { mend_one(&running, stuck).await } {
            Ok(false) => {}
            Ok(true) if hopeless => {
                tracing::warn!(intent.id = %stuck.intent_id, company.id = %stuck.company_id, "a wish for a past time ended: its account has no key in use");
                ended += 1;
            }
            Ok(true) => {
                tracing::warn!(intent.id = %stuck.intent_id, company.id = %stuck.company_id, why = ?stuck.why, "a wish that nothing brought on goes on");
                context.metrics.reconcile.repaired("stuck_intent", 1);
                mended += 1;
            }
            // away for all of them
            Err(failure @ Failure::StoreAway { .. }) => return Err(failure),
            // the oldest come first: one that cannot be mended would stand before all others in every run
            Err(failure) => {
                tracing::error!(intent.id = %stuck.intent_id, company.id = %stuck.company_id, class = failure.class(), cause = failure_log::chain(&failure), "a stuck wish could not be mended");
                trouble = trouble.or(Some(failure));
            }
        }
    }
    if let Some(failure) = trouble {
        return Err(failure);
    }
    let ended = if ended == 0 { String::new() } else { format!(", {ended} ended in the past") };
    Ok(format!("{mended} mended, {overdue} overdue{ended}"))
}

/// What stands in the way of an end may be the very rows that it writes (the appointment, the answer): then only the wish ends.
async fn end_or_end_alone(running: &Running, stuck: &Stuck) -> Result<bool, Failure> {
    match end_one(running, stuck).await {
        Err(failure @ (Failure::Park { .. } | Failure::Retry { .. } | Failure::Wait { .. })) => end_alone(running, stuck, failure.class()).await,
        other => other,
    }
}

/// Nobody can carry it out, nor look for it: somebody calls back.
async fn end_one(running: &Running, stuck: &Stuck) -> Result<bool, Failure> {
    let mut tx = running.begin(Some(stuck.company_id)).await?;
    // the order of every transaction: the appointment before its intents
    let current = appointments::locked(&mut tx, stuck.appointment_id).await?;
    let Some(intent) = stuck_intents::end(&mut tx, stuck.intent_id, IN_THE_PAST).await? else { return Ok(false) };
    failed_wish::end_in_the_past(&mut tx, &intent, current, running.context.clock.now()).await?;
    after_commit(&running.context, tx.commit().await?).await;
    Ok(true)
}

/// Its appointment and its answer stay as they are, and a review says so; somebody calls back.
async fn end_alone(running: &Running, stuck: &Stuck, class: &str) -> Result<bool, Failure> {
    let mut tx = running.begin(Some(stuck.company_id)).await?;
    let Some(intent) = stuck_intents::end(&mut tx, stuck.intent_id, IN_THE_PAST).await? else { return Ok(false) };
    if intent.op != Op::Look {
        callbacks::promise(&mut tx, intent.call_id, Some(intent.appointment_id), "wish_failed", callbacks::Priority::High).await?;
    }
    let finding = Finding {
        subject: "appointment",
        reason: NOT_RECORDED,
        appointment_id: Some(intent.appointment_id),
        call_id: intent.call_id,
        intent_id: Some(intent.id),
        details: json!({ "class": class }),
        dedup_key: format!("{NOT_RECORDED}/{}", intent.id),
    };
    reviews::open(&mut tx, &finding).await?;
    after_commit(&running.context, tx.commit().await?).await;
    Ok(true)
}

async fn mend_one(running: &Running, stuck: &Stuck) -> Result<bool, Failure> {
    let now = running.context.clock.now();
    let mut tx = running.begin(Some(stuck.company_id)).await?;
    let mended = if stuck.why == Why::Waits {
        // the order of every transaction: the appointment before its intents
        appointments::locked(&mut tx, stuck.appointment_id).await?;
        let next = intents::release_next(&mut tx, stuck.appointment_id).await?;
        next.inspect(|next| booking_facts::ring(&mut tx, *next, now, None)).is_some()
    } else {
        let mended = stuck_intents::mend(&mut tx, stuck.intent_id).await?;
        if mended {
            booking_facts::ring(&mut tx, stuck.intent_id, now, None);
        }
        mended
    };
    let after = tx.commit().await?;
    after_commit(&running.context, after).await;
    Ok(mended)
}
