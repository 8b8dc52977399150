//! Sweeps of Cal.com's lists: which are wanted, how far each came, and whose the bookings are that they find.
//!
//! One row per credential and kind. The holder of a row's lease works a page at a time; its progress is written in the page's last transaction, and only while the
//! lease is its own. Not what a booking does to our rows (`workers::booking_facts`). Called by the scheduler, by calcom-sync's sweeps and by `frontdesk sweep`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed, silences};

/// A failing sweep is tried again after so long at the latest: what it does not read, no webhook may tell either.
const PAUSE_SECONDS_MAX: f64 = 300.0;

/// What a sweep reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SweepKind {
    /// Everything there is, once, before the first `Updates`: by when it was made, which never changes.
    Adoption,
    /// What changed since the last one.
    Updates,
    /// What starts in the near past and future: finds what never changes (`updatedAt` is null in old rows).
    Window,
}

impl SweepKind {
    pub const ALL: [Self; 3] = [Self::Adoption, Self::Updates, Self::Window];

    /// The literal in `sweeps.kind`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Adoption => "adoption",
            Self::Updates => "updates",
            Self::Window => "window",
        }
    }

    /// The kind of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.literal() == literal)
    }
}

/// A sweep that this process may work on until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    pub credential_id: Uuid,
    pub account_id: Uuid,
    pub kind: SweepKind,
    pub holder: Uuid,
    pub epoch: i64,
    pub run: Run,
    /// What changed before this is in our rows.
    pub cursor_at: Option<DateTime<Utc>>,
    /// Of no service of ours when they were last seen, by whatever sweep of the credential.
    pub unknown_event_types: Vec<i64>,
    /// Runs in a row that stopped before they came any further, and why the last one did.
    pub failures: i32,
    pub last_error: Option<String>,
    /// The database's clock when the lease began.
    pub now: DateTime<Utc>,
    /// What came after this may wait in our own queues (`silences::listen`).
    pub heard_until: DateTime<Utc>,
}

/// Where a run stands; all bounds inclusive, in Cal.com's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub started_at: Option<DateTime<Utc>>,
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Where the next page begins, and how many rows of exactly that moment were read.
    pub page: Page,
    pub pages: i32,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub from: Option<DateTime<Utc>>,
    pub skip: u32,
}

/// A row as people see it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct SweepSummary {
    pub credential_id: Uuid,
    pub account: String,
    pub kind: String,
    pub wanted_at: Option<DateTime<Utc>>,
    pub cursor_at: Option<DateTime<Utc>>,
    pub run_started_at: Option<DateTime<Utc>>,
    pub pages: i32,
    pub found: i64,
    pub repaired: i64,
    pub last_finished_at: Option<DateTime<Utc>>,
    pub last_found: Option<i64>,
    pub last_repaired: Option<i64>,
    pub last_error: Option<String>,
    pub unknown_event_types: Vec<i64>,
}

/// Wants a run of every live Cal.com credential. Where nothing was adopted yet, that comes first: updates and windows of such a credential are not wanted. The
/// number of runs wanted now that were not before.
///
/// # Errors
/// When Postgres is away.
pub async fn want(tx: &mut CompanyTx, kind: SweepKind) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "INSERT INTO sweeps AS s (credential_id, kind, wanted_at)
         SELECT c.id, CASE WHEN $1 = 'adoption' OR EXISTS (SELECT FROM sweeps a WHERE a.credential_id = c.id AND a.kind = 'adoption' AND a.cursor_at IS NOT NULL)
                      THEN $1 ELSE 'adoption' END, frontdesk_now()
         FROM credentials c WHERE c.provider = 'calcom' AND c.disabled_at IS NULL
         -- a wish during a run is for another one: who asks wants all of it read from now on. Not so an adoption, which takes hours and is asked for every few minutes
         ON CONFLICT (credential_id, kind) DO UPDATE SET wanted_at = excluded.wanted_at,
            progressed_at = CASE WHEN s.wanted_at IS NULL THEN excluded.wanted_at ELSE s.progressed_at END
            WHERE s.wanted_at IS NULL OR (s.run_started_at IS NOT NULL AND s.kind <> 'adoption')",
    )
    .bind(kind.literal())
    .execute(tx.connection())
    .await
    .map_err(failed("want sweeps"))?;
    Ok(done.rows_affected())
}

