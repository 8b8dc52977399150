//! Makes a message durable: the broker's confirm, else the spool's fdatasync. A 2xx stands on nothing else.
//!
//! Not the answer to a caller (that is `functions`). Called by `webhooks` and `functions`.

use std::sync::Arc;

use shared::broker::QueueName;
use shared::envelope::Envelope;

use crate::error::Refusal;
use crate::metrics::Metrics;
use crate::outlet::{Outlet, Refused};
use crate::spool::Spool;

/// The two places where a message is safe.
#[derive(Clone)]
pub struct Intake {
    outlet: Arc<dyn Outlet>,
    spool: Spool,
    metrics: Arc<Metrics>,
}

impl Intake {
    #[must_use]
    pub fn new(outlet: Arc<dyn Outlet>, spool: Spool, metrics: Arc<Metrics>) -> Self {
        Self { outlet, spool, metrics }
    }

    /// Publishes to that queue, and if the broker does not confirm, spools for it.
    ///
    /// # Errors
    /// `NotStored`: neither took it.
    pub async fn accept(&self, queue: &QueueName, envelope: &Envelope) -> Result<(), Refusal> {
        match self.publish(queue, envelope).await {
            Ok(()) => Ok(()),
            Err(_) => self.spool(queue, envelope).await,
        }
    }

    /// Publishes only.
    ///
    /// # Errors
    /// The broker did not confirm.
    pub async fn publish(&self, queue: &QueueName, envelope: &Envelope) -> Result<(), Refused> {
        self.outlet.publish(queue, envelope).await?;
        self.metrics.confirmed.inc();
        Ok(())
    }

    /// Spools only.
    ///
    /// # Errors
    /// `NotStored`: the disk did not take it.
    pub async fn spool(&self, queue: &QueueName, envelope: &Envelope) -> Result<(), Refusal> {
        match self.spool.append(queue, envelope).await {
            Ok(()) => {
                self.metrics.spooled.inc();
                Ok(())
            }
            Err(error) => {
                self.metrics.lost_both.inc();
                tracing::error!(message.id = %envelope.message_id, queue = %queue, error = %error, "neither broker nor spool took a message; its sender hears so");
                Err(Refusal::NotStored)
            }
        }
    }

    /// True while the broker confirms.
    #[must_use]
    pub fn broker_is_ready(&self) -> bool {
        self.outlet.is_ready()
    }

    /// True while one of the two can be expected to take a message.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outlet.is_ready() || self.spool.has_room()
    }
}
