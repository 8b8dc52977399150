//! Records what Cal.com showed: the bookings go through the fold like every other fact, and what they show settles the intent.
//!
//! Not the fold itself (`booking_facts`). Called by `carry_out` in transaction 2.

use shared::calcom::Booking;
use shared::domain::booking_chain::{Fact, Happening, Predecessor};
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::store::intents::{self, Leased, Op};
use shared::store::known_bookings::{self, Known};
use shared::store::records::{self, ApiCall};
use shared::store::tx::{CompanyTx, uid_lock};

use super::endings::end;
use super::receipt::{fulfils, has_ended, was_moved_on};
use super::{CONTENTION_REPEATS_MAX, Job, commit};
use crate::booking_facts::{self, Booker, Heard, fact_hash};
use crate::calcom_sync::plan::Step;
use crate::calcom_sync::sweep::ending_of;
use crate::calcom_sync::verdict::{Refusal, Verdict};
use crate::runtime::handler::Failure;

/// Folds what Cal.com says. If it shows that the wish is fulfilled, that settles the intent; if it shows the contrary, the intent fails.
pub(super) async fn seen(job: &Job<'_>, bookings: &[Booking], call: ApiCall) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    let searched = !matches!(job.step, Step::Send { .. });
    let fulfilled = intent.op == Op::Look || bookings.iter().any(|booking| fulfils(intent, booking));
    let company_id = job.leased.appointment.company_id;
    let locks: Vec<i64> = bookings.iter().flat_map(|booking| all_heard(job, booking, None)).flat_map(|heard| heard.locks(company_id)).collect();
    for repeat in 0.. {
        match fold_all(job, bookings, &locks, &call, fulfilled && intent.op == Op::Look).await {
            Err(Failure::Contention { .. }) if repeat < CONTENTION_REPEATS_MAX => {}
            other => {
                other?;
                break;
            }
        }
    }
    if fulfilled {
        return Ok(());
    }
    if intent.op == Op::Cancel && bookings.last().is_some_and(|head| !head.is_cancelled() && intent.uid.as_deref() != Some(head.uid.as_str())) {
        // moved by somebody before we heard of it: the appointment is what the caller wants cancelled, wherever it is now
        return follow(job).await;
    }
    // found, but not as wanted: moved elsewhere, or cancelled by somebody
    let class = if searched { "gone" } else { "not_as_wanted" };
    end(job, Verdict::Refused { answer: Refusal::CouldNot, class }, None).await
}

/// The chain is folded and its head is another uid now: the change is sent against that one. Bounded by the number of sends.
async fn follow(job: &Job<'_>) -> Result<(), Failure> {
    let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(job.leased.appointment.company_id), &[]).await?;
    intents::put_back(&mut tx, job.leased.intent.id, job.lease.holder, "recorded", 0, false, "moved_meanwhile").await?;
    commit(job, tx).await
}

async fn fold_all(job: &Job<'_>, bookings: &[Booking], locks: &[i64], call: &ApiCall, settle_look: bool) -> Result<(), Failure> {
    let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(job.leased.appointment.company_id), locks).await?;
    let uids: Vec<&str> = bookings.iter().map(|booking| booking.uid.as_str()).collect();
    let known = known_bookings::of(&mut tx, &uids).await?;
    for booking in bookings {
        for heard in all_heard(job, booking, known.iter().find(|known| known.uid == booking.uid)) {
            booking_facts::apply(&mut tx, &heard).await?;
        }
    }
    if settle_look {
        intents::settle(&mut tx, job.leased.intent.id, true, None, None).await?;
    }
    records::insert_api_call(&mut tx, call).await?;
    commit(job, tx).await
}

/// What a booking of the API tells. One that we made or moved and that has ended since tells two things, and only the first of them was our doing; the end comes first,
/// so that nobody hears "gebucht" of it. One that somebody moved on since tells only that it was: where it is now, its successor tells, and nobody hears of the wished time.
fn all_heard(job: &Job<'_>, booking: &Booking, known: Option<&Known>) -> Vec<Heard> {
    let intent = &job.leased.intent;
    let was_ours = matches!(intent.op, Op::Create | Op::Reschedule) && fulfils(intent, booking);
    if !was_ours || !(has_ended(booking) || was_moved_on(booking)) {
        return vec![heard(job, booking, known)];
    }
    // when the row changed is when it ended
    let mut made = heard(job, &Booking { updated_at: booking.created_at, cancellation_reason: None, ..booking.clone() }, known);
    made.fact.happening = Happening::Existed;
    made.fact.hash = fact_hash(Happening::Existed, &booking.uid, booking.start, booking.end, 0);
    if was_moved_on(booking) {
        return vec![made];
    }
    vec![Heard { intent_id: None, ..heard(job, booking, known) }, made]
}

