//! What every role gets: the pools, the clock, the publisher, the key ring, the metrics registry, the configuration, the word to stop.
//!
//! Not global: made once in `start`, cloned into each lane with that lane's own pool.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use shared::broker::Publisher;
use shared::clock::Clock;
use shared::envelope::Lane;
use shared::secret::Keyring;
use shared::store::{Pulse, StoreError};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::settle::Policy;
use crate::config::Config;

/// Before a held message asks whether Postgres is back.
const HELD_PAUSE: Duration = Duration::from_millis(200);

/// Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The pool of the lane that this context was made for. Live and bulk never share one: a backlog cannot take a caller's connection.
    pub pool: PgPool,
    pub lane: Lane,
    pub clock: Clock,
    pub publisher: Publisher,
    pub registry: Registry,
    /// Present where a role opens credentials (`config::opens_credentials`).
    pub keyring: Option<Arc<Keyring>>,
    pub config: Arc<Config>,
    pub metrics: Metrics,
    pub policy: Policy,
    /// Cancelled when the process drains: begin nothing new, finish what is begun.
    pub stop: CancellationToken,
    /// Whether Postgres answers, for whoever waits for it and for readiness.
    pub pulse: Pulse,
    pub(super) pool_live: PgPool,
    pub(super) pool_bulk: PgPool,
}

impl Context {
    /// The same context for that lane.
    #[must_use]
    pub fn for_lane(&self, lane: Lane) -> Self {
        let pool = match lane {
            Lane::Live => &self.pool_live,
            Lane::Bulk => &self.pool_bulk,
        };
        Self { pool: pool.clone(), lane, ..self.clone() }
    }

    /// Waits until Postgres answers again; false if `until` came first. No attempt is burnt and nothing is given back meanwhile: the deliveries in hand are
    /// the bound, and the broker sends no more than those.
    pub async fn database_back(&self, until: impl Future<Output = ()>) -> bool {
        let back = async {
            loop {
                // jitter, or all that were held begin in the same moment
                tokio::time::sleep(HELD_PAUSE.mul_f64(rand::random_range(0.5..1.5))).await;
                if self.pulse.look().await {
                    return;
                }
            }
        };
        tokio::select! {
            () = back => true,
            () = until => false,
        }
    }

    /// Work that waits for Postgres outside a lane's own limits, given up when Postgres falls silent.
    ///
    /// # Errors
    /// What the work says, or that Postgres is silent.
    pub async fn answered<T, E: From<StoreError>>(&self, operation: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.pulse.answered(operation, work).await
    }
}
