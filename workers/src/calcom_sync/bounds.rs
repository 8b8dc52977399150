//! How long the work on one intent may take, each bound derived from the next greater one: so that a stop is never cut short by a job that kept to its own limit, and nobody
//! else has taken the intent up meanwhile.
//!
//! Not the pauses between two tries (`verdict`). Used by the dispatcher, the jobs and the sweeps.

use std::time::Duration;

use crate::config::DRAIN_MAX_CALCOM_SYNC;

/// Transaction 1 or 2 of a job, on a loaded Postgres. One that has fallen silent is noticed after eight seconds (`Pulse`), and then no bound of ours helps.
pub(super) const RECORDING_MAX: Duration = Duration::from_secs(5);
/// Everything that one lease does at Cal.com, several reads included. A job that began right before the stop is recorded within the drain.
pub(super) const JOB_MAX: Duration = DRAIN_MAX_CALCOM_SYNC.saturating_sub(RECORDING_MAX);
/// One request: Cal.com does calendar and video work and our own webhook inside it, and 30 s is the least that it needs (calcom reference 3.3).
pub(super) const CALL_MAX: Duration = JOB_MAX;
/// While a caller waits six seconds for the answer, more than this only keeps the outcome unknown for longer.
pub(super) const CALL_MAX_LIVE: Duration = Duration::from_secs(10);
/// How long an intent is ours: a job with both of its transactions, and a while in which it may begin late.
pub(super) const LEASE: Duration = Duration::from_secs(45);

const _: () = assert!(CALL_MAX.as_secs() >= 30 && JOB_MAX.as_secs() < DRAIN_MAX_CALCOM_SYNC.as_secs(), "a job ends before the drain does");
const _: () = assert!(LEASE.as_secs() > RECORDING_MAX.as_secs() + JOB_MAX.as_secs() + RECORDING_MAX.as_secs(), "a job ends before its lease does");

/// What is left for Cal.com so long after the lease was asked for, so that the result is recorded within it.
pub(super) const fn left(age: Duration) -> Duration {
    let until = LEASE.saturating_sub(RECORDING_MAX).saturating_sub(age);
    if until.as_millis() < JOB_MAX.as_millis() { until } else { JOB_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gets_its_whole_time_or_what_its_lease_leaves() {
        let seconds = Duration::from_secs;
        assert_eq!(left(Duration::ZERO), JOB_MAX);
        assert_eq!(left(LEASE - RECORDING_MAX - JOB_MAX), JOB_MAX);
        assert_eq!(left(seconds(20)), seconds(20));
        assert_eq!(left(LEASE), Duration::ZERO);
    }
}
