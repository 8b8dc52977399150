//! Reads from a proven body only what routing needs: which event, or which function.
//!
//! Not decoding (that is `wire`, in the workers) and no DOM: keys and values that do not matter are skipped in place. Skipping is iterative, so depth
//! costs no stack here; the workers' parser has the depth bound (128) and parks what exceeds it. Called by `webhooks`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use shared::envelope::Kind;
use shared::functions::Function;

use crate::verify::{Calcom, Retell, Verified};

/// A name longer than this is no event and no function of anyone: it is not even unescaped.
const NAME_BYTES_MAX: usize = 128;
/// What Cal.com's "Ping test" button writes into its payload (sample 14).
const PING_TITLE: &str = "Test trigger event";

/// Why an authentic body cannot be handled and waits for a human. The name is part of the routing key under which it is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    NotUtf8,
    NotAnObject,
    /// A function whose tool sends its arguments only: without `call` nothing proves whose call it is (retell.md 4.1).
    ArgsAtRoot,
}

impl Unreadable {
    /// Every reason: metrics create their label values from this.
    pub const ALL: [Self; 3] = [Self::NotUtf8, Self::NotAnObject, Self::ArgsAtRoot];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotAnObject => "not_an_object",
            Self::ArgsAtRoot => "args_at_root",
        }
    }
}

/// Where a Retell request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetellRoute {
    Event(Kind),
    CallInbound,
    /// `None`: a function that the table does not know.
    Function(Option<Function>),
    Unreadable(Unreadable),
}

/// Where a Cal.com request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalcomRoute {
    Event(Kind),
    /// The "Ping test" button: counted, nothing else.
    Ping,
    Unreadable(Unreadable),
}

/// Routes what Retell signed: lifecycle events, call_inbound and functions arrive at one endpoint and differ by the signed body only.
#[must_use]
pub fn of_retell(request: &Verified<Retell>) -> RetellRoute {
    let fields = match Fields::read(request.body()) {
        Ok(fields) => fields,
        Err(reason) => return RetellRoute::Unreadable(reason),
    };
    if let Some(event) = fields.event {
        return text(event).map_or(RetellRoute::Event(Kind::RetellOther), |event| retell_event(&event));
    }
    match fields.tool_name {
        Some(name) if fields.has_call || fields.has_arguments => RetellRoute::Function(text(name).and_then(|name| Function::by_tool_name(&name))),
        _ => RetellRoute::Unreadable(Unreadable::ArgsAtRoot),
    }
}

fn retell_event(event: &str) -> RetellRoute {
    RetellRoute::Event(match event {
        "call_inbound" => return RetellRoute::CallInbound,
        "call_started" => Kind::RetellCallStarted,
        "call_ended" => Kind::RetellCallEnded,
        "call_analyzed" => Kind::RetellCallAnalyzed,
        "transfer_started" => Kind::RetellTransferStarted,
        "transfer_bridged" => Kind::RetellTransferBridged,
        "transfer_cancelled" => Kind::RetellTransferCancelled,
        "transfer_ended" => Kind::RetellTransferEnded,
        _ => Kind::RetellOther,
    })
}

/// Routes what Cal.com signed.
#[must_use]
pub fn of_calcom(request: &Verified<Calcom>) -> CalcomRoute {
    let fields = match Fields::read(request.body()) {
        Ok(fields) => fields,
        Err(reason) => return CalcomRoute::Unreadable(reason),
    };
    let Some(trigger) = fields.trigger.and_then(text) else {
        return CalcomRoute::Event(Kind::CalcomOther);
    };
    if trigger == "PING" || fields.payload.is_some_and(is_ping_payload) {
        return CalcomRoute::Ping;
    }
    CalcomRoute::Event(calcom_event(&trigger))
}

/// Dotted spellings (`BOOKING.CREATED`) mean the same: the former system lost events over that difference (calcom.md 1.1).
fn calcom_event(trigger: &str) -> Kind {
    match trigger.replace('.', "_").to_ascii_uppercase().as_str() {
        "BOOKING_CREATED" => Kind::CalcomBookingCreated,
        "BOOKING_REQUESTED" => Kind::CalcomBookingRequested,
        "BOOKING_PAID" => Kind::CalcomBookingPaid,
        "BOOKING_RESCHEDULED" => Kind::CalcomBookingRescheduled,
        "BOOKING_CANCELLED" => Kind::CalcomBookingCancelled,
        "BOOKING_REJECTED" => Kind::CalcomBookingRejected,
        "BOOKING_NO_SHOW_UPDATED" => Kind::CalcomBookingNoShowUpdated,
        _ => Kind::CalcomOther,
    }
}

/// The ping button sends whichever trigger it stands beside, so only the payload tells: a test title and no uid at all.
fn is_ping_payload(payload: &RawValue) -> bool {
    payload.get().contains(PING_TITLE)
        && Fields::read(payload.get().as_bytes()).is_ok_and(|fields| !fields.has_uid && fields.title.and_then(text).as_deref() == Some(PING_TITLE))
}

/// A JSON string of a sane length, unescaped only if it must be.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    if raw.len() > NAME_BYTES_MAX {
        return None;
    }
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
    }
}

/// The few root fields that decide. A key that comes twice counts as its last value, as in every JSON library that the senders use.
#[derive(Default)]
struct Fields<'a> {
    event: Option<&'a RawValue>,
    trigger: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    title: Option<&'a RawValue>,
    tool_name: Option<&'a RawValue>,
    has_call: bool,
    has_arguments: bool,
    has_uid: bool,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let body = std::str::from_utf8(body).map_err(|_| Unreadable::NotUtf8)?;
        let mut json = serde_json::Deserializer::from_str(body);
        let fields = json.deserialize_map(FieldsVisitor).map_err(|_| Unreadable::NotAnObject)?;
        json.end().map_err(|_| Unreadable::NotAnObject)?;
        Ok(fields)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<Map: MapAccess<'de>>(self, mut map: Map) -> Result<Self::Value, Map::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Event => fields.event = Some(map.next_value()?),
                Key::Trigger => fields.trigger = Some(map.next_value()?),
                Key::Payload => fields.payload = Some(map.next_value()?),
                Key::Title => fields.title = Some(map.next_value()?),
                Key::ToolName => fields.tool_name = Some(map.next_value()?),
                Key::Call => fields.has_call = !matches!(map.next_value::<&RawValue>()?.get(), "null"),
                Key::Arguments => {
                    map.next_value::<IgnoredAny>()?;
                    fields.has_arguments = true;
                }
                Key::Uid => {
                    map.next_value::<IgnoredAny>()?;
                    fields.has_uid = true;
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// A root key, recognised without a copy.
enum Key {
    Event,
    Trigger,
    Payload,
    Title,
    ToolName,
    Call,
    Arguments,
    Uid,
    Other,
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<Error>(self, key: &str) -> Result<Key, Error> {
        Ok(match key {
            "event" => Key::Event,
            "triggerEvent" => Key::Trigger,
            "payload" => Key::Payload,
            "title" => Key::Title,
            // Both envelopes of incident 39.
            "name" | "function_name" => Key::ToolName,
            "call" => Key::Call,
            "args" | "arguments" | "parameters" => Key::Arguments,
            "uid" | "bookingUid" => Key::Uid,
            _ => Key::Other,
        })
    }
}

#[cfg(test)]
mod tests;
