//! The HTTP edge of frontdesk: verify → envelope → publish and confirm (or spool) → 2xx. It writes no table and holds no business rule.
//!
//! | file | what |
//! |---|---|
//! | `config` | arguments and environment |
//! | `serve` | the HTTP/1 loop: deadlines, caps, orderly stop |
//! | `webhooks` | the two routes, step by step |
//! | `body` | reading a body within its bounds |
//! | `verify` | the only constructors of `Verified<T>` |
//! | `routing` | which event, which function; nothing else is parsed |
//! | `functions`, `reply` | requests with an answer, and who waits for one |
//! | `intake`, `outlet`, `spool` | making a message durable |
//! | `secrets` | endpoints and their live secrets |
//! | `limits`, `error`, `metrics`, `state` | caps, the status table, counters, what handlers share |
//!
//! Called by `main`, `cargo dev` and tests that run it in their own process.

mod body;
pub mod config;
pub mod error;
mod functions;
mod intake;
pub mod limits;
mod metrics;
pub mod outlet;
mod reply;
mod routing;
mod secrets;
mod serve;
pub mod spool;
mod state;
mod verify;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use prometheus::Registry;
use secrecy::ExposeSecret;
use shared::broker::{ConsumingConnection, Publisher, PublisherConfig, ReplyQueue};
use shared::clock::Clock;
use shared::store::StoreError;
use shared::store::endpoints::EndpointReader;
use shared::telemetry::TelemetryError;
use shared::telemetry::health::{self, Readiness};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use config::Config;
use intake::Intake;
use metrics::Metrics;
use reply::Waiters;
use secrets::Endpoints;
use spool::segment::LocalDisk;
use spool::{Spool, SpoolError};
pub use state::Deadlines;
use state::State;

