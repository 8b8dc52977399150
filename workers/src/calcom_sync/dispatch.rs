//! Leases due intents and carries each out in a task of its own. The budget, the fairness and the order are in `lease_due_intents` (one truth for all processes).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::calcom::CalcomClient;
use shared::config::Calcom;
use shared::secret::Keyring;
use shared::store::intents::{self, Lease};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::carry_out::carry_out;
use crate::runtime::Context;

/// Calls in flight in one process, over all credentials (each has its own cap of 4): memory and connections stay bounded.
const IN_FLIGHT_MAX: usize = 32;
/// Longer than one call may take (30 s) with its two transactions.
pub(super) const LEASE_SECONDS: i32 = 45;
/// How long an intent without a doorbell waits at most.
const POLL: Duration = Duration::from_secs(1);
/// While something is due but no token is free: about the time in which the default rate gains a tenth of one.
const POLL_BUSY: Duration = Duration::from_millis(50);

/// What every task of the dispatcher shares.
pub(super) struct Sync {
    pub(super) context: Context,
    pub(super) keyring: Arc<Keyring>,
    pub(super) holder: Uuid,
    pub(super) bell: Arc<Notify>,
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
    let stop = context.stop.clone();
    let sync = Arc::new(Sync { context, keyring, holder: Uuid::now_v7(), bell, clients: Mutex::default() });
    let mut tasks = JoinSet::new();
    while !stop.is_cancelled() {
        while tasks.try_join_next().is_some() {}
        let leases = lease(&sync, tasks.len()).await;
        let none = leases.is_empty();
        for lease in leases {
            let sync = Arc::clone(&sync);
            tasks.spawn(async move { carry_out(&sync, &lease).await });
        }
        if none {
            let pause = pause(&sync).await;
            tokio::select! {
                () = sync.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
                Some(_) = tasks.join_next() => {}
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn lease(sync: &Sync, in_flight: usize) -> Vec<Lease> {
    let room = i32::try_from(IN_FLIGHT_MAX.saturating_sub(in_flight)).unwrap_or(0);
    if room == 0 {
        return Vec::new();
    }
    match intents::lease_due(&sync.context.pool, sync.holder, room, LEASE_SECONDS).await {
        Ok(leases) => leases,
        Err(error) => {
            tracing::warn!(class = error.class(), "due intents could not be leased");
            tokio::time::sleep(POLL).await;
            Vec::new()
        }
    }
}

/// How long nothing can be due.
async fn pause(sync: &Sync) -> Duration {
    match intents::next_due(&sync.context.pool).await {
        Ok((Some(due), now)) => (due - now).to_std().unwrap_or(POLL_BUSY).clamp(POLL_BUSY, POLL),
        _ => POLL,
    }
}
