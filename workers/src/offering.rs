//! Offering times to a caller: what is free in Cal.com, minus what others hold or were promised, minus the caller's own appointments; what is offered is held for the call.
//!
//! `check_availability`, `get_alternatives`, `reserve_slot`, `release_slot_reservation` whole; for `booking` the look at the wish and what else there is. Cal.com is asked in `prepare`,
//! outside any transaction; claims are read and made inside. Nothing is booked here. Called by the roles `desk` and `booking`.

mod answers;
pub mod choose;
mod wish;

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;
use shared::clock::Clock;
use shared::domain::spoken_time::Days;
use shared::envelope::{Envelope, Kind};
use shared::functions::Function;
use shared::store::appointments::Appointment;
use shared::store::tx::CompanyTx;
use shared::store::{availability, calls, services, slot_claims};
use tokio::time::Instant;
use uuid::Uuid;

use crate::free_slots::{Away, FreeSlots, Question};
use crate::phone_functions::{Begun, FunctionWork};
use crate::runtime::{Context, Failure};
use crate::wished_time::{self, Wished};
use choose::Calendar;
pub use wish::Asked;

/// A wish between two slots is offered the nearest one up to so far away (domain reference 4.5), flagged, never booked unasked.
const FUZZY_MAX: Duration = Duration::minutes(15);
/// Without a deadline on the message the caller is gone or a test sent it: it may take this long.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
/// Of the deadline, for the transaction that follows.
const TRANSACTION: std::time::Duration = std::time::Duration::from_millis(500);

/// The way to free times. One per role and lane.
#[derive(Clone)]
pub struct Offering {
    context: Context,
    slots: FreeSlots,
}

/// What was found out before the transaction. An error is the whole answer.
#[derive(Debug)]
pub struct Seen(Result<Box<Look>, Value>);

/// A wish that makes sense, and what Cal.com has free around it.
#[derive(Debug)]
pub struct Look {
    pub asked: Asked,
    /// `None`: Cal.com was not asked.
    pub free: Option<Result<Vec<DateTime<Utc>>, Away>>,
}

impl Seen {
    /// Nothing had to be looked at.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Err(Value::Null))
    }

    /// What was seen, or the answer that ends the matter.
    ///
    /// # Errors
    /// The answer.
    pub fn look(&self) -> Result<&Look, &Value> {
        self.0.as_deref()
    }
}

