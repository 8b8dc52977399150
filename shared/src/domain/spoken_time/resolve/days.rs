//! Day expressions that stand side by side, and the ends of a range of days.

use chrono::{Datelike, NaiveDate, Weekday};

use super::super::meaning::{Days, Reason, Refusal, Stop};
use super::super::said::{Base, Day, DayEnd, Edge, Month, Offset, Said, Style, Written, Year};
use super::dates::{self, Dates, plus};

/// # Errors
/// No such date, or days that exclude each other.
pub(super) fn found(said: &Said, today: NaiveDate) -> Result<Dates, Stop> {
    if said.days_from.is_none() && said.days_until.is_none() {
        return together(&said.days, today);
    }
    let around = match together(&said.days, today)? {
        Dates::None => None,
        Dates::Span(days) => Some(days),
        Dates::Either(reason, choices) => return Ok(Dates::Either(reason, choices)),
        // "Montag ab Dienstag"
        Dates::Sure(_) => return Err(Stop::ask(Reason::Contradiction)),
    };
    range(said, around, today)
}

/// From one end to the other; inside a span ("nächste Woche ab Mittwoch") a missing end is the span's.
fn range(said: &Said, around: Option<Days>, today: NaiveDate) -> Result<Dates, Stop> {
    let first = match &said.days_from {
        None => around.map_or(today, |days| days.first),
        Some(end) => match end_dates(&borrowed_month(end, said.days_until.as_ref()), &said.days, today)? {
            Dates::Sure(date) => inside(date, end.edge, 1)?,
            Dates::Span(days) if end.edge == Edge::Included => days.first,
            Dates::Span(Days { last: Some(last), .. }) => plus(last, 1)?,
            Dates::Either(reason, choices) => return Ok(Dates::Either(reason, choices)),
            _ => return Err(Stop::Refuse(Refusal::NotUnderstood)),
        },
    };
    let last = match &said.days_until {
        None => around.and_then(|days| days.last),
        Some(end) => {
            // "Von Freitag bis Montag": the Monday after that Friday.
            let is_after_first = said.days_from.is_some() && said.days.is_empty() && is_relative(end);
            let from = if is_after_first { plus(first, 1)? } else { today };
            match end_dates(end, &said.days, from)? {
                Dates::Sure(date) => Some(inside(date, end.edge, -1)?),
                Dates::Span(days) if end.edge == Edge::Included => days.last,
                Dates::Span(days) => Some(plus(days.first, -1)?),
                Dates::Either(Reason::TodayOrNextWeek, choices) if is_after_first => choices.first().copied(),
                Dates::Either(reason, choices) => return Ok(Dates::Either(reason, choices)),
                Dates::None => return Err(Stop::Refuse(Refusal::NotUnderstood)),
            }
        }
    };
    match last {
        Some(last) if last < today => Ok(Dates::Either(Reason::Past, vec![last])),
        Some(last) if last < first => Err(Stop::ask(Reason::Contradiction)),
        Some(last) => dates::span(first, last, today),
        None => Ok(match dates::span(first, first, today)? {
            Dates::Span(_) => Dates::Span(Days { first, last }),
            other => other,
        }),
    }
}

fn inside(date: NaiveDate, edge: Edge, step: i64) -> Result<NaiveDate, Stop> {
    if edge == Edge::Included { Ok(date) } else { plus(date, step) }
}

fn end_dates(end: &DayEnd, around: &[Day], today: NaiveDate) -> Result<Dates, Stop> {
    let days: Vec<Day> = around.iter().chain(&end.days).copied().collect();
    together(&days, today)
}

/// A weekday or a day of the month alone is meant relative to the range's beginning.
fn is_relative(end: &DayEnd) -> bool {
    matches!(end.days[..], [Day { base: Base::Weekday(None, _) | Base::DayOfMonth(_), later: None }])
}

/// "Vom 3. bis 5. November": the first has the month of the second.
fn borrowed_month(from: &DayEnd, until: Option<&DayEnd>) -> DayEnd {
    if let ([Day { base: Base::DayOfMonth(day), later: None }], Some([Day { base: Base::Date(written), .. }])) =
        (&from.days[..], until.map(|until| &until.days[..]))
    {
        let base = Base::Date(Written { day: *day, ..*written });
        return DayEnd { days: vec![Day { base, later: None }], edge: from.edge };
    }
    from.clone()
}

