//! Days: "übermorgen", "nächsten Dienstag", "Anfang nächster Woche", "am dritten elften", "in acht Tagen".

use super::super::meaning::{Reason, Stop};
use super::super::said::{Base, Day, Month, Offset, Style, Written, Year};
use super::super::tokens::{Dotted, Relative, Third, Token, Unit};
use super::Reader;

/// A number of this size after a month is a year.
const YEARS: std::ops::RangeInclusive<u32> = 1900..=9999;

impl Reader<'_> {
    /// A day expression, if one stands here.
    pub(super) fn day(&mut self) -> Result<Option<Day>, Stop> {
        let Some((base, tokens)) = self.base()? else {
            return Ok(None);
        };
        self.skip(tokens);
        let later = match (base, ahead(self.rest())?) {
            // "heute in einer Woche", "Montag in acht Tagen": there eight days are a week, the weekday pins the idiom.
            (Base::Plus(_) | Base::Weekday(..), Some((offset, tokens))) if !matches!(offset, Offset::Minutes(_)) => {
                self.skip(tokens);
                Some(if offset == Offset::Days(8) { Offset::Weeks(1) } else { offset })
            }
            _ => None,
        };
        Ok(Some(Day { base, later }))
    }

    fn base(&self) -> Result<Option<(Base, usize)>, Stop> {
        let rest = self.rest();
        if let Some(found) = nth_weekday(rest).or_else(|| date(rest)) {
            return Ok(Some(found));
        }
        if let Some((offset, tokens)) = within(rest)? {
            return Ok(Some((Base::Within(offset), tokens)));
        }
        if let Some((offset, tokens)) = ahead(rest)? {
            return Ok(Some((Base::Ahead(offset), tokens)));
        }
        if let [Token::Relative(_), Token::Unit(Unit::Year), ..] = rest {
            return Err(Stop::ask(Reason::Vague));
        }
        Ok(week(rest).or_else(|| month(rest)).or_else(|| named(rest)))
    }
}

fn named(rest: &[Token]) -> Option<(Base, usize)> {
    Some(match *rest {
        [Token::Plus(days), ..] => (Base::Plus(days), 1),
        [Token::Morgen, ..] => (Base::Plus(1), 1),
        [Token::Relative(relative), Token::Weekday(weekday), ..] => (Base::Weekday(Some(relative), weekday), 2),
        [Token::Weekday(weekday), ..] => (Base::Weekday(None, weekday), 1),
        [Token::Relative(relative), Token::Weekend, ..] => (Base::Weekend(Some(relative)), 2),
        [Token::Weekend, ..] => (Base::Weekend(None), 1),
        _ => return None,
    })
}

/// "Anfang nächster Woche", "nächste Woche Anfang", "Ende der Woche", "Wochenanfang".
fn week(rest: &[Token]) -> Option<(Base, usize)> {
    const WEEK: Token = Token::Unit(Unit::Week);
    Some(match *rest {
        [Token::Third(third), Token::Relative(relative), WEEK, ..] | [Token::Relative(relative), WEEK, Token::Third(third), ..] => {
            (Base::Week(relative, Some(third)), 3)
        }
        [Token::Third(third), WEEK, ..] => (Base::Week(Relative::This, Some(third)), 2),
        [Token::Relative(relative), WEEK, ..] => (Base::Week(relative, None), 2),
        [Token::WeekThird(third), ..] => (Base::Week(Relative::This, Some(third)), 1),
        _ => return None,
    })
}

/// "Anfang November", "nächsten Monat", "Ende des Monats", "im Januar nächsten Jahres".
fn month(rest: &[Token]) -> Option<(Base, usize)> {
    let (third, leading): (Option<Third>, usize) = match rest {
        [Token::Third(third), ..] => (Some(*third), 1),
        _ => (None, 0),
    };
    let (month, tokens) = match rest[leading..] {
        [Token::Unit(Unit::Month), ..] if third.is_some() => (Month::From(Relative::This), 1),
        _ => which_month(&rest[leading..])?,
    };
    Some((Base::Month(month, third), leading + tokens))
}

fn which_month(rest: &[Token]) -> Option<(Month, usize)> {
    match *rest {
        [Token::Relative(relative), Token::Unit(Unit::Month), ..] => Some((Month::From(relative), 2)),
        [Token::Month(month), ref after @ ..] => {
            let (year, tokens) = year(after);
            Some((Month::Named(month, year), 1 + tokens))
        }
        _ => None,
    }
}

/// "erster Montag im Dezember", "zweiter Dienstag nächsten Monats".
fn nth_weekday(rest: &[Token]) -> Option<(Base, usize)> {
    let [Token::Ordinal { value: nth @ 1..=5, .. }, Token::Weekday(weekday), after @ ..] = rest else {
        return None;
    };
    let leading = usize::from(after.first() == Some(&Token::In));
    let (month, tokens) = which_month(&after[leading..])?;
    Some((Base::NthWeekday(*nth, *weekday, month), 2 + leading + tokens))
}