impl Offering {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { slots: FreeSlots::new(context.clone()), context }
    }

    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.context.clock
    }

    /// For the functions that offer: understands the wish and asks Cal.com what is free around it.
    ///
    /// # Errors
    /// When Postgres is away. That Cal.com is away is seen, and said.
    pub async fn prepare(&self, envelope: &Envelope, work: &FunctionWork) -> Result<Seen, Failure> {
        if envelope.kind == Kind::RetellFunction(Function::ReleaseSlot) {
            return Ok(Seen::nothing());
        }
        let asked = match self.asked(work, wished(envelope, work, self.context.clock.now())).await? {
            Ok(asked) => asked,
            Err(answer) => return Ok(Seen(Err(answer))),
        };
        // of a caller who is gone nobody asks Cal.com, and nothing is offered
        let free = if envelope.caller_gone { None } else { Some(self.free(envelope, work, &asked).await?) };
        Ok(Seen(Ok(Box::new(Look { asked, free }))))
    }

    /// For `booking`: the wish, and only if our own claims stand in its way what else there is. Cal.com itself says whether it takes a booking, so the way of most wishes
    /// costs no request.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn prepare_booking(&self, envelope: &Envelope, work: &FunctionWork) -> Result<Seen, Failure> {
        let asked = match self.asked(work, wished(envelope, work, self.context.clock.now())).await? {
            Ok(asked) => asked,
            Err(answer) => return Ok(Seen(Err(answer))),
        };
        let in_the_way = match (&asked.wished, envelope.reply_to.is_some() && !envelope.caller_gone) {
            (Wished::Moment(at), true) => self.is_claimed(work, &asked, *at).await?,
            _ => false,
        };
        let free = if in_the_way { Some(self.free(envelope, work, &asked).await?) } else { None };
        Ok(Seen(Ok(Box::new(Look { asked, free }))))
    }

    /// For a plain yes: what its call was asked about, and only if somebody else's claims stand in its way by now what else there is (incident 30). Nothing was asked: nothing is seen.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn prepare_confirmation(&self, envelope: &Envelope, work: &FunctionWork) -> Result<Seen, Failure> {
        let Some((asked, at)) = self.asked_in_call(work).await? else { return Ok(Seen::nothing()) };
        let listens = envelope.reply_to.is_some() && !envelope.caller_gone;
        let free = if listens && self.is_claimed(work, &asked, at).await? { Some(self.free(envelope, work, &asked).await?) } else { None };
        Ok(Seen(Ok(Box::new(Look { asked, free }))))
    }

    /// Answers the functions that offer.
    ///
    /// # Errors
    /// Only what the store says.
    pub async fn answer(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, begun: &Begun, seen: &Seen) -> Result<Value, Failure> {
        let function = match envelope.kind {
            Kind::RetellFunction(function) => function,
            _ => return Ok(crate::answers::cannot_do_this()),
        };
        if function == Function::ReleaseSlot {
            let released = slot_claims::release_holds(tx, begun.call.id).await?;
            return Ok(answers::released(released));
        }
        let look = match seen.look() {
            Ok(look) => look,
            Err(answer) => return Ok(answer.clone()),
        };
        match function {
            Function::ReserveSlot => self.reserve(tx, begun, look).await,
            Function::GetAlternatives => self.alternatives(tx, work, begun, look).await,
            _ => self.check(tx, begun, look).await,
        }
    }

    /// Whether the wished time is free; if it is, it is held and the caller is asked, else alternatives are held and offered.
    ///
    /// # Errors
    /// Only what the store says.
    pub async fn check(&self, tx: &mut CompanyTx, begun: &Begun, look: &Look) -> Result<Value, Failure> {
        let asked = &look.asked;
        let calendar = match self.calendar(tx, begun, look).await? {
            Ok(calendar) => calendar,
            Err(answer) => return Ok(answer),
        };
        let Wished::Moment(at) = asked.wished else { return self.search(tx, calendar, asked).await };
        if let Some(own) = calendar.own_at(at) {
            return Ok(answers::own_appointment(asked, at, own));
        }
        if calendar.is_free(at) && calendar.hold(tx, at).await? {
            slot_claims::ask(tx, &asked.resource, begun.call.id, at, asked.service.id, asked.name_told.as_deref()).await?;
            return Ok(answers::free(asked, at));
        }
        let nearest = shared::domain::offers::nearest(at, &calendar.free_starts(), FUZZY_MAX);
        if let Some((near, minutes)) = nearest
            && !calendar.is_slot(at)
            && calendar.hold(tx, near).await?
        {
            slot_claims::ask(tx, &asked.resource, begun.call.id, near, asked.service.id, asked.name_told.as_deref()).await?;
            return Ok(answers::nearly_free(asked, at, near, minutes));
        }
        let reason = if calendar.is_slot(at) { "local_db_conflict" } else { "not_available" };
        let offered = calendar.offer_near(tx, at).await?;
        Ok(answers::not_free(asked, at, reason, &offered))
    }

    /// A day, a part of it, a range: two times in it, or the nearest outside.
    async fn search(&self, tx: &mut CompanyTx, calendar: Calendar, asked: &Asked) -> Result<Value, Failure> {
        let (from, to, times) = asked.window();
        let fitting: Vec<DateTime<Utc>> = calendar.free_starts().into_iter().filter(|start| (from..=to).contains(start) && asked.fits(*start, times)).collect();
        let offered = calendar.offer_of(tx, &fitting).await?;
        if !offered.is_empty() {
            return Ok(answers::choices(asked, &offered));
        }
        let offered = calendar.offer_near(tx, from).await?;
        Ok(answers::not_free(asked, from, "not_available", &offered))
    }

    async fn alternatives(&self, tx: &mut CompanyTx, work: &FunctionWork, begun: &Begun, look: &Look) -> Result<Value, Failure> {
        let asked = &look.asked;
        let calendar = match self.calendar(tx, begun, look).await? {
            Ok(calendar) => calendar,
            Err(answer) => return Ok(answer),
        };
        let is_anchor = matches!(asked.wished, Wished::Moment(_))
            && matches!(wished_time::wished(&work.arguments, wished_time::Which::After, asked.now, asked.zone), Wished::Unsaid);
        match asked.wished {
            Wished::Moment(at) if is_anchor => {
                let offered = calendar.offer_near(tx, at).await?;
                Ok(answers::alternatives(asked, &offered))
            }
            _ => self.search(tx, calendar, asked).await,
        }
    }

    async fn reserve(&self, tx: &mut CompanyTx, begun: &Begun, look: &Look) -> Result<Value, Failure> {
        let asked = &look.asked;
        let at = match asked.wished.clone().moment(wished_time::Which::Start) {
            Ok(at) => at,
            Err(answer) => return Ok(answer),
        };
        let calendar = match self.calendar(tx, begun, look).await? {
            Ok(calendar) => calendar,
            Err(answer) => return Ok(answer),
        };
        if let Some(own) = calendar.own_at(at) {
            return Ok(answers::own_appointment(asked, at, own));
        }
        if calendar.is_free(at) && calendar.hold(tx, at).await? {
            slot_claims::ask(tx, &asked.resource, begun.call.id, at, asked.service.id, asked.name_told.as_deref()).await?;
            let until = slot_claims::held_until(tx, &asked.resource, begun.call.id, at).await?;
            return Ok(answers::reserved(asked, at, until));
        }
        let locked = calendar.is_slot(at);
        let offered = calendar.offer_near(tx, at).await?;
        Ok(answers::taken(asked, at, if locked { "slot_locked_by_other" } else { "not_available" }, &offered))
    }

    /// What a caller hears whose wished time somebody else has: what else there is, held; or that it is gone.
    ///
    /// # Errors
    /// Only what the store says.
    pub async fn lost(&self, tx: &mut CompanyTx, begun: &Begun, look: &Look, at: DateTime<Utc>) -> Result<Value, Failure> {
        let free = match &look.free {
            Some(Ok(free)) => free.clone(),
            // whoever booked was offered the time a moment ago, so the days around are mostly remembered
            _ => choose::remembered(tx, &look.asked, at).await?,
        };
        let calendar = Calendar::load(tx, look.asked.place(), &begun.call, begun.customer_id, free).await?;
        let offered = calendar.offer_near(tx, at).await?;
        Ok(answers::taken(&look.asked, at, "slot_taken", &offered))
    }

    async fn calendar(&self, tx: &mut CompanyTx, begun: &Begun, look: &Look) -> Result<Result<Calendar, Value>, Failure> {
        match &look.free {
            Some(Ok(free)) => Ok(Ok(Calendar::load(tx, look.asked.place(), &begun.call, begun.customer_id, free.clone()).await?)),
            Some(Err(Away::NotSetUp)) => Ok(Err(crate::booking::not_bookable(tx, begun).await?)),
            Some(Err(away)) => Ok(Err(answers::away(*away))),
            None => Ok(Err(answers::away(Away::Calcom))),
        }
    }

    async fn asked(&self, work: &FunctionWork, wished: Wished) -> Result<Result<Asked, Value>, Failure> {
        let now = self.context.clock.now();
        let reading = async {
            let mut tx = CompanyTx::begin(&self.context.pool, Some(work.owner.company_id), &[]).await.map_err(Failure::from)?;
            let asked = wish::understand(&mut tx, work, wished, now).await?;
            tx.commit().await.map_err(Failure::from)?;
            Ok::<_, Failure>(asked)
        };
        reading.await
    }

    /// The wish that a yes of this call means.
    async fn asked_in_call(&self, work: &FunctionWork) -> Result<Option<(Asked, DateTime<Utc>)>, Failure> {
        let mut tx = CompanyTx::begin(&self.context.pool, Some(work.owner.company_id), &[]).await?;
        let found = match calls::id_of(&mut tx, &work.call.retell_call_id).await? {
            Some(call_id) => slot_claims::asked_of(&mut tx, call_id).await?,
            None => None,
        };
        let service = match &found {
            Some(found) => services::by_id(&mut tx, found.service_id).await?,
            None => None,
        };
        tx.commit().await?;
        let now = self.context.clock.now();
        Ok(found.zip(service).and_then(|(found, service)| Some((Asked::again(service, found.starts_at, now, wish::zone(work))?, found.starts_at))))
    }

    async fn is_claimed(&self, work: &FunctionWork, asked: &Asked, at: DateTime<Utc>) -> Result<bool, Failure> {
        let mut tx = CompanyTx::begin(&self.context.pool, Some(work.owner.company_id), &[]).await?;
        let ends_at = at + asked.length();
        let call_id = calls::id_of(&mut tx, &work.call.retell_call_id).await?;
        let claims = slot_claims::in_the_way(&mut tx, &asked.resource, call_id, at, ends_at).await?;
        tx.commit().await?;
        Ok(!asked.resource.is_free(&claims, at, ends_at))
    }

    /// From the Monday of the wish's week to the Sunday two weeks on: neighbouring wishes are one request.
    async fn free(&self, envelope: &Envelope, work: &FunctionWork, asked: &Asked) -> Result<Result<Vec<DateTime<Utc>>, Away>, Failure> {
        let (from, to) = asked.weeks();
        let left = envelope.deadline.map_or(PATIENCE, |deadline| (deadline - self.context.clock.now()).to_std().unwrap_or_default());
        let deadline = Instant::now() + left.saturating_sub(TRANSACTION);
        let question = Question { company_id: work.owner.company_id, service: &asked.service, from, to, moved_uid: None, deadline };
        Ok(self.slots.between(question).await?)
    }
}

