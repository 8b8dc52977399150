//! Response engines, agents and phone numbers as Retell takes them: create, update, read. What does not fit the vendor's published types is refused with a 400 that names it.
//!
//! The types stand in `definitions.json`; here are the rules that no schema can say. Nothing is done with a definition: calls are played by script.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::Inner;
use super::rest::{failure, refused, unknown};

/// More than any test makes; a new one is refused then, as by a workspace that is full.
const DEFINITIONS_MAX: usize = 1_000;

type Shared = State<Arc<Inner>>;

/// What is kept of one kind, by id.
pub type Kept = BTreeMap<String, Value>;

/// Everything defined so far.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    pub response_engines: Kept,
    pub agents: Kept,
    pub phone_numbers: Kept,
}

pub(super) fn router() -> Router<Arc<Inner>> {
    Router::new()
        .route("/create-retell-llm", post(create_response_engine))
        .route("/update-retell-llm/{id}", patch(update_response_engine))
        .route("/get-retell-llm/{id}", get(get_response_engine))
        .route("/create-agent", post(create_agent))
        .route("/update-agent/{id}", patch(update_agent))
        .route("/get-agent/{id}", get(get_agent))
        .route("/update-phone-number/{id}", patch(update_phone_number))
}

/// What is wrong with a definition of that name in `definitions.json`; empty: Retell would take it.
pub fn faults(name: &str, body: &Value) -> Vec<String> {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("definitions.json")).expect("the file beside this one is JSON: the tests read it"));
    let mut schema = SCHEMA.clone();
    schema["$ref"] = json!(format!("#/$defs/{name}"));
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("the schema of the stand-in is broken: {error}")],
    };
    let mut faults: Vec<String> = validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    let no_tools = Vec::new();
    let tools = body["general_tools"].as_array().unwrap_or(&no_tools);
    for (index, tool) in tools.iter().enumerate() {
        if tools[..index].iter().any(|other| other["name"] == tool["name"]) {
            faults.push(format!("/general_tools/{index}: another tool has the name {}", tool["name"]));
        }
        let required = tool["parameters"]["required"].as_array();
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if tool["parameters"]["properties"].get(name).is_none() {
                faults.push(format!("/general_tools/{index}: the required {name} is no property"));
            }
        }
    }
    faults
}

/// Which of the maps an operation works on.
type Choose = fn(&mut Definitions) -> &mut Kept;

fn create(inner: &Inner, headers: &HeaderMap, operation: &str, id_field: &str, choose: Choose, definition: &str, body: &Value) -> Response {
    if let Some(refusal) = refused(inner, headers, operation, None).or_else(|| invalid(definition, body)) {
        return refusal;
    }
    let mut memory = inner.memory();
    memory.seq += 1;
    let id = format!("{}_{:026x}", id_field.trim_end_matches("_id"), memory.seq);
    let kept = choose(&mut memory.definitions);
    if kept.len() >= DEFINITIONS_MAX {
        return failure(StatusCode::BAD_REQUEST, "Too many definitions.");
    }
    let mut stored = body.clone();
    stored[id_field] = json!(id);
    stored["version"] = json!(0);
    kept.insert(id, stored.clone());
    (StatusCode::CREATED, Json(stored)).into_response()
}

fn update(inner: &Inner, headers: &HeaderMap, operation: &str, choose: Choose, id: &str, definition: &str, body: &Value) -> Response {
    if let Some(refusal) = refused(inner, headers, operation, None).or_else(|| invalid(definition, body)) {
        return refusal;
    }
    let mut memory = inner.memory();
    let Some(stored) = choose(&mut memory.definitions).get_mut(id) else { return unknown() };
    merge(stored, body);
    Json(stored.clone()).into_response()
}

fn read(inner: &Inner, headers: &HeaderMap, operation: &str, choose: Choose, id: &str) -> Response {
    if let Some(refusal) = refused(inner, headers, operation, None) {
        return refusal;
    }
    choose(&mut inner.memory().definitions).get(id).map_or_else(unknown, |stored| Json(stored.clone()).into_response())
}

/// Fields replace fields; tools and variables whole (retell reference 6.3).
fn merge(stored: &mut Value, body: &Value) {
    for (field, value) in body.as_object().into_iter().flatten() {
        stored[field.as_str()] = value.clone();
    }
}

fn invalid(definition: &str, body: &Value) -> Option<Response> {
    let faults = faults(definition, body);
    (!faults.is_empty()).then(|| failure(StatusCode::BAD_REQUEST, &faults.join("; ")))
}

