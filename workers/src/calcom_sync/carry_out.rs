//! Carries one leased intent out: transaction 1, the call, transaction 2.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::broker::Scale;
use shared::calcom::{Access, Booking, BookingFilter, CalcomClient, CalcomError, Credential, NewAttendee, NewBooking, RequestId};
use shared::domain::booking_chain::{Fact, Happening, Predecessor};
use shared::domain::phone::E164;
use shared::domain::provenance::{Actor, Channel, Provenance, REASON_NOT_GIVEN};
use shared::envelope::Lane;
use shared::store::appointments::{self, Appointment};
use shared::store::customers::Contact;
use shared::store::intents::{self, Intent, IntentState, Lease, Leased, Op};
use shared::store::records::{self, ApiCall};
use shared::store::reviews::{self, Finding};
use shared::store::tx::{CompanyTx, uid_lock};
use shared::store::{StoreError, callbacks, customers, slot_claims};
use shared::telemetry::Masked;
use uuid::Uuid;

use super::PLACEHOLDER_EMAIL_HOST;
use super::dispatch::Sync;
use super::plan::{LOOKS_MAX, Step, plan};
use super::verdict::{Refusal, Verdict, verdict};
use crate::answers;
use crate::booking_facts::{self, Booker, Heard, fact_hash};
use crate::calcom_events::TOKEN_KEY;
use crate::runtime::finish::after_commit;
use crate::runtime::handler::Failure;
use crate::runtime::{checkpoint, failure_log};

/// Cal.com does calendar and video work and our own webhook inside a request (calcom reference 3.3).
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// While a caller waits six seconds for the answer, more than this only keeps the outcome unknown for longer.
const CALL_TIMEOUT_LIVE: Duration = Duration::from_secs(10);
/// Before the n-th look for an unknown outcome: replica lag is typically under a second and unbounded (calcom reference 3.4).
const LOOK_PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// Everything that one lease does at Cal.com, several reads included: well below the lease itself, so that nobody else has taken it up meanwhile.
const JOB_TIMEOUT: Duration = Duration::from_secs(35);
/// Consecutive failures of a credential after which it rests, one probe at a time.
const OUTAGE_AFTER: i32 = 5;
const OUTAGE_PAUSE: Duration = Duration::from_secs(5);
/// A key that cannot be opened is a matter for a human; until then the account rests, and no wish is lost.
const SEALED_PAUSE: Duration = Duration::from_secs(60);
const SEALED: &str = "credential_sealed";
/// Serialization failures are repeated in process (architecture section 6).
const CONTENTION_REPEATS_MAX: u32 = 3;

/// A lease with everything that the call needs.
struct Job<'a> {
    sync: &'a Sync,
    leased: Leased,
    contact: Contact,
    step: Step,
}

/// What the call brought.
enum Outcome {
    /// Bookings as Cal.com has them, to be folded in this order.
    Seen(Vec<Booking>),
    /// The change was found not to have happened.
    Absent,
    /// The booking is cancelled already, as was wanted.
    AlreadyCancelled,
    Failed(CalcomError),
    /// The API key cannot be opened with our master keys: nothing was sent.
    Sealed,
    /// The answer is somebody else's booking (incidents 7, 10).
    NotOurs,
}

/// Carries out one lease. Errors end in the log: the lease expires and somebody takes the intent up again.
pub(super) async fn carry_out(sync: &Sync, lease: &Lease) {
    if let Err(failure) = try_carry_out(sync, lease).await {
        tracing::warn!(intent.id = %lease.intent_id, company.id = %lease.company_id, class = failure.class(), cause = failure_log::chain(&failure), "the intent is taken up again after its lease");
    }
}

async fn try_carry_out(sync: &Sync, lease: &Lease) -> Result<(), Failure> {
    let Some(job) = begin(sync, lease).await? else { return Ok(()) };
    let (outcome, call) = match &job.step {
        Step::GiveUp { class } => return end(&job, Verdict::Refused { answer: Refusal::CouldNot, class }, None).await,
        Step::Moot => return moot(&job).await,
        step => {
            checkpoint::reach(checkpoint::BEFORE_CALL);
            let started = Instant::now();
            let outcome = call(&job, step).await;
            let record = record_of(&job, &outcome, started.elapsed());
            (outcome, record)
        }
    };
    checkpoint::reach(checkpoint::AFTER_CALL);
    conclude(&job, outcome, call).await
}

