//! The requests to Cal.com that an intent needs: the change itself, the search for one whose outcome is unknown, a look at a chain. Each is made once; repeats are the intent's matter.
//!
//! Not what follows from the answer. Called by `carry_out`, outside any transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::calcom::{Access, Booking, BookingFilter, CalcomClient, CalcomError, Credential, NewAttendee, NewBooking, Sort};
use shared::domain::person_names::{AttendeeFacts, Reserved, attendee, screen, spoken_email};
use shared::domain::phone::E164;
use shared::domain::provenance::REASON_NOT_GIVEN;
use shared::store::intents::{Intent, Leased, Op};
use shared::telemetry::Masked;

use super::endings::SEALED_PAUSE;
use super::receipt::{carries_token, fulfils, has_ended, is_successor};
use super::{Job, Outcome, no_answer};
use crate::calcom_events::TOKEN_KEY;
use crate::calcom_sync::bounds;
use crate::calcom_sync::budget_metrics::Purpose;
use crate::calcom_sync::plan::Step;

/// A list bounded by the end of bookings finds every one that begins at a time if it reaches a day beyond.
const LONGEST_BOOKING: chrono::Duration = chrono::Duration::hours(24);

pub(super) async fn call(job: &Job<'_>) -> Outcome {
    let row = &job.leased.credential;
    let opened = row.sealed().ok().and_then(|sealed| job.sync.keyring.open(&format!("credentials/{}", row.id), &sealed).ok());
    let Some(api_key) = opened else {
        tracing::error!(credential.id = %row.id, "the credential cannot be opened: is its master key among MASTER_KEYS?");
        job.spending.rest(SEALED_PAUSE).await;
        return Outcome::Sealed;
    };
    let client = match job.sync.client(&row.base_url) {
        Ok(client) => client,
        Err(error) => return Outcome::Failed(error),
    };
    let credential = Credential { api_key };
    let access = Access::new(&credential).within(job.spending.call_max());
    let work = async {
        match &job.step {
            Step::Send { uid } => send(job, &client, access, uid.as_deref()).await,
            Step::Search => search(job, &client, access).await,
            Step::Look { uid } => read_chain(job, &client, access, uid).await.map(Outcome::Seen),
            Step::GiveUp { .. } | Step::Moot => Ok(Outcome::Absent),
        }
    };
    match tokio::time::timeout(bounds::left(job.lease.asked_at.elapsed()), work).await {
        Ok(result) => result.unwrap_or_else(Outcome::Failed),
        Err(_) => {
            let waited_for_a_token = !job.spending.gave_up(purpose(job)).await;
            // a change that was sent is never called unsent, wherever the time ran out
            let unsent = waited_for_a_token && !matches!(job.step, Step::Send { .. });
            Outcome::Failed(if unsent { CalcomError::Withheld { wait: Duration::ZERO } } else { no_answer() })
        }
    }
}

/// What the job's first request is for.
fn purpose(job: &Job<'_>) -> Purpose {
    match job.step {
        // as it was read: before this send was counted
        Step::Send { .. } if job.leased.intent.sent_count > 0 => Purpose::Repeat,
        Step::Send { .. } => Purpose::Send,
        Step::Search => Purpose::Search,
        _ => Purpose::Look,
    }
}

async fn send(job: &Job<'_>, client: &CalcomClient, access: Access<'_>, uid: Option<&str>) -> Result<Outcome, CalcomError> {
    let Leased { intent, appointment, .. } = &job.leased;
    let uid = uid.unwrap_or_default();
    match (intent.op, intent.starts_at) {
        (Op::Create, Some(starts_at)) => {
            let Some(wanted) = new_booking(job, starts_at) else { return Ok(Outcome::NoContact) };
            let booking = job.spending.request(purpose(job), client.create_booking(access, &wanted)).await?;
            if carries_token(intent, &booking) { Ok(Outcome::Seen(vec![booking])) } else { Ok(not_ours(job, client, access, &booking).await) }
        }
        (Op::Reschedule, Some(starts_at)) => {
            let reason = intent.reason.as_deref().unwrap_or("Auf Wunsch des Kunden");
            let booking = job.spending.request(purpose(job), client.reschedule(access, uid, starts_at, reason, None)).await?;
            // anything else is not folded, or it would join somebody's booking to ours: what became of ours, its own chain says
            Ok(if is_successor(intent, uid, &booking) { Outcome::Seen(vec![booking]) } else { Outcome::Unexplained })
        }
        _ => {
            // people read it in Cal.com's mail; our own record keeps what the caller said
            let reason = intent.reason.as_deref().filter(|reason| *reason != REASON_NOT_GIVEN).unwrap_or("Telefonisch abgesagt");
            let answered = job.spending.request(purpose(job), client.cancel(access, uid, reason)).await?;
            Ok(cancelled(intent, uid, answered))
        }
    }
    .inspect(|_| tracing::debug!(intent.id = %intent.id, appointment.number = appointment.number, "Cal.com answered"))
}

