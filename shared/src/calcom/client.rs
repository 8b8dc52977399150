//! How one request to Cal.com's API v2 is made and its answer taken in; the operations are in `bookings`, `slots` and `account`.
//! Each is one attempt: repeating is decided elsewhere, after a search.
//!
//! A version header is always set: without one, Cal.com silently answers in the shapes of 2024-04-15 (reference section 3.1).

mod account;
mod bookings;
mod slots;

use std::time::Duration;

use reqwest::{Client, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::{CalcomError, RequestId};
use super::transport::{BodyError, http_client, is_path_segment, read_capped};
use crate::config::Calcom;

/// A page of 250 bookings is about 500 KB; a larger answer is not one of ours.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Error bodies are small; HTML of the edge is cut off.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// An API key of one Cal.com account.
#[derive(Clone, Debug)]
pub struct Credential {
    pub api_key: SecretString,
}

/// With which key, and for how long at most. On the live lane the deadline bounds it.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    credential: &'a Credential,
    timeout: Option<Duration>,
}

impl<'a> Access<'a> {
    /// With the client's configured timeout (30 s unless set).
    #[must_use]
    pub const fn new(credential: &'a Credential) -> Self {
        Self { credential, timeout: None }
    }

    /// With this total timeout.
    #[must_use]
    pub const fn within(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

/// The client. Clones share one connection pool.
#[derive(Clone, Debug)]
pub struct CalcomClient {
    http: Client,
    base_url: String,
    version_bookings: String,
    version_event_types: String,
    timeout: Duration,
}

/// What one operation is.
struct Operation<'a> {
    /// For errors and records: a fixed phrase.
    name: &'static str,
    method: Method,
    path: String,
    version: Option<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Operation<'_> {
    /// A change may have happened although its answer is unreadable.
    fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    fn unreadable(&self, what: &'static str, status: u16, request_id: RequestId) -> CalcomError {
        let operation = self.name;
        if self.is_write() {
            CalcomError::UnknownOutcome { operation, status: Some(status), request_id, source: None }
        } else {
            CalcomError::UnexpectedAnswer { operation, what, status, request_id }
        }
    }
}

/// A 2xx answer.
struct Answer {
    status: u16,
    request_id: RequestId,
    value: Value,
}

impl CalcomClient {
    /// A client for the configured base URL and versions.
    ///
    /// # Errors
    /// The TLS backend cannot be set up.
    pub fn new(config: &Calcom) -> Result<Self, CalcomError> {
        // Joined by string rules: `Url::join` would drop the path prefix of a self-hosted API (reference section 6).
        let base = config.base_url.trim_end_matches('/');
        let base_url = if base.ends_with("/v2") { base.to_owned() } else { format!("{base}/v2") };
        Ok(Self {
            http: http_client().map_err(CalcomError::Client)?,
            base_url,
            version_bookings: config.version_bookings.clone(),
            version_event_types: config.version_event_types.clone(),
            timeout: config.timeout,
        })
    }

    async fn call(&self, access: Access<'_>, operation: &Operation<'_>) -> Result<Answer, CalcomError> {
        let name = operation.name;
        let mut request = self
            .http
            .request(operation.method.clone(), format!("{}{}", self.base_url, operation.path))
            .bearer_auth(access.credential.api_key.expose_secret())
            .timeout(access.timeout.unwrap_or(self.timeout));
        if let Some(version) = operation.version {
            request = request.header("cal-api-version", version);
        }
        if !operation.query.is_empty() {
            request = request.query(&operation.query);
        }
        if let Some(body) = &operation.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| CalcomError::of_transport(name, error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let limit = if status.is_success() { ANSWER_BYTES_MAX } else { ERROR_BYTES_MAX };
        let body = read_capped(response, limit).await;
        if !status.is_success() {
            // The status alone decides when the body of an error is broken or endless.
            return Err(CalcomError::of_answer(name, status.as_u16(), &headers, &body.unwrap_or_default()));
        }
        let (status, request_id) = (status.as_u16(), RequestId::of(&headers));
        match body {
            Ok(body) if body.is_empty() => Ok(Answer { status, request_id, value: Value::Null }),
            Ok(body) => match serde_json::from_slice(&body) {
                Ok(value) => Ok(Answer { status, request_id, value }),
                Err(_) => Err(operation.unreadable("not JSON", status, request_id)),
            },
            Err(BodyError::TooLarge) => Err(operation.unreadable("an answer over 4 MiB", status, request_id)),
            Err(BodyError::Transport(source)) => Err(CalcomError::UnknownOutcome { operation: name, status: Some(status), request_id, source: Some(source) }),
        }
    }
}

const fn plain(name: &'static str, method: Method, path: String, body: Option<Value>) -> Operation<'static> {
    Operation { name, method, path, version: None, query: Vec::new(), body }
}

fn data(answer: &Answer) -> &Value {
    answer.value.get("data").unwrap_or(&Value::Null)
}

/// An id that may stand in a path: uids also come from webhooks, and none may lead elsewhere.
fn segment<'a>(operation: &'static str, id: &'a str) -> Result<&'a str, CalcomError> {
    if is_path_segment(id) { Ok(id) } else { Err(CalcomError::Unsendable { operation, what: "the id has characters that no Cal.com id has" }) }
}

#[cfg(test)]
mod tests;
