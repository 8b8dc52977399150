//! Sends one body to ingress as Retell does: signed, with a timeout, again after a failure, every answer noted
//! (reference/retell.md 2.3, 4.3); and loses, doubles, delays or shuffles webhooks on their way if a test wants that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Inner;
use super::sign::sign_retell;
use crate::calcom_stand_in::Fate;

/// Load runs send a lot; beyond this the oldest entries are forgotten.
const LISTED_MAX: usize = 200_000;
/// More webhooks than are sent while one is held back.
const WEBHOOKS_LOOKED_THROUGH: usize = 5_000;
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
    /// 0: lost on its way, or still under way.
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

/// What became of a webhook, retries included; one entry per sending.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebhookEntry {
    pub at: DateTime<Utc>,
    pub call_id: String,
    pub event: String,
    pub fate: Fate,
    /// Whether the receiver said 2xx; false also for what was lost.
    pub acknowledged: bool,
    /// Place in the order of causes; of one call, the receiver ought to see them in it.
    #[serde(default)]
    pub caused_seq: u64,
}

/// One webhook on its way.
struct Passage {
    fate: Fate,
    caused_seq: u64,
    /// The receiver had a later one of the same call before this was sent.
    overtaken: bool,
}

/// What a delivery is called in the ledger.
#[derive(Debug, Clone)]
pub struct Label {
    pub call_id: String,
    pub kind: String,
    pub tool_call_id: Option<String>,
}

impl Inner {
    /// Webhooks take their faults, and up to three retries. Of several sendings the answer is that of the one which is awaited.
    pub async fn send_webhook(self: &Arc<Self>, target: &Target, label: &Label, body: &[u8]) -> Answer {
        let (caused_seq, course) = {
            let mut memory = self.memory();
            memory.webhooks_caused += 1;
            (memory.webhooks_caused, memory.webhook_dice.course(&label.kind, self.config.clock.now()))
        };
        let nothing = Answer { status: 0, body: Value::Null, latency: Duration::ZERO, attempts: 0 };
        if course.sendings.is_empty() {
            self.note_webhook(label, &Passage { fate: Fate::Lost, caused_seq, overtaken: false }, false);
            return nothing;
        }
        let mut answer = nothing;
        for sending in course.sendings {
            let Some(after) = sending.after else {
                let passage = self.passage(label, sending.fate, caused_seq);
                answer = self.send_inbound(target, label, body).await;
                self.note_webhook(label, &passage, answer.is_success());
                continue;
            };
            let (inner, target, label, body) = (Arc::clone(self), target.clone(), label.clone(), body.to_vec());
            self.webhooks_under_way.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                let passage = inner.passage(&label, sending.fate, caused_seq);
                let answer = inner.send_inbound(&target, &label, &body).await;
                inner.note_webhook(&label, &passage, answer.is_success());
                inner.webhooks_under_way.fetch_sub(1, Ordering::SeqCst);
            });
        }
        answer
    }

    /// As a webhook, without faults: call_inbound is a question, and its loss is a call without our variables.
    pub async fn send_inbound(&self, target: &Target, label: &Label, body: &[u8]) -> Answer {
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

    fn passage(&self, label: &Label, fate: Fate, caused_seq: u64) -> Passage {
        let memory = self.memory();
        let mut latest = memory.webhooks.iter().rev().take(WEBHOOKS_LOOKED_THROUGH);
        let overtaken = latest.any(|webhook| webhook.acknowledged && webhook.call_id == label.call_id && webhook.caused_seq > caused_seq);
        Passage { fate, caused_seq, overtaken }
    }

    fn note_webhook(&self, label: &Label, passage: &Passage, acknowledged: bool) {
        let Passage { fate, caused_seq, overtaken } = *passage;
        let entry = WebhookEntry { at: self.config.clock.now(), call_id: label.call_id.clone(), event: label.kind.clone(), fate, acknowledged, caused_seq };
        let mut memory = self.memory();
        *memory.fates.entry(fate).or_default() += 1;
        let felt = match fate {
            Fate::Sent => false,
            Fate::Lost => true,
            Fate::Doubled | Fate::Late => acknowledged,
            Fate::Shuffled => acknowledged && overtaken,
        };
        if felt {
            *memory.felt.entry(fate).or_default() += 1;
        }
        if memory.webhooks.len() >= LISTED_MAX {
            memory.webhooks.drain(..LISTED_MAX / 10);
        }
        memory.webhooks.push(entry);
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
