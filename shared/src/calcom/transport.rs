//! The HTTP client under both provider rooms: no redirects, no retries, no proxy from the environment, bounded answers.
//!
//! Not a layer with opinions about statuses: each provider's client decides those. Used by `calcom` and `retell`.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// A host that takes longer than this to accept a connection will not answer a caller in time either.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Below common load balancers' idle limits (60 s), so that a pooled connection is rarely already closed at the other end.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// Why an answer's body could not be had.
#[derive(Debug)]
pub(crate) enum BodyError {
    Transport(reqwest::Error),
    TooLarge,
}

/// A client with our defaults. Retries and redirects are off: a repeated booking POST is a second booking (reference section 3.4).
/// The proxy variables of the environment are not honoured: a stray one must not carry API keys elsewhere.
///
/// # Errors
/// The TLS backend cannot be set up.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .no_proxy()
        .user_agent(concat!("frontdesk/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Reads a body up to `limit` bytes.
///
/// # Errors
/// The connection broke, or the body is larger.
pub(crate) async fn read_capped(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::Transport(error.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The whole number in a header.
pub(crate) fn header_number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// True for text that may stand in a URL path as it is: provider ids, nothing that could leave its segment.
pub(crate) fn is_path_segment(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (1..=128).contains(&text.len()) && plain && !text.bytes().all(|byte| byte == b'.')
}
