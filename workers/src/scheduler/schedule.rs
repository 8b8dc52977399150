//! When a job runs: cron text in the zone of its row, and what becomes of runs that were missed. Pure.

use std::str::FromStr as _;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use croner::Cron;
use shared::store::jobs::{CatchUp, Job};

/// Later than this is missed: longer than a change of leaders (5 s lease) with a restart takes.
const MISSED_AFTER: Duration = Duration::seconds(60);

/// What to do about a job now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Run it; afterwards `next` is its time.
    Run {
        next: Option<DateTime<Utc>>,
    },
    /// Do not run it; `next` is its time from now on.
    Plan {
        next: DateTime<Utc>,
    },
    NotYet,
}

/// A row that cannot be understood: people change them by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("the zone is not an IANA name")]
    Zone,
    #[error("the cron text cannot be read")]
    Cron,
    #[error("the cron text names no time to come")]
    Never,
    #[error("the catch-up rule is none of skip, once, all")]
    CatchUp,
}

/// Whether the job is due at `now`.
///
/// # Errors
/// When the row cannot be understood. A run that was asked for is not refused for that.
pub fn due(job: &Job, now: DateTime<Utc>) -> Result<Due, ScheduleError> {
    let after = |at: DateTime<Utc>| next(&job.cron, &job.time_zone, at);
    if job.run_asked_at.is_some() {
        return Ok(Due::Run { next: job.next_run_at.filter(|at| *at > now).or(after(now).ok()) });
    }
    let catch_up = CatchUp::parse(&job.catch_up).ok_or(ScheduleError::CatchUp)?;
    let Some(planned) = job.next_run_at else { return Ok(Due::Plan { next: after(now)? }) };
    // after its cron text was changed for a nearer time, that one counts
    if planned > now {
        let nearer = after(now)?;
        return Ok(if nearer < planned { Due::Plan { next: nearer } } else { Due::NotYet });
    }
    let next = after(now)?;
    match catch_up {
        _ if job.paused => Ok(Due::Plan { next }),
        CatchUp::Skip if now - planned > MISSED_AFTER => Ok(Due::Plan { next }),
        CatchUp::Skip | CatchUp::Once => Ok(Due::Run { next: Some(next) }),
        CatchUp::All => Ok(Due::Run { next: Some(after(planned)?) }),
    }
}

fn next(cron: &str, zone: &str, after: DateTime<Utc>) -> Result<DateTime<Utc>, ScheduleError> {
    let zone: Tz = zone.parse().map_err(|_| ScheduleError::Zone)?;
    let cron = Cron::from_str(cron).map_err(|_| ScheduleError::Cron)?;
    let found = cron.find_next_occurrence(&after.with_timezone(&zone), false).map_err(|_| ScheduleError::Never)?;
    Ok(found.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn job(cron: &str, catch_up: &str, next_run_at: Option<&str>) -> Job {
        Job {
            name: "job".into(),
            cron: cron.into(),
            time_zone: "Europe/Berlin".into(),
            catch_up: catch_up.into(),
            paused: false,
            next_run_at: next_run_at.map(at),
            run_asked_at: None,
            last_run_at: None,
            last_result: None,
        }
    }

    #[test]
    fn a_job_runs_at_its_time_in_its_zone_and_a_new_one_waits_for_it() {
        let now = at("2026-11-20T10:00:30Z");
        assert_eq!(due(&job("0 3 * * *", "skip", None), now), Ok(Due::Plan { next: at("2026-11-21T02:00:00Z") }));
        assert_eq!(due(&job("*/5 * * * *", "skip", Some("2026-11-20T10:05:00Z")), now), Ok(Due::NotYet));
        let next = Some(at("2026-11-20T10:05:00Z"));
        assert_eq!(due(&job("*/5 * * * *", "skip", Some("2026-11-20T10:00:00Z")), now), Ok(Due::Run { next }));
    }

    #[test]
    fn missed_runs_are_skipped_made_up_once_or_all_made_up() {
        let now = at("2026-11-20T10:01:10Z");
        let late = Some("2026-11-20T07:00:00Z");
        let next = at("2026-11-20T11:00:00Z");
        assert_eq!(due(&job("0 * * * *", "skip", late), now), Ok(Due::Plan { next }));
        assert_eq!(due(&job("0 * * * *", "once", late), now), Ok(Due::Run { next: Some(next) }));
        assert_eq!(due(&job("0 * * * *", "all", late), now), Ok(Due::Run { next: Some(at("2026-11-20T08:00:00Z")) }));
    }

    #[test]
    fn a_paused_job_runs_only_if_somebody_asks() {
        let now = at("2026-11-20T10:00:30Z");
        let next = at("2026-11-20T11:00:00Z");
        let paused = Job { paused: true, ..job("0 * * * *", "once", Some("2026-11-20T10:00:00Z")) };
        assert_eq!(due(&paused, now), Ok(Due::Plan { next }));
        let asked = Job { run_asked_at: Some(now), ..paused };
        assert_eq!(due(&asked, now), Ok(Due::Run { next: Some(next) }));
    }

    /// Faults E6: half past two does not exist on 29 March and exists twice on 25 October.
    #[test]
    fn a_nightly_job_runs_once_in_every_night_of_the_year() {
        for (night, expected) in [("2026-03-28T12:00:00Z", "2026-03-29"), ("2026-10-24T12:00:00Z", "2026-10-25")] {
            let first = next("30 2 * * *", "Europe/Berlin", at(night)).unwrap();
            let second = next("30 2 * * *", "Europe/Berlin", first).unwrap();
            assert_eq!(first.with_timezone(&chrono_tz::Europe::Berlin).date_naive().to_string(), expected);
            assert!(second - first > Duration::hours(22), "{first} and {second}");
        }
    }

    #[test]
    fn a_row_that_people_broke_is_told_apart() {
        let now = at("2026-11-20T10:00:30Z");
        assert_eq!(due(&job("every day", "skip", None), now), Err(ScheduleError::Cron));
        assert_eq!(due(&Job { time_zone: "Berlin".into(), ..job("0 3 * * *", "skip", None) }, now), Err(ScheduleError::Zone));
        assert_eq!(due(&job("0 3 * * *", "sometimes", None), now), Err(ScheduleError::CatchUp));
        assert_eq!(due(&job("0 0 30 2 *", "skip", None), now), Err(ScheduleError::Never));
    }
}
