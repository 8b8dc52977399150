//! Dates: what time it is at the branch, and what a caller means by "übermorgen halb zehn" (functions current_time_berlin and parse_date).

use chrono::{Datelike, NaiveDate, NaiveTime};
use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::spoken_time::{Meaning, speak};
use shared::texts::{Key, Sentence};

use super::asked::{Asked, day_in_words, refusal};
use crate::wished_time::{Which, Wished, wished};

#[must_use]
pub fn current_time(asked: &Asked<'_>) -> Value {
    let local = asked.now.with_timezone(&asked.zone);
    let (date, time) = (day_in_words(local.date_naive()), local_time::spoken_time(local.time()));
    json!({
        "success": true, "date": local.format("%d.%m.%Y").to_string(), "time": local.format("%H:%M").to_string(),
        "weekday": local_time::weekday(local.weekday()), "iso": local.to_rfc3339(), "timezone": asked.zone.name(),
        "message": Sentence::CurrentTime { time: &time, date: &date }.german(),
    })
}

/// A value, or the question that is left: past, far and ambiguous dates are asked back, never corrected in silence (incidents 56 to 62).
#[must_use]
pub fn parse(asked: &Asked<'_>) -> Value {
    match wished(&asked.work.arguments, Which::Start, asked.now, asked.zone) {
        Wished::Moment(at) => {
            let local = at.with_timezone(&asked.zone).naive_local();
            understood(asked, local.date(), Some(local.time()))
        }
        Wished::Date(date) => understood(asked, date, None),
        Wished::Time(time) => {
            json!({ "success": false, "reason": "date_required", "time": time.format("%H:%M").to_string(), "message": Key::AskDate.german() })
        }
        Wished::Search { days, times } => {
            let said = speak::value(&Meaning::Range { days, times }, asked.today()).unwrap_or_default();
            let clock = |time: Option<NaiveTime>| time.map(|time| time.format("%H:%M").to_string());
            json!({
                "success": true, "exact": false, "date_from": days.map(|days| days.first), "date_to": days.and_then(|days| days.last),
                "time_from": clock(times.and_then(|times| times.from)), "time_to": clock(times.and_then(|times| times.to)), "next_action": "check_availability",
                "message": Sentence::DateUnderstood { date: &said }.german(),
            })
        }
        Wished::Back(answer) if answer["reason"] != "not_understood" => *answer,
        Wished::Back(_) | Wished::Unsaid => refusal("not_understood", Sentence::DateNotUnderstood {}),
    }
}

fn understood(asked: &Asked<'_>, date: NaiveDate, time: Option<NaiveTime>) -> Value {
    let day = speak::date(date, speak::Case::Accusative, asked.today());
    let said = time.map_or_else(|| day.clone(), |time| format!("{day} um {}", speak::time(time)));
    json!({
        "success": true, "exact": true, "date": date, "display_date": date.format("%d.%m.%Y").to_string(), "day_name": local_time::weekday(date.weekday()),
        "time": time.map(|time| time.format("%H:%M").to_string()), "next_action": "confirm", "message": Sentence::DateUnderstood { date: &said }.german(),
    })
}
