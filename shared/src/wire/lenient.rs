//! Field readers that never fail: a value of the wrong type is absent, not an error.
//!
//! Used by serde attributes of the wire types and by the readers that pick from a JSON value.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::telemetry::Masked;

/// A non-empty text, or a number as text.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, given as an integer, a float or text.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before the cast")]
pub fn whole_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            // Beyond 2^53 a float names no exact integer any more.
            number.as_f64().filter(|float| float.is_finite() && float.abs() < 9.0e15).map(|float| float.round() as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number, given as an integer, a float or text.
pub fn float_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|float: &f64| float.is_finite()),
        _ => None,
    }
}

/// A truth value, given as a boolean or as its word.
pub fn bool_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// An instant in RFC 3339 with any offset.
pub fn instant_of(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value.as_str()?.trim()).ok().map(|instant| instant.with_timezone(&Utc))
}

/// An object's scalar values as texts; nested values as their JSON. `None` if it is not an object.
pub fn texts_of(value: &Value) -> Option<BTreeMap<String, String>> {
    let texts = value.as_object()?.iter().filter(|(_, value)| !value.is_null());
    Some(
        texts
            .map(|(key, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), text)
            })
            .collect(),
    )
}

pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Value::deserialize(deserializer).map(|value| text_of(&value))
}

pub fn masked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Masked<String>>, D::Error> {
    text(deserializer).map(|text| text.map(Masked::new))
}

pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Value::deserialize(deserializer).map(|value| whole_of(&value))
}

/// Milliseconds since 1970 as an instant.
pub fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Value::deserialize(deserializer).map(|value| whole_of(&value).and_then(DateTime::from_timestamp_millis))
}

/// An object; anything else (null, an empty list from re-encoders) is an empty one.
pub fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Value::deserialize(deserializer).map(|value| match value {
        Value::Object(object) => object,
        _ => Map::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_may_be_integer_float_or_text() {
        for value in [json!(35658), json!(35658.0), json!("35658"), json!(35657.6)] {
            assert_eq!(whole_of(&value), Some(35_658));
        }
        for value in [json!(null), json!("x"), json!([1]), json!(1.0e300)] {
            assert_eq!(whole_of(&value), None);
        }
    }

    #[test]
    fn instants_are_compared_not_their_texts() {
        let written = ["2026-07-07T12:00:00Z", "2026-07-07T12:00:00.000Z", "2026-07-07T12:00:00+00:00", "2026-07-07T14:00:00+02:00"];
        let instants: Vec<_> = written.iter().map(|text| instant_of(&json!(text)).unwrap()).collect();
        assert!(instants.iter().all(|instant| *instant == instants[0]));
        assert_eq!(instant_of(&json!("2026-07-07")), None);
    }
}
