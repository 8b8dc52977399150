//! Who does what at which time in the story: invented people, dates after today. Pure. Called by `demo`.
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// The zone of the demo company's branches.
pub const ZONE: Tz = Tz::Europe__Berlin;
/// Who rings.
pub const CALLER: &str = "+4915112345678";
pub const CALLER_NAME: &str = "Jürgen Groß";
/// For whom the same caller books when ringing again.
pub const SON_NAME: &str = "Max Groß";
/// The branch "Mitte" of `deploy/demo/company.json`.
pub const SALON: &str = "+493023125042";
pub const PHONE_SERVICE: &str = "Herrenhaarschnitt";
/// Who books on the web page.
pub const VISITOR_NAME: &str = "Erika Musterfrau";
pub const VISITOR_EMAIL: &str = "erika.musterfrau@example.org";
pub const VISITOR_EVENT_TYPE: i64 = 1321;
/// One person alone does it: two callers cannot have it at one time.
pub const VISITOR_SERVICE: &str = "Beratung";
pub const VISITOR_REASON: &str = "Leider krank geworden";
/// Who withholds the number.
pub const ANONYMOUS_NAME: &str = "Klara Winter";
/// Two who want the same time: who is first, who is second.
pub const RIVALS: [(&str, &str); 2] = [("+4915112345601", "Theo Brandner"), ("+4915112345602", "Paula Weidner")];
/// Who asks for a person and does not get through.
pub const TRANSFERRED: &str = "+4915112345603";
pub const COLLEAGUE: &str = "Frau Sommerfeld";
pub const COLLEAGUE_NUMBER: &str = "+493023125098";

/// The times of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The caller's first wish: Thursday 10:00.
    pub booked_for: DateTime<Utc>,
    /// Where the caller moves it: the same day, 14:00.
    pub moved_to: DateTime<Utc>,
    /// What the visitor books: Friday 11:00.
    pub visited: DateTime<Utc>,
    /// What the caller books for the son: Wednesday 9:00.
    pub for_son: DateTime<Utc>,
    /// What somebody without a number books: Wednesday 11:00.
    pub anonymous: DateTime<Utc>,
    /// What two callers want: Wednesday 15:00.
    pub contested: DateTime<Utc>,
}

impl Plan {
    /// The plan for a story that is played at `now`.
    pub fn after(now: DateTime<Utc>) -> Self {
        let today = now.with_timezone(&ZONE).date_naive();
        let [wednesday, thursday, friday] = [Weekday::Wed, Weekday::Thu, Weekday::Fri].map(|weekday| next(weekday, today));
        Self {
            booked_for: at(thursday, 10),
            moved_to: at(thursday, 14),
            visited: at(friday, 11),
            for_son: at(wednesday, 9),
            anonymous: at(wednesday, 11),
            contested: at(wednesday, 15),
        }
    }
}

/// The first such day after today: never today itself, which may be over.
fn next(weekday: Weekday, today: NaiveDate) -> NaiveDate {
    let ahead = (weekday.num_days_from_monday() + 7 - today.weekday().num_days_from_monday()) % 7;
    today + Days::new(u64::from(if ahead == 0 { 7 } else { ahead }))
}

fn at(day: NaiveDate, hour: u32) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default();
    // German clocks change at night, on Sundays
    ZONE.from_local_datetime(&day.and_time(time)).earliest().map(|local| local.with_timezone(&Utc)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::TimeDelta;

    use super::*;

    fn plan(now: &str) -> [String; 3] {
        let plan = Plan::after(now.parse().expect("a time"));
        [plan.booked_for, plan.moved_to, plan.visited].map(|at| at.to_rfc3339())
    }

    #[test]
    fn the_story_takes_place_on_the_next_thursday_and_friday_by_berlin_time() {
        let winter = ["2026-11-26T09:00:00+00:00", "2026-11-26T13:00:00+00:00", "2026-11-27T10:00:00+00:00"];
        assert_eq!(plan("2026-11-20T12:00:00Z"), winter);
        assert_eq!(plan("2026-11-19T12:00:00Z")[0], winter[0], "on a Thursday: a week later");
        let summer = ["2026-07-02T08:00:00+00:00", "2026-07-02T12:00:00+00:00", "2026-06-26T09:00:00+00:00"];
        assert_eq!(plan("2026-06-25T21:59:00Z"), summer, "on a Thursday evening: the visitor's Friday is tomorrow");
        assert_eq!(plan("2026-06-25T22:01:00Z")[2], "2026-07-03T09:00:00+00:00", "it is Friday in Berlin already");
    }

    /// Every hour of a year with both changes of the clocks: whenever the story is played, its times lie ahead by more than any notice, inside the hours in which the stand-in has slots,
    /// and at the same times of day, so that what is said and counted is the same.
    #[test]
    fn the_story_is_the_same_at_every_hour_of_a_year() {
        let first: DateTime<Utc> = "2026-01-01T00:30:00Z".parse().expect("a time");
        for hour in 0..24 * 366 {
            let now = first + TimeDelta::hours(hour);
            let plan = Plan::after(now);
            let times = [plan.booked_for, plan.moved_to, plan.visited, plan.for_son, plan.anonymous, plan.contested];
            let said = times.map(|at| at.with_timezone(&ZONE).format("%a %H:%M").to_string());
            assert_eq!(said, ["Thu 10:00", "Thu 14:00", "Fri 11:00", "Wed 09:00", "Wed 11:00", "Wed 15:00"], "{now}");
            assert!(times.iter().all(|at| (TimeDelta::hours(8)..TimeDelta::days(8)).contains(&(*at - now))), "{now}");
            assert_eq!(BTreeSet::from(times).len(), times.len(), "{now}");
        }
    }
}
