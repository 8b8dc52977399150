//! Sends one body to ingress as Retell does: signed, with a timeout, again after a failure, every answer noted
//! (reference/retell.md 2.3, 4.3).

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Inner;
use super::sign::sign_retell;

/// Load runs send a lot; beyond this the oldest entries are forgotten.
const LISTED_MAX: usize = 200_000;
/// More than any function answer that a model gets to see (15,000 characters) would need.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where to, and with which key signed.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Target {
    /// The whole URL of the endpoint.
    pub url: String,
    pub api_key: String,
}

/// The last attempt's outcome.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 0 = no answer: refused connection or timeout.
    pub status: u16,
    /// `Null` when the body is no JSON.
    pub body: Value,
    /// Of the last attempt alone.
    pub latency: Duration,
    pub attempts: u32,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Every single attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnswerEntry {
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub call_id: String,
    /// Event or function name.
    pub kind: String,
    pub tool_call_id: Option<String>,
    /// From 1.
    pub attempt: u32,
    /// Nothing = refused connection or timeout.
    pub status: Option<u16>,
    pub latency_ms: u64,
    pub sent_bytes: usize,
    pub body: Value,
}

/// What a delivery is called in the ledger.
#[derive(Debug, Clone)]
pub struct Label {
    pub call_id: String,
    pub kind: String,
    pub tool_call_id: Option<String>,
}

impl Inner {
    /// Webhooks and call_inbound: up to three retries.
    pub async fn send_webhook(&self, target: &Target, label: &Label, body: &[u8]) -> Answer {
        let (timeout, retries) = (self.config.webhook_timeout, self.config.webhook_retries);
        self.send(target, label, body, timeout, retries).await
    }

    /// Functions: no retry unless the tool asks for it.
    pub async fn send_function(&self, target: &Target, label: &Label, body: &[u8]) -> Answer {
        let (timeout, retries) = (self.config.function_timeout, self.config.function_retries);
        self.send(target, label, body, timeout, retries).await
    }

    async fn send(&self, target: &Target, label: &Label, body: &[u8], timeout: Duration, retries: u32) -> Answer {
        let mut signature = sign_retell(&target.api_key, body, self.config.clock.now_ms());
        let mut attempt = 1;
        loop {
            let mut answer = self.attempt(target, label, body, &signature, timeout, attempt).await;
            answer.attempts = attempt;
            if answer.is_success() || attempt > retries {
                return answer;
            }
            tokio::time::sleep(self.config.retry_pause).await;
            attempt += 1;
            // Whether Retell signs each attempt anew is undocumented; both must be borne.
            if self.config.resign_on_retry {
                signature = sign_retell(&target.api_key, body, self.config.clock.now_ms());
            }
        }
    }

    async fn attempt(&self, target: &Target, label: &Label, body: &[u8], signature: &str, timeout: Duration, attempt: u32) -> Answer {
        let begun = Instant::now();
        let request =
            self.http.post(&target.url).header("content-type", "application/json").header("x-retell-signature", signature).body(body.to_vec()).timeout(timeout);
        let (status, answer) = match request.send().await {
            Ok(response) => (Some(response.status().as_u16()), read(response).await),
            Err(_) => (None, Value::Null),
        };
        let latency = begun.elapsed();
        self.note(AnswerEntry {
            seq: 0,
            at: self.config.clock.now(),
            call_id: label.call_id.clone(),
            kind: label.kind.clone(),
            tool_call_id: label.tool_call_id.clone(),
            attempt,
            status,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            sent_bytes: body.len(),
            body: answer.clone(),
        });
        Answer { status: status.unwrap_or(0), body: answer, latency, attempts: attempt }
    }

    fn note(&self, mut entry: AnswerEntry) {
        let mut memory = self.memory();
        memory.seq += 1;
        entry.seq = memory.seq;
        if memory.ledger.len() >= LISTED_MAX {
            memory.ledger.drain(..LISTED_MAX / 10);
        }
        memory.ledger.push(entry);
    }
}

async fn read(mut response: reqwest::Response) -> Value {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Value::Null;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).unwrap_or(Value::Null)
}
