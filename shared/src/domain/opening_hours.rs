//! When a place is open: a weekly plan in local time, asked and said. Pure; read from the set-up's JSON (`opening_hours`, `transfer_hours`).
//!
//! Not what is free (Cal.com knows that) and not holidays. Called by `desk`, and by `companies` to refuse a wrong document.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Weekday};
use serde_json::{Map, Value};

use super::local_time::spoken_time;

const DAYS: [(&str, Weekday, &str); 7] = [
    ("mon", Weekday::Mon, "montags"),
    ("tue", Weekday::Tue, "dienstags"),
    ("wed", Weekday::Wed, "mittwochs"),
    ("thu", Weekday::Thu, "donnerstags"),
    ("fri", Weekday::Fri, "freitags"),
    ("sat", Weekday::Sat, "samstags"),
    ("sun", Weekday::Sun, "sonntags"),
];
/// Nobody closes and opens more often on one day.
const SPANS_MAX: usize = 6;

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningHoursError {
    #[error("a key is no weekday: mon, tue, wed, thu, fri, sat, sun")]
    Day,
    #[error("the hours of {day} are no list of [\"09:00\", \"18:00\"] in their order, at most six")]
    Hours { day: &'static str },
}

/// From and to, the end not included; an end of 00:00 is the midnight at the end of the day ("24:00").
pub type Span = (NaiveTime, NaiveTime);

/// The end of a day in a plan: no time of day that chrono knows.
const MIDNIGHT: &str = "24:00";

/// A weekly plan. The default is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpeningHours([Vec<Span>; 7]);

impl OpeningHours {
    /// Reads weekday → list of [from, to].
    ///
    /// # Errors
    /// An unknown key, or hours that are not in order.
    pub fn parse(plan: &Map<String, Value>) -> Result<Self, OpeningHoursError> {
        let mut hours = Self::default();
        for (key, value) in plan {
            let (name, day, _) = DAYS.iter().find(|(name, ..)| name == key).ok_or(OpeningHoursError::Day)?;
            hours.0[place(*day)] = spans(value).ok_or(OpeningHoursError::Hours { day: name })?;
        }
        Ok(hours)
    }

    /// The hours of that day; empty: closed.
    #[must_use]
    pub fn on(&self, date: NaiveDate) -> &[Span] {
        &self.0[place(date.weekday())]
    }

    #[must_use]
    pub fn is_open(&self, local: NaiveDateTime) -> bool {
        self.on(local.date()).iter().any(|(from, to)| *from <= local.time() && (*to == NaiveTime::MIN || local.time() < *to))
    }

    /// Whether it is never open: nothing was set up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// "dienstags bis freitags von 9 bis 18 Uhr und samstags von 9 bis 14 Uhr"; empty if it is never open.
    #[must_use]
    pub fn spoken(&self) -> String {
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for day in (0..7).filter(|day| !self.0[*day].is_empty()) {
            match groups.last_mut() {
                Some((_, last)) if *last + 1 == day && self.0[*last] == self.0[day] => *last = day,
                _ => groups.push((day, day)),
            }
        }
        let said: Vec<String> = groups
            .into_iter()
            .map(|(first, last)| {
                let days = match last - first {
                    0 => DAYS[first].2.to_owned(),
                    1 => format!("{} und {}", DAYS[first].2, DAYS[last].2),
                    _ => format!("{} bis {}", DAYS[first].2, DAYS[last].2),
                };
                format!("{days} {}", spoken_spans(&self.0[first]))
            })
            .collect();
        listed(&said)
    }
}

/// "von 9 bis 12 Uhr 30 und von 14 bis 18 Uhr".
#[must_use]
pub fn spoken_spans(spans: &[Span]) -> String {
    let said: Vec<String> = spans
        .iter()
        .map(|(from, to)| {
            let from = spoken_time(*from);
            let to = if *to == NaiveTime::MIN { "24 Uhr".to_owned() } else { spoken_time(*to) };
            format!("von {} bis {to}", from.strip_suffix(" Uhr").unwrap_or(&from))
        })
        .collect();
    listed(&said)
}

fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} und {last}", others.join(", ")),
    }
}

fn place(day: Weekday) -> usize {
    day.num_days_from_monday() as usize
}

