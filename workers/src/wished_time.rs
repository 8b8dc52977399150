//! When the caller wants to come, or when the appointment meant is: the arguments' dates and times → one instant, a day, something to search in, or the question to ask back.
//!
//! Exact machine forms are read first (`wire::arguments`), everything else by the grammar (`domain::spoken_time`). Only [`Wished::Moment`] may book (incident 62); the past and what
//! is far away is asked back (incidents 56, 60). Not here: notice, opening hours, what is free. Called by every function that has a time.

use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use shared::domain::local_time;
use shared::domain::spoken_time::{self, Days, Meaning, Question, Reading, Reason, Refusal, Times};
use shared::functions::Argument;
use shared::functions::arguments as named;
use shared::texts::{Key, Sentence, times};
use shared::wire::arguments::{Arguments, Moment};

/// Nothing is booked further ahead (domain reference 4.5); a spoken date without a year is asked back sooner, by the grammar.
const HORIZON: Months = Months::new(12);

/// Which of a function's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `date`, `time`, `datetime`: of a booking or a search the wished time.
    Start,
    /// The same of a cancellation: an appointment that there is.
    Own,
    /// `new_date`, `new_time`, `new_datetime`.
    New,
    /// `old_date`, `old_time`, `old_datetime`: an appointment that there is.
    Old,
    /// `after`: the earliest time of a search.
    After,
}

/// What was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Wished {
    /// Nothing at all.
    Unsaid,
    /// One minute of one day.
    Moment(DateTime<Utc>),
    /// A day, and no time.
    Date(NaiveDate),
    /// A time, and no day.
    Time(NaiveTime),
    /// Days, times or both, to search in.
    Search { days: Option<Days>, times: Option<Times> },
    /// The answer that asks back.
    Back(Box<Value>),
}

impl Wished {
    /// The moment, for whoever is about to book, hold or move: everything else is the question that is left (incident 62).
    ///
    /// # Errors
    /// The answer that asks for what is missing.
    pub fn moment(self, which: Which) -> Result<DateTime<Utc>, Value> {
        match self {
            Self::Moment(at) => Ok(at),
            Self::Date(_) | Self::Search { days: Some(_), .. } => {
                Err(asking("time_required", if which == Which::New { Key::AskNewDateAndTime } else { Key::AskTime }))
            }
            Self::Time(_) | Self::Search { .. } => Err(asking("date_required", if which == Which::New { Key::AskNewDateAndTime } else { Key::AskDate })),
            Self::Unsaid => Err(asking("date_required", if which == Which::New { Key::AskNewDateAndTime } else { Key::AskDateAndTime })),
            Self::Back(answer) => Err(*answer),
        }
    }
}

/// What the function's arguments say of that time, said at `now` to a branch in `zone`.
#[must_use]
pub fn wished(arguments: &Arguments, which: Which, now: DateTime<Utc>, zone: Tz) -> Wished {
    let (datetime, date, time) = which.arguments();
    let said = |argument: Option<&'static Argument>| argument.map(|argument| arguments.told(argument)).transpose().map(Option::flatten);
    let (Ok(datetime), Ok(date), Ok(time)) = (said(Some(datetime)), said(date), said(time)) else { return back("argument", Sentence::NotUnderstood {}) };
    let text = |told: &Option<shared::telemetry::Masked<String>>| told.as_ref().map(|told| told.expose().clone());
    Told { now, zone, asks_back: !matches!(which, Which::Old | Which::Own) }.meaning(text(&datetime), text(&date), text(&time))
}

impl Which {
    /// Datetime, date, time.
    const fn arguments(self) -> (&'static Argument, Option<&'static Argument>, Option<&'static Argument>) {
        match self {
            Self::Start | Self::Own => (&named::DATETIME, Some(&named::DATE), Some(&named::TIME)),
            Self::New => (&named::NEW_DATETIME, Some(&named::NEW_DATE), Some(&named::NEW_TIME)),
            Self::Old => (&named::OLD_DATETIME, Some(&named::OLD_DATE), Some(&named::OLD_TIME)),
            Self::After => (&named::AFTER, None, None),
        }
    }
}

