//! Role `booking`: a caller's wish to book becomes an appointment in state `requested`, a promise of the time and an intent; a booking made in Cal.com is
//! taken over, and the echo of our own confirms it.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::local_time;
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::envelope::{Envelope, Role};
use shared::store::appointments::{self, NewAppointment};
use shared::store::customers::{self, CustomerHint};
use shared::store::intents::{self, NewIntent, Op};
use shared::store::services::{self, Service};
use shared::store::slot_claims::{self, Resource};
use shared::store::tx::CompanyTx;
use shared::store::{callbacks, calls};
use shared::wire::arguments::ArgumentError;
use uuid::Uuid;

use crate::answers;
use crate::appointment_changes::Change;
use crate::booking_facts;
use crate::phone_functions::{self, Begun, FunctionWork};
use crate::runtime::Failure;

/// The role.
#[derive(Clone, Debug)]
pub struct Booking {
    clock: Clock,
}

impl Change for Booking {
    const ROLE: Role = Role::Booking;

    async fn wish(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, begun: &Begun) -> Result<Option<Value>, Failure> {
        self.book(tx, envelope, work, begun).await
    }
}

/// What a caller asked for, checked.
struct Wish {
    service: Service,
    event_type_id: i64,
    credential_id: Uuid,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    name: Option<String>,
}

impl Booking {
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock }
    }

    /// Records the wish; `Some` is the answer if it cannot be one.
    async fn book(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, begun: &Begun) -> Result<Option<Value>, Failure> {
        let wish = match self.check(tx, work, begun).await? {
            Ok(wish) => wish,
            Err(refusal) => return Ok(Some(refusal)),
        };
        if phone_functions::too_late(tx, envelope, begun, self.clock.now(), wish.starts_at).await? {
            return Ok(None);
        }
        let email = work.arguments.customer_email().ok().flatten().map(|email| email.expose().clone()).filter(|email| email.contains('@'));
        // who withholds the number is somebody new each time, whatever address a language model filled in (incident 52)
        let known_email = email.as_deref().filter(|_| work.caller.is_some());
        let hint = CustomerHint { phone: work.caller.as_ref(), email: known_email, name: wish.name.as_deref(), source: Channel::RetellPhone.booking_source() };
        let customer_id = match begun.customer_id.or(begun.call.customer_id) {
            Some(customer_id) => customer_id,
            None => customers::resolve(tx, &hint).await?,
        };
        calls::link_customer(tx, begun.call.id, customer_id).await?;
        let appointment_id = Uuid::now_v7();
        let resource = wish.service.resource(wish.event_type_id);
        if !slot_claims::promise(tx, &resource, appointment_id, Some(begun.call.id), wish.starts_at, wish.ends_at).await? {
            return Ok(Some(answers::slot_taken()));
        }
        let provenance = Provenance {
            actor: Actor::Customer,
            channel: Channel::RetellPhone,
            call_id: Some(begun.call.id),
            user_id: None,
            intent_id: None,
            message_id: Some(envelope.message_id.as_str().to_owned()),
            occurred_at: envelope.received_at,
        };
        let new = NewAppointment {
            id: appointment_id,
            branch_id: begun.call.branch_id,
            customer_id,
            service_id: Some(wish.service.id),
            staff_id: if let Resource::Staff(id) = resource { Some(id) } else { None },
            starts_at: wish.starts_at,
            ends_at: wish.ends_at,
            time_zone: work.owner.time_zone.clone(),
            name_given: wish.name.clone(),
            notes: work.arguments.notes().map(|notes| notes.expose().clone()),
        };
        appointments::book(tx, new, &provenance).await?;
        let intent = NewIntent {
            appointment_id,
            op: Op::Create,
            lane: phone_functions::lane(envelope),
            credential_id: wish.credential_id,
            token: Uuid::now_v7(),
            uid: None,
            event_type_id: Some(wish.event_type_id),
            starts_at: Some(wish.starts_at),
            ends_at: Some(wish.ends_at),
            actor: provenance.actor.literal(),
            channel: provenance.channel.booking_source(),
            call_id: provenance.call_id,
            user_id: None,
            reason: None,
            function_call_id: Some(begun.function_call_id),
            request: &json!({ "attendee_email": email }),
            traceparent: envelope.traceparent.as_deref(),
        };
        let intent_id = intents::record(tx, &intent).await?;
        phone_functions::wait(tx, envelope, begun).await?;
        booking_facts::ring(tx, intent_id, self.clock.now(), envelope.traceparent.as_deref());
        Ok(None)
    }

    async fn check(&self, tx: &mut CompanyTx, work: &FunctionWork, begun: &Begun) -> Result<Result<Wish, Value>, Failure> {
        let arguments = &work.arguments;
        let asked = arguments.start().and_then(|start| start.ok_or(ArgumentError::Missing { argument: "date" }));
        let moment = match asked {
            Ok(moment) => moment,
            Err(error) => return Ok(Err(answers::argument(&error))),
        };
        let name = match arguments.customer_name() {
            Ok(name) => name.map(|name| name.expose().trim().to_owned()),
            Err(error) => return Ok(Err(answers::argument(&error))),
        };
        if name.is_none() && begun.customer_id.is_none() {
            return Ok(Err(answers::argument(&ArgumentError::Missing { argument: "customer_name" })));
        }
        let zone = local_time::zone(&work.owner.time_zone).unwrap_or(chrono_tz::Tz::Europe__Berlin);
        let Some(starts_at) = moment.in_zone(&zone) else { return Ok(Err(answers::no_such_time())) };
        let now = self.clock.now();
        if starts_at <= now {
            return Ok(Err(answers::in_the_past()));
        }
        let offered = services::of_branch(tx, begun.call.branch_id).await?;
        let service = match arguments.service() {
            Ok(named) => choose_service(offered, named.as_deref()),
            Err(error) => return Ok(Err(answers::argument(&error))),
        };
        let service = match service {
            Ok(service) => service,
            Err(names) => return Ok(Err(answers::unknown_service(&names))),
        };
        if starts_at < now + Duration::minutes(i64::from(service.minimum_notice_minutes)) {
            return Ok(Err(answers::too_soon(service.minimum_notice_minutes)));
        }
        let (Some(event_type_id), Some(credential_id)) = (service.calcom_event_type_id, service.credential_id) else {
            callbacks::promise(tx, Some(begun.call.id), None, "service_not_bookable", callbacks::Priority::Normal).await?;
            return Ok(Err(answers::not_bookable()));
        };
        let ends_at = starts_at + Duration::minutes(i64::from(service.duration_minutes));
        Ok(Ok(Wish { service, event_type_id, credential_id, starts_at, ends_at, name }))
    }
}

