//! One run of one job: its right to write, its time limit, its end. A run that fails or panics is logged and counted, and stops nobody else.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use shared::store::leases::{self, Term};
use shared::store::tx::CompanyTx;
use uuid::Uuid;

use super::metrics::Ended;
use crate::runtime::{Context, Failure, failure_log};

/// What a job works with.
#[derive(Clone)]
pub struct Running {
    pub context: Context,
    /// The term of leadership that it runs in.
    pub term: Term,
}

impl Running {
    /// A transaction that commits only while this process leads: nobody can take the lease before it ends, so it is short (a page, a company; never a call to
    /// somebody else in between).
    ///
    /// # Errors
    /// Postgres is away, or another process leads.
    pub async fn begin(&self, company_id: Option<Uuid>) -> Result<CompanyTx, Failure> {
        self.begin_locked(company_id, &[]).await
    }

    /// As [`Self::begin`], with advisory locks (`store::tx::uid_lock`).
    ///
    /// # Errors
    /// As [`Self::begin`]; a lock is not granted in time.
    pub async fn begin_locked(&self, company_id: Option<Uuid>, locks: &[i64]) -> Result<CompanyTx, Failure> {
        let mut tx = CompanyTx::begin(&self.context.pool, company_id, locks).await?;
        if leases::hold(&mut tx, leases::SCHEDULER, self.term).await? { Ok(tx) } else { Err(Failure::retry("leadership_lost")) }
    }
}

/// Brings a job's work to its end, whatever that is; the words for its row.
pub(super) async fn to_its_end(job: &'static str, time_max: Duration, work: impl Future<Output = Result<String, Failure>>) -> (Ended, String) {
    let started = Instant::now();
    // a panic in a job is caught here: its state is its own, and its transaction rolls back
    let work = AssertUnwindSafe(work).catch_unwind();
    let (ended, words) = match tokio::time::timeout(time_max, work).await {
        Ok(Ok(Ok(words))) => (Ended::Done, words),
        Ok(Ok(Err(failure))) => {
            tracing::warn!(job, class = failure.class(), cause = failure_log::chain(&failure), "a job failed");
            (Ended::Failed, format!("failed: {}", failure.class()))
        }
        Ok(Err(_)) => {
            tracing::error!(job, "a job panicked");
            (Ended::Panicked, "panicked".to_owned())
        }
        Err(_) => {
            tracing::error!(job, seconds = time_max.as_secs(), "a job took too long and was dropped");
            (Ended::TimedOut, "took too long".to_owned())
        }
    };
    tracing::info!(job, ended = ended.name(), words, took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX), "a job has run");
    (ended, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Work;

    #[tokio::test]
    async fn a_job_that_fails_panics_or_hangs_ends_with_a_word() {
        let works: [(Work, Ended, &str); 4] = [
            (Box::pin(async { Ok("3 found".to_owned()) }), Ended::Done, "3 found"),
            (Box::pin(async { Err(Failure::retry("leadership_lost")) }), Ended::Failed, "failed: leadership_lost"),
            (Box::pin(async { panic!("on purpose") }), Ended::Panicked, "panicked"),
            (Box::pin(std::future::pending()), Ended::TimedOut, "took too long"),
        ];
        for (work, ended, words) in works {
            assert_eq!(to_its_end("test", Duration::from_millis(50), work).await, (ended, words.to_owned()));
        }
    }
}
