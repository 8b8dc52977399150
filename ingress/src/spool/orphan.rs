//! Empties a folder whose ingress is gone for good: the same records, the same way out, until nothing is left or nothing moves any more.
//!
//! Not the drain of a living process (that is `drain`, which this calls) and not a way around it: a folder that an ingress has locked is refused. A function's
//! record was marked caller-gone and aimed at the bulk lane before it was spooled, so nothing is decided here. Called by `frontdesk spool drain`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::broker::QueueName;
use shared::envelope::Envelope;
use tokio::time::Instant;

use super::segment::LocalDisk;
use super::{Held, Spool, SpoolConfig, SpoolError, drain, segment};
use crate::outlet::{Outlet, Refused};

/// Between two tries while the broker or a queue refuses.
const PAUSE: Duration = Duration::from_millis(250);

/// What became of an orphan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// Messages that the broker confirmed, by queue.
    pub confirmed: BTreeMap<QueueName, u64>,
    /// What still lies in the folder, and what is damaged.
    pub held: Held,
}

/// Locks and reads a folder that must be there already: a mistyped path is an error, not a new, empty spool.
///
/// # Errors
/// `NoSpool`, or as [`Spool::open`].
pub fn open(folder: &Path) -> Result<Spool, SpoolError> {
    let was_spool = folder.join("lock").is_file() || segment::any_in(folder);
    if !was_spool {
        return Err(SpoolError::NoSpool { folder: folder.to_owned() });
    }
    // nothing is appended: the quota is nobody's
    let config = SpoolConfig { folder: folder.to_owned(), bytes_max: u64::MAX, free_bytes_min: 0 };
    Spool::open(config, Arc::new(LocalDisk))
}

/// Publishes what the spool holds; gives up once nothing has been confirmed for `patience`. Can be repeated: what was confirmed is gone from the folder.
pub async fn empty(spool: &Spool, outlet: &dyn Outlet, patience: Duration) -> Emptied {
    let counting = Counting { outlet, confirmed: Mutex::default() };
    let mut blocked = HashMap::new();
    let (mut left, mut moved_at) = (spool.held().records, Instant::now());
    while left > 0 && moved_at.elapsed() < patience {
        let went_on = outlet.is_ready() && drain::drain_round(spool, &counting, &mut blocked).await;
        let now_left = spool.held().records;
        if now_left < left {
            (left, moved_at) = (now_left, Instant::now());
        }
        if !went_on && left > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Emptied { confirmed: counting.confirmed.into_inner().unwrap_or_else(PoisonError::into_inner), held: spool.held() }
}

/// Counts what the broker confirmed.
struct Counting<'a> {
    outlet: &'a dyn Outlet,
    confirmed: Mutex<BTreeMap<QueueName, u64>>,
}

impl Outlet for Counting<'_> {
    fn publish<'a>(&'a self, queue: &'a QueueName, envelope: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            self.outlet.publish(queue, envelope).await?;
            *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).entry(queue.clone()).or_default() += 1;
            Ok(())
        })
    }

    fn is_ready(&self) -> bool {
        self.outlet.is_ready()
    }
}