/// "15. Januar 2026", "13 Dezember", "dritter elfter", "15.1.", "2025-11-03", "am dritten".
fn date(rest: &[Token]) -> Option<(Base, usize)> {
    let written = |day, month, year, style| Base::Date(Written { day, month, year, style });
    Some(match *rest {
        [Token::Number(day, _) | Token::Ordinal { value: day, .. }, Token::Month(month), ref after @ ..] => {
            let (year, tokens) = year(after);
            (written(day, month, year, Style::Plain), 2 + tokens)
        }
        [Token::Ordinal { value: day, .. }, Token::Ordinal { value: month, .. }, ref after @ ..] => {
            let (year, tokens) = year(after);
            (written(day, month, year, Style::Numbered), 2 + tokens)
        }
        [Token::Dotted(dotted), ref after @ ..] if after.first() != Some(&Token::Oclock) && !super::clock::no_date(dotted) => {
            let (year, tokens) = dotted.year.map_or_else(|| year(after), |year| (Year::Exact(year), 0));
            (written(dotted.first, dotted.second, year, style(dotted)), 1 + tokens)
        }
        [Token::Iso(year, month, day), ..] => (written(day, month, Year::Exact(year), Style::Plain), 1),
        [Token::Feast(day, month), ref after @ ..] => {
            let (year, tokens) = year(after);
            (written(day, month, year, Style::Plain), 1 + tokens)
        }
        [Token::Ordinal { value: day, .. }, ..] => (Base::DayOfMonth(day), 1),
        _ => return None,
    })
}

/// How sure figures are of their month: "15.01" is, "15.1." may be misheard, "15.1" may be cut off (incident 57).
const fn style(dotted: Dotted) -> Style {
    match (dotted.second_figures, dotted.closed) {
        (1, false) => Style::Short,
        (2, _) if dotted.second < 10 => Style::Plain,
        _ => Style::Numbered,
    }
}

fn year(after: &[Token]) -> (Year, usize) {
    match *after {
        [Token::Number(year, 0 | 4), ..] if YEARS.contains(&year) => (Year::Exact(year.cast_signed()), 1),
        [Token::Relative(relative), Token::Unit(Unit::Year), ..] => (Year::Ahead(relative.steps()), 2),
        _ => (Year::Unsaid, 0),
    }
}

/// "in den nächsten zwei Wochen", "die nächsten drei Tage"; "in den nächsten Tagen" says nothing to search by.
fn within(rest: &[Token]) -> Result<Option<(Offset, usize)>, Stop> {
    let leading = usize::from(rest.first() == Some(&Token::In));
    match rest[leading..] {
        [Token::Relative(Relative::Next), Token::Number(count, _), Token::Unit(unit), ..] => {
            let offset = offset(count * 2, unit)?;
            Ok(if matches!(offset, Offset::Minutes(_)) { None } else { Some((offset, leading + 3)) })
        }
        [Token::Relative(Relative::Next), Token::Unit(Unit::Day), ..] => Err(Stop::ask(Reason::Vague)),
        _ => Ok(None),
    }
}

/// "in drei Tagen", "in einem halben Jahr", "in anderthalb Stunden", "in einer Viertelstunde".
fn ahead(rest: &[Token]) -> Result<Option<(Offset, usize)>, Stop> {
    let [Token::In, amount @ ..] = rest else {
        return Ok(None);
    };
    let minutes = |quarters: u32| Offset::Minutes(i64::from(quarters) * 15);
    let (halves, unit, tokens) = match *amount {
        [Token::Number(1, _), Token::QuarterHours(quarters), ..] => return Ok(Some((minutes(quarters), 3))),
        [Token::QuarterHours(quarters), ..] => return Ok(Some((minutes(quarters), 2))),
        [Token::Number(1, _), Token::Half, Token::Unit(unit), ..] => (1, unit, 4),
        [Token::Half, Token::Unit(unit), ..] => (1, unit, 3),
        [Token::Halves(halves), Token::Unit(unit), ..] => (halves, unit, 3),
        [Token::Number(count, _), Token::Unit(unit), ..] => (count * 2, unit, 3),
        _ => return Ok(None),
    };
    Ok(Some((offset(halves, unit)?, tokens)))
}

/// Halves of a unit. Half an hour and half a year are exact, half a month is not.
fn offset(halves: u32, unit: Unit) -> Result<Offset, Stop> {
    let whole = i64::from(halves / 2);
    Ok(match unit {
        Unit::Hour => Offset::Minutes(i64::from(halves) * 30),
        Unit::Year => Offset::Months(halves * 6),
        _ if halves % 2 == 1 => return Err(Stop::ask(Reason::Vague)),
        Unit::Minute => Offset::Minutes(whole),
        Unit::Day => Offset::Days(whole),
        Unit::Week => Offset::Weeks(whole),
        Unit::Month => Offset::Months(halves / 2),
    })
}
