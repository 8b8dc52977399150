//! What both stand-ins are made of: a loopback HTTP server that can drop a connection, a clock that can be shifted, and
//! JSON objects that keep the order of their keys. It knows neither Cal.com nor Retell. Used by `calcom_stand_in` and
//! `retell_stand_in` only.

pub mod clock;
pub mod json_order;
pub mod server;
