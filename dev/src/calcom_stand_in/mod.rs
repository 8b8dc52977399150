//! A stateful Cal.com: the part of API v2 that frontdesk uses, with its version traps, error shapes, limiter and signed
//! webhooks, an append-only ledger of what it really did, and faults that can be switched on. It is no calendar: it
//! knows no availability rules beyond "one booking per host at a time". Started by the story, the tests and
//! `stand_ins calcom`; everything on the handle is also reachable over HTTP below `/admin`.
//!
//! The rules come from reference/calcom.md sections 1 to 3; numbers in brackets below name its sections.

mod admin;
mod api;
mod book;
mod bookings_api;
mod decide;
mod echo;
mod errors;
mod faults;
mod hooks;
mod ledger;
mod limiter;
mod list;
mod model;
mod order;
mod output;
mod payload;
mod payload_parts;
mod replay;
mod replica;
mod reschedule;
pub mod sign;
mod slots;
mod state;
#[cfg(test)]
mod tests;
mod visitor;
mod webhook_faults;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub use echo::EchoOrder;
pub use errors::ApiError;
pub use faults::{FaultKind, FaultOp, FaultRule};
pub use ledger::{DeliveryEntry, Fate, LedgerEntry, Op, RequestEntry};
pub use limiter::Limits;
pub use model::{ApiKey, Attendee, Booking, By, EventType, Host, Status, Webhook, webhook_id};
pub use replay::Whose;
pub use replica::ReplicaLag;
pub use visitor::{VisitorBooking, VisitorCancel, VisitorMove};
pub(crate) use webhook_faults::WebhookDice;
pub use webhook_faults::{WebhookFaultKind, WebhookFaultRule, WebhookFaults};

use crate::stand_in::clock::StandInClock;
use crate::stand_in::server::LoopbackServer;
use state::State;

/// Cal.com sets no timeout of its own; a receiver that takes longer than this has hung, and a test would too.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// How a stand-in starts. `Default` is the hosted product's limits on a free loopback port.
#[derive(Clone)]
pub struct Config {
    pub address: SocketAddr,
    pub limits: Limits,
    pub clock: StandInClock,
    /// For faults with a probability.
    pub seed: u64,
    /// How long after the answer has been encoded a webhook of order `after` waits, so that the bytes are on the wire.
    pub echo_after_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            limits: Limits::default(),
            clock: StandInClock::system(),
            seed: 1,
            echo_after_grace: Duration::from_millis(50),
        }
    }
}

/// What handlers share.
pub struct Inner {
    state: Mutex<State>,
    clock: StandInClock,
    http: reqwest::Client,
    config: Config,
    /// For what happens after the request that caused it.
    me: Weak<Inner>,
    webhooks_under_way: Arc<AtomicUsize>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // A handler that panicked leaves data behind that is still whole: every change is one statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running stand-in; dropping it stops the server and every request in it.
pub struct CalcomStandIn {
    /// Without a path; the API lies below `/v2` and below any prefix followed by `/v2`.
    pub base_url: String,
    inner: Arc<Inner>,
    _server: LoopbackServer,
}

impl CalcomStandIn {
    pub async fn start(config: Config) -> io::Result<Self> {
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(WEBHOOK_TIMEOUT).no_proxy().build().map_err(io::Error::other)?;
        let inner = Arc::new_cyclic(|me| Inner {
            state: Mutex::new(State::new(config.seed)),
            clock: config.clock.clone(),
            http,
            config: config.clone(),
            me: me.clone(),
            webhooks_under_way: Arc::default(),
        });
        let router = admin::router(inner.clone());
        let server = LoopbackServer::start(config.address, router).await?;
        Ok(Self { base_url: server.base_url(), inner, _server: server })
    }

    /// What a client takes as its base: `https://api.cal.com/v2` in the original.
    pub fn api_url(&self) -> String {
        format!("{}/v2", self.base_url)
    }

    pub fn add_host(&self, host: Host) {
        self.inner.state().hosts.insert(host.id, host);
    }

    pub fn add_event_type(&self, event: EventType) {
        self.inner.state().event_types.insert(event.id, event);
    }

    /// Replaces a key with the same text.
    pub fn add_api_key(&self, key: ApiKey) {
        let mut state = self.inner.state();
        state.keys.retain(|known| known.key != key.key);
        state.keys.push(key);
    }