/// Wants another adoption where an event type that nobody knew belongs to a service now: its bookings were passed over.
///
/// # Errors
/// When Postgres is away.
pub async fn want_for_new_services(tx: &mut CompanyTx) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE sweeps s SET wanted_at = frontdesk_now(), progressed_at = frontdesk_now()
         WHERE s.kind = 'adoption' AND s.wanted_at IS NULL AND EXISTS (
            SELECT FROM sweeps u JOIN credentials c ON c.id = u.credential_id
            WHERE u.credential_id = s.credential_id AND EXISTS (SELECT FROM resolve_event_types_of_account(c.provider_account_id, u.unknown_event_types)))",
    )
    .execute(tx.connection())
    .await
    .map_err(failed("look for services of unknown event types"))?;
    Ok(done.rows_affected())
}

#[derive(sqlx::FromRow)]
struct LeaseRow {
    credential_id: Uuid,
    provider_account_id: Uuid,
    kind: String,
    epoch: i64,
    run_started_at: Option<DateTime<Utc>>,
    run_from: Option<DateTime<Utc>>,
    run_until: Option<DateTime<Utc>>,
    page_from: Option<DateTime<Utc>>,
    page_skip: i32,
    pages: i32,
    cursor_at: Option<DateTime<Utc>>,
    unknown_event_types: Option<Vec<i64>>,
    now: DateTime<Utc>,
    heard_until: DateTime<Utc>,
    failures: i32,
    last_error: Option<String>,
}

/// Leases the sweep whose turn it is: who had none for longest, those that failed not before their pause is over. One per credential at a time, since they share
/// its budget.
///
/// # Errors
/// When Postgres is away.
pub async fn lease(pool: &PgPool, holder: Uuid, seconds: i32) -> Result<Option<Leased>, StoreError> {
    let row: Option<LeaseRow> = sqlx::query_as(
        "SELECT t.credential_id, k.provider_account_id, t.kind, t.epoch, t.run_started_at, t.run_from, t.run_until, t.page_from, t.page_skip, t.pages, t.cursor_at,
            (SELECT a.unknown_event_types FROM sweeps a WHERE a.credential_id = t.credential_id AND a.kind = 'adoption') AS unknown_event_types,
            frontdesk_now() AS now, t.failures, t.last_error,
            -- never measured: nobody knows of a queue
            coalesce((SELECT greatest(h.nothing_waited_at, frontdesk_now() - make_interval(secs => $3)) FROM hearing h WHERE h.provider = 'calcom'), frontdesk_now()) AS heard_until
         FROM lease_sweep($1, $2) t JOIN credentials k ON k.id = t.credential_id",
    )
    .bind(holder)
    .bind(seconds)
    .bind(silences::BACKLOG_SECONDS_MAX)
    .fetch_optional(pool)
    .await
    .map_err(failed("lease a sweep"))?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Leased {
        credential_id: row.credential_id,
        account_id: row.provider_account_id,
        kind: SweepKind::parse(&row.kind).ok_or(StoreError::BadRow { table: "sweeps", column: "kind" })?,
        holder,
        epoch: row.epoch,
        run: Run {
            started_at: row.run_started_at,
            from: row.run_from,
            until: row.run_until,
            page: Page { from: row.page_from, skip: u32::try_from(row.page_skip).unwrap_or(0) },
            pages: row.pages,
        },
        cursor_at: row.cursor_at,
        unknown_event_types: row.unknown_event_types.unwrap_or_default(),
        failures: row.failures,
        last_error: row.last_error,
        now: row.now,
        heard_until: row.heard_until,
    }))
}

