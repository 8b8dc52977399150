//! Keeps the publisher connected: connect, prove it with a confirmed probe, wait for the loss, begin again.
//!
//! One task per publisher, started by `Publisher::start`, ended by `Publisher::close`. lapin's own recovery is off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use lapin::options::ConfirmSelectOptions;
use lapin::{BasicProperties, Connection, Event};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::connect::{self, ConnectError, Pace};
use crate::broker::topology::PROBE;
use crate::clock::Clock;

use super::PublisherConfig;
use super::link::{Link, LinkError, State};
use super::metrics::Metrics;

/// A suspect broker is asked once a second, as the ingress contract says (architecture section 5).
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// A loss that lapin does not report as an event is seen by looking.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the publisher's clones and its supervisor share.
pub(super) struct Shared {
    pub(super) config: PublisherConfig,
    pub(super) metrics: Metrics,
    pub(super) slots: Semaphore,
    pub(super) in_flight_max: usize,
    pub(super) ready: watch::Sender<bool>,
    /// Cancelled when the supervisor has ended.
    pub(super) stopped: CancellationToken,
    clock: Clock,
    link: ArcSwapOption<Link>,
    suspect: AtomicBool,
    last_confirmed_micros: AtomicI64,
}

impl Shared {
    pub(super) fn new(config: PublisherConfig, clock: Clock) -> Self {
        // the semaphore's own bound is far above any sensible figure; zero would mean never
        let in_flight_max = config.in_flight_max.clamp(1, u16::MAX.into());
        Self {
            metrics: Metrics::new(&config.connection_name),
            slots: Semaphore::new(in_flight_max),
            in_flight_max,
            ready: watch::Sender::new(false),
            stopped: CancellationToken::new(),
            clock,
            link: ArcSwapOption::empty(),
            suspect: AtomicBool::new(false),
            last_confirmed_micros: AtomicI64::new(i64::MIN),
            config,
        }
    }

    /// The link, or the state that explains why there is none.
    pub(super) fn link(&self) -> Result<Arc<Link>, State> {
        self.link.load_full().ok_or_else(|| self.state())
    }

    pub(super) fn state(&self) -> State {
        if self.suspect.load(Ordering::Acquire) {
            State::Suspect
        } else if Guard::into_inner(self.link.load()).is_some() {
            State::Ready
        } else {
            State::Down
        }
    }

    /// Takes a link out of use. Only the first of many callers that find the same link broken changes anything.
    pub(super) fn give_up(&self, link: &Arc<Link>, state: State) {
        let seen = self.link.compare_and_swap(link, None);
        if seen.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            self.suspect.store(state == State::Suspect, Ordering::Release);
            self.metrics.ready.set(0);
            self.ready.send_replace(false);
        }
        link.given_up.notify_one();
    }

    fn install(&self, link: &Arc<Link>) {
        self.link.store(Some(Arc::clone(link)));
        self.suspect.store(false, Ordering::Release);
        self.metrics.connects.inc();
        self.metrics.ready.set(1);
        self.confirmed_now();
        self.ready.send_replace(true);
    }

    pub(super) fn confirmed_now(&self) {
        self.last_confirmed_micros.store(self.clock.now().timestamp_micros(), Ordering::Relaxed);
    }

    pub(super) fn last_confirmed_at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.last_confirmed_micros.load(Ordering::Relaxed))
    }
}

/// Why a connection could not be put to use.
#[derive(Debug, thiserror::Error)]
enum EstablishError {
    #[error("there is no connection")]
    Connect(#[from] ConnectError),
    #[error("the probe was refused (is the topology applied?)")]
    ProbeBroken(#[source] lapin::Error),
    #[error("the probe queue refused the probe")]
    ProbeNacked,
    #[error("the probe was not confirmed in time")]
    ProbeTimeout,
}

/// Runs until `stop`.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut pace = Pace::new();
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let attempt = tokio::select! {
            attempt = establish(&shared, &stop) => attempt,
            () = stop.cancelled() => break,
        };
        match attempt {
            Ok((connection, link)) => {
                pace.connected();
                failures = 0;
                info!(connection.name = %shared.config.connection_name, "publisher is connected, the broker confirms");
                shared.install(&link);
                let reason = until_lost(&connection, &link, &stop).await;
                shared.give_up(&link, State::Down);
                if !stop.is_cancelled() {
                    let suspect = shared.state() == State::Suspect;
                    warn!(connection.name = %shared.config.connection_name, suspect, reason, "publisher gives up its connection");
                }
                retire(connection, &stop).await;
            }
            Err(error) => {
                failures += 1;
                // the first failure and then every twentieth: at five seconds a line every minute and a half
                if failures % 20 == 1 {
                    let cause = connect::causes(&error);
                    warn!(connection.name = %shared.config.connection_name, failures, %error, %cause, "publisher cannot publish");
                }
            }
        }
        let pause = if shared.state() == State::Suspect { PROBE_PAUSE } else { pace.next_pause() };
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    shared.stopped.cancel();
}

/// A connection, a channel with confirms, and a probe that a quorum queue has confirmed.
async fn establish(shared: &Shared, stop: &CancellationToken) -> Result<(Connection, Arc<Link>), EstablishError> {
    let connection = connect::open(&shared.config.amqp_url, &shared.config.connection_name).await?;
    match timeout(shared.config.confirm_timeout, prove(&connection)).await {
        Ok(Ok(link)) => Ok((connection, link)),
        Ok(Err(error)) => {
            retire(connection, stop).await;
            Err(error)
        }
        Err(_) => {
            shared.suspect.store(true, Ordering::Release);
            retire(connection, stop).await;
            Err(EstablishError::ProbeTimeout)
        }
    }
}

async fn prove(connection: &Connection) -> Result<Arc<Link>, EstablishError> {
    let channel = connection.create_channel().await.map_err(ConnectError::Open)?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(ConnectError::Open)?;
    let link = Link::new(channel);
    match link.publish(PROBE.into(), "".into(), BasicProperties::default().with_type("probe".into()), &[]).await {
        Ok(()) => Ok(Arc::new(link)),
        Err(LinkError::Nacked) => Err(EstablishError::ProbeNacked),
        Err(LinkError::Broken(source)) => Err(EstablishError::ProbeBroken(source)),
    }
}

/// Waits until the connection or its channel is of no more use, and says why.
async fn until_lost(connection: &Connection, link: &Link, stop: &CancellationToken) -> &'static str {
    let mut events = std::pin::pin!(connection.events_listener());
    loop {
        tokio::select! {
            () = stop.cancelled() => return "stopping",
            () = link.given_up.notified() => return "a publish failed or was not confirmed",
            event = events.next() => match event {
                Some(Event::Error(_)) | None => return "the connection broke",
                Some(Event::ConnectionBlocked(_)) => warn!("the broker blocks publishers (memory or disk alarm)"),
                Some(_) => {}
            },
            () = sleep(LOOK_EVERY) => if !connection.status().connected() {
                return "the connection is closed";
            },
        }
    }
}

/// Closes a connection. A blocked one (memory or disk alarm) is kept until the alarm is over: its goodbye could not be written, its thread would stay,
/// and a new connection every second would pile up the same.
async fn retire(connection: Connection, stop: &CancellationToken) {
    while connection.status().connected() && connection.status().blocked() && !stop.is_cancelled() {
        tokio::select! {
            () = sleep(PROBE_PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
    connect::close(&connection).await;
}
