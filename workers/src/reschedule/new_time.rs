//! Whether the new time of an appointment is free: asked of Cal.com before the transaction, where the appointment's own time counts as free; judged inside it against
//! our claims and the caller's other appointments (incidents 70, 73).
//!
//! A move that the caller has confirmed is not asked about again: Cal.com itself refuses a taken time, and a refused move changes nothing. Only if our own claims stand in its
//! way it is, for what else there is.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use shared::domain::local_time;
use shared::domain::offers::{self, Bookable, Outside, SEARCH_DAYS};
use shared::domain::policies::minimum_notice_minutes;
use shared::envelope::Envelope;
use shared::store::appointments::Appointment;
use shared::store::services::{self, Service};
use shared::store::slot_claims::{self, Resource};
use shared::store::tx::CompanyTx;
use shared::store::{calls, customers, policies};
use shared::wire::arguments::Confirmation;
use tokio::time::Instant;
use uuid::Uuid;

use crate::answers;
use crate::change_answers;
use crate::free_slots::{Away, FreeSlots, Question};
use crate::meant::{self, Meant};
use crate::offering::choose::{self, Calendar, Place};
use crate::phone_functions::{Begun, FunctionWork};
use crate::runtime::{Context, Failure};
use crate::wished_time::{self, Which};

/// A caller waits no longer for Cal.com; without a deadline on the message nobody does.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
/// Of the deadline, for the transaction that follows.
const TRANSACTION: std::time::Duration = std::time::Duration::from_millis(500);

/// What Cal.com said before the transaction.
#[derive(Debug)]
pub enum Seen {
    /// It was not asked: the wish is not clear, is confirmed, or nobody waits.
    Nothing,
    /// The free starts around the wish, for that appointment.
    Free {
        appointment_id: Uuid,
        starts: Vec<DateTime<Utc>>,
    },
    Away(Away),
}

/// Where an appointment may be moved to.
#[derive(Clone, Debug)]
pub struct Target {
    pub credential_id: Uuid,
    pub event_type_id: i64,
    pub place: Place,
    minimum_notice_minutes: i32,
}

/// The way to the free times. One per lane.
#[derive(Clone)]
pub struct NewTimes {
    context: Context,
    slots: FreeSlots,
}

/// A wish that can be looked at.
struct Looked {
    appointment: Appointment,
    service: Service,
    wish: DateTime<Utc>,
}

impl NewTimes {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { slots: FreeSlots::new(context.clone()), context }
    }

    /// Asks Cal.com what is free around the wished time.
    ///
    /// # Errors
    /// When Postgres is away. That Cal.com is away is seen, and said.
    pub async fn see(&self, envelope: &Envelope, work: &FunctionWork) -> Result<Seen, Failure> {
        if envelope.reply_to.is_none() || envelope.caller_gone {
            return Ok(Seen::Nothing);
        }
        let Some(looked) = self.looked(work).await? else { return Ok(Seen::Nothing) };
        let left = envelope.deadline.map_or(PATIENCE, |deadline| (deadline - self.context.clock.now()).to_std().unwrap_or_default());
        let question = Question {
            company_id: work.owner.company_id,
            service: &looked.service,
            from: self.context.clock.now().max(looked.wish - Duration::days(1)),
            to: looked.wish + Duration::days(SEARCH_DAYS),
            moved_uid: looked.appointment.calcom_uid.as_deref(),
            deadline: Instant::now() + left.saturating_sub(TRANSACTION),
        };
        Ok(match self.slots.between(question).await? {
            Ok(starts) => Seen::Free { appointment_id: looked.appointment.id, starts },
            Err(away) => Seen::Away(away),
        })
    }

    async fn looked(&self, work: &FunctionWork) -> Result<Option<Looked>, Failure> {
        if work.caller.is_none() {
            return Ok(None);
        }
        let now = self.context.clock.now();
        let Ok(wish) = wished_time::wished(&work.arguments, Which::New, now, zone(work)).moment(Which::New) else { return Ok(None) };
        let mut tx = CompanyTx::begin(&self.context.pool, Some(work.owner.company_id), &[]).await?;
        let Some(customer_id) = customers::by_caller(&mut tx, work.caller.as_ref(), work.call.caller_raw.as_deref()).await? else { return Ok(None) };
        let Meant::One(appointment) = meant::find(&mut tx, work, customer_id, Which::Old, now).await? else { return Ok(None) };
        let Some(service_id) = appointment.service_id else { return Ok(None) };
        let Some(service) = services::by_id(&mut tx, service_id).await? else { return Ok(None) };
        let call_id = calls::id_of(&mut tx, &work.call.retell_call_id).await?;
        let asks = work.arguments.confirmation() != Confirmation::Yes || is_claimed(&mut tx, &appointment, &service, call_id, wish).await?;
        tx.commit().await?;
        Ok(asks.then_some(Looked { appointment: *appointment, service, wish }))
    }
}

