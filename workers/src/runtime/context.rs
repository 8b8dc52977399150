//! What every role gets: the pools, the clock, the publisher, the key ring, the metrics registry, the configuration, the word to stop.
//!
//! Not global: made once in `start`, cloned into each lane with that lane's own pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::Registry;
use shared::broker::Publisher;
use shared::clock::Clock;
use shared::envelope::Lane;
use shared::secret::Keyring;
use shared::store::tx::CompanyTx;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::settle::Policy;
use crate::config::Config;

/// First and longest pause between two looks whether Postgres is back.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(100);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(3);
/// A look that takes longer counts as no.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

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
    /// What readiness shows: whether Postgres answered last time.
    pub(super) database_up: Arc<AtomicBool>,
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
        tokio::select! {
            () = self.look_until_back() => true,
            () = until => false,
        }
    }

    async fn look_until_back(&self) {
        let mut pause = LOOK_PAUSE_MIN;
        loop {
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            if self.database_answers().await {
                return;
            }
            pause = (pause * 2).min(LOOK_PAUSE_MAX);
        }
    }

    /// Looks once, and notes the answer for readiness.
    pub async fn database_answers(&self) -> bool {
        let look = tokio::time::timeout(LOOK_TIMEOUT, CompanyTx::begin(&self.pool, None, &[])).await;
        let up = matches!(look, Ok(Ok(_)));
        self.database_is(up);
        up
    }

    /// Notes whether Postgres answers, for readiness and the log.
    pub(super) fn database_is(&self, up: bool) {
        if self.database_up.swap(up, Ordering::Relaxed) != up {
            if up {
                tracing::info!("the database answers again");
            } else {
                tracing::warn!("the database does not answer; deliveries are held until it does");
            }
        }
    }
}
