//! Consuming one queue for ever: channel → qos → consume → hand over; after any failure again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer as LapinConsumer};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep, timeout};
use tracing::{debug, info, warn};

use crate::broker::connect::Pace;

use super::Shared;
use super::connection::{Hold, Restart};
use super::delivery::{Delivery, Intake};

/// Channel, qos, consume: three round trips; a broker that needs longer is not well.
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts to set up that nobody answers, in a row, after which the connection is given up: its heartbeats may pass while everything else is swallowed.
const UNANSWERED_MAX: u32 = 2;
/// After a cancel: the broker's answer, and what it had sent before.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// A channel that was given up must be closed, or its unacked messages stay with it as long as the connection stands.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

enum Ended {
    /// We were asked to stop, or nobody takes the deliveries any more.
    Cancelled,
    Lost(Restart),
}

/// Runs until the consumer is cancelled, its stream dropped, or its connection closed for good.
pub(super) async fn run(shared: Arc<Shared>, mut hold: Hold, sender: mpsc::Sender<Delivery>) {
    let mut pace = Pace::new();
    let mut unanswered = 0;
    loop {
        let Some(connection) = next_connection(&mut hold, &shared, &sender).await else { return };
        let ended = match timeout(SETUP_TIMEOUT, start(&connection, &shared)).await {
            Ok(Ok((intake, consumer))) => {
                pace.connected();
                unanswered = 0;
                info!(queue = %shared.queue, prefetch = shared.prefetch, "consuming");
                shared.consuming.send_replace(true);
                let ended = forward(&shared, &Arc::new(intake), consumer, &sender).await;
                shared.consuming.send_replace(false);
                ended
            }
            Ok(Err(error)) => {
                warn!(queue = %shared.queue, %error, "cannot consume");
                Ended::Lost(Restart::Refused)
            }
            Err(_) => {
                unanswered += 1;
                Ended::Lost(Restart::Unanswered)
            }
        };
        match ended {
            Ended::Cancelled => {
                info!(queue = %shared.queue, "consuming is cancelled");
                return;
            }
            Ended::Lost(why) => {
                hold.restarted(&shared.queue, why);
                warn!(queue = %shared.queue, reason = why.name(), "consuming broke off and begins again");
            }
        }
        if unanswered >= UNANSWERED_MAX {
            unanswered = 0;
            warn!(queue = %shared.queue, "the broker answers nothing on this connection, which is given up");
            hold.give_up(&connection);
        }
        // so that a connection that nobody else uses can be closed
        drop(connection);
        tokio::select! {
            () = sleep(pace.next_pause()) => {}
            () = shared.cancel.cancelled() => return,
        }
    }
}

/// An open connection; `None` when there is no more reason to wait for one.
async fn next_connection(hold: &mut Hold, shared: &Shared, sender: &mpsc::Sender<Delivery>) -> Option<Arc<Connection>> {
    tokio::select! {
        () = shared.cancel.cancelled() => None,
        () = sender.closed() => None,
        // an error means that the connection's supervisor has ended
        link = hold.links.wait_for(|link| link.as_ref().is_some_and(|connection| connection.status().connected())) => link.ok().and_then(|link| link.clone()),
    }
}

async fn start(connection: &Connection, shared: &Shared) -> lapin::Result<(Intake, LapinConsumer)> {
    let channel = connection.create_channel().await?;
    // before consume, or the first messages would come without a bound
    channel.basic_qos(shared.prefetch, BasicQosOptions { global: false }).await?;
    let queue = shared.queue.as_str().into();
    let consumer = channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    Ok((Intake { channel, queue: shared.queue.clone(), lost: AtomicBool::new(false) }, consumer))
}

async fn forward(shared: &Arc<Shared>, intake: &Arc<Intake>, mut consumer: LapinConsumer, sender: &mpsc::Sender<Delivery>) -> Ended {
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
            () = shared.deaf.notified() => {
                intake.lost.store(true, Ordering::Release);
                close(&intake.channel).await;
                return Ended::Lost(Restart::Deaf);
            }
        };
        let why = match next {
            Some(Ok(delivery)) => {
                shared.delivered_now();
                if sender.send(Delivery::new(shared, intake, delivery)).await.is_err() {
                    return Ended::Cancelled;
                }
                continue;
            }
            Some(Err(error)) => {
                debug!(queue = %shared.queue, %error, "the consumer's stream failed");
                Restart::Broken
            }
            // queue deleted, or its leader gone: the stream just ends
            None => Restart::Cancelled,
        };
        intake.lost.store(true, Ordering::Release);
        if why == Restart::Cancelled {
            // what it had delivered and we had not settled would otherwise stay with the channel until the last handler is through
            close(&intake.channel).await;
        }
        return Ended::Lost(why);
    }
}

async fn close(channel: &Channel) {
    // the outcome does not matter: a channel that cannot be closed goes with its connection, which the watchdog gives up next
    let _ = timeout(CLOSE_TIMEOUT, channel.close(200, "OK".into())).await;
}

/// Takes what the broker had sent before it heard of the cancel.
async fn finish(shared: &Arc<Shared>, intake: &Arc<Intake>, mut consumer: LapinConsumer, sender: &mpsc::Sender<Delivery>) {
    let drained = timeout(CANCEL_TIMEOUT, async {
        intake.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        while let Some(delivery) = consumer.next().await.transpose()? {
            if sender.send(Delivery::new(shared, intake, delivery)).await.is_err() {
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
