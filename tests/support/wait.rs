//! Waiting on a condition with a deadline: the only way in which a test waits.

use std::time::{Duration, Instant};

/// Long enough for a loaded two-core machine; a condition that holds returns at once.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives a value.
///
/// # Panics
/// When it does not within the deadline: with what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, condition: impl FnMut() -> F) -> T {
    eventually_within(DEADLINE, what, condition).await
}

/// As [`eventually`], with a deadline of the caller's.
///
/// # Panics
/// When the condition does not hold within it.
pub async fn eventually_within<T, F: Future<Output = Option<T>>>(deadline: Duration, what: &str, mut condition: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < deadline, "waited {deadline:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
