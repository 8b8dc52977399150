//! Which free times a caller is offered, in which order, and how they are called: pure, from instants.
//!
//! Source: domain reference 4.5 (strategies, ranks, bounds). Where that leaves it open: a time counts as "the same time" within two hours of the wish, the next workday is Monday
//! to Friday, a tie goes to the earlier time. Its clamping to 9 to 18 o'clock is dropped: Cal.com says what is open (incident 17). What is free is not decided here
//! (Cal.com minus our claims, incident 70), and nothing here is booked unasked (incident 62). Called by the functions that check, offer and book.

use chrono::{DateTime, Datelike, Duration, NaiveDate, Timelike, Utc, Weekday};
use chrono_tz::Tz;

use super::local_time;

/// More than two are not remembered on the phone.
pub const OFFERS_MAX: usize = 2;
/// Alternatives are looked for this far after the wish.
pub const SEARCH_DAYS: i64 = 14;
/// A time within this of the wished one is "about the same time".
const WINDOW: Duration = Duration::hours(2);
/// Nothing is booked further ahead (domain reference 4.5).
const HORIZON_MONTHS: chrono::Months = chrono::Months::new(12);

/// First and last start that may be booked: the same in check, hold and book (incident 69).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookable {
    pub earliest: DateTime<Utc>,
    pub latest: DateTime<Utc>,
}

/// Why a start is outside [`Bookable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    Past,
    /// Sooner than the minimum notice.
    TooSoon,
    /// Beyond twelve months.
    TooFar,
}

impl Bookable {
    /// From now, with that much notice in minutes (0 or more).
    #[must_use]
    pub fn new(now: DateTime<Utc>, minimum_notice_minutes: i32) -> Self {
        let latest = now.checked_add_months(HORIZON_MONTHS).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Self { earliest: now + Duration::minutes(i64::from(minimum_notice_minutes.max(0))), latest }
    }

    /// Whether that start may be booked at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, starts_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Outside> {
        if starts_at <= now {
            Err(Outside::Past)
        } else if starts_at < self.earliest {
            Err(Outside::TooSoon)
        } else if starts_at > self.latest {
            Err(Outside::TooFar)
        } else {
            Ok(())
        }
    }
}

/// Why an alternative is near the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    SameDayEarlier,
    SameDayLater,
    NextWorkdaySameTime,
    NextWeekSameDay,
    NextAvailable,
}

impl Strategy {
    /// The name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameDayEarlier => "same_day_earlier",
            Self::SameDayLater => "same_day_later",
            Self::NextWorkdaySameTime => "next_workday_same_time",
            Self::NextWeekSameDay => "next_week_same_day",
            Self::NextAvailable => "next_available",
        }
    }

    /// Domain reference 4.5: who asks for a morning rather comes earlier, who asks for an afternoon rather later.
    const fn bonus(self, morning: bool) -> i64 {
        match self {
            Self::SameDayEarlier => {
                if morning {
                    500
                } else {
                    300
                }
            }
            Self::SameDayLater => {
                if morning {
                    300
                } else {
                    500
                }
            }
            Self::NextWorkdaySameTime => 250,
            Self::NextWeekSameDay => 150,
            Self::NextAvailable => 100,
        }
    }
}

/// A free time that is offered instead of the wished one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub starts_at: DateTime<Utc>,
    pub strategy: Strategy,
    /// 10000 − minutes between wish and offer + the strategy's bonus.
    pub rank: i64,
}

/// The best alternatives to a wish among the free starts, best first, at most [`OFFERS_MAX`]; never the wish itself.
#[must_use]
pub fn alternatives(wish: DateTime<Utc>, free: &[DateTime<Utc>], zone: Tz) -> Vec<Offer> {
    let local = wish.with_timezone(&zone);
    let morning = local.hour() < 12;
    let mut offers: Vec<Offer> = free
        .iter()
        .filter(|start| **start != wish && **start <= wish + Duration::days(SEARCH_DAYS))
        .map(|start| {
            let strategy = strategy(wish, *start, zone);
            let minutes = (*start - wish).num_minutes().abs();
            Offer { starts_at: *start, strategy, rank: 10_000 - minutes + strategy.bonus(morning) }
        })
        .collect();
    offers.sort_by_key(|offer| (-offer.rank, offer.starts_at));
    offers.dedup_by_key(|offer| offer.starts_at);
    offers.truncate(OFFERS_MAX);
    offers
}

