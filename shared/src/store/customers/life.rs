//! What a company knows of a customer's appointments: counts, favourites, what is to come and what is over. Read only; told to the customer alone, by whoever answers a caller.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What a company knows of a customer, counted now.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Profile {
    pub name: Option<String>,
    /// As set up by the company; the score may say more.
    pub vip_tier: String,
    pub language: String,
    /// When the customer was first heard of, or first came.
    pub since: DateTime<Utc>,
    /// Of all times, cancelled ones not counted.
    pub appointments: i64,
    pub no_shows: i64,
    /// Of completed appointments.
    pub revenue_minor: i64,
    pub last_visit: Option<DateTime<Utc>>,
    /// What the customer comes for most, and how many times of all.
    pub favourite_service: Option<String>,
    pub favourite_count: i64,
    /// Who served the customer most.
    pub favourite_staff: Option<String>,
}

/// The customer's profile.
///
/// # Errors
/// When Postgres is away or the customer is not of this company.
pub async fn profile(tx: &mut CompanyTx, customer_id: Uuid, now: DateTime<Utc>) -> Result<Profile, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "WITH life AS MATERIALIZED (
             SELECT a.starts_at, a.status, a.ends_at, s.name AS service, s.price_minor, t.name AS staff
             FROM appointments a LEFT JOIN services s ON s.company_id = a.company_id AND s.id = a.service_id LEFT JOIN staff t ON t.company_id = a.company_id AND t.id = a.staff_id
             WHERE a.company_id = $1 AND a.customer_id = $2 AND a.status IN ('pending', 'booked', 'reschedule_requested', 'completed', 'no_show')
         ), favourite AS (
             SELECT service, count(*) AS times FROM life WHERE service IS NOT NULL GROUP BY service ORDER BY 2 DESC, max(starts_at) DESC, service LIMIT 1
         )
         SELECT c.name, c.vip_tier, c.language, least(c.created_at, (SELECT min(starts_at) FROM life)) AS since,
                (SELECT count(*) FROM life) AS appointments, (SELECT count(*) FROM life WHERE status = 'no_show') AS no_shows,
                coalesce((SELECT sum(price_minor) FROM life WHERE status = 'completed'), 0)::bigint AS revenue_minor,
                (SELECT max(starts_at) FROM life WHERE status = 'completed' OR (status = 'booked' AND ends_at <= $3)) AS last_visit,
                f.service AS favourite_service, coalesce(f.times, 0) AS favourite_count,
                (SELECT staff FROM life WHERE staff IS NOT NULL GROUP BY staff ORDER BY count(*) DESC, max(starts_at) DESC, staff LIMIT 1) AS favourite_staff
         FROM customers c LEFT JOIN favourite f ON true WHERE c.company_id = $1 AND c.id = $2",
    )
    .bind(company_id)
    .bind(customer_id)
    .bind(now)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("read a customer's profile"))
}

/// An appointment that is still to come, as it is told to its customer.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Upcoming {
    pub number: i64,
    pub status: String,
    pub starts_at: DateTime<Utc>,
    pub time_zone: String,
    pub service: Option<String>,
    pub staff: Option<String>,
}

/// The customer's appointments after `now`, by start (at most 20).
///
/// # Errors
/// When Postgres is away.
pub async fn upcoming(tx: &mut CompanyTx, customer_id: Uuid, now: DateTime<Utc>) -> Result<Vec<Upcoming>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT a.number, a.status, a.starts_at, a.time_zone, s.name AS service, t.name AS staff
         FROM appointments a LEFT JOIN services s ON s.company_id = a.company_id AND s.id = a.service_id LEFT JOIN staff t ON t.company_id = a.company_id AND t.id = a.staff_id
         WHERE a.company_id = $1 AND a.customer_id = $2 AND a.starts_at > $3 AND a.status IN ('requested', 'pending', 'booked', 'reschedule_requested')
         ORDER BY a.starts_at, a.id LIMIT 20",
    )
    .bind(company_id)
    .bind(customer_id)
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list what is to come"))
}

/// More of the past nobody asks for on the phone.
const HISTORY_MAX: i64 = 5;

/// The customer's appointments whose time has come, the latest first (at most five). Cancelled ones are left out: nobody came to them.
///
/// # Errors
/// When Postgres is away.
pub async fn history(tx: &mut CompanyTx, customer_id: Uuid, now: DateTime<Utc>) -> Result<Vec<Upcoming>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT a.number, a.status, a.starts_at, a.time_zone, s.name AS service, t.name AS staff
         FROM appointments a LEFT JOIN services s ON s.company_id = a.company_id AND s.id = a.service_id LEFT JOIN staff t ON t.company_id = a.company_id AND t.id = a.staff_id
         WHERE a.company_id = $1 AND a.customer_id = $2 AND a.starts_at <= $3 AND a.status IN ('booked', 'completed', 'no_show')
         ORDER BY a.starts_at DESC, a.id DESC LIMIT $4",
    )
    .bind(company_id)
    .bind(customer_id)
    .bind(now)
    .bind(HISTORY_MAX)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list what is over"))
}