async fn create_response_engine(State(inner): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    create(&inner, &headers, "create-retell-llm", "llm_id", |kept| &mut kept.response_engines, "response_engine", &body)
}

async fn update_response_engine(State(inner): Shared, Path(id): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    update(&inner, &headers, "update-retell-llm", |kept| &mut kept.response_engines, &id, "response_engine", &body)
}

async fn get_response_engine(State(inner): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    read(&inner, &headers, "get-retell-llm", |kept| &mut kept.response_engines, &id)
}

async fn create_agent(State(inner): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let engine = body["response_engine"]["llm_id"].as_str().unwrap_or_default();
    if !inner.memory().definitions.response_engines.contains_key(engine) && faults("new_agent", &body).is_empty() {
        return unknown();
    }
    create(&inner, &headers, "create-agent", "agent_id", |kept| &mut kept.agents, "new_agent", &body)
}

async fn update_agent(State(inner): Shared, Path(id): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    update(&inner, &headers, "update-agent", |kept| &mut kept.agents, &id, "agent", &body)
}

async fn get_agent(State(inner): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    read(&inner, &headers, "get-agent", |kept| &mut kept.agents, &id)
}

/// Numbers are bought or imported elsewhere: here any E.164 one exists.
async fn update_phone_number(State(inner): Shared, Path(number): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !number.starts_with('+') {
        return unknown();
    }
    let known = inner.memory().definitions.phone_numbers.len();
    if known < DEFINITIONS_MAX {
        inner
            .memory()
            .definitions
            .phone_numbers
            .entry(number.clone())
            .or_insert_with(|| Value::Object(Map::from_iter([("phone_number".to_owned(), json!(number))])));
    }
    update(&inner, &headers, "update-phone-number", |kept| &mut kept.phone_numbers, &number, "phone_number", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> Value {
        json!({ "type": "custom", "name": "check_availability", "url": "https://x.example/v1", "parameters": { "type": "object", "properties": { "date": { "type": "string" } }, "required": ["date"] } })
    }

    /// Each slip that the vendor refuses, or that would be silently without effect there, is found alone.
    #[test]
    fn what_retell_would_not_take_is_refused() {
        let engine = |tools: Value| faults("response_engine", &json!({ "start_speaker": "agent", "general_tools": tools }));
        assert_eq!(engine(json!([tool()])), Vec::<String>::new());
        let changed = |change: fn(&mut Value)| {
            let mut tool = tool();
            change(&mut tool);
            tool
        };
        let slips: [(&str, Value); 9] = [
            ("no url", changed(|tool| drop(tool.as_object_mut().unwrap().remove("url")))),
            ("a blank in the name", changed(|tool| tool["name"] = json!("check availability"))),
            ("parameters that are no object", changed(|tool| tool["parameters"]["type"] = json!("array"))),
            ("a required argument that is none", changed(|tool| tool["parameters"]["required"] = json!(["time"]))),
            ("too short", changed(|tool| tool["timeout_ms"] = json!(999))),
            ("too many repetitions", changed(|tool| tool["max_retry"] = json!(6))),
            ("an unknown field", changed(|tool| tool["timeout"] = json!(10_000))),
            ("an unknown kind", changed(|tool| tool["type"] = json!("webhook"))),
            ("a word for a truth", changed(|tool| tool["args_at_root"] = json!("false"))),
        ];
        for (what, slip) in slips {
            assert!(!engine(json!([slip])).is_empty(), "{what}");
        }
        assert_eq!(engine(json!([tool(), tool()])).len(), 1, "two tools of one name");
        let transfer = |number: &str| json!({ "type": "transfer_call", "name": "t", "transfer_destination": { "type": "predefined", "number": number }, "transfer_option": { "type": "warm_transfer" } });
        assert!(engine(json!([transfer("{{transfer_number}}")])).is_empty() && engine(json!([transfer("+493012345678")])).is_empty());
        assert!(!engine(json!([transfer("030 12345678")])).is_empty());
        assert!(!faults("response_engine", &json!({ "default_dynamic_variables": { "n": 1 } })).is_empty(), "strings only");
        assert!(!faults("agent", &json!({ "webhook_events": ["call_finished"] })).is_empty());
        assert!(!faults("agent", &json!({ "language": "de" })).is_empty());
        assert!(!faults("new_agent", &json!({ "voice_id": "v" })).is_empty() && faults("agent", &json!({ "voice_id": "v" })).is_empty());
    }
}
