//! Claims on time: the database's own guard against two of our promises at one time (faults rule 8, incident 30).
//!
//! A promise belongs to an appointment; a hold to a call whose caller thinks about an offered time, and ends by itself. A hold never stands in the way of its own call.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What a promise takes: a person, or one of the seats of an event type whose host Cal.com chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Staff(Uuid),
    EventType { id: i64, seats: i16 },
}

impl Resource {
    fn name(&self) -> String {
        match self {
            Self::Staff(id) => format!("staff/{id}"),
            Self::EventType { id, .. } => format!("event_type/{id}"),
        }
    }

    const fn seats(&self) -> i16 {
        match self {
            Self::Staff(_) => 1,
            Self::EventType { seats, .. } => *seats,
        }
    }
}

/// Promises the time to an appointment. `false`: all seats are promised to others. Expired holds in the way are deleted first, and so are the holds of `call_id`:
/// its caller has chosen.
///
/// # Errors
/// When Postgres is away.
pub async fn promise(
    tx: &mut CompanyTx,
    resource: &Resource,
    appointment_id: Uuid,
    call_id: Option<Uuid>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    // external times are Cal.com's: they occupy a person, and are seen here through start bounds (a claim is at most a day long)
    let taken: bool = sqlx::query_scalar(
        "WITH expired AS (DELETE FROM slot_claims WHERE company_id = $1 AND resource = $2 AND (expires_at <= frontdesk_now() OR (expires_at IS NOT NULL AND holder = $7))
                          AND starts_at < $4 AND starts_at > $3 - interval '1 day')
         SELECT count(DISTINCT holder) >= $6 FROM slot_claims
         WHERE company_id = $1 AND resource = $2 AND holder <> $5 AND holder IS DISTINCT FROM $7 AND starts_at < $4 AND starts_at > $3 - interval '1 day' AND upper(during) > $3
           AND (expires_at IS NULL OR expires_at > frontdesk_now())",
    )
    .bind(company_id)
    .bind(resource.name())
    .bind(starts_at)
    .bind(ends_at)
    .bind(appointment_id)
    .bind(i64::from(resource.seats()))
    .bind(call_id)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("look for claims in the way"))?;
    if taken {
        return Ok(false);
    }
    for seat in 1..=resource.seats() {
        let made = sqlx::query(
            "INSERT INTO slot_claims (id, company_id, resource, seat, during, kind, holder, appointment_id, call_id)
             VALUES ($1, $2, $3, $4, tstzrange($5, $6), 'promise', $7, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(Uuid::now_v7())
        .bind(company_id)
        .bind(resource.name())
        .bind(seat)
        .bind(starts_at)
        .bind(ends_at)
        .bind(appointment_id)
        .bind(call_id)
        .execute(tx.connection())
        .await
        .map_err(failed("promise a slot"))?;
        if made.rows_affected() == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Frees the promise of one time, when the move to it failed.
///
/// # Errors
/// When Postgres is away.
pub async fn free(tx: &mut CompanyTx, appointment_id: Uuid, starts_at: DateTime<Utc>) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("DELETE FROM slot_claims WHERE company_id = $1 AND appointment_id = $2 AND starts_at = $3")
        .bind(company_id)
        .bind(appointment_id)
        .bind(starts_at)
        .execute(tx.connection())
        .await
        .map_err(failed("free a slot"))?;
    Ok(())
}

/// What became of the wish to hold an offered time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is this call's for the company's `hold_seconds`.
    Held,
    /// Somebody else has it: do not offer it.
    Taken,
    /// The company's calls hold `holds_max` times already, or this one is over (its wish was taken up late): it may be offered, but is not held.
    Unheld,
}

/// Of one call at once; the oldest end first. More than two are never offered, and a caller may go back once.
const HOLDS_PER_CALL: i64 = 4;

/// Holds an offered time for a call, or renews its hold.
///
/// # Errors
/// When Postgres is away.
pub async fn hold(tx: &mut CompanyTx, resource: &Resource, call_id: Uuid, starts_at: DateTime<Utc>, ends_at: DateTime<Utc>) -> Result<Hold, StoreError> {
    let company_id = tx.company_id();
    let renewed = sqlx::query(
        "UPDATE slot_claims l SET expires_at = frontdesk_now() + make_interval(secs => c.hold_seconds) FROM companies c
         WHERE c.id = $1 AND l.company_id = $1 AND l.resource = $2 AND l.holder = $3 AND l.starts_at = $4 AND l.during = tstzrange($4, $5) AND l.expires_at > frontdesk_now()",
    )
    .bind(company_id)
    .bind(resource.name())
    .bind(call_id)
    .bind(starts_at)
    .bind(ends_at)
    .execute(tx.connection())
    .await
    .map_err(failed("renew a hold"))?;
    if renewed.rows_affected() > 0 {
        return Ok(Hold::Held);
    }
    let (taken, held, is_over, hold_seconds, holds_max): (i64, i64, bool, i32, i32) = sqlx::query_as(
        "WITH ended AS (DELETE FROM slot_claims WHERE company_id = $1 AND resource = $2 AND expires_at <= frontdesk_now() AND starts_at < $4 AND starts_at > $3 - interval '1 day')
         SELECT (SELECT count(DISTINCT holder) FROM slot_claims
                 WHERE company_id = $1 AND resource = $2 AND holder <> $5 AND starts_at < $4 AND starts_at > $3 - interval '1 day' AND upper(during) > $3
                   AND (expires_at IS NULL OR expires_at > frontdesk_now())),
                (SELECT count(*) FROM slot_claims WHERE company_id = $1 AND expires_at > frontdesk_now()),
                EXISTS (SELECT FROM calls WHERE company_id = $1 AND id = $5 AND (ended_at IS NOT NULL OR status IN ('ended', 'analyzed'))),
                c.hold_seconds, c.holds_max
         FROM companies c WHERE c.id = $1",
    )
    .bind(company_id)
    .bind(resource.name())
    .bind(starts_at)
    .bind(ends_at)
    .bind(call_id)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("look for claims in the way of a hold"))?;
    if taken >= i64::from(resource.seats()) {
        return Ok(Hold::Taken);
    }
    // nothing would release it but time: the call's end was heard before
    if is_over || held >= i64::from(holds_max) {
        return Ok(Hold::Unheld);
    }
    for seat in 1..=resource.seats() {
        let made = sqlx::query(
            "INSERT INTO slot_claims (id, company_id, resource, seat, during, kind, holder, call_id, expires_at)
             VALUES ($1, $2, $3, $4, tstzrange($5, $6), 'promise', $7, $7, frontdesk_now() + make_interval(secs => $8)) ON CONFLICT DO NOTHING",
        )
        .bind(Uuid::now_v7())
        .bind(company_id)
        .bind(resource.name())
        .bind(seat)
        .bind(starts_at)
        .bind(ends_at)
        .bind(call_id)
        .bind(f64::from(hold_seconds))
        .execute(tx.connection())
        .await
        .map_err(failed("hold a slot"))?;
        if made.rows_affected() == 1 {
            keep_newest(tx, call_id).await?;
            return Ok(Hold::Held);
        }
    }
    Ok(Hold::Taken)
}