/// What a page, or the beginning of a run, changes.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub run: Run,
    pub found: i64,
    pub repaired: i64,
    pub unknown_event_types: Vec<i64>,
}

/// Writes how far the run came and keeps the lease for `seconds`. `false`: the lease is lost, and the transaction must not commit.
///
/// # Errors
/// When Postgres is away.
pub async fn advance(tx: &mut CompanyTx, sweep: &Leased, progress: &Progress, seconds: i32) -> Result<bool, StoreError> {
    let run = &progress.run;
    let done = sqlx::query(
        "UPDATE sweeps SET run_started_at = $5, run_from = $6, run_until = $7, page_from = $8, page_skip = $9, pages = $10, found = found + $11, repaired = repaired + $12,
            last_error = NULL, failures = 0, not_before = NULL, lease_until = frontdesk_now() + make_interval(secs => $13),
            progressed_at = CASE WHEN page_from IS DISTINCT FROM $8 OR run_started_at IS DISTINCT FROM $5 THEN frontdesk_now() ELSE progressed_at END
         WHERE credential_id = $1 AND kind = $2 AND lease_holder = $3 AND epoch = $4",
    )
    .bind(sweep.credential_id)
    .bind(sweep.kind.literal())
    .bind(sweep.holder)
    .bind(sweep.epoch)
    .bind(run.started_at)
    .bind(run.from)
    .bind(run.until)
    .bind(run.page.from)
    .bind(i32::try_from(run.page.skip).unwrap_or(i32::MAX))
    .bind(run.pages)
    .bind(progress.found)
    .bind(progress.repaired)
    .bind(seconds)
    .execute(tx.connection())
    .await
    .map_err(failed("write a sweep's progress"))?;
    sqlx::query("UPDATE sweeps SET unknown_event_types = $2 WHERE credential_id = $1 AND kind = 'adoption' AND unknown_event_types <> $2")
        .bind(sweep.credential_id)
        .bind(&progress.unknown_event_types)
        .execute(tx.connection())
        .await
        .map_err(failed("write what a sweep does not know"))?;
    Ok(done.rows_affected() == 1)
}

/// Ends the run: the cursor moves, the wish for it is gone (one that came meanwhile stays). An adoption hands its beginning to the updates as their cursor.
/// `false`: the lease is lost, and the transaction must not commit.
///
/// # Errors
/// When Postgres is away.
pub async fn finish(tx: &mut CompanyTx, sweep: &Leased, cursor_at: Option<DateTime<Utc>>) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE sweeps SET wanted_at = CASE WHEN wanted_at > coalesce(run_started_at, wanted_at) THEN wanted_at END, cursor_at = coalesce($5, cursor_at),
            run_started_at = NULL, run_from = NULL, run_until = NULL, page_from = NULL, page_skip = 0, pages = 0, last_finished_at = frontdesk_now(),
            last_found = found, last_repaired = repaired, found = 0, repaired = 0, last_error = NULL, failures = 0, not_before = NULL, lease_holder = NULL,
            lease_until = NULL, progressed_at = frontdesk_now()
         WHERE credential_id = $1 AND kind = $2 AND lease_holder = $3 AND epoch = $4",
    )
    .bind(sweep.credential_id)
    .bind(sweep.kind.literal())
    .bind(sweep.holder)
    .bind(sweep.epoch)
    .bind(cursor_at)
    .execute(tx.connection())
    .await
    .map_err(failed("end a sweep"))?;
    if sweep.kind == SweepKind::Adoption {
        sqlx::query("INSERT INTO sweeps (credential_id, kind, cursor_at) VALUES ($1, 'updates', $2) ON CONFLICT (credential_id, kind) DO NOTHING")
            .bind(sweep.credential_id)
            .bind(cursor_at)
            .execute(tx.connection())
            .await
            .map_err(failed("begin the updates after an adoption"))?;
    }
    Ok(done.rows_affected() == 1)
}

