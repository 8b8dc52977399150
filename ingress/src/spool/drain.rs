//! Empties the spool into the broker: oldest first within each queue, and a queue that is blocked holds up no other.
//!
//! One task per process. A message is published at least once; a crash between confirm and note publishes it again, which the inbox makes harmless.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shared::broker::QueueName;
use shared::envelope::Envelope;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::index::Place;
use super::{Command, Spool, record, segment};
use crate::outlet::Outlet;

/// Publishes in flight: the broker's rate is nearly reached here (limits.md), and fresh requests keep most of the publisher's window.
const BATCH_RECORDS_MAX: usize = 64;
/// Bodies in memory at once, beside those of requests.
const BATCH_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Between tries while something refuses: a queue that is full, a broker that is away, a disk that is broken.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Publishes what the spool holds, as long as the process lives.
pub async fn run(spool: Spool, outlet: Arc<dyn Outlet>, shutdown: CancellationToken) {
    let mut blocked = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = spool.0.appended.notified() => {}
            () = tokio::time::sleep(RETRY_AFTER) => {}
        }
        let faulty = spool.0.faulty.load(std::sync::atomic::Ordering::Relaxed);
        // A full channel means that writes are tried anyway.
        let _ = spool.0.commands.try_send(if faulty { Command::Probe } else { Command::Look });
        while outlet.is_ready() && !shutdown.is_cancelled() && drain_round(&spool, outlet.as_ref(), &mut blocked).await {}
    }
}

/// One batch of every queue that is not blocked; true if any of them moved on.
pub async fn drain_round(spool: &Spool, outlet: &dyn Outlet, blocked: &mut HashMap<QueueName, Instant>) -> bool {
    let mut moved = false;
    for queue in spool.0.index.queues() {
        let was_blocked = blocked.get(&queue).copied();
        if was_blocked.is_some_and(|until| Instant::now() < until) {
            continue;
        }
        // A queue that refused gets one message as a question, not a batch.
        let records_max = if was_blocked.is_some() { 1 } else { BATCH_RECORDS_MAX };
        if drain_batch(spool, outlet, &queue, records_max).await {
            blocked.remove(&queue);
            moved = true;
        } else {
            blocked.insert(queue, Instant::now() + RETRY_AFTER);
        }
    }
    moved
}

/// True if the whole batch is out.
async fn drain_batch(spool: &Spool, outlet: &dyn Outlet, queue: &QueueName, records_max: usize) -> bool {
    let batch = read_batch(spool, queue, records_max).await;
    let results = join_all(batch.iter().map(async |(_, envelope)| match envelope {
        Read::Envelope(envelope) => outlet.publish(queue, envelope).await.is_ok(),
        Read::Damaged => true,
        Read::Failed => false,
    }))
    .await;
    let looked_at: Vec<_> = batch.iter().map(|(place, _)| *place).collect();
    let done: Vec<_> = looked_at.iter().zip(&results).filter_map(|(place, ok)| ok.then_some(*place)).collect();
    let damaged: Vec<_> = batch.iter().filter(|(_, read)| matches!(read, Read::Damaged)).map(|(place, _)| *place).collect();
    spool.0.index.remove(queue, &looked_at, &done, &damaged);
    !looked_at.is_empty() && done.len() == looked_at.len()
}

enum Read {
    Envelope(Box<Envelope>),
    /// Sound at the start of the process, damaged since: counted, and its segment is set aside.
    Damaged,
    /// The disk did not give it; tried again later.
    Failed,
}

async fn read_batch(spool: &Spool, queue: &QueueName, records_max: usize) -> Vec<(Place, Read)> {
    let head = spool.0.index.head(queue, records_max, BATCH_BYTES_MAX);
    let read = tokio::task::spawn_blocking(move || {
        head.into_iter()
            .map(|(place, file)| {
                let frame = file.and_then(|file| segment::read_record(&file, place.offset, place.length));
                let read = match frame.map(|frame| record::decode(&frame.into())) {
                    Ok(Some((_, envelope))) => Read::Envelope(Box::new(envelope)),
                    Ok(None) => {
                        tracing::error!(segment = place.segment, offset = place.offset, "a spool record is damaged; its segment is set aside");
                        Read::Damaged
                    }
                    Err(error) => {
                        tracing::error!(segment = place.segment, offset = place.offset, error = %error, "a spool record cannot be read now");
                        Read::Failed
                    }
                };
                (place, read)
            })
            .collect()
    });
    // The closure does not panic; if it did, an empty batch counts as blocked and is tried again.
    read.await.unwrap_or_default()
}
