//! Sends webhooks, signed, once and never again (reference/calcom.md 1.6, 1.7), and the barrier that forces them before
//! or after the API answer, holds them, or loses them. What may happen to them on the way: `webhook_faults`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ledger::{DeliveryEntry, Fate};
use super::model::{EventType, Webhook};
use super::output::millis;
use super::sign::{NO_SECRET, sign_calcom};
use super::webhook_faults::{Course, Sending};
use super::{Inner, state::State};

/// What the header says since early 2026.
pub const WEBHOOK_VERSION: &str = "2021-10-20";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EchoOrder {
    /// The inline path: sent and awaited before the answer.
    #[default]
    Before,
    /// Only once the answer has left.
    After,
    /// Kept until released.
    Hold,
    /// Never sent: an outage of the receiver, as far as it can tell.
    Lose,
}

#[derive(Default)]
pub struct EchoBarrier {
    pub order: EchoOrder,
    pub held: Vec<Echo>,
}

/// One event, not yet addressed to anybody.
#[derive(Debug, Clone)]
pub struct Echo {
    pub trigger: String,
    pub uid: Option<String>,
    pub created_at: DateTime<Utc>,
    /// Compact JSON of `payload`.
    pub payload: String,
    /// Organizer and owner, whose webhooks get it.
    pub users: Vec<i64>,
    pub event_type_id: Option<i64>,
}

impl Echo {
    fn body(&self) -> String {
        format!(r#"{{"triggerEvent":"{}","createdAt":"{}","payload":{}}}"#, self.trigger, millis(self.created_at), self.payload)
    }
}

impl State {
    /// Addresses a payload to those who are concerned by this booking.
    pub fn echo_of(&self, trigger: &str, uid: &str, payload: Option<String>, now: DateTime<Utc>) -> Option<Echo> {
        let booking = self.booking(uid)?;
        let owner = self.event_types.get(&booking.event_type_id).and_then(EventType::owner);
        Some(Echo {
            trigger: trigger.to_owned(),
            uid: Some(uid.to_owned()),
            created_at: now,
            payload: payload?,
            users: booking.organizer_id().into_iter().chain(owner).collect(),
            event_type_id: Some(booking.event_type_id),
        })
    }

    fn note(&mut self, echo: &Echo, hook: &Webhook, at: DateTime<Utc>, passage: &Passage, status: Option<u16>) {
        let seq = self.ledger.next_seq();
        let (trigger, uid, webhook_id) = (echo.trigger.clone(), echo.uid.clone(), hook.id.clone());
        let entry = DeliveryEntry { seq, at, trigger, uid, webhook_id, status, fate: passage.fate, caused_seq: passage.caused_seq };
        self.ledger.delivery(entry, passage.overtaken);
    }

    fn receivers(&self, echo: &Echo) -> Vec<Webhook> {
        let concerned = |hook: &&Webhook| match (hook.event_type_id, hook.user_id) {
            (None, None) => true,
            (Some(event_type), _) => Some(event_type) == echo.event_type_id,
            (None, Some(user)) => echo.users.contains(&user) || echo.uid.is_none(),
        };
        let wants = |hook: &&Webhook| hook.triggers.is_empty() || echo.uid.is_none() || hook.triggers.contains(&echo.trigger);
        let hooks = self.webhooks.iter().filter(|hook| hook.active);
        hooks.filter(wants).filter(concerned).cloned().collect()
    }
}

/// One webhook on its way.
struct Passage {
    fate: Fate,
    /// Its place in the order of causes, which the receiver ought to see.
    caused_seq: u64,
    /// Another one came first that was caused later.
    overtaken: bool,
}

impl Inner {
    /// Sends now or keeps, as the barrier says; what must follow the answer is handed back.
    pub async fn announce(&self, echoes: impl IntoIterator<Item = Echo>) -> Vec<Echo> {
        let mut later = Vec::new();
        for echo in echoes {
            let order = self.state().echo.order;
            match order {
                EchoOrder::Before => self.deliver(&echo).await,
                EchoOrder::After => later.push(echo),
                EchoOrder::Hold => self.state().echo.held.push(echo),
                EchoOrder::Lose => self.lose(&echo),
            }
        }
        later
    }

    /// Sends what was held, in its order, and awaits it. The number of events.
    pub async fn release(&self) -> usize {
        let held = std::mem::take(&mut self.state().echo.held);
        for echo in &held {
            self.deliver(echo).await;
        }
        held.len()
    }

    /// To every webhook that is concerned, as the faults allow. What is sent now is awaited, what is sent later is not.
    pub async fn deliver(&self, echo: &Echo) {
        let now = self.clock.now();
        let (caused_seq, course) = {
            let mut state = self.state();
            let course = match echo.uid {
                Some(_) => state.webhook_dice.course(&echo.trigger, now),
                None => Course { sendings: vec![Sending::now()] },
            };
            (state.ledger.next_seq(), course)
        };
        if course.sendings.is_empty() {
            self.lose(echo);
        }
        for sending in course.sendings {
            match sending.after {
                None => self.post(echo, sending.fate, caused_seq).await,
                Some(_) => self.post_later(echo.clone(), sending, caused_seq),
            }
        }
    }

    /// Notes that nobody got it.
    fn lose(&self, echo: &Echo) {
        let at = self.clock.now();
        let mut state = self.state();
        let caused_seq = state.ledger.next_seq();
        for hook in state.receivers(echo) {
            state.note(echo, &hook, at, &Passage { fate: Fate::Lost, caused_seq, overtaken: false }, None);
        }
    }

    fn post_later(&self, mut echo: Echo, sending: Sending, caused_seq: u64) {
        let (me, under_way) = (self.me.clone(), UnderWay::begin(&self.webhooks_under_way));
        tokio::spawn(async move {
            let _under_way = under_way;
            tokio::time::sleep(sending.after.unwrap_or_default()).await;
            // The stand-in may have been stopped meanwhile.
            let Some(inner) = me.upgrade() else { return };
            if sending.rebuilt {
                echo.created_at = inner.clock.now();
            }
            inner.post(&echo, sending.fate, caused_seq).await;
        });
    }

    /// One POST per webhook that is concerned. A failure is noted and that is all: Cal.com does not retry.
    async fn post(&self, echo: &Echo, fate: Fate, caused_seq: u64) {
        let receivers = self.state().receivers(echo);
        let body = echo.body();
        for hook in receivers {
            let signature = match &hook.secret {
                Some(secret) => sign_calcom(secret, body.as_bytes()),
                None => NO_SECRET.to_owned(),
            };
            let passage = Passage { fate, caused_seq, overtaken: self.state().ledger.is_overtaken(&hook.id, caused_seq) };
            let sent = self
                .http
                .post(&hook.subscriber_url)
                .header("content-type", "application/json")
                .header("x-cal-signature-256", signature)
                .header("x-cal-webhook-version", WEBHOOK_VERSION)
                .body(body.clone())
                .send()
                .await;
            let status = sent.ok().map(|response| response.status().as_u16());
            let at = self.clock.now();
            self.state().note(echo, &hook, at, &passage, status);
        }
    }
}

/// Counts a webhook that waits to be sent, also if its task is dropped.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
