//! Publishes outbox rows that their own process could not: it died between commit and publish, or the broker was away.
//!
//! Every worker process runs one; SKIP LOCKED keeps them apart. It never uses a cursor: a row that commits late is not passed over.

use std::time::Duration;

use shared::store::{StoreError, outbox};

use super::context::Context;
use super::failure_log::chain;
use super::finish::publish_outbox;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Younger rows are still in the hands of the process that wrote them.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// Full batches in a row before the next pause: a broker that was away for an hour leaves thousands of rows.
const BATCHES_MAX: usize = 50;

/// Runs until the process stops; survives every error.
pub(super) async fn run(context: Context) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = context.stop.cancelled() => return,
        }
        match look(&context).await {
            Ok(()) => {
                context.database_is(true);
                failing = false;
            }
            Err(error) => {
                if error.is_unavailable() {
                    context.database_is(false);
                }
                if !failing {
                    tracing::warn!(cause = %chain(&error), "the outbox cannot be relayed");
                }
                failing = true;
            }
        }
    }
}

async fn look(context: &Context) -> Result<(), StoreError> {
    let depth = outbox::depth(&context.pool).await?;
    context.metrics.outbox_depth.set(depth);
    if depth == 0 || !context.publisher.is_ready() {
        return Ok(());
    }
    for _ in 0..BATCHES_MAX {
        let batch = outbox::lock_stale(&context.pool, STALE_AFTER).await?;
        if batch.unknown > 0 {
            tracing::error!(rows = batch.unknown, "outbox rows of a kind that this version does not know: they wait for a newer process");
        }
        let found = batch.messages.len();
        let confirmed = publish_outbox(context, &batch.messages).await;
        let published = confirmed.len();
        batch.finish(&confirmed).await?;
        if published > 0 {
            tracing::info!(rows = published, "outbox rows relayed");
        }
        // a refused row would come again at once
        if published < found || found == 0 {
            break;
        }
    }
    Ok(())
}
