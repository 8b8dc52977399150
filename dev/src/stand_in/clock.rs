//! The clock of a stand-in: a source of instants plus an offset that a test or the admin API can set.
//! It is not the product's `Clock`: the stand-ins stay independent of the code they check. A test that owns a manual
//! clock hands it in with `following`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

type Source = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Cloning shares the offset.
#[derive(Clone)]
pub struct StandInClock {
    source: Source,
    offset_ms: Arc<AtomicI64>,
}

impl StandInClock {
    /// Wall-clock time of this machine.
    #[expect(clippy::disallowed_methods, reason = "the one place where the stand-ins read the machine's clock")]
    pub fn system() -> Self {
        Self::following(Utc::now)
    }

    /// Follows another clock, for instance the manual one of a test.
    pub fn following(source: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self { source: Arc::new(source), offset_ms: Arc::new(AtomicI64::new(0)) }
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.source)() + TimeDelta::milliseconds(self.offset_ms.load(Ordering::Relaxed))
    }

    pub fn now_ms(&self) -> i64 {
        self.now().timestamp_millis()
    }

    /// Milliseconds added to the source from now on; negative goes back.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}
