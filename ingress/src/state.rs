//! What every request handler shares. Made once by `lib`; cheap to clone behind an `Arc`.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use shared::clock::Clock;
use shared::envelope::{Envelope, Kind, MessageId, SCHEMA_VERSION};
use shared::functions::{CALL_INBOUND_DEADLINE, FUNCTION_DEADLINE};
use shared::telemetry::trace::TraceParent;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::intake::Intake;
use crate::limits::{BodyRoom, Recent};
use crate::metrics::Metrics;
use crate::reply::Waiters;
use crate::secrets::Endpoints;

/// Time limits of a request. The defaults are the contract; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the first byte of a head (or from the connection's start) to its last.
    pub head: Duration,
    /// The whole body.
    pub body: Duration,
    /// Between requests of one connection.
    pub idle: Duration,
    /// A peer that does not read its answer.
    pub write: Duration,
    /// After our end of the connection is closed: so long the peer may finish sending, so that it can read the answer.
    pub linger: Duration,
    pub function: Duration,
    pub call_inbound: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            function: FUNCTION_DEADLINE,
            call_inbound: CALL_INBOUND_DEADLINE,
        }
    }
}

/// The parts.
pub struct State {
    pub endpoints: Arc<Endpoints>,
    pub intake: Intake,
    pub waiters: Arc<Waiters>,
    pub metrics: Arc<Metrics>,
    pub body_room: BodyRoom,
    /// Requests at work, over all connections and endpoints.
    pub in_flight: Semaphore,
    pub recent: Recent,
    pub clock: Clock,
    pub deadlines: Deadlines,
}

impl State {
    /// What is missing for readiness, by name. Reads what is there, waits for nothing.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let storage = (!self.intake.has_room()).then_some("broker and spool");
        let secrets = if self.endpoints.are_loaded() {
            // one that was set up with other keys answers 503 by itself; the rest go on
            let locked = self.endpoints.locked();
            (locked > 0 && locked == self.endpoints.count()).then_some("MASTER_KEYS that open the endpoint secrets")
        } else {
            Some("endpoint secrets")
        };
        storage.into_iter().chain(secrets).collect()
    }

    /// The envelope of a proven request. The trace is continued from the request's header: unsigned, but it decides nothing.
    #[must_use]
    pub fn envelope(&self, kind: Kind, endpoint: Uuid, body: &Bytes, headers: &HeaderMap) -> Envelope {
        let message_id = MessageId::of_request(endpoint, body);
        if self.recent.repeats(&message_id) {
            self.metrics.repeated.inc();
        }
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        Envelope {
            message_id,
            kind,
            schema_version: SCHEMA_VERSION,
            endpoint: Some(endpoint),
            received_at: self.clock.now(),
            attempt: 1,
            deadline: None,
            reply_to: None,
            traceparent: Some(TraceParent::continue_or_generate(parent).to_string()),
            caller_gone: false,
            body: body.clone(),
        }
    }
}
