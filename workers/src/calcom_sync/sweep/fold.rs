//! Folds a page of bookings into our rows, company by company in one transaction each, through the same fold as every webhook.
//!
//! A booking that cannot be folded stands in nobody's way: its company's page is redone one by one without it, it is counted, and a human sees it. Unless it is not the booking's
//! fault: what our rows refuse is tried again for some minutes, and several in a row stop the sweep (`Rest`).

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use shared::calcom::Booking;
use shared::domain::booking_chain::BookingState;
use shared::domain::person_names::is_placeholder_email;
use shared::domain::phone::E164;
use shared::domain::provenance::{Channel, Provenance};
use shared::store::accounts::Provider;
use shared::store::appointments::Appointment;
use shared::store::known_bookings::{self, Known};
use shared::store::reviews::{self, Finding};
use shared::store::silences;
use shared::store::tx::{CompanyTx, uid_lock};
use uuid::Uuid;

use super::facts::{Told, facts_of, is_news};
use super::page::{Group, Item};
use crate::booking_facts::{self, Booker, Heard};
use crate::calcom_events::TOKEN_KEY;
use crate::runtime::finish::after_commit;
use crate::runtime::{Context, Failure, failure_log};

/// Serialization failures are repeated in process (architecture section 6).
const CONTENTION_REPEATS_MAX: u32 = 3;

/// So many bookings in a row that our rows refuse for one reason are no bookings' fault: a newer schema may be rolling out, or a program of ours is wrong. The sweep stops there
/// and its cursor stays (SweepsStopped), or everything that it meets would be left out.
const ALIKE_MAX: usize = 3;
/// So many runs stop at a page for a booking that our rows refuse. With pauses that double, 7.5 minutes go by: a roll-out is mostly over by then, and SweepsStopped, which comes
/// after ten, is not raised by one booking. What is left out too early the nightly window reads again.
const FAILED_RUNS_MAX: i32 = 4;

/// Rows of history that a sweep had to add, by kind.
pub(super) type Repaired = BTreeMap<String, u64>;

/// What of a page could not be folded. One page's: the next one begins anew.
pub(super) struct Rest<'a> {
    /// The page failed so often that what fails is its bookings' own.
    patience_over: bool,
    left: Vec<Left<'a>>,
    /// How many bookings in a row failed with this class, and none was written in between.
    alike: (&'static str, usize),
}

struct Left<'a> {
    group: &'a Group,
    item: &'a Item,
    failure: Failure,
    /// A human knows of it: the page does not wait for it again.
    known: bool,
}

impl<'a> Rest<'a> {
    /// `failed_runs`: in a row, at this page, because it could not be folded.
    pub(super) const fn after(failed_runs: i32) -> Self {
        Self { patience_over: failed_runs >= FAILED_RUNS_MAX, left: Vec::new(), alike: ("", 0) }
    }

    /// # Errors
    /// The failure itself, where so many in a row are no single booking's; Postgres is away.
    async fn add(&mut self, context: &Context, group: &'a Group, item: &'a Item, failure: Failure) -> Result<(), Failure> {
        let mut known = false;
        if may_pass(&failure) {
            let class = failure.class();
            let mut tx = CompanyTx::begin(&context.pool, Some(group.company_id), &[]).await?;
            known = reviews::is_known(&mut tx, &review_key(group, item)).await?;
            if !known {
                self.alike = if self.alike.0 == class { (class, self.alike.1 + 1) } else { (class, 1) };
            }
        }
        if !known && self.alike.1 >= ALIKE_MAX {
            return Err(failure);
        }
        self.left.push(Left { group, item, failure, known });
        Ok(())
    }

    /// Shows to a human what is left out for good, and says so if the page must be read again for the others.
    ///
    /// # Errors
    /// What is refused now and may be accepted when the page is read again; Postgres is away.
    pub(super) async fn settle(self, context: &Context) -> Result<(), Failure> {
        let mut again = None;
        for Left { group, item, failure, known } in self.left {
            if may_pass(&failure) && !known && !self.patience_over {
                tracing::warn!(company.id = %group.company_id, class = failure.class(), cause = failure_log::chain(&failure), "a booking of a sweep was refused: its page is read again");
                again = again.or(Some(failure));
            } else {
                leave_out(context, group, item, &failure).await?;
            }
        }
        again.map_or(Ok(()), Err)
    }
}

