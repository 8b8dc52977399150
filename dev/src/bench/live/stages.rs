//! Where the callers' time goes, from our own records: what a message waited for and how long it was in work, by role; a booking's way through calcom-sync. Called by `running`.
use anyhow::Context;
use sqlx::PgConnection;

/// A stage's times, in milliseconds.
#[derive(Debug, Clone)]
pub struct StageTimes {
    pub name: String,
    pub p50: f64,
    pub p99: f64,
}

/// In the order in which a call goes through them. `recorded → sent` is the doorbell and the lease, `sent → settled` is Cal.com with its echo and the second transaction.
const TIMES: &str = "
    WITH times (place, name, took) AS (
        SELECT 1, role || ': from ingress to the worker', queued_ms::float8 FROM attempts WHERE lane = 'live'
        UNION ALL SELECT 2, role || ': in work', took_ms::float8 FROM attempts WHERE lane = 'live'
        UNION ALL SELECT 3, 'calcom-sync: recorded → sent', extract(epoch FROM sent_at - created_at)::float8 * 1000 FROM intents WHERE op = 'create' AND sent_at IS NOT NULL
        UNION ALL SELECT 4, 'calcom-sync: sent → settled', extract(epoch FROM settled_at - sent_at)::float8 * 1000 FROM intents WHERE op = 'create' AND settled_at IS NOT NULL
        UNION ALL SELECT 5, 'asking Cal.com: ' || operation, took_ms::float8 FROM api_calls WHERE lane = 'live'
        UNION ALL SELECT 6, role || ' (bulk): in work', took_ms::float8 FROM attempts WHERE lane = 'bulk'
    )
    SELECT name, percentile_disc(0.5) WITHIN GROUP (ORDER BY took), percentile_disc(0.99) WITHIN GROUP (ORDER BY took) FROM times GROUP BY place, name ORDER BY place, name";

/// Of everything in the database: the warm-up is among it.
pub async fn read(connection: &mut PgConnection) -> anyhow::Result<Vec<StageTimes>> {
    // history has rows of attempts, too, all of one millisecond on the bulk lane
    let rows: Vec<(String, f64, f64)> = sqlx::query_as(TIMES).fetch_all(connection).await.context("the stages could not be read")?;
    Ok(rows.into_iter().map(|(name, p50, p99)| StageTimes { name, p50, p99 }).collect())
}
