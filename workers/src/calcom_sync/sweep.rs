//! Sweeps: what Cal.com told by webhook and nobody heard (calcom reference 1.7: it never repeats one). Its lists are read page by page and folded in as every
//! webhook is, with the channel `reconciled`; what had to be added is counted, and the target is zero.
//!
//! The scheduler wants a sweep; every process with the role calcom-sync takes what is wanted, one per credential at a time. The progress is a row, so a run goes on
//! where it stopped, in whatever process. Only GETs leave here. Map: `reader` asks Cal.com · `paging` (pure) · `facts` (pure) says what a booking tells ·
//! `page` says whose · `fold` · `unknown` parks what is nobody's.

mod facts;
mod fold;
mod page;
mod paging;
mod reader;
mod unknown;

pub(super) use facts::ending_of;

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use shared::calcom::{Booking, CalcomClient, CalcomError, Credential};
use shared::config::Calcom;
use shared::secret::Keyring;
use shared::store::sweeps::{self, Leased, Page, Progress, Run, SweepKind};
use shared::store::tx::CompanyTx;
use shared::store::{StoreError, credentials, known_bookings};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::fold::{Repaired, Rest};
use self::page::Movers;
use self::reader::{Read, Reader};
use crate::runtime::{Context, Failure, failure_log};

/// Longer than one request (30 s) and its transactions take, or one company's part of a page: before each of them, and while it waits for the budget, a sweep keeps its lease.
const LEASE_SECONDS: i32 = 90;
/// Between two looks for a wanted sweep.
const POLL: Duration = Duration::from_secs(1);
/// Sweeps at a time in one process: they mostly wait for Cal.com.
const AT_ONCE: usize = 4;
/// After so many pages somebody else's sweep may be next: a run goes on later.
const PAGES_PER_LEASE: i32 = 50;
/// A million bookings changed within one run: something is wrong with the filter or with the account.
const PAGES_MAX: i32 = 10_000;
/// Before a failed run goes on.
const ERROR_PAUSE_SECONDS: i32 = 30;
/// Before a run that became too long goes on: people shall see it meanwhile, and a list that never ends costs no more than that.
const TOO_LONG_PAUSE_SECONDS: i32 = 3600;
/// How far a sweep reaches back before where the last one ended: reads come from a replica that lags, and Cal.com's clock is not ours.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// What changed more recently is left to its webhook, which may be on its way, and to our own requests, which may be under way.
pub(crate) const SETTLE: TimeDelta = TimeDelta::seconds(60);
/// The window: yesterday (somebody did not come) to as far ahead as anybody books.
const WINDOW_BACK: TimeDelta = TimeDelta::days(2);
const WINDOW_AHEAD: TimeDelta = TimeDelta::days(400);
/// How long an event type's policy is believed.
const POLICY_KEPT: Duration = Duration::from_secs(3600);

/// The class of a page that our own rows refused.
const FOLD: &str = "fold";