/// Folds one company's part of a page, all of it or, if one of them cannot be folded, each by itself; what cannot goes to `rest`.
///
/// # Errors
/// Postgres is away, contention did not end, or what fails is no single booking's.
pub(super) async fn fold<'a>(context: &Context, group: &'a Group, rest: &mut Rest<'a>) -> Result<Repaired, Failure> {
    match fold_items(context, group, &group.items).await {
        Err(failure) if is_of_one(&failure) => {}
        other => return other.map(Option::unwrap_or_default),
    }
    let mut repaired = Repaired::new();
    for item in &group.items {
        match fold_items(context, group, std::slice::from_ref(item)).await {
            Ok(Some(one)) => {
                rest.alike.1 = 0;
                one.into_iter().for_each(|(kind, count)| *repaired.entry(kind).or_default() += count);
            }
            // nothing was written, and nothing is proven by it
            Ok(None) => {}
            Err(failure) if is_of_one(&failure) => rest.add(context, group, item, failure).await?,
            Err(failure) => return Err(failure),
        }
    }
    Ok(repaired)
}

/// Not Postgres' trouble but one booking's, as far as can be told: a statement that takes too long may be about that one alone.
const fn is_of_one(failure: &Failure) -> bool {
    matches!(failure, Failure::Park { .. } | Failure::Retry { .. } | Failure::Wait { .. } | Failure::StoreSlow { .. })
}

/// It may succeed when the page is read again.
const fn may_pass(failure: &Failure) -> bool {
    matches!(failure, Failure::Retry { .. } | Failure::StoreSlow { .. })
}

/// A human sees it, and it is counted: once per credential and booking, however many sweeps meet it. What only waits for the outcome of a wish of ours is not stuck: that
/// outcome tells of the booking, too.
async fn leave_out(context: &Context, group: &Group, item: &Item, failure: &Failure) -> Result<(), Failure> {
    if matches!(failure, Failure::Wait { .. }) {
        tracing::info!(company.id = %group.company_id, class = failure.class(), "a booking of a sweep waits for the outcome of a wish");
        return Ok(());
    }
    let mut tx = CompanyTx::begin(&context.pool, Some(group.company_id), &[]).await?;
    let finding = Finding {
        subject: "booking",
        reason: "sweep_left_out",
        appointment_id: None,
        call_id: None,
        intent_id: None,
        details: json!({
            "credential_id": group.credential_id, "calcom_booking_id": item.booking.id, "event_type_id": item.booking.event_type_id, "class": failure.class(),
        }),
        dedup_key: review_key(group, item),
    };
    let news = reviews::open_anew(&mut tx, &finding).await?;
    tx.commit().await?;
    if news {
        context.metrics.reconcile.left_out(Provider::Calcom);
        tracing::warn!(company.id = %group.company_id, class = failure.class(), cause = failure_log::chain(failure), "a booking of a sweep was left out");
    }
    Ok(())
}

fn review_key(group: &Group, item: &Item) -> String {
    format!("sweep_left_out/{}/{}", group.credential_id, key_of(&item.booking.uid))
}

/// A uid is a capability: what keys are made of is its hash.
fn key_of(uid: &str) -> String {
    hex::encode(&Sha256::digest(uid.as_bytes())[..8])
}

/// `None`: there was nothing to write.
async fn fold_items(context: &Context, group: &Group, items: &[Item]) -> Result<Option<Repaired>, Failure> {
    let mut repeats = 0;
    loop {
        match try_fold(context, group, items).await {
            Err(Failure::Contention { .. }) if repeats < CONTENTION_REPEATS_MAX => repeats += 1,
            other => return other,
        }
    }
}

async fn try_fold(context: &Context, group: &Group, items: &[Item]) -> Result<Option<Repaired>, Failure> {
    let mut tx = CompanyTx::begin(&context.pool, Some(group.company_id), &locks(group.company_id, items)).await?;
    let uids: Vec<&str> = items.iter().map(|item| item.booking.uid.as_str()).collect();
    let known: HashMap<String, Known> = known_bookings::of(&mut tx, &uids).await?.into_iter().map(|known| (known.uid.clone(), known)).collect();
    let now = context.clock.now();
    let news: Vec<(&Item, Option<&Known>)> =
        items.iter().map(|item| (item, known.get(&item.booking.uid))).filter(|(item, known)| is_news(&item.booking, *known, item.asks_host)).collect();
    if news.is_empty() {
        return Ok(None);
    }
    let before: HashSet<(String, String)> = known_bookings::history_of(&mut tx, &uids).await?.into_iter().collect();
    for (item, known) in news {
        let mut appointment = None;
        for told in facts_of(&item.booking, known, item.asks_host, now) {
            appointment = booking_facts::apply(&mut tx, &heard(item, known, told, now)).await?;
        }
        if let (Some(known), Some(appointment)) = (known, appointment) {
            still_alive(&mut tx, &item.booking, known, &appointment).await?;
        }
    }
    let (mut repaired, mut missed_at) = (Repaired::new(), Vec::new());
    for (uid, kind) in added(&before, known_bookings::history_of(&mut tx, &uids).await?) {
        *repaired.entry(kind).or_default() += 1;
        missed_at.extend(items.iter().find(|item| item.booking.uid == uid).and_then(|item| item.booking.updated_at));
    }
    if !group.adopts {
        silences::missed(&mut tx, Provider::Calcom, &missed_at).await?;
    }
    let after = tx.commit().await?;
    after_commit(context, after).await;
    Ok(Some(repaired))
}

