//! Who does what at which time in the story: invented people, dates after today. Pure. Called by `demo`.
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// The zone of the demo company's branches.
pub const ZONE: Tz = Tz::Europe__Berlin;
/// Who rings.
pub const CALLER: &str = "+4915112345678";
pub const CALLER_NAME: &str = "Jürgen Groß";
/// The branch "Mitte" of `deploy/demo/company.json`.
pub const SALON: &str = "+493023125042";
pub const PHONE_SERVICE: &str = "Herrenhaarschnitt";
/// Who books on the web page.
pub const VISITOR_NAME: &str = "Erika Musterfrau";
pub const VISITOR_EMAIL: &str = "erika.musterfrau@example.org";
pub const VISITOR_EVENT_TYPE: i64 = 1321;
pub const VISITOR_REASON: &str = "Leider krank geworden";

/// The times of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The caller's first wish: Thursday 10:00.
    pub booked_for: DateTime<Utc>,
    /// Where the caller moves it: the same day, 14:00.
    pub moved_to: DateTime<Utc>,
    /// What the visitor books: Friday 11:00.
    pub visited: DateTime<Utc>,
}

impl Plan {
    /// The plan for a story that is played at `now`.
    pub fn after(now: DateTime<Utc>) -> Self {
        let today = now.with_timezone(&ZONE).date_naive();
        let thursday = next(Weekday::Thu, today);
        Self { booked_for: at(thursday, 10), moved_to: at(thursday, 14), visited: at(next(Weekday::Fri, today), 11) }
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
}
