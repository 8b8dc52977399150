//! The one list of jobs. A job is its row here; its time, zone and pauses are its row in the table `jobs`, where people may change them.

use std::pin::Pin;
use std::time::Duration;

use shared::store::jobs::{CatchUp, NewJob};

use super::{complete_appointments, consistency, partitions, run::Running, stuck_intents, sweeps};
use crate::backfill;
use crate::call_reconcile;
use crate::runtime::Failure;

/// What a run does, in words for `jobs.last_result` and the log ("3 found"): counts and classes, no data.
pub type Work = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// One job.
#[derive(Clone, Copy)]
pub struct Job {
    /// By which its row, its metrics and people know it.
    pub name: &'static str,
    /// Five fields, in the zone of its row (a new row is in Berlin's).
    pub cron: &'static str,
    pub catch_up: CatchUp,
    /// After that the run is dropped: it counts as failed, and the next one comes at its time.
    pub time_max: Duration,
    pub work: fn(Running) -> Work,
}

/// All of them.
pub const JOBS: [Job; 11] = [
    Job {
        name: "partitions",
        cron: "17 2 * * *",
        // fourteen days are made ahead: one missed run is no matter, a missed fortnight is
        catch_up: CatchUp::Once,
        time_max: Duration::from_secs(60),
        work: |running| Box::pin(partitions::make(running)),
    },
    // What Cal.com did not tell. Two minutes, for a silence must be told within five: what changed is read 60 s later at the earliest (`sweep::SETTLE`), at the latest
    // 2 min after that, within seconds of a list of one page, and judged by `silence` within another minute: 60 + 120 + 60 s and some seconds (the test below)
    Job {
        name: "calcom_updates",
        cron: "*/2 * * * *",
        catch_up: CatchUp::Skip,
        time_max: Duration::from_secs(60),
        work: |running| Box::pin(sweeps::updates(running)),
    },
    Job {
        name: "calcom_window",
        cron: "40 3 * * *",
        catch_up: CatchUp::Once,
        time_max: Duration::from_secs(60),
        work: |running| Box::pin(sweeps::window(running)),
    },
    Job {
        name: "stuck_intents",
        cron: "*/2 * * * *",
        catch_up: CatchUp::Skip,
        time_max: Duration::from_secs(120),
        work: |running| Box::pin(stuck_intents::mend(running)),
    },
    // What Retell did not tell: a minute each, because nobody else finds out (`call_reconcile`). A silence: 120 s (`call_reconcile::SETTLE`) + 60 s, or 90 s while an
    // account's turn takes all its time, + 60 s. Both as long as our own queues are not behind: what waits there is no loss (`hearing`, alert HearingBehind)
    Job {
        name: "calls_delta",
        cron: "* * * * *",
        catch_up: CatchUp::Skip,
        // it ends by itself after a minute and a half
        time_max: Duration::from_secs(180),
        work: |running| Box::pin(call_reconcile::delta(running)),
    },
    Job {
        name: "calls_overdue",
        cron: "* * * * *",
        catch_up: CatchUp::Skip,
        time_max: Duration::from_secs(120),
        work: |running| Box::pin(call_reconcile::overdue(running)),
    },
    Job {
        name: "calls_nightly",
        cron: "41 3 * * *",
        catch_up: CatchUp::Once,
        time_max: Duration::from_secs(3600),
        work: |running| Box::pin(call_reconcile::nightly(running)),
    },
    Job {
        name: "silence",
        cron: "* * * * *",
        catch_up: CatchUp::Skip,
        time_max: Duration::from_secs(60),
        work: |running| Box::pin(call_reconcile::silence(running)),
    },
    Job {
        name: "complete_appointments",
        cron: "*/5 * * * *",
        catch_up: CatchUp::Skip,
        time_max: Duration::from_secs(120),
        work: |running| Box::pin(complete_appointments::complete(running)),
    },
    // history that was taken over since the last run; before the daily check looks at it
    Job {
        name: "backfill",
        cron: "10 1 * * *",
        catch_up: CatchUp::Once,
        time_max: Duration::from_secs(600),
        work: |running| Box::pin(backfill::scheduled::begin(running)),
    },
    // after the night's sweeps, which repair what it would find
    Job {
        name: "consistency",
        cron: "23 4 * * *",
        catch_up: CatchUp::Once,
        time_max: Duration::from_secs(3600),
        work: |running| Box::pin(consistency::check(running)),
    },
];

impl Job {
    /// The row that a new job gets.
    #[must_use]
    pub const fn row(&self) -> NewJob {
        NewJob { name: self.name, cron: self.cron, time_zone: "Europe/Berlin", catch_up: self.catch_up }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::scheduler::schedule::{self, Due};

    /// The longest time between two runs within an hour.
    fn period(name: &str) -> TimeDelta {
        let job = JOBS.iter().find(|job| job.name == name).unwrap();
        let row = |next_run_at| shared::store::jobs::Job {
            name: name.into(),
            cron: job.cron.into(),
            time_zone: "Europe/Berlin".into(),
            catch_up: job.catch_up.literal().into(),
            paused: false,
            next_run_at,
            run_asked_at: None,
            last_run_at: None,
            last_result: None,
        };
        let begin: DateTime<Utc> = "2026-11-20T10:00:00Z".parse().unwrap();
        let (mut at, mut longest) = (begin, TimeDelta::zero());
        while at < begin + TimeDelta::hours(1) {
            let Ok(Due::Plan { next }) = schedule::due(&row(None), at) else { panic!("{name} has a next time") };
            longest = longest.max(next - at);
            at = next;
        }
        longest
    }

    /// Done 8 of issue 3: a silence is told within five minutes after the first lost webhook, whatever the minute in which it was lost.
    #[test]
    fn a_silence_is_told_within_five_minutes() {
        // a page, its transactions, and both polls (the leader's and the sweeps', a second each)
        let work = TimeDelta::seconds(30);
        let calcom = crate::calcom_sync::sweep::SETTLE + period("calcom_updates") + work + period("silence");
        // an account with much to repair makes its run longer, and the next one later
        let run = TimeDelta::from_std(crate::call_reconcile::DELTA_LONGEST).unwrap();
        let retell = crate::call_reconcile::SETTLE + period("calls_delta").max(run) + work + period("silence");
        assert!(calcom.max(retell) <= TimeDelta::minutes(5), "Cal.com {calcom}, Retell {retell}");
    }
}
