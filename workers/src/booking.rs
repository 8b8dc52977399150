//! Role `booking`: a caller's wish to book becomes an appointment in state `requested`, a promise of the time and an intent; a booking made in Cal.com is
//! taken over, and the echo of our own confirms it.
//!
//! `book_appointment` books. `collect_appointment_data` books when the caller has agreed, and checks otherwise; `confirm_booking` books what its call holds and was asked about
//! (incidents 78, 80). Whom it is for: [`names`]; the number that a phone-only account demands: [`contact`].

mod contact;
mod names;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::domain::offers;
use shared::domain::person_names::spoken_email;
use shared::domain::phone::E164;
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::envelope::{Envelope, Kind, Role};
use shared::functions::Function;
use shared::store::appointments::{self, NewAppointment};
use shared::store::customers::{self, CustomerHint};
use shared::store::intents::{self, NewIntent, Op};
use shared::store::services::Service;
use shared::store::slot_claims::{self, Resource};
use shared::store::tx::CompanyTx;
use shared::store::{callbacks, calls, function_calls, services};
use shared::texts::Sentence;
use shared::wire::arguments::Confirmation;
use uuid::Uuid;

use crate::answers;
use crate::appointment_changes::Change;
use crate::booking_facts;
use crate::offering::{Look, Offering, Seen};
use crate::phone_functions::{self, Begun, FunctionWork};
use crate::runtime::{Context, Failure};
use crate::wished_time::{Which, Wished};
use names::Told;

/// The role.
#[derive(Clone)]
pub struct Booking {
    offering: Offering,
}

impl Change for Booking {
    const ROLE: Role = Role::Booking;
    type Seen = Seen;

    async fn see(&self, envelope: &Envelope, work: &FunctionWork) -> Result<Seen, Failure> {
        match step(envelope, work) {
            Step::Book => self.offering.prepare_booking(envelope, work).await,
            Step::Check => self.offering.prepare(envelope, work).await,
            Step::Confirm => self.offering.prepare_confirmation(envelope, work).await,
        }
    }

    async fn wish(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, seen: &Seen, begun: &Begun) -> Result<Option<Value>, Failure> {
        match step(envelope, work) {
            Step::Book => self.book(tx, envelope, work, seen, begun).await,
            Step::Check => self.collect(tx, work, seen, begun).await.map(Some),
            Step::Confirm => self.confirm(tx, envelope, work, seen, begun).await,
        }
    }
}

/// What a function of this role does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Book,
    Check,
    Confirm,
}

/// Three values: true books, false only checks, nothing said checks and asks (incident 80).
fn step(envelope: &Envelope, work: &FunctionWork) -> Step {
    match envelope.kind {
        Kind::RetellFunction(Function::ConfirmBooking) => Step::Confirm,
        Kind::RetellFunction(Function::CollectAppointmentData) if work.arguments.confirmation() != Confirmation::Yes => Step::Check,
        _ => Step::Book,
    }
}

/// What a caller asked for, checked.
struct Wish {
    service: Service,
    event_type_id: i64,
    credential_id: Uuid,
    starts_at: DateTime<Utc>,
    told: Told,
    /// For Cal.com alone, where the account demands one and the caller shows none.
    phone_told: Option<E164>,
}

/// Nobody can book that service by phone: it has no event type or no credential. A matter for the operator, and somebody calls back.
///
/// # Errors
/// Only what the store says.
pub(crate) async fn not_bookable(tx: &mut CompanyTx, begun: &Begun) -> Result<Value, Failure> {
    callbacks::promise(tx, Some(begun.call.id), None, "service_not_bookable", callbacks::Priority::Normal).await?;
    Ok(answers::not_bookable())
}

