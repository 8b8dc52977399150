//! Leases due intents and carries each out in a task of its own. The budget, the fairness and the order are in `lease_due_intents` (one truth for all processes).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::calcom::CalcomClient;
use shared::config::Calcom;
use shared::secret::Keyring;
use shared::store::budgets;
use shared::store::intents::{self, Lease, Room};
use tokio::sync::Notify;
use tokio::task::{self, JoinSet};
use uuid::Uuid;

use super::bounds::LEASE;
use super::budget_metrics::BudgetMetrics;
use super::carry_out::carry_out;
use crate::runtime::Context;

/// Calls in flight in one process, over all credentials (each has its own cap of 4): memory and connections stay bounded.
const IN_FLIGHT_MAX: usize = 32;
/// Of these, kept for the live lane: a caller's wish waits for no bulk one.
const IN_FLIGHT_RESERVED: usize = 8;
/// How long an intent without a doorbell waits at most.
const POLL: Duration = Duration::from_secs(1);
/// The shortest pause while something is due that cannot be leased: its credential is at its in-flight cap, or another process was faster.
const POLL_BUSY: Duration = Duration::from_millis(20);
/// How often the metrics of the budgets are read.
const METRICS_PERIOD: Duration = Duration::from_secs(5);

/// What every task of the dispatcher shares.
pub(super) struct Sync {
    pub(super) context: Context,
    pub(super) keyring: Arc<Keyring>,
    pub(super) bell: Arc<Notify>,
    pub(super) metrics: BudgetMetrics,
    clients: Mutex<HashMap<String, CalcomClient>>,
}

impl Sync {
    /// The client of that base URL; one connection pool each.
    pub(super) fn client(&self, base_url: &str) -> Result<CalcomClient, shared::calcom::CalcomError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(base_url) {
            return Ok(client.clone());
        }
        let client = CalcomClient::new(&Calcom { base_url: base_url.to_owned(), ..self.context.config.calcom.clone() })?;
        clients.insert(base_url.to_owned(), client.clone());
        Ok(client)
    }
}

/// Runs until the process drains; then what is in flight is finished.
pub async fn run(context: Context, bell: Arc<Notify>) {
    let Some(keyring) = context.keyring.clone() else {
        tracing::error!("calcom-sync has no master keys: set MASTER_KEYS");
        return;
    };
    let metrics = match BudgetMetrics::new(&context.registry) {
        Ok(metrics) => metrics,
        Err(error) => {
            tracing::error!(cause = %error, "the metrics of the budgets could not be registered");
            return;
        }
    };
    let stop = context.stop.clone();
    let sync = Arc::new(Sync { context, keyring, bell, metrics, clients: Mutex::default() });
    let showing = tokio::spawn(show_budgets(Arc::clone(&sync)));
    let mut tasks = Tasks::default();
    // the credential that was served last: the next round begins after it
    let mut after = Uuid::nil();
    while !stop.is_cancelled() {
        tasks.reap();
        let leases = lease(&sync, tasks.room(), after).await;
        if let Some(last) = leases.last() {
            after = last.credential_id;
        }
        let none = leases.is_empty();
        for lease in leases {
            tasks.spawn(&sync, lease);
        }
        if none {
            let pause = pause(&sync).await;
            tokio::select! {
                () = sync.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
                () = tasks.next() => {}
            }
        }
    }
    tasks.finish().await;
    showing.abort();
}

/// What is in flight in this process, by lane.
#[derive(Default)]
struct Tasks {
    running: JoinSet<()>,
    bulk: HashSet<task::Id>,
}

impl Tasks {
    fn spawn(&mut self, sync: &Arc<Sync>, lease: Lease) {
        let sync = Arc::clone(sync);
        let live = lease.live;
        let task = self.running.spawn(async move { carry_out(&sync, &lease).await });
        if !live {
            self.bulk.insert(task.id());
        }
    }

    /// What may be leased now.
    fn room(&self) -> Room {
        let room = |max: usize, used: usize| i32::try_from(max.saturating_sub(used)).unwrap_or(0);
        Room { at_most: room(IN_FLIGHT_MAX, self.running.len()), at_most_bulk: room(IN_FLIGHT_MAX - IN_FLIGHT_RESERVED, self.bulk.len()) }
    }

    /// Forgets those that ended.
    fn reap(&mut self) {
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.bulk.remove(&id_of(&ended));
        }
    }

    /// Waits for the next one that ends; for ever if there is none.
    async fn next(&mut self) {
        match self.running.join_next_with_id().await {
            Some(ended) => drop(self.bulk.remove(&id_of(&ended))),
            None => std::future::pending().await,
        }
    }

    async fn finish(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

fn id_of(ended: &Result<(task::Id, ()), task::JoinError>) -> task::Id {
    match ended {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    }
}

async fn lease(sync: &Sync, room: Room, after: Uuid) -> Vec<Lease> {
    if room.at_most == 0 {
        return Vec::new();
    }
    match sync.context.answered("lease due intents", intents::lease_due(&sync.context.pool, room, LEASE, after)).await {
        Ok(leases) => leases,
        Err(error) => {
            tracing::warn!(class = error.class(), "due intents could not be leased");
            tokio::time::sleep(POLL).await;
            Vec::new()
        }
    }
}

/// How long nothing can be leased: due times, blocks, probes and the refill of the buckets are in it.
async fn pause(sync: &Sync) -> Duration {
    match sync.context.answered("look when the next intent is due", intents::next_due(&sync.context.pool)).await {
        Ok((Some(due), now)) => (due - now).to_std().unwrap_or_default().clamp(POLL_BUSY, POLL),
        _ => POLL,
    }
}

/// Reads how the budgets stand, for the metrics, until the process drains.
async fn show_budgets(sync: Arc<Sync>) {
    loop {
        match sync.context.answered("read how the budgets stand", budgets::states(&sync.context.pool)).await {
            Ok(states) => sync.metrics.show(&states, Instant::now()),
            Err(error) => tracing::debug!(class = error.class(), "how the budgets stand could not be read"),
        }
        tokio::time::sleep(METRICS_PERIOD).await;
    }
}