/// From the signal to the exit: requests at work first, then what still awaits its confirm (architecture section 6).
const DRAIN: Duration = Duration::from_secs(8);
/// The part of `DRAIN` that requests may take; a function's own deadline is 6 s.
const DRAIN_REQUESTS: Duration = Duration::from_millis(6500);
/// One connection reads, one listens.
const POOL_CONNECTIONS: u32 = 2;
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Why ingress did not start. A database or broker that is away is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the spool cannot be opened")]
    Spool(#[source] SpoolError),
    #[error("the database address cannot be used")]
    Database(#[source] StoreError),
    #[error("the metrics cannot be registered")]
    Metrics(#[source] prometheus::Error),
    #[error("the metrics listener cannot be started")]
    MetricsListener(#[source] TelemetryError),
    #[error("the blocking work of the start was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// A running ingress. Dropping it stops nothing; `stop` does, in order.
pub struct Running {
    /// Where it listens, with the real port.
    pub address: SocketAddr,
    /// Where it shows metrics besides, if `METRICS_LISTEN` is set.
    pub metrics_address: Option<SocketAddr>,
    shutdown: CancellationToken,
    background: CancellationToken,
    server: JoinHandle<()>,
    publisher: Publisher,
    consuming: ConsumingConnection,
}

impl Running {
    /// Takes no new connections, lets requests at work finish, closes the broker's connections. Takes 8 s at most.
    pub async fn stop(self) {
        self.shutdown.cancel();
        let stopping = tokio::time::Instant::now();
        // Its only error is a panic of the loop, and then nothing is left to wait for.
        let _ = self.server.await;
        self.background.cancel();
        let left = DRAIN.saturating_sub(stopping.elapsed());
        // Every append to the spool is on the disk already: there is nothing to sync.
        let closing = async {
            self.publisher.close(left).await;
            self.consuming.close().await;
        };
        let _ = tokio::time::timeout(left, closing).await;
    }
}

/// Starts ingress with the machine's clock.
///
/// # Errors
/// See [`StartError`].
pub async fn run(config: Config) -> Result<Running, StartError> {
    run_at(config, Clock::system()).await
}

/// Starts ingress with a clock of the caller's.
///
/// # Errors
/// See [`StartError`].
pub async fn run_at(config: Config, clock: Clock) -> Result<Running, StartError> {
    let listener = TcpListener::bind(config.listen).await.map_err(|source| StartError::Listen { address: config.listen, source })?;
    let address = listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
    tracing::info!(address = %address, "ingress listens");
    let (spool, endpoints) = open_disk(&config, clock.clone()).await?;
    let pool = shared::store::connect(config.database.url.expose_secret(), Some(&config.database.role), POOL_CONNECTIONS, "frontdesk ingress");
    let reader = EndpointReader::new(pool.map_err(StartError::Database)?);

    let registry = Registry::new();
    let metrics = Arc::new(Metrics::new(&registry).map_err(StartError::Metrics)?);
    let publisher = Publisher::start(publisher_config(&config), clock.clone());
    publisher.register_metrics(&registry).map_err(StartError::Metrics)?;
    let amqp_url = config.broker.amqp_url.expose_secret().to_owned();
    let consuming = ConsumingConnection::start(amqp_url, "frontdesk ingress replies".to_owned());
    let ReplyQueue { name, replies } = ReplyQueue::open(&consuming);

    let state = Arc::new(State {
        endpoints,
        intake: Intake::new(Arc::new(publisher.clone()), spool.clone(), Arc::clone(&metrics)),
        waiters: Arc::new(Waiters::new(name, Arc::clone(&metrics))),
        metrics,
        body_room: limits::BodyRoom::default(),
        in_flight: Semaphore::new(config.requests_max),
        recent: limits::Recent::default(),
        clock,
        deadlines: config.deadlines,
    });
    let (shutdown, background) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(secrets::refresh(Arc::clone(&state.endpoints), reader, background.clone()));
    tokio::spawn(spool::drain::run(spool.clone(), Arc::new(publisher.clone()), background.clone()));
    tokio::spawn(Arc::clone(&state.waiters).run(replies));
    tokio::spawn(show_levels(Arc::clone(&state), spool, background.clone()));

    let metrics_address = serve_metrics(&config, &registry, &state, &background).await?;
    let bounds = serve::Bounds { connections_max: config.connections_max, deadlines: config.deadlines };
    let connections = state.metrics.connections.clone();
    let server = tokio::spawn(serve::run(listener, router(state, registry), bounds, connections, shutdown.clone(), DRAIN_REQUESTS));
    Ok(Running { address, metrics_address, shutdown, background, server, publisher, consuming })
}

/// Every route. A method that is not meant hears 405, a path that is not meant 404.
fn router(state: Arc<State>, registry: Registry) -> Router {
    let observed = health::router(registry, readiness(&state));
    Router::new()
        .route("/v1/retell/{endpoint}", post(webhooks::retell))
        .route("/v1/calcom/{endpoint}", post(webhooks::calcom))
        .with_state(state)
        .merge(observed)
}

fn readiness(state: &Arc<State>) -> Readiness {
    let state = Arc::clone(state);
    Readiness::new(move || state.missing())
}

async fn open_disk(config: &Config, clock: Clock) -> Result<(Spool, Arc<Endpoints>), StartError> {
    let (spool, keys, failures) = (config.spool.clone(), config.keys.clone(), config.signature_failures_per_second);
    let opened = tokio::task::spawn_blocking(move || {
        let folder = spool.folder.clone();
        let spool = Spool::open(spool, Arc::new(LocalDisk))?;
        // Behind the spool's lock: the folder is ours.
        Ok((spool, Arc::new(Endpoints::from_disk(&folder, keys.into_keyring(), failures, clock))))
    });
    opened.await.map_err(StartError::Interrupted)?.map_err(StartError::Spool)
}

fn publisher_config(config: &Config) -> PublisherConfig {
    PublisherConfig {
        amqp_url: config.broker.amqp_url.expose_secret().to_owned(),
        connection_name: "frontdesk ingress".to_owned(),
        in_flight_max: config.broker.in_flight_max,
        confirm_timeout: config.broker.confirm_timeout,
    }
}

async fn serve_metrics(config: &Config, registry: &Registry, state: &Arc<State>, background: &CancellationToken) -> Result<Option<SocketAddr>, StartError> {
    let Some(address) = config.telemetry.metrics_listen else {
        return Ok(None);
    };
    let served = health::serve(address, registry.clone(), readiness(state), background.clone()).await;
    let bound = served.map_err(StartError::MetricsListener)?;
    tracing::info!(address = %bound, "metrics and health are served here too");
    Ok(Some(bound))
}

/// Copies levels into their gauges once a second, so that the hot path pays for none of them.
async fn show_levels(state: Arc<State>, spool: Spool, shutdown: CancellationToken) {
    let metrics = &state.metrics;
    let level = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    loop {
        let held = spool.held();
        metrics.spool_records.set(level(held.records));
        metrics.spool_bytes.set(level(held.bytes));
        metrics.spool_room.set(level(spool.room_bytes()));
        metrics.spool_damaged.set(level(held.damaged));
        metrics.body_bytes.set(level(u64::from(limits::BODY_BYTES_MAX).saturating_sub(state.body_room.free() as u64)));
        metrics.endpoints.set(level(state.endpoints.count() as u64));
        metrics.secrets_age.set(state.endpoints.age_seconds());
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(GAUGES_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests;
