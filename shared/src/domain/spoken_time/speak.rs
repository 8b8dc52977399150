//! A meaning in German, so that a person understands it and [`super::understand`] reads the same back. Not the sentence of a question or a refusal: `texts::times`.
//!
//! Figures, not number words: the voice reads "14 Uhr 30" well. The year is said where the date alone would surprise. Called by whoever answers a caller.

use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};

use super::meaning::{Days, Meaning, Part, Reading, Times};
use crate::domain::local_time;

/// Farther dates are told with their year.
const YEAR_UNSAID_DAYS: i64 = 180;

/// The case of a date in its sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// "Dienstag, der 15. Januar"
    Nominative,
    /// "am Dienstag, dem 15. Januar"
    Dative,
    /// "Meinen Sie Dienstag, den 15. Januar?"
    Accusative,
}

/// "Dienstag, der 15. Januar", with the year if it is far from today or over.
#[must_use]
pub fn date(date: NaiveDate, case: Case, today: NaiveDate) -> String {
    let article = match case {
        Case::Nominative => "der",
        Case::Dative => "dem",
        Case::Accusative => "den",
    };
    let day = format!("{}, {article} {}. {}", local_time::weekday(date.weekday()), date.day(), local_time::month(date.month()));
    if (0..=YEAR_UNSAID_DAYS).contains(&(date - today).num_days()) { day } else { format!("{day} {}", date.year()) }
}

/// "14 Uhr 30", "10 Uhr"; the hours that would be heard as the afternoon's say that they are not.
#[must_use]
pub fn time(time: NaiveTime) -> String {
    let minute = if time.minute() == 0 { String::new() } else { format!(" {:02}", time.minute()) };
    let daytime = match time.hour() {
        1..=3 => " nachts",
        4..=6 => " morgens",
        _ => "",
    };
    format!("{} Uhr{minute}{daytime}", time.hour())
}

/// A value in words; `None` for a question or a refusal: those have a sentence of the catalogue.
#[must_use]
pub fn value(meaning: &Meaning, today: NaiveDate) -> Option<String> {
    Some(match meaning {
        Meaning::Date(day) => date(*day, Case::Nominative, today),
        Meaning::Time(at) => time(*at),
        Meaning::Moment { local, .. } => moment(local.date(), local.time(), Case::Nominative, today),
        Meaning::Part { date: Some(day), part } => format!("{}, {}", date(*day, Case::Nominative, today), part_of_day(*part)),
        Meaning::Part { date: None, part } => part_of_day(*part).to_owned(),
        Meaning::Range { days, times } => range(*days, *times, today),
        Meaning::Ask(_) | Meaning::Refuse(_) => return None,
    })
}

fn moment(day: NaiveDate, at: NaiveTime, case: Case, today: NaiveDate) -> String {
    format!("{} um {}", date(day, case, today), time(at))
}

const fn part_of_day(part: Part) -> &'static str {
    match part {
        Part::Early => "am Morgen",
        Part::Forenoon => "am Vormittag",
        Part::Noon => "am Mittag",
        Part::Afternoon => "am Nachmittag",
        Part::Evening => "am Abend",
    }
}

fn range(days: Option<Days>, times: Option<Times>, today: NaiveDate) -> String {
    let dative = |day: NaiveDate| date(day, Case::Dative, today);
    let days = days.map(|days| match days.last {
        Some(last) if last == days.first && times.is_some_and(|times| times.from != times.to) => date(last, Case::Nominative, today),
        Some(last) => format!("von {} bis {}", dative(days.first), dative(last)),
        None => format!("ab {}", dative(days.first)),
    });
    let times = times.map(|times| match (times.from, times.to) {
        (Some(from), Some(to)) if from == to => format!("um {}", time(from)),
        (Some(from), Some(to)) => format!("zwischen {} und {}", time(from), time(to)),
        (Some(from), None) => format!("ab {}", time(from)),
        (None, to) => to.map(|to| format!("bis {}", time(to))).unwrap_or_default(),
    });
    [days, times].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A choice as it stands after "Meinen Sie".
fn reading(reading: Reading, today: NaiveDate) -> Option<String> {
    match (reading.date, reading.time) {
        (Some(day), Some(at)) => Some(moment(day, at, Case::Accusative, today)),
        (Some(day), None) => Some(date(day, Case::Accusative, today)),
        (None, at) => at.map(time),
    }
}

/// Choices as people say them: "A, B oder C". Empty if there are none.
#[must_use]
pub fn choices(readings: &[Reading], today: NaiveDate) -> String {
    let words: Vec<String> = readings.iter().filter_map(|one| reading(*one, today)).collect();
    match &words[..] {
        [] => String::new(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} oder {last}", others.join(", ")),
    }
}
