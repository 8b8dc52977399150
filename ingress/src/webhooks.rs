//! The two routes: prove, read, route, make durable, answer. In this order, and nothing is believed before it is proven.
//!
//! Not what a message means: only which queue it goes to. Functions and call_inbound branch off to `functions`.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use shared::broker::{QueueName, topology};
use shared::envelope::Kind;
use shared::store::endpoints::EndpointProvider;
use tokio::sync::SemaphorePermit;
use uuid::Uuid;

use crate::body::{self, Held};
use crate::error::{Outcome, Refusal};
use crate::functions;
use crate::metrics::Class;
use crate::routing::{self, CalcomRoute, RetellRoute, Unreadable};
use crate::secrets::{Endpoint, Lookup};
use crate::state::State;
use crate::verify::{Rejection, Verified, calcom, retell};

/// A two-hour call is 2 MB, three copies of the transcript included less than 4 (retell.md 7.2).
const RETELL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Typical 2 to 5 KB (calcom.md 1.8).
const CALCOM_BYTES_MAX: usize = 1024 * 1024;
/// How long a request waits for one of the places among the requests at work before it hears 429.
const PLACE_WAIT: std::time::Duration = std::time::Duration::from_millis(500);

/// `POST /v1/retell/{endpoint}`: webhooks, call_inbound and functions.
pub async fn retell(Shared(state): Shared<Arc<State>>, Path(endpoint): Path<String>, request: Request) -> Response {
    let started = Instant::now();
    let (class, (outcome, response)) = match take_retell(&state, &endpoint, request).await {
        Ok(answered) => answered,
        Err(refusal) => (Class::Webhook, (refusal.into(), refusal.into_response())),
    };
    state.metrics.answered(EndpointProvider::Retell, outcome);
    state.metrics.took(class, started.elapsed());
    response
}

/// `POST /v1/calcom/{endpoint}`: webhooks.
pub async fn calcom(Shared(state): Shared<Arc<State>>, Path(endpoint): Path<String>, request: Request) -> Response {
    let started = Instant::now();
    let (outcome, response) = match take_calcom(&state, &endpoint, request).await {
        Ok(outcome) => (outcome, StatusCode::NO_CONTENT.into_response()),
        Err(refusal) => (refusal.into(), refusal.into_response()),
    };
    state.metrics.answered(EndpointProvider::Calcom, outcome);
    state.metrics.took(Class::Webhook, started.elapsed());
    response
}

async fn take_retell(state: &State, endpoint: &str, request: Request) -> Result<(Class, (Outcome, Response)), Refusal> {
    let provider = EndpointProvider::Retell;
    let gate = Gate::open(state, endpoint, provider, request.headers(), RETELL_BYTES_MAX).await?;
    let (parts, body) = request.into_parts();
    let claim = match only(&parts.headers, retell::HEADER).and_then(|header| retell::claim(header, gate.now)) {
        Ok(claim) => claim,
        Err(cause) => return Err(gate.reject_unread(cause, body).await),
    };
    let held = gate.read(body).await?;
    let request = gate.prove(&held, |endpoint, body| retell::verify(claim, gate.endpoint, &endpoint.keys, body, gate.now))?;
    let no_content = |outcome| (outcome, StatusCode::NO_CONTENT.into_response());
    Ok(match routing::of_retell(&request) {
        RetellRoute::Event(kind) => (Class::Webhook, no_content(gate.publish(kind, &request, &parts.headers).await?)),
        RetellRoute::CallInbound => (Class::CallInbound, functions::answer_call_inbound(state, &request, &parts.headers).await),
        RetellRoute::Function(function) => (Class::Function, functions::answer_function(state, &request, function, &parts.headers).await),
        RetellRoute::Unreadable(reason) => {
            let outcome = gate.park(Kind::RetellOther, reason, &request, &parts.headers).await?;
            let response = if reason == Unreadable::ArgsAtRoot { functions::refuse_args_at_root() } else { StatusCode::NO_CONTENT.into_response() };
            (Class::Webhook, (outcome, response))
        }
    })
}

async fn take_calcom(state: &State, endpoint: &str, request: Request) -> Result<Outcome, Refusal> {
    let provider = EndpointProvider::Calcom;
    let gate = Gate::open(state, endpoint, provider, request.headers(), CALCOM_BYTES_MAX).await?;
    let (parts, body) = request.into_parts();
    let claim = match only(&parts.headers, calcom::HEADER).and_then(calcom::claim) {
        Ok(claim) => claim,
        Err(cause) => return Err(gate.reject_unread(cause, body).await),
    };
    let held = gate.read(body).await?;
    let request = gate.prove(&held, |endpoint, body| calcom::verify(claim, gate.endpoint, &endpoint.keys, body, gate.now))?;
    match routing::of_calcom(&request) {
        CalcomRoute::Event(kind) => gate.publish(kind, &request, &parts.headers).await,
        CalcomRoute::Ping => {
            state.metrics.pings.inc();
            Ok(Outcome::Ignored)
        }
        CalcomRoute::Unreadable(reason) => gate.park(Kind::CalcomOther, reason, &request, &parts.headers).await,
    }
}