async fn is_claimed(tx: &mut CompanyTx, appointment: &Appointment, service: &Service, call_id: Option<Uuid>, wish: DateTime<Utc>) -> Result<bool, Failure> {
    let Some(event_type_id) = service.calcom_event_type_id else { return Ok(false) };
    let ends_at = wish + (appointment.ends_at - appointment.starts_at);
    let resource = resource(appointment, service, event_type_id);
    let mut claims = slot_claims::in_the_way(tx, &resource, call_id, wish, ends_at).await?;
    claims.retain(|claim| claim.holder != appointment.id);
    Ok(!resource.is_free(&claims, wish, ends_at))
}

/// The branch's zone.
pub fn zone(work: &FunctionWork) -> Tz {
    local_time::zone(&work.owner.time_zone).unwrap_or(Tz::Europe__Berlin)
}

/// The host stays with a single appointment; a course has its places wherever it is.
fn resource(appointment: &Appointment, service: &Service, event_type_id: i64) -> Resource {
    match appointment.staff_id {
        Some(staff_id) if service.seats_per_slot == 1 => Resource::Staff(staff_id),
        _ => service.resource(event_type_id),
    }
}

/// Where the appointment may be moved to; `None`: its service cannot be booked by us.
///
/// # Errors
/// Only what the store says.
pub async fn target(tx: &mut CompanyTx, work: &FunctionWork, appointment: &Appointment, now: DateTime<Utc>) -> Result<Option<Target>, Failure> {
    let Some(service_id) = appointment.service_id else { return Ok(None) };
    let Some(service) = services::by_id(tx, service_id).await? else { return Ok(None) };
    let (Some(credential_id), Some(event_type_id)) = (service.credential_id, service.calcom_event_type_id) else { return Ok(None) };
    let branch_notice = policies::booking_notice(tx, appointment.branch_id).await?;
    let minimum_notice_minutes = minimum_notice_minutes(branch_notice, Some(service.minimum_notice_minutes));
    let place = Place {
        resource: resource(appointment, &service, event_type_id),
        length: appointment.ends_at - appointment.starts_at,
        bookable: Bookable::new(now, minimum_notice_minutes),
        zone: zone(work),
    };
    Ok(Some(Target { credential_id, event_type_id, place, minimum_notice_minutes }))
}

impl Target {
    /// The answer to a wish that is too soon or too far ahead: the same bounds as for a booking (incident 69).
    #[must_use]
    pub fn out_of_bounds(&self, wish: DateTime<Utc>, now: DateTime<Utc>) -> Option<Value> {
        self.place.bookable.check(wish, now).err().map(|outside| match outside {
            Outside::Past => answers::in_the_past(),
            Outside::TooSoon => answers::too_soon(self.minimum_notice_minutes),
            Outside::TooFar => change_answers::too_far(),
        })
    }
}

/// The free times as this call may have them; `None`: Cal.com was not asked, or does not answer.
///
/// # Errors
/// Only what the store says.
pub async fn calendar(tx: &mut CompanyTx, begun: &Begun, appointment: &Appointment, target: &Target, seen: &Seen) -> Result<Option<Calendar>, Failure> {
    let starts = match seen {
        Seen::Free { appointment_id, starts } if *appointment_id == appointment.id => starts.clone(),
        _ => return Ok(None),
    };
    let calendar = Calendar::load(tx, target.place.clone(), &begun.call, begun.customer_id, starts).await?;
    Ok(Some(calendar.moving(appointment)))
}

/// What a caller hears whose new time is not free: what else there is, held. `lost`: somebody else has it with us.
///
/// # Errors
/// Only what the store says.
pub async fn unavailable(
    tx: &mut CompanyTx,
    calendar: Option<&Calendar>,
    wish: DateTime<Utc>,
    now: DateTime<Utc>,
    zone: Tz,
    lost: bool,
) -> Result<Value, Failure> {
    let offered = match calendar {
        Some(calendar) => calendar.offer_near(tx, wish).await?,
        None => Vec::new(),
    };
    Ok(change_answers::unavailable(&choose::rows(&offered, now, zone), &offers::spoken_list(&offered, now, zone), lost))
}
