//! Role `reschedule`: a caller's wish to move becomes a promise of the new time and an intent; a move made in Cal.com, and the echo of our own, are folded in.
//!
//! Nothing is moved before the caller has said yes to the old and the new time (`bestaetigung`, incidents 73 and 80): until then the new time is looked up, held and read back.
//! A failed move never creates a booking, and a confirmed time is never moved by a worker (incidents 5, 12).

mod new_time;

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::domain::policies::Change as Wanted;
use shared::domain::provenance::{Actor, Channel};
use shared::envelope::{Envelope, Role};
use shared::store::appointments::Appointment;
use shared::store::intents::{self, NewIntent, Op};
use shared::store::tx::CompanyTx;
use shared::store::{callbacks, policies, slot_claims};
use shared::wire::arguments::Confirmation;
use uuid::Uuid;

use crate::answers;
use crate::appointment_changes::Change;
use crate::booking_facts;
use crate::change_answers::{self, Charge};
use crate::change_rules;
use crate::meant::{self, Meant};
use crate::offering::choose::Calendar;
use crate::phone_functions::{self, Begun, FunctionWork};
use crate::runtime::{Context, Failure};
use crate::wished_time::{self, Which, Wished};
pub use new_time::Seen;
use new_time::{NewTimes, Target};

/// The role.
#[derive(Clone)]
pub struct Reschedule {
    context: Context,
    new_times: NewTimes,
}

impl Change for Reschedule {
    const ROLE: Role = Role::Reschedule;
    type Seen = Seen;

    async fn see(&self, envelope: &Envelope, work: &FunctionWork) -> Result<Seen, Failure> {
        self.new_times.see(envelope, work).await
    }

    async fn wish(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, seen: &Seen, begun: &Begun) -> Result<Option<Value>, Failure> {
        self.reschedule(tx, envelope, work, seen, begun).await
    }
}

/// A move that the rules allow.
struct Move<'a> {
    appointment: &'a Appointment,
    target: &'a Target,
    starts_at: DateTime<Utc>,
    charge: &'a Charge,
    calendar: Option<&'a Calendar>,
}

