//! Hours → minutes of the day.
//!
//! - R1 A time of the half day ("um drei", "halb acht", "Viertel nach neun") has two readings. Nobody makes an appointment outside
//!   07:00–20:59, so where only one reading lies inside it is meant ("drei" = 15:00, "halb zehn" = 09:30). Where both do (7 and 8 o'clock), the official form
//!   with "Uhr" or figures is taken as said ("acht Uhr" = 08:00), the other is asked. A part of the day decides ("acht Uhr abends"), even for the night.
//! - R1a In a range both ends together must make sense: the shortest that fits the day ("neun bis fünf" = 9 to 17). Two equally short ones are asked.
//! - R5 "Ab drei" has no other end: closing time is the branch's. The former system wrote 18:00 there (domain reference 4.5).
//! - "Ab Mittag", "bis Mittag" is twelve; other parts bound by their beginning.

use chrono::NaiveDate;

use super::super::grammar;
use super::super::meaning::{Part, Reason, Stop, Times, time_of};
use super::super::said::{Daytime, Dial, Half, Hour, Near, Said, TimeEnd};
use super::{Now, is_over};

/// Appointments start between these minutes of the day, both included (R1).
const DAY: std::ops::RangeInclusive<u32> = 7 * 60..=20 * 60 + 59;
const HALF_DAY: u32 = 12 * 60;
const MINUTE_MAX: u32 = 24 * 60 - 1;
/// "Gegen zehn": the tolerance of domain reference 4.5.
const ABOUT_MINUTES: u32 = 30;
/// "Kurz nach zehn": the tolerance of the former alternative matcher (domain reference 4.5).
const JUST_MINUTES: u32 = 15;

/// What the clock words mean together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hours {
    None,
    Sure(u32),
    Either(Reason, Vec<u32>),
    Window(Times),
    Part(Part),
    Midnight,
}

impl Hours {
    pub(super) const fn sure(&self) -> Option<u32> {
        match self {
            Self::Sure(minutes) => Some(*minutes),
            _ => None,
        }
    }

    /// Whether on that day all of it lies before now.
    pub(super) fn are_over(&self, date: NaiveDate, now: Now) -> bool {
        let ended = |times: Times| times.to.is_some_and(|end| is_over(date, minutes_of(end), now));
        match self {
            Self::None | Self::Midnight => false,
            Self::Sure(minutes) => is_over(date, *minutes, now),
            Self::Either(_, either) => either.iter().all(|minutes| is_over(date, *minutes, now)),
            Self::Window(times) => ended(*times),
            Self::Part(part) => ended(part.times()),
        }
    }
}

fn minutes_of(time: chrono::NaiveTime) -> u32 {
    use chrono::Timelike;
    time.hour() * 60 + time.minute()
}

/// # Errors
/// Times that exclude each other.
pub(super) fn found(said: &Said) -> Result<Hours, Stop> {
    let daytime = one_daytime(&said.daytimes)?;
    let bounded = said.times_from.is_some() || said.times_until.is_some();
    if said.midnight {
        return Ok(Hours::Midnight);
    }
    match (&said.hours[..], bounded) {
        ([], true) => window(said, daytime),
        ([], false) => Ok(match (daytime, said.half) {
            (None, _) => Hours::None,
            (Some(Daytime::Night), _) => return Err(Stop::ask(Reason::Vague)),
            (Some(Daytime::Part(part)), None) => Hours::Part(part),
            (Some(Daytime::Part(part)), Some(half)) => Hours::Window(half_of(part, half)),
        }),
        ([hour], false) => Ok(near(one(*hour, daytime)?, said.near)),
        (_, false) => several(&said.hours, daytime),
        _ => Err(Stop::ask(Reason::Contradiction)),
    }
}

/// "Früh am Morgen" is one, "morgens abends" none.
fn one_daytime(daytimes: &[Daytime]) -> Result<Option<Daytime>, Stop> {
    match daytimes {
        [] => Ok(None),
        [first, rest @ ..] if rest.iter().all(|other| other == first) => Ok(Some(*first)),
        _ => Err(Stop::ask(Reason::Contradiction)),
    }
}

/// The starts of "am frühen Nachmittag": the first half of it.
fn half_of(part: Part, half: Half) -> Times {
    let (from, to) = part.minutes();
    let middle = u32::midpoint(from, to);
    match half {
        Half::First => Times { from: time_of(from), to: time_of(middle) },
        Half::Second => Times { from: time_of(middle), to: time_of(to) },
    }
}

/// The hours that a bare number can mean.
pub(super) fn hours(number: u32) -> Option<Vec<u32>> {
    readings(grammar::hour(number).ok()?, None).ok()
}

fn one(hour: Hour, daytime: Option<Daytime>) -> Result<Hours, Stop> {
    let minutes = readings(hour.dial, hour.daytime.or(daytime))?;
    Ok(match (hour.dial, &minutes[..]) {
        (Dial::QuarterOf(_), _) => Hours::Either(Reason::Quarter, minutes),
        (_, []) => Hours::Midnight,
        (_, [minutes]) => Hours::Sure(*minutes),
        _ => Hours::Either(Reason::MorningOrEvening, minutes),
    })
}

