//! Role `reschedule`: a caller's wish to move becomes a promise of the new time and an intent; a move made in Cal.com, and the echo of our own, are folded in.
//!
//! A failed move never creates a booking, and a confirmed time is never moved by a worker (incidents 5, 12).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::local_time;
use shared::domain::provenance::{Actor, Channel};
use shared::envelope::{Envelope, Role};
use shared::store::appointments::Appointment;
use shared::store::intents::{self, NewIntent, Op};
use shared::store::slot_claims::{self, Resource};
use shared::store::tx::CompanyTx;
use shared::store::{callbacks, services};
use shared::wire::arguments::ArgumentError;
use uuid::Uuid;

use crate::answers;
use crate::appointment_changes::Change;
use crate::booking_facts;
use crate::phone_functions::{self, Begun, FunctionWork, Meant};
use crate::runtime::Failure;

/// The role.
#[derive(Clone, Debug)]
pub struct Reschedule {
    clock: Clock,
}

impl Change for Reschedule {
    const ROLE: Role = Role::Reschedule;

    async fn wish(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, begun: &Begun) -> Result<Option<Value>, Failure> {
        self.reschedule(tx, envelope, work, begun).await
    }
}

impl Reschedule {
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock }
    }

    /// Records the wish; `Some` is the answer if it cannot be one.
    async fn reschedule(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, begun: &Begun) -> Result<Option<Value>, Failure> {
        if work.caller.is_none() {
            callbacks::promise(tx, Some(begun.call.id), None, "anonymous_change", callbacks::Priority::High).await?;
            return Ok(Some(answers::anonymous_change()));
        }
        let Some(customer_id) = begun.customer_id else { return Ok(Some(answers::no_appointment())) };
        let starts_at = match self.new_start(work) {
            Ok(starts_at) => starts_at,
            Err(refusal) => return Ok(Some(refusal)),
        };
        if phone_functions::too_late(tx, envelope, begun, self.clock.now(), starts_at).await? {
            return Ok(None);
        }
        let (old_date, old_time) = match (work.arguments.old_date(), work.arguments.old_time()) {
            (Ok(date), Ok(time)) => (date, time),
            (Err(error), _) | (_, Err(error)) => return Ok(Some(answers::argument(&error))),
        };
        let appointment = match phone_functions::meant_appointment(tx, work, customer_id, self.clock.now(), old_date, old_time).await? {
            Meant::One(appointment) => appointment,
            Meant::Answer(answer) => return Ok(Some(answer)),
        };
        self.record(tx, envelope, begun, &appointment, starts_at, work.arguments.reason().map(|reason| reason.expose().clone()).as_deref()).await
    }

    fn new_start(&self, work: &FunctionWork) -> Result<DateTime<Utc>, Value> {
        let asked = work.arguments.new_start().and_then(|start| start.ok_or(ArgumentError::Missing { argument: "new_date" }));
        let moment = asked.map_err(|error| answers::argument(&error))?;
        let zone = local_time::zone(&work.owner.time_zone).unwrap_or(chrono_tz::Tz::Europe__Berlin);
        let starts_at = moment.in_zone(&zone).ok_or_else(answers::no_such_time)?;
        if starts_at <= self.clock.now() { Err(answers::in_the_past()) } else { Ok(starts_at) }
    }

    async fn record(
        &self,
        tx: &mut CompanyTx,
        envelope: &Envelope,
        begun: &Begun,
        appointment: &Appointment,
        starts_at: DateTime<Utc>,
        reason: Option<&str>,
    ) -> Result<Option<Value>, Failure> {
        let ends_at = starts_at + (appointment.ends_at - appointment.starts_at);
        let service = match appointment.service_id {
            Some(service_id) => services::by_id(tx, service_id).await?,
            None => None,
        };
        let Some((credential_id, event_type_id)) = service.as_ref().and_then(|service| service.credential_id.zip(service.calcom_event_type_id)) else {
            callbacks::promise(tx, Some(begun.call.id), Some(appointment.id), "service_not_bookable", callbacks::Priority::Normal).await?;
            return Ok(Some(answers::not_bookable()));
        };
        // the host stays with a single appointment; a course has its places wherever it is
        let resource = match (appointment.staff_id, &service) {
            (Some(staff_id), Some(service)) if service.seats_per_slot == 1 => Resource::Staff(staff_id),
            (_, Some(service)) => service.resource(event_type_id),
            (_, None) => Resource::EventType { id: event_type_id, seats: 1 },
        };
        if !slot_claims::promise(tx, &resource, appointment.id, Some(begun.call.id), starts_at, ends_at).await? {
            return Ok(Some(answers::slot_taken()));
        }
        let intent = NewIntent {
            appointment_id: appointment.id,
            op: Op::Reschedule,
            lane: phone_functions::lane(envelope),
            credential_id,
            token: Uuid::now_v7(),
            uid: None,
            event_type_id: Some(event_type_id),
            starts_at: Some(starts_at),
            ends_at: Some(ends_at),
            actor: Actor::Customer.literal(),
            channel: Channel::RetellPhone.booking_source(),
            call_id: Some(begun.call.id),
            user_id: None,
            reason,
            function_call_id: Some(begun.function_call_id),
            request: &json!({}),
            traceparent: envelope.traceparent.as_deref(),
        };
        let intent_id = intents::record(tx, &intent).await?;
        phone_functions::wait(tx, envelope, begun).await?;
        booking_facts::ring(tx, intent_id, self.clock.now(), envelope.traceparent.as_deref());
        Ok(None)
    }
}
