//! Our own changes among the facts: which intent is behind one, whose change it was, and what follows when a wish is fulfilled.
//!
//! Recognised by identity of what was asked (token, uid and start), never by time or by the row's origin (architecture section 8). Called by the fold of facts, and
//! by calcom-sync for wishes that fail.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::domain::booking_chain::{Fact, Happening};
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::envelope::{Kind, MessageId};
use shared::store::appointments::Appointment;
use shared::store::intents::{self, Intent, IntentState, Op};
use shared::store::outbox::OutboxMessage;
use shared::store::tx::CompanyTx;
use shared::store::{callbacks, function_calls};
use uuid::Uuid;

use super::{Heard, review};
use crate::answers;
use crate::change_answers::{self, Charge};
use crate::runtime::handler::Failure;

/// Our intent behind a fact: by identity of what was asked, never by time. A settled one still explains its late echo.
pub(super) fn matching_intent<'a>(intents: &'a [Intent], heard: &Heard) -> Option<&'a Intent> {
    let fact = &heard.fact;
    if let Some(id) = heard.intent_id {
        return intents.iter().find(|intent| intent.id == id);
    }
    // what was never sent, or was refused, is not behind anything that happened in Cal.com
    intents.iter().filter(|intent| intent.may_have_happened()).find(|intent| match (intent.op, fact.happening) {
        (Op::Create, happening) if happening.opens() => heard.token == Some(intent.token) && is_what_was_asked(intent, fact),
        (Op::Reschedule, happening) if happening.opens() => {
            intent.uid.is_some()
                && (intent.uid.as_deref() == fact.predecessor.as_ref().map(|predecessor| predecessor.uid.as_str()))
                && intent.starts_at == Some(fact.starts_at)
        }
        (Op::Cancel, Happening::Cancelled) => intent.uid.as_deref() == Some(fact.uid.as_str()),
        _ => false,
    })
}

/// A new booking at the wished time, of the wished event type.
pub(super) fn is_what_was_asked(intent: &Intent, fact: &Fact) -> bool {
    fact.predecessor.is_none() && intent.starts_at == Some(fact.starts_at) && (fact.event_type_id.is_none() || intent.event_type_id == fact.event_type_id)
}

/// The provenance of a change that we asked for: the wish's, with the wish's time, so that echo and answer write the same.
pub(super) fn provenance_of(intent: &Intent, heard: &Heard) -> Provenance {
    Provenance {
        actor: Actor::parse(&intent.actor).unwrap_or(Actor::Unknown),
        channel: Channel::parse(&intent.channel).unwrap_or(Channel::Unknown),
        call_id: intent.call_id,
        user_id: intent.user_id,
        intent_id: Some(intent.id),
        message_id: heard.external.message_id.clone(),
        occurred_at: intent.created_at,
    }
}

/// What was asked for has happened: settle the intent, give the caller the answer, let the next one go. What happened may have been undone since (the host cancelled
/// before we heard of the booking): then the wish is done and there is nothing of it, which is never called "gebucht".
pub(super) async fn confirm(tx: &mut CompanyTx, intent: &Intent, appointment: &Appointment, fact: &Fact, heard: &Heard) -> Result<(), Failure> {
    let uid = if intent.op == Op::Create { Some(fact.uid.as_str()) } else { None };
    if !intents::settle(tx, intent.id, true, uid, None).await? {
        return Ok(());
    }
    if intent.state == IntentState::Failed {
        review(tx, "confirmed_after_failure", appointment, &fact.uid).await?;
    }
    // found when it was over: what ended it may be told after this. Or somebody moved it on, and that was told before
    let is_at_its_time = intent.starts_at.is_none_or(|starts_at| starts_at == appointment.starts_at);
    let holds = fact.happening != Happening::Existed && matches!(appointment.status.as_str(), "booked" | "pending") && is_at_its_time;
    let answer = match intent.op {
        Op::Look => return Ok(()),
        Op::Create if holds => answers::booked(appointment),
        Op::Reschedule if holds => change_answers::rescheduled(appointment, &Charge::of(&intent.request)),
        Op::Cancel if appointment.status == "cancelled" => change_answers::cancelled(appointment, &Charge::of(&intent.request)),
        Op::Create | Op::Reschedule | Op::Cancel => {
            callbacks::promise(tx, intent.call_id, Some(appointment.id), "wish_undone", callbacks::Priority::High).await?;
            finish_function(tx, intent, false, &answers::could_not(), None).await?;
            return release_next(tx, appointment.id, heard.received_at, intent.traceparent.as_deref()).await;
        }
    };
    finish_function(tx, intent, true, &answer, Some(appointment)).await?;
    release_next(tx, appointment.id, heard.received_at, intent.traceparent.as_deref()).await
}

/// Makes the wish's answer final. A caller who heard only the fallback sentence, and whose wish failed, is called back.
///
/// # Errors
/// Only what the store says.
pub async fn finish_function(tx: &mut CompanyTx, intent: &Intent, success: bool, answer: &Value, appointment: Option<&Appointment>) -> Result<(), Failure> {
    let Some(function_call_id) = intent.function_call_id else { return Ok(()) };
    let finished = function_calls::finish(tx, function_call_id, success, answer, appointment).await?;
    if finished.is_some_and(|finished| finished.told.as_deref() == Some("missed")) {
        crate::calls::told_too_late(tx, intent.call_id, Some(intent.appointment_id), success).await?;
    }
    Ok(())
}

/// Makes the appointment's next waiting intent due and rings calcom-sync.
///
/// # Errors
/// Only what the store says.
pub async fn release_next(tx: &mut CompanyTx, appointment_id: Uuid, now: DateTime<Utc>, traceparent: Option<&str>) -> Result<(), Failure> {
    if let Some(next) = intents::release_next(tx, appointment_id).await? {
        ring(tx, next, now, traceparent);
    }
    Ok(())
}

/// The doorbell of calcom-sync: an intent is due. Losing it costs a poll interval.
pub fn ring(tx: &mut CompanyTx, intent_id: Uuid, now: DateTime<Utc>, traceparent: Option<&str>) {
    let body = json!({ "intent_id": intent_id }).to_string();
    let message_id = MessageId::of_own("intent.due", Uuid::now_v7().as_bytes());
    tx.publish(OutboxMessage::new(message_id, Kind::IntentDue, now, body.into()).traced(traceparent));
}
