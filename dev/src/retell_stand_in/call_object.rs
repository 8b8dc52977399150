//! The call object as Retell sends it: fields in the order of the fixtures, left out while they have no value
//! (reference/retell.md 2.5). It only grows; who changes it when stands in `call`.

use serde::Serialize;
use serde_json::Value;

use crate::stand_in::json_order::OrderedMap;

#[derive(Debug, Clone, Default, Serialize)]
pub struct CallObject {
    pub call_id: String,
    pub call_type: &'static str,
    pub agent_id: String,
    pub agent_version: u32,
    pub agent_name: String,
    #[serde(skip_serializing_if = "OrderedMap::is_empty")]
    pub retell_llm_dynamic_variables: OrderedMap,
    #[serde(skip_serializing_if = "OrderedMap::is_empty")]
    pub metadata: OrderedMap,
    #[serde(skip_serializing_if = "OrderedMap::is_empty")]
    pub custom_sip_headers: OrderedMap,
    pub call_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnection_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript_object: Option<Vec<Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript_with_tool_calls: Option<Vec<Item>>,
    #[serde(skip_serializing_if = "OrderedMap::is_empty")]
    pub collected_dynamic_variables: OrderedMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_cost: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_token_usage: Option<Value>,
    pub data_storage_setting: &'static str,
    pub opt_in_signed_url: bool,
    pub from_number: String,
    pub to_number: String,
    pub direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telephony_identifier: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_analysis: Option<CallAnalysis>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CallAnalysis {
    pub call_summary: String,
    pub in_voicemail: bool,
    pub user_sentiment: &'static str,
    pub call_successful: bool,
    pub custom_analysis_data: OrderedMap,
}

/// An item of the transcript lists, told apart by `role` alone.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Item {
    Utterance {
        role: String,
        content: String,
        words: Vec<Word>,
    },
    Invocation {
        role: &'static str,
        tool_call_id: String,
        name: String,
        /// JSON as a string, as the language model wrote it.
        arguments: String,
        time_sec: f64,
        #[serde(rename = "type")]
        kind: &'static str,
    },
    Result {
        role: &'static str,
        tool_call_id: String,
        successful: bool,
        content: String,
        time_sec: f64,
    },
}

#[derive(Debug, Clone, Serialize)]
pub struct Word {
    pub word: String,
    pub start: f64,
    pub end: f64,
}

/// Time that a spoken word takes in a made-up transcript.
const SECONDS_PER_WORD: f64 = 0.345;

impl CallObject {
    /// Adds what somebody (`agent`, `user`) says, `at` seconds after the start.
    pub fn say(&mut self, role: &str, content: &str, at: f64) {
        let speaker = if role == "user" { "User" } else { "Agent" };
        let transcript = self.transcript.get_or_insert_default();
        transcript.push_str(&format!("{speaker}: {content}\n"));
        let words: Vec<&str> = content.split(' ').collect();
        let words = words.iter().enumerate().map(|(place, word)| {
            // Observed: every word but the last carries its blank.
            let blank = if place + 1 < words.len() { " " } else { "" };
            let start = at + place as f64 * SECONDS_PER_WORD;
            Word { word: format!("{word}{blank}"), start, end: start + SECONDS_PER_WORD }
        });
        let item = Item::Utterance { role: role.to_owned(), content: content.to_owned(), words: words.collect() };
        self.transcript_object.get_or_insert_default().push(item.clone());
        self.transcript_with_tool_calls.get_or_insert_default().push(item);
    }

    pub fn invoke(&mut self, tool_call_id: &str, name: &str, args: &Value, at: f64) {
        self.transcript.get_or_insert_default();
        self.transcript_object.get_or_insert_default();
        self.transcript_with_tool_calls.get_or_insert_default().push(Item::Invocation {
            role: "tool_call_invocation",
            tool_call_id: tool_call_id.to_owned(),
            name: name.to_owned(),
            arguments: args.to_string(),
            time_sec: at,
            kind: "custom",
        });
    }

    pub fn result(&mut self, tool_call_id: &str, successful: bool, content: String, at: f64) {
        self.transcript_with_tool_calls.get_or_insert_default().push(Item::Result {
            role: "tool_call_result",
            tool_call_id: tool_call_id.to_owned(),
            successful,
            content,
            time_sec: at,
        });
    }
}
