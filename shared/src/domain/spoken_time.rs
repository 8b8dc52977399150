//! Spoken German time: "übermorgen Nachmittag", "halb zehn", "am Mittwoch, den 19. November um Viertel nach drei" → a value, or a question back.
//!
//! Pure: text, now and the branch's zone in, a [`Meaning`] out; no clock, no I/O. What is ambiguous is asked, never guessed (incidents 57 to 62): only
//! [`Meaning::Moment`] may book, and its full date is read back to the caller. Not here: exact machine forms with an offset (`wire::arguments`), opening
//! hours, notice and horizon of a company (policies), free slots.
//!
//! text → [`tokens`] (vocabulary in [`words`], [`numbers`]) → [`grammar`] → [`said`] → [`resolve`] → [`meaning`]; [`speak`] says a meaning in German, so
//! that [`understand`] reads the same back. The rules R1 to R9 stand in the heads of `resolve`, `resolve/dates` and `resolve/times`; the table
//! `spoken_time/phrases.txt` was written before all of them. Called by `desk` (parse_date, availability) and whoever has a date in words.

mod grammar;
mod meaning;
mod numbers;
mod resolve;
mod said;
pub mod speak;
mod tokens;
mod words;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

pub use meaning::{Days, Meaning, Part, Question, READINGS_MAX, Reading, Reason, Refusal, Times};

use meaning::Stop;
use resolve::Now;
use said::{Base, Day, Said};
use tokens::Token;

/// A sentence about a time is shorter; more is a transcript, in which a date would be found by chance.
pub const CHARS_MAX: usize = 200;

/// What `text` means, said at `now` to a branch in `zone`.
#[must_use]
pub fn understand(text: &str, now: DateTime<Utc>, zone: Tz) -> Meaning {
    if text.chars().count() > CHARS_MAX {
        return Meaning::Refuse(Refusal::TooLong);
    }
    meaning_of(text, Now { at: now, zone }).unwrap_or_else(Meaning::from)
}

fn meaning_of(text: &str, now: Now) -> Result<Meaning, Stop> {
    let tokens = tokens::tokens(text)?;
    match choices(&tokens)[..] {
        [] => Err(Stop::Refuse(Refusal::NotUnderstood)),
        [only] => resolve::resolve(&grammar::read(only)?, now),
        ref several => Err(several_choices(several, now)?),
    }
}

/// The parts between "oder", "nein" and those "und" that do not belong to "zwischen".
fn choices(tokens: &[Token]) -> Vec<&[Token]> {
    let mut open_ranges = 0_usize;
    let separates = |token: &Token| match token {
        Token::Between => {
            open_ranges += 1;
            false
        }
        Token::And if open_ranges > 0 => {
            open_ranges -= 1;
            false
        }
        Token::And | Token::Or => true,
        _ => false,
    };
    tokens.split(separates).filter(|part| !part.is_empty()).collect()
}

/// "Montag oder Dienstag": the caller chooses, with what each part would have meant.
///
/// # Errors
/// When a part is not understood at all.
fn several_choices(parts: &[&[Token]], now: Now) -> Result<Stop, Stop> {
    let mut said = parts.iter().map(|part| grammar::read(part)).collect::<Vec<_>>();
    share_week(&mut said);
    let mut readings: Vec<Reading> = Vec::new();
    for said in said {
        match said.and_then(|said| resolve::resolve(&said, now)) {
            Ok(meaning) => readings.extend(reading(&meaning)),
            Err(Stop::Ask(Question { reason: Reason::DayOrTime, readings: either })) => {
                // "Um zehn oder elf": after a time a bare number is one.
                let after_time = readings.last().is_some_and(|last| last.time.is_some());
                readings.extend(either.into_iter().filter(|reading| !after_time || reading.date.is_none()));
            }
            Err(Stop::Ask(question)) => readings.extend(question.readings),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(Stop::asking(Reason::Several, readings))
}

/// "Nächste Woche Dienstag oder Mittwoch": the week is said once for all weekdays.
fn share_week(parts: &mut [Result<Said, Stop>]) {
    let week = parts.iter().flatten().flat_map(|said| &said.days).find(|day| matches!(day.base, Base::Week(_, None))).copied();
    for said in parts.iter_mut().flatten() {
        if let [Day { base: Base::Weekday(None, _), later: None }] = said.days[..] {
            said.days.extend(week);
        }
    }
}

fn reading(meaning: &Meaning) -> Option<Reading> {
    match *meaning {
        Meaning::Date(date) | Meaning::Part { date: Some(date), .. } => Some(Reading { date: Some(date), time: None }),
        Meaning::Time(time) => Some(Reading { date: None, time: Some(time) }),
        Meaning::Range { days: Some(Days { first, last: Some(last) }), .. } if first == last => Some(Reading { date: Some(first), time: None }),
        Meaning::Moment { local, .. } => Some(Reading { date: Some(local.date()), time: Some(local.time()) }),
        _ => None,
    }
}
