//! What was said + now → what it means. Days in [`days`], times in [`times`]; here they meet, and elimination by "already over" happens.
//!
//! - R2 The weekday of today is asked: today or in a week? But of readings of which one is over, the other is meant: what is left is no guess.
//! - R9 The hour that the clocks skip is refused, of the doubled hour the first is taken, as everywhere (`domain::local_time`). "In einer Stunde" counts
//!   real hours and may be the second.

mod dates;
mod days;
mod times;

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, Timelike, Utc};
use chrono_tz::Tz;

use self::dates::Dates;
use self::times::Hours;
use super::meaning::{Days, Meaning, Reading, Reason, Refusal, Stop, Times, time_of};
use super::said::{Dial, Said};
use crate::domain::local_time;

/// The horizon of "so bald wie möglich": domain reference 4.5.
const SOON_DAYS: i64 = 14;

/// The present, as an instant and on the wall of the branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub at: DateTime<Utc>,
    pub zone: Tz,
}

impl Now {
    fn local(self) -> NaiveDateTime {
        self.at.with_timezone(&self.zone).naive_local()
    }

    fn today(self) -> NaiveDate {
        self.local().date()
    }
}

/// # Errors
/// A question or a refusal.
pub(super) fn resolve(said: &Said, now: Now) -> Result<Meaning, Stop> {
    if let Some(minutes) = said.elapsed {
        return elapsed(said, minutes, now);
    }
    let dates = days::found(said, now.today())?;
    if let ([clock], Dates::None, []) = (said.hours.as_slice(), &dates, said.daytimes.as_slice())
        && let (Dial::Bare(number), None) = (clock.dial, clock.daytime)
    {
        return Err(day_or_time(number, now));
    }
    let hours = times::found(said)?;
    if !said.hours.is_empty() && said.days_from.is_some() != said.days_until.is_some() {
        // "Ab Montag 15 Uhr": from that moment on, or on each of the days?
        return Err(Stop::ask(Reason::Several));
    }
    if said.near.is_some() && hours == Hours::None && dates != Dates::None {
        // "Etwa in einer Woche"
        return Err(Stop::ask(Reason::Vague));
    }
    match dates {
        Dates::None => without_day(hours, said, now),
        Dates::Sure(date) => on_day(date, hours, now),
        Dates::Either(Reason::TodayOrNextWeek, mut either) => {
            either.retain(|date| !hours.are_over(*date, now));
            match either[..] {
                [date] => on_day(date, hours, now),
                _ => Err(asking_dates(Reason::TodayOrNextWeek, &either, &hours)),
            }
        }
        Dates::Either(reason, either) => Err(asking_dates(reason, &either, &hours)),
        Dates::Span(days) => on_days(days, hours, now),
    }
}

/// "In zwei Stunden": real time, to the minute. "Heute in zwei Stunden" is checked, everything else beside it contradicts.
fn elapsed(said: &Said, minutes: i64, now: Now) -> Result<Meaning, Stop> {
    let at = now.at + Duration::minutes(minutes);
    let at = at - Duration::seconds(i64::from(at.second())) - Duration::nanoseconds(i64::from(at.nanosecond()));
    let local = at.with_timezone(&now.zone).naive_local();
    match (days::found(said, now.today())?, times::found(said)?) {
        (Dates::None, Hours::None) => {}
        (Dates::Sure(date), Hours::None) if date == local.date() => {}
        _ => return Err(Stop::ask(Reason::Contradiction)),
    }
    match dates::checked(Dates::Sure(local.date()), now.today())? {
        Dates::Sure(_) => Ok(Meaning::Moment { local, at }),
        _ => Err(Stop::dates(Reason::Far, &[local.date()])),
    }
}

/// A bare number: the day of the month that comes, or the hour.
fn day_or_time(number: u32, now: Now) -> Stop {
    let mut readings = Vec::new();
    if let Ok(Dates::Sure(date)) = dates::day_of_month(number, now.today()) {
        readings.push(Reading { date: Some(date), time: None });
    }
    let minutes = times::hours(number).unwrap_or_default();
    readings.extend(minutes.into_iter().map(|minutes| Reading { date: None, time: time_of(minutes) }));
    if readings.is_empty() { Stop::Refuse(Refusal::NotUnderstood) } else { Stop::asking(Reason::DayOrTime, readings) }
}

