//! Boots a worker process, runs its roles, and drains it.
//!
//! Boot waits for servers that are merely away; a schema or a topology that this program cannot work with ends it with one clear line. Called by `main`,
//! by `cargo dev` and by tests (which bring their own clock and roles).

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::Registry;
use shared::broker::{self, ConnectError, Consumer, ConsumingConnection, Publisher, PublisherConfig, Scale, TopologyError, Vigilance, Watchdog, topology};
use shared::clock::Clock;
use shared::envelope::{Lane, Role};
use shared::secret::ExposeSecret as _;
use shared::store::{self, Pulse, StoreError, schema};
use shared::telemetry::TelemetryError;
use shared::telemetry::health::{self, Readiness};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::context::Context;
use super::failure_log::chain;
use super::groups::GROUP_MESSAGES_MAX;
use super::handler::Handler;
use super::lane::Worker;
use super::metrics::Metrics;
use super::settle::Policy;
use super::{movers, relay};
use crate::config::Config;
use crate::registry;

/// Connections beside those of the permits: relay and health look, and a rollback that is still under way.
const POOL_SPARE: u32 = 2;
/// Several roles in one process (one machine) share the pools: Postgres allows a hundred connections by default.
const POOL_SHARED_MAX: u32 = 24;
/// Between two attempts to reach a server at boot.
const BOOT_PAUSE: Duration = Duration::from_secs(1);
/// After the drain: confirms under way, then goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// A worker process cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the database pool could not be made")]
    Pool(#[source] StoreError),
    #[error("the schema check failed")]
    Schema(#[source] StoreError),
    #[error("the broker check failed")]
    Topology(#[source] TopologyError),
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
    #[error("metrics and health cannot be served")]
    Listen(#[source] TelemetryError),
    #[error("asked to stop before the servers were reached")]
    Stopped,
}

/// A running worker process. Dropping it without [`Running::stop`] is a crash: everything in hand is delivered again.
pub struct Running {
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub metrics_address: SocketAddr,
    context: Context,
    connection: ConsumingConnection,
    consumers: Vec<Consumer>,
    tasks: JoinSet<&'static str>,
    /// Health, metrics and the pulse of the database: they end last.
    serving: DropGuard,
}

/// What a role may start. The registry's rows are calls of this.
pub struct Roles<'a> {
    context: &'a Context,
    connection: &'a ConsumingConnection,
    consumers: Vec<Consumer>,
    tasks: JoinSet<&'static str>,
}

impl Roles<'_> {
    /// Consumes every lane of the handler's role; each lane gets a handler of its own, made with that lane's context.
    pub fn consume<H: Handler>(&mut self, make: impl Fn(Context) -> H) {
        for lane in H::ROLE.lanes() {
            let context = self.context.for_lane(*lane);
            let permits = permits(&context.config, *lane);
            let (consumer, deliveries) = self.connection.consume(topology::queue(H::ROLE, *lane), prefetch(H::ROLE, *lane, permits));
            self.consumers.push(consumer);
            let metrics = context.metrics.lane(H::ROLE, *lane);
            let worker = Arc::new(Worker { handler: make(context.clone()), context, metrics, permits: permits.into() });
            self.tasks.spawn(async move {
                worker.run(deliveries).await;
                "lane"
            });
        }
    }

    /// Runs a task beside the lanes, with the bulk pool. It ends when `context.stop` is cancelled; ending earlier ends the process.
    pub fn background<F>(&mut self, name: &'static str, task: impl FnOnce(Context) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let running = task(self.context.for_lane(Lane::Bulk));
        self.tasks.spawn(async move {
            running.await;
            name
        });
    }

    /// Moves the crash net and what could not be routed into `dead_letters`.
    pub fn move_dead_letters(&mut self) {
        for queue in movers::queues() {
            let (consumer, deliveries) = self.connection.consume(queue, movers::PREFETCH);
            self.consumers.push(consumer);
            self.background("dead letter mover", |context| movers::run(context, deliveries));
        }
    }
}

/// Boots and runs the configured roles.
///
/// # Errors
/// A schema, role or topology that this program cannot work with, or an address that cannot be bound. Servers that are away are waited for.
pub async fn run(config: Config, stop: CancellationToken) -> Result<Running, StartError> {
    run_with(config, Clock::system(), stop, registry::attach).await
}

/// As [`run`], with a clock and with roles of the caller's choice.
///
/// # Errors
/// As [`run`].
pub async fn run_with(config: Config, clock: Clock, stop: CancellationToken, attach: impl Fn(Role, &mut Roles<'_>)) -> Result<Running, StartError> {
    let config = Arc::new(config);
    let registry = Registry::new();
    let pulse = Pulse::new();
    pulse.register_metrics(&registry)?;
    let pool_live = pool(&config, Lane::Live, &pulse)?;
    let pool_bulk = pool(&config, Lane::Bulk, &pulse)?;
    let publisher = Publisher::start(publisher_config(&config), clock.clone());
    publisher.register_metrics(&registry)?;
    let context = Context {
        pool: pool_bulk.clone(),
        lane: Lane::Bulk,
        clock,
        publisher,
        metrics: Metrics::new(&registry)?,
        registry,
        keyring: config.keyring.clone(),
        policy: Policy::scaled(Scale::divided_by(config.broker.delay_tiers_divisor)),
        stop: stop.child_token(),
        pulse,
        pool_live,
        pool_bulk,
        config,
    };
    let connection = ConsumingConnection::start(context.config.broker.amqp_url.expose_secret().to_owned(), connection_name(&context.config, "consume"));
    connection.register_metrics(&context.registry)?;
    let stop_serving = CancellationToken::new();
    let serving = stop_serving.clone().drop_guard();
    drop(tokio::spawn(feel_the_pulse(context.clone(), stop_serving.clone())));
    // health is served from the start: a process that waits for its servers is alive, and not ready
    let consuming = Arc::new(OnceLock::new());
    let readiness = readiness(&context, &connection, &consuming);
    let listen = context.config.metrics_listen();
    let metrics_address = health::serve(listen, context.registry.clone(), readiness, stop_serving).await.map_err(StartError::Listen)?;
    tracing::info!(address = %metrics_address, "metrics and health are served");
    boot(&context).await?;
    let mut roles = Roles { context: &context, connection: &connection, consumers: Vec::new(), tasks: JoinSet::new() };
    for role in &context.config.roles {
        attach(*role, &mut roles);
    }
    roles.background("outbox relay", relay::run);
    let watchdog = watchdog(&context, &connection, &roles.consumers);
    roles.background("watchdog of the consumers", |context| watchdog.run(context.stop));
    let Roles { consumers, tasks, .. } = roles;
    // set once, here
    let _ = consuming.set(consumers.clone());
    let names: Vec<_> = context.config.roles.iter().map(|role| role.name()).collect();
    tracing::info!(roles = names.join(","), lanes = consumers.len(), "worker is running");
    Ok(Running { metrics_address, connection, consumers, tasks, serving, context })
}

impl Running {
    /// Resolves when a part of the process ended though nobody asked: its name. A healthy process never does (faults F5: exit on purpose).
    pub async fn failed(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) if error.is_panic() => "a task panicked".to_owned(),
            Some(Err(_)) => "a task was cancelled".to_owned(),
            None => "nothing to run".to_owned(),
        }
    }

    /// The context of the process.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Whether every lane is a consumer of its queue at the moment.
    #[must_use]
    pub fn is_consuming(&self) -> bool {
        self.consumers.iter().all(Consumer::is_consuming)
    }

    /// Stops intake, finishes what is in hand, within the bound of its roles; true if everything was finished. What was not goes back to its queue.
    pub async fn stop(mut self) -> bool {
        tracing::info!("worker is draining");
        for consumer in &self.consumers {
            consumer.cancel();
        }
        self.context.stop.cancel();
        let bound = self.context.config.drain_max();
        let drained = tokio::time::timeout(bound, async { while self.tasks.join_next().await.is_some() {} }).await.is_ok();
        if !drained {
            // no failure of the process: nothing is lost, and whoever takes it up next has the same message with the same attempt
            let (seconds, parts) = (bound.as_secs(), self.tasks.len());
            tracing::warn!(seconds, parts, "work was still in hand at the end of the drain time; its messages go back to their queues");
        }
        self.tasks.shutdown().await;
        self.context.publisher.close(CLOSE_MAX).await;
        self.connection.close().await;
        let pools = async { tokio::join!(self.context.pool_live.close(), self.context.pool_bulk.close()) };
        // a connection that does not say goodbye is cut by the end of the process
        let _ = tokio::time::timeout(CLOSE_MAX, pools).await;
        drop(self.serving);
        tracing::info!(drained, "worker has stopped");
        drained
    }
}

