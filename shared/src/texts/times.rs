//! The sentence of a question or a refusal about a spoken time: `domain::spoken_time` finds what must be asked, the catalogue has the words.
//!
//! Not the words of a day or a time themselves (`domain::spoken_time::speak`). Called by whoever answers a caller.

use chrono::NaiveDate;

use super::{Key, Sentence};
use crate::domain::spoken_time::{Question, Reason, Refusal, speak};

/// Everything that may be said when a time was told: what a function with a spoken time may say besides its own texts.
pub const ALL: [Key; 17] = [
    Key::TimeIsOver,
    Key::ThatIsOver,
    Key::ThatIsOverMeant,
    Key::FarAhead,
    Key::WeekdayMismatch,
    Key::DayMissing,
    Key::WhichOfTimes,
    Key::MeantTime,
    Key::WhichMidnight,
    Key::TimeUnclear,
    Key::FirstOfSeries,
    Key::AskExactTime,
    Key::AskDayAndTime,
    Key::NoSuchDate,
    Key::NoSuchClockTime,
    Key::TimeNotUnderstood,
    Key::TooMuchSaid,
];

/// What to ask back. Each names what the caller can say next.
#[must_use]
pub fn question(question: &Question, today: NaiveDate) -> String {
    let all = speak::choices(&question.readings, today);
    if all.is_empty() {
        // without choices there are no slots: the text is the sentence
        return without_choices(question.reason).german().to_owned();
    }
    let choices = all.as_str();
    match question.reason {
        Reason::Past => over(question, today),
        Reason::Far => Sentence::FarAhead { date: choices }.german(),
        Reason::WeekdayMismatch => Sentence::WeekdayMismatch { choices }.german(),
        Reason::DayMissing => Sentence::DayMissing { choices }.german(),
        Reason::Several if question.readings.len() > 1 => Sentence::WhichOfTimes { choices }.german(),
        _ => Sentence::MeantTime { choices }.german(),
    }
}

/// The first reading is what was said, the others may have been meant.
fn over(question: &Question, today: NaiveDate) -> String {
    let (said, others) = question.readings.split_at(1);
    let (said, others) = (speak::choices(said, today), speak::choices(others, today));
    if others.is_empty() { Sentence::ThatIsOver { said: &said }.german() } else { Sentence::ThatIsOverMeant { said: &said, choices: &others }.german() }
}

/// The question of a reason that has no choices to offer.
const fn without_choices(reason: Reason) -> Key {
    match reason {
        Reason::Past => Key::TimeIsOver,
        Reason::Midnight => Key::WhichMidnight,
        Reason::Several | Reason::Contradiction => Key::TimeUnclear,
        Reason::Recurring => Key::FirstOfSeries,
        Reason::MorningOrEvening | Reason::Quarter => Key::AskExactTime,
        _ => Key::AskDayAndTime,
    }
}

/// What to say instead of a value. No slots: the text is the sentence.
#[must_use]
pub const fn refusal(refusal: Refusal) -> Key {
    match refusal {
        Refusal::NoSuchDate => Key::NoSuchDate,
        Refusal::NoSuchTime => Key::NoSuchClockTime,
        Refusal::SkippedHour => Key::NoSuchTime,
        Refusal::NotUnderstood => Key::TimeNotUnderstood,
        Refusal::TooLong => Key::TooMuchSaid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::spoken_time::Reading;

    /// A choice that is cut off would be another time: the longest list of choices fits its slot whole.
    #[test]
    fn the_longest_list_of_choices_is_said_whole() {
        let reading = Reading { date: NaiveDate::from_ymd_opt(2026, 9, 24), time: chrono::NaiveTime::from_hms_opt(14, 30, 0) };
        let today = NaiveDate::from_ymd_opt(2026, 1, 5).unwrap();
        let readings = vec![reading; crate::domain::spoken_time::READINGS_MAX];
        for reason in Reason::ALL {
            let said = question(&Question { reason, readings: readings.clone() }, today);
            assert_eq!(said.matches("Donnerstag, den 24. September 2026 um 14 Uhr 30").count(), readings.len(), "{reason:?}: {said}");
            assert_eq!(crate::texts::lint::faults(&said), [], "{said}");
        }
    }

    #[test]
    fn every_question_without_choices_and_every_refusal_is_a_whole_sentence_of_the_list() {
        let keys = Reason::ALL.map(without_choices).into_iter().chain(Refusal::ALL.map(refusal));
        for key in keys {
            assert!(key.slots().is_empty(), "{key:?}");
            assert!(ALL.contains(&key) || key == Key::NoSuchTime, "{key:?}");
        }
    }
}
