//! A Retell that plays scripted calls against an ingress: signed call_inbound, functions and lifecycle events, retried as
//! Retell does, with a ledger of every answer; and the small REST part that frontdesk calls back. It has no voice and no
//! model. Started by the story, the tests and `stand_ins retell`.
//!
//! The rules come from reference/retell.md sections 1 to 4.

mod call;
mod call_object;
pub mod definitions;
mod deliver;
mod list;
mod rest;
mod script;
pub mod sign;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use call::{Call, FunctionRequest};
pub use call_object::CallObject;
pub use deliver::{Answer, AnswerEntry, Target, WebhookEntry};
pub use rest::{RestEntry, RestFault};
pub use script::{Played, Script, Step, StepAnswer};

use crate::calcom_stand_in::{Fate, WebhookDice, WebhookFaults};
use crate::stand_in::clock::StandInClock;
use crate::stand_in::server::LoopbackServer;

/// `Default` is Retell's documented behaviour on a free loopback port, aimed at nothing.
#[derive(Clone)]
pub struct Config {
    pub address: SocketAddr,
    /// Where calls go unless they say otherwise; its key also opens the REST part.
    pub target: Target,
    pub agent: Agent,
    /// Of one attempt of a webhook.
    pub webhook_timeout: Duration,
    pub webhook_retries: u32,
    /// Of one attempt of a function.
    pub function_timeout: Duration,
    pub function_retries: u32,
    /// Undocumented in the original; duplicates were seen within a second.
    pub retry_pause: Duration,
    /// A fresh timestamp per attempt; undocumented in the original.
    pub resign_on_retry: bool,
    pub clock: StandInClock,
}

#[derive(Debug, Clone)]
pub struct Agent {
    pub id: String,
    pub version: u32,
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            target: Target::default(),
            agent: Agent { id: "agent_3f9c61d27be8450a9c1d7e24b8".to_owned(), version: 42, name: "Empfang Friseur Müller".to_owned() },
            webhook_timeout: Duration::from_secs(10),
            webhook_retries: 3,
            function_timeout: Duration::from_secs(120),
            function_retries: 0,
            retry_pause: Duration::from_millis(250),
            resign_on_retry: true,
            clock: StandInClock::system(),
        }
    }
}

/// A result that frontdesk pushed into a running call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LiveUpdate {
    pub at: DateTime<Utc>,
    pub call_id: String,
    pub body: Value,
}

struct Inner {
    config: Config,
    http: reqwest::Client,
    memory: Mutex<Memory>,
    webhooks_under_way: AtomicUsize,
}

struct Memory {
    target: Target,
    /// Open the REST part: every key that a call was ever signed with.
    keys: HashSet<String>,
    calls: HashMap<String, Arc<Mutex<CallObject>>>,
    /// Ids in the order in which they came, to forget the oldest.
    order: std::collections::VecDeque<String>,
    ledger: Vec<AnswerEntry>,
    webhook_dice: WebhookDice,
    webhooks: Vec<WebhookEntry>,
    /// Webhooks by their fate; never forgotten.
    fates: BTreeMap<Fate, u64>,
    /// Those of them whose receiver could see the fault.
    felt: BTreeMap<Fate, u64>,
    webhooks_caused: u64,
    requests: Vec<RestEntry>,
    /// The next requests of the REST part fail so; an empty list: none does.
    rest_faults: std::collections::VecDeque<RestFault>,
    /// Requests about these calls are always answered so.
    broken_calls: HashMap<String, u16>,
    live_updates: Vec<LiveUpdate>,
    definitions: definitions::Definitions,
    seq: u64,
}

/// Calls that get-call still knows; a load run plays more than anybody will ask for.
const CALLS_MAX: usize = 20_000;

impl Memory {
    fn aim(&mut self, target: Target) {
        self.know(&target.api_key);
        self.target = target;
    }

    /// An empty key would open the REST part to everybody.
    fn know(&mut self, api_key: &str) {
        if !api_key.is_empty() {
            self.keys.insert(api_key.to_owned());
        }
    }

    /// One call, one entry: or a list would show it twice.
    fn rename(&mut self, old: &str, new: String, call: Arc<Mutex<CallObject>>) {
        self.calls.remove(old);
        self.order.retain(|known| known != old);
        self.remember(new, call);
    }

    fn remember(&mut self, call_id: String, call: Arc<Mutex<CallObject>>) {
        if self.calls.len() >= CALLS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
        self.order.push_back(call_id.clone());
        self.calls.insert(call_id, call);
    }
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every change is one statement, so what a panicked test left behind is whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn play(self: &Arc<Self>, script: Script) -> Played {
        let target = script.target.unwrap_or_else(|| self.memory().target.clone());
        let mut call = Call::new(self.clone(), target.clone(), "inbound", &script.from, &script.to).at(target);
        if let Some(agent_id) = &script.agent_id {
            call = call.as_agent(agent_id);
        }
        if let Some(call_id) = &script.call_id {
            call = call.with_id(call_id);
        }
        script::play(call, script.steps).await
    }
}