/// Waits for Postgres and RabbitMQ, and checks that they are what this program was built for.
async fn boot(context: &Context) -> Result<(), StartError> {
    loop {
        match context.answered("check the schema", schema::check(&context.pool)).await {
            Ok(found) => {
                tracing::info!(schema.version = found.version, "the schema fits");
                break;
            }
            Err(error) if error.is_unavailable() || error.is_slow() => tracing::warn!(cause = %chain(&error), "waiting for the database"),
            Err(error) => return Err(StartError::Schema(error)),
        }
        pause(context).await?;
    }
    loop {
        match broker::check(context.config.broker.amqp_url.expose_secret()).await {
            Ok(()) => return Ok(()),
            // a connection that breaks in the middle of the look says nothing about the topology either (found by `cargo dev chaos --seconds 40 --seed 2`)
            Err(error @ (TopologyError::Connect(ConnectError::Timeout | ConnectError::Open(_)) | TopologyError::Declare { .. })) => {
                tracing::warn!(cause = %chain(&error), "waiting for the broker");
            }
            Err(TopologyError::Timeout) => tracing::warn!("waiting for the broker, which answers too slowly"),
            Err(error) => return Err(StartError::Topology(error)),
        }
        pause(context).await?;
    }
}

async fn pause(context: &Context) -> Result<(), StartError> {
    tokio::select! {
        () = tokio::time::sleep(BOOT_PAUSE) => Ok(()),
        () = context.stop.cancelled() => Err(StartError::Stopped),
    }
}

