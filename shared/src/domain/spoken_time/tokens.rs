//! Text → tokens: transcription of umlauts, words by the vocabulary, figures by their shape ("15.1", "14:30", "3.", "2025-11-03", "10-12").
//!
//! It decides nothing that needs context: `14.30` stays [`Token::Dotted`] until the grammar knows whether a day or a time is meant.

use std::iter::Peekable;
use std::str::Chars;

use chrono::Weekday;

use super::meaning::{Part, Refusal, Stop};
use super::{numbers, words};

/// One unit of meaning of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A cardinal in figures (with their count) or in words (count 0).
    Number(u32, usize),
    /// "dritten", or "3." in figures.
    Ordinal {
        value: u32,
        figures: bool,
    },
    Dotted(Dotted),
    Iso(i32, u32, u32),
    /// "14:30".
    HourMinute {
        hour: u32,
        minute: u32,
        padded: bool,
    },
    /// Days from today.
    Plus(i64),
    /// Tomorrow or the morning: the grammar sees which.
    Morgen,
    Weekday(Weekday),
    Month(u32),
    /// A feast with a fixed day and month.
    Feast(u32, u32),
    Unit(Unit),
    /// Halves of the unit that follows.
    Halves(u32),
    /// Quarters of an hour.
    QuarterHours(u32),
    Relative(Relative),
    Third(Third),
    /// The third of a week, in one word.
    WeekThird(Third),
    Weekend,
    In,
    At,
    On,
    So,
    Oclock,
    Half,
    Quarter,
    ThreeQuarters,
    After,
    Before,
    From,
    Until,
    Between,
    And,
    Or,
    Not,
    Sooner,
    Later,
    About,
    Shortly,
    Midnight,
    Part(Part),
    Night,
    Recurring,
    Soon,
    Haste,
    Vague,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relative {
    Last,
    This,
    Next,
    AfterNext,
}

