//! What frontdesk knows about bookings, calls and time, as pure functions: no SQL, no AMQP, no HTTP, no clock.

pub mod backfill;
pub mod booking_chain;
pub mod call;
pub mod consistency;
pub mod intent_state;
pub mod local_time;
pub mod money;
pub mod offers;
pub mod opening_hours;
pub mod person_names;
pub mod phone;
pub mod policies;
pub mod provenance;
pub mod spoken_time;
pub mod timeline;