/// The answer of a booking that Cal.com refused because the time is somebody else's (a visitor of the web page was faster): what else was free a moment ago, held. Nobody asks
/// Cal.com inside a transaction, so it may be nothing: then it is only said that the time is gone.
///
/// # Errors
/// Only what the store says.
pub(crate) async fn refused_by_calcom(
    tx: &mut CompanyTx,
    appointment: &Appointment,
    call_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Option<Value>, Failure> {
    let (Some(call_id), Some(service_id)) = (call_id, appointment.service_id) else { return Ok(None) };
    let (Some(call), Some(service)) = (calls::by_id(tx, call_id).await?, services::by_id(tx, service_id).await?) else { return Ok(None) };
    let zone = appointment.time_zone.parse().unwrap_or(chrono_tz::Tz::Europe__Berlin);
    let at = appointment.starts_at;
    let Some(asked) = Asked::again(service, at, now, zone) else { return Ok(None) };
    let free = choose::remembered(tx, &asked, at).await?;
    availability::forget_day(tx, service_id, at).await?;
    let calendar = Calendar::load(tx, asked.place(), &call, Some(appointment.customer_id), free).await?;
    let offered = calendar.offer_near(tx, at).await?;
    Ok(Some(answers::taken(&asked, at, "slot_taken", &offered)))
}

/// The wish of a function that offers: `after` bounds a search from below.
fn wished(envelope: &Envelope, work: &FunctionWork, now: DateTime<Utc>) -> Wished {
    let zone = wish::zone(work);
    let start = wished_time::wished(&work.arguments, wished_time::Which::Start, now, zone);
    if start != Wished::Unsaid || envelope.kind != Kind::RetellFunction(Function::GetAlternatives) {
        return start;
    }
    let from = |first| Wished::Search { days: Some(Days { first, last: None }), times: None };
    match wished_time::wished(&work.arguments, wished_time::Which::After, now, zone) {
        Wished::Moment(at) => Wished::Moment(at),
        Wished::Date(first) => from(first),
        Wished::Search { days, times } => Wished::Search { days: days.map(|days| Days { last: None, ..days }), times },
        other => other,
    }
}
