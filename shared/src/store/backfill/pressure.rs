//! How hard the servers are pressed, as a backfill sees it: how callers fared in the last seconds, how old messages are, and who waits for a lock.

use sqlx::PgPool;

use crate::store::{StoreError, failed};

/// Of the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, sqlx::FromRow)]
pub struct Pressure {
    /// Messages that a caller waited for.
    pub live: i64,
    /// From the queue's head to the answer: 95 of 100 were faster. In milliseconds.
    pub live_p95_ms: f64,
    /// The longest that a message of another bulk lane had lain when it was taken up.
    pub bulk_age_ms: f64,
    /// Sessions that wait for somebody else's lock.
    pub lock_waiters: i64,
}

/// Measures now.
///
/// # Errors
/// When Postgres is away.
pub async fn measure(pool: &PgPool) -> Result<Pressure, StoreError> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE a.lane = 'live') AS live,
            coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY (coalesce(a.queued_ms, 0) + coalesce(a.took_ms, 0))::double precision) FILTER (WHERE a.lane = 'live'), 0) AS live_p95_ms,
            coalesce(max(a.queued_ms) FILTER (WHERE a.lane = 'bulk' AND a.role <> 'backfill'), 0)::double precision AS bulk_age_ms,
            (SELECT count(*) FROM pg_locks l WHERE NOT l.granted) AS lock_waiters
         FROM attempts a WHERE a.at > now() - interval '10 seconds'",
    )
    .fetch_one(pool)
    .await
    .map_err(failed("measure how hard the servers are pressed"))
}
