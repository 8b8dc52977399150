//! Everything but a fulfilled wish: it waits and is taken up again, its account rests, or it fails and somebody is told.
//!
//! Not what an error means (`verdict`). Called by `carry_out` in transaction 2.

use std::time::Duration;

use serde_json::json;
use shared::envelope::Lane;
use shared::store::appointments::{self, Appointment};
use shared::store::intents::{self, Intent, Op};
use shared::store::records::{self, ApiCall};
use shared::store::reviews::{self, Finding};
use shared::store::tx::CompanyTx;
use shared::store::{StoreError, callbacks, slot_claims};

use super::{CONTENTION_REPEATS_MAX, Job, commit, millis};
use crate::answers;
use crate::booking_facts;
use crate::calcom_sync::plan::{LOOKS_MAX, Step};
use crate::calcom_sync::verdict::{Refusal, Verdict, look_pause, probing_pause, unanswered_pause};
use crate::runtime::handler::Failure;

/// A key that cannot be opened is a matter for a human; until then the account rests, and no wish is lost.
pub(super) const SEALED_PAUSE: Duration = Duration::from_secs(60);
pub(super) const SEALED: &str = "credential_sealed";
/// Cal.com answered again and again with a booking that is not ours, and nobody has the time.
pub(super) const UNEXPLAINED: &str = "unexplained_answer";

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
            intents::put_back(&mut tx, intent.id, job.sync.holder, "unknown", millis(job, pause), true, class).await?;
        }
        Verdict::Unknown { class } => {
            let class = if was_conflict(job) { "conflict" } else { *class };
            let own = if matches!(job.step, Step::Send { .. }) { look_pause(0, intent.sent_count) } else { unanswered(job) };
            intents::put_back(&mut tx, intent.id, job.sync.holder, "unknown", pause_ms(job, own), false, class).await?;
        }
        Verdict::Later { pause, class } => {
            if *class == "withheld" {
                job.sync.metrics.withheld();
            }
            intents::put_back_unsent(&mut tx, intent, job.sync.holder, pause_ms(job, *pause), class).await?;
        }
        Verdict::Rest { class } => {
            if matches!(*class, "credential_rejected" | SEALED) {
                rejected(&mut tx, job, class).await?;
            }
            // due at once: the account's rest holds it back, and then it has kept its place
            intents::put_back_unsent(&mut tx, intent, job.sync.holder, 0, class).await?;
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
    reviews::open(tx, &finding).await
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

/// Cal.com will not do it: the wish ends, its claims are freed, the caller hears it, and what waited behind it goes on or ends too. Only for whoever still holds the
/// lease: anybody else's news is older than what its holder is finding out.
async fn fail(tx: &mut CompanyTx, job: &Job<'_>, refusal: Refusal, class: &str, current: Option<Appointment>) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    if !intents::fail_leased(tx, intent.id, job.sync.holder, class).await? || intent.op == Op::Look {
        return Ok(());
    }
    let answer = match refusal {
        Refusal::SlotTaken => answers::slot_taken(),
        Refusal::OutOfBounds => answers::out_of_bounds(),
        Refusal::CouldNot => answers::could_not(),
    };
    let nobody_listens = intent.function_call_id.is_none() || intent.lane == Lane::Bulk.name();
    let conflicts = class == UNEXPLAINED || (refusal == Refusal::SlotTaken && (nobody_listens || class == "conflict"));
    if refusal == Refusal::CouldNot || nobody_listens || conflicts {
        callbacks::promise(tx, intent.call_id, Some(intent.appointment_id), "wish_failed", callbacks::Priority::High).await?;
    }
    if conflicts {
        conflict(tx, intent, class).await?;
    }
    match (intent.op, current) {
        (Op::Create, Some(current)) if current.status == "requested" => end_appointment(tx, job, &current).await?,
        (Op::Reschedule, Some(current)) if intent.starts_at.is_some_and(|starts_at| starts_at != current.starts_at) => {
            slot_claims::free(tx, intent.appointment_id, intent.starts_at.unwrap_or(current.starts_at)).await?;
        }
        _ => {}
    }
    booking_facts::finish_function(tx, intent, false, &answer, None).await?;
    booking_facts::release_next(tx, intent.appointment_id, job.sync.context.clock.now(), intent.traceparent.as_deref()).await
}

/// A time that we promised is somebody else's in Cal.com, or Cal.com's answers make no sense. A human sees it; no other time is taken for it (incident 12).
async fn conflict(tx: &mut CompanyTx, intent: &Intent, class: &str) -> Result<(), StoreError> {
    let finding = Finding {
        subject: "appointment",
        reason: "slot_conflict",
        appointment_id: Some(intent.appointment_id),
        call_id: intent.call_id,
        intent_id: Some(intent.id),
        details: json!({ "operation": intent.op.literal(), "class": class }),
        dedup_key: format!("slot_conflict/{}", intent.id),
    };
    reviews::open(tx, &finding).await
}

/// A booking that never came to be takes the wishes that waited behind it along.
async fn end_appointment(tx: &mut CompanyTx, job: &Job<'_>, current: &Appointment) -> Result<(), Failure> {
    appointments::fail(tx, current).await?;
    for waiting in intents::waiting_of(tx, current.id).await? {
        if intents::settle(tx, waiting.id, false, None, Some("never_booked")).await? {
            // what that sentence promises
            callbacks::promise(tx, waiting.call_id, Some(current.id), "wish_failed", callbacks::Priority::High).await?;
            booking_facts::finish_function(tx, &waiting, false, &answers::could_not(), None).await?;
        }
    }
    tracing::info!(appointment.number = current.number, company.id = %job.leased.appointment.company_id, "a wish to book ended without a booking");
    Ok(())
}
