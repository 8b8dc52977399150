//! Which of the free times a caller gets to hear: Cal.com's, minus what others hold or were promised, minus the caller's own, inside notice and horizon; and the holds on them.
//!
//! Inside a transaction of the call. Not how times are ranked (`domain::offers`), not the sentences. Called by `offering` and whoever else must say what is free.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::offers::{self, Bookable, OFFERS_MAX};
use shared::store::appointments::Appointment;
use shared::store::calls::Call;
use shared::store::slot_claims::{self, Claimed, Hold, Resource};
use shared::store::tx::CompanyTx;
use shared::store::{appointments, availability};
use uuid::Uuid;

use super::Asked;
use crate::runtime::Failure;

/// Offers that were taken between reading and holding; more in one call is a shop that is being stormed, and what is left is not worth an offer.
const LOST_MAX: usize = 6;
/// Two offers of one search are at least this far apart, if there is a choice.
const APART: Duration = Duration::minutes(60);
/// An own appointment longer ago than this cannot overlap a start that lies ahead.
const DAY: Duration = Duration::days(1);

/// Where and how long.
#[derive(Clone, Debug)]
pub struct Place {
    pub resource: Resource,
    pub length: Duration,
    pub bookable: Bookable,
    pub zone: Tz,
}

/// The free times of a place, as one call may have them.
#[derive(Debug)]
pub struct Calendar {
    place: Place,
    call_id: Uuid,
    /// The caller has hung up: nothing is held for nobody.
    over: bool,
    /// By start.
    free: Vec<DateTime<Utc>>,
    claims: Vec<Claimed>,
    /// The caller's own appointments: start and end.
    own: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Calendar {
    /// Reads what stands in the way of these free starts.
    ///
    /// # Errors
    /// Only what the store says.
    pub async fn load(tx: &mut CompanyTx, place: Place, call: &Call, customer_id: Option<Uuid>, mut free: Vec<DateTime<Utc>>) -> Result<Self, Failure> {
        free.sort_unstable();
        free.dedup();
        let (first, last) = match (free.first(), free.last()) {
            (Some(first), Some(last)) => (*first, *last + place.length),
            _ => (place.bookable.earliest, place.bookable.earliest + place.length),
        };
        let claims = slot_claims::in_the_way(tx, &place.resource, Some(call.id), first, last).await?;
        let own = match customer_id {
            Some(customer_id) => appointments::upcoming_of(tx, customer_id, place.bookable.earliest - DAY).await?,
            None => Vec::new(),
        };
        let own = own.into_iter().map(|appointment| (appointment.starts_at, appointment.ends_at)).collect();
        Ok(Self { place, call_id: call.id, over: call.is_over(), free, claims, own })
    }

    /// The same calendar for an appointment that is to be moved: its own time stands in nobody's way.
    #[must_use]
    pub fn moving(mut self, appointment: &Appointment) -> Self {
        self.claims.retain(|claim| claim.holder != appointment.id);
        self.own.retain(|own| *own != (appointment.starts_at, appointment.ends_at));
        self
    }

    /// Whether Cal.com has that start.
    #[must_use]
    pub fn is_slot(&self, at: DateTime<Utc>) -> bool {
        self.free.binary_search(&at).is_ok()
    }

    /// The caller's own appointment that overlaps a time (incident 70).
    #[must_use]
    pub fn own_at(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.own.iter().find(|(starts_at, ends_at)| *starts_at < at + self.place.length && at < *ends_at).map(|(starts_at, _)| *starts_at)
    }

    /// Free in Cal.com and with us, for this call.
    #[must_use]
    pub fn is_free(&self, at: DateTime<Utc>) -> bool {
        let bookable = (self.place.bookable.earliest..=self.place.bookable.latest).contains(&at);
        bookable && self.is_slot(at) && self.own_at(at).is_none() && self.place.resource.is_free(&self.claims, at, at + self.place.length)
    }

    /// Every start that may be offered, by start.
    #[must_use]
    pub fn free_starts(&self) -> Vec<DateTime<Utc>> {
        self.free.iter().copied().filter(|start| self.is_free(*start)).collect()
    }

    /// Holds a time for the call. `false`: somebody else has it. A company whose calls hold as much as they may offers it unheld.
    ///
    /// # Errors
    /// Only what the store says.
    pub async fn hold(&self, tx: &mut CompanyTx, at: DateTime<Utc>) -> Result<bool, Failure> {
        if self.over {
            return Ok(true);
        }
        let held = slot_claims::hold(tx, &self.place.resource, self.call_id, at, at + self.place.length).await?;
        Ok(matches!(held, Hold::Held | Hold::Unheld))
    }

    /// The best alternatives to a wish, held; at most two.
    ///
    /// # Errors
    /// Only what the store says.
    pub async fn offer_near(&self, tx: &mut CompanyTx, wish: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>, Failure> {
        let mut candidates = self.free_starts();
        let mut held: Vec<DateTime<Utc>> = Vec::new();
        for _ in 0..LOST_MAX {
            let best: Vec<DateTime<Utc>> = offers::alternatives(wish, &candidates, self.place.zone).into_iter().map(|offer| offer.starts_at).collect();
            let Some(next) = best.iter().copied().find(|start| !held.contains(start)) else { break };
            if self.hold(tx, next).await? {
                held.push(next);
                // the two that are offered do not overlap: a caller chooses between them
                candidates.retain(|start| *start == next || held.iter().all(|other| (*start - *other).abs() >= self.place.length));
            } else {
                candidates.retain(|start| *start != next);
            }
            if held.len() >= OFFERS_MAX {
                break;
            }
        }
        held.sort_unstable();
        Ok(held)
    }

    /// Two of these starts, held: the first, and the next one that is a different choice.
    ///
    /// # Errors
    /// Only what the store says.
    pub async fn offer_of(&self, tx: &mut CompanyTx, starts: &[DateTime<Utc>]) -> Result<Vec<DateTime<Utc>>, Failure> {
        let mut held: Vec<DateTime<Utc>> = Vec::new();
        let mut lost: Vec<DateTime<Utc>> = Vec::new();
        for _ in 0..LOST_MAX {
            let fits = |apart: Duration| {
                let fits = |start: &&DateTime<Utc>| !lost.contains(start) && held.iter().all(|other| (**start - *other).abs() >= apart);
                starts.iter().find(fits).copied()
            };
            let Some(next) = fits(APART.max(self.place.length)).or_else(|| fits(self.place.length)) else { break };
            if self.hold(tx, next).await? {
                held.push(next);
            } else {
                lost.push(next);
            }
            if held.len() >= OFFERS_MAX {
                break;
            }
        }
        held.sort_unstable();
        Ok(held)
    }
}

/// What is remembered of Cal.com's slots around a wish that was lost: nobody asks Cal.com inside a transaction.
///
/// # Errors
/// Only what the store says.
pub(super) async fn remembered(tx: &mut CompanyTx, asked: &Asked, at: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>, Failure> {
    let (from, to) = asked.weeks();
    let days = availability::remembered(tx, asked.service.id, from.date_naive(), to.date_naive()).await?;
    Ok(days.into_iter().flat_map(|day| day.starts).filter(|start| *start != at).collect())
}

/// The offers as the agent reads them.
#[must_use]
pub fn rows(starts: &[DateTime<Utc>], now: DateTime<Utc>, zone: Tz) -> Value {
    let row = |start: &DateTime<Utc>| {
        let local = start.with_timezone(&zone);
        json!({ "date": local.format("%Y-%m-%d").to_string(), "time": local.format("%H:%M").to_string(), "description": offers::spoken(*start, now, zone) })
    };
    Value::Array(starts.iter().map(row).collect())
}
