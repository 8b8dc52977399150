//! Plain lapin for the bare peers: a connection, a quorum queue, a purge. Deliberately not the product's publisher and consumer.
//! Called by the bare peers and, for purging and counting, by the benches.
use anyhow::Context;
use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use shared::broker::{Scale, topology};
use shared::envelope::{Lane, Role};

/// A connection with one channel; both live as long as the pair.
pub async fn open(amqp_url: &str) -> anyhow::Result<(Connection, Channel)> {
    // the error may name the address, and with it the password
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await.ok().context("the broker refuses the bench")?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// The same with confirms, and a quorum queue of its own with the limits and the crash net of the one that the product publishes to.
pub async fn open_for_publishing(amqp_url: &str, queue: &str) -> anyhow::Result<(Connection, Channel)> {
    let (connection, channel) = open(amqp_url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let like = topology::queue(Role::Booking, Lane::Bulk);
    let row = topology::queues().into_iter().find(|row| row.name == like).context("the topology has no such queue")?;
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), row.arguments(Scale::REAL)).await?;
    Ok((connection, channel))
}

/// Persistent, as a webhook must be.
pub fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into())
}

/// Messages that lie ready in a queue.
pub async fn depth(channel: &Channel, queue: &str) -> anyhow::Result<u64> {
    let declared = channel.queue_declare(queue.into(), QueueDeclareOptions::durable().passive(), FieldTable::default()).await?;
    Ok(declared.message_count().into())
}

/// Empties a queue.
pub async fn purge(channel: &Channel, queue: &str) -> anyhow::Result<()> {
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.with_context(|| format!("{queue} was not purged"))?;
    Ok(())
}