/// `None`: this account books with a phone number only, and the caller shows none.
fn new_booking(job: &Job<'_>, starts_at: DateTime<Utc>) -> Option<NewBooking> {
    let Leased { intent, appointment, .. } = &job.leased;
    let told = intent.request.get("attendee_email").and_then(Value::as_str).and_then(spoken_email);
    let phone_told = intent.request.get("attendee_phone").and_then(Value::as_str);
    let phone = job.contact.phone.as_deref().or(phone_told).and_then(E164::parse);
    // a name that somebody typed in Cal.com is taken as it is; one from a call was screened before it was stored
    let name = appointment.name_given.as_deref().and_then(|name| screen(name, &Reserved::default(), Some(name)).ok());
    let facts = AttendeeFacts {
        name_told: name.as_ref(),
        name_stored: job.contact.name.as_deref(),
        email_told: told.as_ref(),
        email_stored: job.contact.email.as_deref(),
        phone: phone.as_ref(),
        booked_at_that_time: job.attendance.booked_at_that_time,
        contact_rule: job.attendance.contact_rule,
    };
    let attendee = attendee(&facts, &intent.token.simple().to_string()).ok()?;
    Some(NewBooking {
        event_type_id: intent.event_type_id.unwrap_or_default(),
        start: starts_at,
        attendee: NewAttendee {
            name: Masked::new(attendee.name),
            email: attendee.email.map(Masked::new),
            phone: attendee.phone.map(|phone| Masked::new(phone.as_str().to_owned())),
            time_zone: appointment.time_zone.clone(),
            language: Some("de".to_owned()),
        },
        length_min: None,
        metadata: vec![
            (TOKEN_KEY.to_owned(), json!(intent.token)),
            ("company_id".to_owned(), json!(appointment.company_id)),
            ("appointment_number".to_owned(), json!(appointment.number.to_string())),
            ("source".to_owned(), json!(intent.channel)),
        ],
        notes: appointment.notes.clone().map(Masked::new),
        booking_fields: serde_json::Map::new(),
        location: None,
    })
}

/// The answer of a cancellation is our booking, cancelled. Anything else proves nothing, and what became of it the booking itself says.
fn cancelled(intent: &Intent, uid: &str, answered: Vec<Booking>) -> Outcome {
    answered.into_iter().find(|booking| booking.uid == uid && fulfils(intent, booking)).map_or(Outcome::Unexplained, |booking| Outcome::Seen(vec![booking]))
}

/// A request may have been carried out: the create is found by its token, the move and the cancellation at the booking itself.
async fn search(job: &Job<'_>, client: &CalcomClient, access: Access<'_>) -> Result<Outcome, CalcomError> {
    let Leased { intent, .. } = &job.leased;
    match (intent.op, &intent.uid) {
        (Op::Create, _) => {
            let mut found = ours(intent, list_slot(job, client, access).await?);
            // moved since: what it was moved to is part of what there is to tell
            let moved_to = found.iter().find_map(|booking| booking.rescheduled_to_uid.clone());
            if let Some(uid) = moved_to {
                found.extend(read_chain(job, client, access, &uid).await?);
            }
            Ok(if found.is_empty() { Outcome::Absent } else { Outcome::Seen(found) })
        }
        (Op::Reschedule, Some(uid)) => {
            let chain = read_chain(job, client, access, uid).await?;
            let done = chain.iter().any(|booking| fulfils(intent, booking));
            Ok(if done || is_elsewhere(&chain, uid) { Outcome::Seen(chain) } else { Outcome::Absent })
        }
        (Op::Cancel, Some(uid)) => {
            let chain = read_chain(job, client, access, uid).await?;
            Ok(if is_elsewhere(&chain, uid) { Outcome::Seen(chain) } else { Outcome::Absent })
        }
        _ => Ok(Outcome::Absent),
    }
}

