//! Retell's three kinds of signed body: lifecycle events `{event, call}`, functions `{name, args, call}`, and `call_inbound`.
//!
//! Fields: Retell reference sections 2 to 4. A body may be 2 MB of transcript, which is never copied: it stays a raw slice of the body.

mod call;
mod function;
mod list;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use call::{CallAnalysis, CallCost, RetellCall};
pub use function::FunctionCall;
pub use list::CallList;

use super::{WireError, lenient};
use crate::telemetry::Masked;

/// A lifecycle event. Unknown event names are kept: new ones appear without notice.
#[derive(Deserialize)]
pub struct RetellEvent<'a> {
    pub event: String,
    #[serde(borrow)]
    pub call: RetellCall<'a>,
    /// Sibling of `call` in transfer events.
    #[serde(default)]
    pub transfer_destination: Option<TransferDestination>,
    /// Sibling of `call` in transfer events; camelCase inside.
    #[serde(borrow, default)]
    pub transfer_option: Option<&'a RawValue>,
}

impl<'a> RetellEvent<'a> {
    /// Reads a lifecycle event.
    ///
    /// # Errors
    /// Not JSON, or without `event` and `call`.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        serde_json::from_slice(body).map_err(|error| WireError::json(&error))
    }
}

impl fmt::Debug for RetellEvent<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RetellEvent").field("event", &self.event).field("call", &self.call).finish_non_exhaustive()
    }
}

/// Where a call was transferred to.
#[derive(Debug, Default)]
pub struct TransferDestination {
    pub number: Option<Masked<String>>,
    pub extension: Option<String>,
}

impl<'de> Deserialize<'de> for TransferDestination {
    /// The event carries an object, other places a plain string (reference section 2.2).
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let field = |name: &str| value.get(name).and_then(lenient::text_of);
        let number = value.as_str().map(str::to_owned).or_else(|| field("number"));
        Ok(Self { number: number.map(Masked::new), extension: field("extension") })
    }
}

/// The phone rings: who calls which number? No call exists yet, and this one may never become a call.
pub struct CallInbound {
    /// Only for telling HTTP retries apart; it is not promised to equal the later call's id.
    pub call_id: Option<String>,
    pub agent_id: Option<String>,
    pub agent_version: Option<i64>,
    /// As it came: E.164, `anonymous`, a SIP user, an extension.
    pub from_number: Option<Masked<String>>,
    pub to_number: Option<String>,
    pub custom_sip_headers: serde_json::Map<String, serde_json::Value>,
    pub event_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for CallInbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CallInbound").field("call_id", &self.call_id).field("agent_id", &self.agent_id).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct InboundBody {
    #[serde(default, deserialize_with = "lenient::millis")]
    event_timestamp: Option<DateTime<Utc>>,
    call_inbound: InboundFields,
}

#[derive(Deserialize)]
struct InboundFields {
    #[serde(default, deserialize_with = "lenient::text")]
    call_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    agent_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::whole")]
    agent_version: Option<i64>,
    #[serde(default, deserialize_with = "lenient::masked")]
    from_number: Option<Masked<String>>,
    #[serde(default, deserialize_with = "lenient::text")]
    to_number: Option<String>,
    #[serde(default, deserialize_with = "lenient::object")]
    custom_sip_headers: serde_json::Map<String, serde_json::Value>,
}

