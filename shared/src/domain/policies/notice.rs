//! How soon before its start something may be booked: the branch's override, else the service's own notice, else 15 minutes (domain reference 4.5).
//!
//! One value for check, hold and book (incident 69: it was ignored at the check and failed at the booking); `offers::Bookable` is made of it. Not the order of the other
//! policies: a branch that is far out of town needs its notice whatever the service says.

/// When neither branch nor service says anything.
pub const MINIMUM_NOTICE_MINUTES: i32 = 15;

/// The notice in minutes, never negative. `branch`: `booking_notice_minutes` of the branch's row of type `booking`.
#[must_use]
pub fn minimum_notice_minutes(branch: Option<u32>, service: Option<i32>) -> i32 {
    branch.and_then(|minutes| i32::try_from(minutes).ok()).or(service.map(|minutes| minutes.max(0))).unwrap_or(MINIMUM_NOTICE_MINUTES)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration, Utc};

    use super::*;
    use crate::domain::offers::{Bookable, Outside};

    /// Done 7 of issue 4, incident 69: each notice rule, and what it means to the second.
    #[test]
    fn the_branch_comes_before_the_service_and_that_before_the_default() {
        let now: DateTime<Utc> = "2026-11-20T09:00:00Z".parse().unwrap();
        let table = [
            (None, None, 15),
            (None, Some(60), 60),
            (None, Some(0), 0),
            (None, Some(-5), 0),
            (Some(30), Some(60), 30),
            (Some(120), Some(60), 120),
            (Some(0), Some(60), 0),
            (Some(30), None, 30),
            (Some(u32::MAX), Some(60), 60),
        ];
        for (branch, service, expected) in table {
            let minutes = minimum_notice_minutes(branch, service);
            assert_eq!(minutes, expected, "branch {branch:?}, service {service:?}");
            let bookable = Bookable::new(now, minutes);
            let edge = now + Duration::minutes(i64::from(minutes)).max(Duration::seconds(1));
            assert_eq!(bookable.check(edge, now), Ok(()));
            if minutes > 0 {
                assert_eq!(bookable.check(edge - Duration::seconds(1), now), Err(Outside::TooSoon));
            }
        }
    }
}
