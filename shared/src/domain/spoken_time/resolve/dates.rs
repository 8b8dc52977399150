//! One day expression + today → dates. Calendar only; how expressions that stand side by side combine is `days`.
//!
//! - R3 "Nächster" and "kommender" weekday: the next in the calendar, never today. The former system had three rules (domain reference 4.6); this one had
//!   its tests. A bare weekday that is today's is asked (R2); with "in einer Woche" it counts from today.
//! - R4 "Nächste Woche X": the X of the next ISO week, Sunday included. The reference's contradiction (Mon 2025-10-20, Wednesday: 22nd or 29th) is decided for
//!   the 29th.
//! - R6 A date without a year is the next one. Over for at most 7 days it is asked as over; a year later by more than 11 months it is asked as far. Day and
//!   month both as numbers, over and in this month: asked, with the same day of the next month as a choice (the reference took that in silence for "5.10",
//!   but a year later for "5. November"; incident 60).
//! - R6a "15.1" (nothing behind the 1) above day 10 and after February: a cut-off "15.10" in October (incident 57). Other months have no such
//!   evidence, so there, and for "fünfzehnter erster" in October, both readings are asked.
//! - R7 A year that was said: over is asked, with the next year as a choice if that is to come (the former system took it in silence). More than 12 months
//!   ahead is asked.
//! - R8 "Am 3.": the next third, today included. If the month it falls in has no such day: asked.

use chrono::{Datelike, Days as Count, Duration, Months, NaiveDate, Weekday};

use super::super::meaning::{Days, Reason, Refusal, Stop};
use super::super::said::{Base, Day, Month, Offset, Style, Written, Year};
use super::super::tokens::{Relative, Third};

const NO_SUCH_DATE: Stop = Stop::Refuse(Refusal::NoSuchDate);
/// R6: the reference's "7 days past is kept".
const PAST_DAYS: i64 = 7;
/// R6: the reference's "then ask back: > 11 months".
const UNSAID_YEAR: Months = Months::new(11);
/// R7, incident 60; the horizon of booking is 12 months, too (domain reference 4.5).
const HORIZON: Months = Months::new(12);

/// What the day words mean together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dates {
    None,
    Sure(NaiveDate),
    Either(Reason, Vec<NaiveDate>),
    Span(Days),
}

/// # Errors
/// No such date.
pub(super) fn one(day: Day, today: NaiveDate) -> Result<Dates, Stop> {
    let dates = match day.base {
        Base::Plus(days) => Dates::Sure(plus(today, days)?),
        Base::Weekday(relative, weekday) => weekday_dates(relative, weekday, day.later.is_some(), today)?,
        Base::Date(written) => return written_date(written, today),
        Base::DayOfMonth(number) => return day_of_month(number, today),
        Base::Ahead(Offset::Days(8)) => Dates::Either(Reason::EightDays, vec![plus(today, 7)?, plus(today, 8)?]),
        Base::Ahead(offset) => moved(today, offset)?,
        Base::Week(relative, third) => return week(relative, third, today),
        Base::Weekend(relative) => return weekend(relative, today),
        Base::Month(month, third) => return month_dates(month, today, |first| third_of(first, third, today)),
        Base::NthWeekday(nth, weekday, month) => return month_dates(month, today, |first| nth_weekday(first, nth, weekday, today)),
        Base::Within(offset) => match moved(today, offset)? {
            Dates::Sure(last) => span(today, last, today)?,
            other => other,
        },
    };
    match (dates, day.later) {
        (Dates::Sure(date), Some(later)) => checked(moved(date, later)?, today),
        (dates, _) => checked(dates, today),
    }
}

/// A sure date that is over, or beyond the horizon, is asked.
pub(super) fn checked(dates: Dates, today: NaiveDate) -> Result<Dates, Stop> {
    let Dates::Sure(date) = dates else {
        return Ok(dates);
    };
    Ok(if date < today {
        Dates::Either(Reason::Past, vec![date])
    } else if date > ahead(today, HORIZON)? {
        Dates::Either(Reason::Far, vec![date])
    } else {
        Dates::Sure(date)
    })
}

pub(super) fn plus(date: NaiveDate, days: i64) -> Result<NaiveDate, Stop> {
    date.checked_add_signed(Duration::days(days)).ok_or(NO_SUCH_DATE)
}

fn ahead(date: NaiveDate, months: Months) -> Result<NaiveDate, Stop> {
    date.checked_add_months(months).ok_or(NO_SUCH_DATE)
}

/// Later by an offset; "in einem Monat" from the 31st may have no such day.
fn moved(date: NaiveDate, offset: Offset) -> Result<Dates, Stop> {
    match offset {
        Offset::Days(days) => plus(date, days).map(Dates::Sure),
        Offset::Weeks(weeks) => plus(date, weeks * 7).map(Dates::Sure),
        Offset::Months(months) => {
            // chrono goes to the month's last day where the day is missing.
            let moved = ahead(date, Months::new(months))?;
            Ok(if moved.day() == date.day() { Dates::Sure(moved) } else { Dates::Either(Reason::DayMissing, vec![moved, plus(moved, 1)?]) })
        }
        Offset::Minutes(_) => Err(Stop::Refuse(Refusal::NotUnderstood)),
    }
}

