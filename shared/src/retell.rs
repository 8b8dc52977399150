//! The client of Retell's REST API, as far as we call it: read a call, list calls, push a late result into a running one.
//!
//! Not the webhooks (`wire::retell`), not the agent export. Called by the reconciling of calls, calcom-sync (late results), backfill and the CLI. Reference sections 6.6, 6.8.

mod client;

pub use client::{CallQuery, LiveUpdate, RetellClient, RetellError, Span};
