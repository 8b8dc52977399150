//! What a spoken expression of time can mean: a value, a question back, a refusal. Not how it is found (`grammar`, `resolve`) nor how it is said (`speak`).

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// The answer of [`super::understand`]. Only [`Meaning::Moment`] may book (incident 62); everything else is searched or asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A day without a time.
    Date(NaiveDate),
    /// A time without a day.
    Time(NaiveTime),
    /// One minute of one day: civil time in the branch's zone and its instant.
    Moment { local: NaiveDateTime, at: DateTime<Utc> },
    /// A part of a day, of which day is perhaps not known.
    Part { date: Option<NaiveDate>, part: Part },
    /// Days, times, or both, to search in.
    Range { days: Option<Days>, times: Option<Times> },
    /// More than one reading, or none that may be taken without asking.
    Ask(Question),
    /// Nothing that could be asked back with a choice.
    Refuse(Refusal),
}

/// Days from first to last, both included; without a last one open (the horizon is the company's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    pub first: NaiveDate,
    pub last: Option<NaiveDate>,
}

/// Possible starts, both ends included; a missing end is the branch's opening or closing time. At least one end is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub from: Option<NaiveTime>,
    pub to: Option<NaiveTime>,
}

/// A named part of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Early,
    Forenoon,
    Noon,
    Afternoon,
    Evening,
}

impl Part {
    /// The starts to search, as minutes of the day. Forenoon, noon, afternoon: domain reference 4.5; it has no rule for the other two.
    pub(super) const fn minutes(self) -> (u32, u32) {
        match self {
            Self::Early => (7 * 60, 10 * 60),
            Self::Forenoon => (9 * 60, 12 * 60),
            Self::Noon => (11 * 60, 14 * 60),
            Self::Afternoon => (12 * 60, 18 * 60),
            Self::Evening => (17 * 60, 21 * 60),
        }
    }

    /// The starts to search.
    #[must_use]
    pub fn times(self) -> Times {
        let (from, to) = self.minutes();
        Times { from: time_of(from), to: time_of(to) }
    }
}

/// The minute of a day as a time; `None` beyond the day.
pub(super) fn time_of(minutes: u32) -> Option<NaiveTime> {
    NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0)
}

/// A day, a time, or both, as one choice of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub date: Option<NaiveDate>,
    pub time: Option<NaiveTime>,
}

/// What must be asked back. The sentence is `texts::times::question`; [`Reason::key`] is its name in answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub reason: Reason,
    /// What was considered, in the order to be spoken, at most [`READINGS_MAX`]. With [`Reason::Past`] the first is what was said, the others may have been meant.
    pub readings: Vec<Reading>,
}

/// More than this many choices nobody keeps in mind on the phone.
pub const READINGS_MAX: usize = 4;

/// Why it must be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is over (incident 56).
    Past,
    /// More than twelve months ahead, or more than eleven because the year was not said (incident 60).
    Far,
    /// The weekday of today.
    TodayOrNextWeek,
    /// "In acht Tagen": a week by idiom, eight days by count.
    EightDays,
    /// "In zwei Wochen am Montag": counted from the week, or from the Monday.
    WhichWeek,
    /// Weekday and date disagree.
    WeekdayMismatch,
    /// The month that comes has no such day.
    DayMissing,
    /// "15.1" may be a cut-off month (incident 57).
    ShortMonth,
    /// A bare number.
    DayOrTime,
    /// Both halves of the clock face are possible.
    MorningOrEvening,
    /// "Viertel vier".
    Quarter,
    /// The start or the end of a day.
    Midnight,
    /// Several days or times were said.
    Several,
    /// The parts of it exclude each other.
    Contradiction,
    /// "Jeden Dienstag": which one first?
    Recurring,
    /// No day and no time in it.
    Vague,
}

impl Reason {
    /// All, for the tests of the catalogue and of this room.
    pub const ALL: [Self; 16] = [
        Self::Past,
        Self::Far,
        Self::TodayOrNextWeek,
        Self::EightDays,
        Self::WhichWeek,
        Self::WeekdayMismatch,
        Self::DayMissing,
        Self::ShortMonth,
        Self::DayOrTime,
        Self::MorningOrEvening,
        Self::Quarter,
        Self::Midnight,
        Self::Several,
        Self::Contradiction,
        Self::Recurring,
        Self::Vague,
    ];

    /// Its name in answers, for the agent.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Past => "spoken_time.past",
            Self::Far => "spoken_time.far",
            Self::TodayOrNextWeek => "spoken_time.today_or_next_week",
            Self::EightDays => "spoken_time.eight_days",
            Self::WhichWeek => "spoken_time.which_week",
            Self::WeekdayMismatch => "spoken_time.weekday_mismatch",
            Self::DayMissing => "spoken_time.day_missing",
            Self::ShortMonth => "spoken_time.short_month",
            Self::DayOrTime => "spoken_time.day_or_time",
            Self::MorningOrEvening => "spoken_time.morning_or_evening",
            Self::Quarter => "spoken_time.quarter",
            Self::Midnight => "spoken_time.midnight",
            Self::Several => "spoken_time.several",
            Self::Contradiction => "spoken_time.contradiction",
            Self::Recurring => "spoken_time.recurring",
            Self::Vague => "spoken_time.vague",
        }
    }
}

/// Why there is no reading at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No calendar has that day.
    NoSuchDate,
    /// No clock shows that.
    NoSuchTime,
    /// The clocks jump over it (last Sunday of March).
    SkippedHour,
    /// A word that is not about time: it might change the meaning, so nothing of the rest is taken.
    NotUnderstood,
    /// Longer than [`super::CHARS_MAX`].
    TooLong,
}

impl Refusal {
    /// All, for the tests of the catalogue and of this room.
    pub const ALL: [Self; 5] = [Self::NoSuchDate, Self::NoSuchTime, Self::SkippedHour, Self::NotUnderstood, Self::TooLong];

    /// Its name in answers, for the agent.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::NoSuchDate => "spoken_time.no_such_date",
            Self::NoSuchTime => "spoken_time.no_such_time",
            Self::SkippedHour => "spoken_time.skipped_hour",
            Self::NotUnderstood => "spoken_time.not_understood",
            Self::TooLong => "spoken_time.too_long",
        }
    }
}

/// Why reading stopped before a value was found: the error side inside this room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Ask(Question),
    Refuse(Refusal),
}

impl Stop {
    pub(super) fn ask(reason: Reason) -> Self {
        Self::asking(reason, Vec::new())
    }

    pub(super) fn asking(reason: Reason, mut readings: Vec<Reading>) -> Self {
        readings.truncate(READINGS_MAX);
        Self::Ask(Question { reason, readings })
    }

    pub(super) fn dates(reason: Reason, dates: &[NaiveDate]) -> Self {
        Self::asking(reason, dates.iter().map(|date| Reading { date: Some(*date), time: None }).collect())
    }
}

impl From<Stop> for Meaning {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Ask(question) => Self::Ask(question),
            Stop::Refuse(refusal) => Self::Refuse(refusal),
        }
    }
}
