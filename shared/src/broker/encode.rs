//! Envelope ⇄ AMQP message: which property and which header carries what.
//!
//! Not the meaning of the body. Called by the publisher and by every consumer; a message that cannot be read gives a reason, never a panic.

use std::io::{self, Read};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use uuid::Uuid;

use crate::envelope::{Envelope, Kind, ReplyTo, SCHEMA_VERSION};

use super::raw::{RawMessage, header_text, printable, whole_number};
use super::topology::REPLY_QUEUE_PREFIX;

pub(super) const SCHEMA_VERSION_HEADER: &str = "schema-version";
const ENDPOINT: &str = "endpoint";
pub(super) const RECEIVED_AT: &str = "received-at";
pub(super) const ATTEMPT: &str = "attempt";
const DEADLINE: &str = "deadline";
const TRACEPARENT: &str = "traceparent";
const CALLER_GONE: &str = "caller-gone";

pub(super) const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;
const ZSTD: &str = "zstd";
/// Bodies from this size on are compressed: below it the frame overhead outweighs the gain (architecture section 4).
const COMPRESS_FROM_BYTES: usize = 8 * 1024;
/// Level 1 packs webhook JSON nearly as well as 3 and costs half the time; ingress pays it on every large body.
const COMPRESSION_LEVEL: i32 = 1;
/// Largest body, compressed or not: the broker's own cap on 4.x.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Memory a zstd frame may ask us to keep: 2^24 = 16 MiB, the largest body.
const WINDOW_LOG_MAX: u32 = 24;
/// A W3C traceparent of version 00 has exactly this length; anything else is dropped, it is no reason to refuse a message.
const TRACEPARENT_LEN: usize = 55;

/// Why a message cannot be read. Identity and kind, as far as known, stand in its [`RawMessage`].
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A dead letter.
    #[error("the kind {0} is not one of ours")]
    UnknownKind(String),
    /// Waits in a tier until this process is replaced by a newer one (architecture section 4).
    #[error("schema version {0} is newer than this process understands")]
    NewerSchema(u16),
    #[error("the property or header {0} is missing or malformed")]
    BadProperty(&'static str),
    #[error("the compressed body cannot be read")]
    BadBody(#[source] io::Error),
    #[error("the body exceeds {} MiB", BODY_BYTES_MAX / 1024 / 1024)]
    BodyTooLarge,
}

/// The AMQP form of an envelope. Instants keep milliseconds. Bodies from 8 KiB are compressed.
#[must_use]
pub fn encode(envelope: &Envelope, persistent: bool) -> RawMessage {
    let mut headers = FieldTable::default();
    let millis = |at: DateTime<Utc>| AMQPValue::LongLongInt(at.timestamp_millis());
    headers.insert(SCHEMA_VERSION_HEADER.into(), AMQPValue::LongLongInt(envelope.schema_version.into()));
    headers.insert(RECEIVED_AT.into(), millis(envelope.received_at));
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(envelope.attempt.into()));
    if let Some(endpoint) = envelope.endpoint {
        headers.insert(ENDPOINT.into(), text(&endpoint.to_string()));
    }
    if let Some(deadline) = envelope.deadline {
        headers.insert(DEADLINE.into(), millis(deadline));
    }
    if let Some(traceparent) = envelope.traceparent.as_deref().filter(|parent| is_traceparent(parent)) {
        headers.insert(TRACEPARENT.into(), text(traceparent));
    }
    if envelope.caller_gone {
        headers.insert(CALLER_GONE.into(), AMQPValue::Boolean(true));
    }
    let mut properties = base_properties(persistent)
        .with_type(short(&envelope.kind.name()))
        .with_message_id(short(envelope.message_id.as_str()))
        .with_timestamp(u64::try_from(envelope.received_at.timestamp()).unwrap_or(0))
        .with_headers(headers);
    if let Some(reply_to) = &envelope.reply_to {
        properties = properties.with_reply_to(short(&reply_to.queue)).with_correlation_id(short(&reply_to.correlation_id.to_string()));
    }
    deflated(properties, envelope.body.clone())
}

/// The AMQP form of an answer to a waiting request: no envelope, only which request it answers.
pub(super) fn encode_reply(correlation_id: Uuid, body: Bytes) -> RawMessage {
    deflated(base_properties(false).with_correlation_id(short(&correlation_id.to_string())), body)
}

fn base_properties(persistent: bool) -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(if persistent { PERSISTENT } else { TRANSIENT })
}

fn deflated(properties: BasicProperties, body: Bytes) -> RawMessage {
    if body.len() >= COMPRESS_FROM_BYTES
        && let Ok(packed) = zstd::bulk::compress(&body, COMPRESSION_LEVEL)
        && packed.len() < body.len()
    {
        return RawMessage { properties: properties.with_content_encoding(ZSTD.into()), body: packed.into() };
    }
    RawMessage { properties, body }
}