/// The one value of a header: two of them are as good as a malformed one.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Rejection::Missing),
        (Some(value), None) => Ok(value.as_bytes()),
        (Some(_), Some(_)) => Err(Rejection::Malformed),
    }
}

/// One request at a known endpoint, on its way through the steps that both providers share.
struct Gate<'a> {
    state: &'a State,
    endpoint: Uuid,
    provider: EndpointProvider,
    now: DateTime<Utc>,
    bytes_max: usize,
    declared: Option<usize>,
    _place: SemaphorePermit<'a>,
}

impl<'a> Gate<'a> {
    /// Refuses what needs no look at signature or body.
    async fn open(state: &'a State, endpoint: &str, provider: EndpointProvider, headers: &HeaderMap, bytes_max: usize) -> Result<Self, Refusal> {
        let place = match state.in_flight.try_acquire() {
            Ok(place) => place,
            Err(_) => match tokio::time::timeout(PLACE_WAIT, state.in_flight.acquire()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) | Err(_) => return Err(Refusal::TooMany),
            },
        };
        let endpoint = Uuid::try_parse(endpoint).map_err(|_| Refusal::UnknownEndpoint)?;
        let now = state.clock.now();
        match state.endpoints.with(endpoint, provider, |endpoint| endpoint.is_locked(now)) {
            Lookup::Known(false) => {}
            Lookup::Unknown => return Err(Refusal::UnknownEndpoint),
            Lookup::Known(true) | Lookup::NotLoaded => return Err(Refusal::NotReady),
        }
        let declared = body::declared(headers, bytes_max)?;
        Ok(Self { state, endpoint, provider, now, bytes_max, declared, _place: place })
    }

    async fn read(&self, body: axum::body::Body) -> Result<Held<'a>, Refusal> {
        body::read(&self.state.body_room, body, self.declared, self.bytes_max, self.state.deadlines.body).await
    }

    /// Runs the proof against the endpoint's keys as they are now.
    fn prove<P>(&self, held: &Held<'_>, proof: impl FnOnce(&Endpoint, Bytes) -> Result<Verified<P>, Rejection>) -> Result<Verified<P>, Refusal> {
        match self.state.endpoints.with(self.endpoint, self.provider, |endpoint| proof(endpoint, held.bytes.clone())) {
            Lookup::Known(Ok(request)) => Ok(request),
            Lookup::Known(Err(cause)) => Err(self.reject(cause)),
            Lookup::Unknown | Lookup::NotLoaded => Err(Refusal::UnknownEndpoint),
        }
    }

    /// Refuses a header that no body can make right; the body is read away, not kept.
    async fn reject_unread(&self, cause: Rejection, body: axum::body::Body) -> Refusal {
        body::discard(body, self.bytes_max, self.state.deadlines.body).await;
        self.reject(cause)
    }

    /// The same answer for every cause; beyond the endpoint's budget for failures, 429. Authentic requests are never counted against it, nor are those of
    /// which we cannot know: a provider that hears 401 does not send again.
    fn reject(&self, cause: Rejection) -> Refusal {
        let misses_a_key = self.state.endpoints.with(self.endpoint, self.provider, |endpoint| endpoint.misses_a_key(self.now));
        if cause == Rejection::Mismatch && matches!(misses_a_key, Lookup::Known(true)) {
            return Refusal::NotReady;
        }
        self.state.metrics.rejected(self.provider, cause);
        let spent = self.state.endpoints.with(self.endpoint, self.provider, |endpoint| {
            if endpoint.failures.may_log(self.now) {
                tracing::warn!(endpoint.id = %self.endpoint, cause = cause.name(), "a request's signature was not accepted (at most one such line a second)");
            }
            endpoint.failures.spend(self.now)
        });
        if matches!(spent, Lookup::Known(false)) { Refusal::TooMany } else { Refusal::Unauthorized }
    }

    async fn publish<P>(&self, kind: Kind, request: &Verified<P>, headers: &HeaderMap) -> Result<Outcome, Refusal> {
        let envelope = self.state.envelope(kind, request.endpoint(), request.body(), headers);
        self.state.intake.accept(&topology::queue(kind.role(), kind.lane()), &envelope).await?;
        tracing::debug!(message.id = %envelope.message_id, endpoint.id = %self.endpoint, kind = %kind.name(), "a webhook is accepted");
        Ok(Outcome::Accepted)
    }

    /// Stores what no worker could read in the queue for humans. A retry of the sender would not help, so it hears 2xx.
    async fn park<P>(&self, kind: Kind, reason: Unreadable, request: &Verified<P>, headers: &HeaderMap) -> Result<Outcome, Refusal> {
        let envelope = self.state.envelope(kind, request.endpoint(), request.body(), headers);
        self.state.intake.accept(&QueueName::unrouted(), &envelope).await?;
        self.state.metrics.parked(self.provider, reason);
        tracing::warn!(message.id = %envelope.message_id, endpoint.id = %self.endpoint, reason = reason.name(), "an authentic request cannot be handled and waits for a human");
        Ok(Outcome::Parked)
    }
}