impl Reschedule {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { new_times: NewTimes::new(context.clone()), context }
    }

    /// Records the wish; `Some` is the answer if it cannot be one, or not yet.
    async fn reschedule(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, seen: &Seen, begun: &Begun) -> Result<Option<Value>, Failure> {
        if work.caller.is_none() {
            callbacks::promise(tx, Some(begun.call.id), None, "anonymous_change", callbacks::Priority::High).await?;
            return Ok(Some(answers::anonymous_change()));
        }
        let Some(customer_id) = begun.customer_id else { return Ok(Some(change_answers::no_appointment())) };
        let now = self.context.clock.now();
        policies::lock_customer(tx, customer_id).await?;
        let appointment = match meant::lock(tx, work, customer_id, Which::Old, now).await? {
            Meant::One(appointment) => appointment,
            Meant::Answer(answer) => return Ok(Some(answer)),
        };
        let starts_at = match wished_time::wished(&work.arguments, Which::New, now, new_time::zone(work)) {
            Wished::Unsaid => return Ok(Some(change_answers::needs_new_time(&appointment))),
            wished => match wished.moment(Which::New) {
                // to where it is already: no move
                Ok(starts_at) if starts_at == appointment.starts_at => return Ok(Some(change_answers::needs_new_time(&appointment))),
                Ok(starts_at) => starts_at,
                Err(question) => return Ok(Some(question)),
            },
        };
        if phone_functions::too_late(tx, envelope, begun, now, starts_at).await? {
            return Ok(None);
        }
        let charge = match change_rules::charge(tx, begun, &appointment, Wanted::Reschedule, now).await? {
            Ok(charge) => charge,
            Err(denied) => return Ok(Some(denied)),
        };
        let Some(target) = new_time::target(tx, work, &appointment, now).await? else {
            callbacks::promise(tx, Some(begun.call.id), Some(appointment.id), "service_not_bookable", callbacks::Priority::Normal).await?;
            return Ok(Some(answers::not_bookable()));
        };
        if let Some(refusal) = target.out_of_bounds(starts_at, now) {
            return Ok(Some(refusal));
        }
        let calendar = new_time::calendar(tx, begun, &appointment, &target, seen).await?;
        let wanted = Move { appointment: &appointment, target: &target, starts_at, charge: &charge, calendar: calendar.as_ref() };
        if let Some(refusal) = self.not_free(tx, &wanted, now).await? {
            return Ok(Some(refusal));
        }
        match work.arguments.confirmation() {
            Confirmation::Yes => self.record(tx, envelope, work, begun, &wanted, now).await,
            Confirmation::No | Confirmation::Unsaid => self.read_back(tx, seen, &wanted, now).await.map(Some),
        }
    }

    async fn not_free(&self, tx: &mut CompanyTx, wanted: &Move<'_>, now: DateTime<Utc>) -> Result<Option<Value>, Failure> {
        let Some(calendar) = wanted.calendar else { return Ok(None) };
        let zone = wanted.target.place.zone;
        if let Some(own) = calendar.own_at(wanted.starts_at) {
            return Ok(Some(change_answers::own_appointment_then(own, now, zone)));
        }
        if calendar.is_free(wanted.starts_at) {
            return Ok(None);
        }
        let lost = calendar.is_slot(wanted.starts_at);
        new_time::unavailable(tx, wanted.calendar, wanted.starts_at, now, zone, lost).await.map(Some)
    }

    /// The new time is held while the caller thinks; nothing else happens.
    async fn read_back(&self, tx: &mut CompanyTx, seen: &Seen, wanted: &Move<'_>, now: DateTime<Utc>) -> Result<Value, Failure> {
        let Some(calendar) = wanted.calendar else {
            tracing::warn!(company.id = %wanted.appointment.company_id, ?seen, "a new time is not looked up: the caller hears that the calendar is away");
            return Ok(change_answers::calendar_away());
        };
        // its own time may overlap the new one: then there is nothing to hold, and nobody to take it
        let overlaps_itself = wanted.starts_at < wanted.appointment.ends_at && wanted.appointment.starts_at < wanted.starts_at + wanted.target.place.length;
        if !calendar.hold(tx, wanted.starts_at).await? && !overlaps_itself {
            return new_time::unavailable(tx, wanted.calendar, wanted.starts_at, now, wanted.target.place.zone, true).await;
        }
        Ok(change_answers::ready_for_confirmation(wanted.appointment, wanted.starts_at, wanted.charge))
    }

    async fn record(
        &self,
        tx: &mut CompanyTx,
        envelope: &Envelope,
        work: &FunctionWork,
        begun: &Begun,
        wanted: &Move<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Value>, Failure> {
        let (appointment, target, starts_at) = (wanted.appointment, wanted.target, wanted.starts_at);
        let ends_at = starts_at + target.place.length;
        if !slot_claims::promise(tx, &target.place.resource, appointment.id, Some(begun.call.id), starts_at, ends_at).await? {
            return new_time::unavailable(tx, wanted.calendar, starts_at, now, target.place.zone, true).await.map(Some);
        }
        // the alternatives that were offered on the way are free again: the caller has chosen
        slot_claims::release_holds(tx, begun.call.id).await?;
        let reason = work.arguments.reason().map(|reason| reason.expose().clone());
        let intent = NewIntent {
            appointment_id: appointment.id,
            op: Op::Reschedule,
            lane: phone_functions::lane(envelope),
            credential_id: target.credential_id,
            token: Uuid::now_v7(),
            uid: None,
            event_type_id: Some(target.event_type_id),
            starts_at: Some(starts_at),
            ends_at: Some(ends_at),
            actor: Actor::Customer.literal(),
            channel: Channel::RetellPhone.booking_source(),
            call_id: Some(begun.call.id),
            user_id: None,
            reason: reason.as_deref(),
            function_call_id: Some(begun.function_call_id),
            request: &wanted.charge.as_request(),
            traceparent: envelope.traceparent.as_deref(),
        };
        let intent_id = intents::record(tx, &intent).await?;
        phone_functions::wait(tx, envelope, begun).await?;
        booking_facts::ring(tx, intent_id, now, envelope.traceparent.as_deref());
        Ok(None)
    }
}