/// The circumstances in which something was said.
#[derive(Clone, Copy)]
struct Told {
    now: DateTime<Utc>,
    zone: Tz,
    /// Of an appointment that there is, a past time only finds nothing.
    asks_back: bool,
}

impl Told {
    fn meaning(self, datetime: Option<String>, date: Option<String>, time: Option<String>) -> Wished {
        match (datetime, date, time) {
            (Some(both), ..) => self.one(&both),
            (None, Some(date), Some(time)) => self.both(&date, &time),
            (None, Some(one), None) | (None, None, Some(one)) => self.one(&one),
            (None, None, None) => Wished::Unsaid,
        }
    }

    /// One text for day and time, or for one of them.
    fn one(self, text: &str) -> Wished {
        if let Some(exact) = exact_moment(text) {
            return self.exact(exact);
        }
        match (exact_date(text), exact_time(text)) {
            (Some(date), _) => self.day(date),
            (None, Some(time)) => Wished::Time(time),
            (None, None) => self.spoken(text),
        }
    }

    fn both(self, date: &str, time: &str) -> Wished {
        // the model put everything into one of them, and repeated the time in the other
        if let Some(exact) = exact_moment(date) {
            return self.agreeing(self.exact(exact), time);
        }
        match (exact_date(date), exact_time(time)) {
            (Some(date), Some(time)) => self.exact(Moment::Local(date.and_time(time))),
            (Some(date), None) => self.spoken(&format!("{}.{}.{} {}", date.day(), date.month(), date.year(), hour(time))),
            (None, _) => match self.spoken(date) {
                whole @ Wished::Moment(_) => self.agreeing(whole, time),
                _ => self.spoken(&format!("{date} {}", hour(time))),
            },
        }
    }

    /// A moment that was told whole, and a time beside it: both say the same, or it is asked.
    fn agreeing(self, whole: Wished, time: &str) -> Wished {
        let Wished::Moment(at) = whole else { return whole };
        let said = match exact_time(time) {
            Some(time) => Some(time),
            None => match spoken_time::understand(&hour(time), self.now, self.zone) {
                Meaning::Time(time) => Some(time),
                _ => None,
            },
        };
        let local = at.with_timezone(&self.zone).naive_local();
        if said.is_none_or(|said| said == local.time()) {
            return Wished::Moment(at);
        }
        let readings = [Some(local.time()), said].map(|time| Reading { date: Some(local.date()), time });
        self.question(&Question { reason: Reason::Several, readings: readings.to_vec() })
    }

    fn exact(self, moment: Moment) -> Wished {
        let Some(at) = moment.in_zone(&self.zone) else { return back("no_such_time", Sentence::NoSuchTime {}) };
        if !self.asks_back {
            return Wished::Moment(at);
        }
        let local = at.with_timezone(&self.zone).naive_local();
        let reading = Reading { date: Some(local.date()), time: Some(local.time()) };
        if at <= self.now {
            self.question(&Question { reason: Reason::Past, readings: vec![reading] })
        } else if self.is_too_far(at) {
            back("too_far", Sentence::TooFar {})
        } else {
            Wished::Moment(at)
        }
    }

    fn day(self, date: NaiveDate) -> Wished {
        let today = self.now.with_timezone(&self.zone).date_naive();
        if self.asks_back && date < today {
            let reading = Reading { date: Some(date), time: None };
            return self.question(&Question { reason: Reason::Past, readings: vec![reading] });
        }
        if self.asks_back && today.checked_add_months(HORIZON).is_some_and(|last| date > last) {
            return back("too_far", Sentence::TooFar {});
        }
        Wished::Date(date)
    }

    fn is_too_far(self, at: DateTime<Utc>) -> bool {
        self.now.checked_add_months(HORIZON).is_some_and(|latest| at > latest)
    }