impl CallInbound {
    /// Reads a `call_inbound` body.
    ///
    /// # Errors
    /// Not JSON, or without the object `call_inbound`.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let body: InboundBody = serde_json::from_slice(body).map_err(|error| WireError::json(&error))?;
        let fields = body.call_inbound;
        Ok(Self {
            call_id: fields.call_id.filter(|id| call::is_call_id(id)),
            agent_id: fields.agent_id,
            agent_version: fields.agent_version,
            from_number: fields.from_number,
            to_number: fields.to_number,
            custom_sip_headers: fields.custom_sip_headers,
            event_at: body.event_timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../tests/fixtures/retell/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn lifecycle_fixtures_are_read() {
        let body = fixture("call_analyzed.json");
        let event = RetellEvent::parse(&body).unwrap();
        assert_eq!(event.event, "call_analyzed");
        let call = &event.call;
        assert_eq!(call.call_id.as_deref(), Some("call_7c1de0f4a9b24e6d8f3a5b6c7d8"));
        assert_eq!(call.duration_ms, Some(35_658));
        assert_eq!(call.started_at.unwrap().timestamp_millis(), 1_760_716_800_000);
        assert_eq!(call.caller_number().unwrap().as_str(), "+4915112345678");
        assert_eq!(call.our_number().unwrap().as_str(), "+493023125042");
        assert_eq!(call.metadata_text("company_id").as_deref(), Some("15"));
        assert_eq!(call.twilio_call_sid.as_deref(), Some("CA00112233445566778899aabbccddeeff"));
        assert!((call.call_cost.as_ref().unwrap().combined_cost_cents.unwrap() - 7.8).abs() < 1e-9);
        let analysis = call.call_analysis.as_ref().unwrap();
        assert_eq!(analysis.user_sentiment.as_deref(), Some("Positive"));
        assert_eq!(analysis.custom_analysis_data.expose()["party_size"], 1);
        assert!(call.transcript.unwrap().get().starts_with("\"Agent: Guten Tag"));
    }

    #[test]
    fn a_call_that_never_connected_and_a_transfer_are_read() {
        let body = fixture("extra_call_ended_not_connected.json");
        let event = RetellEvent::parse(&body).unwrap();
        assert_eq!(event.call.disconnection_reason.as_deref(), Some("dial_no_answer"));
        assert_eq!(event.call.started_at, None);
        assert_eq!(event.call.caller_number().unwrap().as_str(), "+4915112345678", "outbound: the other side is the caller");
        assert_eq!(event.call.our_number().unwrap().as_str(), "+493023125042");

        let body = fixture("extra_transfer_started.json");
        let event = RetellEvent::parse(&body).unwrap();
        assert_eq!(event.transfer_destination.unwrap().number.unwrap().as_str(), "+491713920042");
        assert!(event.transfer_option.unwrap().get().contains("warm_transfer"));
    }

    #[test]
    fn call_inbound_is_read_with_and_without_an_id() {
        let inbound = CallInbound::parse(&fixture("call_inbound.json")).unwrap();
        assert_eq!(inbound.to_number.as_deref(), Some("+493023125042"));
        assert_eq!(inbound.agent_version, Some(42));
        let bare = CallInbound::parse(br#"{"event":"call_inbound","call_inbound":{"from_number":"anonymous","call_id":null}}"#).unwrap();
        assert_eq!(bare.from_number.unwrap().as_str(), "anonymous");
        assert_eq!(bare.call_id, None);
    }

    #[test]
    fn odd_types_are_absent_fields_and_not_refused_events() {
        let body = br#"{"event":"call_teleported","call":{"call_id":"call_1a2b3c","agent_version":"42","duration_ms":35303.0,
            "metadata":[],"call_analysis":{"custom_analysis_data":[],"call_successful":"false"},"latency":null,"call_cost":"free",
            "from_number":null,"retell_llm_dynamic_variables":{"n":1},"call_status":"new_status","transcript_with_tool_calls":null}}"#;
        let event = RetellEvent::parse(body).unwrap();
        assert_eq!(event.event, "call_teleported");
        assert_eq!(event.call.agent_version, Some(42));
        assert_eq!(event.call.duration_ms, Some(35_303));
        assert!(event.call.from_number.is_none() && event.call.call_cost.is_none());
        let analysis = event.call.call_analysis.unwrap();
        assert!(analysis.custom_analysis_data.expose().is_empty());
        assert_eq!(analysis.call_successful, Some(false));
    }

    #[test]
    fn bodies_of_another_form_are_errors_without_content() {
        for body in [&b"[]"[..], b"\"Erika\"", b"{\"event\":\"call_ended\"}", b"{\"event\":\"Erika\",\"call\":7}", b"\xff\xfe"] {
            let error = RetellEvent::parse(body).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("Erika"));
        }
    }

    #[test]
    fn nothing_of_a_caller_is_printed() {
        let body = fixture("call_analyzed.json");
        let printed = format!("{:?}", RetellEvent::parse(&body).unwrap());
        for word in ["Jürgen", "Groß", "4915112345678", "Guten Tag", "verschob", "cloudfront"] {
            assert!(!printed.contains(word), "{word} in {printed}");
        }
        assert!(printed.contains("call_7c1de0f4a9b24e6d8f3a5b6c7d8"));
    }
}