/// The next such weekday, today included.
pub(super) fn from_today(weekday: Weekday, today: NaiveDate) -> Result<NaiveDate, Stop> {
    plus(today, i64::from(weekday.days_since(today.weekday())))
}

fn weekday_dates(relative: Option<Relative>, weekday: Weekday, counts_on: bool, today: NaiveDate) -> Result<Dates, Stop> {
    let next = from_today(weekday, plus(today, 1)?)?;
    Ok(match relative {
        None | Some(Relative::This) if weekday == today.weekday() && !counts_on => Dates::Either(Reason::TodayOrNextWeek, vec![today, next]),
        None | Some(Relative::This) => Dates::Sure(from_today(weekday, today)?),
        Some(Relative::Next) => Dates::Sure(next),
        Some(Relative::AfterNext) => Dates::Sure(plus(next, 7)?),
        Some(Relative::Last) => Dates::Sure(plus(from_today(weekday, today)?, -7)?),
    })
}

/// R4.
pub(super) fn in_week(relative: Relative, weekday: Weekday, today: NaiveDate) -> Result<Dates, Stop> {
    let date = plus(monday(relative, today)?, i64::from(weekday.num_days_from_monday()))?;
    checked(Dates::Sure(date), today)
}

/// "In zwei Wochen am Montag": of that week, or the Monday to come plus two weeks.
pub(super) fn weeks_ahead(weeks: i64, weekday: Weekday, today: NaiveDate) -> Result<Dates, Stop> {
    let of_week = plus(monday(Relative::This, today)?, weeks * 7 + i64::from(weekday.num_days_from_monday()))?;
    let counted = plus(from_today(weekday, today)?, weeks * 7)?;
    if of_week == counted { checked(Dates::Sure(counted), today) } else { Ok(Dates::Either(Reason::WhichWeek, vec![of_week, counted])) }
}

fn monday(relative: Relative, today: NaiveDate) -> Result<NaiveDate, Stop> {
    plus(today, i64::from(relative.steps()) * 7 - i64::from(today.weekday().num_days_from_monday()))
}

/// Words like "Anfang" are soft, so the thirds of a week overlap: a range is searched, never booked.
fn week(relative: Relative, third: Option<Third>, today: NaiveDate) -> Result<Dates, Stop> {
    let monday = monday(relative, today)?;
    let (first, last) = match third {
        None => (0, 6),
        Some(Third::First) => (0, 1),
        Some(Third::Middle) => (1, 3),
        Some(Third::Last) => (3, 5),
    };
    span(plus(monday, first)?, plus(monday, last)?, today)
}

/// "Nächstes Wochenende" is the next in the calendar, like a weekday (R3); what is left of this one is "am Wochenende".
fn weekend(relative: Option<Relative>, today: NaiveDate) -> Result<Dates, Stop> {
    let has_begun = today.weekday().num_days_from_monday() >= 5;
    let weeks = match relative {
        None | Some(Relative::This) => 0,
        Some(Relative::Next) => i64::from(has_begun),
        Some(Relative::AfterNext) => i64::from(has_begun) + 1,
        Some(Relative::Last) => -1,
    };
    let saturday = plus(monday(Relative::This, today)?, 5 + weeks * 7)?;
    span(saturday, plus(saturday, 1)?, today)
}

/// Days that are over, or beyond the horizon, are no choice.
pub(super) fn span(first: NaiveDate, last: NaiveDate, today: NaiveDate) -> Result<Dates, Stop> {
    if last < today {
        return Ok(Dates::Either(Reason::Past, Vec::new()));
    }
    let horizon = ahead(today, HORIZON)?;
    if first > horizon {
        return Ok(Dates::Either(Reason::Far, vec![first]));
    }
    Ok(Dates::Span(Days { first: first.max(today), last: Some(last.min(horizon)) }))
}

/// The first day of a month, counted from the present one.
pub(super) fn shifted_month(today: NaiveDate, months: i32) -> Result<NaiveDate, Stop> {
    let first = today.with_day(1).ok_or(NO_SUCH_DATE)?;
    let shift = Months::new(months.unsigned_abs());
    if months < 0 { first.checked_sub_months(shift) } else { first.checked_add_months(shift) }.ok_or(NO_SUCH_DATE)
}

fn third_of(first: NaiveDate, third: Option<Third>, today: NaiveDate) -> Result<Dates, Stop> {
    let last = ahead(first, Months::new(1))? - Count::new(1);
    let day = |day: u32| first.with_day(day).ok_or(NO_SUCH_DATE);
    match third {
        None => span(first, last, today),
        Some(Third::First) => span(first, day(10)?, today),
        Some(Third::Middle) => span(day(11)?, day(20)?, today),
        Some(Third::Last) => span(day(21)?, last, today),
    }
}

