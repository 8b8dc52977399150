//! Leadership: a lease row with an epoch, expiry by the database's clock. A lost peer cannot keep it, and a stalled one cannot write after it.
//!
//! The holder renews it from time to time and checks it in every transaction ([`hold`]); whoever takes it over raises the epoch. Used by the scheduler.

use sqlx::PgPool;
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// The lease of the one scheduler that acts.
pub const SCHEDULER: &str = "scheduler";

/// One holder's time with a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub holder: Uuid,
    pub epoch: i64,
}

/// Takes the lease if nobody holds it. `None`: somebody does.
///
/// # Errors
/// When Postgres is away.
pub async fn acquire(pool: &PgPool, name: &str, holder: Uuid, seconds: i32) -> Result<Option<Term>, StoreError> {
    let epoch: Option<i64> = sqlx::query_scalar(
        "INSERT INTO leases AS l (name, holder, epoch, expires_at) VALUES ($1, $2, 1, frontdesk_now() + make_interval(secs => $3))
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = l.epoch + 1, expires_at = excluded.expires_at WHERE l.expires_at <= frontdesk_now()
         RETURNING epoch",
    )
    .bind(name)
    .bind(holder)
    .bind(seconds)
    .fetch_optional(pool)
    .await
    .map_err(failed("take a lease"))?;
    Ok(epoch.map(|epoch| Term { holder, epoch }))
}

/// Keeps the lease for another `seconds`. `false`: it is lost.
///
/// # Errors
/// When Postgres is away.
pub async fn renew(pool: &PgPool, name: &str, term: Term, seconds: i32) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE leases SET expires_at = frontdesk_now() + make_interval(secs => $4) WHERE name = $1 AND holder = $2 AND epoch = $3 AND expires_at > frontdesk_now()",
    )
    .bind(name)
    .bind(term.holder)
    .bind(term.epoch)
    .bind(seconds)
    .execute(pool)
    .await
    .map_err(failed("renew a lease"))?;
    Ok(done.rows_affected() == 1)
}

/// Gives the lease back at once, so that a stop leaves no gap.
///
/// # Errors
/// When Postgres is away.
pub async fn release(pool: &PgPool, name: &str, term: Term) -> Result<(), StoreError> {
    sqlx::query("UPDATE leases SET expires_at = frontdesk_now() WHERE name = $1 AND holder = $2 AND epoch = $3 AND expires_at > frontdesk_now()")
        .bind(name)
        .bind(term.holder)
        .bind(term.epoch)
        .execute(pool)
        .await
        .map_err(failed("give a lease back"))?;
    Ok(())
}

/// Whether the term still stands; if so nobody can take the lease before this transaction ends. A transaction that holds it is short: renewing waits for it.
///
/// # Errors
/// When Postgres is away.
pub async fn hold(tx: &mut CompanyTx, name: &str, term: Term) -> Result<bool, StoreError> {
    let row: Option<i64> =
        sqlx::query_scalar("SELECT epoch FROM leases WHERE name = $1 AND holder = $2 AND epoch = $3 AND expires_at > frontdesk_now() FOR SHARE")
            .bind(name)
            .bind(term.holder)
            .bind(term.epoch)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed("check a lease"))?;
    Ok(row.is_some())
}
