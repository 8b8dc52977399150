//! A wish that failed: its claims are freed, the caller hears it or is called back, a human sees what is strange, and what waited behind it goes on or ends too.
//!
//! Not whether it fails (`plan`, `verdict`), not its state (`store::intents`). Called by calcom-sync, and by the scheduler for wishes that nobody can carry out any more;
//! each has settled the intent in the same transaction.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::envelope::Lane;
use shared::store::appointments::{self, Appointment};
use shared::store::intents::{self, Intent, Op};
use shared::store::reviews::{self, Finding};
use shared::store::tx::CompanyTx;
use shared::store::{StoreError, callbacks, slot_claims};

use super::verdict::Refusal;
use crate::answers;
use crate::booking_facts;
use crate::offering;
use crate::runtime::handler::Failure;

/// Cal.com answered again and again with a booking that is not ours, and nobody has the time.
pub(super) const UNEXPLAINED: &str = "unexplained_answer";
/// Cal.com added a seat to a booking that another appointment of ours stands for.
pub(super) const SEAT_ADDED: &str = "seat_added";
/// The time is over, and nobody can say any more whether it was done.
pub(crate) const IN_THE_PAST: &str = "in_the_past";

/// See the head. `current`: the appointment, locked.
pub(super) async fn end(
    tx: &mut CompanyTx,
    intent: &Intent,
    refusal: Refusal,
    class: &str,
    current: Option<Appointment>,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    if intent.op == Op::Look {
        return Ok(());
    }
    let mut answer = match refusal {
        Refusal::SlotTaken => answers::slot_taken(),
        Refusal::OutOfBounds => answers::out_of_bounds(),
        Refusal::CouldNot => answers::could_not(),
    };
    let nobody_listens = intent.function_call_id.is_none() || intent.lane == Lane::Bulk.name();
    let conflicts = matches!(class, UNEXPLAINED | SEAT_ADDED) || (refusal == Refusal::SlotTaken && (nobody_listens || class == "conflict"));
    if refusal == Refusal::CouldNot || nobody_listens || conflicts {
        callbacks::promise(tx, intent.call_id, Some(intent.appointment_id), "wish_failed", callbacks::Priority::High).await?;
    }
    if conflicts {
        conflict(tx, intent, class).await?;
    }
    match (intent.op, current) {
        (Op::Create, Some(current)) if current.status == "requested" => {
            end_appointment(tx, &current).await?;
            if refusal == Refusal::SlotTaken
                && !nobody_listens
                && let Some(lost) = offering::refused_by_calcom(tx, &current, intent.call_id, now).await?
            {
                answer = lost;
            }
        }
        (Op::Reschedule, Some(current)) if intent.starts_at.is_some_and(|starts_at| starts_at != current.starts_at) => {
            slot_claims::free(tx, intent.appointment_id, intent.starts_at.unwrap_or(current.starts_at)).await?;
        }
        _ => {}
    }
    booking_facts::finish_function(tx, intent, false, &answer, None).await?;
    booking_facts::release_next(tx, intent.appointment_id, now, intent.traceparent.as_deref()).await
}

/// The same for a wish whose time is over.
///
/// # Errors
/// Only what the store says.
pub(crate) async fn end_in_the_past(tx: &mut CompanyTx, intent: &Intent, current: Option<Appointment>, now: DateTime<Utc>) -> Result<(), Failure> {
    end(tx, intent, Refusal::CouldNot, IN_THE_PAST, current, now).await
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
async fn end_appointment(tx: &mut CompanyTx, current: &Appointment) -> Result<(), Failure> {
    appointments::fail(tx, current).await?;
    for waiting in intents::waiting_of(tx, current.id).await? {
        if intents::settle(tx, waiting.id, false, None, Some("never_booked")).await? {
            // what that sentence promises
            callbacks::promise(tx, waiting.call_id, Some(current.id), "wish_failed", callbacks::Priority::High).await?;
            booking_facts::finish_function(tx, &waiting, false, &answers::could_not(), None).await?;
        }
    }
    tracing::info!(appointment.number = current.number, company.id = %current.company_id, "a wish to book ended without a booking");
    Ok(())
}
