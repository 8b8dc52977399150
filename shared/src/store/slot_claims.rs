//! Claims on time: the database's own guard against two of our promises at one time (faults rule 8, incident 30).

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

/// Promises the time to an appointment. `false`: all seats are promised to others. Expired holds in the way are deleted first.
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
        "WITH expired AS (DELETE FROM slot_claims WHERE company_id = $1 AND resource = $2 AND expires_at <= frontdesk_now()
                          AND starts_at < $4 AND starts_at > $3 - interval '1 day')
         SELECT count(DISTINCT holder) >= $6 FROM slot_claims
         WHERE company_id = $1 AND resource = $2 AND holder <> $5 AND starts_at < $4 AND starts_at > $3 - interval '1 day' AND upper(during) > $3
           AND (expires_at IS NULL OR expires_at > frontdesk_now())",
    )
    .bind(company_id)
    .bind(resource.name())
    .bind(starts_at)
    .bind(ends_at)
    .bind(appointment_id)
    .bind(i64::from(resource.seats()))
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