/// Why a sweep stopped before its end.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("Cal.com did not answer as it should")]
    Calcom(#[from] CalcomError),
    #[error("a page could not be folded")]
    Fold(#[source] Failure),
    #[error("the API key cannot be opened")]
    Sealed(#[source] StoreError),
    #[error("Cal.com answered in another version's shape")]
    OtherShape,
    #[error("Cal.com ignored the filter")]
    FilterIgnored,
    #[error("the run has too many pages")]
    TooManyPages,
    #[error("another process has the sweep")]
    LeaseLost,
    #[error("the budget has no token in time")]
    Starved,
    #[error("the API key was changed meanwhile")]
    KeyChanged,
    #[error("the process drains")]
    Draining,
}

impl From<Failure> for SweepError {
    fn from(failure: Failure) -> Self {
        Self::Fold(failure)
    }
}

impl SweepError {
    /// For the row and the log.
    const fn class(&self) -> &'static str {
        match self {
            Self::Store(_) | Self::Fold(Failure::StoreAway { .. } | Failure::Contention { .. }) => "store",
            Self::Calcom(_) => "calcom",
            Self::Fold(_) => FOLD,
            Self::Sealed(_) => "credential_sealed",
            Self::OtherShape => "other_shape",
            Self::FilterIgnored => "filter_ignored",
            Self::TooManyPages => "too_many_pages",
            Self::LeaseLost => "lease_lost",
            Self::Starved => "starved",
            Self::KeyChanged => "key_changed",
            Self::Draining => "draining",
        }
    }
}

/// What the sweeps of a process share.
struct Sweeps {
    context: Context,
    keyring: Arc<Keyring>,
    holder: Uuid,
    /// Whether the bookings of an event type await the host's word, by credential and event type.
    policies: Mutex<HashMap<(Uuid, i64), (bool, Instant)>>,
}

/// Runs until the process drains.
pub async fn run(context: Context) {
    let Some(keyring) = context.keyring.clone() else {
        tracing::error!("calcom-sync has no master keys: set MASTER_KEYS");
        return;
    };
    let stop = context.stop.clone();
    let all = Arc::new(Sweeps { context, keyring, holder: Uuid::now_v7(), policies: Mutex::default() });
    let mut running = JoinSet::new();
    while !stop.is_cancelled() {
        while running.try_join_next().is_some() {}
        if running.len() < AT_ONCE {
            match all.context.answered("lease a sweep", sweeps::lease(&all.context.pool, all.holder, LEASE_SECONDS)).await {
                Ok(Some(sweep)) => {
                    running.spawn(carry_out(Arc::clone(&all), sweep));
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(class = error.class(), "wanted sweeps could not be leased"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

async fn carry_out(all: Arc<Sweeps>, sweep: Leased) {
    let (kind, credential) = (sweep.kind.literal(), sweep.credential_id);
    // a panic here ends one sweep, not the role
    let ended = AssertUnwindSafe(all.context.answered("carry out a sweep", all.pages(&sweep))).catch_unwind().await;
    let (pause, class) = match &ended {
        Ok(Ok(true)) => return,
        Ok(Ok(false)) => (0, None),
        Ok(Err(SweepError::LeaseLost)) => return,
        // nothing is wrong with it: the next in turn is another credential's, then this one goes on where it stopped
        Ok(Err(SweepError::Starved | SweepError::KeyChanged | SweepError::Draining)) => (0, None),
        Ok(Err(error @ SweepError::TooManyPages)) => return start_over(&all, &sweep, error).await,
        Ok(Err(error)) => {
            tracing::warn!(credential.id = %credential, kind, class = error.class(), cause = failure_log::chain(error), "a sweep stopped; it goes on later");
            (ERROR_PAUSE_SECONDS, Some(error.class()))
        }
        Err(_) => {
            tracing::error!(credential.id = %credential, kind, "a sweep panicked; it goes on later");
            (ERROR_PAUSE_SECONDS, Some("panicked"))
        }
    };
    if let Err(error) = all.context.answered("give a sweep back", sweeps::give_back(&all.context.pool, &sweep, pause, class)).await {
        tracing::warn!(credential.id = %credential, kind, class = error.class(), "a sweep could not be given back: its lease runs out");
    }
}

/// What was read stays read: the next run goes on behind it.
async fn start_over(all: &Sweeps, sweep: &Leased, error: &SweepError) {
    let (kind, credential) = (sweep.kind.literal(), sweep.credential_id);
    tracing::error!(credential.id = %credential, kind, class = error.class(), "a sweep became too long; it starts over in an hour");
    let given_up = sweeps::start_over(&all.context.pool, sweep, TOO_LONG_PAUSE_SECONDS, error.class());
    if let Err(error) = all.context.answered("start a sweep over", given_up).await {
        tracing::warn!(credential.id = %credential, kind, class = error.class(), "a sweep could not be given back: its lease runs out");
    }
}

impl Sweeps {
    /// Reads and folds pages until the run ends (`true`) or others have a turn.
    async fn pages(&self, sweep: &Leased) -> Result<bool, SweepError> {
        let Some(mut run) = begun(sweep) else { return self.end(sweep, None).await };
        let reader = self.reader(sweep).await?;
        let mut unknown = self.still_unknown(sweep).await?;
        let mut movers = Movers::new();
        let first = run.pages;
        while run.pages < first + PAGES_PER_LEASE {
            if run.pages >= PAGES_MAX {
                return Err(SweepError::TooManyPages);
            }
            let read = reader.page(&run).await?;
            let Read { bookings, returned, next } = read;
            let repaired = self.fold(&reader, sweep, bookings, &mut unknown, &mut movers).await?;
            run = Run { page: next.unwrap_or(run.page), pages: run.pages + 1, ..run };
            let added = repaired.values().sum::<u64>();
            let progress = Progress {
                run,
                found: i64::try_from(returned).unwrap_or(i64::MAX),
                repaired: i64::try_from(added).unwrap_or(i64::MAX),
                unknown_event_types: unknown.clone(),
            };
            self.save(sweep, &progress, next.is_none().then(|| cursor(sweep.kind, &run))).await?;
            if next.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The event types that are still no service's: whoever mapped one had its bookings read again.
    async fn still_unknown(&self, sweep: &Leased) -> Result<Vec<i64>, SweepError> {
        let unknown = &sweep.unknown_event_types;
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let owned = known_bookings::owners_of_event_types(&self.context.pool, sweep.account_id, unknown).await?;
        Ok(unknown.iter().copied().filter(|event_type| owned.iter().all(|(known, _)| known != event_type)).collect())
    }

    /// Folds a page; its bookings that are nobody's are told once per event type.
    async fn fold(
        &self,
        reader: &Reader<'_>,
        sweep: &Leased,
        mut bookings: Vec<Booking>,
        unknown: &mut Vec<i64>,
        movers: &mut Movers,
    ) -> Result<Repaired, SweepError> {
        if sweep.kind == SweepKind::Window {
            // its bounds are about when a booking starts: what changed just now is left to its webhook here
            bookings.retain(|booking| booking.updated_at.or(booking.created_at).is_none_or(|at| at <= settled(sweep)));
        }
        let asking = self.asking(reader, sweep, &bookings).await?;
        let sorted = page::sort(&self.context, sweep, bookings, &asking, movers).await?;
        let mut repaired = Repaired::new();
        let mut rest = Rest::after(if sweep.last_error.as_deref() == Some(FOLD) { sweep.failures } else { 0 });
        for group in &sorted.groups {
            reader.keep().await?;
            let added = fold::fold(&self.context, group, &mut rest).await?;
            self.count(sweep, &added);
            for (kind, count) in added {
                *repaired.entry(kind).or_default() += count;
            }
        }
        let new: Vec<i64> = sorted.unknown_event_types.into_iter().filter(|event_type| !unknown.contains(event_type)).collect();
        if !new.is_empty() {
            unknown::park(&self.context, sweep, &new).await?;
            unknown.extend(new);
        }
        rest.settle(&self.context).await?;
        Ok(repaired)
    }

    /// Which of the page's event types always ask the host: only where it explains something, and only for what changed lately (the policy of years ago is not known).
    async fn asking(&self, reader: &Reader<'_>, sweep: &Leased, bookings: &[Booking]) -> Result<HashSet<i64>, SweepError> {
        let mut asking = HashSet::new();
        if sweep.kind != SweepKind::Updates {
            return Ok(asking);
        }
        let changed = |booking: &&Booking| matches!(booking.status.as_str(), "accepted" | "cancelled") && booking.updated_at > booking.created_at;
        let event_types: HashSet<i64> = bookings.iter().filter(changed).filter_map(|booking| booking.event_type_id).collect();
        for event_type in event_types {
            let key = (sweep.credential_id, event_type);
            let kept = self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied().filter(|(_, at)| at.elapsed() < POLICY_KEPT);
            let asks = match kept {
                Some((asks, _)) => asks,
                None => {
                    let asks = reader.asks_host(event_type).await?;
                    self.policies.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (asks, Instant::now()));
                    asks
                }
            };
            if asks {
                asking.insert(event_type);
            }
        }
        Ok(asking)
    }

    /// The page's last transaction: how far the run came, and at its end the cursor.
    async fn save(&self, sweep: &Leased, progress: &Progress, end: Option<Option<DateTime<Utc>>>) -> Result<(), SweepError> {
        let mut tx = CompanyTx::begin(&self.context.pool, None, &[]).await?;
        let mut ours = sweeps::advance(&mut tx, sweep, progress, LEASE_SECONDS).await?;
        if let Some(cursor_at) = end {
            ours &= sweeps::finish(&mut tx, sweep, cursor_at).await?;
        }
        if !ours {
            return Err(SweepError::LeaseLost);
        }
        tx.commit().await?;
        Ok(())
    }

    async fn end(&self, sweep: &Leased, cursor_at: Option<DateTime<Utc>>) -> Result<bool, SweepError> {
        let mut tx = CompanyTx::begin(&self.context.pool, None, &[]).await?;
        if !sweeps::finish(&mut tx, sweep, cursor_at).await? {
            return Err(SweepError::LeaseLost);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// What an adoption takes over was never lost. Counted when its transaction has committed; the sweep's row counts at the end of the page.
    fn count(&self, sweep: &Leased, repaired: &Repaired) {
        if sweep.kind == SweepKind::Adoption || repaired.is_empty() {
            return;
        }
        for (kind, count) in repaired {
            self.context.metrics.reconcile.repaired(kind, *count);
        }
        let facts = repaired.values().sum::<u64>();
        tracing::warn!(credential.id = %sweep.credential_id, kind = sweep.kind.literal(), facts, "a sweep added facts that no webhook had brought");
    }

    async fn reader<'a>(&'a self, sweep: &'a Leased) -> Result<Reader<'a>, SweepError> {
        let opened = credentials::open(&self.context.pool, &self.keyring, sweep.credential_id).await.map_err(SweepError::Sealed)?;
        let opened = opened.ok_or(SweepError::LeaseLost)?;
        let client = CalcomClient::new(&Calcom { base_url: opened.base_url, ..self.context.config.calcom.clone() })?;
        Ok(Reader::new(&self.context, &self.keyring, sweep, client, Credential { api_key: opened.api_key }))
    }
}

/// What changed before this was told by its webhook, or never will be: neither on its way, nor waiting for a worker of ours.
fn settled(sweep: &Leased) -> DateTime<Utc> {
    sweep.now.min(sweep.heard_until) - SETTLE
}

/// The run in progress, or a new one; `None`: there is nothing to read yet.
fn begun(sweep: &Leased) -> Option<Run> {
    if sweep.run.started_at.is_some() {
        return Some(sweep.run);
    }
    let now = sweep.now;
    let (from, until) = match sweep.kind {
        SweepKind::Adoption => (DateTime::UNIX_EPOCH, now),
        SweepKind::Updates => (sweep.cursor_at? - OVERLAP, settled(sweep)),
        SweepKind::Window => (now - WINDOW_BACK, now + WINDOW_AHEAD),
    };
    (from < until).then_some(Run { started_at: Some(now), from: Some(from), until: Some(until), page: Page { from: Some(from), skip: 0 }, pages: 0 })
}

/// What changed before this is in our rows when the run has ended; an adoption hands it to the updates.
const fn cursor(kind: SweepKind, run: &Run) -> Option<DateTime<Utc>> {
    match kind {
        SweepKind::Adoption => run.started_at,
        SweepKind::Updates => run.until,
        SweepKind::Window => None,
    }
}
