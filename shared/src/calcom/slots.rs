//! Free slots as Cal.com lists them, and the question for them. Facts: Cal.com reference section 3.6.
//!
//! A listed slot may still be refused, and the list is up to some seconds old: it is what can be offered, never a promise. Not the cache (`store::availability`), not our
//! own claims (`store::slot_claims`).

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::request::utc_text;

/// A day has 288 slots of five minutes; two months of them are more than anybody is offered.
const SLOTS_MAX: usize = 20_000;

/// Which slots are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotQuery {
    pub event_type_id: i64,
    /// First possible start.
    pub from: DateTime<Utc>,
    /// Last possible start. At most two months after `from`: Cal.com gets slow beyond.
    pub to: DateTime<Utc>,
    /// Minutes, only for an event type with several lengths.
    pub duration_minutes: Option<u32>,
    /// The booking that is to be moved: its own time counts as free.
    pub moved_uid: Option<String>,
}

/// A possible start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FreeSlot {
    pub starts_at: DateTime<Utc>,
    /// Places that are left, for an event type with seats.
    pub seats_remaining: Option<u32>,
}

impl SlotQuery {
    pub(super) fn to_query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("eventTypeId", self.event_type_id.to_string()), ("start", utc_text(self.from)), ("end", utc_text(self.to))];
        query.extend(self.duration_minutes.map(|minutes| ("duration", minutes.to_string())));
        query.extend(self.moved_uid.clone().map(|uid| ("bookingUidToReschedule", uid)));
        query
    }
}

impl FreeSlot {
    /// The slots of an answer's `data`, by start, each start once; `None` if it is no list of slots. The keys are dates in some zone: instants are compared, never they.
    pub(super) fn all_of(data: &Value) -> Option<Vec<Self>> {
        let days = data.as_object()?;
        let mut slots = Vec::new();
        for day in days.values() {
            for slot in day.as_array()? {
                // the plain form, or with `start` and more
                let text = slot.as_str().or_else(|| slot.get("start").and_then(Value::as_str))?;
                let starts_at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
                let seats_remaining = slot.get("seatsRemaining").and_then(Value::as_u64).and_then(|seats| u32::try_from(seats).ok());
                if seats_remaining != Some(0) {
                    slots.push(Self { starts_at, seats_remaining });
                }
                if slots.len() > SLOTS_MAX {
                    return None;
                }
            }
        }
        slots.sort_unstable();
        slots.dedup_by_key(|slot| slot.starts_at);
        Some(slots)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Cal.com reports slots in the asked zone or in UTC; around a change of the clocks two texts can be one instant, and one text of the day two.
    #[test]
    fn slots_are_instants_whatever_zone_they_are_written_in() {
        let data = json!({
            "2026-10-25": [{"start": "2026-10-25T02:30:00.000+02:00"}, {"start": "2026-10-25T02:30:00.000+01:00"}, {"start": "2026-10-25T00:30:00.000Z"}],
            "2026-10-24": ["2026-10-24T08:00:00.000Z"]
        });
        let starts: Vec<_> = FreeSlot::all_of(&data).unwrap().into_iter().map(|slot| slot.starts_at).collect();
        assert_eq!(starts, [at("2026-10-24T08:00:00Z"), at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z")]);
    }

    #[test]
    fn a_full_course_is_not_free_and_no_slots_are_no_error() {
        let data = json!({"2026-07-06": [{"start": "2026-07-06T08:00:00Z", "seatsRemaining": 0}, {"start": "2026-07-06T09:00:00Z", "seatsRemaining": 3}]});
        assert_eq!(FreeSlot::all_of(&data).unwrap(), [FreeSlot { starts_at: at("2026-07-06T09:00:00Z"), seats_remaining: Some(3) }]);
        assert_eq!(FreeSlot::all_of(&json!({})).unwrap(), []);
    }

    /// What cannot be read is an error, not "nothing is free": a caller would be sent away.
    #[test]
    fn an_answer_of_another_form_is_not_an_empty_day() {
        for wrong in [json!(null), json!([]), json!({"2026-07-06": {}}), json!({"2026-07-06": [{"begin": "x"}]}), json!({"2026-07-06": [{"start": "morgen"}]})]
        {
            assert_eq!(FreeSlot::all_of(&wrong), None, "{wrong}");
        }
    }
}