/// Transaction 1: what is leased, and if it is to be sent, the mark that it was.
async fn begin<'a>(sync: &'a Sync, lease: &Lease) -> Result<Option<Job<'a>>, Failure> {
    let mut tx = CompanyTx::begin(&sync.context.pool, Some(lease.company_id), &[]).await?;
    let Some(leased) = intents::leased(&mut tx, lease.intent_id, sync.holder).await? else { return Ok(None) };
    let contact = customers::contact(&mut tx, leased.appointment.customer_id).await?;
    let step = plan(&leased.intent, &leased.appointment, sync.context.clock.now());
    if let Step::Send { uid } = &step {
        intents::mark_sent(&mut tx, leased.intent.id, uid.as_deref()).await?;
    }
    tx.commit().await?;
    checkpoint::reach(checkpoint::AFTER_INTENT_COMMIT);
    Ok(Some(Job { sync, leased, contact, step }))
}

async fn call(job: &Job<'_>, step: &Step) -> Outcome {
    let row = &job.leased.credential;
    let opened = row.sealed().ok().and_then(|sealed| job.sync.keyring.open(&format!("credentials/{}", row.id), &sealed).ok());
    let Some(api_key) = opened else {
        tracing::error!(credential.id = %row.id, "the credential cannot be opened: is its master key among MASTER_KEYS?");
        return Outcome::Sealed;
    };
    let client = match job.sync.client(&row.base_url) {
        Ok(client) => client,
        Err(error) => return Outcome::Failed(error),
    };
    let credential = Credential { api_key };
    let live = job.leased.intent.lane == Lane::Live.name();
    let access = Access::new(&credential).within(if live { CALL_TIMEOUT_LIVE } else { CALL_TIMEOUT });
    let work = async {
        match step {
            Step::Send { uid } => send(job, &client, access, uid.as_deref()).await,
            Step::Search => search(job, &client, access).await,
            Step::Look { uid } => read_chain(&client, access, uid).await.map(Outcome::Seen),
            Step::GiveUp { .. } | Step::Moot => Ok(Outcome::Absent),
        }
    };
    match tokio::time::timeout(JOB_TIMEOUT, work).await {
        Ok(result) => result.unwrap_or_else(Outcome::Failed),
        Err(_) => {
            Outcome::Failed(CalcomError::UnknownOutcome { operation: "carry out an intent", status: None, request_id: RequestId::default(), source: None })
        }
    }
}

async fn send(job: &Job<'_>, client: &CalcomClient, access: Access<'_>, uid: Option<&str>) -> Result<Outcome, CalcomError> {
    let Leased { intent, appointment, .. } = &job.leased;
    let uid = uid.unwrap_or_default();
    match (intent.op, intent.starts_at) {
        (Op::Create, Some(starts_at)) => {
            let booking = client.create_booking(access, &new_booking(job, starts_at)).await?;
            Ok(if carries_token(intent, &booking) { Outcome::Seen(vec![booking]) } else { Outcome::NotOurs })
        }
        (Op::Reschedule, Some(starts_at)) => {
            let booking = client.reschedule(access, uid, starts_at, intent.reason.as_deref().unwrap_or("Auf Wunsch des Kunden"), None).await?;
            Ok(Outcome::Seen(vec![Booking { rescheduled_from_uid: Some(uid.to_owned()), ..booking }]))
        }
        _ => {
            // people read it in Cal.com's mail; our own record keeps what the caller said
            let reason = intent.reason.as_deref().filter(|reason| *reason != REASON_NOT_GIVEN).unwrap_or("Telefonisch abgesagt");
            let answered = client.cancel(access, uid, reason).await?;
            let wanted: Vec<Booking> = answered.into_iter().filter(|booking| booking.uid == uid).collect();
            // the answer of a cancellation is the cancelled booking; an edition that shows the old status is read again by the echo
            Ok(if wanted.is_empty() || !wanted[0].is_cancelled() { Outcome::AlreadyCancelled } else { Outcome::Seen(wanted) })
        }
    }
    .inspect(|_| tracing::debug!(intent.id = %intent.id, appointment.number = appointment.number, "Cal.com answered"))
}

