//! Role `calls`: the life of a call, answers that came too late, and every authentic event that nobody else wants.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::clock::Clock;
use shared::domain::booking_chain::{Fact, Happening};
use shared::domain::phone::E164;
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::envelope::{Envelope, Kind, Role};
use shared::store::calls::{self, CallUpdate, FoldedCall, Transfer};
use shared::store::tx::{CompanyTx, uid_lock};
use shared::store::{appointments, callbacks, customers, function_calls, slot_claims};
use shared::wire::calcom::{CalcomEvent, Trigger};
use shared::wire::retell::{RetellCall, RetellEvent};
use sqlx::PgPool;
use uuid::Uuid;

use crate::booking_facts::{self, Booker, Heard};
use crate::calcom_events;
use crate::call_claims;
use crate::call_facts;
use crate::runtime::handler::reason;
use crate::runtime::metrics::Metrics;
use crate::runtime::{Context, Failure, Handler, Prepared};
use crate::tenants::{self, CallEvidence};

/// The role.
#[derive(Clone)]
pub struct Calls {
    pool: PgPool,
    clock: Clock,
    metrics: Metrics,
}

/// What it does with a message.
#[derive(Debug)]
pub enum Work {
    /// A lifecycle event.
    Lifecycle {
        call: Box<CallUpdate>,
        /// How often the agent's model was asked, where Retell says so.
        model_requests: Option<i64>,
    },
    /// Attendance.
    Calcom(Box<Heard>),
    /// An event that names a booking: ask Cal.com what is true of it.
    Look {
        uid: String,
        appointment_id: Uuid,
    },
    AnswerMissed(Missed),
    /// Stored by the runtime, and that is all.
    Stored,
}

/// What ingress says when a caller heard the fallback sentence.
#[derive(Debug, Deserialize)]
pub struct Missed {
    pub message_id: String,
    pub sentence: String,
}

impl Handler for Calls {
    const ROLE: Role = Role::Calls;
    type Work = Work;

    async fn prepare(&self, envelope: &Envelope) -> Result<Prepared<Work>, Failure> {
        match envelope.kind {
            Kind::CalcomBookingNoShowUpdated => Ok(calcom_events::prepare(&self.pool, envelope).await?.map(|work| Work::Calcom(Box::new(work)))),
            Kind::CalcomOther => self.prepare_other(envelope).await,
            Kind::FunctionAnswerMissed => self.prepare_missed(envelope).await,
            Kind::RetellOther => Ok(Prepared { company_id: None, locks: Vec::new(), work: Work::Stored }),
            _ => self.prepare_lifecycle(envelope).await,
        }
    }

    async fn handle(&self, tx: &mut CompanyTx, _envelope: &Envelope, work: &Work) -> Result<(), Failure> {
        match work {
            Work::Stored => Ok(()),
            Work::Calcom(heard) => booking_facts::apply(tx, heard).await.map(|_| ()),
            Work::Look { uid, appointment_id } => self.look(tx, uid, *appointment_id).await,
            Work::AnswerMissed(missed) => self.missed(tx, missed).await,
            Work::Lifecycle { call, model_requests } => {
                let folded = take_in(tx, call).await?;
                call_claims::judge(tx, &folded, call, *model_requests, &self.metrics.agents).await
            }
        }
    }
}

impl Calls {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { pool: context.pool, clock: context.clock, metrics: context.metrics }
    }

    async fn prepare_lifecycle(&self, envelope: &Envelope) -> Result<Prepared<Work>, Failure> {
        let endpoint = tenants::endpoint(envelope)?;
        let body = envelope.body.clone();
        let (mut call, evidence, model_requests) = {
            let event = RetellEvent::parse(&body).map_err(|error| Failure::park(reason::POISON, error.to_string()))?;
            let call = call_facts::lifecycle(envelope.kind, &event).ok_or_else(|| Failure::park(reason::UNREADABLE, "the event's call has no id"))?;
            (call, evidence(&event.call), event.call.model_requests())
        };
        let owner = tenants::of_call(&self.pool, endpoint, &evidence.as_ref()).await?;
        call.branch_id = owner.branch_id;
        call.phone_number_id = Some(owner.phone_number_id);
        let locks = vec![uid_lock(owner.company_id, &call.retell_call_id)];
        Ok(Prepared { company_id: Some(owner.company_id), locks, work: Work::Lifecycle { call: Box::new(call), model_requests } })
    }

    /// A foreign template, a meeting's end, a reassignment …: if it names a booking that we know, Cal.com is asked; otherwise it is stored and counted.
    async fn prepare_other(&self, envelope: &Envelope) -> Result<Prepared<Work>, Failure> {
        let stored = Prepared { company_id: None, locks: Vec::new(), work: Work::Stored };
        let (Some(endpoint), Ok(event)) = (envelope.endpoint, CalcomEvent::parse(&envelope.body)) else { return Ok(stored) };
        let Some(uid) = event.payload.uid.clone() else { return Ok(stored) };
        let Some(owner) = tenants::of_booking(&self.pool, endpoint, &uid).await? else { return Ok(stored) };
        // the end of a meeting is told by our own clock, not by this event (calcom reference 2.9)
        if matches!(event.trigger, Trigger::MeetingStarted | Trigger::MeetingEnded) {
            return Ok(Prepared { company_id: Some(owner.company_id), locks: Vec::new(), work: Work::Stored });
        }
        let locks = vec![uid_lock(owner.company_id, &uid)];
        Ok(Prepared { company_id: Some(owner.company_id), locks, work: Work::Look { uid, appointment_id: owner.appointment_id } })
    }

    async fn prepare_missed(&self, envelope: &Envelope) -> Result<Prepared<Work>, Failure> {
        let missed: Missed = serde_json::from_slice(&envelope.body).map_err(|_| Failure::park(reason::POISON, "the message is not one of ours"))?;
        let company_id = function_calls::company_of_message(&self.pool, &missed.message_id).await?;
        // the wish itself may still be in its queue (or was parked there): it comes back until it is known
        let company_id = company_id.ok_or_else(|| Failure::retry("function_call_not_known_yet"))?;
        Ok(Prepared { company_id: Some(company_id), locks: Vec::new(), work: Work::AnswerMissed(missed) })
    }

    /// Whichever of result and missed answer comes second promises the callback (architecture section 6, Answers).
    async fn missed(&self, tx: &mut CompanyTx, missed: &Missed) -> Result<(), Failure> {
        let Some(wish) = function_calls::missed(tx, &missed.message_id, &missed.sentence).await? else { return Ok(()) };
        if wish.state == "final" {
            told_too_late(tx, Some(wish.call_id), wish.appointment_id, wish.success.unwrap_or(false)).await?;
        }
        Ok(())
    }

    async fn look(&self, tx: &mut CompanyTx, uid: &str, appointment_id: Uuid) -> Result<(), Failure> {
        let Some(appointment) = appointments::locked(tx, appointment_id).await? else { return Ok(()) };
        booking_facts::look(tx, &nothing_heard(uid, &appointment, self.clock.now()), &appointment).await
    }
}

