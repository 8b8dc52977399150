//! Carries one leased intent out: transaction 1, the call, transaction 2.
//!
//! Map: `requests` are what is asked of Cal.com · `receipt` (pure) says whether a booking is what was asked for · `folding` records what Cal.com showed · `endings` is everything but a
//! fulfilled wish · `unrecorded` is for what could not be recorded. Called by `dispatch`, once per lease.

mod endings;
mod folding;
mod receipt;
mod requests;
mod unrecorded;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::broker::Scale;
use shared::calcom::{Booking, CalcomError, RequestId};
use shared::envelope::Lane;
use shared::store::customers::{self, Attendance, Contact};
use shared::store::intents::{self, Lease, Leased, Op};
use shared::store::records::ApiCall;
use shared::store::tx::CompanyTx;

use super::dispatch::Sync;
use super::failed_wish::{SEAT_ADDED, UNEXPLAINED};
use super::plan::{LOOKS_MAX, Step, plan};
use super::spending::Spending;
use super::verdict::{Refusal, Verdict, verdict};
use crate::runtime::checkpoint::{self, Checkpoint, Fault, INJECTED};
use crate::runtime::failure_log;
use crate::runtime::finish::after_commit;
use crate::runtime::handler::Failure;
use endings::{SEALED, end, error_class, was_conflict};
use folding::{moot, seen};
use receipt::note_sent;
use requests::call;

/// Serialization failures are repeated in process (architecture section 6).
const CONTENTION_REPEATS_MAX: u32 = 3;
/// How often a create is answered with a booking that nothing explains until the wish counts as failed.
const UNEXPLAINED_MAX: i32 = 3;
/// Where nobody listens: what a test's failing connection is made to.
const UNREACHABLE: &str = "http://127.0.0.1:9";

/// A lease with everything that the call needs.
struct Job<'a> {
    sync: &'a Sync,
    lease: &'a Lease,
    leased: Leased,
    contact: Contact,
    attendance: Attendance,
    step: Step,
    spending: &'a Spending<'a>,
}

/// What the call brought.
enum Outcome {
    /// Bookings as Cal.com has them, to be folded in this order.
    Seen(Vec<Booking>),
    /// The change was found not to have happened.
    Absent,
    Failed(CalcomError),
    /// The API key cannot be opened with our master keys: nothing was sent.
    Sealed,
    /// The account books with a phone number only, and the caller shows none: nothing was sent.
    NoContact,
    /// The answer is somebody else's booking, and it has that time (incidents 7, 10).
    NotOurs,
    /// A course: our caller got a seat in somebody's booking, and we know a booking by one appointment only. A human makes the row.
    SeatAdded,
    /// The answer is a booking that is not ours, and nobody has that time.
    Unexplained,
}

/// Carries out one lease. Whatever happens, what it was given and did not use goes back: the token, and where the result could not be recorded the lease. Where even that
/// fails, both come back with time. Then somebody takes the intent up again, with a search if it was sent.
pub(super) async fn carry_out(sync: &Sync, lease: &Lease) {
    let spending = Spending::new(&sync.context.pool, &sync.context.pulse, &sync.metrics, lease);
    // a panic is this intent's, and is counted as any result that could not be recorded
    let ended = AssertUnwindSafe(try_carry_out(sync, lease, &spending)).catch_unwind().await.unwrap_or_else(|_| {
        sync.context.metrics.panics.inc();
        Err(Failure::retry("panicked"))
    });
    if spending.close().await {
        // an outage's next probe may go at once
        sync.bell.notify_one();
    }
    let Err(failure) = ended else { return };
    tracing::warn!(intent.id = %lease.intent_id, company.id = %lease.company_id, class = failure.class(), cause = failure_log::chain(&failure), "the intent is taken up again after its lease");
    if let Err(failure) = unrecorded::give_back(sync, lease, &failure).await {
        tracing::debug!(intent.id = %lease.intent_id, class = failure.class(), "the lease could not be given back; it expires");
    }
}

async fn try_carry_out<'a>(sync: &'a Sync, lease: &'a Lease, spending: &'a Spending<'a>) -> Result<(), Failure> {
    let Some(mut job) = sync.context.answered("begin an intent", begin(sync, lease, spending)).await? else { return Ok(()) };
    if let Step::GiveUp { .. } | Step::Moot = job.step {
        return sync.context.answered("end an intent without a request", without_request(&job)).await;
    }
    if reach(Checkpoint::BeforeCall, sync, lease, job.leased.intent.op).await {
        UNREACHABLE.clone_into(&mut job.leased.credential.base_url);
    }
    let started = Instant::now();
    let mut outcome = call(&job).await;
    let record = record_of(&job, &outcome, started.elapsed());
    if reach(Checkpoint::AfterCall, sync, lease, job.leased.intent.op).await {
        outcome = Outcome::Failed(no_answer());
    }
    // lost with a silent Postgres it is an unknown outcome like any other: searched for before it is repeated
    sync.context.answered("record the outcome of an intent", conclude(&job, outcome, record)).await
}

async fn without_request(job: &Job<'_>) -> Result<(), Failure> {
    match job.step {
        Step::GiveUp { class } => end(job, Verdict::Refused { answer: Refusal::CouldNot, class }, None).await,
        _ => moot(job).await,
    }
}

