//! Civil time of a branch ↔ instants. Policy for the two odd hours of a year: a time that does not exist is refused, a time that exists twice is the earlier.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc, Weekday};
use chrono_tz::Tz;

/// Why a civil time is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalTimeError {
    #[error("the time zone is not an IANA name")]
    UnknownZone,
    /// The clock jumps over it (last Sunday of March in Germany).
    #[error("this local time does not exist on that day")]
    Gap,
}

/// The zone of that IANA name.
///
/// # Errors
/// When there is none.
pub fn zone(name: &str) -> Result<Tz, LocalTimeError> {
    name.parse().map_err(|_| LocalTimeError::UnknownZone)
}

/// The instant of a civil date and time in a zone.
///
/// # Errors
/// When the clock jumps over it.
pub fn instant(date: NaiveDate, time: NaiveTime, zone: Tz) -> Result<DateTime<Utc>, LocalTimeError> {
    match zone.from_local_datetime(&NaiveDateTime::new(date, time)) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Ok(at.with_timezone(&Utc)),
        LocalResult::None => Err(LocalTimeError::Gap),
    }
}

/// An instant as a German sentence part: "Donnerstag, den 26. November um 10 Uhr" or "… um 10 Uhr 30".
#[must_use]
pub fn spoken(at: DateTime<Utc>, zone: Tz) -> String {
    let local = at.with_timezone(&zone);
    format!("{}, den {}. {} um {}", weekday(local.weekday()), local.day(), month(local.month()), spoken_time(local.time()))
}

/// A time of day as it is said: "10 Uhr", "10 Uhr 30".
#[must_use]
pub fn spoken_time(time: NaiveTime) -> String {
    if time.minute() == 0 { format!("{} Uhr", time.hour()) } else { format!("{} Uhr {:02}", time.hour(), time.minute()) }
}

/// The German name of a weekday.
#[must_use]
pub const fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Montag",
        Weekday::Tue => "Dienstag",
        Weekday::Wed => "Mittwoch",
        Weekday::Thu => "Donnerstag",
        Weekday::Fri => "Freitag",
        Weekday::Sat => "Samstag",
        Weekday::Sun => "Sonntag",
    }
}

/// The German name of a month, 1 to 12.
#[must_use]
pub const fn month(month: u32) -> &'static str {
    match month {
        1 => "Januar",
        2 => "Februar",
        3 => "März",
        4 => "April",
        5 => "Mai",
        6 => "Juni",
        7 => "Juli",
        8 => "August",
        9 => "September",
        10 => "Oktober",
        11 => "November",
        _ => "Dezember",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i32, month: u32, day: u32, hour: u32, minute: u32) -> Result<DateTime<Utc>, LocalTimeError> {
        instant(NaiveDate::from_ymd_opt(year, month, day).unwrap(), NaiveTime::from_hms_opt(hour, minute, 0).unwrap(), chrono_tz::Europe::Berlin)
    }

    /// Incident 63: Berlin time was compared with UTC.
    #[test]
    fn berlin_is_one_hour_ahead_in_winter_and_two_in_summer() {
        assert_eq!(at(2026, 11, 26, 10, 0).unwrap().to_rfc3339(), "2026-11-26T09:00:00+00:00");
        assert_eq!(at(2026, 7, 6, 10, 0).unwrap().to_rfc3339(), "2026-07-06T08:00:00+00:00");
    }

    /// Faults E6: the last Sundays of March and October.
    #[test]
    fn a_gap_is_refused_and_an_overlap_is_the_earlier_hour() {
        assert_eq!(at(2026, 3, 29, 2, 30), Err(LocalTimeError::Gap));
        assert_eq!(at(2026, 10, 25, 2, 30).unwrap().to_rfc3339(), "2026-10-25T00:30:00+00:00");
    }

    #[test]
    fn an_instant_is_spoken_in_the_zone() {
        let ten = at(2026, 11, 26, 10, 0).unwrap();
        assert_eq!(spoken(ten, chrono_tz::Europe::Berlin), "Donnerstag, den 26. November um 10 Uhr");
        assert_eq!(spoken(at(2026, 3, 2, 9, 5).unwrap(), chrono_tz::Europe::Berlin), "Montag, den 2. März um 9 Uhr 05");
    }
}
