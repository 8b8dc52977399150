//! The one list of jobs. A job is its row here; its time, zone and pauses are its row in the table `jobs`, where people may change them.

use std::pin::Pin;
use std::time::Duration;

use shared::store::jobs::{CatchUp, NewJob};

use super::{partitions, run::Running, stuck_intents, sweeps};
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
pub const JOBS: [Job; 8] = [
    Job {
        name: "partitions",
        cron: "17 2 * * *",
        // fourteen days are made ahead: one missed run is no matter, a missed fortnight is
        catch_up: CatchUp::Once,
        time_max: Duration::from_secs(60),
        work: |running| Box::pin(partitions::make(running)),
    },
    // what Cal.com did not tell
    Job {
        name: "calcom_updates",
        cron: "*/3 * * * *",
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
    // what Retell did not tell: a minute each, because nobody else finds out (`call_reconcile`)
    Job {
        name: "calls_delta",
        cron: "* * * * *",
        catch_up: CatchUp::Skip,
        time_max: Duration::from_secs(600),
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
];

impl Job {
    /// The row that a new job gets.
    #[must_use]
    pub const fn row(&self) -> NewJob {
        NewJob { name: self.name, cron: self.cron, time_zone: "Europe/Berlin", catch_up: self.catch_up }
    }
}
