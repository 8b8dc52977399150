//! Workers: one binary, one role per process (`workers all` for one machine).
//!
//! Glossary. *Event*: what a provider sent. *Envelope*: the event in the queue, with what a worker must know. *Role*: who handles which kinds; each is
//! scaled apart. *Lane*: live (a caller waits) or bulk; they share nothing. *Attempt*: one delivery whose failure counts. *Settlement*: what becomes of a
//! delivery: ack, delay, dead letter. *Dead letter*: a row that a human must decide about.
//!
//! The rooms: `registry` is the one list role → handler; `runtime` owns queues, transactions and settlements; each role is a file of its own.
//! Invariants: a role commits nothing, acks nothing and names no queue; the runtime knows no business rule; no HTTP is parsed here.

mod answers;
mod appointment_changes;
pub mod backfill;
mod backlogs;
pub mod booking;
pub mod booking_facts;
mod calcom_events;
pub mod calcom_sync;
pub mod call_claims;
pub mod call_facts;
mod call_reconcile;
pub mod calls;
pub mod cancellation;
mod change_answers;
mod change_rules;
pub mod config;
pub mod consistency_metrics;
pub mod desk;
pub mod free_slots;
mod hearing;
mod limits;
mod meant;
pub mod offering;
mod phone_functions;
pub mod reconcile_metrics;
pub mod registry;
pub mod reschedule;
pub mod runtime;
pub mod scheduler;
mod tenants;
pub mod wished_time;

pub use config::{Args, Config};
pub use runtime::{Running, StartError, run};