fn spans(value: &Value) -> Option<Vec<Span>> {
    let time = |value: &Value| value.as_str().and_then(|text| NaiveTime::parse_from_str(text, "%H:%M").ok());
    let mut spans: Vec<Span> = Vec::new();
    for span in value.as_array().filter(|list| list.len() <= SPANS_MAX)? {
        let [from, to] = span.as_array()?.as_slice() else { return None };
        let from = time(from)?;
        let to = if to.as_str() == Some(MIDNIGHT) { NaiveTime::MIN } else { time(to).filter(|to| from < *to)? };
        let in_order = spans.last().is_none_or(|(_, before)| *before <= from && *before != NaiveTime::MIN);
        spans.push(in_order.then_some((from, to))?);
    }
    Some(spans)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hours(plan: &Value) -> Result<OpeningHours, OpeningHoursError> {
        OpeningHours::parse(plan.as_object().unwrap())
    }

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn the_plan_says_when_it_is_open_to_the_minute() {
        let plan = hours(&json!({ "fri": [["09:00", "12:30"], ["14:00", "18:00"]] })).unwrap();
        // Friday, the 20th of November 2026
        for (local, open) in [
            ("2026-11-20T08:59:59", false),
            ("2026-11-20T09:00:00", true),
            ("2026-11-20T12:29:59", true),
            ("2026-11-20T12:30:00", false),
            ("2026-11-20T14:00:00", true),
            ("2026-11-20T18:00:00", false),
            ("2026-11-21T10:00:00", false),
        ] {
            assert_eq!(plan.is_open(at(local)), open, "{local}");
        }
        let all_day = hours(&json!({ "fri": [["00:00", "24:00"]] })).unwrap();
        assert_eq!(["2026-11-20T00:00:00", "2026-11-20T23:59:59", "2026-11-21T00:00:00"].map(|local| all_day.is_open(at(local))), [true, true, false]);
        assert_eq!((plan.on(at("2026-11-20T00:00:00").date()).len(), plan.is_empty()), (2, false));
        assert!(OpeningHours::default().is_empty() && OpeningHours::default().spoken().is_empty());
    }

    #[test]
    fn days_with_the_same_hours_are_said_together() {
        let nine = json!([["09:00", "18:00"]]);
        for (plan, said) in [
            (json!({}), ""),
            (json!({ "mon": nine }), "montags von 9 bis 18 Uhr"),
            (json!({ "fri": [["18:00", "24:00"]] }), "freitags von 18 bis 24 Uhr"),
            (json!({ "mon": nine, "tue": nine }), "montags und dienstags von 9 bis 18 Uhr"),
            (
                json!({ "tue": nine, "wed": nine, "thu": nine, "sat": [["09:00", "14:00"]] }),
                "dienstags bis donnerstags von 9 bis 18 Uhr und samstags von 9 bis 14 Uhr",
            ),
            (
                json!({ "mon": nine, "wed": nine, "sun": [["09:30", "12:00"], ["14:00", "16:15"]] }),
                "montags von 9 bis 18 Uhr, mittwochs von 9 bis 18 Uhr und sonntags von 9 Uhr 30 bis 12 Uhr und von 14 bis 16 Uhr 15",
            ),
        ] {
            assert_eq!(hours(&plan).unwrap().spoken(), said);
        }
    }

    #[test]
    fn a_wrong_plan_is_refused() {
        assert_eq!(hours(&json!({ "montag": [] })), Err(OpeningHoursError::Day));
        let many: Vec<Value> = (0..7).map(|hour| json!([format!("0{hour}:00"), format!("0{hour}:30")])).collect();
        for wrong in [
            json!("09:00"),
            json!([["09:00"]]),
            json!([["18:00", "09:00"]]),
            json!([["09:00", "09:00"]]),
            json!([["09:00", "12:00"], ["11:00", "13:00"]]),
            json!([["9", "18"]]),
            json!([["24:00", "24:00"]]),
            json!([["18:00", "00:00"]]),
            json!([["18:00", "24:00"], ["20:00", "21:00"]]),
            json!(many),
        ] {
            assert_eq!(hours(&json!({ "fri": wrong })), Err(OpeningHoursError::Hours { day: "fri" }), "{wrong}");
        }
        assert!(hours(&json!({ "fri": [["09:00", "12:00"], ["12:00", "13:00"]] })).is_ok());
    }
}
