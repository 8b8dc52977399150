//! Hours: "halb zehn", "fünf vor halb drei", "vierzehn Uhr dreißig", "14:30", "1430 Uhr".

use super::super::meaning::{Refusal, Stop};
use super::super::said::{Daytime, Dial, Hour};
use super::super::tokens::{Dotted, Token, Unit};
use super::Reader;

const NO_SUCH_TIME: Stop = Stop::Refuse(Refusal::NoSuchTime);
/// Minutes of a clock face.
const FACE: u32 = 720;

impl Reader<'_> {
    /// A clock, if one stands here. `led`: after "um" or in a range a number alone is an hour, too.
    pub(super) fn clock(&mut self, led: bool) -> Result<Option<Hour>, Stop> {
        let Some((dial, mut tokens)) = relative_clock(self.rest())?.map_or_else(|| plain_clock(self.rest(), led), |found| Ok(Some(found)))? else {
            return Ok(None);
        };
        if self.rest().get(tokens) == Some(&Token::Oclock) {
            tokens += 1;
        }
        self.skip(tokens);
        Ok(Some(Hour { dial, daytime: self.daytime_of_clock() }))
    }

    /// "acht Uhr abends", "sieben Uhr in der Früh".
    fn daytime_of_clock(&mut self) -> Option<Daytime> {
        let leading = usize::from(matches!(self.rest(), [Token::On | Token::In, ..]));
        let daytime = match self.rest().get(leading)? {
            Token::Part(part) => Daytime::Part(*part),
            Token::Night => Daytime::Night,
            _ => return None,
        };
        self.skip(leading + 1);
        Some(daytime)
    }
}