impl Relative {
    /// How many weeks, months or years from the present one.
    pub(super) const fn steps(self) -> i32 {
        match self {
            Self::Last => -1,
            Self::This => 0,
            Self::Next => 1,
            Self::AfterNext => 2,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Third {
    First,
    Middle,
    Last,
}

/// Figures around a full stop: a date or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dotted {
    pub first: u32,
    pub second: u32,
    /// How many figures the second has: "15.1" may be a cut-off "15.10".
    pub second_figures: usize,
    pub year: Option<i32>,
    /// A full stop follows the month.
    pub closed: bool,
}

/// No figure in an expression of time has more digits.
const FIGURES_MAX: usize = 4;

const NOT_UNDERSTOOD: Stop = Stop::Refuse(Refusal::NotUnderstood);

/// # Errors
/// A word, figure or sign that is not about time.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Stop> {
    let plain = transcribed(text);
    let mut signs = plain.chars().peekable();
    let mut found = Vec::new();
    let mut last_word = String::new();
    while let Some(sign) = signs.peek().copied() {
        if sign.is_ascii_digit() {
            let token = figures(&mut signs)?;
            found.push(token);
        } else if sign.is_ascii_alphabetic() {
            let word = run(&mut signs, |sign| sign.is_ascii_alphabetic());
            match counted_appointment(&last_word, &word) {
                None => push_word(&mut found, &word)?,
                // "der erste Termin morgen" is the earliest of tomorrow, not the first of a month.
                Some(1) => {
                    found.pop();
                    found.push(Token::Soon);
                }
                Some(_) => return Err(NOT_UNDERSTOOD),
            }
            last_word = word;
        } else {
            signs.next();
            match sign {
                '-' if follows_figure(&found) && next_is_figure(&mut signs) => found.push(Token::Until),
                '-' | ',' | '.' | '!' | '?' | ';' | '"' | '\'' | '(' | ')' => {}
                blank if blank.is_whitespace() => {}
                _ => return Err(NOT_UNDERSTOOD),
            }
        }
    }
    Ok(found)
}

/// Lower case, umlauts and ß in two letters (as some transcribers write them), every dash the same.
fn transcribed(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    for sign in text.chars().flat_map(char::to_lowercase) {
        match sign {
            'ä' => plain.push_str("ae"),
            'ö' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'ß' => plain.push_str("ss"),
            '–' | '—' => plain.push('-'),
            '„' | '“' | '”' => plain.push('"'),
            '’' => plain.push('\''),
            '…' => plain.push('.'),
            other => plain.push(other),
        }
    }
    plain
}

/// Which appointment: "erste Termin", "ersten freien". Not a day of the month.
fn counted_appointment(last_word: &str, word: &str) -> Option<u32> {
    const APPOINTMENT: [&str; 5] = ["termin", "frei", "freie", "freien", "freier"];
    numbers::ordinal(last_word).filter(|_| APPOINTMENT.contains(&word))
}

fn push_word(found: &mut Vec<Token>, word: &str) -> Result<(), Stop> {
    if let Some(tokens) = words::tokens_of(word) {
        found.extend(tokens);
    } else if let Some(value) = numbers::cardinal(word) {
        found.push(Token::Number(value, 0));
    } else if let Some(value) = numbers::ordinal(word) {
        found.push(Token::Ordinal { value, figures: false });
    } else if let Some(value) = word.strip_prefix("halb").and_then(numbers::cardinal) {
        // "halbzehn"
        found.extend([Token::Half, Token::Number(value, 0)]);
    } else if !words::is_filler(word) {
        return Err(NOT_UNDERSTOOD);
    }
    Ok(())
}

fn run(signs: &mut Peekable<Chars>, wanted: impl Fn(&char) -> bool) -> String {
    let mut text = String::new();
    while let Some(sign) = signs.next_if(&wanted) {
        text.push(sign);
    }
    text
}

/// A run of digits with its length.
fn number(signs: &mut Peekable<Chars>) -> Result<(u32, usize), Stop> {
    let digits = run(signs, char::is_ascii_digit);
    if digits.len() > FIGURES_MAX {
        return Err(NOT_UNDERSTOOD);
    }
    Ok((digits.parse().map_err(|_| NOT_UNDERSTOOD)?, digits.len()))
}

fn figures(signs: &mut Peekable<Chars>) -> Result<Token, Stop> {
    let (value, count) = number(signs)?;
    match signs.peek() {
        Some(':') => clock(signs, value, count),
        Some('-') if count == FIGURES_MAX => iso(signs, value),
        Some('.') => {
            signs.next();
            if next_is(signs, |sign| sign.is_ascii_digit()) { dotted(signs, value) } else { Ok(Token::Ordinal { value, figures: true }) }
        }
        _ => Ok(Token::Number(value, count)),
    }
}

/// "14:30", seconds dropped: appointments start on minutes.
fn clock(signs: &mut Peekable<Chars>, hour: u32, count: usize) -> Result<Token, Stop> {
    signs.next();
    let (minute, _) = number(signs)?;
    if signs.next_if_eq(&':').is_some() {
        number(signs)?;
    }
    Ok(Token::HourMinute { hour, minute, padded: count == 2 && hour < 10 })
}

fn iso(signs: &mut Peekable<Chars>, year: u32) -> Result<Token, Stop> {
    signs.next();
    let (month, _) = number(signs)?;
    signs.next_if_eq(&'-').ok_or(NOT_UNDERSTOOD)?;
    let (day, _) = number(signs)?;
    Ok(Token::Iso(civil_year(year), month, day))
}

/// "15.1", "15.1.", "15.01.2026", "14.30".
fn dotted(signs: &mut Peekable<Chars>, first: u32) -> Result<Token, Stop> {
    let (second, second_figures) = number(signs)?;
    let closed = signs.next_if_eq(&'.').is_some();
    let mut year = None;
    if closed && next_is(signs, |sign| sign.is_ascii_digit()) {
        year = match number(signs)? {
            (short, 2) => Some(civil_year(2000 + short)),
            (long, FIGURES_MAX) => Some(civil_year(long)),
            _ => return Err(NOT_UNDERSTOOD),
        };
    }
    Ok(Token::Dotted(Dotted { first, second, second_figures, year, closed }))
}

/// At most [`FIGURES_MAX`] digits, so the conversion cannot wrap.
const fn civil_year(year: u32) -> i32 {
    year.cast_signed()
}

fn next_is(signs: &mut Peekable<Chars>, wanted: impl Fn(&char) -> bool) -> bool {
    signs.peek().is_some_and(wanted)
}

fn next_is_figure(signs: &mut Peekable<Chars>) -> bool {
    signs.clone().find(|sign| !sign.is_whitespace()).is_some_and(|sign| sign.is_ascii_digit())
}

/// A dash between figures is "bis".
fn follows_figure(found: &[Token]) -> bool {
    matches!(found.last(), Some(Token::Number(..) | Token::Ordinal { .. } | Token::Dotted(_) | Token::HourMinute { .. } | Token::Oclock))
}
