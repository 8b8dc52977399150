//! Tests that kill or pause the servers which all other tests talk to: they run by themselves (`.config/nextest.toml`).

mod broker_dies_during_a_function;
mod broker_outage;
mod calcom_budget;
mod calcom_outage;
mod chaos;
mod deaf_consumer;
mod graceful_stop;
mod ingress_alone;
mod postgres_away;
mod reconnect;
mod ten_thousand_intents;
