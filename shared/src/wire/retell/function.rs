//! A function call of the voice agent: one decoder for every function and both envelopes.
//!
//! Identity comes from the signed `call` only; `args.call_id` is never read (incidents 37 to 41). Fields: Retell reference section 4, domain reference 2.2.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::RetellCall;
use crate::functions::Function;
use crate::wire::arguments::Arguments;
use crate::wire::{WireError, lenient};

/// Arguments come from a language model: a few hundred bytes. More is refused before it is decoded.
const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;

/// One tool call: its name as the agent wrote it, its arguments, and the call so far.
pub struct FunctionCall<'a> {
    pub name: String,
    pub arguments: Arguments,
    pub call: RetellCall<'a>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    function_name: Option<String>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    call: Option<RetellCall<'a>>,
}

impl<'a> FunctionCall<'a> {
    /// Reads a function body. A missing `call` is an empty one: stateless functions need no identity (incident 41).
    ///
    /// # Errors
    /// Not JSON, no name, or arguments that are no object.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let body: Body<'a> = serde_json::from_slice(body).map_err(|error| WireError::json(&error))?;
        let name = body.name.or(body.function_name).ok_or(WireError::Field { field: "name" })?;
        let given = [body.args, body.parameters, body.arguments];
        let arguments = given.into_iter().flatten().map(decode_arguments).find(|decoded| !matches!(decoded, Ok(empty) if empty.is_empty()));
        let arguments = arguments.transpose()?.unwrap_or_default();
        Ok(Self { name, arguments: Arguments::new(arguments), call: body.call.unwrap_or_default() })
    }

    /// Which function is meant, by any of its names; `None`: one that the registry does not know (incident 84).
    #[must_use]
    pub fn function(&self) -> Option<Function> {
        Function::by_tool_name(&self.name)
    }

    /// The id of this very tool call, from the transcript inside the signed body.
    #[must_use]
    pub fn tool_call_id(&self) -> Option<String> {
        self.call.running_tool_call_id_of(&self.name, self.arguments.as_map())
    }

    /// What tells a repeated request from a new wish, within one call: the tool call id, else name and canonical arguments.
    #[must_use]
    pub fn request_key(&self) -> String {
        self.tool_call_id().unwrap_or_else(|| {
            let mut canonical = String::with_capacity(256);
            write_canonical(&Value::Object(self.arguments.as_map().clone()), &mut canonical);
            let digest = Sha256::new().chain_update(self.name.as_bytes()).chain_update([0]).chain_update(canonical.as_bytes()).finalize();
            format!("args:{}", hex::encode(digest))
        })
    }
}

impl fmt::Debug for FunctionCall<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FunctionCall")
            .field("name", &self.name)
            .field("arguments", &self.arguments)
            .field("call_id", &self.call.call_id)
            .finish_non_exhaustive()
    }
}

/// An object, null, an empty list, or any of these as a JSON string.
fn decode_arguments(raw: &RawValue) -> Result<Map<String, Value>, WireError> {
    if raw.get().len() > ARGUMENTS_BYTES_MAX {
        return Err(WireError::Arguments);
    }
    let mut value: Value = serde_json::from_str(raw.get()).map_err(|_| WireError::Arguments)?;
    if let Value::String(inner) = &value {
        value = if inner.trim().is_empty() { Value::Null } else { serde_json::from_str(inner).map_err(|_| WireError::Arguments)? };
    }
    match value {
        Value::Object(arguments) => Ok(arguments),
        Value::Null => Ok(Map::new()),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        _ => Err(WireError::Arguments),
    }
}

