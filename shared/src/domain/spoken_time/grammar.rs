//! Tokens → what was said. It knows German, not the calendar: nothing here depends on the present time.
//!
//! The text is a row of phrases in any order ("um 14 Uhr morgen", "morgen um 14 Uhr"); each phrase is one of: a bound ("ab", "bis", "zwischen", "nicht
//! vor"), a day ([`days`]), a clock ([`clock`]), a part of the day. Whatever fits none is not understood as a whole: half an understanding is a guess.

mod clock;
mod days;

pub(super) use clock::hour;

use super::meaning::{Part, Reason, Refusal, Stop};
use super::said::{Base, Day, DayEnd, Daytime, Edge, Half, Hour, Near, Offset, Said, TimeEnd};
use super::tokens::Token;

/// # Errors
/// A question that arises from the words alone, or a refusal.
pub(super) fn read(tokens: &[Token]) -> Result<Said, Stop> {
    // These words leave nothing to search, wherever they stand.
    let has = |wanted: Token| tokens.contains(&wanted);
    if has(Token::Recurring) {
        return Err(Stop::ask(Reason::Recurring));
    }
    if has(Token::Vague) || (has(Token::Haste) && !has(Token::Soon)) {
        return Err(Stop::ask(Reason::Vague));
    }
    let mut reader = Reader { tokens, at: 0, said: Said::default() };
    while reader.at < tokens.len() {
        reader.phrase()?;
    }
    Ok(reader.said)
}

/// One end of a range.
enum End {
    Days(Vec<Day>),
    Time(TimeEnd),
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    said: Said,
}

