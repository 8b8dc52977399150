//! Sending to ingress as the providers send.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

/// One client of the whole test process.
///
/// # Panics
/// Never in practice: the client's settings are constant.
pub fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| Client::builder().timeout(Duration::from_secs(60)).pool_max_idle_per_host(256).build().expect("a client of constant settings"))
}

/// What ingress answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether it was accepted.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        self.status / 100 == 2
    }
}

/// Posts bytes with one signature header.
///
/// # Panics
/// When nobody answers.
pub async fn post(url: &str, header: &str, signature: &str, body: Vec<u8>) -> Answer {
    try_post(url, header, signature, body).await.unwrap_or_else(|error| panic!("ingress does not answer: {error}"))
}

/// As [`post`], for tests in which ingress may be away.
///
/// # Errors
/// When nobody answers.
pub async fn try_post(url: &str, header: &str, signature: &str, body: Vec<u8>) -> Result<Answer, reqwest::Error> {
    let answer = client().post(url).header("content-type", "application/json").header(header, signature).body(body).send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
}