impl Booking {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { offering: Offering::new(context) }
    }

    /// Records the wish; `Some` is the answer if it cannot be one.
    async fn book(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, seen: &Seen, begun: &Begun) -> Result<Option<Value>, Failure> {
        let look = match seen.look() {
            Ok(look) => look,
            Err(answer) => return Ok(Some(answer.clone())),
        };
        let starts_at = match look.asked.wished.clone().moment(Which::Start) {
            Ok(starts_at) => starts_at,
            Err(answer) => return Ok(Some(answer)),
        };
        let told = match names::told(tx, work.arguments.customer_name().ok().flatten().as_ref().map(|name| name.as_str()), begun).await? {
            Ok(told) => told,
            Err(answer) => return Ok(Some(answer)),
        };
        let service = look.asked.service.clone();
        let (Some(event_type_id), Some(credential_id)) = (service.calcom_event_type_id, service.credential_id) else {
            return not_bookable(tx, begun).await.map(Some);
        };
        let phone_told = match contact::phone(tx, work, begun, credential_id).await? {
            Ok(phone_told) => phone_told,
            Err(answer) => return Ok(Some(answer)),
        };
        let wish = Wish { service, event_type_id, credential_id, starts_at, told, phone_told };
        if phone_functions::too_late(tx, envelope, begun, self.offering.clock().now(), starts_at).await? {
            return Ok(None);
        }
        if self.record(tx, envelope, work, begun, wish).await? {
            return Ok(None);
        }
        self.offering.lost(tx, begun, look, starts_at).await.map(Some)
    }

    /// Checks, holds and asks. Asked about that time before in this call, without a word of consent since: it is read back whole.
    async fn collect(&self, tx: &mut CompanyTx, work: &FunctionWork, seen: &Seen, begun: &Begun) -> Result<Value, Failure> {
        let look = match seen.look() {
            Ok(look) => look,
            Err(answer) => return Ok(answer.clone()),
        };
        let told = match names::told(tx, look.asked.name_told.as_deref(), begun).await? {
            Ok(told) => told,
            Err(answer) => return Ok(answer),
        };
        if let Some(credential_id) = look.asked.service.credential_id
            && let Err(answer) = contact::phone(tx, work, begun, credential_id).await?
        {
            return Ok(answer);
        }
        let before = slot_claims::asked_of(tx, begun.call.id).await?;
        let mut answer = self.offering.check(tx, begun, look).await?;
        let available = answer["available"].as_bool().unwrap_or(false);
        answer["status"] = json!(if available { "available" } else { "unavailable" });
        let awaits = available && work.arguments.confirmation() == Confirmation::Unsaid;
        answer["awaiting_confirmation"] = json!(awaits);
        let asked_before =
            before.is_some_and(|before| Ok(before.starts_at) == look.asked.wished.clone().moment(Which::Start) && before.service_id == look.asked.service.id);
        if awaits && asked_before {
            answer["message"] = json!(read_back(look, &told, &answer));
        }
        Ok(answer)
    }

    /// The second half of a two-step booking: what the call holds and its caller was asked about.
    async fn confirm(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, seen: &Seen, begun: &Begun) -> Result<Option<Value>, Failure> {
        let Some(asked) = slot_claims::asked_of(tx, begun.call.id).await? else {
            // a model that "starts" a booking has booked already: the same answer, while it is true
            let booked = function_calls::booked_in(tx, begun.call.id).await?;
            return Ok(Some(booked.unwrap_or_else(answers::nothing_to_confirm)));
        };
        if work.arguments.confirmation() == Confirmation::No {
            slot_claims::release_holds(tx, begun.call.id).await?;
            return Ok(Some(json!({ "success": true, "booked": false, "released": true, "message": Sentence::SlotReleased {}.german() })));
        }
        let now = self.offering.clock().now();
        if asked.starts_at <= now {
            return Ok(Some(answers::in_the_past()));
        }
        let given = match work.arguments.customer_name() {
            Ok(given) => given.map(|given| given.expose().clone()),
            Err(error) => return Ok(Some(answers::argument(&error))),
        };
        let mut told = names::told(tx, given.as_deref().or(asked.name_told.as_deref()), begun).await?;
        // what came with the yes is no name; the one that was read back is
        if given.is_some() && asked.name_told.is_some() && told.as_ref().map_or(true, |told| told.name().is_none()) {
            told = names::told(tx, asked.name_told.as_deref(), begun).await?;
        }
        let told = match told {
            Ok(told) => told,
            Err(answer) => return Ok(Some(answer)),
        };
        let service = services::by_id(tx, asked.service_id).await?;
        let Some((service, event_type_id, credential_id)) =
            service.and_then(|service| service.calcom_event_type_id.zip(service.credential_id).map(|(e, c)| (service, e, c)))
        else {
            return not_bookable(tx, begun).await.map(Some);
        };
        let phone_told = match contact::phone(tx, work, begun, credential_id).await? {
            Ok(phone_told) => phone_told,
            Err(answer) => return Ok(Some(answer)),
        };
        let wish = Wish { service, event_type_id, credential_id, starts_at: asked.starts_at, told, phone_told };
        if phone_functions::too_late(tx, envelope, begun, now, asked.starts_at).await? {
            return Ok(None);
        }
        if self.record(tx, envelope, work, begun, wish).await? {
            return Ok(None);
        }
        // a further yes must not mean the time that is gone
        slot_claims::release_holds(tx, begun.call.id).await?;
        match seen.look() {
            Ok(look) if look.asked.wished == Wished::Moment(asked.starts_at) => self.offering.lost(tx, begun, look, asked.starts_at).await.map(Some),
            _ => Ok(Some(answers::slot_taken())),
        }
    }

    /// Promises the time, and records appointment and intent. `false`: somebody else has the time, and nothing is recorded.
    async fn record(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, begun: &Begun, wish: Wish) -> Result<bool, Failure> {
        let appointment_id = Uuid::now_v7();
        let ends_at = wish.starts_at + chrono::Duration::minutes(i64::from(wish.service.duration_minutes));
        let resource = wish.service.resource(wish.event_type_id);
        if !slot_claims::promise(tx, &resource, appointment_id, Some(begun.call.id), wish.starts_at, ends_at).await? {
            return Ok(false);
        }
        // the caller has chosen: the other offers are free again
        slot_claims::release_holds(tx, begun.call.id).await?;
        let email = work.arguments.customer_email().ok().flatten().and_then(|email| spoken_email(email.expose())).map(|email| email.as_str().to_owned());
        let customer_id = self.customer(tx, work, begun, &wish.told, email.as_deref()).await?;
        wish.told.note(tx, begun.call.id).await?;
        let provenance = provenance(envelope, begun);
        let new = NewAppointment {
            id: appointment_id,
            branch_id: begun.call.branch_id,
            customer_id,
            service_id: Some(wish.service.id),
            staff_id: if let Resource::Staff(id) = resource { Some(id) } else { None },
            starts_at: wish.starts_at,
            ends_at,
            time_zone: work.owner.time_zone.clone(),
            name_given: wish.told.name().map(str::to_owned),
            notes: work.arguments.notes().map(|notes| notes.expose().clone()),
        };
        appointments::book(tx, new, &provenance).await?;
        if let Some(agreement) = wish.told.agreement() {
            appointments::note_name(tx, appointment_id, agreement).await?;
        }
        let intent = NewIntent {
            appointment_id,
            op: Op::Create,
            lane: phone_functions::lane(envelope),
            credential_id: wish.credential_id,
            token: Uuid::now_v7(),
            uid: None,
            event_type_id: Some(wish.event_type_id),
            starts_at: Some(wish.starts_at),
            ends_at: Some(ends_at),
            actor: provenance.actor.literal(),
            channel: provenance.channel.booking_source(),
            call_id: provenance.call_id,
            user_id: None,
            reason: None,
            function_call_id: Some(begun.function_call_id),
            request: &json!({ "attendee_email": email, "attendee_phone": wish.phone_told.as_ref().map(E164::as_str) }),
            traceparent: envelope.traceparent.as_deref(),
        };
        let intent_id = intents::record(tx, &intent).await?;
        phone_functions::wait(tx, envelope, begun).await?;
        booking_facts::ring(tx, intent_id, self.offering.clock().now(), envelope.traceparent.as_deref());
        Ok(true)
    }

    async fn customer(&self, tx: &mut CompanyTx, work: &FunctionWork, begun: &Begun, told: &Told, email: Option<&str>) -> Result<Uuid, Failure> {
        // who withholds the number is somebody new each time, whatever address a language model filled in (incident 52)
        let known_email = email.filter(|_| work.caller.is_some());
        let hint = CustomerHint { phone: work.caller.as_ref(), email: known_email, name: told.name(), source: Channel::RetellPhone.booking_source() };
        let customer_id = match begun.customer_id.or(begun.call.customer_id) {
            Some(customer_id) => customer_id,
            None => customers::resolve(tx, &hint).await?,
        };
        calls::link_customer(tx, begun.call.id, customer_id).await?;
        Ok(customer_id)
    }
}

fn provenance(envelope: &Envelope, begun: &Begun) -> Provenance {
    Provenance {
        actor: Actor::Customer,
        channel: Channel::RetellPhone,
        call_id: Some(begun.call.id),
        user_id: None,
        intent_id: None,
        message_id: Some(envelope.message_id.as_str().to_owned()),
        occurred_at: envelope.received_at,
    }
}

/// Service, time and name in one sentence; without a name it is asked about as before.
fn read_back(look: &Look, told: &Told, answer: &Value) -> String {
    let (Some(name), Ok(at)) = (told.name().or(told.known()), look.asked.wished.clone().moment(Which::Start)) else {
        return answer["message"].as_str().unwrap_or_default().to_owned();
    };
    let when = offers::spoken(at, look.asked.now, look.asked.zone);
    Sentence::ReadBack { service: &look.asked.service.name, when: &when, name }.german()
}
