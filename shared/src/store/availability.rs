//! Cal.com's free slots of a service, remembered for a minute: a caller who asks for three times costs one request (architecture section 9).
//!
//! A day is remembered while it is young and no appointment of it has changed since (incident 71); the table is UNLOGGED, lost at a crash of Postgres, which costs one
//! request. Not our own claims: they are subtracted anew each time (`slot_claims::in_the_way`). Called by the functions that offer times.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// Days of one look at most.
pub const DAYS_MAX: usize = 62;

/// One remembered day, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Day {
    pub day: NaiveDate,
    pub starts: Vec<DateTime<Utc>>,
}

/// The remembered days of a service from `first` to `last`, each included, by day; what is missing must be asked for. A change that Cal.com told of less than five seconds after it was asked
/// also voids a day: its own cache of slots is two seconds old (calcom reference 3.6).
///
/// # Errors
/// When Postgres is away.
pub async fn remembered(tx: &mut CompanyTx, service_id: Uuid, first: NaiveDate, last: NaiveDate) -> Result<Vec<Day>, StoreError> {
    let company_id = tx.company_id();
    // the changes of these days only, once for all of them: beside a backlog thousands are made in a minute, of other days
    sqlx::query_as(
        "WITH changed AS MATERIALIZED (
             SELECT (m.new_starts_at AT TIME ZONE 'UTC')::date AS day, m.created_at AS at FROM appointment_modifications m
             WHERE m.company_id = $1 AND m.new_starts_at >= $6 AND m.new_starts_at < $7 AND m.created_at > frontdesk_now() - interval '65 seconds'
             UNION ALL
             SELECT (m.previous_starts_at AT TIME ZONE 'UTC')::date, m.created_at FROM appointment_modifications m
             WHERE m.company_id = $1 AND m.previous_starts_at >= $6 AND m.previous_starts_at < $7 AND m.created_at > frontdesk_now() - interval '65 seconds'
         ), latest AS MATERIALIZED (SELECT day, max(at) AS at FROM changed GROUP BY day)
         SELECT s.day, s.starts FROM availability_slots s LEFT JOIN latest ON latest.day = s.day
         WHERE s.company_id = $1 AND s.service_id = $2 AND s.day BETWEEN $3 AND $4 AND s.asked_at > frontdesk_now() - interval '1 minute'
           AND (latest.at IS NULL OR latest.at <= s.asked_at - interval '5 seconds')
         ORDER BY s.day LIMIT $5",
    )
    .bind(company_id)
    .bind(service_id)
    .bind(first)
    .bind(last)
    .bind(i64::try_from(DAYS_MAX).unwrap_or(i64::MAX))
    .bind(first.and_time(NaiveTime::MIN).and_utc())
    .bind(last.succ_opt().unwrap_or(last).and_time(NaiveTime::MIN).and_utc())
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read the remembered slots"))
}

/// Remembers what Cal.com said when it was asked at `asked_at`: all days from `first` to `last`, also those without a slot. An older answer never replaces a newer one.
///
/// # Errors
/// When Postgres is away.
pub async fn remember(
    tx: &mut CompanyTx,
    service_id: Uuid,
    (first, last): (NaiveDate, NaiveDate),
    starts: &[DateTime<Utc>],
    asked_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "INSERT INTO availability_slots (company_id, service_id, day, starts, asked_at)
         SELECT $1, $2, d.day::date, ARRAY(SELECT t FROM unnest($5::timestamptz[]) t WHERE (t AT TIME ZONE 'UTC')::date = d.day::date ORDER BY t), $6
         FROM generate_series($3::date, $4::date, interval '1 day') AS d(day) LIMIT $7
         ON CONFLICT (company_id, service_id, day) DO UPDATE SET starts = excluded.starts, asked_at = excluded.asked_at
         WHERE availability_slots.asked_at < excluded.asked_at",
    )
    .bind(company_id)
    .bind(service_id)
    .bind(first)
    .bind(last)
    .bind(starts)
    .bind(asked_at)
    .bind(i64::try_from(DAYS_MAX).unwrap_or(i64::MAX))
    .execute(tx.connection())
    .await
    .map_err(failed("remember slots"))?;
    Ok(())
}

/// Forgets the day of a start that Cal.com has just refused: what is remembered of it is not true any more (incident 71).
///
/// # Errors
/// When Postgres is away.
pub async fn forget_day(tx: &mut CompanyTx, service_id: Uuid, starts_at: DateTime<Utc>) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("DELETE FROM availability_slots WHERE company_id = $1 AND service_id = $2 AND day = ($3 AT TIME ZONE 'UTC')::date")
        .bind(company_id)
        .bind(service_id)
        .bind(starts_at)
        .execute(tx.connection())
        .await
        .map_err(failed("forget a day's slots"))?;
    Ok(())
}

/// Forgets the days that lie behind, of the company of this transaction. How many.
///
/// # Errors
/// When Postgres is away.
pub async fn forget_past(tx: &mut CompanyTx) -> Result<u64, StoreError> {
    let company_id = tx.company_id();
    let forgotten = sqlx::query("DELETE FROM availability_slots WHERE company_id = $1 AND day < (frontdesk_now() AT TIME ZONE 'UTC')::date - 1")
        .bind(company_id)
        .execute(tx.connection())
        .await
        .map_err(failed("forget past slots"))?;
    Ok(forgotten.rows_affected())
}