/// A booking is ours only if it carries this intent's random token for what was asked. That is the proof (incidents 7, 10): the booking of an earlier try of
/// ours carries it as well, somebody else's never does, however new or old it is.
fn carries_token(intent: &Intent, booking: &Booking) -> bool {
    booking.metadata.get(TOKEN_KEY).and_then(|token| token.parse::<Uuid>().ok()) == Some(intent.token)
        && Some(booking.start) == intent.starts_at
        && (booking.event_type_id.is_none() || booking.event_type_id == intent.event_type_id)
}

fn new_booking(job: &Job<'_>, starts_at: DateTime<Utc>) -> NewBooking {
    let Leased { intent, appointment, .. } = &job.leased;
    let name = appointment.name_given.clone().or_else(|| job.contact.name.clone()).unwrap_or_else(|| "Telefonkunde".to_owned());
    let digits = job.contact.phone.as_deref().map(|phone| phone.trim_start_matches('+').to_owned());
    let told = intent.request.get("attendee_email").and_then(Value::as_str).map(str::to_owned);
    let email = job
        .contact
        .email
        .clone()
        .or(told)
        .unwrap_or_else(|| format!("{}{PLACEHOLDER_EMAIL_HOST}", digits.unwrap_or_else(|| format!("termin-{}", intent.token.simple()))));
    NewBooking {
        event_type_id: intent.event_type_id.unwrap_or_default(),
        start: starts_at,
        attendee: NewAttendee {
            name: Masked::new(name),
            email: Some(Masked::new(email)),
            phone: job.contact.phone.clone().filter(|phone| E164::parse(phone).is_some()).map(Masked::new),
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
    }
}

/// A request may have been carried out: the create is found by its token, the move and the cancellation at the booking itself.
async fn search(job: &Job<'_>, client: &CalcomClient, access: Access<'_>) -> Result<Outcome, CalcomError> {
    let Leased { intent, .. } = &job.leased;
    match (intent.op, &intent.uid) {
        (Op::Create, _) => {
            let filter = BookingFilter {
                event_type_id: intent.event_type_id,
                after_start: intent.starts_at,
                before_end: intent.ends_at,
                take: 100,
                ..BookingFilter::default()
            };
            let page = client.list_bookings(access, &filter).await?;
            let found: Vec<Booking> = page.bookings.into_iter().filter(|booking| carries_token(intent, booking)).collect();
            Ok(if found.is_empty() { Outcome::Absent } else { Outcome::Seen(found) })
        }
        (Op::Reschedule, Some(uid)) => {
            let chain = read_chain(client, access, uid).await?;
            let done = chain.iter().any(|booking| Some(booking.start) == intent.starts_at && booking.uid != *uid);
            let elsewhere = chain.iter().any(Booking::is_cancelled);
            Ok(if done || elsewhere { Outcome::Seen(chain) } else { Outcome::Absent })
        }
        (Op::Cancel, Some(uid)) => {
            let chain = read_chain(client, access, uid).await?;
            Ok(if chain.iter().any(Booking::is_cancelled) { Outcome::Seen(chain) } else { Outcome::Absent })
        }
        _ => Ok(Outcome::Absent),
    }
}

/// A booking and what it was moved to; five hops are more than any caller makes in one look.
async fn read_chain(client: &CalcomClient, access: Access<'_>, uid: &str) -> Result<Vec<Booking>, CalcomError> {
    let mut seen: Vec<Booking> = Vec::new();
    let mut next = Some(uid.to_owned());
    while let Some(uid) = next.take().filter(|uid| seen.len() < 5 && !seen.iter().any(|booking| booking.uid == *uid)) {
        let Some(booking) = client.get_booking(access, &uid).await? else { break };
        next.clone_from(&booking.rescheduled_to_uid);
        seen.push(booking);
    }
    Ok(seen)
}

/// Transaction 2: the result.
async fn conclude(job: &Job<'_>, outcome: Outcome, call: ApiCall) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    match outcome {
        Outcome::Seen(bookings) => seen(job, &bookings, call).await,
        Outcome::AlreadyCancelled => already_cancelled(job, Some(&call)).await,
        Outcome::Sealed => end(job, Verdict::Block { pause: SEALED_PAUSE, class: SEALED }, None).await,
        Outcome::NotOurs => end(job, Verdict::Refused { answer: Refusal::SlotTaken, class: "not_ours" }, Some(&call)).await,
        // 409 and nothing of ours: somebody else has the slot
        Outcome::Absent if job.leased.intent.looked_count + 1 >= LOOKS_MAX && was_conflict(job) => {
            end(job, Verdict::Refused { answer: Refusal::SlotTaken, class: "conflict" }, Some(&call)).await
        }
        Outcome::Absent => end(job, Verdict::Unknown { class: error_class(intent) }, Some(&call)).await,
        Outcome::Failed(error) => {
            let verdict = match verdict(intent.op, &error) {
                // a look that fails says nothing about the change
                Verdict::Refused { class, .. } if matches!(job.step, Step::Search | Step::Look { .. }) => Verdict::Unknown { class },
                verdict => verdict,
            };
            end(job, verdict, Some(&call)).await
        }
    }
}

