//! Three operations, one attempt each. Every body is bounded; an error carries operation and status, never content.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::calcom::transport::{BodyError, header_number, http_client, is_path_segment, read_capped};
use crate::config::Retell;

/// A one-hour call is 1 to 2 MB of JSON; the webhook of the same call may have 8 MiB.
const CALL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Retell's limit of metadata and variables is 50 kB; what we tell an agent is a sentence or two.
const CONTEXT_CHARS_MAX: usize = 2_000;
/// An item of a list has no transcript: 4 kB, with its metadata 50 kB at worst, so that a page stays below [`CALL_BYTES_MAX`].
const PAGE_CALLS_MAX: u16 = 100;

/// A Retell request that brought no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum RetellError {
    #[error("Retell refused to {operation} (status {status})")]
    Refused { operation: &'static str, status: u16 },
    #[error("Retell rejected our API key when asked to {operation} (status {status})")]
    CredentialRejected { operation: &'static str, status: u16 },
    #[error("Retell throttled the request to {operation}")]
    Throttled { operation: &'static str, retry_after: Option<Duration> },
    #[error("Retell did not answer the request to {operation} (status {})", status.map_or_else(|| "none".to_owned(), |status| status.to_string()))]
    Unavailable {
        operation: &'static str,
        status: Option<u16>,
        #[source]
        source: Option<reqwest::Error>,
    },
    #[error("Retell's answer to the request to {operation} is larger than {CALL_BYTES_MAX} bytes")]
    TooLarge { operation: &'static str },
    #[error("the request to {operation} was not sent to Retell: {what}")]
    Unsendable { operation: &'static str, what: &'static str },
    #[error("the HTTP client for Retell cannot be built")]
    Client(#[source] reqwest::Error),
}

impl RetellError {
    /// True if a later attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }
}

/// What to push into a running call.
#[derive(Clone, Debug, Default)]
pub struct LiveUpdate {
    /// What the agent should know now, such as "Der Termin ist jetzt bestätigt".
    pub additional_context: Option<crate::telemetry::Masked<String>>,
    /// Let the agent speak about it at once; Retell ignores it while somebody speaks.
    pub trigger_response: bool,
    /// Dynamic variables; strings only.
    pub dynamic_variables: Vec<(String, crate::telemetry::Masked<String>)>,
}

/// Which calls, and which page of them: those that ended or began in a span of time (both ends are inside), the earliest start first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallQuery {
    pub span: Span,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// The key of the page before.
    pub pagination_key: Option<String>,
}

/// What of a call lies in the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Calls that never connected have no end.
    Ended,
    Started,
}

/// The client. Clones share one connection pool.
#[derive(Clone, Debug)]
pub struct RetellClient {
    http: Client,
    base_url: String,
    timeout: Duration,
}

impl RetellClient {
    /// A client for the configured base URL.
    ///
    /// # Errors
    /// The TLS backend cannot be set up.
    pub fn new(config: &Retell) -> Result<Self, RetellError> {
        let base_url = config.base_url.trim_end_matches('/').to_owned();
        Ok(Self { http: http_client().map_err(RetellError::Client)?, base_url, timeout: config.timeout })
    }

    /// The call as Retell holds it: bytes that [`crate::wire::retell::RetellCall`] reads without a copy. `None` if Retell does not know it.
    ///
    /// # Errors
    /// See [`RetellError`].
    pub async fn get_call(&self, api_key: &SecretString, call_id: &str) -> Result<Option<Vec<u8>>, RetellError> {
        const OPERATION: &str = "read a call";
        let request = self.request(OPERATION, Method::GET, "get-call", call_id, api_key)?;
        match self.send(OPERATION, request).await {
            // Retell's word for an id that it does not know, or no longer (reference section 6.1)
            Err(RetellError::Refused { status: 422, .. }) => Ok(None),
            answer => answer,
        }
    }

    /// A page of calls, without transcripts: bytes that [`crate::wire::retell::CallList`] reads.
    ///
    /// # Errors
    /// See [`RetellError`]. 404 is an error here: Retell has moved this path before (reference section 6.2).
    pub async fn list_calls(&self, api_key: &SecretString, query: &CallQuery) -> Result<Vec<u8>, RetellError> {
        const OPERATION: &str = "list calls";
        let url = format!("{}/v3/list-calls", self.base_url);
        let request = self.http.post(url).bearer_auth(api_key.expose_secret()).timeout(self.timeout).json(&query.to_json());
        self.send(OPERATION, request).await?.ok_or(RetellError::Refused { operation: OPERATION, status: 404 })
    }

    /// Pushes a late result into a running call. `false`: the call is over (or unknown), so it becomes a callback instead.
    ///
    /// # Errors
    /// See [`RetellError`].
    pub async fn update_live_call(&self, api_key: &SecretString, call_id: &str, update: &LiveUpdate) -> Result<bool, RetellError> {
        const OPERATION: &str = "update a live call";
        let request = self.request(OPERATION, Method::PATCH, "update-live-call", call_id, api_key)?.json(&update.to_json());
        match self.send(OPERATION, request).await {
            Ok(answer) => Ok(answer.is_some()),
            // Retell answers 400, 409 or 422 when the call is not live; our own form is fixed, so these mean "over".
            Err(RetellError::Refused { status: 400 | 409 | 422, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn request(&self, operation: &'static str, method: Method, verb: &str, call_id: &str, api_key: &SecretString) -> Result<RequestBuilder, RetellError> {
        if !is_path_segment(call_id) {
            return Err(RetellError::Unsendable { operation, what: "the call id has characters that no Retell id has" });
        }
        let url = format!("{}/v2/{verb}/{call_id}", self.base_url);
        Ok(self.http.request(method, url).bearer_auth(api_key.expose_secret()).timeout(self.timeout))
    }

    async fn send(&self, operation: &'static str, request: RequestBuilder) -> Result<Option<Vec<u8>>, RetellError> {
        let response = request.send().await.map_err(|error| match error.without_url() {
            error if error.is_builder() => RetellError::Unsendable { operation, what: "the request cannot be built (API key with forbidden characters)" },
            error => RetellError::Unavailable { operation, status: None, source: Some(error) },
        })?;
        let status = response.status().as_u16();
        match status {
            200..=299 => match read_capped(response, CALL_BYTES_MAX).await {
                Ok(body) => Ok(Some(body)),
                Err(BodyError::TooLarge) => Err(RetellError::TooLarge { operation }),
                Err(BodyError::Transport(source)) => Err(RetellError::Unavailable { operation, status: Some(status), source: Some(source) }),
            },
            404 => Ok(None),
            401 | 403 => Err(RetellError::CredentialRejected { operation, status }),
            429 => {
                let retry_after = header_number(response.headers(), "retry-after").map(|seconds| Duration::from_secs(seconds.min(900)));
                Err(RetellError::Throttled { operation, retry_after })
            }
            408 | 500..=599 => Err(RetellError::Unavailable { operation, status: Some(status), source: None }),
            _ => Err(RetellError::Refused { operation, status }),
        }
    }
}

impl CallQuery {
    fn to_json(&self) -> Value {
        let field = match self.span {
            Span::Ended => "end_timestamp",
            Span::Started => "start_timestamp",
        };
        let span = json!({ "type": "range", "op": "bt", "value": [self.from.timestamp_millis(), self.until.timestamp_millis()] });
        let mut body = json!({ "filter_criteria": { field: span }, "sort_order": "ascending", "limit": PAGE_CALLS_MAX });
        if let Some(key) = &self.pagination_key {
            body["pagination_key"] = json!(key);
        }
        body
    }
}

impl LiveUpdate {
    fn to_json(&self) -> Value {
        let mut body = json!({});
        if let Some(context) = &self.additional_context {
            let context: String = context.as_str().chars().take(CONTEXT_CHARS_MAX).collect();
            body["call_control"] = json!({ "additional_context": context, "trigger_response": self.trigger_response });
        }
        if !self.dynamic_variables.is_empty() {
            let variables: serde_json::Map<String, Value> = self.dynamic_variables.iter().map(|(name, value)| (name.clone(), json!(value.as_str()))).collect();
            body["override_dynamic_variables"] = Value::Object(variables);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{HeaderMap, Method, StatusCode, Uri};

    use super::*;
    use crate::telemetry::Masked;

    type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap, String)>>>;

    async fn answering(status: u16, body: &'static str) -> (RetellClient, Seen) {
        let seen = Seen::default();
        let memory = Arc::clone(&seen);
        let router = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, request: String| async move {
            memory.lock().unwrap().push((method, uri.to_string(), headers, request));
            (StatusCode::from_u16(status).unwrap(), body)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = Retell { base_url: format!("http://{address}/"), timeout: Duration::from_secs(5) };
        (RetellClient::new(&config).unwrap(), seen)
    }

    fn key() -> SecretString {
        SecretString::from("key_test")
    }

    #[tokio::test]
    async fn a_call_is_read_as_bytes_that_the_wire_type_borrows() {
        let (client, seen) = answering(200, r#"{"call_id":"call_1a","call_status":"ended","transcript":"Agent: x"}"#).await;
        let body = client.get_call(&key(), "call_1a").await.unwrap().unwrap();
        let call: crate::wire::retell::RetellCall<'_> = serde_json::from_slice(&body).unwrap();
        assert_eq!(call.call_id.as_deref(), Some("call_1a"));
        let seen = seen.lock().unwrap();
        assert_eq!((seen[0].0.as_str(), seen[0].1.as_str()), ("GET", "/v2/get-call/call_1a"));
        assert_eq!(seen[0].2["authorization"], "Bearer key_test");
    }

    #[tokio::test]
    async fn a_late_result_goes_into_the_call_or_reports_that_it_is_over() {
        let update = LiveUpdate { additional_context: Some(Masked::new("Bestätigt.".to_owned())), trigger_response: true, dynamic_variables: vec![] };
        let (client, seen) = answering(200, "{}").await;
        assert!(client.update_live_call(&key(), "call_1a", &update).await.unwrap());
        let sent: Value = serde_json::from_str(&seen.lock().unwrap()[0].3).unwrap();
        assert_eq!(sent, json!({"call_control": {"additional_context": "Bestätigt.", "trigger_response": true}}));
        for status in [400, 404, 409, 422] {
            let (client, _) = answering(status, "{}").await;
            assert!(!client.update_live_call(&key(), "call_1a", &update).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_list_is_asked_for_by_its_span_and_page() {
        let (client, seen) = answering(200, r#"{"items":[],"has_more":false}"#).await;
        let at = |ms| DateTime::from_timestamp_millis(ms).unwrap();
        let query = CallQuery { span: Span::Ended, from: at(1_000), until: at(2_000), pagination_key: None };
        client.list_calls(&key(), &query).await.unwrap();
        client.list_calls(&key(), &CallQuery { span: Span::Started, pagination_key: Some("k1".into()), ..query.clone() }).await.unwrap();
        {
            let seen = seen.lock().unwrap();
            assert_eq!((seen[0].0.as_str(), seen[0].1.as_str()), ("POST", "/v3/list-calls"));
            let bodies: Vec<Value> = seen.iter().map(|request| serde_json::from_str(&request.3).unwrap()).collect();
            let span = json!({"type": "range", "op": "bt", "value": [1_000, 2_000]});
            assert_eq!(bodies[0], json!({"filter_criteria": {"end_timestamp": span}, "sort_order": "ascending", "limit": 100}));
            assert_eq!((&bodies[1]["filter_criteria"]["start_timestamp"], &bodies[1]["pagination_key"]), (&span, &json!("k1")));
        }
        let (client, _) = answering(404, "{}").await;
        assert!(matches!(client.list_calls(&key(), &query).await, Err(RetellError::Refused { status: 404, .. })));
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        for (status, transient) in [(401, false), (429, true), (500, true), (503, true), (402, false), (302, false)] {
            let (client, seen) = answering(status, "{}").await;
            let error = client.get_call(&key(), "call_1a").await.unwrap_err();
            assert_eq!(error.is_transient(), transient, "{status}");
            assert_eq!(seen.lock().unwrap().len(), 1);
            assert!(!format!("{error} {error:?}").contains("call_1a"));
        }
        for status in [404, 422] {
            let (client, _) = answering(status, "").await;
            assert!(client.get_call(&key(), "call_1a").await.unwrap().is_none());
            assert!(matches!(client.get_call(&key(), "../x").await, Err(RetellError::Unsendable { .. })));
        }
    }
}
