//! What integration tests share: a `World` (a database and a vhost of its own, real processes, stateful stand-ins) and waiting without sleeping.
//!
//! A server that is missing fails the test; nothing skips. Run by `cargo dev test`, which sets DATABASE_URL, AMQP_URL and RABBITMQ_MANAGEMENT_URL.

pub mod canaries;
pub mod company;
pub mod convergence;
pub mod dump;
pub mod fixtures;
pub mod gateway;
pub mod http;
pub mod processes;
pub mod schedule;
pub mod servers;
pub mod wait;
pub mod web_bookings;
pub mod web_life;
pub mod wishes;
pub mod world;

pub use wait::{eventually, eventually_within};
pub use world::{World, WorldOptions};
