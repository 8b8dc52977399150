//! Role `calcom-sync`: the only one that calls the Cal.com API to change something. Its queue is the `intents` table; messages are doorbells.
//!
//! Two-phase work: transaction 1 marks an intent as sent, then the call, transaction 2 records the result. A crash in between leaves `sent` with an expired
//! lease, and whoever takes it up searches before it repeats (architecture section 8). Map: `dispatch` leases due intents · `plan` (pure) says what to do
//! with one · `carry_out` does it · `spending` makes its requests, each for a token of the budget · `verdict` (pure) says what an answer means ·
//! `failed_wish` is what follows when nothing comes of one · `bounds` are the time limits. `sweep` reads what nobody told.

mod bounds;
mod budget_metrics;
mod carry_out;
mod dispatch;
pub(crate) mod failed_wish;
mod plan;
mod spending;
pub mod sweep;
pub(crate) mod verdict;

use std::sync::Arc;

use shared::envelope::{Envelope, Role};
use shared::store::tx::CompanyTx;
use tokio::sync::Notify;

use crate::runtime::{Failure, Handler, Prepared};

pub use dispatch::run;

/// The consumer of doorbells: it wakes the dispatcher, and that is all. A lost doorbell costs one poll interval.
#[derive(Clone, Debug)]
pub struct Doorbell {
    bell: Arc<Notify>,
}

impl Doorbell {
    #[must_use]
    pub const fn new(bell: Arc<Notify>) -> Self {
        Self { bell }
    }
}

impl Handler for Doorbell {
    const ROLE: Role = Role::CalcomSync;
    type Work = ();

    async fn prepare(&self, _envelope: &Envelope) -> Result<Prepared<()>, Failure> {
        // before any transaction: a caller is waiting behind this bell
        self.bell.notify_one();
        Ok(Prepared { company_id: None, locks: Vec::new(), work: () })
    }

    async fn handle(&self, _tx: &mut CompanyTx, _envelope: &Envelope, _work: &()) -> Result<(), Failure> {
        Ok(())
    }
}
