//! Reads Cal.com's lists for a sweep: every request paid for from the credential's shared budget, bulk lane, one at a time.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared::calcom::{Access, Booking, BookingFilter, BookingPage, CalcomClient, CalcomError, Class, Credential, Sort};
use shared::envelope::Lane;
use shared::secret::{ExposeSecret as _, Keyring};
use shared::store::budgets::{self, Taken};
use shared::store::credentials;
use shared::store::records::{self, ApiCall};
use shared::store::sweeps::{self, Leased, Run, SweepKind};

use super::{LEASE_SECONDS, SweepError, paging};
use crate::calcom_sync::bounds::CALL_MAX;
use crate::calcom_sync::verdict::{Word, word};
use crate::runtime::Context;

/// A wait for a token is cut into such pieces, to notice a stop and to keep the lease.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often the lease is kept during such a wait.
const KEEP_EVERY: Duration = Duration::from_secs(20);
/// So long a page waits for the token of its first request: longer would hold one of the process' few places for nothing, while other credentials have tokens.
const PATIENCE_FIRST: Duration = Duration::from_secs(20);
/// So long it waits for the tokens of all its requests: a page that is given up is read anew, and what it has read was paid for.
const PATIENCE_PAGE: Duration = Duration::from_secs(180);
/// Cal.com's answer is in milliseconds, and so is what we asked for.
const ROUNDING: chrono::TimeDelta = chrono::TimeDelta::seconds(1);
/// Successors of moved bookings that are looked up for one page: more belong to the next run.
const SUCCESSORS_MAX: usize = 20;

/// One sweep's way to Cal.com.
pub(super) struct Reader<'a> {
    context: &'a Context,
    keyring: &'a Keyring,
    sweep: &'a Leased,
    client: CalcomClient,
    credential: Credential,
    patience: Mutex<Patience>,
}

/// With the budget, over one page.
#[derive(Clone, Copy, Default)]
struct Patience {
    requests: u32,
    waited: Duration,
}

impl Patience {
    /// Whether to wait that much longer.
    fn bears(self, wait: Duration) -> bool {
        self.waited + wait <= if self.requests == 0 { PATIENCE_FIRST } else { PATIENCE_PAGE }
    }
}

/// A page, and where the next one begins.
pub(super) struct Read {
    pub bookings: Vec<Booking>,
    pub returned: usize,
    pub next: Option<sweeps::Page>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(context: &'a Context, keyring: &'a Keyring, sweep: &'a Leased, client: CalcomClient, credential: Credential) -> Self {
        Self { context, keyring, sweep, client, credential, patience: Mutex::default() }
    }

    /// The run's next page.
    ///
    /// # Errors
    /// Cal.com fails or answers something else than what was asked, the budget has no token in time, the key was changed, the process drains, or the lease is lost.
    pub(super) async fn page(&self, run: &Run) -> Result<Read, SweepError> {
        *self.patience() = Patience::default();
        let filter = filter(self.sweep.kind, run);
        let page = self.request("list_bookings", self.client.list_bookings(self.access(), &filter)).await?;
        check(self.sweep.kind, run, &page)?;
        if page.unreadable > 0 {
            tracing::warn!(credential.id = %self.sweep.credential_id, rows = page.unreadable, "Cal.com listed bookings without uid or start");
        }
        let last = page.bookings.iter().filter_map(|booking| moment(self.sweep.kind, booking)).max();
        let mut bookings = page.bookings;
        if self.sweep.kind == SweepKind::Window {
            self.add_successors(&mut bookings).await?;
        }
        Ok(Read { next: paging::after(run.page, page.returned, last), returned: page.returned, bookings })
    }

    /// A booking that was moved out of the window is over, and its successor in no page: it is read by itself.
    async fn add_successors(&self, bookings: &mut Vec<Booking>) -> Result<(), SweepError> {
        let listed: HashSet<String> = bookings.iter().map(|booking| booking.uid.clone()).collect();
        let missing: Vec<String> = bookings.iter().filter_map(|booking| booking.rescheduled_to_uid.clone()).filter(|uid| !listed.contains(uid)).collect();
        for uid in missing.into_iter().take(SUCCESSORS_MAX) {
            bookings.extend(self.request("get_booking", self.client.get_booking(self.access(), &uid)).await?);
        }
        Ok(())
    }

