//! Exact dates and times only. The rich spoken language ("morgen halb zehn") is the desk's and the domain's.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use serde_json::Value;

use super::ArgumentError;

/// A wished moment: civil time in the branch's zone, or an instant because an offset was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Local(NaiveDateTime),
    Instant(DateTime<Utc>),
}

impl Moment {
    /// The instant in the branch's zone. `None` for a civil time that does not exist there (the hour the clocks skip); of a doubled hour, the first.
    #[must_use]
    pub fn in_zone<Z: TimeZone>(self, zone: &Z) -> Option<DateTime<Utc>> {
        match self {
            Self::Local(local) => zone.from_local_datetime(&local).earliest().map(|instant| instant.with_timezone(&Utc)),
            Self::Instant(instant) => Some(instant),
        }
    }
}

/// `YYYY-MM-DD` or `DD.MM.YYYY`. "15.1" is not exact: it was heard for the 15th of October (incident 57).
pub(super) fn exact_date(argument: &'static str, value: &Value) -> Result<NaiveDate, ArgumentError> {
    let text = value.as_str().map(str::trim).ok_or(ArgumentError::NotExact { argument })?;
    date_of(text).map_or(Err(ArgumentError::NotExact { argument }), |date| date.ok_or(ArgumentError::Invalid { argument }))
}

/// `HH:MM`, with seconds and "Uhr" tolerated. "3:15" is not exact: nobody comes at a quarter past three at night, so the grammar reads it (15:15, rule R1 of `domain::spoken_time`);
/// "03:15" is.
pub(super) fn exact_time(argument: &'static str, value: &Value) -> Result<NaiveTime, ArgumentError> {
    let text = value.as_str().map(str::trim).ok_or(ArgumentError::NotExact { argument })?;
    time_of(text).map_or(Err(ArgumentError::NotExact { argument }), |time| time.ok_or(ArgumentError::Invalid { argument }))
}

/// RFC 3339 with an offset, or `date time` / `dateTtime` without one.
pub(super) fn exact_moment(argument: &'static str, value: &Value) -> Result<Moment, ArgumentError> {
    let not_exact = ArgumentError::NotExact { argument };
    let text = value.as_str().map(str::trim).ok_or(not_exact)?;
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::Instant(instant.with_timezone(&Utc)));
    }
    let (date, time) = text.split_once(['T', ' ']).ok_or(not_exact)?;
    // A fraction of a second is dropped: `2025-10-22T10:00:00.000`.
    let time = time.split_once('.').map_or(time, |(time, _)| time);
    match (date_of(date.trim()), time_of(time.trim())) {
        (Some(Some(date)), Some(Some(time))) => Ok(Moment::Local(date.and_time(time))),
        (Some(_), Some(_)) => Err(ArgumentError::Invalid { argument }),
        _ => Err(not_exact),
    }
}

/// `None`: not of an exact form. `Some(None)`: of that form, but there is no such day.
#[expect(clippy::option_option, reason = "the two kinds of no are told apart and answered differently")]
fn date_of(text: &str) -> Option<Option<NaiveDate>> {
    if let Some((year, month, day)) = three(text, '-')
        && year.len() == 4
        && month.len() == 2
        && day.len() == 2
    {
        return Some(NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?));
    }
    let (day, month, year) = three(text, '.')?;
    let lengths_ok = year.len() == 4 && (1..=2).contains(&month.len()) && (1..=2).contains(&day.len());
    lengths_ok.then_some(())?;
    Some(NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))
}

#[expect(clippy::option_option, reason = "the two kinds of no are told apart and answered differently")]
fn time_of(text: &str) -> Option<Option<NaiveTime>> {
    let text = text.strip_suffix("Uhr").or_else(|| text.strip_suffix("uhr")).unwrap_or(text).trim();
    let (hour, rest) = text.split_once(':')?;
    let (minute, second) = rest.split_once(':').unwrap_or((rest, "00"));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let form_ok = (1..=2).contains(&hour.len()) && minute.len() == 2 && second.len() == 2 && digits(hour) && digits(minute) && digits(second);
    form_ok.then_some(())?;
    // a clock's face: from seven on the grammar reads the same
    if matches!(hour, "1" | "2" | "3" | "4" | "5" | "6") {
        return None;
    }
    // Appointments start on minutes; seconds other than zero are a slip of the model.
    Some(NaiveTime::from_hms_opt(hour.parse().ok()?, minute.parse().ok()?, 0).filter(|_| second.parse::<u8>().is_ok_and(|second| second < 60)))
}

