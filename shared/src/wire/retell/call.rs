//! Retell's call object: every field optional, every enum open, transcripts untouched.
//!
//! Fields and traps: Retell reference section 2.5, domain reference section 2.1.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::telemetry::Masked;
use crate::wire::lenient;

/// Call ids are opaque; documentation shows up to 37 characters, the reference bounds them at 64.
const CALL_ID_CHARS_MAX: usize = 64;

/// An id that can be one: not empty, not endless, printable.
pub(super) fn is_call_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= CALL_ID_CHARS_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A call as Retell tells it in events, functions and `get-call`.
#[derive(Default, Deserialize)]
pub struct RetellCall<'a> {
    #[serde(default, deserialize_with = "call_id")]
    pub call_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub call_type: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub agent_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::whole")]
    pub agent_version: Option<i64>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub agent_name: Option<String>,
    /// registered, not_connected, ongoing, ended, error and whatever comes; never the only sign that a call ended.
    #[serde(default, deserialize_with = "lenient::text")]
    pub call_status: Option<String>,
    /// inbound or outbound; absent on web calls.
    #[serde(default, deserialize_with = "lenient::text")]
    pub direction: Option<String>,
    /// As it came: E.164, `anonymous`, a SIP user, an extension.
    #[serde(default, deserialize_with = "lenient::masked")]
    pub from_number: Option<Masked<String>>,
    #[serde(default, deserialize_with = "lenient::masked")]
    pub to_number: Option<Masked<String>>,
    #[serde(default, rename = "start_timestamp", deserialize_with = "lenient::millis")]
    pub started_at: Option<DateTime<Utc>>,
    #[serde(default, rename = "end_timestamp", deserialize_with = "lenient::millis")]
    pub ended_at: Option<DateTime<Utc>>,
    #[serde(default, rename = "transfer_end_timestamp", deserialize_with = "lenient::millis")]
    pub transfer_ended_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "lenient::whole")]
    pub duration_ms: Option<i64>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub disconnection_reason: Option<String>,
    /// Inside the call: a phone number or a SIP address, only after a transfer.
    #[serde(default, deserialize_with = "lenient::masked")]
    pub transfer_destination: Option<Masked<String>>,
    /// What our call_inbound answer put there: echoed in every later signed body.
    #[serde(default)]
    pub metadata: Value,
    #[serde(default, rename = "retell_llm_dynamic_variables", deserialize_with = "masked_object")]
    pub dynamic_variables: Masked<Map<String, Value>>,
    #[serde(default, deserialize_with = "masked_object")]
    pub collected_dynamic_variables: Masked<Map<String, Value>>,
    #[serde(default, deserialize_with = "masked_object")]
    pub custom_sip_headers: Masked<Map<String, Value>>,
    #[serde(default, rename = "telephony_identifier", deserialize_with = "twilio_call_sid")]
    pub twilio_call_sid: Option<String>,
    #[serde(default, deserialize_with = "lenient::masked")]
    pub recording_url: Option<Masked<String>>,
    #[serde(default, deserialize_with = "lenient::masked")]
    pub public_log_url: Option<Masked<String>>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub data_storage_setting: Option<String>,
    #[serde(default, deserialize_with = "call_cost")]
    pub call_cost: Option<CallCost>,
    #[serde(default, deserialize_with = "call_analysis")]
    pub call_analysis: Option<CallAnalysis>,
    /// A JSON string, still quoted and escaped: `transcript_text` decodes it.
    #[serde(borrow, default)]
    pub transcript: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub transcript_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub transcript_with_tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub latency: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub llm_token_usage: Option<&'a RawValue>,
}

/// What the call cost, in US cents as Retell counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallCost {
    pub combined_cost_cents: Option<f64>,
    pub total_duration_seconds: Option<f64>,
}

/// The analysis after the call.
#[derive(Clone, Debug, Default)]
pub struct CallAnalysis {
    pub call_summary: Option<Masked<String>>,
    pub in_voicemail: Option<bool>,
    pub user_sentiment: Option<String>,
    pub call_successful: Option<bool>,
    /// Keys are agent configuration; empty for `[]`, null and absent.
    pub custom_analysis_data: Masked<Map<String, Value>>,
}

