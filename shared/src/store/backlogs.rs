//! What waits for somebody, over all companies: how many, and since when. No identity, so it may stand in a metric.
//!
//! Called by the workers' gauges and by `frontdesk backlog`.

use sqlx::PgPool;

use crate::store::{StoreError, failed};

/// Every row that [`measure`] gives, in its order; the label values of the metrics.
pub const NAMES: [&str; 8] = ["dead_letters", "outbox", "intents", "overdue_callbacks", "reviews", "overlaps", "rejected_credentials", "stopped_sweeps"];

/// One kind of thing that waits.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Backlog {
    /// One of [`NAMES`].
    pub name: String,
    pub waiting: i64,
    /// Age of the oldest by the database's clock; for callbacks the time since they were due. 0 when nothing waits.
    pub oldest_seconds: f64,
}

/// Counts all of them. A few milliseconds: each count reads the index of what is open.
///
/// # Errors
/// When Postgres is away.
pub async fn measure(pool: &PgPool) -> Result<Vec<Backlog>, StoreError> {
    sqlx::query_as("SELECT name, waiting, oldest_seconds FROM measure_backlogs()").fetch_all(pool).await.map_err(failed("measure the backlogs"))
}
