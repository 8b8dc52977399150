//! What the scheduler counts.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use shared::telemetry::metrics::{gauge, register};

use super::JOBS;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    Failed,
    Panicked,
    TimedOut,
}

impl Ended {
    const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::Panicked, Self::TimedOut];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct SchedulerMetrics {
    /// 1 in the one process that leads.
    pub leads: IntGauge,
    runs: IntCounterVec,
    last_done: IntGaugeVec,
}

impl SchedulerMetrics {
    /// Creates and registers them.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let runs =
            register(registry, IntCounterVec::new(Opts::new("frontdesk_job_runs_total", "Runs of scheduled jobs by how they ended"), &["job", "ended"]))?;
        let help = "When the job was last done, in seconds since 1970; 0: not by this process";
        let last_done = register(registry, IntGaugeVec::new(Opts::new("frontdesk_job_last_done_timestamp_seconds", help), &["job"]))?;
        for job in JOBS {
            last_done.with_label_values(&[job.name]).set(0);
            for ended in Ended::ALL {
                runs.with_label_values(&[job.name, ended.name()]).inc_by(0);
            }
        }
        Ok(Self { leads: gauge(registry, "frontdesk_scheduler_leads", "1 in the process that leads the scheduler")?, runs, last_done })
    }

    pub(super) fn ended(&self, job: &str, ended: Ended, at: i64) {
        self.runs.with_label_values(&[job, ended.name()]).inc();
        if ended == Ended::Done {
            self.last_done.with_label_values(&[job]).set(at);
        }
    }
}
