//! POST /v3/list-calls: filter, order, page (reference/retell.md 6.6). Items carry no transcripts. Sorted by start; a filter that this stand-in does not
//! know is refused instead of ignored, so that no test believes in it.

use serde_json::{Value, json};

use super::call_object::CallObject;

const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 1000;
/// What only get-call tells.
const LEFT_OUT: [&str; 3] = ["transcript", "transcript_object", "transcript_with_tool_calls"];

type Refusal = &'static str;

/// One page of these calls.
pub fn page(calls: Vec<CallObject>, body: &Value) -> Result<Value, Refusal> {
    let mut found = Vec::new();
    for call in calls {
        if fits(&call, &body["filter_criteria"])? {
            found.push(call);
        }
    }
    // The key names the last item of the page before: calls that came or went meanwhile move nothing.
    let place = |call: &CallObject| (call.start_timestamp.unwrap_or(0), call.call_id.clone());
    found.sort_by_key(place);
    let after = match body["pagination_key"].as_str() {
        Some(key) => Some(read_key(key).ok_or("Invalid pagination_key.")?),
        None => None,
    };
    let mut found: Vec<CallObject> = match body["sort_order"].as_str() {
        Some("ascending") => found.into_iter().filter(|call| after.as_ref().is_none_or(|after| place(call) > *after)).collect(),
        None | Some("descending") => found.into_iter().rev().filter(|call| after.as_ref().is_none_or(|after| place(call) < *after)).collect(),
        Some(_) => return Err("Invalid sort_order."),
    };
    let limit = body["limit"].as_u64().unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let key = found.last().filter(|_| has_more).map(|call| key_of(&place(call)));
    let items: Result<Vec<Value>, Refusal> = found.iter().map(item).collect();
    let mut page = json!({"items": items?, "has_more": has_more});
    if let Some(key) = key {
        page["pagination_key"] = json!(key);
    }
    Ok(page)
}

fn item(call: &CallObject) -> Result<Value, Refusal> {
    let mut item = serde_json::to_value(call).map_err(|_| "Internal error.")?;
    if let Some(fields) = item.as_object_mut() {
        LEFT_OUT.iter().for_each(|field| drop(fields.remove(*field)));
    }
    Ok(item)
}

fn fits(call: &CallObject, criteria: &Value) -> Result<bool, Refusal> {
    let Some(criteria) = criteria.as_object() else { return Ok(true) };
    let mut fits = true;
    for (field, wanted) in criteria {
        let value = match field.as_str() {
            "start_timestamp" => call.start_timestamp,
            "end_timestamp" => call.end_timestamp,
            _ => return Err("This stand-in does not know that filter."),
        };
        let bounds = match (wanted["type"].as_str(), wanted["op"].as_str()) {
            (Some("range"), Some("bt")) => (wanted["value"][0].as_i64(), wanted["value"][1].as_i64()),
            (Some("number"), Some("ge")) => (wanted["value"].as_i64(), Some(i64::MAX)),
            (Some("number"), Some("le")) => (Some(i64::MIN), wanted["value"].as_i64()),
            _ => return Err("Invalid filter."),
        };
        let (Some(low), Some(high)) = bounds else { return Err("Invalid filter.") };
        fits &= value.is_some_and(|value| (low..=high).contains(&value));
    }
    Ok(fits)
}

/// Opaque to the client: hex, so that nobody reads it.
fn key_of((start, call_id): &(i64, String)) -> String {
    hex::encode(format!("{start}/{call_id}"))
}

fn read_key(key: &str) -> Option<(i64, String)> {
    let text = String::from_utf8(hex::decode(key).ok()?).ok()?;
    let (start, call_id) = text.split_once('/')?;
    Some((start.parse().ok()?, call_id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(starts: &[i64]) -> Vec<CallObject> {
        let call = |start: &i64| CallObject {
            call_id: format!("call_{start}"),
            start_timestamp: Some(*start),
            end_timestamp: Some(*start + 1000),
            transcript: Some("Agent: Guten Tag".to_owned()),
            ..CallObject::default()
        };
        starts.iter().map(call).collect()
    }

    fn ids(page: &Value) -> Vec<&str> {
        page["items"].as_array().unwrap().iter().map(|item| item["call_id"].as_str().unwrap()).collect()
    }

    #[test]
    fn pages_follow_one_another_though_calls_come_and_go() {
        let mut body = json!({"sort_order": "ascending", "limit": 2});
        let first = page(calls(&[30, 10, 20, 40]), &body).unwrap();
        assert_eq!((ids(&first), &first["has_more"]), (vec!["call_10", "call_20"], &json!(true)));
        assert!(first["items"][0].get("transcript").is_none());
        body["pagination_key"] = first["pagination_key"].clone();
        // an earlier one came, a later one went
        let second = page(calls(&[5, 10, 20, 40]), &body).unwrap();
        assert_eq!((ids(&second), &second["has_more"]), (vec!["call_40"], &json!(false)));
        assert!(second.get("pagination_key").is_none());
        assert_eq!(ids(&page(calls(&[30, 10]), &json!({})).unwrap()), ["call_30", "call_10"], "the newest first, unless it is said");
    }

    #[test]
    fn spans_have_both_ends_inside_and_unknown_filters_are_refused() {
        let span = |field: &str, low: i64, high: i64| json!({"filter_criteria": {field: {"type": "range", "op": "bt", "value": [low, high]}}});
        let found = |body: &Value| ids(&page(calls(&[1, 2, 3]), body).unwrap()).len();
        assert_eq!(found(&span("start_timestamp", 2, 3)), 2);
        assert_eq!(found(&span("end_timestamp", 1001, 1001)), 1);
        assert_eq!(found(&json!({"filter_criteria": {"start_timestamp": {"type": "number", "op": "ge", "value": 3}}})), 1);
        assert!(page(calls(&[1]), &json!({"filter_criteria": {"agent": ["a"]}})).is_err());
        assert!(page(calls(&[1]), &json!({"pagination_key": "zz"})).is_err());
    }
}
