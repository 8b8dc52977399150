//! What stands between the providers and ingress, as a load balancer does: it hands each request to one of the ingress processes, to the other if nothing
//! listens there, and writes down what was answered. The record of acknowledged events is made here and nowhere else: a 2xx that a fault swallowed on the
//! way was not seen by the sender and is not in it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use shared::clock::Clock;
use uuid::Uuid;

use super::record::{Acknowledged, Refusal, Source};
use crate::stand_in::server::LoopbackServer;

/// Longer than ingress lets any caller wait (6 s), shorter than Retell's own patience with a function.
const ANSWER_BOUND: Duration = Duration::from_secs(12);
/// What a provider sends along and ingress looks at.
const PASSED_ON: [&str; 3] = ["content-type", "x-retell-signature", "x-cal-signature-256"];

/// Whose an endpoint is: one company's, or several that share an account and are told apart by the number that was called.
#[derive(Clone, Debug)]
pub struct Owner {
    pub source: Source,
    /// Index of the company, and its number as it stands in a body.
    pub companies: Vec<(usize, String)>,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// In the order of the answers.
    pub acknowledged: Vec<Acknowledged>,
    pub sent: u64,
    /// Answers that were no 2xx, and requests without any.
    pub refused: Vec<Refusal>,
}

struct Inner {
    backends: Vec<SocketAddr>,
    next: AtomicUsize,
    owners: BTreeMap<Uuid, Owner>,
    seen: Mutex<Seen>,
    http: reqwest::Client,
    clock: Clock,
}

/// The running gate.
#[derive(Clone)]
pub struct Gate {
    pub base_url: String,
    inner: Arc<Inner>,
    _server: Arc<LoopbackServer>,
}

impl Gate {
    /// Listens on a free loopback port; `backends` are the ways to the ingress processes.
    pub async fn start(backends: Vec<SocketAddr>, owners: BTreeMap<Uuid, Owner>) -> io::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_BOUND).build().map_err(io::Error::other)?;
        let inner = Arc::new(Inner { backends, next: AtomicUsize::new(0), owners, seen: Mutex::default(), http, clock: Clock::system() });
        let serving = Arc::clone(&inner);
        let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let inner = Arc::clone(&serving);
            async move { inner.serve(uri.path(), &headers, body).await }
        });
        let server = LoopbackServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), router).await?;
        Ok(Self { base_url: server.base_url(), inner, _server: Arc::new(server) })
    }

    /// Where a provider sends to.
    pub fn url(&self, source: Source, endpoint: Uuid) -> String {
        format!("{}{}", self.base_url, path(source, endpoint))
    }

    /// One signed request, past the providers' stand-ins. The status; 0 = no answer.
    pub async fn send(&self, source: Source, endpoint: Uuid, signature: &str, body: Vec<u8>) -> u16 {
        let name = if source == Source::Retell { "x-retell-signature" } else { "x-cal-signature-256" };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        if let Ok(value) = signature.parse() {
            headers.insert(name, value);
        }
        self.inner.pass_on(&path(source, endpoint), &headers, body.into()).await.0
    }

    /// A copy of what was seen.
    pub fn seen(&self) -> Seen {
        self.inner.seen().clone()
    }

    /// How often that backend gave that answer.
    pub fn refusals(&self, backend: usize, status: u16) -> u64 {
        self.inner.seen().refused.iter().filter(|refusal| (refusal.backend, refusal.status) == (Some(backend), status)).count() as u64
    }

    pub fn acknowledged(&self) -> usize {
        self.inner.seen().acknowledged.len()
    }
}

fn path(source: Source, endpoint: Uuid) -> String {
    let provider = if source == Source::Retell { "retell" } else { "calcom" };
    format!("/v1/{provider}/{endpoint}")
}

/// What names a request everywhere (architecture section 5): the SHA-256 of endpoint and body, in hexadecimal. Written down here a second time: who judges does not ask the judged.
pub fn message_id(endpoint: Uuid, body: &[u8]) -> String {
    hex::encode(Sha256::new().chain_update(endpoint.as_bytes()).chain_update(body).finalize())
}

/// The one name that each kind of request has.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    event: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, rename = "triggerEvent")]
    trigger: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<std::borrow::Cow<'a, str>>,
}