/// Beside the roles, until the process has drained: what is still in hand waits for Postgres, too.
async fn feel_the_pulse(context: Context, stop: CancellationToken) {
    let database = &context.config.database;
    let name = connection_name(&context.config, "watch");
    if let Err(error) = context.pulse.clone().feel(database.url.expose_secret(), Some(&database.role), &name, stop).await {
        tracing::error!(cause = %chain(&error), "nobody looks whether the database answers");
    }
}

fn watchdog(context: &Context, connection: &ConsumingConnection, consumers: &[Consumer]) -> Watchdog {
    Watchdog::new(context.config.broker.amqp_url.expose_secret().to_owned(), connection.clone(), consumers, Vigilance::default())
}

fn readiness(context: &Context, connection: &ConsumingConnection, consuming: &Arc<OnceLock<Vec<Consumer>>>) -> Readiness {
    let (pulse, publisher, connection) = (context.pulse.clone(), context.publisher.clone(), connection.clone());
    let (stop, consuming) = (context.stop.clone(), Arc::clone(consuming));
    Readiness::new(move || {
        let mut missing = Vec::new();
        if !pulse.answers() {
            missing.push("database");
        }
        if !publisher.is_ready() || !connection.is_connected() {
            missing.push("broker");
        }
        // a connection alone proves nothing (incident 87)
        if !consuming.get().is_some_and(|consumers| consumers.iter().all(|consumer| consumer.is_consuming() && !consumer.is_deaf())) {
            missing.push("queues");
        }
        if stop.is_cancelled() {
            missing.push("draining");
        }
        missing
    })
}

fn pool(config: &Config, lane: Lane, pulse: &Pulse) -> Result<PgPool, StartError> {
    let lanes = config.roles.iter().filter(|role| role.lanes().contains(&lane)).count();
    let one = u32::from(permits(config, lane)) + POOL_SPARE;
    let wanted = one * u32::try_from(lanes.max(1)).unwrap_or(1);
    let set = match lane {
        Lane::Live => config.database.pool_live_max,
        Lane::Bulk => config.database.pool_bulk_max,
    };
    let size = set.unwrap_or_else(|| wanted.min(POOL_SHARED_MAX.max(one)));
    let name = connection_name(config, lane.name());
    store::connect_watched(config.database.url.expose_secret(), Some(&config.database.role), size, &name, pulse).map_err(StartError::Pool)
}

fn publisher_config(config: &Config) -> PublisherConfig {
    PublisherConfig {
        amqp_url: config.broker.amqp_url.expose_secret().to_owned(),
        connection_name: connection_name(config, "publish"),
        in_flight_max: config.broker.in_flight_max,
        confirm_timeout: config.broker.confirm_timeout,
    }
}

/// How servers list our connections: who, and what for.
fn connection_name(config: &Config, purpose: &str) -> String {
    let who = match config.roles.as_slice() {
        [role] => role.name(),
        _ => "several",
    };
    format!("frontdesk workers {who} {purpose}")
}

const fn permits(config: &Config, lane: Lane) -> u16 {
    match lane {
        Lane::Live => config.permits_live,
        Lane::Bulk => config.permits_bulk,
    }
}

/// Live: no message waits here while another process has a free permit. Bulk: twice what the permits can hold, so that groups are full. The bodies of
/// `calls` are whole conversations, a megabyte each at worst: fewer of them fill a group.
fn prefetch(role: Role, lane: Lane, permits: u16) -> u16 {
    const GROUP: u16 = GROUP_MESSAGES_MAX as u16;
    match (lane, role) {
        (Lane::Live, _) => permits,
        (Lane::Bulk, Role::Calls) => permits.saturating_mul(4),
        // doorbells are acked at once, and backfill's chunks are long
        (Lane::Bulk, Role::CalcomSync | Role::Backfill) => permits.saturating_mul(2),
        (Lane::Bulk, _) => permits.saturating_mul(2 * GROUP),
    }
}