impl Reader<'_> {
    fn rest(&self) -> &[Token] {
        &self.tokens[self.at..]
    }

    /// Moves on by one token. Every phrase consumes at least one, so reading ends.
    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    fn eat(&mut self, wanted: Token) -> bool {
        let found = self.rest().first() == Some(&wanted);
        self.at += usize::from(found);
        found
    }

    fn phrase(&mut self) -> Result<(), Stop> {
        if self.bound()? || self.nearness()? || self.daytime() {
            return Ok(());
        }
        if let Some(day) = self.day()? {
            return self.after_day(day);
        }
        if self.eat(Token::At) {
            // "um zehn": even a figure with a full stop is an hour now.
            return match self.clock(true)? {
                Some(clock) => self.after_clock(clock),
                None => Ok(()),
            };
        }
        if let Some(clock) = self.clock(false)? {
            return self.after_clock(clock);
        }
        self.single()
    }

    /// A token that is a phrase of its own, or one that says nothing where it stands.
    fn single(&mut self) -> Result<(), Stop> {
        match self.rest() {
            [Token::Midnight, ..] => self.said.midnight = true,
            [Token::Relative(_), Token::Soon, ..] | [Token::Soon, ..] | [Token::From, Token::Soon, ..] => self.said.soon = true,
            [Token::Not | Token::Later | Token::Sooner, ..] => return Err(Stop::ask(Reason::Vague)),
            [Token::On | Token::In | Token::So | Token::Haste, ..] => {}
            _ => return Err(Stop::Refuse(Refusal::NotUnderstood)),
        }
        self.skip(1);
        Ok(())
    }

    /// "Dienstag" or "Dienstag bis Donnerstag".
    fn after_day(&mut self, day: Day) -> Result<(), Stop> {
        if let Day { base: Base::Ahead(Offset::Minutes(minutes)), .. } = day {
            return set(&mut self.said.elapsed, minutes);
        }
        if !self.eat(Token::Until) {
            self.said.days.push(day);
            return Ok(());
        }
        match self.end()? {
            End::Days(days) => {
                set(&mut self.said.days_from, DayEnd { days: vec![day], edge: Edge::Included })?;
                set(&mut self.said.days_until, DayEnd { days, edge: Edge::Included })
            }
            // "Montag bis 12 Uhr"
            End::Time(time) => {
                self.said.days.push(day);
                set(&mut self.said.times_until, time)
            }
        }
    }

    /// "zehn Uhr" or "zehn bis zwölf Uhr".
    fn after_clock(&mut self, clock: Hour) -> Result<(), Stop> {
        if !self.eat(Token::Until) {
            self.said.hours.push(clock);
            return Ok(());
        }
        set(&mut self.said.times_from, TimeEnd::Hour(clock))?;
        match self.end()? {
            End::Time(time) => set(&mut self.said.times_until, time),
            // "Montag 10 Uhr bis Mittwoch"
            End::Days(_) => Err(Stop::ask(Reason::Contradiction)),
        }
    }

    /// "ab …", "von … bis …", "zwischen … und …", "bis …", "nach …", "vor …", "nicht vor …".
    fn bound(&mut self) -> Result<bool, Stop> {
        match self.rest() {
            [Token::Not, Token::Before | Token::Sooner, ..] => {
                self.skip(2);
                self.from(Edge::Included)?;
            }
            [Token::Not, Token::After | Token::Later, ..] => {
                self.skip(2);
                self.until(Edge::Included)?;
            }
            [Token::Between, ..] => {
                self.skip(1);
                self.between()?;
            }
            // "ab sofort" is no bound.
            [Token::From, next, ..] if *next != Token::Soon => {
                self.skip(1);
                self.from(Edge::Included)?;
                if self.eat(Token::Until) {
                    self.until(Edge::Included)?;
                }
            }
            [Token::After, ..] => {
                self.skip(1);
                self.from(Edge::Excluded)?;
            }
            [Token::Until, ..] => {
                self.skip(1);
                self.until(Edge::Included)?;
            }
            [Token::Before, ..] => {
                self.skip(1);
                self.until(Edge::Excluded)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Both ends are days, or both are times.
    fn between(&mut self) -> Result<(), Stop> {
        let first = self.end()?;
        if !self.eat(Token::And) && !self.eat(Token::Until) {
            return Err(Stop::Refuse(Refusal::NotUnderstood));
        }
        match (first, self.end()?) {
            (End::Days(first), End::Days(last)) => {
                set(&mut self.said.days_from, DayEnd { days: first, edge: Edge::Included })?;
                set(&mut self.said.days_until, DayEnd { days: last, edge: Edge::Included })
            }
            (End::Time(first), End::Time(last)) => {
                set(&mut self.said.times_from, first)?;
                set(&mut self.said.times_until, last)
            }
            _ => Err(Stop::ask(Reason::Contradiction)),
        }
    }

    fn from(&mut self, edge: Edge) -> Result<(), Stop> {
        match self.end()? {
            End::Days(days) => set(&mut self.said.days_from, DayEnd { days, edge }),
            End::Time(time) => set(&mut self.said.times_from, time),
        }
    }

    fn until(&mut self, edge: Edge) -> Result<(), Stop> {
        match self.end()? {
            End::Days(days) => set(&mut self.said.days_until, DayEnd { days, edge }),
            End::Time(time) => set(&mut self.said.times_until, time),
        }
    }

    fn end(&mut self) -> Result<End, Stop> {
        // "bis spätestens", "bis gegen".
        while [Token::At, Token::On, Token::So, Token::About, Token::Until].into_iter().any(|leading| self.eat(leading)) {}
        if let [Token::Part(part), ..] = self.rest() {
            let part = *part;
            self.skip(1);
            return Ok(End::Time(TimeEnd::Part(part)));
        }
        let mut days = Vec::new();
        while let Some(day) = self.day()? {
            days.push(day);
        }
        if !days.is_empty() {
            return Ok(End::Days(days));
        }
        let clock = self.clock(true)?.ok_or(Stop::Refuse(Refusal::NotUnderstood))?;
        Ok(End::Time(TimeEnd::Hour(clock)))
    }

    /// "gegen zehn", "so um drei", "kurz vor vier".
    fn nearness(&mut self) -> Result<bool, Stop> {
        let (near, tokens) = match self.rest() {
            [Token::Shortly, Token::Before, ..] => (Near::JustBefore, 2),
            [Token::Shortly, Token::After, ..] => (Near::JustAfter, 2),
            [Token::So, Token::At, ..] | [Token::About, Token::At, ..] | [Token::So, Token::About, ..] => (Near::About, 2),
            [Token::So, Token::Number(..), ..] | [Token::About, ..] => (Near::About, 1),
            _ => return Ok(false),
        };
        self.said.near = Some(near);
        self.skip(tokens);
        // Whatever follows is an hour, as after "um".
        if let Some(clock) = self.clock(true)? {
            self.said.hours.push(clock);
        }
        Ok(true)
    }

    /// "am Vormittag", "in der Früh", "am Morgen", "am frühen Nachmittag".
    fn daytime(&mut self) -> bool {
        let leading = usize::from(matches!(self.rest(), [Token::On | Token::In, ..]));
        let (daytime, half, tokens) = match &self.rest()[leading..] {
            [Token::Sooner, Token::Part(part), ..] => (Daytime::Part(*part), Some(Half::First), 2),
            [Token::Later, Token::Part(part), ..] => (Daytime::Part(*part), Some(Half::Second), 2),
            [Token::Part(part), ..] => (Daytime::Part(*part), None, 1),
            [Token::Night, ..] => (Daytime::Night, None, 1),
            // "Montag Morgen", "am Morgen"; else it is tomorrow.
            [Token::Morgen, ..] if leading == 1 || !self.said.days.is_empty() => (Daytime::Part(Part::Early), None, 1),
            _ => return false,
        };
        self.said.daytimes.push(daytime);
        self.said.half = self.said.half.or(half);
        self.skip(leading + tokens);
        true
    }
}

/// One end can be said once.
fn set<T>(place: &mut Option<T>, value: T) -> Result<(), Stop> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Stop::ask(Reason::Contradiction)),
    }
}