/// Keeps the lease while waiting for the budget. `false`: it is lost.
///
/// # Errors
/// When Postgres is away.
pub async fn keep(pool: &PgPool, sweep: &Leased, seconds: i32) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE sweeps SET lease_until = frontdesk_now() + make_interval(secs => $5) WHERE credential_id = $1 AND kind = $2 AND lease_holder = $3 AND epoch = $4",
    )
    .bind(sweep.credential_id)
    .bind(sweep.kind.literal())
    .bind(sweep.holder)
    .bind(sweep.epoch)
    .bind(seconds)
    .execute(pool)
    .await
    .map_err(failed("keep a sweep's lease"))?;
    Ok(done.rows_affected() == 1)
}

/// Gives the sweep back. With the class of what went wrong, if something did: then it is gone on with after `pause_seconds`, twice that after the next failure, and
/// so on up to [`PAUSE_SECONDS_MAX`].
///
/// # Errors
/// When Postgres is away.
pub async fn give_back(pool: &PgPool, sweep: &Leased, pause_seconds: i32, error: Option<&str>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE sweeps SET lease_holder = NULL, lease_until = NULL, last_error = coalesce($6, last_error), failures = failures + CASE WHEN $6 IS NULL THEN 0 ELSE 1 END,
            not_before = CASE WHEN $6 IS NULL THEN not_before ELSE frontdesk_now() + make_interval(secs => least($5 * power(2, least(failures, 16)), $7)) END
         WHERE credential_id = $1 AND kind = $2 AND lease_holder = $3 AND epoch = $4",
    )
    .bind(sweep.credential_id)
    .bind(sweep.kind.literal())
    .bind(sweep.holder)
    .bind(sweep.epoch)
    .bind(f64::from(pause_seconds))
    .bind(error)
    .bind(PAUSE_SECONDS_MAX)
    .execute(pool)
    .await
    .map_err(failed("give a sweep back"))?;
    Ok(())
}

/// Gives up a run that has become too long, and keeps what it has read: the updates' cursor moves to where it came, an adoption goes on there, a window is begun anew.
/// Not before `pause_seconds` are over, and with an error for people to see; the wish stays.
///
/// # Errors
/// When Postgres is away.
pub async fn start_over(pool: &PgPool, sweep: &Leased, pause_seconds: i32, error: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE sweeps SET cursor_at = CASE kind WHEN 'updates' THEN greatest(cursor_at, page_from) ELSE cursor_at END, pages = 0,
            run_started_at = CASE kind WHEN 'adoption' THEN run_started_at END, run_from = CASE kind WHEN 'adoption' THEN run_from END,
            run_until = CASE kind WHEN 'adoption' THEN run_until END, page_from = CASE kind WHEN 'adoption' THEN page_from END,
            page_skip = CASE kind WHEN 'adoption' THEN page_skip ELSE 0 END, lease_holder = NULL, lease_until = NULL, last_error = $6, failures = failures + 1,
            not_before = frontdesk_now() + make_interval(secs => $5)
         WHERE credential_id = $1 AND kind = $2 AND lease_holder = $3 AND epoch = $4",
    )
    .bind(sweep.credential_id)
    .bind(sweep.kind.literal())
    .bind(sweep.holder)
    .bind(sweep.epoch)
    .bind(f64::from(pause_seconds))
    .bind(error)
    .execute(pool)
    .await
    .map_err(failed("start a sweep over"))?;
    Ok(())
}

/// All sweeps, of all credentials (at most 1000).
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool) -> Result<Vec<SweepSummary>, StoreError> {
    sqlx::query_as(
        "SELECT s.credential_id, a.provider || '/' || a.label AS account, s.kind, s.wanted_at, s.cursor_at, s.run_started_at, s.pages, s.found, s.repaired, s.last_finished_at,
                s.last_found, s.last_repaired, s.last_error, s.unknown_event_types
         FROM sweeps s JOIN credentials c ON c.id = s.credential_id JOIN provider_accounts a ON a.id = c.provider_account_id ORDER BY 2, 1, 3 LIMIT 1000",
    )
    .fetch_all(pool)
    .await
    .map_err(failed("list the sweeps"))
}
