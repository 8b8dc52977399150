//! What a caller hears about free times: machine fields by the reference's names beside the sentence (domain reference 2.2). Nothing in here is "booked" (incident 78).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use shared::domain::offers;
use shared::texts::{Sentence, choices as choice};

use super::Asked;
use super::choose::rows;
use crate::free_slots::Away;

fn civil(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string()
}

fn refusal(reason: &str, sentence: Sentence<'_>) -> Value {
    json!({ "success": false, "available": false, "reason": reason, "message": sentence.german() })
}

/// The fields of every answer to a check.
fn checked(asked: &Asked, available: bool, requested: Option<DateTime<Utc>>, sentence: Sentence<'_>, further: Value) -> Value {
    let mut answer = Map::from_iter([
        ("success".to_owned(), json!(true)),
        ("available".to_owned(), json!(available)),
        ("booked".to_owned(), json!(false)),
        ("service".to_owned(), json!(asked.service.name)),
        ("requested_time".to_owned(), json!(requested.map(|at| civil(at, asked.zone)))),
        ("alternatives".to_owned(), json!([])),
        ("message".to_owned(), json!(sentence.german())),
    ]);
    if let Value::Object(further) = further {
        answer.extend(further);
    }
    Value::Object(answer)
}

fn offered(asked: &Asked, starts: &[DateTime<Utc>]) -> (String, Value) {
    (offers::spoken_list(starts, asked.now, asked.zone), rows(starts, asked.now, asked.zone))
}

pub(super) fn free(asked: &Asked, at: DateTime<Utc>) -> Value {
    let when = offers::spoken(at, asked.now, asked.zone);
    checked(asked, true, Some(at), Sentence::Free { when: &when }, json!({ "slot_time": civil(at, asked.zone) }))
}

pub(super) fn nearly_free(asked: &Asked, wish: DateTime<Utc>, near: DateTime<Utc>, minutes: i64) -> Value {
    let (when, rows) = offered(asked, &[near]);
    let further = json!({ "reason": "not_available", "slot_time": civil(near, asked.zone), "fuzzy_match_applied": true, "fuzzy_match_diff_minutes": minutes, "alternatives": rows });
    checked(asked, false, Some(wish), Sentence::NearlyFree { when: &when }, further)
}

pub(super) fn not_free(asked: &Asked, wish: DateTime<Utc>, reason: &str, starts: &[DateTime<Utc>]) -> Value {
    let (alternatives, rows) = offered(asked, starts);
    let sentence = if starts.is_empty() { Sentence::NothingFree {} } else { Sentence::NotFree { alternatives: &alternatives } };
    checked(asked, false, Some(wish), sentence, json!({ "reason": reason, "alternatives": rows }))
}

/// A day or a range was asked about: the caller chooses a time of it.
pub(super) fn choices(asked: &Asked, starts: &[DateTime<Utc>]) -> Value {
    let (alternatives, rows) = offered(asked, starts);
    checked(asked, false, None, Sentence::Alternatives { alternatives: &alternatives }, json!({ "reason": "time_required", "alternatives": rows }))
}

pub(super) fn alternatives(asked: &Asked, starts: &[DateTime<Utc>]) -> Value {
    let (alternatives, rows) = offered(asked, starts);
    let sentence = if starts.is_empty() { Sentence::NothingFree {} } else { Sentence::Alternatives { alternatives: &alternatives } };
    checked(asked, false, None, sentence, json!({ "alternatives": rows }))
}

pub(super) fn own_appointment(asked: &Asked, wish: DateTime<Utc>, own: DateTime<Utc>) -> Value {
    let when = offers::spoken(own, asked.now, asked.zone);
    checked(asked, false, Some(wish), Sentence::OwnAppointmentThen { when: &when }, json!({ "reason": "local_db_conflict", "has_existing_appointment": true }))
}

pub(super) fn reserved(asked: &Asked, at: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Value {
    let when = offers::spoken(at, asked.now, asked.zone);
    // as many calls hold something as the company allows: it is free, and may be gone in a minute
    let sentence = if until.is_some() { Sentence::SlotHeld { when: &when } } else { Sentence::Free { when: &when } };
    let further = json!({ "reserved": until.is_some(), "slot_time": civil(at, asked.zone), "reservation_until": until.map(|until| civil(until, asked.zone)) });
    checked(asked, true, Some(at), sentence, further)
}

/// Somebody else has it: what else there is.
pub(super) fn taken(asked: &Asked, wish: DateTime<Utc>, reason: &str, starts: &[DateTime<Utc>]) -> Value {
    let (alternatives, rows) = offered(asked, starts);
    let sentence = if starts.is_empty() { Sentence::SlotTaken {} } else { Sentence::RaceLost { alternatives: &alternatives } };
    let mut answer = refusal(reason, sentence);
    answer["booked"] = json!(false);
    answer["requested_time"] = json!(civil(wish, asked.zone));
    answer["alternatives"] = rows;
    answer
}

pub(super) fn released(holds: u64) -> Value {
    let sentence = if holds > 0 { Sentence::SlotReleased {} } else { Sentence::NothingHeld {} };
    json!({ "success": true, "released": holds > 0, "message": sentence.german() })
}

/// Cal.com does not say what is free, so nothing is said to be.
pub(super) fn away(away: Away) -> Value {
    json!({ "success": false, "reason": "calendar_unavailable", "cause": away.name(), "offer_callback": true, "message": Sentence::CalendarAway {}.german() })
}

pub(super) fn too_soon(minimum_minutes: i32, earliest: DateTime<Utc>, zone: Tz) -> Value {
    let mut answer = crate::answers::too_soon(minimum_minutes);
    answer["available"] = json!(false);
    answer["earliest_bookable"] = json!(civil(earliest, zone));
    answer
}

pub(super) fn too_far() -> Value {
    refusal("too_far", Sentence::TooFar {})
}

pub(super) fn staff_unknown() -> Value {
    refusal("staff_unknown", Sentence::StaffUnknown {})
}

pub(super) fn staff_ambiguous(names: &[&str]) -> Value {
    let mut answer = refusal("staff_ambiguous", Sentence::StaffAmbiguous { staff: &choice(names) });
    answer["staff"] = json!(names);
    answer
}

pub(super) fn staff_cannot(staff: &str, service: &str) -> Value {
    refusal("staff_cannot_provide_service", Sentence::StaffCannotDoThis { staff, service })
}

pub(super) fn staff_is_chosen(staff: &str, service: &str) -> Value {
    refusal("staff_cannot_be_chosen", Sentence::StaffChosenByCalendar { staff, service })
}