impl RetellCall<'_> {
    fn is_outbound(&self) -> bool {
        self.direction.as_deref() == Some("outbound")
    }

    /// The number of the person on the other side, whichever way the call went.
    #[must_use]
    pub fn caller_number(&self) -> Option<&Masked<String>> {
        if self.is_outbound() { self.to_number.as_ref() } else { self.from_number.as_ref() }
    }

    /// Our own number: it proves the company.
    #[must_use]
    pub fn our_number(&self) -> Option<&Masked<String>> {
        if self.is_outbound() { self.from_number.as_ref() } else { self.to_number.as_ref() }
    }

    /// How often the agent's model was asked.
    #[must_use]
    pub fn model_requests(&self) -> Option<i64> {
        let usage: Value = serde_json::from_str(self.llm_token_usage?.get()).ok()?;
        usage.get("num_requests").and_then(lenient::whole_of)
    }

    /// A metadata value as text.
    #[must_use]
    pub fn metadata_text(&self, key: &str) -> Option<String> {
        self.metadata.get(key).and_then(lenient::text_of)
    }

    /// The transcript as text.
    #[must_use]
    pub fn transcript_text(&self) -> Option<Masked<String>> {
        self.transcript.and_then(|raw| serde_json::from_str(raw.get()).ok()).map(Masked::new)
    }

    /// The id of the tool call that runs now: the last invocation in the transcript that has no result yet.
    #[must_use]
    pub fn running_tool_call_id(&self) -> Option<String> {
        self.open_invocations().pop().map(|invocation| invocation.tool_call_id)
    }

    /// The id of the running tool call of this name with these arguments: two tools may run at once, and each asks for its own.
    pub(super) fn running_tool_call_id_of(&self, name: &str, arguments: &Map<String, Value>) -> Option<String> {
        let mut open = self.open_invocations();
        // An invocation without a name is not held against: the field is documented, not promised.
        open.retain(|invocation| invocation.name.as_deref().is_none_or(|known| known == name));
        if open.len() > 1 {
            let same = open.iter().rposition(|invocation| invocation.has_arguments(arguments));
            return same.or(Some(open.len() - 1)).map(|position| open.swap_remove(position).tool_call_id);
        }
        open.pop().map(|invocation| invocation.tool_call_id)
    }

    fn open_invocations(&self) -> Vec<Invocation> {
        let Some(raw) = self.transcript_with_tool_calls else {
            return Vec::new();
        };
        let Ok(items) = serde_json::from_str::<Vec<Item<'_>>>(raw.get()) else {
            return Vec::new();
        };
        let mut open: Vec<Invocation> = Vec::new();
        for item in items {
            let Some(tool_call_id) = item.tool_call_id.map(Cow::into_owned) else {
                continue;
            };
            match item.role.as_deref() {
                Some("tool_call_invocation") => {
                    open.push(Invocation { tool_call_id, name: item.name.map(Cow::into_owned), arguments: item.arguments.map(Cow::into_owned) })
                }
                Some("tool_call_result") => open.retain(|invocation| invocation.tool_call_id != tool_call_id),
                _ => {}
            }
        }
        open
    }
}

/// A transcript item, as far as it is needed; spoken words are skipped without a copy.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<Cow<'a, str>>,
}

struct Invocation {
    tool_call_id: String,
    name: Option<String>,
    arguments: Option<String>,
}

impl Invocation {
    fn has_arguments(&self, arguments: &Map<String, Value>) -> bool {
        self.arguments.as_deref().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok()).is_some_and(|own| own == *arguments)
    }
}

impl fmt::Debug for RetellCall<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RetellCall")
            .field("call_id", &self.call_id)
            .field("call_type", &self.call_type)
            .field("agent_id", &self.agent_id)
            .field("agent_version", &self.agent_version)
            .field("call_status", &self.call_status)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

fn call_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    lenient::text(deserializer).map(|id| id.filter(|id| is_call_id(id)))
}

fn masked_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Masked<Map<String, Value>>, D::Error> {
    lenient::object(deserializer).map(Masked::new)
}

fn twilio_call_sid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let identifier = Value::deserialize(deserializer)?;
    Ok(identifier.get("twilio_call_sid").and_then(lenient::text_of))
}

fn call_cost<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CallCost>, D::Error> {
    let cost = lenient::object(deserializer)?;
    let number = |key: &str| cost.get(key).and_then(lenient::float_of);
    let found = CallCost { combined_cost_cents: number("combined_cost"), total_duration_seconds: number("total_duration_seconds") };
    Ok((found.combined_cost_cents.is_some() || found.total_duration_seconds.is_some()).then_some(found))
}

fn call_analysis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CallAnalysis>, D::Error> {
    let Value::Object(mut analysis) = Value::deserialize(deserializer)? else {
        return Ok(None);
    };
    let custom = match analysis.remove("custom_analysis_data") {
        Some(Value::Object(custom)) => custom,
        _ => Map::new(),
    };
    Ok(Some(CallAnalysis {
        call_summary: analysis.get("call_summary").and_then(lenient::text_of).map(Masked::new),
        in_voicemail: analysis.get("in_voicemail").and_then(lenient::bool_of),
        user_sentiment: analysis.get("user_sentiment").and_then(lenient::text_of),
        call_successful: analysis.get("call_successful").and_then(lenient::bool_of),
        custom_analysis_data: Masked::new(custom),
    }))
}
