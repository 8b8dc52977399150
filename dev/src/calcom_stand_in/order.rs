//! Reads and refuses the bodies of POST /v2/bookings as Cal.com's validation does (reference/calcom.md 3.3). It is
//! stricter in one point: root fields that the original silently strips (`end`, `language`, `responses`) are refused,
//! so that a client that relies on them is found out.

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::errors::ApiError;
use super::model::{Attendee, By};
use super::state::State;
use crate::stand_in::json_order::OrderedMap;

const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
const LANGUAGES: &[&str] = &[
    "ar", "ca", "de", "es", "eu", "he", "id", "ja", "lv", "pl", "ro", "sr", "th", "vi", "az", "cs", "el", "es-419", "fi", "hr", "it", "km", "nl", "pt", "ru",
    "sv", "tr", "zh-CN", "bg", "da", "en", "et", "fr", "hu", "iw", "ko", "no", "pt-BR", "sk", "ta", "uk", "zh-TW", "bn",
];

/// A booking that somebody asks for, already well-formed.
pub struct Order {
    pub event_type_id: i64,
    pub start: DateTime<Utc>,
    pub length_minutes: Option<i64>,
    pub attendee: Attendee,
    pub guests: Vec<String>,
    pub metadata: OrderedMap,
    pub notes: String,
    pub fields: OrderedMap,
    pub recurrence_count: Option<usize>,
    pub by: By,
}

/// `body` twice: as a value for the checks, as bytes for the order of the metadata keys.
pub fn parse(state: &State, body: &[u8]) -> Result<Order, ApiError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| ApiError::named(400, "Body is not valid JSON"))?;
    for stripped in ["end", "language", "responses"] {
        if value.get(stripped).is_some() {
            let message = format!("property {stripped} should not exist");
            return Err(ApiError::validation(stripped, "whitelistValidation", &message));
        }
    }
    let start = start_of(&value)?;
    let event_type_id = event_type_of(state, &value)?;
    let metadata = metadata_of(body)?;
    let mut fields = object_of(&value, "bookingFieldsResponses")?;
    let attendee = attendee_of(state, event_type_id, &value, &fields)?;
    let notes = fields.get("notes").and_then(Value::as_str).unwrap_or_default().to_owned();
    fields.0.retain(|(name, _)| !matches!(name.as_str(), "notes" | "attendeePhoneNumber" | "name" | "email"));
    Ok(Order {
        event_type_id,
        start,
        length_minutes: value.get("lengthInMinutes").and_then(Value::as_i64),
        attendee,
        guests: strings_of(&value, "guests"),
        metadata,
        notes,
        fields,
        recurrence_count: value.get("recurrenceCount").and_then(Value::as_u64).map(|count| count as usize),
        by: By::Api,
    })
}

/// The `start` of a booking or of a move.
pub fn start_of(value: &Value) -> Result<DateTime<Utc>, ApiError> {
    value
        .get("start")
        .and_then(Value::as_str)
        .and_then(instant)
        .ok_or_else(|| ApiError::validation("start", "isDateString", "start must be a valid ISO 8601 date string"))
}

/// RFC 3339; without an offset it means UTC, as in the original.
pub fn instant(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.with_timezone(&Utc));
    }
    text.parse::<NaiveDateTime>().ok().map(|civil| civil.and_utc())
}

fn event_type_of(state: &State, value: &Value) -> Result<i64, ApiError> {
    if let Some(id) = value.get("eventTypeId") {
        let id = id.as_i64().ok_or_else(|| ApiError::validation("eventTypeId", "isInt", "eventTypeId must be an integer number"))?;
        return match state.event_types.contains_key(&id) {
            true => Ok(id),
            false => Err(ApiError::no_event_type(&id.to_string())),
        };
    }
    let slug = value.get("eventTypeSlug").and_then(Value::as_str);
    let owner = value.get("username").or_else(|| value.get("teamSlug")).and_then(Value::as_str);
    let (Some(slug), Some(owner)) = (slug, owner) else {
        let message = "Either eventTypeId or eventTypeSlug + username or eventTypeSlug + teamSlug must be provided";
        return Err(ApiError::named(400, message));
    };
    state
        .event_types
        .values()
        .find(|event| {
            let host = event.owner().and_then(|id| state.hosts.get(&id));
            event.slug == slug && host.is_some_and(|host| host.username == owner)
        })
        .map(|event| event.id)
        .ok_or_else(|| ApiError::no_event_type(slug))
}

