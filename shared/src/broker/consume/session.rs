//! Consuming one queue for ever: channel → qos → consume → hand over; after any failure again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Consumer as LapinConsumer};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep, timeout};
use tracing::{debug, info, warn};

use crate::broker::connect::Pace;

use super::Shared;
use super::connection::Links;
use super::delivery::{Delivery, Intake};

/// Channel, qos, consume: three round trips; a broker that needs longer is not well.
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);
/// After a cancel: the broker's answer, and what it had sent before.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

enum Ended {
    /// We were asked to stop, or nobody takes the deliveries any more.
    Cancelled,
    Lost(&'static str),
}

/// Runs until the consumer is cancelled, its stream dropped, or its connection closed for good.
pub(super) async fn run(shared: Arc<Shared>, mut links: Links, prefetch: u16, sender: mpsc::Sender<Delivery>) {
    let mut pace = Pace::new();
    loop {
        let Some(connection) = next_connection(&mut links, &shared, &sender).await else { return };
        let ended = match timeout(SETUP_TIMEOUT, start(&connection, &shared, prefetch)).await {
            Ok(Ok((intake, consumer))) => {
                pace.connected();
                info!(queue = %shared.queue, prefetch, "consuming");
                shared.consuming.send_replace(true);
                let ended = forward(&shared, &Arc::new(intake), consumer, &sender).await;
                shared.consuming.send_replace(false);
                ended
            }
            Ok(Err(error)) => {
                warn!(queue = %shared.queue, %error, "cannot consume");
                Ended::Lost("the broker refused")
            }
            Err(_) => Ended::Lost("the broker did not answer"),
        };
        // so that a connection that nobody else uses can be closed
        drop(connection);
        match ended {
            Ended::Cancelled => {
                info!(queue = %shared.queue, "consuming is cancelled");
                return;
            }
            Ended::Lost(reason) => warn!(queue = %shared.queue, reason, "consuming broke off and begins again"),
        }
        tokio::select! {
            () = sleep(pace.next_pause()) => {}
            () = shared.cancel.cancelled() => return,
        }
    }
}

/// An open connection; `None` when there is no more reason to wait for one.
async fn next_connection(links: &mut Links, shared: &Shared, sender: &mpsc::Sender<Delivery>) -> Option<Arc<Connection>> {
    tokio::select! {
        () = shared.cancel.cancelled() => None,
        () = sender.closed() => None,
        // an error means that the connection's supervisor has ended
        link = links.wait_for(|link| link.as_ref().is_some_and(|connection| connection.status().connected())) => link.ok().and_then(|link| link.clone()),
    }
}

async fn start(connection: &Connection, shared: &Shared, prefetch: u16) -> lapin::Result<(Intake, LapinConsumer)> {
    let channel = connection.create_channel().await?;
    // before consume, or the first messages would come without a bound
    channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
    let queue = shared.queue.as_str().into();
    let consumer = channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    Ok((Intake { channel, queue: shared.queue.clone(), lost: AtomicBool::new(false) }, consumer))
}

async fn forward(shared: &Shared, intake: &Arc<Intake>, mut consumer: LapinConsumer, sender: &mpsc::Sender<Delivery>) -> Ended {
    loop {
        let next = tokio::select! {
            next = consumer.next() => next,
            () = shared.cancel.cancelled() => {
                finish(shared, intake, consumer, sender).await;
                return Ended::Cancelled;
            }
            () = sender.closed() => {
                // unsettled deliveries go back when the channel closes with the last receipt
                return Ended::Cancelled;
            }
        };
        let reason = match next {
            Some(Ok(delivery)) => {
                shared.delivered_now();
                if sender.send(Delivery::new(intake, delivery)).await.is_err() {
                    return Ended::Cancelled;
                }
                continue;
            }
            Some(Err(error)) => {
                debug!(queue = %shared.queue, %error, "the consumer's stream failed");
                "channel or connection failed"
            }
            // queue deleted, or its leader gone: the stream just ends
            None => "the broker cancelled the consumer",
        };
        intake.lost.store(true, Ordering::Release);
        return Ended::Lost(reason);
    }
}

/// Takes what the broker had sent before it heard of the cancel.
async fn finish(shared: &Shared, intake: &Arc<Intake>, mut consumer: LapinConsumer, sender: &mpsc::Sender<Delivery>) {
    let drained = timeout(CANCEL_TIMEOUT, async {
        intake.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        while let Some(delivery) = consumer.next().await.transpose()? {
            if sender.send(Delivery::new(intake, delivery)).await.is_err() {
                break;
            }
        }
        lapin::Result::Ok(())
    });
    if !matches!(drained.await, Ok(Ok(()))) {
        intake.lost.store(true, Ordering::Release);
        warn!(queue = %shared.queue, "the cancel was not confirmed; what was prefetched is delivered again to somebody else");
    }
}