/// A look says nothing itself: it is the question.
fn nothing_heard(uid: &str, appointment: &appointments::Appointment, now: DateTime<Utc>) -> Heard {
    Heard {
        fact: Fact {
            uid: uid.to_owned(),
            happening: Happening::Accepted,
            predecessor: None,
            sequence: 0,
            provider_updated_at: None,
            hash: String::new(),
            starts_at: appointment.starts_at,
            ends_at: appointment.ends_at,
            event_type_id: None,
            booking_id: None,
            host_user_id: None,
            seats_per_slot: None,
            reason: None,
            told_at: now,
        },
        token: None,
        intent_id: None,
        appointment_id: Some(appointment.id),
        external: Provenance {
            actor: Actor::System,
            channel: Channel::Reconciled,
            call_id: None,
            user_id: None,
            intent_id: None,
            message_id: None,
            occurred_at: now,
        },
        booker: Booker::default(),
        place: None,
        one_seat: false,
        series_member: false,
        needs_known_booking: true,
        received_at: now,
        traceparent: None,
    }
}

/// The caller hung on until the fallback sentence: if the wish then failed somebody must call at once, if it worked the confirmation is still owed.
///
/// # Errors
/// Only what the store says.
pub async fn told_too_late(tx: &mut CompanyTx, call_id: Option<Uuid>, appointment_id: Option<Uuid>, success: bool) -> Result<(), Failure> {
    let (reason, priority) = if success { ("confirmation_owed", callbacks::Priority::Normal) } else { ("wish_failed", callbacks::Priority::High) };
    callbacks::promise(tx, call_id, appointment_id, reason, priority).await?;
    Ok(())
}

/// What a call says of its tenant, kept beyond its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Evidence {
    our_number: Option<String>,
    agent_id: Option<String>,
    company_id: Option<Uuid>,
}

impl Evidence {
    #[must_use]
    pub fn as_ref(&self) -> CallEvidence<'_> {
        CallEvidence { our_number: self.our_number.as_deref(), agent_id: self.agent_id.as_deref(), company_id: self.company_id }
    }
}

/// What a call object says of its tenant.
#[must_use]
pub fn evidence(call: &RetellCall<'_>) -> Evidence {
    Evidence {
        our_number: call.our_number().map(|number| number.expose().clone()),
        agent_id: call.agent_id.clone(),
        company_id: call.metadata_text("company_id").and_then(|text| text.parse().ok()),
    }
}

/// Takes in what was told of a call: the one way of lifecycle events and of Retell's answers. Under the lock of the call's id.
///
/// # Errors
/// Only what the store says.
pub async fn take_in(tx: &mut CompanyTx, told: &CallUpdate) -> Result<FoldedCall, Failure> {
    let caller = told.caller.as_deref().and_then(E164::parse);
    let customer_id = customers::by_caller(tx, caller.as_ref(), told.caller_raw.as_deref()).await?;
    let folded = calls::fold(tx, &CallUpdate { customer_id, ..told.clone() }).await?;
    if transfer_failed(told) {
        callbacks::promise_once(tx, folded.call.id, "transfer_failed", callbacks::Priority::High).await?;
    }
    if folded.disconnection_reason.as_deref() == Some("user_requested_callback") {
        callbacks::promise_once(tx, folded.call.id, "customer_request", callbacks::Priority::Normal).await?;
    }
    if folded.call.is_over() {
        // whoever hung up thinks about no offer any more
        slot_claims::release_holds(tx, folded.call.id).await?;
    }
    Ok(folded)
}

/// Retell says so. Of several attempts each that failed counts, and nothing is concluded from a call's end: it may be heard before the transfer's own events, and a promise must not
/// depend on their order.
fn transfer_failed(told: &CallUpdate) -> bool {
    told.transfer == Some(Transfer::Cancelled)
}
