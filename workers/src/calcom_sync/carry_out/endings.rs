//! Everything but a fulfilled wish: it waits and is taken up again, its account rests, or it fails and somebody is told.
//!
//! Not what an error means (`verdict`), not what follows for the caller (`failed_wish`). Called by `carry_out` in transaction 2.

use std::time::Duration;

use serde_json::json;
use shared::store::StoreError;
use shared::store::appointments::{self, Appointment};
use shared::store::intents::{self, Intent, Op};
use shared::store::records::{self, ApiCall};
use shared::store::reviews::{self, Finding};
use shared::store::tx::CompanyTx;

use super::{CONTENTION_REPEATS_MAX, Job, commit, millis};
use crate::calcom_sync::failed_wish;
use crate::calcom_sync::plan::{LOOKS_MAX, Step};
use crate::calcom_sync::verdict::{Refusal, Verdict, look_pause, probing_pause, unanswered_pause};
use crate::runtime::handler::Failure;

/// A key that cannot be opened is a matter for a human; until then the account rests, and no wish is lost.
pub(super) const SEALED_PAUSE: Duration = Duration::from_secs(60);
pub(super) const SEALED: &str = "credential_sealed";

/// A conflict over a time; a cancellation takes none.
pub(super) fn was_conflict(job: &Job<'_>) -> bool {
    job.leased.intent.op != Op::Cancel && error_class(&job.leased.intent) == "conflict"
}

/// The class of the failure that made the outcome unknown, kept from look to look.
pub(super) fn error_class(intent: &Intent) -> &'static str {
    match intent.error_class.as_deref() {
        Some("conflict") => "conflict",
        _ => "unknown_outcome",
    }
}

/// Everything but a fulfilled wish.
pub(super) async fn end(job: &Job<'_>, verdict: Verdict, call: Option<&ApiCall>) -> Result<(), Failure> {
    for repeat in 0.. {
        match try_end(job, &verdict, call).await {
            Err(Failure::Contention { .. }) if repeat < CONTENTION_REPEATS_MAX => {}
            other => return other,
        }
    }
    Ok(())
}

async fn try_end(job: &Job<'_>, verdict: &Verdict, call: Option<&ApiCall>) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(job.leased.appointment.company_id), &[]).await?;
    // the order of every transaction: the appointment before its intents (architecture section 6, Locks)
    let current = appointments::locked(&mut tx, intent.appointment_id).await?;
    if let Some(call) = call {
        records::insert_api_call(&mut tx, call).await?;
    }
    match verdict {
        Verdict::Refused { answer, class } => fail(&mut tx, job, *answer, class, current).await?,
        Verdict::Absent { class } if intent.op == Op::Look && intent.looked_count >= LOOKS_MAX => fail(&mut tx, job, Refusal::CouldNot, class, current).await?,
        Verdict::Absent { class } => {
            let pause = look_pause(intent.looked_count + 1, intent.sent_count);
            intents::put_back(&mut tx, intent.id, job.lease.holder, "unknown", millis(job, pause), true, class).await?;
        }
        Verdict::Unknown { class } => {
            let class = if was_conflict(job) { "conflict" } else { *class };
            let own = if matches!(job.step, Step::Send { .. }) { look_pause(0, intent.sent_count) } else { unanswered(job) };
            intents::put_back(&mut tx, intent.id, job.lease.holder, "unknown", pause_ms(job, own), false, class).await?;
        }
        Verdict::Later { pause, class } => {
            if *class == "withheld" {
                job.sync.metrics.withheld();
            }
            intents::put_back_unsent(&mut tx, intent, job.lease.holder, pause_ms(job, *pause), class).await?;
        }
        Verdict::Rest { class } => {
            if matches!(*class, "credential_rejected" | SEALED) {
                rejected(&mut tx, job, class).await?;
            }
            // due at once: the account's rest holds it back, and then it has kept its place
            intents::put_back_unsent(&mut tx, intent, job.lease.holder, 0, class).await?;
        }
    }
    commit(job, tx).await
}

/// A key that is refused stops an account: loudly, for it never mends itself.
async fn rejected(tx: &mut CompanyTx, job: &Job<'_>, class: &str) -> Result<(), StoreError> {
    let credential_id = job.leased.credential.id;
    tracing::error!(credential.id = %credential_id, class, "an account of Cal.com rests: its API key is refused or cannot be opened (frontdesk credential rotate)");
    let finding = Finding {
        subject: "credential",
        reason: "credential_rejected",
        appointment_id: None,
        call_id: None,
        intent_id: None,
        details: json!({ "credential_id": credential_id, "class": class }),
        dedup_key: format!("credential_rejected/{credential_id}"),
    };
    // a new key may be refused, too
    reviews::open_anew(tx, &finding).await.map(drop)
}

/// How long until an intent that got no answer is tried again.
fn unanswered(job: &Job<'_>) -> Duration {
    let intent = &job.leased.intent;
    let age = job.sync.context.clock.now() - intent.sent_at.unwrap_or(intent.created_at);
    unanswered_pause(age.to_std().unwrap_or_default())
}

/// The intent's own pause, or while the brake holds the one that lets others probe.
fn pause_ms(job: &Job<'_>, own: Duration) -> i64 {
    job.spending.probe().map_or_else(|| millis(job, own), |probe| i64::try_from(probing_pause(probe).as_millis()).unwrap_or(i64::MAX))
}

/// Cal.com will not do it, and the wish ends. Only for whoever still holds the lease: anybody else's news is older than what its holder is finding out.
async fn fail(tx: &mut CompanyTx, job: &Job<'_>, refusal: Refusal, class: &str, current: Option<Appointment>) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    if !intents::fail_leased(tx, intent.id, job.lease.holder, class).await? {
        return Ok(());
    }
    failed_wish::end(tx, intent, refusal, class, current, job.sync.context.clock.now()).await
}
