//! What the former system kept of Cal.com's webhooks in `metadata` (`last_update_payload`, `cancellation_payload`, `cal_com_data`), as a whole webhook or as its payload alone.
//!
//! Not the wire: those bytes are gone, and this is what was left of them. A time without a zone proves nothing.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// A time that names its zone: RFC 3339, with a blank instead of the T, or a number of milliseconds.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
        .or_else(|_| DateTime::parse_from_str(text.trim_end_matches(" UTC"), "%Y-%m-%d %H:%M:%S").or_else(|error| utc(text).ok_or(error)))
        .ok()
        .map(|at| at.to_utc())
}

fn utc(text: &str) -> Option<DateTime<chrono::FixedOffset>> {
    let naive = text.strip_suffix(" UTC")?;
    Some(chrono::NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S").ok()?.and_utc().fixed_offset())
}

/// The time in a JSON value.
pub(super) fn time_of(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => time(text),
        Value::Number(number) => number.as_i64().and_then(DateTime::from_timestamp_millis),
        _ => None,
    }
}

/// A kept webhook.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    outer: &'a Value,
    inner: &'a Value,
}

impl<'a> Payload<'a> {
    /// `None` if nothing readable is kept under that key.
    pub(super) fn read(kept: Option<&'a Value>) -> Option<Self> {
        let outer = kept.filter(|kept| kept.as_object().is_some_and(|object| !object.is_empty()))?;
        Some(Self { outer, inner: outer.get("payload").filter(|inner| inner.is_object()).unwrap_or(outer) })
    }

    /// When Cal.com sent it.
    pub(super) fn created_at(self) -> Option<DateTime<Utc>> {
        self.outer.get("createdAt").or_else(|| self.inner.get("createdAt")).and_then(time_of)
    }

    /// A text of the payload that is not empty.
    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.inner.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The first of these keys that holds a time.
    pub(super) fn time(self, keys: &[&str]) -> Option<DateTime<Utc>> {
        keys.iter().find_map(|key| self.inner.get(*key).and_then(time_of))
    }

    /// Who an e-mail of the payload belongs to: the organizer is staff, an attendee the customer; anybody else proves nothing.
    pub(super) fn person(self, key: &str) -> Option<&'static str> {
        let email = match self.text(key)? {
            // old archives have the word
            "organizer" => return Some("staff"),
            "attendee" => return Some("customer"),
            email => email,
        };
        let same = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|other| other.eq_ignore_ascii_case(email));
        let organizer = same(self.inner.pointer("/organizer/email"));
        let attendee = self.inner.get("attendees").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| same(one.get("email"))));
        match (organizer, attendee) {
            (true, false) => Some("staff"),
            (false, true) => Some("customer"),
            _ => None,
        }
    }
}