/// A booking of the API as a fact. What ended it, the API does not always show: what we know of it decides, as in a sweep.
fn heard(job: &Job<'_>, booking: &Booking, known: Option<&Known>) -> Heard {
    let Leased { intent, appointment, .. } = &job.leased;
    let happening = match booking.status.as_str() {
        // a cancellation that we wish for ends it, whatever ended it before
        "cancelled" if intent.op == Op::Cancel && booking.rescheduled_to_uid.is_none() => Happening::Cancelled,
        "cancelled" => ending_of(booking, known).unwrap_or(Happening::Accepted),
        "rejected" => Happening::Rejected,
        "pending" => Happening::Requested,
        _ => Happening::Accepted,
    };
    let predecessor = booking.rescheduled_from_uid.clone().map(|uid| Predecessor { uid, starts_at: None, ends_at: None });
    let fulfils = intent.op != Op::Look && fulfils(intent, booking);
    let now = job.sync.context.clock.now();
    let told_at = booking.updated_at.or(booking.created_at).unwrap_or(now);
    Heard {
        fact: Fact {
            uid: booking.uid.clone(),
            happening,
            predecessor,
            sequence: 0,
            provider_updated_at: None,
            hash: fact_hash(happening, &booking.uid, booking.start, booking.end, 0),
            starts_at: booking.start,
            ends_at: booking.end,
            event_type_id: booking.event_type_id,
            booking_id: booking.id,
            host_user_id: booking.hosts.first().and_then(|host| host.id.as_ref()).and_then(|id| id.parse().ok()),
            seats_per_slot: None,
            reason: booking.cancellation_reason.as_ref().map(|reason| reason.expose().clone()).filter(|reason| !reason.is_empty()),
            told_at,
        },
        token: (intent.op == Op::Create).then_some(intent.token),
        intent_id: fulfils.then_some(intent.id),
        appointment_id: Some(appointment.id),
        external: Provenance {
            actor: Actor::Unknown,
            channel: Channel::Reconciled,
            call_id: None,
            user_id: None,
            intent_id: None,
            message_id: None,
            occurred_at: told_at,
        },
        booker: Booker::default(),
        place: None,
        one_seat: false,
        series_member: false,
        needs_known_booking: true,
        received_at: now,
        traceparent: intent.traceparent.clone(),
    }
}

/// The booking is cancelled, as was wanted: the fact of it with the times that we know.
async fn already_cancelled(job: &Job<'_>) -> Result<(), Failure> {
    let Leased { intent, appointment, .. } = &job.leased;
    let uid = match (&job.step, &intent.uid, &appointment.calcom_uid) {
        (Step::Send { uid: Some(uid) }, ..) | (_, Some(uid), _) | (_, _, Some(uid)) => uid.clone(),
        _ => return Box::pin(end(job, Verdict::Refused { answer: Refusal::CouldNot, class: "never_booked" }, None)).await,
    };
    let mut heard = heard(job, &Booking::told(uid.clone(), "cancelled", appointment.starts_at, appointment.ends_at), None);
    heard.fact.reason.clone_from(&intent.reason);
    heard.intent_id = Some(intent.id);
    let locks = [uid_lock(appointment.company_id, &uid)];
    for repeat in 0.. {
        let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(appointment.company_id), &locks).await?;
        match booking_facts::apply(&mut tx, &heard).await {
            Err(Failure::Contention { .. }) if repeat < CONTENTION_REPEATS_MAX => continue,
            other => other?,
        };
        return commit(job, tx).await;
    }
    Ok(())
}

pub(super) async fn moot(job: &Job<'_>) -> Result<(), Failure> {
    if job.leased.intent.op == Op::Cancel {
        return already_cancelled(job).await;
    }
    let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(job.leased.appointment.company_id), &[]).await?;
    intents::settle(&mut tx, job.leased.intent.id, true, None, None).await?;
    commit(job, tx).await
}
