//! Typed arguments of the phone functions. Which there are, under which German and English names and of which form, the registry says (`functions::arguments`).
//!
//! A language model filled them in, so: identity is never read here, an unresolved `{{template}}` counts as not given, and only exact dates and times
//! are accepted – vague ones are [`ArgumentError::NotExact`], never a guess (incident 62); as they were said they are [`Arguments::told`], for the domain's
//! grammar. Whether a date is sensible (past, too far) is the domain's question.

mod guard;
mod when;

use std::fmt;

use chrono::{NaiveDate, NaiveTime};
use serde_json::{Map, Value};

use super::lenient;
use crate::functions::Argument;
use crate::functions::arguments as named;
use crate::telemetry::Masked;

pub use when::Moment;

/// Names, addresses, numbers: a longer one is not one.
const SHORT_CHARS_MAX: usize = 200;
/// Notes and reasons are cut here: Cal.com and our tables hold no novels.
const LONG_CHARS_MAX: usize = 1_000;

/// An argument that cannot be used. Names the argument, never its value: the value is a caller's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error("the argument {argument} is missing")]
    Missing { argument: &'static str },
    #[error("the argument {argument} is not usable")]
    Invalid { argument: &'static str },
    /// A vague or incomplete expression of time: ask back.
    #[error("the argument {argument} is not an exact date or time")]
    NotExact { argument: &'static str },
}

impl ArgumentError {
    /// The canonical name of the argument.
    #[must_use]
    pub const fn argument(&self) -> &'static str {
        match self {
            Self::Missing { argument } | Self::Invalid { argument } | Self::NotExact { argument } => argument,
        }
    }
}

/// The caller's consent: three values (incident 80). `Unsaid` means "check, and ask if it is possible".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    Yes,
    No,
    Unsaid,
}

/// The arguments of one function call.
#[derive(Clone, Default, PartialEq)]
pub struct Arguments(Map<String, Value>);

impl Arguments {
    #[must_use]
    pub const fn new(arguments: Map<String, Value>) -> Self {
        Self(arguments)
    }

    /// As they came, for storing and hashing.
    #[must_use]
    pub const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The first of its names that carries a value: not null, not blank, not a word for nothing, not a template.
    fn value(&self, argument: &Argument) -> Option<&Value> {
        argument.names.iter().filter_map(|name| self.0.get(*name)).find(|value| match value {
            Value::Null => false,
            Value::String(text) => !is_placeholder(text),
            _ => true,
        })
    }

    /// Any argument as it was told, one line of at most 200 characters.
    ///
    /// # Errors
    /// Not a text or a number, or too long.
    pub fn told(&self, argument: &Argument) -> Result<Option<Masked<String>>, ArgumentError> {
        self.short_text(argument).map(|text| text.map(Masked::new))
    }

    /// Any argument as the JSON that was told: preferences may be anything.
    #[must_use]
    pub fn told_json(&self, argument: &Argument) -> Option<Masked<Value>> {
        self.value(argument).cloned().map(Masked::new)
    }