/// "Mittwoch, den 19. November": a weekday beside a date checks it, beside a week it picks the day.
fn together(days: &[Day], today: NaiveDate) -> Result<Dates, Stop> {
    let (weekdays, others): (Vec<Day>, Vec<Day>) = days.iter().partition(|day| matches!(day, Day { base: Base::Weekday(..), later: None }));
    match (&weekdays[..], &others[..]) {
        ([Day { base: Base::Weekday(_, weekday), .. }], [Day { base: Base::Week(relative, None), .. }]) => dates::in_week(*relative, *weekday, today),
        ([Day { base: Base::Weekday(_, weekday), .. }], [Day { base: Base::Ahead(Offset::Weeks(weeks)), .. }]) => dates::weeks_ahead(*weeks, *weekday, today),
        ([Day { base: Base::Weekday(_, weekday), .. }], [_, ..]) => with_weekday(*weekday, all(&others, today)?),
        _ => all(days, today),
    }
}

fn with_weekday(weekday: Weekday, dates: Dates) -> Result<Dates, Stop> {
    match dates {
        Dates::Sure(date) if date.weekday() != weekday => Ok(Dates::Either(Reason::WeekdayMismatch, vec![date])),
        // The weekday may decide between two months.
        Dates::Either(Reason::ShortMonth, choices) => {
            let fitting: Vec<NaiveDate> = choices.iter().copied().filter(|date| date.weekday() == weekday).collect();
            Ok(match fitting[..] {
                [date] => Dates::Sure(date),
                _ => Dates::Either(Reason::ShortMonth, choices),
            })
        }
        Dates::Span(Days { first, last: Some(last) }) => {
            let fitting: Vec<NaiveDate> = first.iter_days().take_while(|date| *date <= last).filter(|date| date.weekday() == weekday).take(5).collect();
            match fitting[..] {
                [] => Err(Stop::ask(Reason::Contradiction)),
                [date] => Ok(Dates::Sure(date)),
                _ => Ok(Dates::Either(Reason::Several, fitting)),
            }
        }
        other => Ok(other),
    }
}

/// Expressions that must all mean the same day.
fn all(days: &[Day], today: NaiveDate) -> Result<Dates, Stop> {
    if let Some(written) = day_in_month(days, today)? {
        return dates::one(Day { base: Base::Date(written), later: None }, today);
    }
    let mut found = Dates::None;
    for day in days {
        found = both(found, dates::one(*day, today)?)?;
    }
    Ok(found)
}

/// "Nächsten Monat am dritten", "im November am 3.".
fn day_in_month(days: &[Day], today: NaiveDate) -> Result<Option<Written>, Stop> {
    let (day, month) = match days {
        [Day { base: Base::DayOfMonth(day), .. }, month] | [month, Day { base: Base::DayOfMonth(day), .. }] => (*day, month),
        _ => return Ok(None),
    };
    let written = |month, year| Some(Written { day, month, year, style: Style::Plain });
    Ok(match month.base {
        Base::Month(Month::Named(number, year), None) => written(number, year),
        Base::Month(Month::From(relative), None) => {
            let first = dates::shifted_month(today, relative.steps())?;
            written(first.month(), Year::Exact(first.year()))
        }
        _ => None,
    })
}

fn both(one: Dates, other: Dates) -> Result<Dates, Stop> {
    Ok(match (one, other) {
        (Dates::None, dates) | (dates, Dates::None) => dates,
        (Dates::Sure(one), Dates::Sure(other)) if one == other => Dates::Sure(one),
        (Dates::Sure(one), Dates::Sure(other)) => Dates::Either(Reason::Several, vec![one, other]),
        (Dates::Either(Reason::Several, mut choices), Dates::Sure(date)) => {
            choices.push(date);
            Dates::Either(Reason::Several, choices)
        }
        (Dates::Span(days), Dates::Sure(date)) | (Dates::Sure(date), Dates::Span(days)) if days.first <= date && days.last.is_none_or(|last| date <= last) => {
            Dates::Sure(date)
        }
        _ => return Err(Stop::ask(Reason::Contradiction)),
    })
}
