//! Loose local caps against abusive load: failing signatures per endpoint, and bytes of bodies held at once.
//!
//! Never by source address: all of Retell comes from one (retell.md 1.5). Never for authentic requests: exact limits are the workers' work.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies held at once, over all connections (architecture section 5).
pub const BODY_BYTES_MAX: u32 = 256 * 1024 * 1024;
/// A log line about failing signatures at most this often per endpoint.
const LOG_EVERY_MICROS: i64 = 1_000_000;

/// How many requests with a failing signature an endpoint answers with 401 before it answers 429: so many a second, twice as many at once.
#[derive(Debug)]
pub struct FailureBudget {
    micros_each: i64,
    burst_micros: i64,
    /// The instant up to which the budget is spent (the generic cell rate algorithm: one number, no timer).
    spent_until: AtomicI64,
    logged_at: AtomicI64,
}

impl FailureBudget {
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let micros_each = 1_000_000 / i64::from(per_second.clamp(1, 1_000_000));
        Self { micros_each, burst_micros: 2_000_000, spent_until: AtomicI64::new(0), logged_at: AtomicI64::new(0) }
    }

    /// Spends one failure; false if the budget is used up.
    pub fn spend(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp_micros();
        let spend = |spent_until: i64| {
            let next = spent_until.max(now) + self.micros_each;
            (next - now <= self.burst_micros).then_some(next)
        };
        self.spent_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// True if a line may be logged now.
    pub fn may_log(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp_micros();
        let due = |at: i64| ((now - at).abs() >= LOG_EVERY_MICROS).then_some(now);
        self.logged_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
    }
}

/// Room for bodies. Taken before bytes are read, given back when the answer is out.
#[derive(Clone, Debug)]
pub struct BodyRoom(Arc<Semaphore>);

impl Default for BodyRoom {
    fn default() -> Self {
        Self::new(BODY_BYTES_MAX)
    }
}

impl BodyRoom {
    #[must_use]
    pub fn new(bytes: u32) -> Self {
        Self(Arc::new(Semaphore::new(bytes as usize)))
    }

    /// Waits for room; `None` only if the room is gone, which it never is while requests run.
    pub async fn take(&self, bytes: u32) -> Option<SemaphorePermit<'_>> {
        self.0.acquire_many(bytes).await.ok()
    }

    /// Bytes free now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.available_permits()
    }
}

/// Remembers, roughly, which messages passed through here a short while ago: to count repetitions, never to decide anything.
#[derive(Debug)]
pub struct Recent(Box<[std::sync::atomic::AtomicU64]>);

/// 64 KiB of memory: about sixteen seconds of requests at the highest load we test.
const RECENT_MAX: usize = 8192;

impl Default for Recent {
    fn default() -> Self {
        Self((0..RECENT_MAX).map(|_| std::sync::atomic::AtomicU64::new(0)).collect())
    }
}

impl Recent {
    /// True if this message was the last one seen at its place.
    pub fn repeats(&self, id: &shared::envelope::MessageId) -> bool {
        let digest = id.as_str().get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let place = usize::try_from(digest % RECENT_MAX as u64).unwrap_or(0);
        self.0.get(place).is_some_and(|seen| seen.swap(digest, Ordering::Relaxed) == digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_allows_its_burst_then_its_rate() {
        let budget = FailureBudget::new(10);
        let start = DateTime::from_timestamp(1_760_716_800, 0).unwrap();
        let allowed = (0..100).filter(|_| budget.spend(start)).count();
        assert_eq!(allowed, 20);
        let later = start + chrono::Duration::seconds(1);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 10);
    }

    #[test]
    fn a_log_line_comes_once_a_second() {
        let budget = FailureBudget::new(10);
        let start = DateTime::from_timestamp(1_760_716_800, 0).unwrap();
        assert!(budget.may_log(start));
        assert!(!budget.may_log(start + chrono::Duration::milliseconds(999)));
        assert!(budget.may_log(start + chrono::Duration::seconds(1)));
    }
}
