//! Role `cancellation`: a caller's wish to cancel becomes an intent; a cancellation or rejection made in Cal.com, and the echo of our own, are folded in.

use serde_json::Value;
use shared::clock::Clock;
use shared::domain::policies::Change as Wanted;
use shared::domain::provenance::{Actor, Channel, cancellation_reason};
use shared::envelope::{Envelope, Role};
use shared::store::intents::{self, NewIntent, Op};
use shared::store::tx::CompanyTx;
use shared::store::{callbacks, policies, services};
use uuid::Uuid;

use crate::answers;
use crate::appointment_changes::Change;
use crate::booking_facts;
use crate::change_answers;
use crate::change_rules;
use crate::meant::{self, Meant};
use crate::phone_functions::{self, Begun, FunctionWork};
use crate::runtime::Failure;
use crate::wished_time::Which;

/// The role.
#[derive(Clone, Debug)]
pub struct Cancellation {
    clock: Clock,
}

impl Change for Cancellation {
    const ROLE: Role = Role::Cancellation;
    type Seen = ();

    async fn see(&self, _envelope: &Envelope, _work: &FunctionWork) -> Result<(), Failure> {
        Ok(())
    }

    async fn wish(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, _seen: &(), begun: &Begun) -> Result<Option<Value>, Failure> {
        self.cancel(tx, envelope, work, begun).await
    }
}

impl Cancellation {
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock }
    }

    /// Records the wish; `Some` is the answer if it cannot be one.
    async fn cancel(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, begun: &Begun) -> Result<Option<Value>, Failure> {
        if work.caller.is_none() {
            callbacks::promise(tx, Some(begun.call.id), None, "anonymous_change", callbacks::Priority::High).await?;
            return Ok(Some(answers::anonymous_change()));
        }
        let Some(customer_id) = begun.customer_id else { return Ok(Some(change_answers::no_appointment())) };
        let now = self.clock.now();
        policies::lock_customer(tx, customer_id).await?;
        let appointment = match meant::lock(tx, work, customer_id, Which::Own, now).await? {
            Meant::One(appointment) => appointment,
            Meant::Answer(answer) => return Ok(Some(answer)),
        };
        if phone_functions::too_late(tx, envelope, begun, now, appointment.starts_at).await? {
            return Ok(None);
        }
        let charge = match change_rules::charge(tx, begun, &appointment, Wanted::Cancellation, now).await? {
            Ok(charge) => charge,
            Err(denied) => return Ok(Some(denied)),
        };
        let credential_id = match appointment.service_id {
            Some(service_id) => services::by_id(tx, service_id).await?.and_then(|service| service.credential_id),
            None => None,
        };
        let Some(credential_id) = credential_id else {
            callbacks::promise(tx, Some(begun.call.id), Some(appointment.id), "service_not_bookable", callbacks::Priority::Normal).await?;
            return Ok(Some(answers::not_bookable()));
        };
        let reason = cancellation_reason(work.arguments.reason().map(|reason| reason.expose().clone()).as_deref());
        let intent = NewIntent {
            appointment_id: appointment.id,
            op: Op::Cancel,
            lane: phone_functions::lane(envelope),
            credential_id,
            token: Uuid::now_v7(),
            uid: None,
            event_type_id: None,
            starts_at: Some(appointment.starts_at),
            ends_at: Some(appointment.ends_at),
            actor: Actor::Customer.literal(),
            channel: Channel::RetellPhone.booking_source(),
            call_id: Some(begun.call.id),
            user_id: None,
            reason: Some(&reason),
            function_call_id: Some(begun.function_call_id),
            request: &charge.as_request(),
            traceparent: envelope.traceparent.as_deref(),
        };
        let intent_id = intents::record(tx, &intent).await?;
        phone_functions::wait(tx, envelope, begun).await?;
        booking_facts::ring(tx, intent_id, now, envelope.traceparent.as_deref());
        Ok(None)
    }
}