fn three(text: &str, separator: char) -> Option<(&str, &str, &str)> {
    let mut parts = text.split(separator);
    let found = (parts.next()?, parts.next()?, parts.next()?);
    let digits = [found.0, found.1, found.2].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    (parts.next().is_none() && digits).then_some(found)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Berlin;
    use serde_json::json;

    use super::*;

    #[test]
    fn exact_forms_are_read_and_impossible_ones_are_invalid() {
        let date = NaiveDate::from_ymd_opt(2025, 10, 5).unwrap();
        for text in ["2025-10-05", "05.10.2025", "5.10.2025", " 2025-10-05 "] {
            assert_eq!(exact_date("date", &json!(text)), Ok(date), "{text}");
        }
        for text in ["2025-02-30", "31.11.2025", "29.02.2025", "00.00.2025"] {
            assert_eq!(exact_date("date", &json!(text)), Err(ArgumentError::Invalid { argument: "date" }), "{text}");
        }
        for text in ["5.10.", "2025-10", "2025-10-5x", "20251005", "+025-10-05"] {
            assert_eq!(exact_date("date", &json!(text)), Err(ArgumentError::NotExact { argument: "date" }), "{text}");
        }
        for text in ["09:30", "9:30", "09:30:00", "9:30 Uhr"] {
            assert_eq!(exact_time("time", &json!(text)), Ok(NaiveTime::from_hms_opt(9, 30, 0).unwrap()), "{text}");
        }
        for text in ["3:15", "3:15 Uhr", "1:00", "6:59"] {
            assert_eq!(exact_time("time", &json!(text)), Err(ArgumentError::NotExact { argument: "time" }), "{text}: one of the two halves of the day");
        }
        for (text, hour) in [("03:15", 3), ("0:15", 0), ("7:15", 7), ("12:15", 12)] {
            assert_eq!(exact_time("time", &json!(text)), Ok(NaiveTime::from_hms_opt(hour, 15, 0).unwrap()), "{text}");
        }
        assert!(matches!(exact_moment("datetime", &json!("2025-10-22 3:15")), Err(ArgumentError::NotExact { .. })));
        assert_eq!(exact_time("time", &json!("24:00")), Err(ArgumentError::Invalid { argument: "time" }));
        assert_eq!(exact_time("time", &json!("9:3")), Err(ArgumentError::NotExact { argument: "time" }));
        assert_eq!(exact_time("time", &json!(930)), Err(ArgumentError::NotExact { argument: "time" }));
    }

    #[test]
    fn a_datetime_with_an_offset_is_an_instant_and_without_one_civil_time() {
        let instant = "2025-10-22T08:00:00Z".parse::<DateTime<Utc>>().unwrap();
        for text in ["2025-10-22T08:00:00Z", "2025-10-22T10:00:00+02:00", "2025-10-22T10:00:00.000+02:00"] {
            assert_eq!(exact_moment("datetime", &json!(text)), Ok(Moment::Instant(instant)), "{text}");
        }
        for text in ["2025-10-22 10:00", "2025-10-22T10:00", "2025-10-22T10:00:00", "22.10.2025 10:00", "2025-10-22T10:00:00.000"] {
            assert_eq!(exact_moment("datetime", &json!(text)).unwrap().in_zone(&Berlin), Some(instant), "{text}");
        }
        assert!(matches!(exact_moment("datetime", &json!("2025-10-22")), Err(ArgumentError::NotExact { .. })));
    }

    /// Incident 63: the last Sundays of March and October.
    #[test]
    fn the_skipped_hour_does_not_exist_and_the_doubled_hour_is_its_first() {
        let skipped = exact_moment("datetime", &json!("2026-03-29 02:30")).unwrap();
        assert_eq!(skipped.in_zone(&Berlin), None);
        let doubled = exact_moment("datetime", &json!("2026-10-25 02:30")).unwrap();
        assert_eq!(doubled.in_zone(&Berlin).unwrap().to_rfc3339(), "2026-10-25T00:30:00+00:00");
    }
}