/// What was made instead of our change: the booking has ended, or was moved. While the one that it was moved to cannot be read yet (reads lag), nothing is known.
fn is_elsewhere(chain: &[Booking], uid: &str) -> bool {
    chain.last().is_some_and(|last| last.rescheduled_to_uid.is_none() && (last.uid != uid || has_ended(last)))
}

/// A create was answered with a booking that is not ours, as Cal.com does when the same attendee already has that time (incident 7). Whether the time is taken, the list of
/// that time says at once; an answer that nothing explains is an unknown outcome like any other.
async fn not_ours(job: &Job<'_>, client: &CalcomClient, access: Access<'_>, answer: &Booking) -> Outcome {
    // the metadata of a seated booking is its first participant's (calcom reference 2.8)
    if answer.seat_uid.is_some() && Some(answer.start) == job.leased.intent.starts_at && answer.event_type_id == job.leased.intent.event_type_id {
        return Outcome::SeatAdded;
    }
    // the change itself was answered: a list that cannot be had says nothing about it
    let Ok(listed) = list_slot(job, client, access).await else { return Outcome::Unexplained };
    if listed.iter().any(|booking| booking.uid == answer.uid && !has_ended(booking) && booking.rescheduled_to_uid.is_none()) {
        return Outcome::NotOurs;
    }
    let found = ours(&job.leased.intent, listed);
    if found.is_empty() { Outcome::Unexplained } else { Outcome::Seen(found) }
}

/// The bookings of the wished time and event type. Bounded by their start: how long they last is the event type's matter and may not be what our service says.
async fn list_slot(job: &Job<'_>, client: &CalcomClient, access: Access<'_>) -> Result<Vec<Booking>, CalcomError> {
    let intent = &job.leased.intent;
    let filter = BookingFilter {
        event_type_id: intent.event_type_id,
        after_start: intent.starts_at,
        before_end: intent.starts_at.map(|starts_at| starts_at + LONGEST_BOOKING),
        sort: Some(Sort::Start),
        // of one event type at one time there are as many as it has hosts or seats
        take: 100,
        ..BookingFilter::default()
    };
    let mut listed = job.spending.request(purpose(job), client.list_bookings(access, &filter)).await?.bookings;
    listed.retain(|booking| Some(booking.start) == intent.starts_at);
    Ok(listed)
}

fn ours(intent: &Intent, listed: Vec<Booking>) -> Vec<Booking> {
    listed.into_iter().filter(|booking| carries_token(intent, booking)).collect()
}

/// A booking and what it was moved to; five hops are more than any caller makes in one look.
async fn read_chain(job: &Job<'_>, client: &CalcomClient, access: Access<'_>, uid: &str) -> Result<Vec<Booking>, CalcomError> {
    let mut seen: Vec<Booking> = Vec::new();
    let mut next = Some(uid.to_owned());
    while let Some(uid) = next.take().filter(|uid| seen.len() < 5 && !seen.iter().any(|booking| booking.uid == *uid)) {
        let Some(booking) = job.spending.request(purpose(job), client.get_booking(access, &uid)).await? else { break };
        next.clone_from(&booking.rescheduled_to_uid);
        seen.push(booking);
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// A cancellation was called done whatever the answer was, and the caller heard "abgesagt".
    #[test]
    fn only_our_cancelled_booking_proves_a_cancellation() {
        let row = json!({
            "id": Uuid::nil(), "company_id": Uuid::nil(), "credential_id": Uuid::nil(), "appointment_id": Uuid::nil(), "op": "cancel", "state": "sent", "lane": "live",
            "sent_count": 0, "looked_count": 0, "token": Uuid::nil(), "uid": "uid1", "actor": "customer", "channel": "retell_phone", "request": {},
            "created_at": "2026-07-01T10:00:00Z",
        });
        let intent: Intent = serde_json::from_value(row).unwrap();
        let booking = |uid: &str, status: &str| Booking::told(uid.to_owned(), status, DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
        let moved = Booking { rescheduled_to_uid: Some("uid2".to_owned()), ..booking("uid1", "cancelled") };
        for unproven in [vec![], vec![booking("uid1", "accepted")], vec![booking("uid9", "cancelled")], vec![moved]] {
            assert!(matches!(cancelled(&intent, "uid1", unproven), Outcome::Unexplained));
        }
        let all_of_a_series = vec![booking("uid9", "cancelled"), booking("uid1", "cancelled")];
        assert!(matches!(cancelled(&intent, "uid1", all_of_a_series), Outcome::Seen(seen) if seen.len() == 1 && seen[0].uid == "uid1"));
    }
}
