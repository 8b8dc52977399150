//! A message as the broker carries it: properties, headers, body. What can be kept of a message that cannot be read.
//!
//! It knows nothing of kinds and envelopes (that is `encode`). Made by `encode` for publishing and by `consume` from a delivery; parked as JSON and bytes
//! in `dead_letters` by the workers, and brought back by a retry.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use serde_json::{Map, Value, json};

use crate::envelope::MessageId;

use super::encode::{ATTEMPT, RECEIVED_AT, SCHEMA_VERSION_HEADER, inflate};

/// Headers kept of a message; ours are seven. More than this is not ours.
const HEADERS_MAX: usize = 32;
/// Longest header value kept, in bytes; our longest is a traceparent of 55.
const HEADER_BYTES_MAX: usize = 1024;
/// Longest kind that is shown or stored; ours are below 50.
const KIND_CHARS_MAX: usize = 64;

/// Properties, headers and body. The broker's own headers (`x-death`, `x-first-death-*`, `x-delivery-count`, …) are never in here: RabbitMQ before 4.0
/// silently drops a message that is republished with them and meets a queue again, and ours is the only attempt counter.
#[derive(Clone, Debug)]
pub struct RawMessage {
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// A message as it is stored in `dead_letters`.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// AMQP properties and headers that are worth keeping.
    pub properties: Value,
    /// The body, decompressed where that was possible.
    pub body: Bytes,
}

impl RawMessage {
    /// Takes what a delivery carried, without the broker's own headers.
    pub(super) fn received(properties: BasicProperties, body: Vec<u8>) -> Self {
        let kept = properties.headers().as_ref().map(own_headers).unwrap_or_default();
        Self { properties: properties.with_headers(kept), body: body.into() }
    }

    /// The message's identity, if it carries a well-formed one.
    #[must_use]
    pub fn message_id(&self) -> Option<MessageId> {
        self.properties.message_id().as_ref().and_then(|id| MessageId::parse(id.as_str()))
    }

    /// The name in `type`, cut and cleaned so that it can be logged and stored: it need not be one of ours.
    #[must_use]
    pub fn kind_name(&self) -> Option<String> {
        self.properties.kind().as_ref().map(|kind| printable(kind.as_str()))
    }

    /// The schema version the message claims.
    #[must_use]
    pub fn schema_version(&self) -> Option<u16> {
        self.whole(SCHEMA_VERSION_HEADER).and_then(|version| u16::try_from(version).ok())
    }

    /// When ingress took it: how long a message of a newer schema has been waiting is counted from here.
    #[must_use]
    pub fn received_at(&self) -> Option<DateTime<Utc>> {
        self.whole(RECEIVED_AT).and_then(DateTime::from_timestamp_millis)
    }

    /// Our own attempt counter; 1 if it is missing or unreadable.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.whole(ATTEMPT).and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(1).max(1)
    }

    /// The form in which a human finds it: JSON of the properties, and the plain body.
    #[must_use]
    pub fn park(&self) -> Parked {
        let mut properties = Map::new();
        let mut keep = |name: &str, value: Option<&ShortString>| {
            if let Some(text) = value {
                properties.insert(name.to_owned(), json!(text.as_str()));
            }
        };
        keep("type", self.properties.kind().as_ref());
        keep("message_id", self.properties.message_id().as_ref());
        keep("content_type", self.properties.content_type().as_ref());
        keep("reply_to", self.properties.reply_to().as_ref());
        keep("correlation_id", self.properties.correlation_id().as_ref());
        let plain = inflate(self.properties.content_encoding().as_ref(), &self.body);
        let body = plain.unwrap_or_else(|_| {
            keep("content_encoding", self.properties.content_encoding().as_ref());
            self.body.clone()
        });
        let headers = self.properties.headers().as_ref().map(headers_to_json).unwrap_or_default();
        properties.insert("headers".to_owned(), Value::Object(headers));
        Parked { properties: Value::Object(properties), body }
    }

    /// Brings a parked message back. What does not look like a property of ours is left out; `decode` says what is missing.
    #[must_use]
    pub fn from_parked(parked: &Parked) -> Self {
        let text = |name: &str| parked.properties.get(name).and_then(Value::as_str).and_then(|text| ShortString::try_new(text).ok());
        let mut headers = FieldTable::default();
        for (name, value) in parked.properties.get("headers").and_then(Value::as_object).into_iter().flatten().take(HEADERS_MAX) {
            if let (Ok(name), Some(value)) = (ShortString::try_new(name.as_str()), header_from_json(value)) {
                headers.insert(name, value);
            }
        }
        let mut properties = BasicProperties::default().with_delivery_mode(super::encode::PERSISTENT).with_headers(own_headers(&headers));
        if let Some(kind) = text("type") {
            properties = properties.with_type(kind);
        }
        if let Some(id) = text("message_id") {
            properties = properties.with_message_id(id);
        }
        if let Some(content_type) = text("content_type") {
            properties = properties.with_content_type(content_type);
        }
        if let Some(encoding) = text("content_encoding") {
            properties = properties.with_content_encoding(encoding);
        }
        if let (Some(reply_to), Some(correlation_id)) = (text("reply_to"), text("correlation_id")) {
            properties = properties.with_reply_to(reply_to).with_correlation_id(correlation_id);
        }
        Self { properties, body: parked.body.clone() }
    }

    fn whole(&self, header: &str) -> Option<i64> {
        self.properties.headers().as_ref().and_then(|headers| headers.inner().get(header)).and_then(whole_number)
    }
}

/// Any of AMQP's integers: other clients choose other widths.
pub(super) fn whole_number(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::LongLongInt(number) => Some(*number),
        _ => None,
    }
}

/// The text of a header, if it is text of a bearable length.
pub(super) fn header_text(value: &AMQPValue) -> Option<&str> {
    let text = match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?,
        AMQPValue::ShortString(text) => text.as_str(),
        _ => return None,
    };
    (text.len() <= HEADER_BYTES_MAX).then_some(text)
}

/// Cut and cleaned: what may stand in a log line whatever a stranger wrote.
pub(super) fn printable(text: &str) -> String {
    let clean = |letter: char| if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-') { letter } else { '?' };
    text.chars().take(KIND_CHARS_MAX).map(clean).collect()
}

/// The headers that survive a republish: plain values that are not the broker's.
fn own_headers(headers: &FieldTable) -> FieldTable {
    let mut kept = FieldTable::default();
    for (name, value) in headers.inner().iter().filter(|(name, _)| !name.as_str().starts_with("x-")).take(HEADERS_MAX) {
        let plain = whole_number(value).is_some() || header_text(value).is_some() || matches!(value, AMQPValue::Boolean(_));
        if plain {
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

fn headers_to_json(headers: &FieldTable) -> Map<String, Value> {
    let plain = |value: &AMQPValue| match value {
        AMQPValue::Boolean(truth) => Some(json!(truth)),
        other => whole_number(other).map(|number| json!(number)).or_else(|| header_text(other).map(|text| json!(text))),
    };
    headers.inner().iter().filter_map(|(name, value)| plain(value).map(|value| (name.as_str().to_owned(), value))).collect()
}

fn header_from_json(value: &Value) -> Option<AMQPValue> {
    match value {
        Value::Bool(truth) => Some(AMQPValue::Boolean(*truth)),
        Value::Number(number) => number.as_i64().map(AMQPValue::LongLongInt),
        Value::String(text) => Some(AMQPValue::LongString(LongString::from(text.as_str()))),
        _ => None,
    }
}
