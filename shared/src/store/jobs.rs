//! The schedule: which job is due when, by the database's clock. The row is what counts; the program brings the defaults of a new one.
//!
//! Not the jobs themselves (`workers::scheduler`). Written by the scheduler's leader and by `frontdesk sweep`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What happens to runs that were missed while nobody led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// The next one is soon enough.
    Skip,
    /// One run now for all of them.
    Once,
    /// Each of them, one after the other.
    All,
}

impl CatchUp {
    /// The literal in `jobs.catch_up`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }

    /// The rule of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        [Self::Skip, Self::Once, Self::All].into_iter().find(|rule| rule.literal() == literal)
    }
}

/// The defaults of a job that has no row yet.
#[derive(Clone, Copy, Debug)]
pub struct NewJob {
    pub name: &'static str,
    pub cron: &'static str,
    /// IANA name.
    pub time_zone: &'static str,
    pub catch_up: CatchUp,
}

/// A row of `jobs`.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Job {
    pub name: String,
    pub cron: String,
    pub time_zone: String,
    pub catch_up: String,
    pub paused: bool,
    pub next_run_at: Option<DateTime<Utc>>,
    /// Somebody wants it now, paused or not.
    pub run_asked_at: Option<DateTime<Utc>>,
    pub last_run_at: Option<DateTime<Utc>>,
    pub last_result: Option<String>,
}

/// Adds the rows that are missing; a row that is there stays as people set it.
///
/// # Errors
/// When Postgres is away.
pub async fn ensure(tx: &mut CompanyTx, jobs: &[NewJob]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (name, cron, time_zone, catch_up) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ON CONFLICT (name) DO NOTHING",
    )
    .bind(jobs.iter().map(|job| job.name).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.cron).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.time_zone).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.catch_up.literal()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await
    .map_err(failed("add jobs"))?;
    Ok(())
}

/// All jobs by name.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool) -> Result<Vec<Job>, StoreError> {
    sqlx::query_as("SELECT * FROM jobs ORDER BY name LIMIT 1000").fetch_all(pool).await.map_err(failed("list jobs"))
}

/// The database's clock, which the schedule compares with.
///
/// # Errors
/// When Postgres is away.
pub async fn now(pool: &PgPool) -> Result<DateTime<Utc>, StoreError> {
    sqlx::query_scalar("SELECT frontdesk_now()").fetch_one(pool).await.map_err(failed("read the database's clock"))
}

/// Notes when the job runs next, without having run it.
///
/// # Errors
/// When Postgres is away.
pub async fn plan(tx: &mut CompanyTx, name: &str, next_run_at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query("UPDATE jobs SET next_run_at = $2 WHERE name = $1")
        .bind(name)
        .bind(next_run_at)
        .execute(tx.connection())
        .await
        .map_err(failed("plan a job"))?;
    Ok(())
}

/// Notes that the job ran, and when it runs next. `asked`: the wish that this run fulfilled; a later one stays.
///
/// # Errors
/// When Postgres is away.
pub async fn finish(tx: &mut CompanyTx, name: &str, result: &str, next_run_at: Option<DateTime<Utc>>, asked: Option<DateTime<Utc>>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE jobs SET last_run_at = frontdesk_now(), last_result = $2, next_run_at = $3, run_asked_at = CASE WHEN run_asked_at <= $4 THEN NULL ELSE run_asked_at END
         WHERE name = $1",
    )
    .bind(name)
    .bind(result)
    .bind(next_run_at)
    .bind(asked)
    .execute(tx.connection())
    .await
    .map_err(failed("finish a job"))?;
    Ok(())
}

/// Asks for a run now. `false`: there is no such job (yet: the first scheduler adds them).
///
/// # Errors
/// When Postgres is away.
pub async fn ask(pool: &PgPool, name: &str) -> Result<bool, StoreError> {
    let done =
        sqlx::query("UPDATE jobs SET run_asked_at = clock_timestamp() WHERE name = $1").bind(name).execute(pool).await.map_err(failed("ask for a job"))?;
    Ok(done.rows_affected() == 1)
}

/// Lets a job rest, or ends its rest. `false`: there is no such job.
///
/// # Errors
/// When Postgres is away.
pub async fn pause(pool: &PgPool, name: &str, paused: bool) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE jobs SET paused = $2 WHERE name = $1").bind(name).bind(paused).execute(pool).await.map_err(failed("pause a job"))?;
    Ok(done.rows_affected() == 1)
}

/// Makes the day partitions that are missing; how many there were.
///
/// # Errors
/// When Postgres is away.
pub async fn make_day_partitions(tx: &mut CompanyTx, days_ahead: i32) -> Result<i32, StoreError> {
    sqlx::query_scalar("SELECT create_day_partitions($1)").bind(days_ahead).fetch_one(tx.connection()).await.map_err(failed("make the day partitions"))
}