    fn short_text(&self, argument: &Argument) -> Result<Option<String>, ArgumentError> {
        let Some(value) = self.value(argument) else {
            return Ok(None);
        };
        let argument = argument.name();
        let text = lenient::text_of(value).map(|text| clean(&text)).ok_or(ArgumentError::Invalid { argument })?;
        if text.chars().count() > SHORT_CHARS_MAX {
            return Err(ArgumentError::Invalid { argument });
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn long_text(&self, argument: &Argument) -> Option<Masked<String>> {
        let text = clean(&lenient::text_of(self.value(argument)?)?);
        Some(text.chars().take(LONG_CHARS_MAX).collect::<String>()).filter(|text| !text.is_empty()).map(Masked::new)
    }

    fn exact_date(&self, argument: &Argument) -> Result<Option<NaiveDate>, ArgumentError> {
        self.value(argument).map(|value| when::exact_date(argument.name(), value)).transpose()
    }

    fn exact_time(&self, argument: &Argument) -> Result<Option<NaiveTime>, ArgumentError> {
        self.value(argument).map(|value| when::exact_time(argument.name(), value)).transpose()
    }

    /// One datetime, or a date and a time. Half of it is an error: a missing time is never filled in (incident 62).
    fn moment(&self, datetime: &Argument, date: &Argument, time: &Argument) -> Result<Option<Moment>, ArgumentError> {
        if let Some(value) = self.value(datetime) {
            return when::exact_moment(datetime.name(), value).map(Some);
        }
        match (self.exact_date(date)?, self.exact_time(time)?) {
            (Some(date), Some(time)) => Ok(Some(Moment::Local(date.and_time(time)))),
            (Some(_), None) => Err(ArgumentError::Missing { argument: time.name() }),
            (None, Some(_)) => Err(ArgumentError::Missing { argument: date.name() }),
            (None, None) => Ok(None),
        }
    }

    /// The wished start of a booking; for a cancellation the start of the appointment meant.
    ///
    /// # Errors
    /// Half given, vague, or no such date or time.
    pub fn start(&self) -> Result<Option<Moment>, ArgumentError> {
        self.moment(&named::DATETIME, &named::DATE, &named::TIME)
    }

    /// The new start of a reschedule.
    ///
    /// # Errors
    /// Half given, vague, or no such date or time.
    pub fn new_start(&self) -> Result<Option<Moment>, ArgumentError> {
        self.moment(&named::NEW_DATETIME, &named::NEW_DATE, &named::NEW_TIME)
    }

    /// The old start of a reschedule, if both parts are told. With the date alone use [`Self::old_date`] and look whether only one appointment fits.
    ///
    /// # Errors
    /// Half given, vague, or no such date or time.
    pub fn old_start(&self) -> Result<Option<Moment>, ArgumentError> {
        self.moment(&named::OLD_DATETIME, &named::OLD_DATE, &named::OLD_TIME)
    }

    /// # Errors
    /// Vague, or no such date.
    pub fn date(&self) -> Result<Option<NaiveDate>, ArgumentError> {
        self.exact_date(&named::DATE)
    }

    /// # Errors
    /// Vague, or no such time.
    pub fn time(&self) -> Result<Option<NaiveTime>, ArgumentError> {
        self.exact_time(&named::TIME)
    }

    /// # Errors
    /// Vague, or no such date.
    pub fn old_date(&self) -> Result<Option<NaiveDate>, ArgumentError> {
        self.exact_date(&named::OLD_DATE)
    }

    /// # Errors
    /// Vague, or no such time.
    pub fn old_time(&self) -> Result<Option<NaiveTime>, ArgumentError> {
        self.exact_time(&named::OLD_TIME)
    }

    /// The name as spoken; whether it can be a name is the domain's question (incident 49).
    ///
    /// # Errors
    /// Not a text, or too long to be a name.
    pub fn customer_name(&self) -> Result<Option<Masked<String>>, ArgumentError> {
        self.short_text(&named::CUSTOMER_NAME).map(|text| text.map(Masked::new))
    }

    /// # Errors
    /// Not a text, or too long.
    pub fn customer_email(&self) -> Result<Option<Masked<String>>, ArgumentError> {
        self.short_text(&named::CUSTOMER_EMAIL).map(|text| text.map(Masked::new))
    }

    /// A number the caller told. Not the caller's identity: that is the number they call from.
    ///
    /// # Errors
    /// Not a text, or too long.
    pub fn customer_phone(&self) -> Result<Option<Masked<String>>, ArgumentError> {
        self.short_text(&named::CUSTOMER_PHONE).map(|text| text.map(Masked::new))
    }

    /// The service by name or id, as told.
    ///
    /// # Errors
    /// Not a text, or too long.
    pub fn service(&self) -> Result<Option<String>, ArgumentError> {
        self.short_text(&named::SERVICE)
    }

    /// The staff member by name or id, as told: never substitute silently (incident 55).
    ///
    /// # Errors
    /// Not a text, or too long.
    pub fn staff(&self) -> Result<Option<Masked<String>>, ArgumentError> {
        self.short_text(&named::STAFF).map(|text| text.map(Masked::new))
    }

    /// The number of an appointment as told. A hint to be checked against the caller's own appointments, never a proof.
    #[must_use]
    pub fn appointment_hint(&self) -> Option<i64> {
        self.value(&named::APPOINTMENT).and_then(lenient::whole_of)
    }

    /// Minutes, if the caller wants a certain length.
    ///
    /// # Errors
    /// Not a whole number from 1 to 1440.
    pub fn duration_minutes(&self) -> Result<Option<u32>, ArgumentError> {
        let Some(value) = self.value(&named::DURATION) else {
            return Ok(None);
        };
        let minutes = lenient::whole_of(value).filter(|minutes| (1..=1_440).contains(minutes));
        minutes.and_then(|minutes| u32::try_from(minutes).ok()).map(Some).ok_or(ArgumentError::Invalid { argument: named::DURATION.name() })
    }

    /// Why, in the caller's words; cut at 1000 characters.
    #[must_use]
    pub fn reason(&self) -> Option<Masked<String>> {
        self.long_text(&named::REASON)
    }

    /// What else the business should know; cut at 1000 characters.
    #[must_use]
    pub fn notes(&self) -> Option<Masked<String>> {
        self.long_text(&named::NOTES)
    }

    /// Whether the caller agreed. Null, absent and anything unclear are `Unsaid` (incident 80).
    #[must_use]
    pub fn confirmation(&self) -> Confirmation {
        let word = match self.value(&named::CONFIRM) {
            Some(Value::Bool(true)) => return Confirmation::Yes,
            Some(Value::Bool(false)) => return Confirmation::No,
            Some(Value::String(word)) => word.trim().to_lowercase(),
            _ => return Confirmation::Unsaid,
        };
        match word.as_str() {
            "true" | "ja" | "yes" => Confirmation::Yes,
            "false" | "nein" | "no" => Confirmation::No,
            _ => Confirmation::Unsaid,
        }
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        // Names come from the agent's configuration; a wild one is shown only in part.
        let shown: Vec<String> = names.iter().take(20).map(|name| name.chars().take(40).collect()).collect();
        write!(formatter, "Arguments({})", shown.join(", "))
    }
}

/// Values that agents carried in their own templates and told as the caller's (incident 66): that date, and numbers that only count.
const TEMPLATE_VALUES: &[&str] = &["16.05.2024", "2024-05-16", "+491234567890", "+49123456789", "01234567890", "0123456789", "1234567890", "123456789"];

/// Blank, a word that models use for nothing, a template that nobody resolved (incident 65), or a template's own value (incident 66).
fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let nothing = ["null", "none", "undefined", "n/a", "nil"].iter().any(|word| text.eq_ignore_ascii_case(word));
    text.is_empty() || nothing || (text.contains("{{") && text.contains("}}")) || TEMPLATE_VALUES.contains(&text)
}

/// One line without control characters and without blanks at its ends.
fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> Arguments {
        match value {
            Value::Object(map) => Arguments::new(map),
            _ => panic!("an object"),
        }
    }