fn attendee_of(state: &State, event_type_id: i64, body: &Value, fields: &OrderedMap) -> Result<Attendee, ApiError> {
    let Some(attendee) = body.get("attendee").filter(|attendee| attendee.is_object()) else {
        return Err(ApiError::validation("attendee", "isDefined", "attendee should not be null or undefined"));
    };
    let text = |name: &str| attendee.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("name").ok_or_else(|| ApiError::validation("attendee.name", "isString", "attendee.name must be a string"))?;
    let time_zone: Tz = text("timeZone")
        .and_then(|zone| zone.parse().ok())
        .ok_or_else(|| ApiError::validation("attendee.timeZone", "isTimeZone", "attendee.timeZone must be a valid IANA time-zone"))?;
    let language = text("language").unwrap_or("en");
    if !LANGUAGES.contains(&language) {
        let message = "attendee.language must be one of the supported languages";
        return Err(ApiError::validation("attendee.language", "isEnum", message));
    }
    let phone = text("phoneNumber");
    if phone.is_some_and(|phone| !is_e164(phone)) {
        let message = "attendee.phoneNumber must be a valid phone number";
        return Err(ApiError::validation("attendee.phoneNumber", "isPhoneNumber", message));
    }
    let field_phone = fields.get("attendeePhoneNumber").and_then(Value::as_str);
    if field_phone.is_some_and(|phone| !is_e164(phone)) {
        return Err(ApiError::named(400, "error_required_field, attendeePhoneNumber: invalid_number"));
    }
    let email_required = state.event_types.get(&event_type_id).is_some_and(|event| event.email_required);
    let email = match (text("email"), phone) {
        (Some(email), _) if email.contains('@') => email.to_owned(),
        (Some(_), _) => {
            return Err(ApiError::validation("attendee.email", "isEmail", "attendee.email must be an email"));
        }
        (None, Some(phone)) if !email_required => {
            format!("{}@sms.cal.com", phone.trim_start_matches('+'))
        }
        (None, _) => return Err(ApiError::named(400, "Both Phone and Email are missing")),
    };
    Ok(Attendee {
        name: name.to_owned(),
        email,
        phone_number: phone.or(field_phone).map(str::to_owned),
        time_zone,
        language: language.to_owned(),
        absent: false,
        seat_uid: None,
    })
}

fn metadata_of(body: &[u8]) -> Result<OrderedMap, ApiError> {
    #[derive(serde::Deserialize)]
    struct Part {
        metadata: Option<OrderedMap>,
    }
    let refuse = |why: &str| ApiError::validation("metadata", "validateMetadata", why);
    let part: Part = serde_json::from_slice(body).map_err(|_| refuse("metadata must be an object"))?;
    let metadata = part.metadata.unwrap_or_default();
    if metadata.0.len() > METADATA_KEYS_MAX {
        return Err(refuse("Metadata cannot have more than 50 keys"));
    }
    for (key, value) in &metadata.0 {
        if key.chars().count() > METADATA_KEY_CHARS_MAX {
            return Err(refuse("Metadata keys cannot be longer than 40 characters"));
        }
        match value {
            Value::String(text) if text.chars().count() > METADATA_VALUE_CHARS_MAX => {
                return Err(refuse("Metadata values cannot be longer than 500 characters"));
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
            _ => {
                return Err(refuse("Metadata values must be strings, numbers or booleans"));
            }
        }
    }
    Ok(metadata)
}

fn object_of(value: &Value, name: &str) -> Result<OrderedMap, ApiError> {
    match value.get(name) {
        None => Ok(OrderedMap::default()),
        Some(found) => serde_json::from_value(found.clone()).map_err(|_| ApiError::validation(name, "isObject", &format!("{name} must be an object"))),
    }
}

fn strings_of(value: &Value, name: &str) -> Vec<String> {
    let list = value.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn is_e164(phone: &str) -> bool {
    let digits = phone.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}
