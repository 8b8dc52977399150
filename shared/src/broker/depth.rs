//! How many messages are ready in a queue, by passive declare: needs no permission and no management plugin.
//!
//! Messages that are unacked, or wait for at-least-once dead-lettering, are not counted. Called by the consumers' watchdog, the campaign and tests.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

use super::connect::{self, ConnectError};

/// The depth of a queue could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DepthError {
    #[error("could not connect to read queue depths")]
    Connect(#[from] ConnectError),
    #[error("could not read the depth of queue {queue}")]
    Declare { queue: String, source: lapin::Error },
}

/// An open connection for repeated looks.
pub struct Gauge {
    connection: Connection,
    channel: Channel,
}

impl Gauge {
    /// Opens a connection for reading depths.
    ///
    /// # Errors
    /// RabbitMQ cannot be reached.
    pub async fn open(amqp_url: &str) -> Result<Self, DepthError> {
        Self::open_as(amqp_url, "frontdesk depth").await
    }

    /// As [`Gauge::open`], under a name of the caller's.
    ///
    /// # Errors
    /// As [`Gauge::open`].
    pub async fn open_as(amqp_url: &str, name: &str) -> Result<Self, DepthError> {
        let connection = connect::open(amqp_url, name).await?;
        let channel = connection.create_channel().await.map_err(ConnectError::Open)?;
        Ok(Self { connection, channel })
    }

    /// Ready messages in the queue.
    ///
    /// # Errors
    /// The queue does not exist (after which this gauge is unusable) or the connection broke.
    pub async fn depth(&self, queue: &str) -> Result<u32, DepthError> {
        self.look(queue).await.map(|found| found.message_count())
    }

    /// Consumers of the queue.
    ///
    /// # Errors
    /// As [`Gauge::depth`].
    pub async fn consumers(&self, queue: &str) -> Result<u32, DepthError> {
        self.look(queue).await.map(|found| found.consumer_count())
    }

    async fn look(&self, queue: &str) -> Result<lapin::Queue, DepthError> {
        let options = QueueDeclareOptions::durable().passive();
        let declared = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.map_err(|source| DepthError::Declare { queue: queue.to_owned(), source })
    }

    /// Closes the connection.
    pub async fn close(self) {
        connect::close(&self.connection).await;
    }
}
