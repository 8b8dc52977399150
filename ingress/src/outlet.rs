//! The way out to the broker, as this crate sees it: publish one message to one queue, or refuse.
//!
//! Not the publisher itself (that is `shared::broker`); a trait, so that tests of the status table and of the spool need no broker. Called by `intake` and
//! by the spool's drain.

use futures_util::future::BoxFuture;
use shared::broker::{Destination, PublishError, Publisher, QueueName};
use shared::envelope::Envelope;

/// The broker did not confirm.
#[derive(Debug)]
pub struct Refused(pub Option<PublishError>);

/// A way to hand a message to the broker.
pub trait Outlet: Send + Sync {
    /// Ok only after the broker's confirm. Bounded in time by the implementation.
    fn publish<'a>(&'a self, queue: &'a QueueName, envelope: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>>;
    /// True while publishing is expected to succeed.
    fn is_ready(&self) -> bool;
}

impl Outlet for Publisher {
    fn publish<'a>(&'a self, queue: &'a QueueName, envelope: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move { Publisher::publish(self, &Destination::Event(queue.clone()), envelope).await.map_err(|error| Refused(Some(error))) })
    }

    fn is_ready(&self) -> bool {
        Publisher::is_ready(self)
    }
}
