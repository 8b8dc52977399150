//! Until when everything that a provider sent was heard: what came since may wait in our own queues, and no sweep may take that for lost.
//!
//! Measured by the scheduler right before it sweeps; the rule is `store::silences::listen`. Not how old a backlog is (the lanes and `backlogs` show that).

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::broker::depth::{DepthError, Gauge};
use shared::broker::topology;
use shared::envelope::{Lane, Role};
use shared::secret::ExposeSecret;
use shared::store::accounts::Provider;
use shared::store::silences;

use crate::runtime::{Failure, failure_log};
use crate::scheduler::Running;

/// A broker that takes longer to say how many messages wait is as good as away: then some may wait.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Until when everything was heard, by the database's clock.
///
/// # Errors
/// Postgres is away; the leadership is lost.
pub async fn until(running: &Running, provider: Provider) -> Result<DateTime<Utc>, Failure> {
    let amqp_url = running.context.config.broker.amqp_url.expose_secret();
    let nothing_waits = match tokio::time::timeout(LOOK_MAX, waiting(amqp_url, provider)).await {
        Ok(Ok(messages)) => messages == 0,
        Ok(Err(error)) => {
            tracing::warn!(
                provider = provider.name(),
                cause = failure_log::chain(&error),
                "nobody can tell whether webhooks wait: nothing new is taken for lost"
            );
            false
        }
        Err(_) => false,
    };
    let mut tx = running.begin(None).await?;
    let until = silences::listen(&mut tx, provider, nothing_waits).await?;
    tx.commit().await?;
    Ok(until)
}

async fn waiting(amqp_url: &str, provider: Provider) -> Result<u64, DepthError> {
    let gauge = Gauge::open_as(amqp_url, "frontdesk hearing").await?;
    let mut messages = 0;
    for role in roles(provider) {
        messages += u64::from(gauge.depth(topology::queue(*role, Lane::Bulk).as_str()).await?);
    }
    gauge.close().await;
    Ok(messages)
}

/// Who handles the events of which sweeps make up for.
const fn roles(provider: Provider) -> &'static [Role] {
    match provider {
        Provider::Retell => &[Role::Calls],
        Provider::Calcom => &[Role::Booking, Role::Reschedule, Role::Cancellation, Role::Calls],
    }
}