    pub fn add_webhook(&self, webhook: Webhook) {
        let mut state = self.inner.state();
        state.webhooks.retain(|known| known.id != webhook.id);
        state.webhooks.push(webhook);
    }

    /// Forgets bookings, lists, faults and limits; keeps hosts, event types, keys and webhooks.
    pub fn reset_history(&self) {
        self.inner.state().reset_history(self.inner.config.seed);
    }

    /// Every change in the order in which it happened.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.inner.state().ledger.changes.clone()
    }

    pub fn requests(&self) -> Vec<RequestEntry> {
        self.inner.state().ledger.requests.clone()
    }

    pub fn deliveries(&self) -> Vec<DeliveryEntry> {
        self.inner.state().ledger.deliveries.clone()
    }

    pub fn bookings(&self) -> Vec<Booking> {
        self.inner.state().bookings.values().cloned().collect()
    }

    /// Pending and accepted ones.
    pub fn live_bookings(&self) -> Vec<Booking> {
        let state = self.inner.state();
        state.bookings.values().filter(|booking| booking.status.is_live()).cloned().collect()
    }

    pub fn booking(&self, uid: &str) -> Option<Booking> {
        self.inner.state().booking(uid).cloned()
    }

    pub fn add_faults(&self, rules: Vec<FaultRule>) {
        self.inner.state().faults.add(rules);
    }

    pub fn clear_faults(&self) {
        self.inner.state().faults.clear();
    }

    /// What is left of the rules.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.inner.state().faults.rules().to_vec()
    }

    /// Replaces the setting before; the default has no faults.
    pub fn set_webhook_faults(&self, faults: WebhookFaults) {
        self.inner.state().webhook_dice.set(faults);
    }

    /// Late, shuffled and doubled webhooks that are still to come.
    pub fn webhooks_under_way(&self) -> usize {
        self.inner.webhooks_under_way.load(Ordering::SeqCst)
    }

    /// Webhooks by what became of them, one per receiver.
    pub fn webhooks_by_fate(&self) -> BTreeMap<Fate, u64> {
        self.inner.state().ledger.fates.clone()
    }

    /// Reads show an older state from now on; nothing = the truth again.
    pub fn set_replica_lag(&self, lag: Option<ReplicaLag>) {
        self.inner.state().replica.lag = lag;
    }

    /// How often each kind of fault applied, by its name: those of requests, `webhook_…`, `replica_lag`.
    pub fn faults_fired(&self) -> BTreeMap<&'static str, u64> {
        self.inner.state().faults_fired()
    }

    /// The same, of those that made a difference: a fault "after commit" with a commit, an old booking that there was, a read that was not the truth, a
    /// webhook that its receiver missed, got twice or got after a later one.
    pub fn faults_felt(&self) -> BTreeMap<&'static str, u64> {
        self.inner.state().faults_felt()
    }

    pub fn set_echo_order(&self, order: EchoOrder) {
        self.inner.state().echo.order = order;
    }

    /// How many events wait for `release_echoes`.
    pub fn held_echoes(&self) -> usize {
        self.inner.state().echo.held.len()
    }

    /// Sends what was held and awaits it; the order itself stays as it is.
    pub async fn release_echoes(&self) -> usize {
        self.inner.release().await
    }

    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.inner.clock.set_offset_ms(offset_ms);
    }

    pub async fn ping_webhooks(&self) {
        self.inner.ping().await;
    }

    /// A visitor books on the web page.
    pub async fn visitor_book(&self, booking: VisitorBooking) -> Result<Booking, ApiError> {
        self.inner.visitor_book(booking).await
    }

    /// The visitor or the host moves it in the UI.
    pub async fn visitor_reschedule(&self, order: VisitorMove) -> Result<Booking, ApiError> {
        self.inner.visitor_reschedule(order).await
    }

    /// The visitor or the host cancels it in the UI.
    pub async fn visitor_cancel(&self, order: VisitorCancel) -> Result<Booking, ApiError> {
        self.inner.visitor_cancel(order).await
    }

    /// The host confirms (or, with `false`, rejects) a request in the UI.
    pub async fn host_decides(&self, uid: &str, accept: bool, reason: Option<String>) -> Result<Booking, ApiError> {
        self.inner.decide(uid, accept, reason, By::Host, None).await.map(|(booking, _)| booking)
    }
}