    fn local(date: &str, time: &str) -> Moment {
        Moment::Local(date.parse::<NaiveDate>().unwrap().and_time(time.parse().unwrap()))
    }

    #[test]
    fn german_and_english_names_mean_the_same() {
        let german = arguments(
            json!({"datum":"22.10.2025","uhrzeit":"10:15","name":"Jörg Müller","telefonnummer":"+4915112345678","dienstleistung":"Herrenhaarschnitt","mitarbeiter":"Rieke","bestaetigung":true}),
        );
        let english = arguments(
            json!({"date":"2025-10-22","time":"10:15","customer_name":"Jörg Müller","customer_phone":"+4915112345678","service_name":"Herrenhaarschnitt","staff":"Rieke","confirm":"yes"}),
        );
        for told in [german, english] {
            assert_eq!(told.start().unwrap(), Some(local("2025-10-22", "10:15:00")));
            assert_eq!(told.customer_name().unwrap().unwrap().as_str(), "Jörg Müller");
            assert_eq!(told.customer_phone().unwrap().unwrap().as_str(), "+4915112345678");
            assert_eq!(told.service().unwrap().unwrap(), "Herrenhaarschnitt");
            assert_eq!(told.staff().unwrap().unwrap().as_str(), "Rieke");
            assert_eq!(told.confirmation(), Confirmation::Yes);
        }
        let moved = arguments(json!({"old_date":"2025-10-06","old_time":"9:00","new_datum":"07.10.2025","new_uhrzeit":"16:00 Uhr"}));
        assert_eq!(moved.old_start().unwrap(), Some(local("2025-10-06", "09:00:00")));
        assert_eq!(moved.new_start().unwrap(), Some(local("2025-10-07", "16:00:00")));
    }

