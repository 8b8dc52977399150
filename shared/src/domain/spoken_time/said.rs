//! What was said, before it is known when "now" is: the tree between grammar and resolution.

use chrono::Weekday;

use super::meaning::Part;
use super::tokens::{Relative, Third};

/// One expression without "oder".
#[derive(Debug, Default)]
pub(super) struct Said {
    /// All day expressions that stand side by side: "Mittwoch, den 19. November" is two.
    pub days: Vec<Day>,
    pub days_from: Option<DayEnd>,
    pub days_until: Option<DayEnd>,
    pub hours: Vec<Hour>,
    pub times_from: Option<TimeEnd>,
    pub times_until: Option<TimeEnd>,
    pub daytimes: Vec<Daytime>,
    /// "Am frühen Nachmittag".
    pub half: Option<Half>,
    pub near: Option<Near>,
    /// "In zwei Stunden": minutes from now.
    pub elapsed: Option<i64>,
    pub midnight: bool,
    pub soon: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    pub base: Base,
    /// "… in einer Woche".
    pub later: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Days from today.
    Plus(i64),
    /// Without a relative: bare.
    Weekday(Option<Relative>, Weekday),
    Date(Written),
    DayOfMonth(u32),
    /// "erster Montag im Dezember".
    NthWeekday(u32, Weekday, Month),
    Ahead(Offset),
    Week(Relative, Option<Third>),
    Weekend(Option<Relative>),
    Month(Month, Option<Third>),
    /// "In den nächsten zwei Wochen".
    Within(Offset),
}

/// A month of which the year may be unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Month {
    From(Relative),
    Named(u32, Year),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub day: u32,
    pub month: u32,
    pub year: Year,
    pub style: Style,
}

/// How day and month were told; it matters where the former system was wrong (rules R6, R6a).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// "5. November", "05.01.": no doubt which month.
    Plain,
    /// "fünfzehnter erster", "15.1.".
    Numbered,
    /// "15.1", perhaps cut off.
    Short,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Year {
    Unsaid,
    Exact(i32),
    /// Years from the present one.
    Ahead(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    Minutes(i64),
    Days(i64),
    Weeks(i64),
    Months(u32),
}

#[derive(Clone, Debug)]
pub(super) struct DayEnd {
    pub days: Vec<Day>,
    pub edge: Edge,
}

/// Whether the named day belongs to the range: "nach Montag" leaves it out, "ab Montag" does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Included,
    Excluded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeEnd {
    Hour(Hour),
    /// "Ab Mittag".
    Part(Part),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hour {
    pub dial: Dial,
    /// "acht Uhr abends": of this clock alone.
    pub daytime: Option<Daytime>,
}

/// What the words show of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// Minutes of the day: "14 Uhr 30", "08:00".
    Exact(u32),
    /// Minutes of the half day, said the official way: "acht Uhr".
    Official(u32),
    /// Minutes of the half day, read from a clock face: "halb acht", "um acht".
    Face(u32),
    /// "viertel vier": this hour of the face.
    QuarterOf(u32),
    /// A number alone, not even with "um": perhaps a day of the month.
    Bare(u32),
    /// "24 Uhr".
    Midnight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Daytime {
    Part(Part),
    Night,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Second,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Near {
    About,
    JustBefore,
    JustAfter,
}