/// JSON with sorted keys at every depth, whatever map type serde_json was built with. Depth is bounded by serde_json's own limit of 128.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for value in list {
                write_canonical(value, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Vec<u8> {
        std::fs::read(format!("{}/../tests/fixtures/retell/custom_function.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_documented_function_is_read() {
        let body = fixture();
        let function = FunctionCall::parse(&body).unwrap();
        assert_eq!(function.name, "check_availability");
        assert_eq!(function.arguments.service().unwrap().unwrap(), "Herrenhaarschnitt");
        assert_eq!(function.tool_call_id().as_deref(), Some("tool_call_3d5cd1"));
        assert_eq!(function.call.running_tool_call_id().as_deref(), Some("tool_call_3d5cd1"));
        assert_eq!(function.request_key(), "tool_call_3d5cd1");
        assert!(!format!("{function:?}").contains("Herrenhaarschnitt"));
    }

    /// Incident 39: both envelopes decode.
    #[test]
    fn both_envelopes_and_every_form_of_empty_arguments_decode() {
        let bodies = [
            r#"{"name":"book_appointment","args":{"datum":"2025-10-22"},"call":{"call_id":"call_a"}}"#,
            r#"{"function_name":"book_appointment","parameters":{"datum":"2025-10-22"},"call":{"call_id":"call_a"}}"#,
            r#"{"function_name":"book_appointment","arguments":"{\"datum\":\"2025-10-22\"}","call":{"call_id":"call_a"}}"#,
            r#"{"name":"book_appointment","args":{},"parameters":null,"arguments":{"datum":"2025-10-22"},"call":{"call_id":"call_a"}}"#,
        ];
        for body in bodies {
            let function = FunctionCall::parse(body.as_bytes()).unwrap();
            assert_eq!(function.name, "book_appointment");
            assert!(function.arguments.date().unwrap().is_some(), "{body}");
        }
        for empty in ["null", "{}", "[]", "\"\"", "\"{}\""] {
            let body = format!(r#"{{"name":"list_services","args":{empty},"call":null}}"#);
            assert!(FunctionCall::parse(body.as_bytes()).unwrap().arguments.as_map().is_empty(), "{empty}");
        }
        for wrong in ["7", "\"x\"", "[1]", "true"] {
            let body = format!(r#"{{"name":"list_services","args":{wrong}}}"#);
            assert!(matches!(FunctionCall::parse(body.as_bytes()), Err(WireError::Arguments)), "{wrong}");
        }
        assert!(matches!(FunctionCall::parse(br#"{"args":{}}"#), Err(WireError::Field { field: "name" })));
    }

    /// Incidents 40, 79: one decoder for all functions, by any name, in both envelopes.
    #[test]
    fn every_function_is_read_by_every_name_in_both_envelopes() {
        for row in &crate::functions::TABLE {
            for name in row.names.iter().chain(row.german_names) {
                for written in [(*name).to_owned(), format!("{name}_v17")] {
                    for body in [
                        format!(r#"{{"name":"{written}","args":{{"datum":"morgen"}},"call":{{"call_id":"call_a"}}}}"#),
                        format!(r#"{{"function_name":"{written}","parameters":{{"datum":"morgen"}},"call":{{"call_id":"call_a"}}}}"#),
                    ] {
                        let call = FunctionCall::parse(body.as_bytes()).unwrap();
                        assert_eq!((call.function(), call.arguments.as_map().len()), (Some(row.function), 1), "{body}");
                    }
                }
            }
        }
        let unknown = FunctionCall::parse(br#"{"name":"order_pizza","args":{}}"#).unwrap();
        assert_eq!(unknown.function(), None);
    }

    /// Incident 37: a model-filled call_id is not an identity.
    #[test]
    fn a_call_id_among_the_arguments_is_never_the_call() {
        for placeholder in ["None", "call_001", "12345", "{{call_id}}", "call_real_looking_0123456789"] {
            let body = format!(r#"{{"name":"check_customer","args":{{"call_id":"{placeholder}"}},"call":{{"to_number":"+493023125042"}}}}"#);
            assert_eq!(FunctionCall::parse(body.as_bytes()).unwrap().call.call_id, None);
        }
    }

    #[test]
    fn a_tool_call_is_found_among_answered_and_parallel_ones() {
        let body = br#"{"name":"book","args":{"time":"10:00"},"call":{"transcript_with_tool_calls":[
            {"role":"tool_call_invocation","tool_call_id":"done","name":"book","arguments":"{\"time\":\"10:00\"}"},
            {"role":"tool_call_result","tool_call_id":"done","content":"{}"},
            {"role":"tool_call_invocation","tool_call_id":"mine","name":"book","arguments":"{\"time\":\"10:00\"}"},
            {"role":"tool_call_invocation","tool_call_id":"sibling","name":"book","arguments":"{\"time\":\"11:00\"}"},
            {"role":"tool_call_invocation","tool_call_id":"other","name":"list_services","arguments":"{}"}]}}"#;
        let function = FunctionCall::parse(body).unwrap();
        assert_eq!(function.tool_call_id().as_deref(), Some("mine"));
        assert_eq!(function.call.running_tool_call_id().as_deref(), Some("other"));
    }

    #[test]
    fn without_a_tool_call_id_the_key_is_made_from_name_and_arguments() {
        let key = |body: &str| FunctionCall::parse(body.as_bytes()).unwrap().request_key();
        let one = key(r#"{"name":"book","args":{"a":{"x":1,"y":2},"b":"2"}}"#);
        assert_eq!(one, key(r#"{"name":"book","args":{"b":"2","a":{"y":2,"x":1}}}"#));
        assert_ne!(one, key(r#"{"name":"book","args":{"a":{"x":1,"y":3},"b":"2"}}"#));
        assert_ne!(one, key(r#"{"name":"move","args":{"a":{"x":1,"y":2},"b":"2"}}"#));
        assert!(one.starts_with("args:"));
    }
}