/// Transaction 1: what is leased, and if it is to be sent, the mark that it was.
async fn begin<'a>(sync: &'a Sync, lease: &'a Lease, spending: &'a Spending<'a>) -> Result<Option<Job<'a>>, Failure> {
    let mut tx = CompanyTx::begin(&sync.context.pool, Some(lease.company_id), &[]).await?;
    let Some(mut leased) = intents::leased(&mut tx, lease.intent_id, lease.holder).await? else { return Ok(None) };
    let contact = customers::contact(&mut tx, leased.appointment.customer_id).await?;
    let attendance = match (leased.intent.op, leased.intent.starts_at) {
        (Op::Create, Some(starts_at)) => {
            let appointment = &leased.appointment;
            customers::attendance(&mut tx, appointment.customer_id, appointment.id, starts_at, leased.credential.id).await?
        }
        _ => Attendance::default(),
    };
    let step = plan(&leased.intent, &leased.appointment, sync.context.clock.now());
    if let Step::Send { uid } = &step {
        intents::mark_sent(&mut tx, leased.intent.id, uid.as_deref()).await?;
        note_sent(&mut leased.intent, uid.as_deref());
    }
    tx.commit().await?;
    if reach(Checkpoint::AfterIntentCommit, sync, lease, leased.intent.op).await {
        return Err(Failure::retry(INJECTED));
    }
    Ok(Some(Job { sync, lease, leased, contact, attendance, step, spending }))
}

/// Marks a place in the life of an intent: whether the step there shall fail. To be duplicated is to be taken up by somebody else meanwhile.
async fn reach(checkpoint: Checkpoint, sync: &Sync, lease: &Lease, op: Op) -> bool {
    let fault = checkpoint::reach(checkpoint, || op.literal().to_owned());
    if fault == Some(Fault::Duplicate) {
        taken_up_twice(sync, lease).await;
    }
    fault == Some(Fault::Error)
}

/// A type of its own: a future cannot contain itself.
fn taken_up_twice<'a>(sync: &'a Sync, lease: &'a Lease) -> BoxFuture<'a, ()> {
    Box::pin(carry_out(sync, lease))
}

/// A request whose answer did not come.
fn no_answer() -> CalcomError {
    CalcomError::UnknownOutcome { operation: "carry out an intent", status: None, request_id: RequestId::default(), source: None }
}

/// Transaction 2: the result.
async fn conclude(job: &Job<'_>, outcome: Outcome, call: ApiCall) -> Result<(), Failure> {
    let intent = &job.leased.intent;
    match outcome {
        Outcome::Seen(bookings) => seen(job, &bookings, call).await,
        Outcome::Sealed => end(job, Verdict::Rest { class: SEALED }, None).await,
        Outcome::NoContact => end(job, Verdict::Refused { answer: Refusal::CouldNot, class: "phone_missing" }, None).await,
        Outcome::SeatAdded => end(job, Verdict::Refused { answer: Refusal::CouldNot, class: SEAT_ADDED }, Some(&call)).await,
        Outcome::NotOurs => end(job, Verdict::Refused { answer: Refusal::SlotTaken, class: "not_ours" }, Some(&call)).await,
        // no proof of a cancellation: the search by uid, which follows at once, tells; bounded by the sends
        Outcome::Unexplained if intent.op == Op::Cancel => end(job, Verdict::Unknown { class: "not_as_asked" }, Some(&call)).await,
        Outcome::Unexplained if intent.sent_count + 1 >= UNEXPLAINED_MAX => {
            end(job, Verdict::Refused { answer: Refusal::CouldNot, class: UNEXPLAINED }, Some(&call)).await
        }
        Outcome::Unexplained => end(job, Verdict::Unknown { class: "not_ours" }, Some(&call)).await,
        // 409 and nothing of ours: somebody else has the slot
        Outcome::Absent if job.leased.intent.looked_count + 1 >= LOOKS_MAX && was_conflict(job) => {
            end(job, Verdict::Refused { answer: Refusal::SlotTaken, class: "conflict" }, Some(&call)).await
        }
        Outcome::Absent => end(job, Verdict::Absent { class: error_class(intent) }, Some(&call)).await,
        Outcome::Failed(error) => {
            let verdict = match verdict(intent.op, &error) {
                // a look that fails says nothing about the change
                Verdict::Refused { class, .. } if matches!(job.step, Step::Search | Step::Look { .. }) => Verdict::Absent { class },
                // the time may be taken by what an earlier try of ours made: search before telling anybody "taken"
                Verdict::Refused { answer: Refusal::SlotTaken, .. } if intent.sent_count > 0 => Verdict::Unknown { class: "conflict" },
                verdict => verdict,
            };
            end(job, verdict, Some(&call)).await
        }
    }
}

/// Commits, and publishes what the transaction leaves to be done.
async fn commit(job: &Job<'_>, tx: CompanyTx) -> Result<(), Failure> {
    let after = tx.commit().await?;
    if reach(Checkpoint::AfterResultCommit, job.sync, job.lease, job.leased.intent.op).await {
        // nobody is told; the rows are left to the relay
        return Ok(());
    }
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