    /// Whether every booking of the event type awaits the host's word.
    ///
    /// # Errors
    /// As [`Reader::page`]; an event type that is gone asks nobody.
    pub(super) async fn asks_host(&self, event_type_id: i64) -> Result<bool, SweepError> {
        match self.request("event_type", self.client.event_type(self.access(), event_type_id)).await {
            Ok(event_type) => Ok(event_type.always_asks_host),
            Err(SweepError::Calcom(error)) if word(Some(&error)) == Word::Answers => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn access(&self) -> Access<'_> {
        Access::new(&self.credential).within(CALL_MAX)
    }

    async fn request<T>(&self, operation: &'static str, request: impl Future<Output = Result<T, CalcomError>>) -> Result<T, SweepError> {
        self.keep().await?;
        self.token().await?;
        let begun = Instant::now();
        let answer = request.await;
        // first what concerns all processes: a record that fails must not keep a 429 from them
        let told = self.tell(answer.as_ref().err()).await;
        self.record(operation, begun, answer.as_ref().err()).await?;
        told?;
        Ok(answer?)
    }

    async fn tell(&self, error: Option<&CalcomError>) -> Result<(), SweepError> {
        let (pool, id) = (&self.context.pool, self.sweep.credential_id);
        match word(error) {
            Word::Answers => budgets::succeeded(pool, id).await?,
            Word::Fails => drop(budgets::failed(pool, id).await?),
            Word::Rests(_) if matches!(error.map(CalcomError::class), Some(Class::CredentialRejected)) && self.key_changed().await? => {
                return Err(SweepError::KeyChanged);
            }
            Word::Rests(pause) => budgets::block(pool, id, pause).await?,
            Word::Nothing => {}
        }
        Ok(())
    }

    /// Whether the key that was refused is no longer the credential's: a sweep has it for many pages, and the fresh one must not rest for it.
    async fn key_changed(&self) -> Result<bool, SweepError> {
        let now = credentials::open(&self.context.pool, self.keyring, self.sweep.credential_id).await.map_err(SweepError::Sealed)?;
        Ok(now.is_none_or(|now| now.api_key.expose_secret() != self.credential.api_key.expose_secret()))
    }

    /// A list is of all companies of the account, and so of none.
    async fn record(&self, operation: &'static str, begun: Instant, error: Option<&CalcomError>) -> Result<(), SweepError> {
        let record = ApiCall {
            intent_id: None,
            credential_id: self.sweep.credential_id,
            provider: "calcom",
            operation,
            lane: Lane::Bulk,
            status: error.and_then(CalcomError::status),
            error_class: error.map(|error| error.class().name()),
            provider_request_id: error.and_then(|error| error.request_id()).map(str::to_owned),
            took_ms: i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX),
        };
        Ok(records::insert_account_request(&self.context.pool, &record).await?)
    }

    /// Keeps the lease: each request and each transaction of a page may take its time anew.
    ///
    /// # Errors
    /// The lease is lost, or Postgres is away.
    pub(super) async fn keep(&self) -> Result<(), SweepError> {
        if sweeps::keep(&self.context.pool, self.sweep, LEASE_SECONDS).await? { Ok(()) } else { Err(SweepError::LeaseLost) }
    }