/// A conflict over a time; a cancellation takes none.
fn was_conflict(job: &Job<'_>) -> bool {
    job.leased.intent.op != Op::Cancel && error_class(&job.leased.intent) == "conflict"
}

/// The class of the failure that made the outcome unknown, kept from look to look.
fn error_class(intent: &Intent) -> &'static str {
    match intent.error_class.as_deref() {
        Some("conflict") => "conflict",
        _ => "unknown_outcome",
    }
}

/// Folds what Cal.com says. If it shows that the wish is fulfilled, that settles the intent; if it shows the contrary, the intent fails.
async fn seen(job: &Job<'_>, bookings: &[Booking], call: ApiCall) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    let searched = !matches!(job.step, Step::Send { .. });
    let fulfilled = intent.op == Op::Look || bookings.iter().any(|booking| fulfils(intent, booking));
    let company_id = job.leased.appointment.company_id;
    let heard: Vec<Heard> = bookings.iter().map(|booking| heard(job, booking)).collect();
    let locks: Vec<i64> = heard.iter().flat_map(|heard| heard.locks(company_id)).collect();
    for repeat in 0.. {
        match fold_all(job, &heard, &locks, &call, fulfilled && intent.op == Op::Look).await {
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
    intents::put_back(&mut tx, job.leased.intent.id, job.sync.holder, "recorded", 0, false, "moved_meanwhile").await?;
    commit(job, tx).await
}

async fn fold_all(job: &Job<'_>, heard: &[Heard], locks: &[i64], call: &ApiCall, settle_look: bool) -> Result<(), Failure> {
    let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(job.leased.appointment.company_id), locks).await?;
    for heard in heard {
        booking_facts::apply(&mut tx, heard).await?;
    }
    if settle_look {
        intents::settle(&mut tx, job.leased.intent.id, true, None, None).await?;
    }
    records::insert_api_call(&mut tx, call).await?;
    intents::count_failure(&mut tx, job.leased.credential.id, false).await?;
    // the lease took one token; a chain was read uid by uid
    intents::spend_tokens(&mut tx, job.leased.credential.id, heard.len().saturating_sub(1)).await?;
    commit(job, tx).await
}

/// Whether a booking is what the intent wanted.
fn fulfils(intent: &Intent, booking: &Booking) -> bool {
    match intent.op {
        Op::Create => carries_token(intent, booking),
        Op::Reschedule => Some(booking.start) == intent.starts_at && intent.uid.as_deref() != Some(booking.uid.as_str()),
        Op::Cancel => booking.is_cancelled() && booking.rescheduled_to_uid.is_none(),
        Op::Look => true,
    }
}

/// A booking of the API as a fact.
fn heard(job: &Job<'_>, booking: &Booking) -> Heard {
    let Leased { intent, appointment, .. } = &job.leased;
    let happening = match booking.status.as_str() {
        "cancelled" if booking.rescheduled_to_uid.is_none() => Happening::Cancelled,
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
async fn already_cancelled(job: &Job<'_>, call: Option<&ApiCall>) -> Result<(), Failure> {
    let Leased { intent, appointment, .. } = &job.leased;
    let uid = match (&job.step, &intent.uid, &appointment.calcom_uid) {
        (Step::Send { uid: Some(uid) }, ..) | (_, Some(uid), _) | (_, _, Some(uid)) => uid.clone(),
        _ => return Box::pin(end(job, Verdict::Refused { answer: Refusal::CouldNot, class: "never_booked" }, call)).await,
    };
    let mut heard = heard(job, &Booking::told(uid.clone(), "cancelled", appointment.starts_at, appointment.ends_at));
    heard.fact.reason.clone_from(&intent.reason);
    heard.intent_id = Some(intent.id);
    let locks = [uid_lock(appointment.company_id, &uid)];
    for repeat in 0.. {
        let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(appointment.company_id), &locks).await?;
        match booking_facts::apply(&mut tx, &heard).await {
            Err(Failure::Contention { .. }) if repeat < CONTENTION_REPEATS_MAX => continue,
            other => other?,
        };
        if let Some(call) = call {
            records::insert_api_call(&mut tx, call).await?;
        }
        return commit(job, tx).await;
    }
    Ok(())
}

async fn moot(job: &Job<'_>) -> Result<(), Failure> {
    if job.leased.intent.op == Op::Cancel {
        return already_cancelled(job, None).await;
    }
    let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(job.leased.appointment.company_id), &[]).await?;
    intents::settle(&mut tx, job.leased.intent.id, true, None, None).await?;
    commit(job, tx).await
}

/// Everything but a fulfilled wish.
async fn end(job: &Job<'_>, verdict: Verdict, call: Option<&ApiCall>) -> Result<(), Failure> {
    for repeat in 0.. {
        match try_end(job, &verdict, call).await {
            Err(Failure::Contention { .. }) if repeat < CONTENTION_REPEATS_MAX => {}
            other => return other,
        }
    }
    Ok(())
}

async fn try_end(job: &Job<'_>, verdict: &Verdict, call: Option<&ApiCall>) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    let mut tx = CompanyTx::begin(&job.sync.context.pool, Some(job.leased.appointment.company_id), &[]).await?;
    // the order of every transaction: the appointment before its intents (architecture section 6, Locks)
    let current = appointments::locked(&mut tx, intent.appointment_id).await?;
    if let Some(call) = call {
        records::insert_api_call(&mut tx, call).await?;
    }
    let credential_id = job.leased.credential.id;
    let failures = match verdict {
        Verdict::Unknown { class } | Verdict::Later { class, .. } if matches!(*class, "unknown_outcome" | "not_sent") && !matches!(job.step, Step::Search) => {
            intents::count_failure(&mut tx, credential_id, true).await?
        }
        _ => 0,
    };
    if failures >= OUTAGE_AFTER {
        intents::block_credential(&mut tx, credential_id, millis(job, OUTAGE_PAUSE)).await?;
    }
    match verdict {
        Verdict::Refused { answer, class } => fail(&mut tx, job, *answer, class, current).await?,
        Verdict::Unknown { class } => {
            let searched = matches!(job.step, Step::Search | Step::Look { .. });
            let looks = usize::try_from(intent.looked_count).unwrap_or(0) + usize::from(searched);
            let pause = LOOK_PAUSES.get(looks).copied().unwrap_or(LOOK_PAUSES[LOOK_PAUSES.len() - 1]);
            let class = if was_conflict(job) { "conflict" } else { *class };
            if intent.op == Op::Look && intent.looked_count >= LOOKS_MAX {
                fail(&mut tx, job, Refusal::CouldNot, class, current).await?;
            } else {
                intents::put_back(&mut tx, intent.id, job.sync.holder, "unknown", millis(job, pause), searched, class).await?;
            }
        }
        Verdict::Later { pause, class } => put_back_unsent(&mut tx, job, *pause, class).await?,
        Verdict::Block { pause, class } => {
            if matches!(*class, "credential_rejected" | SEALED) {
                rejected(&mut tx, job, class).await?;
            }
            // the provider's own seconds: never scaled
            intents::block_credential(&mut tx, credential_id, i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)).await?;
            put_back_unsent(&mut tx, job, *pause, class).await?;
        }
    }
    commit(job, tx).await
}