/// Reads an envelope out of a message.
///
/// # Errors
/// The schema is newer than ours (checked first: nothing else is promised then), the kind is unknown, a property is missing or malformed, or the body
/// cannot be decompressed within its bound.
pub fn decode(message: &RawMessage) -> Result<Envelope, DecodeError> {
    let empty = FieldTable::default();
    let properties = &message.properties;
    let headers = Headers(properties.headers().as_ref().unwrap_or(&empty));
    let schema_version = headers.number::<u16>(SCHEMA_VERSION_HEADER)?.ok_or(DecodeError::BadProperty(SCHEMA_VERSION_HEADER))?;
    if schema_version > SCHEMA_VERSION {
        return Err(DecodeError::NewerSchema(schema_version));
    }
    let kind_name = properties.kind().as_ref().ok_or(DecodeError::BadProperty("type"))?;
    let kind = Kind::parse(kind_name.as_str()).ok_or_else(|| DecodeError::UnknownKind(printable(kind_name.as_str())))?;
    let attempt = headers.number::<u32>(ATTEMPT)?.unwrap_or(1);
    Ok(Envelope {
        message_id: message.message_id().ok_or(DecodeError::BadProperty("message-id"))?,
        kind,
        schema_version,
        endpoint: headers.endpoint()?,
        received_at: headers.instant(RECEIVED_AT)?.ok_or(DecodeError::BadProperty(RECEIVED_AT))?,
        attempt: if attempt == 0 { return Err(DecodeError::BadProperty(ATTEMPT)) } else { attempt },
        deadline: headers.instant(DEADLINE)?,
        reply_to: reply_to(properties)?,
        traceparent: headers.0.inner().get(TRACEPARENT).and_then(header_text).filter(|parent| is_traceparent(parent)).map(str::to_owned),
        caller_gone: matches!(headers.0.inner().get(CALLER_GONE), Some(AMQPValue::Boolean(true))),
        body: inflate(properties.content_encoding().as_ref(), &message.body)?,
    })
}

/// The plain body.
pub(super) fn inflate(encoding: Option<&ShortString>, body: &Bytes) -> Result<Bytes, DecodeError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(DecodeError::BodyTooLarge);
    }
    match encoding.map(ShortString::as_str) {
        None | Some("") => Ok(body.clone()),
        Some(ZSTD) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_ref()).map_err(DecodeError::BadBody)?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(DecodeError::BadBody)?;
            // one byte more than allowed tells "exactly full" from "too large"
            let mut plain = Vec::with_capacity(body.len().saturating_mul(8).min(BODY_BYTES_MAX));
            decoder.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut plain).map_err(DecodeError::BadBody)?;
            if plain.len() > BODY_BYTES_MAX { Err(DecodeError::BodyTooLarge) } else { Ok(plain.into()) }
        }
        Some(_) => Err(DecodeError::BadProperty("content-encoding")),
    }
}

/// An answer goes only to a queue that an ingress process made for answers, never to a queue that a message names at will.
fn reply_to(properties: &BasicProperties) -> Result<Option<ReplyTo>, DecodeError> {
    let Some(queue) = properties.reply_to().as_ref() else { return Ok(None) };
    if !queue.as_str().starts_with(REPLY_QUEUE_PREFIX) {
        return Err(DecodeError::BadProperty("reply-to"));
    }
    let correlation_id = correlation_id(properties).ok_or(DecodeError::BadProperty("correlation-id"))?;
    Ok(Some(ReplyTo { queue: queue.as_str().to_owned(), correlation_id }))
}

pub(super) fn correlation_id(properties: &BasicProperties) -> Option<Uuid> {
    properties.correlation_id().as_ref().and_then(|id| Uuid::try_parse(id.as_str()).ok())
}

struct Headers<'a>(&'a FieldTable);

impl Headers<'_> {
    fn number<N: TryFrom<i64>>(&self, name: &'static str) -> Result<Option<N>, DecodeError> {
        match self.0.inner().get(name) {
            None | Some(AMQPValue::Void) => Ok(None),
            Some(value) => {
                let number = whole_number(value).and_then(|number| N::try_from(number).ok());
                number.map(Some).ok_or(DecodeError::BadProperty(name))
            }
        }
    }

    fn instant(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, DecodeError> {
        let Some(millis) = self.number::<i64>(name)? else { return Ok(None) };
        DateTime::from_timestamp_millis(millis).map(Some).ok_or(DecodeError::BadProperty(name))
    }

    fn endpoint(&self) -> Result<Option<Uuid>, DecodeError> {
        let Some(value) = self.0.inner().get(ENDPOINT) else { return Ok(None) };
        header_text(value).and_then(|text| Uuid::try_parse(text).ok()).map(Some).ok_or(DecodeError::BadProperty(ENDPOINT))
    }
}

fn is_traceparent(text: &str) -> bool {
    text.len() == TRACEPARENT_LEN && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// Names of ours are all below AMQP's 255 bytes; a longer one (a foreign reply queue name) becomes empty, which no consumer accepts.
fn short(value: &str) -> ShortString {
    ShortString::try_new(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
