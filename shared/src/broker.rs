//! RabbitMQ: the topology, the publisher, the consumers, the reply queue. The only room that names lapin.
//!
//! Not the meaning of a message (that is `envelope` and `wire`), not the decision what becomes of it (that is the worker's `settle`).
//! Called by ingress, the workers' runtime, `frontdesk topology apply` and `cargo dev`.
//!
//! What is absent here, on purpose: lapin's own recovery (young code, and it cannot mend a closed channel), mandatory publishes (a returned message
//! can be attached to the wrong confirm; the alternate exchange catches what cannot be routed), per-message TTL, broker-made retry loops.

pub mod apply;
pub mod connect;
pub mod consume;
pub mod depth;
pub mod encode;
pub mod permissions;
pub mod publish;
pub mod raw;
pub mod reply;
pub mod topology;

pub use apply::{Report, TopologyError, apply, check};
pub use connect::ConnectError;
pub use consume::watchdog::Vigilance;
pub use consume::{Consumer, ConsumerConfig, ConsumingConnection, Deliveries, Delivery, Receipt, Watchdog};
pub use encode::{DecodeError, decode, encode};
pub use publish::{Destination, PublishError, Publisher, PublisherConfig};
pub use raw::RawMessage;
pub use reply::{Reply, ReplyQueue};
pub use topology::{QueueName, Scale, Tier};