/// The named service by name, synonym or id; without a name the only one there is. Never a silent default (incident 67): otherwise the names.
fn choose_service(mut offered: Vec<Service>, named: Option<&str>) -> Result<Service, Vec<String>> {
    let position = match named {
        Some(named) => {
            let wanted = named.trim().to_lowercase();
            let is_it = |service: &Service| {
                service.name.to_lowercase() == wanted
                    || service.id.to_string() == wanted
                    || service.synonyms.iter().any(|synonym| synonym.to_lowercase() == wanted)
            };
            offered.iter().position(is_it)
        }
        None => (offered.len() == 1).then_some(0),
    };
    match position {
        Some(position) => Ok(offered.swap_remove(position)),
        None => Err(offered.into_iter().map(|service| service.name).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, staff: usize, seats: i32) -> Service {
        Service {
            id: Uuid::now_v7(),
            branch_id: None,
            name: name.to_owned(),
            synonyms: vec!["Schnitt".to_owned()],
            duration_minutes: 30,
            calcom_event_type_id: Some(1320),
            seats_per_slot: seats,
            minimum_notice_minutes: 15,
            is_default: false,
            credential_id: None,
            staff_ids: (0..staff).map(|_| Uuid::now_v7()).collect(),
        }
    }

    /// Incident 67: an explicit wish was replaced by the default service.
    #[test]
    fn a_named_service_wins_and_an_unknown_one_is_never_a_default() {
        let offered = || vec![service("Beratung", 1, 1), service("Herrenhaarschnitt", 1, 1)];
        assert_eq!(choose_service(offered(), Some("herrenhaarschnitt")).unwrap().name, "Herrenhaarschnitt");
        assert_eq!(choose_service(offered(), Some("Dauerwelle")).unwrap_err(), ["Beratung", "Herrenhaarschnitt"]);
        assert!(choose_service(offered(), None).is_err(), "two to choose from: ask");
        assert_eq!(choose_service(vec![service("Beratung", 1, 1)], None).unwrap().name, "Beratung");
    }
}