    /// Waits for a token, with patience, and keeps the lease meanwhile. A key that is blocked or out of use for longer ends it at once.
    async fn token(&self) -> Result<(), SweepError> {
        let mut kept = Instant::now();
        loop {
            if self.context.stop.is_cancelled() {
                return Err(SweepError::Draining);
            }
            let Taken::Wait(wait) = budgets::take(&self.context.pool, self.sweep.credential_id, Lane::Bulk).await? else { break };
            if !self.patience().bears(wait) {
                return Err(SweepError::Starved);
            }
            let asleep = Instant::now();
            tokio::select! {
                () = tokio::time::sleep(wait.min(WAIT_MAX)) => {}
                () = self.context.stop.cancelled() => {}
            }
            self.patience().waited += asleep.elapsed();
            if kept.elapsed() > KEEP_EVERY {
                kept = Instant::now();
                self.keep().await?;
            }
        }
        self.patience().requests += 1;
        Ok(())
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn filter(kind: SweepKind, run: &Run) -> BookingFilter {
    let (from, until) = (run.page.from, run.until);
    let page = BookingFilter { take: paging::TAKE, skip: run.page.skip, ..BookingFilter::default() };
    match kind {
        SweepKind::Adoption => BookingFilter { after_created_at: from, before_created_at: until, sort: Some(Sort::CreatedAt), ..page },
        SweepKind::Updates => BookingFilter { after_updated_at: from, before_updated_at: until, sort: Some(Sort::UpdatedAt), ..page },
        SweepKind::Window => BookingFilter { after_start: from, before_end: until, sort: Some(Sort::Start), ..page },
    }
}

/// By what the list is sorted.
fn moment(kind: SweepKind, booking: &Booking) -> Option<DateTime<Utc>> {
    match kind {
        SweepKind::Adoption => booking.created_at,
        SweepKind::Updates => booking.updated_at,
        SweepKind::Window => Some(booking.start),
    }
}

/// A version that Cal.com does not know becomes an old one without a word, and then it answers in another shape or without our filter (calcom reference 3.1, 3.11).
fn check(kind: SweepKind, run: &Run, page: &BookingPage) -> Result<(), SweepError> {
    if page.total_items.is_none() {
        return Err(SweepError::OtherShape);
    }
    let outside = |at: DateTime<Utc>| run.page.from.is_some_and(|from| at < from - ROUNDING) || run.until.is_some_and(|until| at > until + ROUNDING);
    if page.bookings.iter().filter_map(|booking| moment(kind, booking)).any(outside) { Err(SweepError::FilterIgnored) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000 + second, 0).unwrap()
    }

    fn run() -> Run {
        Run { until: Some(at(100)), page: sweeps::Page { from: Some(at(10)), skip: 0 }, ..Run::default() }
    }

    fn page(total_items: Option<i64>, updated: i64) -> BookingPage {
        let booking = Booking::from_value(&json!({ "uid": "u", "start": at(5000), "updatedAt": at(updated), "createdAt": at(0) })).unwrap();
        BookingPage { bookings: vec![booking], unreadable: 0, returned: 1, total_items }
    }

    #[test]
    fn an_answer_to_something_else_ends_the_run() {
        let updates = |page: &BookingPage| check(SweepKind::Updates, &run(), page);
        assert!(updates(&page(Some(1), 50)).is_ok());
        assert!(updates(&page(Some(1), 10)).is_ok(), "the bounds belong to it");
        assert!(matches!(updates(&page(Some(1), 5)), Err(SweepError::FilterIgnored)));
        assert!(matches!(updates(&page(Some(1), 102)), Err(SweepError::FilterIgnored)));
        assert!(matches!(updates(&page(None, 50)), Err(SweepError::OtherShape)));
    }

    #[test]
    fn a_page_waits_longer_for_its_further_requests_than_for_its_first_and_never_for_ever() {
        let seconds = Duration::from_secs;
        let patience = |requests, waited| Patience { requests, waited: seconds(waited) };
        assert!(patience(0, 0).bears(seconds(1)) && patience(0, 19).bears(seconds(1)));
        assert!(!patience(0, 20).bears(seconds(1)) && !patience(0, 0).bears(seconds(60)), "a key out of use");
        assert!(patience(1, 100).bears(seconds(60)));
        assert!(!patience(1, 150).bears(seconds(60)));
    }

    #[test]
    fn each_kind_asks_by_the_moment_that_it_sorts_by() {
        let (adoption, updates, window) = (filter(SweepKind::Adoption, &run()), filter(SweepKind::Updates, &run()), filter(SweepKind::Window, &run()));
        assert_eq!((adoption.after_created_at, adoption.before_created_at, adoption.sort), (Some(at(10)), Some(at(100)), Some(Sort::CreatedAt)));
        assert_eq!((updates.after_updated_at, updates.before_updated_at, updates.sort), (Some(at(10)), Some(at(100)), Some(Sort::UpdatedAt)));
        assert_eq!((window.after_start, window.before_end, window.sort), (Some(at(10)), Some(at(100)), Some(Sort::Start)));
    }
}