/// The day is asked first; a sure time stays with each choice.
fn asking_dates(reason: Reason, dates: &[NaiveDate], hours: &Hours) -> Stop {
    let time = hours.sure().and_then(time_of);
    Stop::asking(reason, dates.iter().map(|date| Reading { date: Some(*date), time }).collect())
}

fn asking_times(reason: Reason, date: Option<NaiveDate>, minutes: &[u32]) -> Stop {
    Stop::asking(reason, minutes.iter().map(|minutes| Reading { date, time: time_of(*minutes) }).collect())
}

fn without_day(hours: Hours, said: &Said, now: Now) -> Result<Meaning, Stop> {
    match hours {
        Hours::None if said.soon => {
            let days = Days { first: now.today(), last: now.today().checked_add_signed(Duration::days(SOON_DAYS)) };
            Ok(Meaning::Range { days: Some(days), times: None })
        }
        Hours::None => Err(Stop::Refuse(Refusal::NotUnderstood)),
        Hours::Sure(minutes) => time_of(minutes).map(Meaning::Time).ok_or(Stop::Refuse(Refusal::NoSuchTime)),
        Hours::Either(reason, either) => Err(asking_times(reason, None, &either)),
        Hours::Window(times) => Ok(Meaning::Range { days: None, times: Some(times) }),
        Hours::Part(part) => Ok(Meaning::Part { date: None, part }),
        Hours::Midnight => Err(Stop::ask(Reason::Midnight)),
    }
}

fn on_day(date: NaiveDate, hours: Hours, now: Now) -> Result<Meaning, Stop> {
    if hours.are_over(date, now) {
        let said = hours.sure().map(|minutes| asking_times(Reason::Past, Some(date), &[minutes]));
        return Err(said.unwrap_or_else(|| Stop::ask(Reason::Past)));
    }
    match hours {
        Hours::None => Ok(Meaning::Date(date)),
        Hours::Sure(minutes) => moment(date, minutes, now),
        Hours::Either(reason, mut either) => {
            either.retain(|minutes| !is_over(date, *minutes, now));
            match (reason, &either[..]) {
                (Reason::MorningOrEvening, [minutes]) => moment(date, *minutes, now),
                _ => Err(asking_times(reason, Some(date), &either)),
            }
        }
        Hours::Window(times) => Ok(Meaning::Range { days: Some(Days { first: date, last: Some(date) }), times: Some(times) }),
        Hours::Part(part) => Ok(Meaning::Part { date: Some(date), part }),
        Hours::Midnight => {
            let ends = [Some(date), date.succ_opt()].map(|date| Reading { date, time: time_of(0) });
            Err(Stop::asking(Reason::Midnight, ends.to_vec()))
        }
    }
}

fn on_days(days: Days, hours: Hours, now: Now) -> Result<Meaning, Stop> {
    // "Am Wochenende vormittags", said on a Sunday afternoon.
    if days.last == Some(days.first) && hours.are_over(days.first, now) {
        return Err(Stop::ask(Reason::Past));
    }
    let times = match hours {
        Hours::None => None,
        Hours::Sure(minutes) => Some(Times { from: time_of(minutes), to: time_of(minutes) }),
        Hours::Either(reason, either) => return Err(asking_times(reason, None, &either)),
        Hours::Window(times) => Some(times),
        Hours::Part(part) => Some(part.times()),
        Hours::Midnight => return Err(Stop::ask(Reason::Midnight)),
    };
    Ok(Meaning::Range { days: Some(days), times })
}

fn moment(date: NaiveDate, minutes: u32, now: Now) -> Result<Meaning, Stop> {
    let time = time_of(minutes).ok_or(Stop::Refuse(Refusal::NoSuchTime))?;
    let at = local_time::instant(date, time, now.zone).map_err(|_| Stop::Refuse(Refusal::SkippedHour))?;
    Ok(Meaning::Moment { local: date.and_time(time), at })
}

/// Whether that minute lies before the present one. A time of the hour that the clocks skip is not over: it is refused later.
fn is_over(date: NaiveDate, minutes: u32, now: Now) -> bool {
    let instant = time_of(minutes).and_then(|time| local_time::instant(date, time, now.zone).ok());
    instant.is_some_and(|instant| instant + Duration::minutes(1) <= now.at)
}