    fn spoken(self, text: &str) -> Wished {
        match spoken_time::understand(text, self.now, self.zone) {
            Meaning::Moment { at, .. } if self.asks_back && self.is_too_far(at) => back("too_far", Sentence::TooFar {}),
            Meaning::Moment { at, .. } => Wished::Moment(at),
            Meaning::Date(date) => Wished::Date(date),
            Meaning::Time(time) => Wished::Time(time),
            Meaning::Part { date, part } => Wished::Search { days: date.map(|date| Days { first: date, last: Some(date) }), times: Some(part.times()) },
            Meaning::Range { days, times } => Wished::Search { days, times },
            Meaning::Ask(question) => self.question(&question),
            Meaning::Refuse(refusal) => refused(refusal),
        }
    }

    fn question(self, question: &Question) -> Wished {
        let today = self.now.with_timezone(&self.zone).date_naive();
        let reason = match question.reason {
            Reason::Past => "past_date",
            Reason::Far => "far_date",
            Reason::Vague => "time_required",
            _ => "ambiguous_time",
        };
        let readings: Vec<Value> = question.readings.iter().map(reading).collect();
        Wished::Back(Box::new(json!({
            "success": false, "reason": reason, "question": question.reason.key(), "readings": readings, "message": times::question(question, today),
        })))
    }
}

fn reading(reading: &Reading) -> Value {
    json!({ "date": reading.date.map(|date| date.to_string()), "time": reading.time.map(|time| time.format("%H:%M").to_string()) })
}

fn refused(refusal: Refusal) -> Wished {
    let reason = match refusal {
        Refusal::NoSuchDate => "invalid_date",
        Refusal::NoSuchTime | Refusal::SkippedHour => "no_such_time",
        Refusal::NotUnderstood | Refusal::TooLong => "not_understood",
    };
    Wished::Back(Box::new(json!({ "success": false, "reason": reason, "question": refusal.key(), "message": times::refusal(refusal).german() })))
}

fn back(reason: &str, sentence: Sentence<'_>) -> Wished {
    Wished::Back(Box::new(json!({ "success": false, "reason": reason, "message": sentence.german() })))
}

/// These questions have no slots: their text is the sentence.
fn asking(reason: &str, key: Key) -> Value {
    json!({ "success": false, "reason": reason, "message": key.german() })
}

/// A time as it stands after a day: models write "14" and "14:30" where a caller says "um vierzehn Uhr".
fn hour(time: &str) -> String {
    let time = time.trim();
    match exact_time(time) {
        Some(_) if !time.to_lowercase().contains("uhr") => format!("um {time} Uhr"),
        Some(_) => format!("um {time}"),
        None if !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()) => format!("um {time} Uhr"),
        None => time.to_owned(),
    }
}

fn alone(name: &str, text: &str) -> Arguments {
    Arguments::new(Map::from_iter([(name.to_owned(), Value::from(text))]))
}

fn exact_moment(text: &str) -> Option<Moment> {
    alone(named::DATETIME.name(), text).start().ok().flatten()
}

fn exact_date(text: &str) -> Option<NaiveDate> {
    alone(named::DATE.name(), text).date().ok().flatten()
}

fn exact_time(text: &str) -> Option<NaiveTime> {
    alone(named::TIME.name(), text).time().ok().flatten()
}

/// The instants between which starts of that day lie, both in the branch's zone.
#[must_use]
pub fn bounds(days: Days, times: Option<Times>, horizon_days: i64, zone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let last = days.last.unwrap_or(days.first + Duration::days(horizon_days));
    let from = times.and_then(|times| times.from).unwrap_or(NaiveTime::MIN);
    let to = times.and_then(|times| times.to).or_else(|| NaiveTime::from_hms_opt(23, 59, 0))?;
    // a bound in the hour that the clocks skip: the whole hour is skipped, the next one bounds as well
    let instant = |date: NaiveDate, time: NaiveTime| {
        local_time::instant(date, time, zone).or_else(|_| local_time::instant(date, time.overflowing_add_signed(Duration::hours(1)).0, zone)).ok()
    };
    Some((instant(days.first, from)?, instant(last, to)?))
}

#[cfg(test)]
mod tests;
