//! Until when everything that a provider sent was heard: what came since may wait in our own queues, and no sweep may take that for lost.
//!
//! Measured by the scheduler right before it sweeps; the rule is `store::silences::listen`. Not the length of a backlog (the lanes show that).

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::broker::depth::{DepthError, Gauge};
use shared::broker::topology;
use shared::envelope::{Lane, Role};
use shared::secret::ExposeSecret;
use shared::store::accounts::Provider;
use shared::store::silences::{self, Waiting};

use crate::runtime::{Failure, failure_log};
use crate::scheduler::Running;

/// A broker that takes longer to say how many messages wait is as good as away: then some may wait.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Until when everything was heard, by the database's clock; shown as a metric: sweeps find nothing newer, and no silence is told earlier.
///
/// # Errors
/// Postgres is away; the leadership is lost.
pub async fn until(running: &Running, provider: Provider) -> Result<DateTime<Utc>, Failure> {
    let amqp_url = running.context.config.broker.amqp_url.expose_secret();
    let roles = match tokio::time::timeout(LOOK_MAX, waiting(amqp_url, provider)).await {
        Ok(Ok(roles)) => Some(roles),
        Ok(Err(error)) => {
            tracing::warn!(
                provider = provider.name(),
                cause = failure_log::chain(&error),
                "nobody can tell whether webhooks wait: nothing new is taken for lost"
            );
            None
        }
        Err(_) => None,
    };
    let waiting = match roles.as_deref() {
        Some([]) => Waiting::Nothing,
        Some(roles) => Waiting::For(roles),
        None => Waiting::Unknown,
    };
    let mut tx = running.begin(None).await?;
    let heard = silences::listen(&mut tx, provider, waiting).await?;
    tx.commit().await?;
    running.context.metrics.reconcile.behind(provider, heard.behind_seconds);
    Ok(heard.until)
}

/// For whom messages wait.
async fn waiting(amqp_url: &str, provider: Provider) -> Result<Vec<&'static str>, DepthError> {
    let gauge = Gauge::open_as(amqp_url, "frontdesk hearing").await?;
    let mut waiting = Vec::new();
    for role in roles(provider) {
        if gauge.depth(topology::queue(*role, Lane::Bulk).as_str()).await? > 0 {
            waiting.push(role.name());
        }
    }
    gauge.close().await;
    Ok(waiting)
}

/// Who handles the events of which sweeps make up for.
const fn roles(provider: Provider) -> &'static [Role] {
    match provider {
        Provider::Retell => &[Role::Calls],
        Provider::Calcom => &[Role::Booking, Role::Reschedule, Role::Cancellation, Role::Calls],
    }
}