async fn keep_newest(tx: &mut CompanyTx, call_id: Uuid) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "DELETE FROM slot_claims WHERE id IN (SELECT id FROM slot_claims WHERE company_id = $1 AND call_id = $2 AND expires_at IS NOT NULL ORDER BY id DESC OFFSET $3)",
    )
    .bind(company_id)
    .bind(call_id)
    .bind(HOLDS_PER_CALL)
    .execute(tx.connection())
    .await
    .map_err(failed("end a call's oldest holds"))?;
    Ok(())
}

/// The caller is still there: the holds of the call last as long again. How many.
///
/// # Errors
/// When Postgres is away.
pub async fn renew_holds(tx: &mut CompanyTx, call_id: Uuid) -> Result<u64, StoreError> {
    let company_id = tx.company_id();
    let renewed = sqlx::query(
        "UPDATE slot_claims l SET expires_at = frontdesk_now() + make_interval(secs => c.hold_seconds) FROM companies c
         WHERE c.id = $1 AND l.company_id = $1 AND l.call_id = $2 AND l.expires_at > frontdesk_now()",
    )
    .bind(company_id)
    .bind(call_id)
    .execute(tx.connection())
    .await
    .map_err(failed("renew a call's holds"))?;
    Ok(renewed.rows_affected())
}

/// A hold about which the caller was asked.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Asked {
    pub service_id: Uuid,
    pub starts_at: DateTime<Utc>,
    /// The name that was told with it.
    pub name_told: Option<String>,
}

