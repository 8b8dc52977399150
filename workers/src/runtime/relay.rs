//! Publishes outbox rows that their own process could not: it died between commit and publish, or the broker was away.
//!
//! Every worker process runs one; SKIP LOCKED keeps them apart. It never uses a cursor: a row that commits late is not passed over.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::protection::Protection;
use shared::store::{StoreError, outbox};

use super::context::Context;
use super::failure_log::chain;
use super::finish::publish_outbox;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Younger rows are still in the hands of the process that wrote them.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// Full batches in a row before the next pause: a broker that was away for an hour leaves thousands of rows.
const BATCHES_MAX: usize = 50;

/// Runs until the process stops; survives every error and every panic.
pub(super) async fn run(context: Context) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = context.stop.cancelled() => return,
        }
        match survived(look(&context)).await {
            Looked::Done => failing = false,
            Looked::Failed(error) => {
                if error.is_unavailable() {
                    context.pulse.doubt();
                }
                if !failing {
                    tracing::warn!(cause = %chain(&error), "the outbox cannot be relayed");
                }
                failing = true;
            }
            Looked::Panicked => {
                context.metrics.panics.inc();
                tracing::error!("relaying the outbox panicked; it begins again");
            }
        }
    }
}

/// How a look ended.
#[derive(Debug)]
enum Looked {
    Done,
    Failed(StoreError),
    Panicked,
}

/// What a panic leaves behind is a transaction, which is rolled back with it.
async fn survived(look: impl Future<Output = Result<(), StoreError>>) -> Looked {
    match AssertUnwindSafe(look).catch_unwind().await {
        Ok(Ok(())) => Looked::Done,
        Ok(Err(error)) => Looked::Failed(error),
        Err(_) => Looked::Panicked,
    }
}

async fn look(context: &Context) -> Result<(), StoreError> {
    let depth = context.answered("count the outbox", outbox::depth(&context.pool)).await?;
    context.metrics.outbox_depth.set(depth);
    if depth == 0 || Protection::Relay.is_off() {
        return Ok(());
    }
    let mut left = Vec::new();
    for _ in 0..BATCHES_MAX {
        if !context.publisher.is_ready() {
            break;
        }
        let batch = context.answered("read stale outbox rows", outbox::lock_stale(&context.pool, STALE_AFTER, &left)).await?;
        if batch.messages.is_empty() && batch.unknown.is_empty() {
            break;
        }
        let confirmed = publish_outbox(context, &batch.messages).await;
        left.extend_from_slice(&batch.unknown);
        // a refused one (its queue is full) is met again in the next look: it does not stand in the way of the others
        left.extend(batch.messages.iter().map(|message| message.id).filter(|id| !confirmed.contains(id)));
        if !batch.unknown.is_empty() {
            tracing::error!(rows = batch.unknown.len(), "outbox rows of a kind that this version does not know: they wait for a newer process");
        }
        context.answered("delete relayed outbox rows", batch.finish(&confirmed)).await?;
        if !confirmed.is_empty() {
            tracing::info!(rows = confirmed.len(), "outbox rows relayed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_and_a_panic_end_a_look_and_nothing_else() {
        assert!(matches!(survived(async { Ok(()) }).await, Looked::Done));
        assert!(matches!(survived(async { Err(StoreError::SchemaMissing) }).await, Looked::Failed(StoreError::SchemaMissing)));
        assert!(matches!(survived(async { if true { panic!("of a row") } else { Ok(()) } }).await, Looked::Panicked));
    }
}