/// Rule R1. Empty for midnight, else at least one.
fn readings(dial: Dial, daytime: Option<Daytime>) -> Result<Vec<u32>, Stop> {
    let both = |face: u32| vec![face, face + HALF_DAY];
    let mut minutes = match dial {
        Dial::Midnight => return Ok(Vec::new()),
        Dial::Bare(number) => return readings(grammar::hour(number)?, daytime),
        Dial::Exact(minutes) => vec![minutes],
        Dial::QuarterOf(hour) => return quarters(hour, daytime),
        Dial::Official(face) | Dial::Face(face) => both(face),
    };
    match daytime {
        Some(daytime) => minutes.retain(|minutes| belongs(*minutes, daytime)),
        None if minutes.len() == 2 => minutes.retain(|minutes| DAY.contains(minutes)),
        None => {}
    }
    if let Dial::Official(_) = dial {
        minutes.truncate(1);
    }
    match minutes[..] {
        [] => Err(Stop::ask(Reason::Contradiction)),
        // "zwölf Uhr nachts"; "0 Uhr" needs no part of the day.
        [0] if daytime.is_some() => Ok(Vec::new()),
        _ => Ok(minutes),
    }
}

/// "viertel vier": 15:15 in the east and south, unknown elsewhere, or "vor" or "nach" was swallowed: 15:45, 16:15.
fn quarters(hour: u32, daytime: Option<Daytime>) -> Result<Vec<u32>, Stop> {
    let face = |before: u32| Dial::Official((hour * 60 + HALF_DAY - before) % HALF_DAY);
    let mut minutes = Vec::new();
    for dial in [face(45), face(15), face(HALF_DAY - 15)] {
        minutes.extend(readings(dial, daytime)?);
    }
    minutes.sort_unstable();
    Ok(minutes)
}

/// Which times of day people call so; wider than what is searched for [`Part::minutes`].
fn belongs(minutes: u32, daytime: Daytime) -> bool {
    match daytime {
        Daytime::Part(Part::Early) => (60..12 * 60).contains(&minutes),
        Daytime::Part(Part::Forenoon) => (6 * 60..=12 * 60).contains(&minutes),
        Daytime::Part(Part::Noon) => (11 * 60..15 * 60).contains(&minutes),
        Daytime::Part(Part::Afternoon) => (12 * 60..19 * 60).contains(&minutes),
        Daytime::Part(Part::Evening) => minutes >= 17 * 60,
        Daytime::Night => !(6 * 60..21 * 60).contains(&minutes),
    }
}

fn near(hours: Hours, near: Option<Near>) -> Hours {
    let (Hours::Sure(minutes), Some(near)) = (&hours, near) else {
        return hours;
    };
    let (before, after) = match near {
        Near::About => (ABOUT_MINUTES, ABOUT_MINUTES),
        Near::JustBefore => (JUST_MINUTES, 0),
        Near::JustAfter => (0, JUST_MINUTES),
    };
    Hours::Window(Times { from: time_of(minutes.saturating_sub(before)), to: time_of((minutes + after).min(MINUTE_MAX)) })
}

/// Several hours side by side: one if all say the same, else it is asked.
fn several(hours: &[Hour], daytime: Option<Daytime>) -> Result<Hours, Stop> {
    let mut minutes = Vec::new();
    for hour in hours {
        minutes.extend(readings(hour.dial, hour.daytime.or(daytime))?);
    }
    minutes.dedup();
    Ok(match minutes[..] {
        [minutes] => Hours::Sure(minutes),
        _ => Hours::Either(Reason::Several, minutes),
    })
}

fn window(said: &Said, daytime: Option<Daytime>) -> Result<Hours, Stop> {
    let from = said.times_from.map(|end| end_readings(end, daytime)).transpose()?;
    let until = said.times_until.map(|end| end_readings(end, daytime)).transpose()?;
    let part = match daytime {
        Some(Daytime::Part(part)) => Some(part.minutes()),
        _ => None,
    };
    match (from, until) {
        (Some(from), Some(until)) => pair(&from, &until),
        (Some(from), None) => bounded(&from, |from| (Some(from), part.map(|part| part.1))),
        (None, Some(until)) => bounded(&until, |until| (part.map(|part| part.0), Some(until))),
        (None, None) => Ok(Hours::None),
    }
}

fn end_readings(end: TimeEnd, daytime: Option<Daytime>) -> Result<Vec<u32>, Stop> {
    let minutes = match end {
        TimeEnd::Part(Part::Noon) => return Ok(vec![HALF_DAY]),
        TimeEnd::Part(part) => return Ok(vec![part.minutes().0]),
        TimeEnd::Hour(hour) => readings(hour.dial, hour.daytime.or(daytime))?,
    };
    if minutes.is_empty() { Err(Stop::ask(Reason::Midnight)) } else { Ok(minutes) }
}

fn bounded(readings: &[u32], ends: impl Fn(u32) -> (Option<u32>, Option<u32>)) -> Result<Hours, Stop> {
    let [minutes] = *readings else {
        return Ok(Hours::Either(Reason::MorningOrEvening, readings.to_vec()));
    };
    match ends(minutes) {
        (Some(from), Some(to)) if from >= to => Err(Stop::ask(Reason::Contradiction)),
        (from, to) => Ok(Hours::Window(Times { from: from.and_then(time_of), to: to.and_then(time_of) })),
    }
}

/// Rule R1a.
fn pair(from: &[u32], until: &[u32]) -> Result<Hours, Stop> {
    let pairs: Vec<(u32, u32)> = from.iter().flat_map(|from| until.iter().map(move |until| (*from, *until))).filter(|(from, until)| from < until).collect();
    let Some(shortest) = pairs.iter().map(|(from, until)| until - from).min() else {
        return Err(Stop::ask(Reason::Contradiction));
    };
    let shortest: Vec<(u32, u32)> = pairs.into_iter().filter(|(from, until)| until - from == shortest).collect();
    Ok(match shortest[..] {
        [(from, until)] => Hours::Window(Times { from: time_of(from), to: time_of(until) }),
        _ => Hours::Either(Reason::MorningOrEvening, shortest.into_iter().map(|(from, _)| from).collect()),
    })
}
