//! SIGSTOP: processes that stand still for a while, and whether anybody noticed. Called by `strike`.

use std::time::Duration;

use rustix::process::Signal;

use super::{providers, unread};
use crate::servers::Identity;

/// SIGSTOP for a while, and a little longer if nobody wanted anything of them; whether anybody did.
pub async fn pause(processes: Vec<Identity>, lasts: Duration) -> bool {
    let pids: Vec<u32> = processes.iter().map(|identity| identity.pid).collect();
    let paused = Paused::all(processes);
    tokio::time::sleep(lasts).await;
    let missed = providers::until(|| unread::waits_for(&pids)).await;
    drop(paused);
    missed
}

/// Processes that stand still until this is dropped: also when the campaign is interrupted meanwhile.
pub struct Paused(Vec<Identity>);

impl Paused {
    pub fn all(processes: Vec<Identity>) -> Self {
        processes.iter().for_each(|identity| signal(identity, Signal::STOP));
        Self(processes)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.iter().for_each(|identity| signal(identity, Signal::CONT));
    }
}

/// One that is gone needs no signal.
pub fn signal(identity: &Identity, which: Signal) {
    let _ = identity.signal(which);
}