/// The caller was asked whether that time, which the call holds, shall be booked: a plain yes means this one from now on. `false`: the call does not hold it.
///
/// # Errors
/// When Postgres is away.
pub async fn ask(
    tx: &mut CompanyTx,
    resource: &Resource,
    call_id: Uuid,
    starts_at: DateTime<Utc>,
    service_id: Uuid,
    name_told: Option<&str>,
) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let asked: i64 = sqlx::query_scalar(
        "WITH asked AS (
             UPDATE slot_claims SET asked = resource = $3 AND starts_at = $4, service_id = CASE WHEN resource = $3 AND starts_at = $4 THEN $5 ELSE service_id END,
                 name_told = CASE WHEN resource = $3 AND starts_at = $4 THEN $6 ELSE name_told END
             WHERE company_id = $1 AND call_id = $2 AND expires_at > frontdesk_now() AND (asked OR (resource = $3 AND starts_at = $4))
             RETURNING asked
         )
         SELECT count(*) FROM asked WHERE asked",
    )
    .bind(company_id)
    .bind(call_id)
    .bind(resource.name())
    .bind(starts_at)
    .bind(service_id)
    .bind(name_told)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("note what a caller was asked"))?;
    Ok(asked > 0)
}

/// What the call's caller was asked about and still holds.
///
/// # Errors
/// When Postgres is away.
pub async fn asked_of(tx: &mut CompanyTx, call_id: Uuid) -> Result<Option<Asked>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT service_id, starts_at, name_told FROM slot_claims
         WHERE company_id = $1 AND call_id = $2 AND asked AND expires_at > frontdesk_now() ORDER BY id DESC LIMIT 1",
    )
    .bind(company_id)
    .bind(call_id)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("read what a caller was asked"))
}

/// Until when the call holds that time; `None` if it does not.
///
/// # Errors
/// When Postgres is away.
pub async fn held_until(tx: &mut CompanyTx, resource: &Resource, call_id: Uuid, starts_at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(
        "SELECT expires_at FROM slot_claims
         WHERE company_id = $1 AND call_id = $2 AND resource = $3 AND starts_at = $4 AND expires_at > frontdesk_now() LIMIT 1",
    )
    .bind(company_id)
    .bind(call_id)
    .bind(resource.name())
    .bind(starts_at)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("read a hold"))
}

/// Ends the holds of a call: it is over, or its caller has chosen. How many.
///
/// # Errors
/// When Postgres is away.
pub async fn release_holds(tx: &mut CompanyTx, call_id: Uuid) -> Result<u64, StoreError> {
    let company_id = tx.company_id();
    let released = sqlx::query("DELETE FROM slot_claims WHERE company_id = $1 AND call_id = $2 AND expires_at IS NOT NULL")
        .bind(company_id)
        .bind(call_id)
        .execute(tx.connection())
        .await
        .map_err(failed("release a call's holds"))?;
    Ok(released.rows_affected())
}

/// A claimed time of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Claimed {
    pub holder: Uuid,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

/// More claims than these in one look are no calendar; the times behind them are not offered, only booked by name.
const CLAIMS_MAX: i64 = 5_000;

/// What others than this call have claimed of a resource with a start from one day before `from` until `to`, by start.
///
/// # Errors
/// When Postgres is away.
pub async fn in_the_way(
    tx: &mut CompanyTx,
    resource: &Resource,
    call_id: Option<Uuid>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Claimed>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT holder, starts_at, upper(during) AS ends_at FROM slot_claims
         WHERE company_id = $1 AND resource = $2 AND starts_at < $4 AND starts_at > $3 - interval '1 day' AND upper(during) > $3
           AND holder IS DISTINCT FROM $5 AND (expires_at IS NULL OR expires_at > frontdesk_now())
         ORDER BY starts_at LIMIT $6",
    )
    .bind(company_id)
    .bind(resource.name())
    .bind(from)
    .bind(to)
    .bind(call_id)
    .bind(CLAIMS_MAX)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list claims"))
}

impl Resource {
    /// Whether a time is free of these claims: fewer others than seats overlap it (half-open, incident 35).
    #[must_use]
    pub fn is_free(&self, claims: &[Claimed], starts_at: DateTime<Utc>, ends_at: DateTime<Utc>) -> bool {
        let mut others: Vec<Uuid> = claims.iter().filter(|claim| claim.starts_at < ends_at && starts_at < claim.ends_at).map(|claim| claim.holder).collect();
        others.sort_unstable();
        others.dedup();
        i64::try_from(others.len()).unwrap_or(i64::MAX) < i64::from(self.seats())
    }
}