/// A key that is refused stops an account: loudly, for it never mends itself.
async fn rejected(tx: &mut CompanyTx, job: &Job<'_>, class: &str) -> Result<(), StoreError> {
    let credential_id = job.leased.credential.id;
    tracing::error!(credential.id = %credential_id, class, "an account of Cal.com rests: its API key is refused or cannot be opened (frontdesk credential rotate)");
    let finding = Finding {
        subject: "credential",
        reason: "credential_rejected",
        appointment_id: None,
        call_id: None,
        intent_id: None,
        details: json!({ "credential_id": credential_id, "class": class }),
        dedup_key: format!("credential_rejected/{credential_id}"),
    };
    reviews::open(tx, &finding).await
}

/// The request did not reach Cal.com: the intent is as it was before it was sent.
async fn put_back_unsent(tx: &mut CompanyTx, job: &Job<'_>, pause: Duration, class: &str) -> Result<(), StoreError> {
    let intent = &job.leased.intent;
    let was_unknown = matches!(intent.state, IntentState::Sent | IntentState::Unknown);
    let state = if was_unknown { "unknown" } else { "recorded" };
    intents::put_back(tx, intent.id, job.sync.holder, state, millis(job, pause), false, class).await
}

/// Cal.com will not do it: the wish ends, its claims are freed, the caller hears it, and what waited behind it goes on or ends too.
async fn fail(tx: &mut CompanyTx, job: &Job<'_>, refusal: Refusal, class: &str, current: Option<Appointment>) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    if !intents::settle(tx, intent.id, false, None, Some(class)).await? || intent.op == Op::Look {
        return Ok(());
    }
    let answer = match refusal {
        Refusal::SlotTaken => answers::slot_taken(),
        Refusal::OutOfBounds => answers::out_of_bounds(),
        Refusal::CouldNot => answers::could_not(),
    };
    if refusal == Refusal::CouldNot {
        callbacks::promise(tx, intent.call_id, Some(intent.appointment_id), "wish_failed", callbacks::Priority::High).await?;
    }
    match (intent.op, current) {
        (Op::Create, Some(current)) if current.status == "requested" => end_appointment(tx, job, &current).await?,
        (Op::Reschedule, Some(current)) if intent.starts_at.is_some_and(|starts_at| starts_at != current.starts_at) => {
            slot_claims::free(tx, intent.appointment_id, intent.starts_at.unwrap_or(current.starts_at)).await?;
        }
        _ => {}
    }
    booking_facts::finish_function(tx, intent, false, &answer, None).await?;
    booking_facts::release_next(tx, intent.appointment_id, job.sync.context.clock.now(), intent.traceparent.as_deref()).await
}