fn nth_weekday(first: NaiveDate, nth: u32, weekday: Weekday, today: NaiveDate) -> Result<Dates, Stop> {
    let date = plus(from_today(weekday, first)?, i64::from(nth - 1) * 7)?;
    if date.month() == first.month() { checked(Dates::Sure(date), today) } else { Err(NO_SUCH_DATE) }
}

/// What is asked of a month's first day; without a year the next month of that name in which it is not over (R6).
fn month_dates(month: Month, today: NaiveDate, dates: impl Fn(NaiveDate) -> Result<Dates, Stop>) -> Result<Dates, Stop> {
    let of_year = |year: i32, number: u32| NaiveDate::from_ymd_opt(year, number, 1).ok_or(NO_SUCH_DATE).and_then(&dates);
    match month {
        Month::From(relative) => dates(shifted_month(today, relative.steps())?),
        Month::Named(number, Year::Exact(year)) => of_year(year, number),
        Month::Named(number, Year::Ahead(years)) => of_year(today.year() + years, number),
        Month::Named(number, Year::Unsaid) => match of_year(today.year(), number)? {
            Dates::Either(Reason::Past, _) => match of_year(today.year() + 1, number)? {
                // A whole month that was over begins at most eleven months ahead.
                Dates::Sure(date) if date > ahead(today, UNSAID_YEAR)? => Ok(Dates::Either(Reason::Far, vec![date])),
                next => Ok(next),
            },
            this => Ok(this),
        },
    }
}

/// R8.
pub(super) fn day_of_month(number: u32, today: NaiveDate) -> Result<Dates, Stop> {
    if !(1..=31).contains(&number) {
        return Err(NO_SUCH_DATE);
    }
    if let Some(date) = today.with_day(number)
        && date >= today
    {
        return Ok(Dates::Sure(date));
    }
    // Over: the next month is meant. Missing: perhaps this one was, so whatever comes is asked.
    let mut is_sure = today.with_day(number).is_some();
    for months in 1..=2 {
        if let Some(date) = shifted_month(today, months)?.with_day(number) {
            return Ok(if is_sure { Dates::Sure(date) } else { Dates::Either(Reason::DayMissing, vec![date]) });
        }
        is_sure = false;
    }
    // No two months in a row lack the same day.
    Err(NO_SUCH_DATE)
}

fn written_date(written: Written, today: NaiveDate) -> Result<Dates, Stop> {
    let in_year = |year: i32| NaiveDate::from_ymd_opt(year, written.month, written.day);
    match written.year {
        Year::Exact(year) => year_said(in_year(year).ok_or(NO_SUCH_DATE)?, today),
        Year::Ahead(years) => year_said(in_year(today.year() + years).ok_or(NO_SUCH_DATE)?, today),
        Year::Unsaid => {
            if let Some(dates) = short_month(written, today) {
                return Ok(dates);
            }
            match (in_year(today.year()), in_year(today.year() + 1)) {
                (Some(date), _) if date >= today => Ok(Dates::Sure(date)),
                (Some(date), _) if written.style != Style::Plain && date.month() == today.month() => {
                    // The next month may lack the day.
                    let next = shifted_month(today, 1)?.with_day(written.day);
                    Ok(Dates::Either(Reason::Past, [Some(date), next].into_iter().flatten().collect()))
                }
                (Some(date), _) if today - date <= Duration::days(PAST_DAYS) => Ok(Dates::Either(Reason::Past, vec![date])),
                (_, Some(date)) if date > ahead(today, UNSAID_YEAR)? => Ok(Dates::Either(Reason::Far, vec![date])),
                (_, Some(date)) => Ok(Dates::Sure(date)),
                _ => Err(NO_SUCH_DATE),
            }
        }
    }
}

/// R7.
fn year_said(date: NaiveDate, today: NaiveDate) -> Result<Dates, Stop> {
    let mut dates = checked(Dates::Sure(date), today)?;
    if let Dates::Either(Reason::Past, choices) = &mut dates
        && today - date > Duration::days(PAST_DAYS)
    {
        choices.extend(date.checked_add_months(HORIZON).filter(|later| *later >= today));
    }
    Ok(dates)
}

/// R6a.
fn short_month(written: Written, today: NaiveDate) -> Option<Dates> {
    let is_october = today.month() == 10;
    let is_doubtful = match written.style {
        Style::Plain => false,
        Style::Numbered => is_october,
        Style::Short => true,
    };
    if !is_doubtful || written.month != 1 || written.day <= 10 || today.month() <= 2 {
        return None;
    }
    let near = today.with_day(written.day)?;
    let january = NaiveDate::from_ymd_opt(today.year() + 1, 1, written.day)?;
    Some(if near < today {
        Dates::Either(Reason::Past, vec![near, january])
    } else if is_october && written.style == Style::Short {
        Dates::Sure(near)
    } else {
        Dates::Either(Reason::ShortMonth, vec![near, january])
    })
}
