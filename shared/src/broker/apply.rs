//! Puts the topology table into a broker, and checks that it is there.
//!
//! `apply` is for `frontdesk topology apply` and `cargo dev` and needs the admin user; every other process only calls `check`, which is passive and
//! needs no permission at all.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::connect::{self, ConnectError};
use super::topology::{self, ExchangeRow, QueueRow, Routing, Scale};

/// The whole topology: about forty-five objects, each a few milliseconds; a broker that needs longer is not well.
const APPLY_TIMEOUT: Duration = Duration::from_secs(60);
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const ACCESS_REFUSED: u16 = 403;

/// What `apply` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of exchanges and queues that did not exist before.
    pub created: Vec<String>,
    /// Exchanges and queues that were there, with the very same arguments.
    pub unchanged: usize,
}

/// The topology could not be applied or is not there.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error("could not connect to look at the topology")]
    Connect(#[from] ConnectError),
    #[error(
        "{object} exists with other arguments than the table in this build, and RabbitMQ never changes the arguments of a queue that exists. \
         Give the queue a new name in topology.rs, bind both, drain the old one, delete it; on a broker that only holds test data, delete the vhost and apply again"
    )]
    Mismatch { object: String, source: lapin::Error },
    #[error("the user may not declare {object}: apply the topology as the admin user")]
    Refused { object: String, source: lapin::Error },
    #[error("the topology is incomplete, run `frontdesk topology apply`; missing: {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("could not declare {object}")]
    Declare { object: String, source: lapin::Error },
    #[error("RabbitMQ did not finish the topology within {} s", APPLY_TIMEOUT.as_secs())]
    Timeout,
}

/// Declares everything that is missing and verifies the arguments of what is there. Can be repeated at will.
///
/// # Errors
/// The broker cannot be reached, the user may not declare, or an object exists with other arguments.
pub async fn apply(amqp_url: &str, scale: Scale) -> Result<Report, TopologyError> {
    let connection = connect::open(amqp_url, "frontdesk topology apply").await?;
    let applied = timeout(APPLY_TIMEOUT, declare_all(&connection, scale)).await;
    connect::close(&connection).await;
    applied.map_err(|_| TopologyError::Timeout)?
}

/// Looks whether every exchange and queue of the table exists. Arguments are not compared: that takes the admin user.
///
/// # Errors
/// The broker cannot be reached, or something is missing (all missing names are listed).
pub async fn check(amqp_url: &str) -> Result<(), TopologyError> {
    let connection = connect::open(amqp_url, "frontdesk topology check").await?;
    let missing = timeout(APPLY_TIMEOUT, find_missing(&connection)).await;
    connect::close(&connection).await;
    let missing = missing.map_err(|_| TopologyError::Timeout)??;
    if missing.is_empty() { Ok(()) } else { Err(TopologyError::Missing(missing)) }
}

/// A channel that is replaced after the broker has closed it: a refused declare costs its channel.
struct Declarer<'a> {
    connection: &'a Connection,
    channel: Channel,
}

impl<'a> Declarer<'a> {
    async fn open(connection: &'a Connection) -> Result<Self, TopologyError> {
        Ok(Self { connection, channel: fresh_channel(connection).await? })
    }

    /// Closes the channel and waits for it: closing the connection under a channel that is still closing makes lapin log an error.
    async fn finish(self) {
        // the connection goes next, so the outcome does not matter
        let _ = self.channel.close(200, "OK".into()).await;
    }

    async fn exchange_exists(&mut self, row: &ExchangeRow) -> Result<bool, TopologyError> {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let found = self.channel.exchange_declare(row.name.as_str().into(), kind(row), options, FieldTable::default()).await;
        self.found(&row.name, found).await
    }

    async fn queue_exists(&mut self, row: &QueueRow) -> Result<bool, TopologyError> {
        let options = QueueDeclareOptions::durable().passive();
        let found = self.channel.queue_declare(row.name.as_str().into(), options, FieldTable::default()).await.map(|_| ());
        self.found(row.name.as_str(), found).await
    }

    async fn found(&mut self, object: &str, outcome: lapin::Result<()>) -> Result<bool, TopologyError> {
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => {
                self.channel = fresh_channel(self.connection).await?;
                Ok(false)
            }
            Err(source) => Err(refusal(object, source)),
        }
    }

    async fn declare_exchange(&self, row: &ExchangeRow) -> Result<(), TopologyError> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        if let Some(alternate) = row.alternate {
            arguments.insert("alternate-exchange".into(), AMQPValue::LongString(LongString::from(alternate)));
        }
        let declared = self.channel.exchange_declare(row.name.as_str().into(), kind(row), options, arguments).await;
        declared.map_err(|source| refusal(&row.name, source))
    }

    async fn declare_queue(&self, row: &QueueRow, scale: Scale) -> Result<(), TopologyError> {
        let name = row.name.as_str();
        let declared = self.channel.queue_declare(name.into(), QueueDeclareOptions::durable(), row.arguments(scale)).await;
        declared.map_err(|source| refusal(name, source))?;
        for (exchange, key) in &row.bindings {
            let options = QueueBindOptions::default();
            let bound = self.channel.queue_bind(name.into(), exchange.as_str().into(), key.as_str().into(), options, FieldTable::default()).await;
            bound.map_err(|source| refusal(name, source))?;
        }
        Ok(())
    }
}

async fn declare_all(connection: &Connection, scale: Scale) -> Result<Report, TopologyError> {
    let mut declarer = Declarer::open(connection).await?;
    let mut report = Report::default();
    let mut note = |existed: bool, name: &str| {
        if existed {
            report.unchanged += 1;
        } else {
            report.created.push(name.to_owned());
        }
    };
    for row in topology::exchanges() {
        note(declarer.exchange_exists(&row).await?, &row.name);
        declarer.declare_exchange(&row).await?;
    }
    for row in topology::queues() {
        note(declarer.queue_exists(&row).await?, row.name.as_str());
        declarer.declare_queue(&row, scale).await?;
    }
    declarer.finish().await;
    Ok(report)
}

async fn find_missing(connection: &Connection) -> Result<Vec<String>, TopologyError> {
    let mut declarer = Declarer::open(connection).await?;
    let mut missing = Vec::new();
    for row in topology::exchanges() {
        if !declarer.exchange_exists(&row).await? {
            missing.push(format!("exchange {}", row.name));
        }
    }
    for row in topology::queues() {
        if !declarer.queue_exists(&row).await? {
            missing.push(format!("queue {}", row.name));
        }
    }
    declarer.finish().await;
    Ok(missing)
}

async fn fresh_channel(connection: &Connection) -> Result<Channel, TopologyError> {
    connection.create_channel().await.map_err(|source| ConnectError::Open(source).into())
}

fn kind(row: &ExchangeRow) -> ExchangeKind {
    match row.routing {
        Routing::Topic => ExchangeKind::Topic,
        Routing::Direct => ExchangeKind::Direct,
        Routing::Fanout => ExchangeKind::Fanout,
    }
}

fn refusal(object: &str, source: lapin::Error) -> TopologyError {
    let object = object.to_owned();
    match reply_code(&source) {
        Some(PRECONDITION_FAILED) => TopologyError::Mismatch { object, source },
        Some(ACCESS_REFUSED) => TopologyError::Refused { object, source },
        _ => TopologyError::Declare { object, source },
    }
}

fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}
