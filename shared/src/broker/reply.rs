//! The queue in which one ingress process receives the answers it waits for.
//!
//! Best effort: an answer that comes while the connection is away is lost here, the stored one in Postgres is the truth. Called by ingress.

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::connect::Pace;
use super::consume::ConsumingConnection;
use super::encode::{correlation_id, inflate};
use super::topology::{REPLY, REPLY_QUEUE_PREFIX};

/// Answers that are here but not yet handed to their request; a process has at most a few hundred callers on the line.
const REPLIES_MAX: usize = 1024;
/// What the broker may hold for us while we are busy.
const QUEUE_MESSAGES_MAX: i64 = 10_000;
const QUEUE_BYTES_MAX: i64 = 64 * 1024 * 1024;
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Which request it answers.
    pub correlation_id: Uuid,
    /// The answer, decompressed.
    pub body: Bytes,
}

/// An exclusive queue bound to `frontdesk.reply`. After a reconnect it is another queue with another name. Its two parts can be taken apart.
pub struct ReplyQueue {
    /// The name to put into `reply_to`; `None` while there is no queue (then no answer can arrive: wait for nothing).
    pub name: watch::Receiver<Option<String>>,
    /// The answers, as they come. Dropping it deletes the queue.
    pub replies: mpsc::Receiver<Reply>,
}

impl ReplyQueue {
    /// Starts opening a reply queue on the connection; returns at once. The connection must be kept by the caller.
    #[must_use]
    pub fn open(connection: &ConsumingConnection) -> Self {
        let (name_sender, name) = watch::channel(None);
        let (sender, replies) = mpsc::channel(REPLIES_MAX);
        let mut hold = connection.hold();
        drop(tokio::spawn(async move {
            let mut pace = Pace::new();
            loop {
                let open = hold.links.wait_for(|link| link.as_ref().is_some_and(|connection| connection.status().connected()));
                let connection = tokio::select! {
                    // an error means that the connection was closed for good
                    link = open => match link { Ok(link) => link.clone(), Err(_) => return },
                    () = sender.closed() => return,
                };
                let Some(connection) = connection else { continue };
                match timeout(SETUP_TIMEOUT, declare(&connection)).await {
                    Ok(Ok((queue, _channel, consumer))) => {
                        pace.connected();
                        info!(queue = %queue, "reply queue is open");
                        name_sender.send_replace(Some(queue));
                        forward(consumer, &sender).await;
                        name_sender.send_replace(None);
                    }
                    Ok(Err(error)) => warn!(%error, "cannot open the reply queue"),
                    Err(_) => {
                        warn!("cannot open the reply queue: the broker does not answer on this connection, which is given up");
                        hold.give_up(&connection);
                    }
                }
                drop(connection);
                tokio::select! {
                    () = sleep(pace.next_pause()) => {}
                    () = sender.closed() => return,
                }
            }
        }));
        Self { name, replies }
    }

    /// The queue's name at the moment.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.name.borrow().clone()
    }

    /// The next answer; `None` when the connection was closed for good.
    pub async fn recv(&mut self) -> Option<Reply> {
        self.replies.recv().await
    }
}

async fn declare(connection: &Connection) -> lapin::Result<(String, Channel, Consumer)> {
    let queue = format!("{REPLY_QUEUE_PREFIX}{:032x}", rand::random::<u128>());
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(QUEUE_MESSAGES_MAX));
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(QUEUE_BYTES_MAX));
    arguments.insert("x-overflow".into(), AMQPValue::LongString(LongString::from("reject-publish")));
    // exclusive, so 4.3's ban of transient shared queues does not meet it
    let options = QueueDeclareOptions::exclusive().auto_delete();
    channel.queue_declare(queue.as_str().into(), options, arguments).await?;
    let key = queue.as_str().into();
    channel.queue_bind(queue.as_str().into(), REPLY.into(), key, QueueBindOptions::default(), FieldTable::default()).await?;
    // no ack: an answer is worth something only now
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
    Ok((queue, channel, consumer))
}

/// Hands answers over until the stream ends or nobody takes them.
async fn forward(mut consumer: Consumer, sender: &mpsc::Sender<Reply>) {
    loop {
        let delivery = tokio::select! {
            next = consumer.next() => match next { Some(Ok(delivery)) => delivery, Some(Err(_)) | None => return },
            () = sender.closed() => return,
        };
        let body = inflate(delivery.properties.content_encoding().as_ref(), &delivery.data.into());
        let (Some(correlation_id), Ok(body)) = (correlation_id(&delivery.properties), body) else {
            warn!("an answer without a readable correlation id or body was dropped");
            continue;
        };
        if sender.try_send(Reply { correlation_id, body }).is_err() {
            // full or closed: nobody is left who could still use it in time
            warn!(correlation.id = %correlation_id, "an answer was dropped: too many are waiting to be handed over");
        }
    }
}