    #[test]
    fn dates_and_times_are_had_one_by_one() {
        let told = arguments(json!({"uhrzeit": "10:15", "datum": "22.10.2025", "altes_datum": "06.10.2025", "alte_uhrzeit": "9:00"}));
        let (day, time) = (|day| NaiveDate::from_ymd_opt(2025, 10, day), |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0));
        assert_eq!((told.date().unwrap(), told.time().unwrap()), (day(22), time(10, 15)));
        assert_eq!((told.old_date().unwrap(), told.old_time().unwrap()), (day(6), time(9, 0)));
        assert_eq!(told.old_start().unwrap(), Some(local("2025-10-06", "09:00:00")));
    }

    /// Incident 62: no date or no time means ask, never a default.
    #[test]
    fn half_a_moment_is_never_completed() {
        assert_eq!(arguments(json!({"date":"2025-10-22"})).start(), Err(ArgumentError::Missing { argument: "time" }));
        assert_eq!(arguments(json!({"uhrzeit":"10:00"})).start(), Err(ArgumentError::Missing { argument: "date" }));
        assert_eq!(arguments(json!({})).start(), Ok(None));
        for vague in ["diese Woche", "morgen", "heute", "15.1", "22.10.", "22.10.25", "next friday"] {
            let told = arguments(json!({"date": vague, "time": "10:00"}));
            assert_eq!(told.start(), Err(ArgumentError::NotExact { argument: "date" }), "{vague}");
        }
        for vague in ["vormittags", "10", "gegen 10 Uhr", "halb zehn"] {
            let told = arguments(json!({"date":"2025-10-22","time": vague}));
            assert_eq!(told.start(), Err(ArgumentError::NotExact { argument: "time" }), "{vague}");
        }
    }

    /// Incident 65: unresolved templates; incident 80: null is not false.
    #[test]
    fn templates_and_words_for_nothing_count_as_not_given() {
        for nothing in [json!("{{new_datum}}"), json!("am {{tag}}"), json!(""), json!("  "), json!(null), json!("None"), json!("undefined")] {
            let told = arguments(json!({"date": nothing, "datum": "2025-10-22", "name": nothing, "bestaetigung": nothing}));
            assert_eq!(told.date().unwrap(), NaiveDate::from_ymd_opt(2025, 10, 22));
            assert_eq!(told.customer_name().unwrap(), None);
            assert_eq!(told.confirmation(), Confirmation::Unsaid);
        }
        for no in [json!(false), json!("Nein"), json!("no"), json!("false")] {
            assert_eq!(arguments(json!({"bestaetigung": no})).confirmation(), Confirmation::No);
        }
        for yes in [json!(true), json!("Ja"), json!("yes"), json!("true")] {
            assert_eq!(arguments(json!({"bestaetigung": yes})).confirmation(), Confirmation::Yes);
        }
        for text in ["a {{ b", "a }} b", "Nullmeier"] {
            assert_eq!(arguments(json!({"name": text})).customer_name().unwrap().unwrap().as_str(), text, "no template");
        }
        assert_eq!(arguments(json!({"bestaetigung": "vielleicht"})).confirmation(), Confirmation::Unsaid);
        assert_eq!(arguments(json!({})).confirmation(), Confirmation::Unsaid);
    }

    #[test]
    fn errors_and_debug_name_the_argument_and_never_the_value() {
        let told = arguments(json!({"customer_name": "Erika".repeat(100), "date": "Erika", "customer_email": {"a": 1}, "duration": "Erika"}));
        let errors = [told.customer_name().unwrap_err(), told.date().unwrap_err(), told.customer_email().unwrap_err(), told.duration_minutes().unwrap_err()];
        for error in errors {
            assert!(!format!("{error} {error:?} {told:?}").contains("Erika"));
        }
        assert_eq!(errors[1].argument(), "date");
        assert_eq!(format!("{told:?}"), "Arguments(customer_email, customer_name, date, duration)");
    }

    #[test]
    fn long_words_are_cut_and_control_characters_go() {
        let told = arguments(json!({"reason": "ä".repeat(2_000), "notes": "eins\r\nzwei\u{0}drei", "service_id": 7, "termin_id": "672"}));
        assert_eq!(told.reason().unwrap().as_str().chars().count(), 1_000);
        assert_eq!(told.notes().unwrap().as_str(), "eins zwei drei");
        assert_eq!(told.service().unwrap().unwrap(), "7");
        assert_eq!(told.appointment_hint(), Some(672));
        assert_eq!(arguments(json!({"name": "ä".repeat(200)})).customer_name().unwrap().unwrap().as_str().chars().count(), 200);
        assert!(arguments(json!({"name": "ä".repeat(201)})).customer_name().is_err());
    }
}