/// The rows that were not there before. One that is told better now is none: what was heard first of a booking that had been moved here made it look like a new one.
fn added(before: &HashSet<(String, String)>, after: Vec<(String, String)>) -> Vec<(String, String)> {
    let is = |rows: &[(String, String)], uid: &str, kind: &str| rows.iter().any(|row| row.0 == uid && row.1 == kind);
    let told_better = |uid: &str| before.contains(&(uid.to_owned(), "booked".to_owned())) && !is(&after, uid, "booked");
    let was_there = |row: &(String, String)| before.contains(row) || (row.1 == "rescheduled" && told_better(&row.0));
    after.iter().filter(|row| !was_there(row)).cloned().collect()
}

/// All uids of the page: whoever else applies a fact about one of them waits.
fn locks(company_id: Uuid, items: &[Item]) -> Vec<i64> {
    let of = |item: &Item| {
        let booking = &item.booking;
        let token = token(booking).map(|token| token.to_string());
        [Some(booking.uid.clone()), booking.rescheduled_from_uid.clone(), token].into_iter().flatten().map(|uid| uid_lock(company_id, &uid)).collect::<Vec<_>>()
    };
    items.iter().flat_map(of).collect()
}

fn token(booking: &Booking) -> Option<Uuid> {
    booking.metadata.get(TOKEN_KEY).and_then(|token| token.parse().ok())
}

fn heard(item: &Item, known: Option<&Known>, told: Told, now: DateTime<Utc>) -> Heard {
    let booking = &item.booking;
    let opens = told.fact.happening.opens();
    let seated = booking.attendees.iter().any(|attendee| attendee.seat_uid.is_some());
    Heard {
        token: token(booking).filter(|_| opens),
        intent_id: None,
        appointment_id: None,
        external: Provenance {
            actor: told.actor,
            channel: Channel::Reconciled,
            call_id: None,
            user_id: None,
            intent_id: None,
            message_id: None,
            occurred_at: told.fact.told_at,
        },
        booker: booker(booking),
        place: item.place.clone(),
        // the list shows the whole booking; only that it has seats is for a human to see, once
        one_seat: seated && opens && known.is_none(),
        series_member: false,
        needs_known_booking: item.place.is_none(),
        received_at: now,
        traceparent: None,
        fact: told.fact,
    }
}

/// The first attendee; an address that Cal.com or we made up is none.
fn booker(booking: &Booking) -> Booker {
    let attendee = booking.attendees.first();
    let email = attendee.and_then(|attendee| attendee.email.as_ref()).map(|email| email.expose().clone());
    let phone = attendee.and_then(|attendee| attendee.phone.as_ref()).or(booking.answered_phone.as_ref());
    Booker {
        name: attendee.and_then(|attendee| attendee.name.as_ref()).map(|name| name.expose().clone()),
        email: email.filter(|email| !is_placeholder_email(email)),
        phone: phone.and_then(|phone| E164::normalise(phone.expose(), "DE")),
    }
}

/// Cal.com sends a cancellation before it carries it out (calcom reference 1.6): if that failed, the booking lives there and not here, and no event will tell. A
/// state never falls by itself; a human decides.
async fn still_alive(tx: &mut CompanyTx, booking: &Booking, known: &Known, appointment: &Appointment) -> Result<(), Failure> {
    let lives = matches!(booking.status.as_str(), "accepted" | "pending");
    if !(lives && matches!(known.state, BookingState::Cancelled | BookingState::Rejected)) {
        return Ok(());
    }
    let finding = Finding {
        subject: "appointment",
        reason: "still_alive_in_calcom",
        appointment_id: Some(appointment.id),
        call_id: None,
        intent_id: None,
        details: json!({ "appointment_number": appointment.number }),
        dedup_key: format!("still_alive_in_calcom/{}", key_of(&booking.uid)),
    };
    // it may come to life again after a human mended it
    reviews::open_anew(tx, &finding).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_told_better_is_not_added() {
        let row = |uid: &str, kind: &str| (uid.to_owned(), kind.to_owned());
        let before = HashSet::from([row("b", "booked")]);
        let after = vec![row("a", "booked"), row("b", "rescheduled"), row("b", "confirmed"), row("c", "rescheduled")];
        assert_eq!(added(&before, after), [row("a", "booked"), row("b", "confirmed"), row("c", "rescheduled")]);
    }
}
