//! What every frontdesk process shares. One folder or file per room; the rules between rooms are tests in `tests/it/room_rules.rs`.
//!
//! One direction: http → verify → envelope → broker → worker → domain → store. Nothing upstream imports anything downstream of it.

pub mod broker;
pub mod calcom;
pub mod clock;
pub mod config;
pub mod domain;
pub mod envelope;
pub mod functions;
pub mod protection;
pub mod retell;
pub mod secret;
pub mod store;
pub mod telemetry;
pub mod texts;
pub mod wire;
