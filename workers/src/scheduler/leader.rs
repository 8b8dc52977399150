//! Holds the lease and starts what is due. Loses it at once when Postgres says so, or when it could not be renewed in time.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared::store::jobs;
use shared::store::leases::{self, SCHEDULER, Term};
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

use super::consistency;
use super::jobs::{JOBS, Job};
use super::metrics::{Ended, SchedulerMetrics};
use super::run::{self, Running};
use super::schedule::{self, Due};
use crate::runtime::{Context, Failure, failure_log};

/// Of a silent leader; a stopped one gives the lease back.
const LEASE_SECONDS: i32 = 5;
/// Between two looks: renewal, and what is due. Well below a third of the lease.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Without a renewal for this long, this process no longer believes that it leads (below the lease: its clock is not the database's).
const BELIEVE_MAX: Duration = Duration::from_secs(4);

/// Whether a run ended, and of which job.
type End = (&'static str, Ended);

/// Runs until the process drains.
pub async fn run(context: Context) {
    let metrics = match SchedulerMetrics::new(&context.registry) {
        Ok(metrics) => metrics,
        Err(error) => {
            tracing::error!(cause = failure_log::chain(&error), "the scheduler's metrics could not be registered");
            return;
        }
    };
    let holder = Uuid::now_v7();
    while !context.stop.is_cancelled() {
        match context.answered("take a lease", leases::acquire(&context.pool, SCHEDULER, holder, LEASE_SECONDS)).await {
            Ok(Some(term)) => {
                metrics.leads.set(1);
                tracing::info!(epoch = term.epoch, "this process leads the scheduler");
                lead(&context, &metrics, term).await;
                metrics.leads.set(0);
                context.metrics.reconcile.retire();
                context.metrics.consistency.retire();
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(class = error.class(), "the scheduler's lease could not be asked for"),
        }
        rest(&context).await;
    }
}

async fn rest(context: &Context) {
    tokio::select! {
        () = tokio::time::sleep(LOOK_EVERY) => {}
        () = context.stop.cancelled() => {}
    }
}

/// One term: until it is lost or the process drains. Runs in progress are dropped with it: what they have committed stays, and the next leader goes on.
async fn lead(context: &Context, metrics: &SchedulerMetrics, term: Term) {
    let mut leader =
        Leader { running: Running { context: context.clone(), term }, metrics, runs: JoinSet::new(), busy: HashSet::new(), broken: HashSet::new() };
    let mut is_set_up = false;
    let mut renewed = Instant::now();
    while !context.stop.is_cancelled() {
        let asked = Instant::now();
        match context.answered("renew a lease", leases::renew(&context.pool, SCHEDULER, term, LEASE_SECONDS)).await {
            Ok(true) => renewed = asked,
            Ok(false) => {
                tracing::warn!(epoch = term.epoch, "another process leads the scheduler, or the lease ran out");
                return;
            }
            Err(error) if renewed.elapsed() > BELIEVE_MAX => {
                tracing::warn!(epoch = term.epoch, class = error.class(), "the scheduler's lease could not be renewed in time");
                return;
            }
            Err(_) => {}
        }
        while let Some(ended) = leader.runs.try_join_next() {
            leader.note(ended);
        }
        let looked = async {
            if !is_set_up {
                leader.set_up().await?;
                is_set_up = true;
            }
            leader.start_due().await
        };
        if let Err(failure) = context.answered("read the schedule", looked).await {
            tracing::warn!(class = failure.class(), "the schedule could not be read");
        }
        tokio::select! {
            () = rest(context) => {}
            Some(ended) = leader.runs.join_next() => leader.note(ended),
        }
    }
    leader.runs.shutdown().await;
    if let Err(error) = context.answered("give a lease back", leases::release(&context.pool, SCHEDULER, term)).await {
        tracing::warn!(class = error.class(), "the scheduler's lease could not be given back: it runs out");
    }
}

/// What a term has under way.
struct Leader<'a> {
    running: Running,
    metrics: &'a SchedulerMetrics,
    runs: JoinSet<End>,
    /// Jobs that run: each at most once at a time.
    busy: HashSet<&'static str>,
    /// Jobs whose rows cannot be understood: said once.
    broken: HashSet<&'static str>,
}

impl Leader<'_> {
    /// The rows of jobs that are new in this version, and what the newest check found: the next one is a day away.
    async fn set_up(&self) -> Result<(), Failure> {
        let mut tx = self.running.begin(None).await?;
        jobs::ensure(&mut tx, &JOBS.map(|job| job.row())).await?;
        tx.commit().await?;
        consistency::show_newest(&self.running).await
    }

    /// Starts the jobs whose time has come.
    async fn start_due(&mut self) -> Result<(), Failure> {
        let now = jobs::now(&self.running.context.pool).await?;
        let rows = jobs::list(&self.running.context.pool).await?;
        for job in JOBS {
            let Some(row) = rows.iter().find(|row| row.name == job.name).filter(|_| !self.busy.contains(job.name)) else { continue };
            match schedule::due(row, now) {
                Ok(Due::NotYet) => drop(self.broken.remove(job.name)),
                Ok(Due::Plan { next }) => {
                    let mut tx = self.running.begin(None).await?;
                    jobs::plan(&mut tx, job.name, next).await?;
                    tx.commit().await?;
                }
                Ok(Due::Run { next }) => self.start(job, next, row.run_asked_at),
                Err(error) if self.broken.insert(job.name) => {
                    tracing::error!(job = job.name, cause = failure_log::chain(&error), "a job's row cannot be understood: it does not run");
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn start(&mut self, job: Job, next: Option<DateTime<Utc>>, asked: Option<DateTime<Utc>>) {
        self.busy.insert(job.name);
        let running = self.running.clone();
        self.runs.spawn(async move {
            let context = &running.context;
            // a run that waits on a connection to a silent Postgres would otherwise stand in its own way until its limit (an hour for some)
            let (ended, words) = run::to_its_end(job.name, job.time_max, context.answered("run a job", (job.work)(running.clone()))).await;
            if let Err(failure) = context.answered("note a job's end", finish(&running, &job, &words, next, asked)).await {
                tracing::warn!(job = job.name, class = failure.class(), "a job's end could not be noted: it runs again");
            }
            (job.name, ended)
        });
    }

    fn note(&mut self, ended: Result<End, JoinError>) {
        match ended {
            Ok((name, ended)) => {
                self.busy.remove(name);
                self.metrics.ended(name, ended, self.running.context.clock.now().timestamp());
            }
            // jobs' panics are caught where they run: this is one of the frame itself, and its job may start again
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "a run of a job ended without a word");
                self.busy.clear();
            }
        }
    }
}

async fn finish(running: &Running, job: &Job, words: &str, next: Option<DateTime<Utc>>, asked: Option<DateTime<Utc>>) -> Result<(), Failure> {
    let mut tx = running.begin(None).await?;
    jobs::finish(&mut tx, job.name, words, next, asked).await?;
    tx.commit().await?;
    Ok(())
}