/// Hours told from the face: quarters, halves, minutes before and after.
fn relative_clock(rest: &[Token]) -> Result<Option<(Dial, usize)>, Stop> {
    Ok(Some(match *rest {
        [Token::Half, Token::Number(hour, _), ..] => (half(hour)?, 2),
        [Token::Number(3, _), Token::Quarter, Token::Number(hour, _), ..] => (shifted(hour, -15)?, 3),
        [Token::ThreeQuarters, Token::Number(hour, _), ..] => (shifted(hour, -15)?, 2),
        [Token::Quarter, Token::After, Token::Number(hour, _), ..] => (shifted(hour, 15)?, 3),
        [Token::Quarter, Token::Before, Token::Number(hour, _), ..] => (shifted(hour, -15)?, 3),
        [Token::Quarter, Token::Number(hour, _), ..] if (1..=12).contains(&hour) => (Dial::QuarterOf(hour), 2),
        [Token::Number(minutes, _), Token::Unit(Unit::Minute), ref after @ ..] => match minutes_around(minutes, after)? {
            Some((dial, tokens)) => (dial, tokens + 2),
            None => return Ok(None),
        },
        [Token::Number(minutes, _), ref after @ ..] => match minutes_around(minutes, after)? {
            Some((dial, tokens)) => (dial, tokens + 1),
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

/// What follows the minutes: "vor drei", "nach halb drei".
fn minutes_around(minutes: u32, after: &[Token]) -> Result<Option<(Dial, usize)>, Stop> {
    let (sign, rest) = match after {
        [Token::Before, rest @ ..] => (-1, rest),
        [Token::After, rest @ ..] => (1, rest),
        _ => return Ok(None),
    };
    let (half, hour, tokens) = match *rest {
        [Token::Half, Token::Number(hour, _), ..] => (-30, hour, 3),
        [Token::Number(hour, _), ..] => (0, hour, 2),
        _ => return Ok(None),
    };
    // More is not said before or after an hour.
    let minutes = i32::try_from(minutes).ok().filter(|minutes| (1..30).contains(minutes)).ok_or(NO_SUCH_TIME)?;
    Ok(Some((shifted(hour, half + sign * minutes)?, tokens)))
}

/// "halb zehn" = 09:30 (domain reference 4.6); a 24-hour clock is not halved.
fn half(hour: u32) -> Result<Dial, Stop> {
    if (1..=12).contains(&hour) { shifted(hour, -30) } else { Err(NO_SUCH_TIME) }
}

fn shifted(hour: u32, minutes: i32) -> Result<Dial, Stop> {
    let around = |full: u32| (hour % 24 * 60 + full).checked_add_signed(minutes).map(|sum| sum % full).ok_or(NO_SUCH_TIME);
    match hour {
        1..=12 => around(FACE).map(Dial::Face),
        13..=23 => around(2 * FACE).map(Dial::Exact),
        _ => Err(NO_SUCH_TIME),
    }
}

/// Hours told by hour and minute.
fn plain_clock(rest: &[Token], led: bool) -> Result<Option<(Dial, usize)>, Stop> {
    Ok(Some(match *rest {
        [Token::HourMinute { hour, minute, padded }, ..] => (official(hour, minute, padded)?, 1),
        // What can be a date was taken for one, unless "um" or "Uhr" stands beside it.
        [Token::Dotted(dotted @ Dotted { year: None, .. }), ..] => (official(dotted.first, dotted.second, false)?, 1),
        // "1430 Uhr"
        [Token::Number(both, 4), Token::Oclock, ..] => (official(both / 100, both % 100, false)?, 1),
        [Token::Number(hour, _), Token::Oclock, Token::Number(minute, _), Token::Unit(Unit::Minute), ..] => (official(hour, minute, false)?, 4),
        // "14 Uhr 30", "14 Uhr 30."
        [Token::Number(hour, _), Token::Oclock, Token::Number(minute, _), ref after @ ..] if !begins_other(after) => (official(hour, minute, false)?, 3),
        [Token::Number(hour, _), Token::Oclock, Token::Ordinal { value: minute, figures: true }] => (official(hour, minute, false)?, 3),
        [Token::Number(hour, _) | Token::Ordinal { value: hour, figures: true }, Token::Oclock, ..] => (official(hour, 0, false)?, 1),
        // "vierzehn dreißig", "10 30"
        [Token::Number(hour, _), Token::Number(minute, figures), ref after @ ..] if (minute >= 10 || figures == 2) && !begins_other(after) => {
            (official(hour, minute, false)?, 2)
        }
        [Token::Number(hour, _), ..] if led => (self::hour(hour)?, 1),
        // A sentence that ends in "um 10."
        [Token::Ordinal { value: hour, figures: true }, ..] => (self::hour(hour)?, 1),
        [Token::Number(value, _), ..] => (Dial::Bare(value), 1),
        _ => return Ok(None),
    }))
}

/// The number belongs to what follows: "14 Uhr 3 Januar", "10 Uhr 5 vor …".
fn begins_other(after: &[Token]) -> bool {
    matches!(after.first(), Some(Token::Month(_) | Token::Before | Token::After))
}

/// "14.30": there is no month 30, so only a time is left.
pub(super) fn no_date(dotted: Dotted) -> bool {
    !(1..=12).contains(&dotted.second) && dotted.second_figures == 2 && dotted.first <= 24 && !dotted.closed
}

/// Rule R1, first half: what hour and minute show. Above twelve, at zero or with a leading zero there is one reading.
fn official(hour: u32, minute: u32, padded: bool) -> Result<Dial, Stop> {
    match (hour, minute) {
        (24, 0) => Ok(Dial::Midnight),
        (24.., _) | (_, 60..) => Err(NO_SUCH_TIME),
        (0 | 13.., _) => Ok(Dial::Exact(hour * 60 + minute)),
        _ if padded => Ok(Dial::Exact(hour * 60 + minute)),
        _ => Ok(Dial::Official(hour % 12 * 60 + minute)),
    }
}

/// A number as an hour: "um drei", "um vierzehn"; also a bare one that turned out to be an hour.
pub(in super::super) fn hour(number: u32) -> Result<Dial, Stop> {
    match official(number, 0, false)? {
        Dial::Official(minutes) => Ok(Dial::Face(minutes)),
        other => Ok(other),
    }
}