impl Inner {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // every change is one statement, so what a panicked task left behind is whole
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, path: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let (status, answer) = self.pass_on(path, headers, body).await;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        (status, [(header::CONTENT_TYPE, "application/json")], answer).into_response()
    }

    async fn pass_on(&self, path: &str, headers: &HeaderMap, body: Bytes) -> (u16, Bytes) {
        self.seen().sent += 1;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let (mut outcome, mut backend) = ((0, Bytes::new()), None);
        let from = self.clock.now();
        for turn in 0..self.backends.len() {
            let index = (first + turn) % self.backends.len();
            match self.attempt(self.backends[index], path, headers, body.clone()).await {
                Ok(answered) => {
                    (outcome, backend) = (answered, Some(index));
                    break;
                }
                // nothing was sent: the other one may take it. Anything else may have arrived, and repeating is the sender's affair
                Err(error) if error.is_connect() => {}
                Err(_) => {
                    backend = Some(index);
                    break;
                }
            }
        }
        if (200..300).contains(&outcome.0) {
            self.note(path, &body, outcome.0);
        } else {
            let refusal = Refusal { backend, status: outcome.0, from, until: self.clock.now() };
            self.seen().refused.push(refusal);
        }
        outcome
    }

    async fn attempt(&self, backend: SocketAddr, path: &str, headers: &HeaderMap, body: Bytes) -> reqwest::Result<(u16, Bytes)> {
        let mut request = self.http.post(format!("http://{backend}{path}")).body(body);
        for name in PASSED_ON {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.bytes().await?))
    }

    fn note(&self, path: &str, body: &[u8], status: u16) {
        let endpoint = path.rsplit('/').next().and_then(|text| text.parse::<Uuid>().ok());
        let Some((endpoint, owner)) = endpoint.and_then(|endpoint| Some((endpoint, self.owners.get(&endpoint)?))) else { return };
        let named = serde_json::from_slice::<Named<'_>>(body).unwrap_or(Named { event: None, trigger: None, name: None });
        let function = named.event.is_none() && named.trigger.is_none() && named.name.is_some();
        let what = named.event.or(named.trigger).or(named.name).unwrap_or_default().into_owned();
        // the phone rings, and whoever is answered too late is answered without us (it fails open): a question, of which nothing is kept or promised
        if what == "call_inbound" {
            return;
        }
        let entry = Acknowledged {
            message_id: message_id(endpoint, body),
            source: owner.source,
            endpoint,
            company: owner.company_of(body),
            live: function,
            what,
            at: self.clock.now(),
            status,
        };
        self.seen().acknowledged.push(entry);
    }
}

impl Owner {
    fn company_of(&self, body: &[u8]) -> Option<usize> {
        if let [(only, _)] = self.companies.as_slice() {
            return Some(*only);
        }
        let text = std::str::from_utf8(body).ok()?;
        self.companies.iter().find(|(_, number)| text.contains(number)).map(|(company, _)| *company)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::post;

    use super::*;

    /// Something that answers everything with this status.
    async fn backend(status: StatusCode) -> (LoopbackServer, SocketAddr) {
        let router = Router::new().route("/{*path}", post(move || async move { status }));
        let server = LoopbackServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), router).await.unwrap();
        let address = server.address;
        (server, address)
    }

    fn shared(endpoint: Uuid) -> BTreeMap<Uuid, Owner> {
        let companies = vec![(0, "+4930111".to_owned()), (1, "+4930222".to_owned())];
        BTreeMap::from([(endpoint, Owner { source: Source::Retell, companies })])
    }

    #[tokio::test]
    async fn what_was_answered_2xx_is_written_down_with_its_message_and_its_company() {
        let (_server, address) = backend(StatusCode::NO_CONTENT).await;
        let endpoint = Uuid::now_v7();
        // nothing listens at the first: the second takes it
        let gone = crate::servers::free_port().unwrap();
        let gate = Gate::start(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, gone)), address], shared(endpoint)).await.unwrap();
        let body = br#"{"name":"book_appointment","args":{},"call":{"to_number":"+4930222"}}"#.to_vec();
        assert_eq!(gate.send(Source::Retell, endpoint, "s", body.clone()).await, 204);
        let seen = gate.seen();
        let [event] = seen.acknowledged.as_slice() else { panic!("one event") };
        assert_eq!(event.message_id, message_id(endpoint, &body));
        assert_eq!((event.company, event.what.as_str(), event.live), (Some(1), "book_appointment", true));
        assert!(seen.refused.is_empty());
    }

    #[test]
    fn a_message_is_named_by_its_endpoint_and_its_bytes() {
        // sha256 of sixteen zero bytes and "{}"
        assert_eq!(message_id(Uuid::nil(), b"{}"), "333b13ff02f57ae18049b82ca66f37592c5a3d8fd54e44e23ae5c7085c24fd2a");
        assert_ne!(message_id(Uuid::nil(), b"{} "), message_id(Uuid::nil(), b"{}"));
    }

    #[tokio::test]
    async fn what_was_refused_or_not_answered_is_no_promise() {
        let (_server, address) = backend(StatusCode::SERVICE_UNAVAILABLE).await;
        let endpoint = Uuid::now_v7();
        let gate = Gate::start(vec![address], shared(endpoint)).await.unwrap();
        assert_eq!(gate.send(Source::Retell, endpoint, "s", b"{}".to_vec()).await, 503);
        let nobody = Gate::start(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, crate::servers::free_port().unwrap()))], shared(endpoint)).await.unwrap();
        assert_eq!(nobody.send(Source::Retell, endpoint, "s", b"{}".to_vec()).await, 0);
        let told = |gate: &Gate| gate.seen().refused.iter().map(|refusal| (refusal.backend, refusal.status)).collect::<Vec<_>>();
        assert_eq!((told(&gate), told(&nobody)), (vec![(Some(0), 503)], vec![(None, 0)]));
        assert!(gate.seen().refused.iter().all(|refusal| refusal.from <= refusal.until));
        assert_eq!((gate.refusals(0, 503), gate.refusals(1, 503)), (1, 0));
        assert!(gate.seen().acknowledged.is_empty() && nobody.seen().acknowledged.is_empty());
    }
}
