//! A scripted call: each method sends what Retell sends at that moment and adds to the call object what Retell adds.
//! The caller of these methods decides the order, so that impossible orders can be played too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use super::Inner;
use super::call_object::{CallAnalysis, CallObject};
use super::deliver::{Answer, Label, Target};
use crate::stand_in::json_order::OrderedMap;

/// What the model gets to see of a function's answer (reference/retell.md 4.4).
const RESULT_CHARS_MAX: usize = 15_000;

pub struct Call {
    inner: Arc<Inner>,
    target: Target,
    /// Shared with the REST part: a live update changes it too.
    object: Arc<Mutex<CallObject>>,
}

/// A function request that is built but not yet sent; sending it twice is what a retry looks like.
#[derive(Debug, Clone)]
pub struct FunctionRequest {
    pub body: Vec<u8>,
    pub name: String,
    pub tool_call_id: String,
}

impl Call {
    pub(super) fn new(inner: Arc<Inner>, target: Target, direction: &'static str, from: &str, to: &str) -> Self {
        let agent = inner.config.agent.clone();
        let carrier = format!("CA{:032x}", rand::random::<u128>());
        let object = CallObject {
            call_id: format!("call_{}", &format!("{:032x}", rand::random::<u128>())[..27]),
            call_type: "phone_call",
            agent_id: agent.id,
            agent_version: agent.version,
            agent_name: agent.name,
            call_status: "registered",
            data_storage_setting: "everything",
            opt_in_signed_url: true,
            from_number: from.to_owned(),
            to_number: to.to_owned(),
            direction,
            custom_sip_headers: OrderedMap(vec![("x-twilio-callsid".to_owned(), json!(carrier))]),
            telephony_identifier: Some(json!({"twilio_call_sid": carrier})),
            ..CallObject::default()
        };
        let object = Arc::new(Mutex::new(object));
        let call = Self { inner, target, object };
        call.inner.memory().remember(call.id(), call.object.clone());
        call
    }

    pub fn id(&self) -> String {
        self.object().call_id.clone()
    }

    /// Sends to another endpoint, or signs with another key, from here on.
    pub fn at(mut self, target: Target) -> Self {
        self.inner.memory().know(&target.api_key);
        self.target = target;
        self
    }

    /// As another agent than the configured one.
    pub fn as_agent(self, agent_id: &str) -> Self {
        self.object().agent_id = agent_id.to_owned();
        self
    }

    /// Takes this id instead of a random one; the REST part knows the call by it.
    pub fn with_id(self, call_id: &str) -> Self {
        let random = std::mem::replace(&mut self.object().call_id, call_id.to_owned());
        self.inner.memory().rename(&random, call_id.to_owned(), self.object.clone());
        self
    }

    pub fn with_metadata(self, key: &str, value: Value) -> Self {
        self.object().metadata.insert(key, value);
        self
    }

    /// A copy of the object as it is now.
    pub fn snapshot(&self) -> CallObject {
        self.object().clone()
    }

    /// call_inbound. Variables and metadata of a valid answer ride along from here on.
    pub async fn ring(&mut self) -> Answer {
        let body = {
            let call = self.object();
            to_bytes(&Ringing {
                event: "call_inbound",
                event_timestamp: self.inner.config.clock.now_ms(),
                call_inbound: Inbound {
                    call_id: &call.call_id,
                    agent_id: &call.agent_id,
                    agent_version: call.agent_version,
                    from_number: &call.from_number,
                    to_number: &call.to_number,
                    custom_sip_headers: &call.custom_sip_headers,
                },
            })
        };
        let answer = self.inner.send_inbound(&self.target, &self.label("call_inbound", None), &body).await;
        if answer.is_success() {
            self.adopt(&answer.body);
        }
        answer
    }

    /// call_started.
    pub async fn start(&mut self) -> Answer {
        self.begin();
        self.event("call_started").await
    }

    /// As `start`, `end_because` and `analyze`, these three move the call on, but send nothing: for events that are sent in another order than they happened.
    pub fn begin(&mut self) {
        let now_ms = self.inner.config.clock.now_ms();
        let mut call = self.object();
        call.call_status = "ongoing";
        call.start_timestamp = Some(now_ms);
    }

    /// `role` is `agent` or `user`. Sends nothing.
    pub fn say(&mut self, role: &str, content: &str) {
        let at = self.seconds();
        self.object().say(role, content, at);
    }

    /// A custom function with a fresh tool call id; its result joins the transcript.
    pub async fn function(&mut self, name: &str, args: Value) -> Answer {
        let request = self.prepare_function(name, args);
        self.send_function(&request).await
    }

    pub fn prepare_function(&mut self, name: &str, args: Value) -> FunctionRequest {
        let tool_call_id = format!("tool_call_{:06x}", rand::random_range(0..0x100_0000_u32));
        let at = self.seconds();
        let mut call = self.object();
        // A function may run before call_started has been sent (4.1): the call is ongoing all the same.
        call.call_status = "ongoing";
        call.invoke(&tool_call_id, name, &args, at);
        let body = to_bytes(&Function { name, args: &args, call: &call });
        FunctionRequest { body, name: name.to_owned(), tool_call_id }
    }

    pub async fn send_function(&mut self, request: &FunctionRequest) -> Answer {
        let label = self.label(&request.name, Some(&request.tool_call_id));
        let answer = self.inner.send_function(&self.target, &label, &request.body).await;
        let at = self.seconds();
        let content: String = answer.body.to_string().chars().take(RESULT_CHARS_MAX).collect();
        self.object().result(&request.tool_call_id, answer.is_success(), content, at);
        answer
    }