fn strategy(wish: DateTime<Utc>, start: DateTime<Utc>, zone: Tz) -> Strategy {
    let (wished, offered) = (wish.with_timezone(&zone).naive_local(), start.with_timezone(&zone).naive_local());
    let same_time = (offered.time() - wished.time()).abs() <= WINDOW;
    match offered.date() {
        _ if !same_time => Strategy::NextAvailable,
        day if day == wished.date() && start < wish => Strategy::SameDayEarlier,
        day if day == wished.date() => Strategy::SameDayLater,
        day if Some(day) == next_workday(wished.date()) => Strategy::NextWorkdaySameTime,
        day if day == wished.date() + Duration::days(7) => Strategy::NextWeekSameDay,
        _ => Strategy::NextAvailable,
    }
}

fn next_workday(day: NaiveDate) -> Option<NaiveDate> {
    day.iter_days().skip(1).take(3).find(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
}

/// The nearest free start at most that far from the wish, and how many minutes off it is: to be offered, never to be booked unasked.
#[must_use]
pub fn nearest(wish: DateTime<Utc>, free: &[DateTime<Utc>], tolerance: Duration) -> Option<(DateTime<Utc>, i64)> {
    let near = free.iter().filter(|start| (**start - wish).abs() <= tolerance).min_by_key(|start| ((**start - wish).abs(), **start))?;
    Some((*near, (*near - wish).num_minutes()))
}

/// What a caller hears of a time: near days by their word, others by weekday and date, so that no week can be mistaken (incident 58).
/// "heute um 14 Uhr", "morgen um 9 Uhr 30", "am Donnerstag, den 26. November um 10 Uhr".
#[must_use]
pub fn spoken(starts_at: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> String {
    let (start, today) = (starts_at.with_timezone(&zone), now.with_timezone(&zone).date_naive());
    match (start.date_naive() - today).num_days() {
        0 => format!("heute um {}", local_time::spoken_time(start.time())),
        1 => format!("morgen um {}", local_time::spoken_time(start.time())),
        2 => format!("übermorgen um {}", local_time::spoken_time(start.time())),
        _ => format!("am {}", local_time::spoken(starts_at, zone)),
    }
}

/// Several times in one sentence part: "heute um 14 Uhr oder morgen um 9 Uhr".
#[must_use]
pub fn spoken_list(starts: &[DateTime<Utc>], now: DateTime<Utc>, zone: Tz) -> String {
    let spoken: Vec<_> = starts.iter().map(|start| spoken(*start, now, zone)).collect();
    match spoken.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} oder {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Berlin;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        let civil = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        local_time::instant(civil.date(), civil.time(), Berlin).unwrap()
    }

    fn offered(wish: &str, free: &[&str]) -> Vec<(String, Strategy, i64)> {
        let free: Vec<_> = free.iter().map(|text| at(text)).collect();
        let text = |offer: Offer| (offer.starts_at.with_timezone(&Berlin).format("%Y-%m-%d %H:%M").to_string(), offer.strategy, offer.rank);
        alternatives(at(wish), &free, Berlin).into_iter().map(text).collect()
    }

    /// Domain reference 4.5, each row of the ranking. 2026-11-26 is a Thursday.
    #[test]
    fn every_strategy_has_its_rank() {
        let rows = [
            ("2026-11-26 10:00", "2026-11-26 09:30", Strategy::SameDayEarlier, 10_000 - 30 + 500),
            ("2026-11-26 10:00", "2026-11-26 10:30", Strategy::SameDayLater, 10_000 - 30 + 300),
            ("2026-11-26 12:00", "2026-11-26 11:30", Strategy::SameDayEarlier, 10_000 - 30 + 300),
            ("2026-11-26 12:00", "2026-11-26 12:30", Strategy::SameDayLater, 10_000 - 30 + 500),
            ("2026-11-26 10:00", "2026-11-26 12:00", Strategy::SameDayLater, 10_000 - 120 + 300),
            ("2026-11-26 10:00", "2026-11-26 12:01", Strategy::NextAvailable, 10_000 - 121 + 100),
            ("2026-11-26 10:00", "2026-11-27 10:00", Strategy::NextWorkdaySameTime, 10_000 - 1_440 + 250),
            ("2026-11-27 10:00", "2026-11-30 10:00", Strategy::NextWorkdaySameTime, 10_000 - 3 * 1_440 + 250),
            ("2026-11-26 10:00", "2026-12-03 10:00", Strategy::NextWeekSameDay, 10_000 - 7 * 1_440 + 150),
            ("2026-11-26 10:00", "2026-12-01 10:00", Strategy::NextAvailable, 10_000 - 5 * 1_440 + 100),
        ];
        for (wish, free, strategy, rank) in rows {
            assert_eq!(offered(wish, &[free]), [(free.to_owned(), strategy, rank)], "{wish} → {free}");
        }
    }

    #[test]
    fn two_are_offered_best_first_and_never_the_wish_itself() {
        let free = ["2026-11-26 10:00", "2026-11-26 08:30", "2026-11-26 11:00", "2026-11-27 10:00", "2026-11-26 11:00"];
        let times: Vec<_> = offered("2026-11-26 10:00", &free).into_iter().map(|(text, ..)| text).collect();
        assert_eq!(times, ["2026-11-26 08:30", "2026-11-26 11:00"], "a morning's wish rather goes earlier");
        assert_eq!(offered("2026-11-26 10:00", &["2026-12-10 10:01"]), [], "beyond two weeks nothing is offered");
        assert_eq!(offered("2026-11-26 10:00", &[]), []);
    }

    /// Incident 69: the notice was another in check than in book.
    #[test]
    fn notice_and_horizon_are_exact() {
        let now = at("2026-11-26 10:00");
        let bookable = Bookable::new(now, 15);
        let check = |text: &str| bookable.check(at(text), now);
        assert_eq!(check("2026-11-26 10:00"), Err(Outside::Past));
        assert_eq!(check("2026-11-26 10:14"), Err(Outside::TooSoon));
        assert_eq!(check("2026-11-26 10:15"), Ok(()));
        assert_eq!(check("2027-11-26 10:00"), Ok(()));
        assert_eq!(check("2027-11-26 10:01"), Err(Outside::TooFar));
    }

    #[test]
    fn the_nearest_is_within_the_tolerance_and_says_how_far_off_it_is() {
        let free = [at("2026-11-26 09:40"), at("2026-11-26 10:20"), at("2026-11-26 10:35")];
        assert_eq!(nearest(at("2026-11-26 10:30"), &free, Duration::minutes(30)), Some((at("2026-11-26 10:35"), 5)));
        assert_eq!(nearest(at("2026-11-26 10:00"), &free, Duration::minutes(30)), Some((at("2026-11-26 09:40"), -20)), "a tie goes to the earlier");
        assert_eq!(nearest(at("2026-11-26 12:00"), &free, Duration::minutes(30)), None);
    }

    #[test]
    fn near_days_have_their_word_and_others_their_date() {
        let now = at("2026-11-25 23:30");
        let starts: Vec<_> = ["2026-11-26 14:00", "2026-11-27 09:30", "2026-11-30 10:00"].iter().map(|text| at(text)).collect();
        let spoken: Vec<_> = starts.iter().map(|start| spoken(*start, now, Berlin)).collect();
        assert_eq!(spoken, ["morgen um 14 Uhr", "übermorgen um 9 Uhr 30", "am Montag, den 30. November um 10 Uhr"]);
        assert_eq!(spoken_list(&starts[..2], now, Berlin), "morgen um 14 Uhr oder übermorgen um 9 Uhr 30");
        assert_eq!(spoken_list(&[], now, Berlin), "");
    }
}
