//! Role `scheduler`: runs the jobs of one list when their time comes. Several processes may have the role; one leads.
//!
//! Leadership is a lease row (5 s by the database's clock) with an epoch that every transaction of a job checks, so that a stalled leader writes nothing after
//! it was replaced. What a job does is in its own room; here is only when. Map: `jobs` is the list · `schedule` (pure) reads cron · `leader` holds the
//! lease and starts what is due · `run` carries one job out · `metrics`.

mod complete_appointments;
mod consistency;
mod jobs;
mod leader;
mod metrics;
mod partitions;
mod run;
mod schedule;
mod stuck_intents;
mod sweeps;

pub use jobs::{JOBS, Job, Work};
pub use leader::run;
pub use metrics::SchedulerMetrics;
pub use run::Running;