/// A running stand-in; dropping it stops its server. Calls that were begun can still be played to their end.
pub struct RetellStandIn {
    pub base_url: String,
    inner: Arc<Inner>,
    _server: LoopbackServer,
}

impl RetellStandIn {
    pub async fn start(config: Config) -> io::Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().map_err(io::Error::other)?;
        let address = config.address;
        let mut memory = Memory {
            target: Target::default(),
            keys: HashSet::new(),
            calls: HashMap::new(),
            order: std::collections::VecDeque::new(),
            ledger: Vec::new(),
            webhook_dice: WebhookDice::new(0),
            webhooks: Vec::new(),
            fates: BTreeMap::new(),
            felt: BTreeMap::new(),
            webhooks_caused: 0,
            requests: Vec::new(),
            rest_faults: std::collections::VecDeque::new(),
            broken_calls: HashMap::new(),
            live_updates: Vec::new(),
            definitions: definitions::Definitions::default(),
            seq: 0,
        };
        memory.aim(config.target.clone());
        let inner = Arc::new(Inner { config, http, memory: Mutex::new(memory), webhooks_under_way: AtomicUsize::new(0) });
        let server = LoopbackServer::start(address, rest::router(inner.clone())).await?;
        Ok(Self { base_url: server.base_url(), inner, _server: server })
    }

    /// Where calls that are begun from now on go.
    pub fn aim(&self, target: Target) {
        self.inner.memory().aim(target);
    }

    /// A caller rings: `from` may be `anonymous`.
    pub fn inbound(&self, from: &str, to: &str) -> Call {
        self.call("inbound", from, to)
    }

    /// The agent calls somebody.
    pub fn outbound(&self, from: &str, to: &str) -> Call {
        self.call("outbound", from, to)
    }

    fn call(&self, direction: &'static str, from: &str, to: &str) -> Call {
        let target = self.inner.memory().target.clone();
        Call::new(self.inner.clone(), target, direction, from, to)
    }

    pub async fn play(&self, script: Script) -> Played {
        self.inner.play(script).await
    }

    /// Every attempt of every delivery.
    pub fn ledger(&self) -> Vec<AnswerEntry> {
        self.inner.memory().ledger.clone()
    }

    /// What became of each webhook, retries taken together.
    pub fn webhooks(&self) -> Vec<WebhookEntry> {
        self.inner.memory().webhooks.clone()
    }

    /// Replaces the setting before; the default has no faults. Their triggers are event names, `call_ended`; call_inbound and functions meet none, and a
    /// doubled one has the same bytes.
    pub fn set_webhook_faults(&self, faults: WebhookFaults) {
        self.inner.memory().webhook_dice.set(faults);
    }

    /// Late, shuffled and doubled webhooks that are still to come.
    pub fn webhooks_under_way(&self) -> usize {
        self.inner.webhooks_under_way.load(Ordering::SeqCst)
    }

    /// Webhooks by what became of them.
    pub fn webhooks_by_fate(&self) -> BTreeMap<Fate, u64> {
        self.inner.memory().fates.clone()
    }

    /// Webhooks by the fault that their receiver could see: missed, got twice, late, or after a later one of the same call.
    pub fn webhooks_felt(&self) -> BTreeMap<Fate, u64> {
        self.inner.memory().felt.clone()
    }

    /// The next requests of the REST part fail, one after the other.
    pub fn fail_requests(&self, faults: impl IntoIterator<Item = RestFault>) {
        self.inner.memory().rest_faults.extend(faults);
    }

    /// Every request about that call fails with this status, until it is mended (`None`).
    pub fn break_call(&self, call_id: &str, status: Option<u16>) {
        let broken = &mut self.inner.memory().broken_calls;
        match status {
            Some(status) => drop(broken.insert(call_id.to_owned(), status)),
            None => drop(broken.remove(call_id)),
        }
    }

    /// Requests of the REST part.
    pub fn requests(&self) -> Vec<RestEntry> {
        self.inner.memory().requests.clone()
    }

    /// Every call that is still known, as it is now.
    pub fn calls(&self) -> Vec<CallObject> {
        let calls: Vec<_> = self.inner.memory().calls.values().cloned().collect();
        calls.iter().map(|call| call.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// As Retell's retention or its delete-call do: unknown from now on.
    pub fn forget(&self, call_id: &str) {
        self.inner.memory().calls.remove(call_id);
    }

    /// Response engines, agents and numbers as they were set.
    pub fn definitions(&self) -> definitions::Definitions {
        self.inner.memory().definitions.clone()
    }

    pub fn live_updates(&self) -> Vec<LiveUpdate> {
        self.inner.memory().live_updates.clone()
    }
}