/// A booking that never came to be takes the wishes that waited behind it along.
async fn end_appointment(tx: &mut CompanyTx, job: &Job<'_>, current: &Appointment) -> Result<(), Failure> {
    appointments::fail(tx, current).await?;
    for waiting in intents::waiting_of(tx, current.id).await? {
        if intents::settle(tx, waiting.id, false, None, Some("never_booked")).await? {
            booking_facts::finish_function(tx, &waiting, false, &answers::could_not(), None).await?;
        }
    }
    tracing::info!(appointment.number = current.number, company.id = %job.leased.appointment.company_id, "a wish to book ended without a booking");
    Ok(())
}

/// Commits, and publishes what the transaction leaves to be done.
async fn commit(job: &Job<'_>, tx: CompanyTx) -> Result<(), Failure> {
    let after = tx.commit().await?;
    checkpoint::reach(checkpoint::AFTER_RESULT_COMMIT);
    job.sync.bell.notify_one();
    after_commit(&job.sync.context, after).await;
    Ok(())
}

fn millis(job: &Job<'_>, pause: Duration) -> i64 {
    let scaled = Scale::divided_by(job.sync.context.config.broker.delay_tiers_divisor).apply(pause);
    i64::try_from(scaled.as_millis()).unwrap_or(i64::MAX)
}

fn record_of(job: &Job<'_>, outcome: &Outcome, took: Duration) -> ApiCall {
    let error = if let Outcome::Failed(error) = outcome { Some(error) } else { None };
    let intent = &job.leased.intent;
    ApiCall {
        intent_id: Some(intent.id),
        credential_id: job.leased.credential.id,
        provider: "calcom",
        operation: match &job.step {
            Step::Send { .. } => intent.op.literal(),
            Step::Search => "search",
            _ => "look",
        },
        lane: if intent.lane == Lane::Live.name() { Lane::Live } else { Lane::Bulk },
        // of a success only that it was one is known here: no error class
        status: error.and_then(CalcomError::status),
        error_class: error.map(|error| error.class().name()),
        provider_request_id: error.and_then(CalcomError::request_id).map(str::to_owned),
        took_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
    }
}
