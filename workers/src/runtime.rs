//! The runtime of every role: consume, group, one transaction, settle, ack; and the plumbing beside it.
//!
//! It knows no business rule, and a role knows no queue. Called by `registry` and `main`.
//!
//! Map: `start` boots and stops a process · `lane` takes deliveries · `groups` (pure) says which share a transaction · `transact` runs it · `settle`
//! (pure) decides what becomes of a failure · `finish` does it · `relay`, `movers` look after the outbox and the crash net.

pub mod checkpoint;
pub mod context;
pub(crate) mod failure_log;
pub(crate) mod finish;
mod groups;
pub mod handler;
mod lane;
pub mod metrics;
mod movers;
mod relay;
pub mod settle;
pub mod start;
mod transact;

pub use context::Context;
pub use handler::{Failure, Handler, Prepared, reason};
pub use start::{Roles, Running, StartError, run};