    /// transfer_started, transfer_bridged, transfer_cancelled or transfer_ended.
    pub async fn transfer(&mut self, event: &str, number: &str) -> Answer {
        let body = to_bytes(&Transfer {
            event,
            call: &self.object(),
            transfer_destination: json!({"number": number}),
            transfer_option: json!({"type": "warm_transfer", "showTransfereeAsCaller": true}),
        });
        self.inner.send_webhook(&self.target, &self.label(event, None), &body).await
    }

    /// call_ended, by the caller.
    pub async fn end(&mut self) -> Answer {
        self.end_because("user_hangup").await
    }

    pub async fn end_because(&mut self, disconnection_reason: &str) -> Answer {
        self.close(disconnection_reason);
        self.event("call_ended").await
    }

    /// A call that never came through: no call_started, yet call_ended.
    pub async fn not_connected(&mut self, disconnection_reason: &str) -> Answer {
        {
            let mut call = self.object();
            call.call_status = "not_connected";
            call.disconnection_reason = Some(disconnection_reason.to_owned());
        }
        self.event("call_ended").await
    }

    /// call_analyzed with a summary and the customer's own analysis fields.
    pub async fn analyze(&mut self, summary: &str, custom: Value) -> Answer {
        self.conclude(summary, custom);
        self.event("call_analyzed").await
    }

    /// See `begin`.
    pub fn conclude(&mut self, summary: &str, custom: Value) {
        self.object().call_analysis = Some(CallAnalysis {
            call_summary: summary.to_owned(),
            in_voicemail: false,
            user_sentiment: "Neutral",
            call_successful: true,
            custom_analysis_data: serde_json::from_value(custom).unwrap_or_default(),
        });
    }

    /// Sends the call as it is under any event name.
    pub async fn event(&mut self, event: &str) -> Answer {
        let body = self.event_body(event);
        self.inner.send_webhook(&self.target, &self.label(event, None), &body).await
    }

    /// The exact bytes that `event` would send now.
    pub fn event_body(&self, event: &str) -> Vec<u8> {
        to_bytes(&Event { event, call: &self.object() })
    }

    /// Sends given bytes as a webhook of this call, for duplicates and late ones.
    pub async fn resend(&self, event: &str, body: &[u8]) -> Answer {
        self.inner.send_webhook(&self.target, &self.label(event, None), body).await
    }

    /// See `begin`.
    pub fn close(&mut self, disconnection_reason: &str) {
        let now_ms = self.inner.config.clock.now_ms();
        let mut call = self.object();
        call.call_status = "ended";
        call.end_timestamp = Some(now_ms);
        let lasted = now_ms - *call.start_timestamp.get_or_insert(now_ms);
        call.duration_ms = Some(lasted);
        call.disconnection_reason = Some(disconnection_reason.to_owned());
        call.transcript.get_or_insert_default();
        call.transcript_object.get_or_insert_default();
        call.transcript_with_tool_calls.get_or_insert_default();
        call.recording_url = Some(format!("https://recordings.example/{}/recording.wav?Expires=1", call.call_id));
        call.latency = Some(json!({"e2e": {"p50": 1102.25, "p90": 1236.5, "p95": 1236.5, "p99": 1236.5, "min": 980.5,
            "max": 1236.5, "num": 3, "values": [1236.5, 980.5, 1102.25]}}));
        call.call_cost = Some(json!({"combined_cost": 7.8, "total_duration_seconds": lasted / 1000,
            "total_duration_unit_price": 0.2166667,
            "product_costs": [{"product": "us_telephony", "unit_price": 0.025, "cost": 7.8}]}));
        call.llm_token_usage = Some(json!({"average": 2389.5, "num_requests": 2, "values": [2351, 2428]}));
    }

    /// One value that is no string makes the whole answer invalid (section 3).
    fn adopt(&mut self, answer: &Value) {
        let part = |name: &str| {
            let found = answer.get("call_inbound").and_then(|inbound| inbound.get(name))?;
            serde_json::from_value::<OrderedMap>(found.clone()).ok()
        };
        let variables = part("dynamic_variables").unwrap_or_default();
        if !variables.0.iter().all(|(_, value)| value.is_string()) {
            return;
        }
        let mut call = self.object();
        call.retell_llm_dynamic_variables = variables;
        for (key, value) in part("metadata").unwrap_or_default().0 {
            call.metadata.insert(&key, value);
        }
    }

    fn label(&self, kind: &str, tool_call_id: Option<&str>) -> Label {
        Label { call_id: self.id(), kind: kind.to_owned(), tool_call_id: tool_call_id.map(str::to_owned) }
    }

    /// Since the start of the call.
    fn seconds(&self) -> f64 {
        let now_ms = self.inner.config.clock.now_ms();
        let started = self.object().start_timestamp.unwrap_or(now_ms);
        (now_ms - started) as f64 / 1000.0
    }

    fn object(&self) -> MutexGuard<'_, CallObject> {
        self.object.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_bytes(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings, numbers and JSON values always serialise")
}

#[derive(Serialize)]
struct Event<'a> {
    event: &'a str,
    call: &'a CallObject,
}

#[derive(Serialize)]
struct Transfer<'a> {
    event: &'a str,
    call: &'a CallObject,
    transfer_destination: Value,
    transfer_option: Value,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    args: &'a Value,
    call: &'a CallObject,
}

#[derive(Serialize)]
struct Ringing<'a> {
    event: &'a str,
    event_timestamp: i64,
    call_inbound: Inbound<'a>,
}

#[derive(Serialize)]
struct Inbound<'a> {
    call_id: &'a str,
    agent_id: &'a str,
    agent_version: u32,
    from_number: &'a str,
    to_number: &'a str,
    custom_sip_headers: &'a OrderedMap,
}
