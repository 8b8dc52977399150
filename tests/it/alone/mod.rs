//! Tests that kill or pause the servers which all other tests talk to: they run by themselves (`.config/nextest.toml`).

mod broker_outage;
